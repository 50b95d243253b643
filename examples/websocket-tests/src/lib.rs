//! What every WebSocket example must do, asked of it by a WebSocket client through a real port. An
//! example's tests bring what serves it, a [`Serve`], and run these functions. Nothing here waits
//! for time to pass: heartbeats follow each other at once, and the tests wait for what they bring
//! about.

use std::sync::Arc;
use std::time::Duration;

use conformance_tests::BoxFuture;
use conformance_tests::adapter::Server;
use conformance_tests::browser::{Browser, Reply, Site};
use conformance_tests::faulty::{Faults, FaultyStore};
use http::Request;
use session_core::{CookieSessionService, CrossOrigin, KeyRing, MemoryStore, SessionConfig, SigningKey};

pub mod scenarios;
mod socket;

pub use socket::{Heard, Socket};

/// Serves an example's routes, with this time from heartbeat to heartbeat, until the server is
/// dropped.
pub type Serve = fn(CookieSessionService, Duration) -> BoxFuture<'static, Server>;

const HEARTBEAT: Duration = Duration::from_millis(5);

/// An example that runs, on a store of its own in memory, which fails when it is told to.
#[derive(Debug)]
pub struct Example {
    /// What fails, and what the store was asked.
    pub faults: Arc<Faults>,
    /// The example's sessions.
    pub sessions: CookieSessionService,
    server: Arc<Server>,
}

impl Example {
    /// Starts it.
    ///
    /// # Panics
    /// If the server doesn't start.
    pub async fn start(serve: Serve) -> Self {
        Self::start_with(async |sessions| serve(sessions, HEARTBEAT).await).await
    }

    /// Starts what `serve` serves.
    ///
    /// # Panics
    /// If the server doesn't start.
    pub async fn start_with(serve: impl AsyncFnOnce(CookieSessionService) -> Server) -> Self {
        let faults = Arc::new(Faults::default());
        let store = FaultyStore::new(Arc::new(MemoryStore::new()), Arc::clone(&faults));
        let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32]).expect("32 bytes"));
        let config = SessionConfig::builder().refuse_cross_origin(CrossOrigin::new());
        let config = config.insecure_development_cookies().build(keys).expect("a configuration");
        let sessions = CookieSessionService::new(store, config);
        let server = Arc::new(serve(sessions.clone()).await);
        Self { faults, sessions, server }
    }

    /// A browser that is signed in, as the same user as all others.
    ///
    /// # Panics
    /// If it can't sign in.
    pub async fn signed_in(&self) -> Browser {
        let mut browser = Browser::at(self);
        post(&mut browser, "/login").await;
        browser
    }

    /// Opens the example's socket, which must work.
    ///
    /// # Panics
    /// If it isn't opened.
    pub async fn socket(&self, browser: &Browser) -> Socket {
        Socket::open(browser, self).await.expect("an open socket")
    }
}

impl Site for Example {
    fn server(&self) -> Arc<Server> {
        Arc::clone(&self.server)
    }

    fn cookie_name(&self) -> String {
        self.sessions.config().cookie_name().to_owned()
    }
}

/// A POST without a body, which must work.
///
/// # Panics
/// If it doesn't.
pub async fn post(browser: &mut Browser, path: &str) -> Reply {
    let reply = browser.send(Request::post(path).body("").expect("a valid path")).await;
    assert_eq!(reply.status, 200, "{path}: {reply:?}");
    reply
}

/// What `future` gives. A test that would wait for ever fails instead; nothing else depends on the
/// time.
///
/// # Panics
/// After a minute.
pub async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it comes to an end")
}
