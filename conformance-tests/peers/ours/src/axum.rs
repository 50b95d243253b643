//! Axum with this project's sessions: with the layer inside the router, as most apps have it, or around it, for `around-memory`.

use axum::ServiceExt;
use axum::extract::Request;
use session_axum::CookieSessionServiceExt;
use tower::Layer;

#[path = "../../common.rs"]
mod common;
#[path = "routes_axum.rs"]
mod routes;
mod service;

#[tokio::main]
async fn main() {
    let store = common::store();
    let around = store.strip_prefix("around-");
    let service = service::open(around.unwrap_or(&store)).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    common::listening(listener.local_addr().expect("an address"));
    let served = if around.is_some() {
        let app = service.layer().layer(routes::routes());
        axum::serve(listener, ServiceExt::<Request>::into_make_service(app)).await
    } else {
        axum::serve(listener, routes::routes().layer(service.layer())).await
    };
    served.expect("it serves");
}
