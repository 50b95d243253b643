//! Connections to the servers. Each async runtime that uses the store has one to each server,
//! shared by all of that runtime's requests, which don't wait for each other on it. Requests that
//! wait for replicas have some of their own, as the server answers nothing else on a connection
//! meanwhile. Not here: what is sent, and when it is sent again, see `retry`.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, Pipeline, PushInfo, PushKind, RedisError,
    RedisResult, Value,
};
use tokio::runtime::{Handle, Id};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// How many requests a connection takes in before others wait for it to send them.
const BUFFERED_REQUESTS: usize = 1024;

/// How long a connection may take to open at first; twice as long each time one has failed. If the
/// server falls silent, there is time for another connection; if it is only slow, the connection
/// opens in the end.
const OPEN_TIMEOUT: Duration = Duration::from_secs(2);

/// A server, as `host:port` or the path of a socket.
pub(super) type Node = Arc<str>;

/// How many connections to one server the requests of a runtime have that wait for replicas.
pub(super) const WAITING_LANES: u8 = 8;

/// The lane of a connection to a Sentinel, which has an address, a user and a password of its own.
pub(super) const SENTINEL_LANE: u8 = u8::MAX;

/// Opens and keeps the connections.
#[derive(Debug)]
pub(super) struct Connections {
    /// How to connect to each server, but for its address.
    info: ConnectionInfo,
    sentinels: Vec<ConnectionInfo>,
    /// How long one may take to open at most.
    acquire_timeout: Duration,
    open: Mutex<HashMap<Place, watch::Receiver<Opening>>>,
}

/// Whose connection it is, to which server, and which of several.
type Place = (Id, Node, u8);

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
#[derive(Debug)]
pub(super) enum NoConnection {
    /// It failed to open.
    Failed(RedisError),
    /// It wasn't open in time.
    TooLate,
}

impl From<RedisError> for NoConnection {
    fn from(error: RedisError) -> Self {
        Self::Failed(error)
    }
}

impl Connections {
    pub(super) fn new(info: ConnectionInfo, sentinels: Vec<ConnectionInfo>, acquire_timeout: Duration) -> Self {
        Self { info, sentinels, acquire_timeout, open: Mutex::default() }
    }

    pub(super) const fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    /// This runtime's connection to the server, which is opened unless there is one. Lane 0 is
    /// everyone's. `failures` is how often that has failed for the same request.
    pub(super) async fn get(
        &self,
        node: &Node,
        lane: u8,
        failures: u32,
        deadline: Instant,
    ) -> Result<Connection, NoConnection> {
        let limit = self.acquire_timeout.min(OPEN_TIMEOUT * (1 << failures.min(5)));
        let deadline = deadline.min(Instant::now() + limit);
        let mut opening = self.opening(node, lane);
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

    /// Whether this runtime has a connection to the server, as far as is known.
    pub(super) fn has_open(&self, node: &Node) -> bool {
        let place = (Handle::current().id(), Arc::clone(node), 0);
        self.lock().get(&place).is_some_and(is_usable)
    }

    /// Gives up an opening that reaches nothing, so that the next request begins another one.
    fn forget(&self, opening: &watch::Receiver<Opening>) {
        self.lock().retain(|_, kept| !kept.same_channel(opening));
    }

    /// The connection of this runtime, or its opening. One opening serves all who wait; if it
    /// fails, the next request begins another one.
    fn opening(&self, node: &Node, lane: u8) -> watch::Receiver<Opening> {
        let place = (Handle::current().id(), Arc::clone(node), lane);
        let mut open = self.lock();
        if let Some(opening) = open.get(&place).filter(|opening| is_usable(opening)) {
            return opening.clone();
        }
        open.retain(|_, opening| is_usable(opening));
        let opening = self.open(node, lane);
        open.insert(place, opening.clone());
        opening
    }

    /// How to connect to this server.
    fn info_of(&self, node: &Node, lane: u8) -> ConnectionInfo {
        if lane == SENTINEL_LANE
            && let Some(info) = self.sentinels.iter().find(|info| *info.addr().to_string() == **node)
        {
            return info.clone();
        }
        let place = node.rsplit_once(':').and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
        let addr = match (self.info.addr(), place) {
            (ConnectionAddr::Tcp(..), Some((host, port))) => ConnectionAddr::Tcp(host, port),
            (ConnectionAddr::TcpTls { insecure, tls_params, .. }, Some((host, port))) => {
                ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
            }
            (own, _) => own.clone(),
        };
        self.info.clone().set_addr(addr)
    }

    fn open(&self, node: &Node, lane: u8) -> watch::Receiver<Opening> {
        let (state_of, opening) = watch::channel(Opening::Pending);
        let client = Client::open(self.info_of(node, lane));
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
            let opened = async { client?.get_multiplexed_async_connection_with_config(&config).await };
            let opened = match opened.await {
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

    fn lock(&self) -> MutexGuard<'_, HashMap<Place, watch::Receiver<Opening>>> {
        // Nothing panics between two consistent states.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
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
        if !answer.as_ref().is_err_and(RedisError::is_io_error) {
            self.note_answer();
        }
        answer
    }

    /// Asks several things, one directly after the other.
    pub(super) async fn ask_all(&self, commands: &Pipeline) -> RedisResult<Vec<RedisResult<Value>>> {
        let answers = commands.query_async(&mut self.link.clone()).await;
        if answers.is_ok() {
            self.note_answer();
        }
        answers
    }

    fn note_answer(&self) {
        let after = Instant::now() - self.state.opened;
        self.state.heard.fetch_max(u64::try_from(after.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// When the server last answered on it.
    pub(super) fn heard(&self) -> Instant {
        self.state.opened + Duration::from_millis(self.state.heard.load(Ordering::Relaxed))
    }
}
