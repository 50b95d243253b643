//! Server-side sessions, of signed-in users and of visitors, for [Actix Web](actix_web).
//!
//! 1. Wrap the app, a scope or a resource in [`CookieSessionMiddleware`]:
//!    [`middleware`](CookieSessionServiceExt::middleware).
//! 2. Extract [`CookieSession`] in a handler. For a handler that doesn't, no store call is made.
//! 3. What a handler sets is stored when it has returned, before the response head leaves.
//!
//! A deployment must serve over HTTPS (browsers keep the `__Host-` cookie only there), keep the
//! signing key secret and the same on all nodes, and read from the primary if its database is
//! replicated. Make the service once, outside of `HttpServer::new`, whose closure runs for each
//! worker.
//!
//! ```
//! use actix_web::test::{TestRequest, call_service, init_service};
//! use actix_web::{App, body::to_bytes, web::{get, post}};
//! use session_actix::{CookieSession, CookieSessionService, CookieSessionServiceExt};
//! use session_actix::{KeyRing, MemoryStore, SessionConfig, SigningKey};
//!
//! async fn sign_in(session: CookieSession) -> session_actix::Result<&'static str> {
//!     session.authenticate("ada").await?;
//!     session.set("theme", "dark")?;
//!     Ok("welcome")
//! }
//!
//! async fn theme(session: CookieSession) -> session_actix::Result<String> {
//!     Ok(session.get("theme")?.unwrap_or_default())
//! }
//!
//! # #[actix_web::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32])?);
//! let config = SessionConfig::builder().build(keys)?;
//! let service = CookieSessionService::new(MemoryStore::new(), config);
//! let app = App::new().route("/", get().to(theme)).route("/sign-in", post().to(sign_in));
//! let app = init_service(app.wrap(service.middleware())).await;
//!
//! let response = call_service(&app, TestRequest::post().uri("/sign-in").to_request()).await;
//! let cookie = response.headers().get("set-cookie").unwrap().to_str()?;
//! let cookie = cookie.split(';').next().unwrap().to_owned();
//! assert!(cookie.starts_with("__Host-session="));
//!
//! let request = TestRequest::get().uri("/").insert_header(("cookie", cookie)).to_request();
//! let response = call_service(&app, request).await;
//! assert_eq!(to_bytes(response.into_body()).await.unwrap(), "dark");
//! # Ok(())
//! # }
//! ```
//!
//! # Streams and WebSockets
//!
//! A handler that outlives its response keeps its [`CookieSession`]. The example `websocket-actix`
//! shows it.
//!
//! - Call [`save`](CookieSession::save) before `actix_ws::handle`, and return its error. After that
//!   nothing cancels the handler's task: if what the handler set can't be stored, its 101 becomes a
//!   503 and the connection closes, but the task runs. It can receive what the client has sent
//!   together with its request, its own messages fail, and then its stream ends.
//! - Use [`reload`](CookieSession::reload) as the heartbeat. On its 401 close the socket: the
//!   session has ended, or a [`rotate_strict`](CookieSession::rotate_strict) elsewhere has killed
//!   the token. On a 503 go on, as an outage is no sign-out. A `reload` writes nothing, so it isn't
//!   activity: a session that only reloads ends at its idle timeout.
//! - What is set after the response must be stored with `save`, which records activity too. Once
//!   rotations elsewhere have killed the token that the socket was opened with, `reload` still
//!   succeeds but `save` is a 401: from then on only requests, or a new socket, can store values.
//!
//! # What is particular to Actix
//!
//! - `Option<CookieSession>` and `Result<CookieSession, _>` absorb an error, and the handler runs.
//!   If the store can't be read, the response is a 503 all the same.
//! - Without the middleware, extraction answers 500 and logs what to add, through `tracing` or
//!   `log`: install a logger. It doesn't panic, as workers are shared. If your own error type wraps
//!   [`Error`], let it answer with [`Error`]'s `error_response()`, which logs, or log the error
//!   yourself.
//! - An error that a middleware further in returns is a response like any other: its status decides
//!   what is stored, and it has the session's headers. Middleware further out still sees an error
//!   of the same type.
//! - When a client closes its side of an HTTP/1 connection in good order, Actix lets the handler
//!   run to its end, and what it set is stored. On a reset, or with
//!   `HttpServer::h1_allow_half_closed(false)`, the handler is dropped, and what it set is lost.

mod extract;
mod guard;
mod head;
mod middleware;
mod require_sign_in;
mod slot;
#[cfg(feature = "testing")]
pub mod testing;
mod user;

session_core::adapter_types!();

pub use extract::Extraction;
pub use guard::{GuardMiddleware, Guarded, guard};
pub use middleware::{CookieSessionMiddleware, ResponseFuture, Wrapped};
pub use require_sign_in::RequireSignIn;
pub use session_core;
pub use session_core::adapter::FromSession;
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

/// Makes middleware of a service.
pub trait CookieSessionServiceExt {
    /// The middleware that gives the app, scope or resource it wraps this service's sessions.
    fn middleware(&self) -> CookieSessionMiddleware;
}

impl CookieSessionServiceExt for CookieSessionService {
    fn middleware(&self) -> CookieSessionMiddleware {
        CookieSessionMiddleware::new(self.clone())
    }
}

/// What the exported macro names; no part of the API.
#[doc(hidden)]
pub mod __private {
    pub use actix_web::dev::Payload;
    pub use actix_web::{FromRequest, HttpRequest};
}
