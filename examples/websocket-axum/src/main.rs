//! Starts the server; the rest is in `lib.rs`, and so is what to try.

use std::net::SocketAddr;
use std::time::Duration;

use rand::TryRng;
use rand::rngs::SysRng;
use session_axum::{CookieSessionService, KeyRing, MemoryStore, SessionConfig, SigningKey};
use tokio::net::TcpListener;

/// How long a socket may outlive a sign-out.
const HEARTBEAT: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A new key at each start is for a store that forgets everything with the process, such as this.
    let mut key = [0; 32];
    SysRng.try_fill_bytes(&mut key)?;
    let keys = KeyRing::new(SigningKey::from_bytes(&key)?);
    let config = SessionConfig::builder().insecure_development_cookies().build(keys)?;
    let sessions = CookieSessionService::new(MemoryStore::new(), config);
    let _cleanup = sessions.spawn_cleanup(Duration::from_secs(3600));
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("websocket-axum on http://{}", listener.local_addr()?);
    let app = websocket_axum::app(&sessions, HEARTBEAT).into_make_service_with_connect_info::<SocketAddr>();
    Ok(axum::serve(listener, app).await?)
}
