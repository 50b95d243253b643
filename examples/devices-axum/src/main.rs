//! Sign in on several devices, see them all, and sign any of them out from any other: `cargo run -p devices-axum`.
//!
//! This file starts and stops the server; the routes are in `app`. Set `ADDR`, `DATABASE_URL`, `SESSION_KEY` or
//! `COOKIES=secure` to change what it does.

mod api;
mod app;
mod devices;
mod guard;
mod preferences;
mod sign_in;
#[cfg(test)]
mod tests;
mod visitor;

use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use devices_pages::{Accounts, CookieMode, Settings};
use session_axum::{CookieSessionService, KeyRing, SessionConfig, SqliteStore};
use tokio::net::TcpListener;

/// How often to delete the rows of long-expired sessions.
const CLEANUP_EVERY: Duration = Duration::from_secs(60 * 60);
/// How long requests may take to end once the server is told to stop.
const DRAIN: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("devices-axum: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprintln!("  because {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let settings = Settings::from_env()?;
    let store = SqliteStore::open(&settings.database_url).await?;
    let signing = settings.signing_key()?;
    println!("{}", signing.source);

    let mut config = SessionConfig::builder();
    if settings.cookies == CookieMode::InsecureDevelopment {
        config = config.insecure_development_cookies();
    }
    let service = CookieSessionService::new(store, config.build(KeyRing::new(signing.key))?);
    let cleanup = service.spawn_cleanup(CLEANUP_EVERY);
    let accounts = tokio::task::spawn_blocking(Accounts::demo).await??;
    let app = app::router(Arc::new(accounts), service.layer());

    let listener = TcpListener::bind(settings.addr)
        .await
        .map_err(|error| format!("cannot listen on {} ({error}): set ADDR to a free one", settings.addr))?;
    println!("devices-axum is at http://{}", listener.local_addr()?);
    if !settings.addr.ip().to_canonical().is_loopback() {
        println!("its cookies need https://, so put a proxy that ends TLS in front of it");
    }

    // The session records the address of the client, which Axum provides as `ConnectInfo` when served like this.
    let server = axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(stop_signal());
    tokio::select! {
        result = server => result?,
        () = async { stop_signal().await; tokio::time::sleep(DRAIN).await } => {}
    }
    cleanup.stop().await;
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
