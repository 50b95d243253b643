//! Actix with actix-session: in the cookie itself, or in Redis.

use actix_session::storage::{CookieSessionStore, RedisSessionStore, SessionStore};
use actix_web::{App, HttpServer};

#[path = "../../common.rs"]
#[allow(dead_code)]
mod common;
mod routes;

#[actix_web::main]
async fn main() {
    let store = common::store();
    if store == "cookie" {
        serve(CookieSessionStore::default).await;
    } else {
        let redis = RedisSessionStore::new(&store).await.expect("a server");
        serve(move || redis.clone()).await;
    }
}

async fn serve<S: SessionStore + 'static>(store: impl Fn() -> S + Clone + Send + 'static) {
    let server = HttpServer::new(move || App::new().configure(routes::routes).wrap(routes::middleware(store())));
    let server = server.bind("127.0.0.1:0").expect("a port");
    common::listening(server.addrs()[0]);
    server.run().await.expect("it serves");
}
