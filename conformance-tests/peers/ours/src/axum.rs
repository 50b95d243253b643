//! Axum with this project's sessions.

use session_axum::CookieSessionService;

#[path = "../../common.rs"]
mod common;
#[path = "routes_axum.rs"]
mod routes;
mod service;

#[tokio::main]
async fn main() {
    let service = CookieSessionService::from(service::open(&common::store()).await);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    common::listening(listener.local_addr().expect("an address"));
    axum::serve(listener, routes::routes().layer(service.layer())).await.expect("it serves");
}
