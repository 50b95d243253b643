//! What is looked at when a store opens: whether the server can hold sessions and keep them, and
//! whether this user may do all that operations do. What would fail at the first request, or lose
//! sessions without a word, is refused; what loses them in a crash is a warning.

use std::time::Duration;

use redis::{Cmd, Value};
use tokio::time::Instant;

use super::RedisStore;
use super::error::{Meaning, RedisFailure, is_missing_right, meaning};
use super::keys::{TAGS, Tag};
use super::open_error::RedisOpenError;
use super::retry::Request;
use super::scripts::{CREATE, DUE, END, END_ALL, LIST, PURGE, UPDATE};
use crate::error::StoreError;

/// The oldest version whose commands do what the scripts need.
const OLDEST: [u32; 2] = [7, 0];

/// How soon a cluster that is forming is looked at again.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// The bytes of a row that is only there to be written, changed and deleted. It is made of ones: so
/// its user, its token and its times are too.
const PROBE: [u8; 172] = [1; 172];

/// Returns how many replicas each primary has at least, as far as that may be known.
pub(super) async fn check(store: &RedisStore) -> Result<u32, RedisOpenError> {
    let nodes = &store.shared.nodes;
    if nodes.is_cluster() {
        find_all_slots(store).await?;
    } else {
        // So that Sentinel is asked, if there is one.
        let mut get = Cmd::new();
        get.arg("GET").arg(store.shared.keys.probe(Tag::number(0), b's'));
        store.ask(&Request::read(Tag::number(0), get)).await.map_err(|failed| open_error(store, failed))?;
    }
    let mut replicas = u32::MAX;
    for (node, tag) in nodes.primaries() {
        match text(store, tag, "INFO", &[]).await {
            Ok(info) => replicas = replicas.min(check_info(store, &node, tag, &info).await?),
            // A user may lack the right to look; what is needed fails below.
            Err(failed) if failure(&failed).is_some_and(|failure| is_missing_right(failure.error())) => {
                tracing::warn!(
                    "this Redis user may not run `INFO`, so nothing tells whether the server {node} keeps what it acknowledges"
                );
                replicas = 0;
            }
            Err(failed) => return Err(open_error(store, failed)),
        }
        probe(store, tag).await.map_err(|failed| open_error(store, failed))?;
        if replicas > 0 {
            let mut wait = Cmd::new();
            wait.arg("WAIT").arg(0).arg(1);
            store.ask(&Request::read(tag, wait)).await.map_err(|failed| open_error(store, failed))?;
        }
    }
    Ok(if replicas == u32::MAX { 0 } else { replicas })
}

async fn find_all_slots(store: &RedisStore) -> Result<(), RedisOpenError> {
    let nodes = &store.shared.nodes;
    let deadline = Instant::now() + store.shared.query_timeout;
    loop {
        let looked = nodes.look_again(&store.shared.connections, u64::MAX, deadline).await;
        let missing = (0..usize::from(TAGS)).map(Tag::number).find(|tag| nodes.of(*tag).0.is_none());
        let (Some(missing), outcome) = (missing, looked) else { return Ok(()) };
        match outcome {
            Err(error) if error.to_string().contains("cluster support disabled") => {
                return Err(RedisOpenError::NoCluster);
            }
            Err(error) if Instant::now() >= deadline || meaning(&error) == Meaning::Final => {
                return Err(store_error(store, error));
            }
            _ if Instant::now() >= deadline => {
                let said = "the servers that answered named none".to_owned();
                return Err(RedisOpenError::SlotsMissing { slot: missing.slot(), said });
            }
            _ => tokio::time::sleep(AGAIN_AFTER).await,
        }
    }
}

async fn check_info(store: &RedisStore, node: &str, tag: Tag, info: &str) -> Result<u32, RedisOpenError> {
    let of = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default();
    let version = of("redis_version");
    let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
    if !version.is_empty() && [numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)] < OLDEST {
        return Err(RedisOpenError::TooOld { version: version.to_owned() });
    }
    if of("cluster_enabled") == "1" && !store.shared.nodes.is_cluster() {
        return Err(RedisOpenError::Cluster);
    }
    let policy = of("maxmemory_policy");
    if !["", "noeviction"].contains(&policy) && !["", "0"].contains(&of("maxmemory")) {
        return Err(RedisOpenError::Evicts { policy: policy.to_owned() });
    }
    if of("aof_enabled") == "1" {
        if setting(store, tag, "appendfsync").await?.is_some_and(|set| !set.contains("always")) {
            tracing::warn!(
                "the Redis server {node} writes its log to disk each second: a crash of its machine may undo the last second's \
                 sign-ins and, worse, sign-outs; `appendfsync always` keeps them"
            );
        }
    } else {
        let lost = match setting(store, tag, "save").await? {
            Some(snapshots) if snapshots.split_whitespace().count() > 1 => {
                "keeps snapshots only: a restart undoes what was acknowledged since the last one, sign-outs too"
            }
            Some(_) => "keeps nothing on disk: a restart ends all sessions",
            None => "keeps snapshots at most: a restart undoes what was acknowledged since, sign-outs too",
        };
        tracing::warn!("the Redis server {node} {lost}; set `appendonly yes`");
    }
    Ok(of("connected_slaves").parse().unwrap_or(0))
}

/// What the server's setting of this name is, and the name; none if the server doesn't say, to this
/// user or to anyone, as one that is run by a provider.
async fn setting(store: &RedisStore, tag: Tag, name: &str) -> Result<Option<String>, RedisOpenError> {
    match text(store, tag, "CONFIG", &["GET", name]).await {
        Ok(set) => Ok(Some(set)),
        Err(failed) if failure(&failed).is_some_and(|failure| meaning(failure.error()) == Meaning::Final) => Ok(None),
        Err(failed) => Err(open_error(store, failed)),
    }
}

/// Runs each operation once on keys with this tag, for a user who has no session, so that all of it
/// is known to be allowed. Nothing of it stays.
async fn probe(store: &RedisStore, tag: Tag) -> Result<(), StoreError> {
    let key = |name| store.shared.keys.probe(tag, name);
    let (row, user, expiry) = (key(b's'), key(b'u'), key(b'x'));
    let (now, rows) = ([0; 8], key(b'r'));
    let of_all: [&[u8]; 3] = [&row, &user, &expiry];
    let (id, name, token) = (&PROBE[..16], &PROBE[..1], &PROBE[..32]);
    let plain = |name: &str, key: &[u8], arg: &[u8]| {
        let mut command = Cmd::new();
        command.arg(name).arg(key).arg(arg);
        Request::read(tag, command)
    };
    let requests = [
        // Scripts go on without these.
        plain("ZREM", &user, id),
        plain("ZSCORE", &user, id),
        plain("PEXPIRE", &row, b"1"),
        Request::call(tag, &END, &of_all, &[&now, id, name, b""]),
        Request::call(tag, &CREATE, &of_all, &[&now, &PROBE, b"1", &rows, id, name, &now]),
        plain_get(tag, &row),
        Request::call(tag, &UPDATE, &of_all, &[&now, name, token, &now, b"", b"", b"", b"", b"", b"1"]),
        Request::call(tag, &LIST, &of_all[1..2], &[&now, &rows]),
        Request::call(tag, &DUE, &of_all[2..], &[&now]),
        Request::call(tag, &PURGE, &of_all[2..], &[&now, b"1", &rows, &rows]),
        Request::call(tag, &END_ALL, &of_all[1..], &[&now, b"", name, &rows]),
    ];
    for request in &requests {
        store.ask(request).await?;
    }
    let mut delete = Cmd::new();
    delete.arg("DEL").arg(&of_all);
    store.ask(&Request::read(tag, delete)).await.map(drop)
}

fn plain_get(tag: Tag, key: &[u8]) -> Request {
    let mut get = Cmd::new();
    get.arg("GET").arg(key);
    Request::read(tag, get)
}

/// The text that a command answers; of several, all.
async fn text(store: &RedisStore, tag: Tag, name: &str, args: &[&str]) -> Result<String, StoreError> {
    let mut command = Cmd::new();
    command.arg(name).arg(args);
    Ok(flat(&store.ask(&Request::read(tag, command)).await?.value))
}

fn flat(value: &Value) -> String {
    match value {
        Value::BulkString(text) => String::from_utf8_lossy(text).into_owned(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => text.clone(),
        Value::Array(parts) => parts.iter().map(flat).collect::<Vec<_>>().join(" "),
        Value::Map(parts) => parts.iter().map(|(name, value)| flat(name) + " " + &flat(value)).collect(),
        _ => String::new(),
    }
}

fn failure(error: &StoreError) -> Option<&RedisFailure> {
    let (StoreError::NotApplied(source) | StoreError::Unknown(source)) = error else { return None };
    source.downcast_ref()
}

fn open_error(store: &RedisStore, error: StoreError) -> RedisOpenError {
    match failure(&error) {
        Some(failure) => store_error(store, failure.error().clone()),
        None => {
            let late = std::io::Error::new(std::io::ErrorKind::TimedOut, error.to_string());
            RedisOpenError::NoServer { source: redis::RedisError::from(late).into() }
        }
    }
}

fn store_error(store: &RedisStore, error: redis::RedisError) -> RedisOpenError {
    let is_of_cluster = error.kind() == redis::ErrorKind::Server(redis::ServerErrorKind::ClusterDown);
    if is_of_cluster && !store.shared.nodes.is_cluster() {
        return RedisOpenError::Cluster;
    }
    let user = store.shared.connections.info().redis_settings().username().unwrap_or("default");
    RedisOpenError::of(error.into(), user, store.shared.keys.prefix())
}
