//! Faults of a Redis server: the same promises as of other databases, and those of its own kind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use conformance_tests::redis::Redis;
use conformance_tests::world::Rows;
use conformance_tests::{BoxFuture, suite};
use libtest_mimic::Trial;
use session_core::{RedisOptions, SessionStore};

use super::proxy::Proxy;
use super::wire::Protocol;
use super::{cuts, idle};
use inspect::RedisRows;
use server::RedisServer;
pub(crate) use server::find_program;

mod changes;
pub(crate) mod cluster;
mod inspect;
mod runtimes;
mod server;
mod under_load;
mod unfit;
mod waiting;

/// How long a store waits for its server.
const PATIENCE: Duration = Duration::from_secs(10);

/// The trials on a server that others use too, if there is one, and on servers of their own.
pub(crate) fn trials(shared: Option<&Redis>) -> Vec<Trial> {
    let mut trials: Vec<_> = shared.into_iter().flat_map(on_shared).collect();
    if let Err(why) = find_program() {
        trials.extend(suite::untested(format!("faults of a Redis server: {why}")));
        return trials;
    }
    let trial = |clauses, behaviour: &str, run: fn() -> BoxFuture<'static, ()>| {
        suite::proves("faults", "redis", clauses, behaviour, run)
    };
    trials.extend([
        trial(&["FLT-1", "DATA-6"], "a server killed under load loses and revives nothing", || {
            Box::pin(under_load::killed())
        }),
        trial(&["FLT-1", "DATA-11"], "a server that becomes a replica serves reads and loses nothing", || {
            Box::pin(under_load::demoted())
        }),
        trial(&["FLT-1", "DATA-6"], "a full memory loses and revives nothing, and sign-outs work", || {
            Box::pin(under_load::full())
        }),
        trial(&["FLT-4"], "a server that forgets the scripts gets them again", || Box::pin(under_load::forgetful())),
        trial(&["FLT-10"], "what is unfit for sessions is refused", || Box::pin(unfit::servers())),
        trial(&["FLT-10"], "missing rights are named with the line that grants them", || Box::pin(unfit::rights())),
        trial(&["FLT-10"], "a URL that can't be used names the fault, and no password", || Box::pin(unfit::urls())),
        trial(&["FLT-1", "DATA-6"], "primaries of a cluster that die end no session and revive none", || {
            Box::pin(changes::a_primary_dies())
        }),
        trial(&["FLT-1", "DATA-16"], "slots that move to another server cost no request a 503", || {
            Box::pin(changes::slots_move())
        }),
        trial(&["ADM-2"], "all sessions end though their keys move to another server one after the other", || {
            Box::pin(changes::indexes_move_first())
        }),
        trial(&["FLT-1", "DATA-16"], "a server that joins a cluster and leaves it costs no request a 503", || {
            Box::pin(changes::a_server_comes_and_goes())
        }),
        trial(
            &["OUT-1", "ROT-1"],
            "what ended is not brought back by a failover that replicas had to wait for",
            || Box::pin(waiting::failovers()),
        ),
        trial(&["FLT-1"], "an end that no replica confirms is a 503, and is made", || {
            Box::pin(waiting::no_replica_confirms())
        }),
        trial(&["FLT-1"], "Sentinel leads to the new primary", || Box::pin(waiting::by_sentinel())),
        trial(&["FLT-8"], "runtimes that end take no connection away from others", || Box::pin(runtimes::that_end())),
    ]);
    trials
}

fn on_shared(redis: &Redis) -> Vec<Trial> {
    let trial = |clauses, behaviour: &str, run: fn(Redis) -> BoxFuture<'static, ()>| {
        let redis = redis.clone();
        suite::proves("faults", "redis", clauses, behaviour, move || run(redis))
    };
    vec![
        trial(
            &["DATA-16", "FLT-2", "FLT-4", "AUTH-3"],
            "a change whose connection is cut at any moment is done once",
            |redis| {
                Box::pin(async move {
                    let (prefix, proxy) = (redis.prefix(), through(redis.url()).await);
                    let cut = opened(&proxied(&proxy), &prefix, PATIENCE).await;
                    let direct = opened(redis.url(), &prefix, PATIENCE).await;
                    let rows = RedisRows::connect(redis.url(), &prefix).await;
                    cuts::each_done_once(Rows::shared(cut), &proxy, Rows::shared(direct), rows).await;
                })
            },
        ),
        trial(&["FLT-7"], "connections that were forgotten while they were idle cost no request a 503", |redis| {
            Box::pin(async move {
                let proxy = through(redis.url()).await;
                idle::forgotten_connections(opened(&proxied(&proxy), &redis.prefix(), PATIENCE).await, proxy).await;
            })
        }),
        trial(&["FLT-7"], "a connection that falls silent while it is opened costs no request a 503", |redis| {
            Box::pin(async move {
                let proxy = through(redis.url()).await;
                idle::silent_openings(opened(&proxied(&proxy), &redis.prefix(), PATIENCE).await, proxy).await;
            })
        }),
        trial(&["FLT-1"], "a server that accepts and never answers is a 503", |redis| {
            Box::pin(under_load::silent(redis))
        }),
        trial(&["EXT-9"], "a key of another type is a 500, and a user's others can be revoked", |redis| {
            Box::pin(unfit::other_types(redis))
        }),
    ]
}

/// Keys of a trial's own, on a server that others of this process use too.
fn prefix() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("trial {}:", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A proxy in front of the server at this URL.
async fn through(url: &str) -> Proxy {
    let server = url.trim_start_matches("redis://").split('/').next().expect("a URL").rsplit('@').next();
    Proxy::start(Protocol::Redis, server.expect("a host and a port").to_owned()).await
}

fn proxied(proxy: &Proxy) -> String {
    format!("redis://127.0.0.1:{}", proxy.port())
}

async fn opened(url: &str, prefix: &str, patience: Duration) -> Arc<dyn SessionStore> {
    let options = RedisOptions::new(url).key_prefix(prefix).query_timeout(patience);
    Arc::new(options.open().await.expect("a server that answers"))
}

/// A store on a server of its own.
async fn opened_on(server: &RedisServer, patience: Duration) -> Arc<dyn SessionStore> {
    opened(&server.url(), "session:", patience).await
}
