//! Server-side sessions, of signed-in users and of visitors, for [Axum](axum) and any tower HTTP
//! service.
//!
//! 1. Put [`CookieSessionLayer`] around the routes: [`layer`](CookieSessionServiceExt::layer).
//! 2. Extract [`CookieSession`] in a handler. For a handler that doesn't, no store call is made.
//! 3. What a handler sets is stored when it has returned, before the response head leaves.
//!
//! A deployment must serve over HTTPS (browsers keep the `__Host-` cookie only there), keep the
//! signing key secret and the same on all nodes, and read from the primary if its database is
//! replicated.
//!
//! ```
//! use axum::{Router, body::Body, http::Request, routing::{get, post}};
//! use session_axum::{CookieSession, CookieSessionService, CookieSessionServiceExt};
//! use session_axum::{KeyRing, MemoryStore, SessionConfig, SigningKey};
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
//! let config = SessionConfig::builder().build(keys)?;
//! let service = CookieSessionService::new(MemoryStore::new(), config);
//! let routes = Router::new().route("/", get(theme)).route("/sign-in", post(sign_in));
//! let app = routes.layer(service.layer());
//!
//! let response = app.clone().oneshot(Request::post("/sign-in").body(Body::empty())?).await?;
//! let cookie = response.headers()["set-cookie"].to_str()?;
//! let cookie = cookie.split(';').next().unwrap().to_owned();
//! assert!(cookie.starts_with("__Host-session="));
//!
//! let request = Request::get("/").header("cookie", cookie).body(Body::empty())?;
//! let response = app.oneshot(request).await?;
//! assert_eq!(axum::body::to_bytes(response.into_body(), 100).await?, "dark");
//! # Ok(())
//! # }
//! ```
//!
//! # Streams and WebSockets
//!
//! A handler that outlives its response keeps its [`CookieSession`]. The example `websocket-axum`
//! shows it.
//!
//! - Call [`save`](CookieSession::save) before `on_upgrade`, and return its error. After that
//!   nothing cancels the upgrade: if what the handler set can't be stored, its 101 becomes a 503,
//!   but hyper keeps the upgrade, and the closure runs when the connection ends. For a client that
//!   asked with `Connection: Upgrade, close` it runs at once, and over an open connection.
//! - Use [`reload`](CookieSession::reload) as the heartbeat. On its 401 close the socket: the
//!   session has ended, or a [`rotate_strict`](CookieSession::rotate_strict) elsewhere has killed
//!   the token. On a 503 go on, as an outage is no sign-out. A `reload` writes nothing, so it isn't
//!   activity: a session that only reloads ends at its idle timeout.
//! - What is set after the response must be stored with `save`, which records activity too. Once
//!   rotations elsewhere have killed the token that the socket was opened with, `reload` still
//!   succeeds but `save` is a 401: from then on only requests, or a new socket, can store values.

mod body;
mod extract;
mod guard;
mod layer;
mod require_sign_in;
mod user;

session_core::adapter_types!();

pub use axum::extract::ConnectInfo;
pub use body::{AxumBodies, Bodies, BodyOrEmpty, OwnBodies};
pub use guard::{GuardLayer, Guarded, guard};
pub use layer::{CookieSessionLayer, CookieSessionMiddleware, ResponseFuture};
pub use require_sign_in::RequireSignIn;
pub use session_core;
pub use session_core::adapter::FromSession;
#[cfg(feature = "testing")]
pub use session_core::testing;
pub use session_core::{
    Answer, CleanupTask, ConfigError, CookieSessionService, CrossOrigin, DataError, Device, Error as ErrorKind, Event,
    FingerprintChange, FlashLevel, FlashMessage, Incoming, IpNet, KeyError, KeyRing, MemoryStore, Next, Preset,
    SameSite, SessionConfig, SessionConfigBuilder, SignIn, SigningKey, StoreError, TokenReuse, UserIdError, Visitors,
};
// By name, and not by a glob, so that the compiler says which feature a missing one needs.
#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite", feature = "sqlite-unbundled"))]
pub use session_core::DriverError;
#[cfg(feature = "encryption")]
pub use session_core::Encrypted;
#[cfg(any(feature = "sqlite", feature = "sqlite-unbundled"))]
pub use session_core::{LocationFault, SqliteOpenError, SqliteOptions, SqliteStore};
#[cfg(feature = "mysql")]
pub use session_core::{MySqlOptions, MySqlStore};
#[cfg(feature = "postgres")]
pub use session_core::{PostgresOptions, PostgresStore};
#[cfg(feature = "redis")]
pub use session_core::{RedisDriverError, RedisOpenError, RedisOptions, RedisStore, RedisUrlFault};
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub use session_core::{ServerOpenError, ServerOptions, ServerStore, UrlFault};
pub use user::{CurrentUser, LoadUser};

/// Makes layers of a service.
pub trait CookieSessionServiceExt {
    /// The layer that gives the routes it is put around this service's sessions.
    fn layer(&self) -> CookieSessionLayer;
}

impl CookieSessionServiceExt for CookieSessionService {
    fn layer(&self) -> CookieSessionLayer {
        CookieSessionLayer::new(self.clone())
    }
}

/// What the exported macro names; no part of the API.
#[doc(hidden)]
pub mod __private {
    pub use axum::extract::{FromRequestParts, OptionalFromRequestParts};
    pub use http::request::Parts;

    pub use crate::extract::required;
}
