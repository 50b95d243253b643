//! Which server a request goes to: always the same one; the one that Sentinel calls the primary; or
//! in a cluster the primary that has the keys' slot now. Not here: connections to it, see
//! `connection`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::{Cmd, ErrorKind, RedisError, Value, from_redis_value};
use tokio::time::{Instant, timeout_at};

use super::connection::{Connections, NoConnection, Node, SENTINEL_LANE};
use super::keys::{TAGS, Tag};

/// How long one server may take to say where the primaries are.
const ASK_FOR: Duration = Duration::from_secs(1);

/// The servers.
#[derive(Debug)]
pub(super) enum Nodes {
    One(Node),
    Cluster(Moving),
    /// Those that know where the primary is, which they know by this name.
    Sentinels(Moving, String),
}

/// Primaries that change, as far as they are known.
#[derive(Debug)]
pub(super) struct Moving {
    /// Those that the application named.
    seeds: Vec<Node>,
    map: Mutex<Arc<Map>>,
    /// Held while one request asks for all.
    asking: tokio::sync::Mutex<()>,
}

/// Which primary has the keys of each tag.
#[derive(Debug)]
struct Map {
    /// Counts up with each answer.
    version: u64,
    primaries: Vec<Option<Node>>,
}

impl Nodes {
    pub(super) const fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    pub(super) const fn is_led_by_sentinels(&self) -> bool {
        matches!(self, Self::Sentinels(..))
    }

    const fn moving(&self) -> Option<&Moving> {
        match self {
            Self::One(_) => None,
            Self::Cluster(moving) | Self::Sentinels(moving, _) => Some(moving),
        }
    }

    pub(super) const fn can_move(&self) -> bool {
        self.moving().is_some()
    }

    /// The server for keys with this tag, and the version of what is known. None if no server has
    /// them, as far as is known.
    pub(super) fn of(&self, tag: Tag) -> (Option<Node>, u64) {
        match self {
            Self::One(node) => (Some(Arc::clone(node)), 0),
            Self::Cluster(moving) | Self::Sentinels(moving, _) => {
                let map = moving.map();
                (map.primaries[tag.place()].clone(), map.version)
            }
        }
    }

    /// Each primary that is known, with one of its tags.
    pub(super) fn primaries(&self) -> Vec<(Node, Tag)> {
        match self {
            Self::One(node) => vec![(Arc::clone(node), Tag::number(0))],
            Self::Cluster(moving) | Self::Sentinels(moving, _) => {
                let mut found: Vec<(Node, Tag)> = Vec::new();
                for (place, node) in moving.map().primaries.iter().enumerate() {
                    let Some(node) = node else { continue };
                    if found.iter().all(|(known, _)| known != node) {
                        found.push((Arc::clone(node), Tag::number(place)));
                    }
                }
                found
            }
        }
    }

    /// Asks where the primaries are, unless another request has since `version`; the highest
    /// version there is asks in any case. The first server
    /// that knows all of them is believed.
    pub(super) async fn look_again(
        &self,
        connections: &Connections,
        version: u64,
        deadline: Instant,
    ) -> Result<(), RedisError> {
        let Some(moving) = self.moving() else { return Ok(()) };
        let Ok(_turn) = timeout_at(deadline, moving.asking.lock()).await else { return Ok(()) };
        let known = moving.map();
        if known.version > version {
            return Ok(());
        }
        let mut nodes = moving.seeds.clone();
        if self.is_cluster() {
            nodes
                .extend(self.primaries().into_iter().map(|(node, _)| node).filter(|node| !moving.seeds.contains(node)));
        }
        // Not always the same one first, which may be the one that is gone.
        let first = usize::try_from(version).unwrap_or(0) % nodes.len().max(1);
        nodes.rotate_left(first);
        let (mut failed, mut best) = (None, None);
        let count = |primaries: &Vec<Option<Node>>| primaries.iter().flatten().count();
        let note = |primaries| {
            let map = Map { version: known.version + 1, primaries };
            *moving.map.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(map);
        };
        for node in nodes {
            let limit = deadline.min(Instant::now() + ASK_FOR);
            match timeout_at(limit, self.asked(connections, &node, limit)).await {
                Ok(Ok(primaries)) if count(&primaries) == usize::from(TAGS) => {
                    note(primaries);
                    return Ok(());
                }
                // A server that was just made, or that was removed, knows little or nothing.
                Ok(Ok(primaries)) if count(&primaries) > best.as_ref().map_or(0, count) => best = Some(primaries),
                Ok(Ok(_)) => {}
                Ok(Err(NoConnection::Failed(error))) => failed = failed.or(Some(error)),
                Ok(Err(NoConnection::TooLate)) | Err(_) => {}
            }
        }
        if let Some(primaries) = best {
            note(primaries);
            return Ok(());
        }
        failed.map_or(Ok(()), Err)
    }

    /// What one server says.
    async fn asked(
        &self,
        connections: &Connections,
        node: &Node,
        limit: Instant,
    ) -> Result<Vec<Option<Node>>, NoConnection> {
        let mut question = Cmd::new();
        let lane = match self {
            Self::Sentinels(_, name) => {
                question.arg("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(name);
                SENTINEL_LANE
            }
            Self::Cluster(_) | Self::One(_) => {
                question.arg("CLUSTER").arg("SLOTS");
                0
            }
        };
        let connection = connections.get(node, lane, 0, limit).await?;
        let answer = connection.ask(&question).await;
        if answer.as_ref().is_err_and(RedisError::is_io_error) {
            connections.discard(&connection);
        }
        let answer = answer?;
        let primaries = match self {
            Self::Sentinels(_, name) => match from_redis_value::<Option<(String, i64)>>(answer) {
                Ok(Some((host, port))) => Some(vec![Some(named(&host, port, node)); usize::from(TAGS)]),
                _ => {
                    let unknown = "Sentinel knows no primary of this name";
                    let error = (ErrorKind::MasterNameNotFoundBySentinel, unknown, name.clone());
                    return Err(RedisError::from(error).into());
                }
            },
            Self::Cluster(_) | Self::One(_) => primaries(&answer, node),
        };
        primaries.ok_or_else(|| RedisError::from((ErrorKind::Parse, "no slots")).into())
    }
}

impl Moving {
    pub(super) fn new(seeds: Vec<Node>) -> Self {
        let map = Map { version: 0, primaries: vec![None; usize::from(TAGS)] };
        Self { seeds, map: Mutex::new(Arc::new(map)), asking: tokio::sync::Mutex::default() }
    }

    fn map(&self) -> Arc<Map> {
        Arc::clone(&self.map.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The primary of each tag by an answer to `CLUSTER SLOTS`: first and last slot, then the primary,
/// then its replicas.
fn primaries(answer: &Value, asked: &Node) -> Option<Vec<Option<Node>>> {
    let Value::Array(ranges) = answer else { return None };
    let mut primaries = vec![None; usize::from(TAGS)];
    for range in ranges {
        let Value::Array(parts) = range else { return None };
        let [Value::Int(first), Value::Int(last), Value::Array(primary), ..] = &parts[..] else { return None };
        let [host, Value::Int(port), ..] = &primary[..] else { return None };
        let host: Option<String> = from_redis_value(host.clone()).ok()?;
        let node = named(host.as_deref().unwrap_or_default(), *port, asked);
        for (place, primary) in primaries.iter_mut().enumerate() {
            let slot = i64::from(Tag::number(place).slot());
            if (*first..=*last).contains(&slot) {
                *primary = Some(Arc::clone(&node));
            }
        }
    }
    Some(primaries)
}

/// The server that a server means by host and port. Without a host it is on its own.
pub(super) fn named(host: &str, port: i64, asked: &Node) -> Node {
    let own = || asked.rsplit_once(':').map_or(&**asked, |(host, _)| host);
    let host = if host.is_empty() { own() } else { host };
    format!("{}:{port}", host.trim_matches(['[', ']'])).into()
}

/// The server of a redirection such as `1.2.3.4:6379`.
pub(super) fn redirected(error: &RedisError, asked: &Node) -> Option<Node> {
    let (host, port) = error.redirect_node()?.0.rsplit_once(':')?;
    Some(named(host, port.parse().ok()?, asked))
}
