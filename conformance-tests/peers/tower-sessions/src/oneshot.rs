//! What tower-sessions adds to one request.

use tower::Layer;
use tower_sessions::cookie::SameSite;
use tower_sessions::{MemoryStore, SessionManagerLayer};

#[path = "../../common.rs"]
#[allow(dead_code)]
mod common;
#[path = "../../oneshot.rs"]
mod oneshot;
#[path = "../../oneshot_axum.rs"]
mod oneshot_axum;
#[path = "../../tower_sessions_routes.rs"]
#[allow(dead_code)]
mod routes;

fn main() {
    oneshot_axum::measure(async || {
        let layer = SessionManagerLayer::new(MemoryStore::default()).with_same_site(SameSite::Lax);
        layer.layer(routes::routes())
    });
}
