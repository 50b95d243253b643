//! What a framework provides to be tested: an adapter that serves the shared routes on a real port.

use std::fmt;
use std::net::SocketAddr;

use crate::app::App;

/// A web framework's adapter under test.
///
/// `serve` binds a loopback port and mounts, for any method:
///
/// | Route | |
/// |---|---|
/// | `/do` | extracts `CookieSession` and runs the body with [`App::run`] |
/// | `/plain` | extracts nothing, answers `plain` |
/// | `/optional` | extracts `Option<CookieSession>`, answers [`App::optional`] |
/// | `/result` | extracts `Result<CookieSession, Error>`, answers 200 `handled` |
/// | `/session` | extracts `Session`, answers [`App::json`] |
/// | `/optional-session` | extracts `Option<Session>`, answers [`App::json`] |
/// | `/twice` | as `/do`, inside a middleware that extracts the session and calls [`App::mark`] |
/// | `/nested` | as `/twice`, with a second layer of the same service inside the middleware |
/// | `/two-services` | as `/twice`, with the layer of [`App::second`] inside the middleware |
/// | `/guarded` | as `/do`, inside a guard that asks [`App::check`] |
/// | `/flash` | extracts `Flash`, answers [`App::flash`] |
/// | `/members` | as `/do`, inside a guard that asks [`App::members`] |
/// | `/admins`, `/sign-in` | as `/do`, inside a guard that asks [`App::admins`] |
/// | `/area/admins` | the same, in a router or scope that is mounted at `/area` |
/// | `/within/do` | as `/do`, in a router or scope that is mounted at `/within`, inside its layer |
/// | `/user` | extracts the app's user twice, by [`App::load_user`], answers [`App::users`] |
/// | `/optional-user` | extracts an `Option` of it, answers [`App::users`] |
/// | `/csrf` | extracts `CsrfToken`, answers [`App::csrf`] of the body |
/// | `/stream` | answers the head of [`App::run_head`], and streams [`App::run_rest`] as the body |
/// | `/unlayered/do`, `/unlayered/optional` | as above, with no session layer at all |
///
/// All but the last row are inside the layer of [`App::service`].
pub trait Adapter: Send + Sync + 'static {
    /// Its name, which is part of its trials' names: ASCII without blanks and slashes, so that it
    /// can be typed as a filter.
    fn name(&self) -> &'static str;

    /// Whether the server drops a handler whose client hangs up, as most servers do. If it doesn't,
    /// the handler runs on and what it sets is stored. A wrong answer leaves the scenarios about
    /// dropped handlers stuck.
    fn drops_on_hang_up(&self) -> bool {
        true
    }

    /// Serves the routes until the server is dropped.
    fn serve(&self, app: App) -> impl Future<Output = Server> + Send;
}

/// A server that runs until it is dropped.
pub struct Server {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Whether the suite speaks HTTP/2 with it: see [`over_http2`](Self::over_http2).
    pub(crate) is_http2: bool,
    stop: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl Server {
    /// A server at `addr` that `stop` stops.
    pub fn new(addr: SocketAddr, stop: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self { addr, is_http2: false, stop: Some(Box::new(stop)) }
    }

    /// The same, but the suite speaks HTTP/2 with it from the first byte on, over TCP, which is
    /// called prior knowledge (RFC 9113 3.3).
    #[must_use]
    pub const fn over_http2(mut self) -> Self {
        self.is_http2 = true;
        self
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop();
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("addr", &self.addr).finish_non_exhaustive()
    }
}
