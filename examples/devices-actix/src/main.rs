//! Sign in on several devices, see them all, and sign any of them out from any other: `cargo run -p
//! devices-actix`.
//!
//! This file starts and stops the server; the routes are in `app`. Set `ADDR`, `DATABASE_URL`,
//! `SESSION_KEY` or `COOKIES=secure` to change what it does.

mod api;
mod app;
mod default_headers;
mod devices;
mod preferences;
mod sign_in;
mod visitor;

use std::error::Error;
use std::process::ExitCode;

use actix_web::middleware::from_fn;
use actix_web::web::Data;
use actix_web::{App, HttpServer};
use devices_pages::{DRAIN, Site, exit};
use session_actix::CookieSessionServiceExt;

#[actix_web::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().init();
    exit("devices-actix", run().await)
}

async fn run() -> Result<(), Box<dyn Error>> {
    let site = Site::open().await?;
    let service = site.sessions.clone();
    let accounts = Data::from(site.accounts.clone());

    // The default headers are outermost, so that what the session's middleware refuses has them too.
    // They are inside it as well, as where it finds no `Cache-Control` it says `private`.
    let server = HttpServer::new(move || {
        let routes = |config: &mut _| app::routes(config, accounts.clone());
        App::new()
            .configure(routes)
            .wrap(from_fn(default_headers::add))
            .wrap(service.middleware())
            .wrap(from_fn(default_headers::add))
    });
    let server = server.shutdown_timeout(DRAIN.as_secs()).bind(site.settings.addr);
    let server = server.map_err(|error| site.cannot_listen(&error))?;
    for addr in server.addrs() {
        site.announce("devices-actix", addr);
    }
    // It stops by itself when the process is told to: Ctrl-C, or SIGTERM as service managers send
    // it.
    server.run().await?;
    site.cleanup.stop().await;
    Ok(())
}
