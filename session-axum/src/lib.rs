//! Server-side, signed-in sessions for [Axum](axum) and any tower HTTP service.
//!
//! 1. Put [`CookieSessionLayer`] around the routes: [`CookieSessionService::layer`].
//! 2. Extract [`CookieSession`] in a handler. A handler that doesn't pays nothing.
//! 3. What a handler sets is stored when it has returned, before the response head leaves.
//!
//! A deployment must serve over HTTPS (browsers keep the `__Host-` cookie only there), keep the signing key secret and
//! the same on all nodes, and read from the primary if its database is replicated.
//!
//! ```
//! use axum::{Router, body::Body, http::Request, routing::{get, post}};
//! use session_axum::{CookieSession, CookieSessionService, KeyRing, MemoryStore, SessionConfig, SigningKey};
//! use tower::ServiceExt;
//!
//! async fn sign_in(session: CookieSession) -> session_axum::Result<&'static str> {
//!     session.authenticate("ada").await?;
//!     session.set("theme", "dark")?;
//!     Ok("welcome")
//! }
//!
//! async fn theme(session: CookieSession) -> session_axum::Result<String> {
//!     Ok(session.get("theme")?.unwrap_or_default())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32])?);
//! let service = CookieSessionService::new(MemoryStore::new(), SessionConfig::builder().build(keys)?);
//! let app = Router::new().route("/", get(theme)).route("/sign-in", post(sign_in)).layer(service.layer());
//!
//! let response = app.clone().oneshot(Request::post("/sign-in").body(Body::empty())?).await?;
//! let cookie = response.headers()["set-cookie"].to_str()?.split(';').next().unwrap().to_owned();
//! assert!(cookie.starts_with("__Host-session="));
//!
//! let response = app.oneshot(Request::get("/").header("cookie", cookie).body(Body::empty())?).await?;
//! assert_eq!(axum::body::to_bytes(response.into_body(), 100).await?, "dark");
//! # Ok(())
//! # }
//! ```
//!
//! # Streams and WebSockets
//!
//! A handler that outlives its response keeps its [`CookieSession`]. The example `websocket-axum` shows it.
//!
//! - Call [`save`](CookieSession::save) before `on_upgrade`, and return its error. Later nothing calls the upgrade off: where
//!   what the handler set can't be stored, its 101 becomes a 503, but hyper keeps the upgrade, and the closure runs when the
//!   connection ends. For a client that asked with `Connection: Upgrade, close` that is at once, and over an open connection.
//! - Let [`reload`](CookieSession::reload) be the heartbeat. On its 401 close the socket: the session has ended, or a
//!   [`rotate_strict`](CookieSession::rotate_strict) elsewhere has killed the token. On a 503 go on, as an outage is no
//!   sign-out. It writes nothing, so it isn't activity: by it alone a session ends at its idle timeout.
//! - What is set after the response is stored by `save`, which records activity too. Once rotations elsewhere have killed the
//!   token that the socket was opened with, `save` is a 401 while `reload` succeeds: from then on values are stored by requests,
//!   or by a new socket.

mod extract;
mod layer;

session_core::adapter_types!();

pub use axum::extract::ConnectInfo;
pub use layer::{CookieSessionLayer, CookieSessionMiddleware, ResponseFuture};
pub use session_core;
#[allow(unused_imports, unreachable_pub, reason = "without features there is none")]
pub use session_core::store::databases::*;
pub use session_core::{
    CleanupTask, ConfigError, Event, FingerprintChange, IpNet, KeyError, KeyRing, MemoryStore, SameSite, SessionConfig,
    SessionConfigBuilder, SignIn, SigningKey,
};

impl CookieSessionService {
    /// The layer that gives the routes it is put around this service's sessions.
    pub fn layer(&self) -> CookieSessionLayer {
        CookieSessionLayer::new(self.clone())
    }
}
