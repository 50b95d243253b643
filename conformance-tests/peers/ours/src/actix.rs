//! Actix with this project's sessions.

use actix_web::{App, HttpServer};
use session_actix::CookieSessionServiceExt;

#[path = "../../common.rs"]
mod common;
#[path = "routes_actix.rs"]
mod routes;
mod service;

#[actix_web::main]
async fn main() {
    let service = service::open(&common::store()).await;
    let server = HttpServer::new(move || App::new().configure(routes::routes).wrap(service.middleware()));
    let server = server.bind("127.0.0.1:0").expect("a port");
    common::listening(server.addrs()[0]);
    server.run().await.expect("it serves");
}
