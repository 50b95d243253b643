//! What this project's sessions add to one request of Actix.

use actix_web::App;
use actix_web::test::init_service;
use session_actix::CookieSessionServiceExt;

#[path = "../../common.rs"]
#[allow(dead_code)]
mod common;
#[path = "../../oneshot.rs"]
mod oneshot;
#[path = "../../oneshot_actix.rs"]
mod oneshot_actix;
#[path = "routes_actix.rs"]
mod routes;
mod service;

fn main() {
    oneshot_actix::measure(async || {
        let service = service::open("memory").await;
        init_service(App::new().configure(routes::routes).wrap(service.middleware())).await
    });
}
