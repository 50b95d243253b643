//! What actix-session adds to one request, with all in the cookie.

use actix_session::storage::CookieSessionStore;
use actix_web::App;
use actix_web::test::init_service;

#[path = "../../common.rs"]
#[allow(dead_code)]
mod common;
#[path = "../../oneshot.rs"]
mod oneshot;
#[path = "../../oneshot_actix.rs"]
mod oneshot_actix;
mod routes;

fn main() {
    oneshot_actix::measure(async || {
        let app = App::new().configure(routes::routes).wrap(routes::middleware(CookieSessionStore::default()));
        init_service(app).await
    });
}
