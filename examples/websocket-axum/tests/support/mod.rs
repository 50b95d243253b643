//! Serves a router on a real port.

use std::net::SocketAddr;

use axum::Router;
use conformance_tests::adapter::Server;

/// Serves `app` until the server is dropped.
pub(crate) async fn listen(app: Router) -> Server {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("a bound address");
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    Server::new(addr, move || server.abort())
}
