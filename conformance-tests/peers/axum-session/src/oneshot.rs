//! What axum_session adds to one request, in memory.

use axum_session::SessionNullPool;
use tower::Layer;

#[path = "../../common.rs"]
#[allow(dead_code)]
mod common;
#[path = "../../oneshot.rs"]
mod oneshot;
#[path = "../../oneshot_axum.rs"]
mod oneshot_axum;
mod routes;

fn main() {
    oneshot_axum::measure(async || {
        routes::layer::<SessionNullPool>(None).await.layer(routes::routes::<SessionNullPool>())
    });
}
