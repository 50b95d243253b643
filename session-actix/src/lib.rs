//! Server-side, signed-in sessions for [Actix Web](actix_web).
//!
//! 1. Wrap the app, a scope or a resource in [`CookieSessionMiddleware`]: [`CookieSessionService::middleware`].
//! 2. Extract [`CookieSession`] in a handler. A handler that doesn't pays nothing.
//! 3. What a handler sets is stored when it has returned, before the response head leaves.
//!
//! A deployment must serve over HTTPS (browsers keep the `__Host-` cookie only there), keep the signing key secret and
//! the same on all nodes, and read from the primary if its database is replicated. Make the service once, outside of
//! `HttpServer::new`, whose closure runs for each worker.
//!
//! ```
//! use actix_web::{App, body::to_bytes, test::{TestRequest, call_service, init_service}, web::{get, post}};
//! use session_actix::{CookieSession, CookieSessionService, KeyRing, MemoryStore, SessionConfig, SigningKey};
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
//! let service = CookieSessionService::new(MemoryStore::new(), SessionConfig::builder().build(keys)?);
//! let app = App::new().route("/", get().to(theme)).route("/sign-in", post().to(sign_in)).wrap(service.middleware());
//! let app = init_service(app).await;
//!
//! let response = call_service(&app, TestRequest::post().uri("/sign-in").to_request()).await;
//! let cookie = response.headers().get("set-cookie").unwrap().to_str()?.split(';').next().unwrap().to_owned();
//! assert!(cookie.starts_with("__Host-session="));
//!
//! let response = call_service(&app, TestRequest::get().uri("/").insert_header(("cookie", cookie)).to_request()).await;
//! assert_eq!(to_bytes(response.into_body()).await.unwrap(), "dark");
//! # Ok(())
//! # }
//! ```
//!
//! # Streams and WebSockets
//!
//! A handler that outlives its response keeps its [`CookieSession`]. The example `websocket-actix` shows it.
//!
//! - Call [`save`](CookieSession::save) before `actix_ws::handle`, and return its error. Later nothing calls the handler's task
//!   off: where what the handler set can't be stored, its 101 becomes a 503 and the connection closes, but the task runs. It can
//!   hear what the client has sent together with its request, its own messages fail, and then its stream ends.
//! - Let [`reload`](CookieSession::reload) be the heartbeat. On its 401 close the socket: the session has ended, or a
//!   [`rotate_strict`](CookieSession::rotate_strict) elsewhere has killed the token. On a 503 go on, as an outage is no
//!   sign-out. It writes nothing, so it isn't activity: by it alone a session ends at its idle timeout.
//! - What is set after the response is stored by `save`, which records activity too. Once rotations elsewhere have killed the
//!   token that the socket was opened with, `save` is a 401 while `reload` succeeds: from then on values are stored by requests,
//!   or by a new socket.
//!
//! # What is Actix's own
//!
//! - `Option<CookieSession>` and `Result<CookieSession, _>` take an error for themselves, and the handler runs. If the store
//!   can't be read, the response is a 503 all the same.
//! - Without the middleware, extraction answers 500 and logs what to add, through `tracing` or `log`: install a logger. It
//!   doesn't panic, as workers are shared. An error type of your own that wraps [`Error`] answers with its `error_response()`,
//!   or logs it itself.
//! - An error that a middleware further in returns is a response like any other: its status decides what is stored, and it
//!   carries the session's headers. It stays an error of its type for what is further out.
//! - When a client closes its side of an HTTP/1 connection in good order, Actix lets the handler run to its end, and what it
//!   set is stored. On a reset, or with `HttpServer::h1_allow_half_closed(false)`, the handler is dropped, and what it set with
//!   it.

mod extract;
mod head;
mod middleware;

session_core::adapter_types!();

pub use extract::Extraction;
pub use middleware::{CookieSessionMiddleware, ResponseFuture, Wrapped};
pub use session_core;
#[allow(unused_imports, unreachable_pub, reason = "without features there is none")]
pub use session_core::store::databases::*;
pub use session_core::{
    CleanupTask, ConfigError, Event, FingerprintChange, IpNet, KeyError, KeyRing, MemoryStore, SameSite, SessionConfig,
    SessionConfigBuilder, SignIn, SigningKey,
};

impl CookieSessionService {
    /// The middleware that gives the app, scope or resource it wraps this service's sessions.
    pub fn middleware(&self) -> CookieSessionMiddleware {
        CookieSessionMiddleware::new(self.clone())
    }
}
