//! What is looked at when a store opens: whether the server can hold sessions and keep them, and
//! whether this user may do all that operations do. What would fail at the first request, or lose
//! sessions without a word, is refused; what loses them in a crash is a warning.

use redis::{Cmd, Value};

use super::error::{RedisFailure, is_missing_right};
use super::open_error::RedisOpenError;
use super::retry::Request;
use super::scripts::{CREATE, DUE, END, END_ALL, LIST, PURGE, UPDATE};
use super::{RedisStore, options};
use crate::error::StoreError;

/// The oldest version whose commands do what the scripts need.
const OLDEST: [u32; 2] = [6, 2];

/// The bytes of a row that is only there to be written, changed and deleted. It is made of ones: so
/// its user, its token and its times are too.
const PROBE: [u8; 172] = [1; 172];

pub(super) async fn check(store: &RedisStore) -> Result<(), RedisOpenError> {
    match text(store, "INFO", &[]).await {
        Ok(info) => check_info(store, &info).await?,
        // A user may lack the right to look; what is needed fails below.
        Err(failed) if failure(&failed).is_some_and(|failure| is_missing_right(failure.error())) => {
            tracing::warn!(
                "this Redis user may not run `INFO`, so nothing tells whether the server keeps what it acknowledges"
            );
        }
        Err(failed) => return Err(open_error(store, failed)),
    }
    probe(store).await.map_err(|failed| open_error(store, failed))
}

async fn check_info(store: &RedisStore, info: &str) -> Result<(), RedisOpenError> {
    let of = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default();
    let version = of("redis_version");
    let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
    if !version.is_empty() && [numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)] < OLDEST {
        return Err(RedisOpenError::TooOld { version: version.to_owned() });
    }
    if of("cluster_enabled") == "1" {
        return Err(RedisOpenError::Cluster);
    }
    let policy = of("maxmemory_policy");
    if !["", "noeviction"].contains(&policy) && !["", "0"].contains(&of("maxmemory")) {
        return Err(RedisOpenError::Evicts { policy: policy.to_owned() });
    }
    let server = options::address(store.shared.connections.client());
    if of("aof_enabled") == "1" {
        if text(store, "CONFIG", &["GET", "appendfsync"]).await.is_ok_and(|set| !set.contains("always")) {
            tracing::warn!(
                "the Redis server {server} writes its log to disk each second: a crash of its machine may undo the last second's \
                 sign-ins and, worse, sign-outs; `appendfsync always` keeps them"
            );
        }
    } else {
        let snapshots = text(store, "CONFIG", &["GET", "save"]).await.unwrap_or_default();
        let lost = if snapshots.split_whitespace().count() > 1 {
            "keeps snapshots only: a restart undoes what was acknowledged since the last one, sign-outs too"
        } else {
            "keeps nothing on disk: a restart ends all sessions"
        };
        tracing::warn!("the Redis server {server} {lost}; set `appendonly yes`");
    }
    Ok(())
}

/// Runs each operation once, for a user who has no session, so that all of it is known to be
/// allowed. Nothing of it stays.
async fn probe(store: &RedisStore) -> Result<(), StoreError> {
    let keys = &store.shared.keys;
    let key = |kind: &str| [keys.prefix().as_bytes(), b"{0}probe:", kind.as_bytes()].concat();
    let (row, user, expiry) = (key("s"), key("u"), key("x"));
    let (now, rows) = ([0; 8], key("r"));
    let of_all: [&[u8]; 3] = [&row, &user, &expiry];
    let (id, name, token) = (&PROBE[..16], &PROBE[..1], &PROBE[..32]);
    let plain = |name: &str, key: &[u8], arg: &[u8]| {
        let mut command = Cmd::new();
        command.arg(name).arg(key).arg(arg);
        Request::read(command)
    };
    let mut get = Cmd::new();
    get.arg("GET").arg(&row);
    let requests = [
        Request::read(get),
        // Scripts go on without these.
        plain("ZREM", &user, id),
        plain("ZSCORE", &user, id),
        plain("PEXPIRE", &row, b"1"),
        Request::call(&END, &of_all, &[&now, id, name]),
        Request::call(&CREATE, &of_all, &[&now, &PROBE, b"1", &rows, id, name, &now]),
        Request::call(&UPDATE, &of_all, &[&now, name, token, &now, b"", b"", b"", b"", b"", b"1"]),
        Request::call(&LIST, &of_all[1..2], &[&now, &rows]),
        Request::call(&DUE, &of_all[2..], &[&now]),
        Request::call(&PURGE, &of_all[2..], &[&now, b"1", &rows, &rows]),
        Request::call(&END_ALL, &of_all[1..], &[&now, b"", name, &rows]),
    ];
    for request in &requests {
        store.ask(request).await?;
    }
    let mut delete = Cmd::new();
    delete.arg("DEL").arg(&of_all);
    store.ask(&Request::read(delete)).await.map(drop)
}

/// The text that a command answers; of several, all.
async fn text(store: &RedisStore, name: &str, args: &[&str]) -> Result<String, StoreError> {
    let mut command = Cmd::new();
    command.arg(name).arg(args);
    Ok(flat(&store.ask(&Request::read(command)).await?.value))
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
    let user = store.shared.connections.client().get_connection_info().redis_settings().username().unwrap_or("default");
    match failure(&error) {
        Some(failure) => RedisOpenError::of(failure.error().clone().into(), user, store.shared.keys.prefix()),
        None => {
            let late = std::io::Error::new(std::io::ErrorKind::TimedOut, error.to_string());
            RedisOpenError::NoServer { source: redis::RedisError::from(late).into() }
        }
    }
}
