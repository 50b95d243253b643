//! What this project's sessions add to one request of Axum.

use session_axum::CookieSessionServiceExt;
use tower::Layer;

#[path = "../../common.rs"]
#[allow(dead_code)]
mod common;
#[path = "../../oneshot.rs"]
mod oneshot;
#[path = "../../oneshot_axum.rs"]
mod oneshot_axum;
#[path = "routes_axum.rs"]
mod routes;
mod service;

fn main() {
    oneshot_axum::measure(async || {
        service::open("memory").await.layer().layer(routes::routes())
    });
}
