//! How fast a backlog of expired rows is deleted on a database with nothing else to do; and whether the clean-up keeps up with
//! sign-ins whose sessions expire at once, and what it does to reads meanwhile (EXP-8).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use conformance_tests::faulty::{Faults, FaultyStore, OpKind};
use session_core::store::{MAX_LOADED, SessionStore};
use session_core::{
    ClientInfo, CookieSessionService, Data, KeyRing, ManualClock, Record, SessionConfig, SessionId, SigningKey,
    SqliteStore, TokenHash, TokenRef, UserId,
};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::database::{Database, Server};
use crate::figures::{median, micros, p99, ratio};
use crate::operations::timed;
use crate::options::Options;
use crate::sessions::{NOW, Pick, Sessions};

/// Live sessions, for the readers.
const LIVE: u64 = 2000;
/// Requests that read at once, and how often each does.
const READERS: u64 = 40;
const PACE: Duration = Duration::from_millis(50);
/// Sign-ins in this time, and how many at once.
const SIGN_INS: u64 = 30;
const EACH: Duration = Duration::from_millis(100);
/// Connections of the app.
const POOL: u32 = 4;
/// For how long reads are timed without a clean-up.
const QUIET: Duration = Duration::from_secs(10);

pub(crate) async fn measure(options: &Options) -> Result<(), Box<dyn std::error::Error>> {
    const NAME: &str = "session_growth_backlog";
    for url in [&options.url, &options.beside] {
        let server = Server::at(url)?;
        server.remove(&server.database(NAME).await?).await?;
        let database = server.database(NAME).await?;
        let store = database.store_of(POOL).await;
        database.fill(Sessions::live(LIVE)).await?;
        let gone = Sessions { first: LIVE, count: options.backlog, ago: time::Duration::days(60) };
        database.fill(gone).await?;
        database.settle().await?;
        idle(server.name(), Arc::clone(&store), options.backlog).await;
        if options.load > 0 {
            under_load(server.name(), &database, &store, Duration::from_secs(options.load)).await?;
        }
        drop(store);
        server.remove(&database).await?;
    }
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("sessions.db");
    let store: Arc<dyn SessionStore> = Arc::new(SqliteStore::open(path.to_str().ok_or("a path in UTF-8")?).await?);
    for number in 0..options.backlog {
        sign_in(&store, number).await;
    }
    idle("sqlite", store, options.backlog).await;
    Ok(())
}

/// A node whose clean-up counts.
fn node(store: Arc<dyn SessionStore>) -> (CookieSessionService, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32]).expect("32 bytes"));
    let config = SessionConfig::builder().build(keys).expect("the defaults are valid");
    let store = FaultyStore::new(store, Arc::clone(&faults));
    (CookieSessionService::new(store, config).with_clock(ManualClock::at(NOW)), faults)
}

async fn idle(name: &str, store: Arc<dyn SessionStore>, rows: u64) {
    let (service, faults) = node(store);
    let task = service.spawn_cleanup(Duration::from_secs(1));
    until(|| faults.count(OpKind::Purge) > 0).await;
    let start = Instant::now();
    until(|| faults.purged() >= rows).await;
    let took = start.elapsed();
    task.stop().await;
    let rate = rows as f64 / took.as_secs_f64();
    println!("{name}: {rows} expired rows are gone after {took:.1?}: {rate:.0} a second");
}

async fn under_load(
    name: &str,
    database: &Database,
    store: &Arc<dyn SessionStore>,
    load: Duration,
) -> sqlx::Result<()> {
    let (over, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let sign_ins = tokio::spawn(sign_ins(Arc::clone(store), Arc::clone(&over), Arc::clone(&made)));
    let quiet = reads(store, sleep(QUIET)).await;
    let (service, faults) = node(Arc::clone(store));
    let task = service.spawn_cleanup(Duration::from_secs(1));
    let backlog = || made.load(Ordering::Relaxed).saturating_sub(faults.purged());
    let mut left = Vec::new();
    let sampled = async {
        sleep(QUIET).await;
        left.push(backlog());
        sleep(load.saturating_sub(QUIET)).await;
        left.push(backlog());
    };
    let during = reads(store, sampled).await;
    over.store(true, Ordering::Relaxed);
    sign_ins.await.expect("sign-ins work");
    task.stop().await;
    println!(
        "{name}: {} sign-ins in {:?}, {READERS} readers, {POOL} connections: {} rows wait after 10 s, {} after {load:?}",
        made.load(Ordering::Relaxed),
        QUIET + load,
        left[0],
        left[1],
    );
    println!(
        "{name}: reads {}/{} us without the clean-up (p50/p99), {}/{} with it: p99 {:.2} times",
        micros(median(&quiet)),
        micros(p99(&quiet)),
        micros(median(&during)),
        micros(p99(&during)),
        ratio(p99(&during), p99(&quiet)),
    );
    assert!(database.rows().await? >= LIVE, "what lives stays");
    Ok(())
}

/// 300 a second until it is over, of sessions that are due at once.
async fn sign_ins(store: Arc<dyn SessionStore>, over: Arc<AtomicBool>, made: Arc<AtomicU64>) {
    let mut pace = interval(EACH);
    let mut number = 1 << 40;
    while !over.load(Ordering::Relaxed) {
        pace.tick().await;
        let mut tasks = JoinSet::new();
        for _ in 0..SIGN_INS {
            number += 1;
            let store = Arc::clone(&store);
            tasks.spawn(async move { sign_in(&store, number).await });
        }
        tasks.join_all().await;
        made.fetch_add(SIGN_INS, Ordering::Relaxed);
    }
}

/// How long reads took until `end`.
async fn reads(store: &Arc<dyn SessionStore>, end: impl Future<Output = ()>) -> Vec<Duration> {
    let over = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for reader in 0..READERS {
        let (store, over) = (Arc::clone(store), Arc::clone(&over));
        readers.spawn(async move {
            let (mut samples, mut pick) = (Vec::new(), Pick::seeded(reader));
            sleep(PACE * u32::try_from(reader).unwrap_or_default() / 40).await;
            let mut pace = interval(PACE);
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while !over.load(Ordering::Relaxed) {
                pace.tick().await;
                let live = Sessions::live(LIVE);
                let token: [TokenRef; 1] = live.token(pick.below(live.count));
                let rows = timed(&mut samples, store.load(&token, NOW)).await;
                assert!((1..=MAX_LOADED).contains(&rows.len()), "what lives stays");
            }
            samples
        });
    }
    end.await;
    over.store(true, Ordering::Relaxed);
    readers.join_all().await.concat()
}

/// Looks every millisecond.
async fn until(is_so: impl Fn() -> bool) {
    let mut look = interval(Duration::from_millis(1));
    while !is_so() {
        look.tick().await;
    }
}

/// Signs a user of its own in, whose session was due yesterday.
async fn sign_in(store: &Arc<dyn SessionStore>, number: u64) {
    let made = NOW - time::Duration::days(3);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    let ended = made + time::Duration::HOUR;
    let new = Record {
        id: SessionId::from_bytes(bytes[..16].try_into().expect("16 bytes")),
        user_id: UserId::parse(&format!("expired-{number}")).expect("a short text"),
        token_hash: TokenHash::from_slice(&bytes).expect("32 bytes"),
        previous_token_hash: None,
        token_issued_at: made,
        token_seen: false,
        successor: None,
        strict_rotated_at: None,
        client: Arc::<ClientInfo>::default(),
        data: Data::from_text("{}"),
        version: 0,
        persistent: true,
        created_at: made,
        authenticated_at: made,
        last_active_at: made,
        expires_at: ended,
        absolute_expires_at: ended,
    };
    store.create(&Arc::new(new), &[], 10.try_into().expect("not zero"), made).await.expect("a sign-in");
}
