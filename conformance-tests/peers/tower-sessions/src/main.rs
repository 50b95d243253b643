//! Axum with tower-sessions and its memory store.

use tower_sessions::cookie::SameSite;
use tower_sessions::{MemoryStore, SessionManagerLayer};

#[path = "../../common.rs"]
#[allow(dead_code)]
mod common;
#[path = "../../tower_sessions_routes.rs"]
mod routes;

#[tokio::main]
async fn main() {
    let layer = SessionManagerLayer::new(MemoryStore::default()).with_same_site(SameSite::Lax);
    routes::serve(routes::routes().layer(layer)).await;
}
