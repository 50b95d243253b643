//! What a mount brings: an adapter that serves the shared routes on a real port.

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
/// | `/session`, `/optional-session` | extract `Session` or `Option<Session>`, answer [`App::json`] |
/// | `/twice` | as `/do`, inside a middleware that extracts the session and calls [`App::mark`] |
/// | `/nested` | as `/twice`, with one more layer of the same service between the middleware and the handler |
/// | `/two-services` | as `/twice`, with the layer of [`App::second`] between the middleware and the handler |
/// | `/stream` | runs [`App::run_head`], answers its head, and streams [`App::run_rest`] as the body |
/// | `/unlayered/do`, `/unlayered/optional` | as above, with no session layer at all |
///
/// All but the last row are inside the layer of [`App::service`].
pub trait Adapter: Send + Sync + 'static {
    /// Its name in those of its trials: ASCII without blanks and slashes, so that it can be typed as a filter.
    fn name(&self) -> &'static str;

    /// Whether the server drops a handler whose client hangs up, as most do. Where it doesn't, the handler runs on, and what
    /// it sets is stored. If a scenario about a dropped handler is stuck, this is wrong.
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
    stop: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl Server {
    /// A server at `addr` that `stop` stops.
    pub fn new(addr: SocketAddr, stop: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self { addr, stop: Some(Box::new(stop)) }
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
