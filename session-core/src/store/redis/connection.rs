//! Connections to the server: one for each async runtime that uses the store, shared by all of that
//! runtime's requests, which don't wait for each other on it. Not here: what is sent, and when it
//! is sent again, see `retry`.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, PushInfo, PushKind, RedisError, RedisResult, Value};
use tokio::runtime::{Handle, Id};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// How many requests a connection takes in before others wait for it to send them.
const BUFFERED_REQUESTS: usize = 1024;

/// How long a connection may take to open at first; twice as long each time one has failed. If the
/// server falls silent, there is time for another connection; if it is only slow, the connection
/// opens in the end.
const OPEN_TIMEOUT: Duration = Duration::from_secs(2);

/// Opens and keeps the connections.
#[derive(Debug)]
pub(super) struct Connections {
    client: Client,
    /// How long one may take to open at most.
    acquire_timeout: Duration,
    by_runtime: Mutex<HashMap<Id, watch::Receiver<Opening>>>,
}

/// What a connection's task says of it. Once the task's runtime has ended, the sender is gone.
#[derive(Debug, Clone)]
enum Opening {
    Pending,
    Open(Connection),
    Failed(RedisError),
}

/// A connection. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    link: MultiplexedConnection,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    opened: Instant,
    /// When the server last answered on it: milliseconds after it was opened.
    heard: AtomicU64,
    is_closed: AtomicBool,
}

/// Why there is no connection.
pub(super) enum NoConnection {
    /// It failed to open.
    Failed(RedisError),
    /// It wasn't open in time.
    TooLate,
}

impl Connections {
    pub(super) fn new(client: Client, acquire_timeout: Duration) -> Self {
        Self { client, acquire_timeout, by_runtime: Mutex::default() }
    }

    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    /// This runtime's connection, which is opened unless there is one. `failures` is how often
    /// that has failed for the same request.
    pub(super) async fn get(&self, failures: u32, deadline: Instant) -> Result<Connection, NoConnection> {
        let limit = self.acquire_timeout.min(OPEN_TIMEOUT * (1 << failures.min(5)));
        let deadline = deadline.min(Instant::now() + limit);
        let mut opening = self.opening();
        let opened = timeout_at(deadline, opening.wait_for(|state| !matches!(state, Opening::Pending))).await;
        match opened.map(|opened| opened.map(|state| state.clone())) {
            Ok(Ok(Opening::Open(connection))) => Ok(connection),
            Ok(Ok(Opening::Failed(error))) => Err(NoConnection::Failed(error)),
            Ok(Err(_)) => {
                let ended = io::Error::new(io::ErrorKind::NotConnected, "the connection's runtime has ended");
                Err(NoConnection::Failed(ended.into()))
            }
            Err(_) | Ok(Ok(Opening::Pending)) => {
                self.forget(&opening);
                Err(NoConnection::TooLate)
            }
        }
    }

    /// Gives up an opening that reaches nothing, so that the next request begins another one.
    fn forget(&self, opening: &watch::Receiver<Opening>) {
        self.lock().retain(|_, kept| !kept.same_channel(opening));
    }

    /// The connection of this runtime, or its opening. One opening serves all who wait; if it
    /// fails, the next request begins another one.
    fn opening(&self) -> watch::Receiver<Opening> {
        let id = Handle::current().id();
        let mut by_runtime = self.lock();
        if let Some(opening) = by_runtime.get(&id).filter(|opening| is_usable(opening)) {
            return opening.clone();
        }
        by_runtime.retain(|_, opening| is_usable(opening));
        let opening = self.open();
        by_runtime.insert(id, opening.clone());
        opening
    }

    fn open(&self) -> watch::Receiver<Opening> {
        let (state_of, opening) = watch::channel(Opening::Pending);
        let client = self.client.clone();
        let state =
            Arc::new(State { opened: Instant::now(), heard: AtomicU64::new(0), is_closed: AtomicBool::new(false) });
        let noted = Arc::clone(&state);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.acquire_timeout))
            // Each request has its own.
            .set_response_timeout(None)
            .set_pipeline_buffer_size(BUFFERED_REQUESTS)
            .set_push_sender(move |push: PushInfo| {
                if push.kind == PushKind::Disconnection {
                    noted.is_closed.store(true, Ordering::Relaxed);
                }
                Ok::<_, std::convert::Infallible>(())
            });
        tokio::spawn(async move {
            let opened = match client.get_multiplexed_async_connection_with_config(&config).await {
                Ok(link) => Opening::Open(Connection { link, state }),
                Err(error) => Opening::Failed(error),
            };
            state_of.send_replace(opened);
            // As long as the connection is kept, this shows whether its runtime lives.
            state_of.closed().await;
        });
        opening
    }

    /// Lets later requests open another one, because this one has failed or is silent.
    pub(super) fn discard(&self, connection: &Connection) {
        connection.state.is_closed.store(true, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Id, watch::Receiver<Opening>>> {
        // Nothing panics between two consistent states.
        self.by_runtime.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether it is worth waiting for, or open as far as is known.
fn is_usable(opening: &watch::Receiver<Opening>) -> bool {
    opening.has_changed().is_ok()
        && match &*opening.borrow() {
            Opening::Pending => true,
            Opening::Open(connection) => !connection.state.is_closed.load(Ordering::Relaxed),
            Opening::Failed(_) => false,
        }
}

impl Connection {
    pub(super) async fn ask(&self, command: &Cmd) -> RedisResult<Value> {
        let answer = command.query_async(&mut self.link.clone()).await;
        if answer.as_ref().map_err(RedisError::is_io_error).err() != Some(true) {
            let after = Instant::now() - self.state.opened;
            self.state.heard.fetch_max(u64::try_from(after.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
        answer
    }

    /// When the server last answered on it.
    pub(super) fn heard(&self) -> Instant {
        self.state.opened + Duration::from_millis(self.state.heard.load(Ordering::Relaxed))
    }
}
