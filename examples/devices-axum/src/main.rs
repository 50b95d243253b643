//! Sign in on several devices, see them all, and sign any of them out from any other: `cargo run -p
//! devices-axum`.
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
use std::net::SocketAddr;
use std::process::ExitCode;

use devices_pages::{DRAIN, Site, exit};
use session_axum::CookieSessionServiceExt;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().init();
    exit("devices-axum", run().await)
}

async fn run() -> Result<(), Box<dyn Error>> {
    let site = Site::open().await?;
    let service = site.sessions.clone();
    let app = app::router(site.accounts.clone(), service.layer());

    let listener = TcpListener::bind(site.settings.addr).await.map_err(|error| site.cannot_listen(&error))?;
    site.announce("devices-axum", listener.local_addr()?);
    // The session records the address of the client, which Axum provides as `ConnectInfo` when
    // served like this.
    let server = axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(stop_signal());
    tokio::select! {
        result = server => result?,
        () = async { stop_signal().await; tokio::time::sleep(DRAIN).await } => {}
    }
    site.cleanup.stop().await;
    Ok(())
}

/// Ends when the process is told to stop: Ctrl-C, or SIGTERM as service managers send it.
async fn stop_signal() {
    let interrupt = async { tokio::signal::ctrl_c().await.expect("the Ctrl-C handler can be installed at start") };
    #[cfg(unix)]
    let terminate = async {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::terminate()).expect("the SIGTERM handler can be installed at start").recv().await;
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}
