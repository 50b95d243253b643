//! The socket through a real server and a WebSocket client.

mod support;

use std::time::Duration;

use conformance_tests::BoxFuture;
use conformance_tests::adapter::Server;
use session_axum::session_core::CookieSessionService;
use websocket_tests::scenarios;

fn serve(sessions: CookieSessionService, heartbeat: Duration) -> BoxFuture<'static, Server> {
    Box::pin(async move { support::listen(websocket_axum::app(&sessions, heartbeat)).await })
}

#[tokio::test]
async fn opens_only_for_who_is_signed_in() {
    scenarios::opens_only_for_who_is_signed_in(serve).await;
}

#[tokio::test]
async fn opens_for_no_page_of_another_origin() {
    scenarios::opens_for_no_page_of_another_origin(serve).await;
}

#[tokio::test]
async fn survives_rotations() {
    scenarios::survives_rotations(serve).await;
}

#[tokio::test]
async fn closes_after_a_sign_out() {
    scenarios::closes_after_a_sign_out(serve).await;
}

#[tokio::test]
async fn closes_after_a_strict_rotation_elsewhere() {
    scenarios::closes_after_a_strict_rotation_elsewhere(serve).await;
}

#[tokio::test]
async fn an_outage_is_no_sign_out() {
    scenarios::an_outage_is_no_sign_out(serve).await;
}
