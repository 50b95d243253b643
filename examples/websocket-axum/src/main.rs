//! Starts the server; the rest is in `lib.rs`, and so is what to try.

use std::net::SocketAddr;
use std::time::Duration;

use session_axum::{CookieSessionService, CrossOrigin, KeyRing, MemoryStore, SessionConfig, SigningKey};
use tokio::net::TcpListener;

/// How long a socket may outlive a sign-out.
const HEARTBEAT: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A random key at each start unless it is set: this store ends with the process too.
    let keys = KeyRing::new(SigningKey::from_env("SESSION_KEY")?);
    let config = SessionConfig::builder().refuse_cross_origin(CrossOrigin::new());
    let config = config.insecure_development_cookies().build(keys)?;
    let sessions = CookieSessionService::new(MemoryStore::new(), config);
    let _cleanup = sessions.spawn_cleanup(Duration::from_secs(3600));
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("websocket-axum on http://{}", listener.local_addr()?);
    let app = websocket_axum::app(&sessions, HEARTBEAT).into_make_service_with_connect_info::<SocketAddr>();
    Ok(axum::serve(listener, app).await?)
}
