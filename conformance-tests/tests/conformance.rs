//! Runs the suite for the adapters over every store that the library brings, and for what is broken
//! on purpose.

use std::process::ExitCode;
use std::sync::Arc;

use conformance_tests::mysql::MySql;
use conformance_tests::postgres::Postgres;
use conformance_tests::redis::Redis;
use conformance_tests::scenario::Scenario;
use conformance_tests::sqlite::Sqlite;
use conformance_tests::suite::{Suite, catches, catches_rule};
use conformance_tests::world::{Memory, StoreKind};
use conformance_tests::{cross, model, suite};
use libtest_mimic::Trial;

use crate::support::actix::Actix;
use crate::support::axum::{Axum, AxumOverHttp2};
use crate::support::broken::Broken;
use crate::support::broken::users::Forgetting;
use crate::support::by_hand::ByHand;
use crate::support::encrypting::Encrypting;
use crate::support::faults::redis::cluster::OnCluster;
use crate::support::hyper::Hyper;
use crate::support::pgbouncer::PgBouncer;
use crate::support::{faults, processes};

mod support;

fn main() -> ExitCode {
    if let Some(task) = processes::task() {
        suite::hush_panics();
        return processes::work(&task);
    }
    let memory: Arc<dyn StoreKind> = Arc::new(Memory);
    let both: [Arc<dyn StoreKind>; 2] = [Arc::clone(&memory), Arc::new(Sqlite)];
    let (postgres, mysql) = (Postgres::find(), MySql::find());
    let mut shared: Vec<_> = postgres.iter().cloned().map(faults::Shared::Postgres).collect();
    shared.extend(mysql.iter().cloned().map(Box::new).map(faults::Shared::MySql));
    let redis = Redis::find();
    let mut faults = faults::trials(&shared);
    faults.extend(faults::redis::trials(redis.as_ref().ok()));
    // Where no server is there are no such trials, and a line, or a failure, says so.
    let on_servers = (!shared.is_empty()).then(|| suite::completeness_on_servers(&faults));
    Suite::new()
        .store(Memory)
        .store(Sqlite)
        .store_if_found(postgres.clone())
        .store_if_found(mysql)
        .adapter(Axum)
        .adapter(Actix::AsItIs)
        .trials(both.iter().flat_map(|store| suite::mount(&Arc::new(Hyper), store)))
        .trials(suite::mount(&Arc::new(Actix::DropsOnHangUp), &memory))
        .trials(suite::mount(&Arc::new(ByHand::AsItIs), &memory))
        .trials(both.iter().flat_map(|store| cross::mount(&Arc::new(Axum), &Arc::new(Actix::AsItIs), store)))
        .trials(both.iter().flat_map(over_http2))
        .trials(behind_a_pooler(postgres))
        .trials(processes::trials())
        .trials(faults)
        .trials(on_servers)
        .trials(on_redis(redis))
        .trials(on_a_cluster())
        .trials(encrypted())
        .trials(broken(&memory))
        .trials(broken_rules())
        .run()
}

/// What depends on how headers travel, and what on a connection that several requests share.
fn over_http2(store: &Arc<dyn StoreKind>) -> Vec<Trial> {
    let is_chosen = |scenario: &Scenario| scenario.clause.starts_with("COOK-") || scenario.clause == "EXT-1";
    let mut trials = suite::mount_scenarios(&Arc::new(AxumOverHttp2), store, is_chosen);
    trials.extend(suite::mount_scenarios(&Arc::new(Actix::OverHttp2), store, is_chosen));
    trials
}

/// The store suite, and one adapter with what reaches the store: what a pooler changes is below all
/// of them.
fn behind_a_pooler(server: Result<Postgres, String>) -> Vec<Trial> {
    match server.and_then(PgBouncer::before) {
        Ok(pooler) => {
            let forgotten = faults::forgotten_pooling(&pooler);
            let store: Arc<dyn StoreKind> = Arc::new(pooler);
            let groups = ["ADM-", "AUTH-", "DATA-", "EXP-", "FLT-", "LIST-", "OUT-", "REV-", "ROT-", "VISIT-"];
            let is_chosen = |scenario: &Scenario| groups.iter().any(|group| scenario.clause.starts_with(group));
            let mut trials = suite::mount_store(&store);
            trials.extend(suite::mount_scenarios(&Arc::new(Axum), &store, is_chosen));
            trials.extend(forgotten);
            trials
        }
        Err(why) => suite::untested(why).into_iter().collect(),
    }
}

/// The store suite, and the adapters that have a store for it.
fn on_redis(server: Result<Redis, String>) -> Vec<Trial> {
    let store: Arc<dyn StoreKind> = match server {
        Ok(server) => Arc::new(server),
        Err(why) => return suite::untested(why).into_iter().collect(),
    };
    let (axum, actix) = (Arc::new(Axum), Arc::new(Actix::AsItIs));
    let mut trials = suite::mount_store(&store);
    trials.extend(suite::mount(&axum, &store));
    trials.extend(suite::mount(&actix, &store));
    trials.extend([model::mount(&axum, &store), model::mount(&actix, &store)]);
    trials.extend(cross::mount(&axum, &actix, &store));
    trials
}

/// The store suite: which server a key lies on is below all adapters.
fn on_a_cluster() -> Vec<Trial> {
    match faults::redis::find_program() {
        Ok(_) => suite::mount_store(&(Arc::new(OnCluster::default()) as Arc<dyn StoreKind>)),
        Err(why) => suite::untested(format!("a Redis Cluster: {why}")).into_iter().collect(),
    }
}

/// The store suite, and what depends on data, with data that is encrypted before it is stored.
fn encrypted() -> Vec<Trial> {
    let store: Arc<dyn StoreKind> = Arc::new(Encrypting);
    let groups = ["AUTH-", "DATA-", "ENC-", "EXT-", "FLASH-", "FLT-", "ROT-", "VISIT-"];
    let is_chosen = |scenario: &Scenario| groups.iter().any(|group| scenario.clause.starts_with(group));
    let mut trials = suite::mount_store(&store);
    trials.extend(suite::mount_scenarios(&Arc::new(Axum), &store, is_chosen));
    trials
}

/// That the suite notices each mistake.
fn broken(memory: &Arc<dyn StoreKind>) -> Vec<Trial> {
    let adapter = |what, scenario, broken: ByHand| catches(what, scenario, Arc::new(broken), Arc::clone(memory));
    let store = |what, scenario, broken: Broken| catches(what, scenario, Arc::new(Axum), Arc::new(broken));
    vec![
        adapter(
            "a dropped commit",
            ("DATA-1", "what is set is read back, in this request and the next"),
            ByHand::DropsTheCommit,
        ),
        adapter(
            "a commit beside a 5xx",
            ("DATA-10", "a 5xx response discards pending changes"),
            ByHand::CommitsEveryStatus,
        ),
        adapter(
            "an outage that the handler swallowed",
            ("EXT-5", "a store that can't be read is a 503 whatever the handler makes of it"),
            ByHand::SkipsTheCommitOfAnOutage,
        ),
        adapter(
            "a second Cookie header unread",
            ("COOK-3", "all Cookie headers are read"),
            ByHand::ReadsOneCookieHeader,
        ),
        adapter(
            "the handler's cookies overwritten",
            ("COOK-6", "the handler's other cookies and its Vary survive"),
            ByHand::OverwritesHeaders,
        ),
        adapter(
            "the handler's body under a 503",
            ("DATA-11", "a commit that can't be stored is an empty 503"),
            ByHand::KeepsTheBody,
        ),
        adapter(
            "a 503 that another origin's page can't read",
            ("DATA-11", "that 503 keeps what is said of the site and of the request"),
            ByHand::DropsTheHead,
        ),
        adapter(
            "a session for each extraction",
            ("EXT-4", "a middleware's extraction is the handler's session"),
            ByHand::BeginsAtEachExtraction,
        ),
        adapter(
            "a session for each layer",
            ("EXT-8", "two layers of one service are one load and one commit"),
            ByHand::ForgetsTheOuterLayer,
        ),
        adapter(
            "a look-up that nobody asked for",
            ("EXT-6", "a request that never extracts costs nothing"),
            ByHand::LoadsAlways,
        ),
        adapter(
            "a policy that isn't asked",
            ("EXT-10", "a request that isn't admitted is answered without its handler"),
            ByHand::AdmitsEverything,
        ),
        adapter(
            "an unknown peer",
            ("META-1", "address, User-Agent and device are recorded at sign-in"),
            ByHand::ForgetsThePeer,
        ),
        adapter(
            "a removed cookie for an unknown token",
            ("COOK-7", "an unknown, stale or expired token never removes the cookie"),
            ByHand::ClearsUnknownTokens,
        ),
        store("an upserting save", ("DATA-6", "a write never brings an ended session back"), Broken::Upserts),
        store(
            "lost writes",
            ("DATA-4", "requests at once that change different keys all take effect"),
            Broken::IgnoresVersions,
        ),
        store("lost updates", ("DATA-5", "increments at once count once each"), Broken::IgnoresVersions),
        store(
            "a write made twice",
            ("DATA-16", "a change that landed is found below another request's"),
            Broken::WritesAgain,
        ),
        store(
            "a write that was made and isn't there",
            ("DATA-16", "what a save couldn't settle, the next save settles"),
            Broken::LosesWrites,
        ),
    ]
}

/// That the store suite notices each mistake of a store.
fn broken_rules() -> Vec<Trial> {
    let again = ("identity", "data asked for again is done, and made once");
    let below = ("identity", "data asked for again is done while one other write is on top");
    let identity = |what, rule, broken: Broken| catches_rule(what, rule, Arc::new(broken));
    let users = |what, name, wrong: Forgetting| catches_rule(what, ("forget_users", name), Arc::new(wrong));
    let all_seen = "looks by the limit come to an end, and see all users";
    let mut trials = vec![
        identity("a write made twice", again, Broken::WritesAgain),
        identity("a write made twice, over another's", below, Broken::WritesAgain),
        identity("a write that was made, and is a conflict", again, Broken::MissesWrites),
        identity("a write that was made below another, and is a conflict", below, Broken::MissesWrites),
        identity("a write that was made, and finds no session", again, Broken::LosesWrites),
        users("a look that is never the last", all_seen, Forgetting::NeverEnds),
        users("a look that begins again with the first user", all_seen, Forgetting::IgnoresThePlace),
        users("a look beyond its limit", all_seen, Forgetting::IgnoresTheLimit),
        users(
            "users forgotten as soon as they have no session",
            "users without a session are noted first, and forgotten once",
            Forgetting::ForgetsAtOnce,
        ),
        users(
            "users forgotten with their sessions",
            "users with sessions are kept, and so are the sessions",
            Forgetting::ForgetsThoseWithSessions,
        ),
        users(
            "sign-ins that don't count",
            "a sign-in begins the time without a session anew",
            Forgetting::KeepsItsNotes,
        ),
        users("no limit for forgotten users", "a forgotten user signs in as before", Forgetting::LosesTheLimit),
        users(
            "no limit while users are forgotten",
            "sign-ins that race looks keep to the limit",
            Forgetting::LosesTheLimit,
        ),
        catches_rule(
            "a time zone's time",
            ("server_time", "it is near to this machine's, whatever the database's time zone"),
            Arc::new(Broken::LocalTime),
        ),
        catches_rule(
            "a time that stands still",
            ("server_time", "it moves on, and is there for every handle"),
            Arc::new(Broken::FrozenTime),
        ),
    ];
    // What forgets users as it should passes: those above fail for their mistakes.
    let right: Arc<dyn StoreKind> = Arc::new(Forgetting::Right);
    trials.extend(suite::mount_rules(&right, |rule| rule.rule == "forget_users"));
    trials
}
