//! How to connect to a Redis server. Not here: what is looked at when the store opens, see
//! `set_up`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use redis::io::tcp::{TcpSettings, socket2};
use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion};
use url::Url;

use super::connection::{Connections, Node};
use super::keys::Keys;
use super::nodes::{Moving, Nodes};
use super::open_error::{RedisOpenError, RedisUrlFault};
use super::retry::Replicas;
use super::{RedisStore, Shared, set_up};

/// How long one operation may take unless the application sets it.
const DEFAULT_QUERY_TIMEOUT: Duration = Duration::from_secs(10);

/// What keys begin with unless the application sets it.
const DEFAULT_PREFIX: &str = "session:";

/// How long replicas may take to confirm a change unless the application sets it.
const REPLICA_TIMEOUT: Duration = Duration::from_secs(1);

/// How to connect to a Redis server: see [`new`](Self::new).
pub struct RedisOptions {
    server: Server,
    /// May hold passwords.
    sentinels: Vec<String>,
    key_prefix: String,
    acquire_timeout: Duration,
    query_timeout: Duration,
    wait_for_replicas: Option<(u32, Duration)>,
}

enum Server {
    /// May hold a password.
    Url(String),
    Cluster(Vec<String>),
    Client(Client),
}

impl RedisOptions {
    /// Options for the server at `url`. Unless you set them: 5 seconds to open a connection, 10
    /// seconds for a whole operation, and keys that begin with `session:`. A request that exceeds a
    /// limit is a 503.
    ///
    /// The URL is `redis://user:password@host:port/database`, or the same with `rediss://` for TLS,
    /// or `redis+unix:///path/to/socket?db=0&user=…&pass=…`. It names one server. All but the host
    /// can be left out. In the user and the password `#`, `/`, `?` and `%` are written as `%23`,
    /// `%2F`, `%3F` and `%25`. TLS takes a feature of the driver, such as `redis = { version = "1",
    /// features = ["tokio-rustls-comp"] }` in your Cargo.toml.
    pub fn new(url: impl Into<String>) -> Self {
        Self::of(Server::Url(url.into()))
    }

    /// Options for the server of your own `client`, which is one of version 1 of the crate `redis`,
    /// re-exported as `session_core::redis`. Its address, user, password, database and TLS count;
    /// the store opens connections of its own, with RESP3.
    pub fn from_client(client: Client) -> Self {
        Self::of(Server::Client(client))
    }

    /// Options for a cluster. Each URL is as in [`new`](Self::new) but for the database, and names
    /// one of its servers: one that answers is enough, and the store finds the others. User,
    /// password and TLS are those of the first URL.
    pub fn cluster<U: Into<String>>(urls: impl IntoIterator<Item = U>) -> Self {
        Self::of(Server::Cluster(urls.into_iter().map(Into::into).collect()))
    }

    /// Finds the primary by asking these Sentinels, at URLs such as `redis://host:26379`. The host
    /// of [`new`](Self::new)'s URL is then the name by which they know the primary.
    #[must_use]
    pub fn sentinels<U: Into<String>>(mut self, urls: impl IntoIterator<Item = U>) -> Self {
        self.sentinels = urls.into_iter().map(Into::into).collect();
        self
    }

    /// How many replicas must confirm the end of a session, and a new token, before it counts as
    /// done, and how long that may take. Otherwise a failover to a replica that hasn't heard of it
    /// undoes it: a session comes back that was signed out. If too few confirm it in time, the
    /// request is a 503, though the change is made.
    ///
    /// Unless you set it, it is one replica within a second if every primary has one when the store
    /// opens, and none otherwise. 0 is for no wait. It costs such requests a round trip from the
    /// primary to its replicas.
    #[must_use]
    pub const fn wait_for_replicas(mut self, replicas: u32, limit: Duration) -> Self {
        self.wait_for_replicas = Some((replicas, limit));
        self
    }

    fn of(server: Server) -> Self {
        Self {
            server,
            sentinels: Vec::new(),
            wait_for_replicas: None,
            key_prefix: DEFAULT_PREFIX.to_owned(),
            acquire_timeout: Duration::from_secs(5),
            query_timeout: DEFAULT_QUERY_TIMEOUT,
        }
    }

    /// What the store's keys begin with: `session:` unless you set it. Two applications on one
    /// database need two prefixes. It may be empty, and has no braces.
    #[must_use]
    pub fn key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.key_prefix = prefix.into();
        self
    }

    /// How long a connection may take to open at most: 5 seconds unless you set it. The first
    /// attempt is given up after 2 seconds, each further one after twice as long, and another one
    /// follows while the operation has time.
    #[must_use]
    pub const fn acquire_timeout(mut self, limit: Duration) -> Self {
        self.acquire_timeout = limit;
        self
    }

    /// How long one operation may take: 10 seconds unless you set it. That includes opening
    /// connections, and waiting for the server.
    #[must_use]
    pub const fn query_timeout(mut self, limit: Duration) -> Self {
        self.query_timeout = limit;
        self
    }

    /// Connects, and looks whether the server is fit for sessions.
    ///
    /// # Errors
    /// [`RedisOpenError`], which says what to do and never shows the URL's password.
    pub async fn open(self) -> Result<RedisStore, RedisOpenError> {
        if self.key_prefix.contains(['{', '}']) {
            return Err(RedisOpenError::Prefix);
        }
        let of_url = |url: &str| of_url(url).map_err(|fault| RedisOpenError::Url { fault });
        let node = |info: &ConnectionInfo| Node::from(info.addr().to_string());
        let sentinels = self.sentinels.iter().map(|url| of_url(url)).collect::<Result<Vec<_>, _>>()?;
        let (info, nodes) = match &self.server {
            Server::Url(url) => {
                let info = of_url(url)?;
                let nodes = match &sentinels[..] {
                    [] => Nodes::One(node(&info)),
                    some => Nodes::Sentinels(Moving::new(some.iter().map(node).collect()), name_of(url)),
                };
                (info, nodes)
            }
            Server::Cluster(urls) => {
                let infos = urls.iter().map(|url| of_url(url)).collect::<Result<Vec<_>, _>>()?;
                let first = infos.first().ok_or(RedisOpenError::Url { fault: RedisUrlFault::None })?;
                if infos.iter().any(|info| info.redis_settings().db() != 0) {
                    return Err(RedisOpenError::Url { fault: RedisUrlFault::ClusterDatabase });
                }
                (first.clone(), Nodes::Cluster(Moving::new(infos.iter().map(node).collect())))
            }
            Server::Client(client) => {
                let info = client.get_connection_info().clone();
                let nodes = Nodes::One(node(&info));
                (info, nodes)
            }
        };
        let set_up = |info: ConnectionInfo| {
            let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3).set_skip_set_lib_name();
            info.set_redis_settings(settings).set_tcp_settings(keepalive())
        };
        let (count, limit) = self.wait_for_replicas.unwrap_or((0, REPLICA_TIMEOUT));
        let sentinels = sentinels.into_iter().map(set_up).collect();
        let store = RedisStore {
            shared: Arc::new(Shared {
                connections: Connections::new(set_up(info), sentinels, self.acquire_timeout),
                nodes,
                replicas: Replicas::new(count, limit),
                keys: Keys::new(&self.key_prefix),
                query_timeout: self.query_timeout,
                next_tag: AtomicUsize::new(0),
            }),
        };
        let replicas = set_up::check(&store).await?;
        if self.wait_for_replicas.is_none() {
            store.shared.replicas.wait_for(replicas.min(1));
        }
        Ok(store)
    }
}

/// The name that stands in a URL where the host does otherwise.
fn name_of(url: &str) -> String {
    Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
}

/// Notices within a minute and a half that the other side is gone, and shows what lies between that
/// the connection is in use.
fn keepalive() -> TcpSettings {
    let keepalive =
        socket2::TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(10));
    TcpSettings::default().set_nodelay(true).set_keepalive(keepalive.with_retries(3))
}

/// What the URL means.
fn of_url(text: &str) -> Result<ConnectionInfo, RedisUrlFault> {
    let url = Url::parse(text).map_err(|_| match text.split_once("://") {
        Some((_, rest)) if rest.split(['/', '?', '#']).next().is_some_and(|host| host.contains(',')) => {
            RedisUrlFault::SeveralHosts
        }
        Some((_, rest)) if rest.contains('@') => RedisUrlFault::Password,
        Some(_) => RedisUrlFault::Syntax,
        None => RedisUrlFault::Scheme,
    })?;
    let (is_socket, is_encrypted) = match url.scheme() {
        "redis" | "valkey" => (false, false),
        "rediss" | "valkeys" => (false, true),
        "redis+unix" | "valkey+unix" | "unix" => (true, false),
        _ => return Err(RedisUrlFault::Scheme),
    };
    if url.host_str().is_some_and(|host| host.contains(',')) {
        return Err(RedisUrlFault::SeveralHosts);
    }
    let is_fragment_known = url.fragment().is_none_or(|fragment| fragment == "insecure" && is_encrypted);
    let is_cut = url.path().contains('@') || url.query().is_some_and(|query| query.contains('@'));
    if !is_fragment_known || !is_socket && is_cut {
        return Err(RedisUrlFault::Password);
    }
    let tls = ConnectionAddr::TcpTls { host: String::new(), port: 0, insecure: false, tls_params: None };
    if is_encrypted && !tls.is_supported() {
        return Err(RedisUrlFault::NoTls);
    }
    let database = url.path().trim_matches('/');
    if !is_socket && !database.is_empty() && database.parse::<u32>().is_err() {
        return Err(RedisUrlFault::Database);
    }
    let known: &[&str] = if is_socket { &["db", "user", "pass", "protocol"] } else { &["protocol"] };
    for (name, _) in url.query_pairs().filter(|(name, _)| !known.contains(&&**name)) {
        tracing::warn!("the Redis URL's parameter `{}` has no effect", name.escape_debug());
    }
    url.into_connection_info().map_err(|_| RedisUrlFault::Syntax)
}

/// Shows no URL, which may hold a password.
impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("key_prefix", &self.key_prefix)
            .field("acquire_timeout", &self.acquire_timeout)
            .field("query_timeout", &self.query_timeout)
            .finish_non_exhaustive()
    }
}
