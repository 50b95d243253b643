//! Actix without sessions: what the others are compared with.

use actix_web::web::{ServiceConfig, get};
use actix_web::{App, HttpServer};

#[path = "../../common.rs"]
#[allow(dead_code)]
mod common;

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let server = HttpServer::new(|| App::new().configure(routes)).bind("127.0.0.1:0")?;
    common::listening(server.addrs()[0]);
    server.run().await
}

fn routes(config: &mut ServiceConfig) {
    for path in ["/plain", "/read", "/login"] {
        config.route(path, get().to(async || "plain"));
    }
    config.route(
        "/write",
        get().to(async || {
            std::hint::black_box(common::next_theme());
            "plain"
        }),
    );
}
