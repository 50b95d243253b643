//! The clean-up of many expired rows while requests read: how long reads take without and with it, and what several nodes
//! do when they clean up at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use conformance_tests::faulty::{Faults, FaultyStore, OpKind};
use session_core::{CleanupTask, CookieSessionService, KeyRing, ManualClock, SessionConfig, SessionStore, SigningKey};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::database::{Database, Server};
use crate::figures::{median, micros, p99, ratio};
use crate::operations::timed;
use crate::options::Options;
use crate::sessions::{NOW, Pick, Sessions};

/// Live sessions beside the expired ones.
const LIVE: u64 = 100_000;
/// Requests that read at once, and how often each does.
const READERS: u64 = 4;
const PACE: Duration = Duration::from_millis(5);
/// The clean-up is stopped and started again: for how long reads are timed without it and with it, in turns.
const TURNS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

/// What one clean-up was like.
#[derive(Default)]
struct Outcome {
    quiet: Vec<Duration>,
    during: Vec<Duration>,
    /// How many times as long the p99 of each turn with it is as that of the turn before.
    ratios: Vec<f64>,
    took: Duration,
    /// Rows and statements of each node.
    nodes: Vec<(u64, u64)>,
}

pub(crate) async fn under_load(server: &Server, options: &Options) -> sqlx::Result<()> {
    const NAME: &str = "session_growth_cleanup";
    server.remove(&server.database(NAME).await?).await?;
    let database = server.database(NAME).await?;
    let store = database.store().await;
    database.fill(Sessions::live(LIVE)).await?;
    println!(
        "clean-up of {} rows beside {LIVE} live ones; {READERS} readers, one read in {PACE:?} each",
        options.expired
    );
    println!(
        "{:>6} {:>18} {:>18} {:>7} {:>8}  rows/statements of each node",
        "nodes", "quiet p50/p99, us", "during p50/p99", "times", "took"
    );
    let mut ratios = vec![Vec::new(); options.nodes.len()];
    for _ in 0..options.cleanups {
        for (case, nodes) in options.nodes.iter().enumerate() {
            let outcome = clean_up(&database, &store, options.expired, *nodes).await?;
            ratios[case].push(outcome.print());
        }
    }
    for (nodes, ratios) in options.nodes.iter().zip(&ratios) {
        println!("{nodes} nodes: p99 of reads during the clean-up is {:.2} times that without, median", median(ratios));
    }
    drop(store);
    if options.keep { Ok(()) } else { server.remove(&database).await }
}

async fn clean_up(
    database: &Database,
    store: &Arc<dyn SessionStore>,
    expired: u64,
    nodes: usize,
) -> sqlx::Result<Outcome> {
    let gone = Sessions { first: LIVE, count: expired, ago: time::Duration::days(60) };
    database.fill(gone).await?;
    database.settle().await?;
    let mut services = Vec::new();
    for _ in 0..nodes {
        services.push(Node::new(database.store().await));
    }
    let sum = |count: fn(&Faults) -> u64| services.iter().map(|node| count(&node.faults)).sum::<u64>();
    let (mut outcome, [without, with]) = (Outcome::default(), TURNS);
    while sum(Faults::purged) < expired {
        let quiet = reads_until(store, sleep(without)).await;
        let interval = Duration::from_secs(1);
        let tasks: Vec<CleanupTask> = services.iter().map(|node| node.service.spawn_cleanup(interval)).collect();
        // Tasks begin at random moments within a second.
        until(|| services.iter().all(|node| node.begun()) || sum(Faults::purged) == expired).await;
        let start = Instant::now();
        let all_gone = until(|| sum(Faults::purged) == expired || start.elapsed() > with);
        let during = reads_until(store, all_gone).await;
        outcome.took += start.elapsed();
        for task in tasks {
            task.stop().await;
        }
        services.iter().for_each(Node::end_turn);
        outcome.ratios.push(ratio(p99(&during), p99(&quiet)));
        outcome.quiet.extend(quiet);
        outcome.during.extend(during);
    }
    outcome.nodes = services.iter().map(|node| (node.faults.purged(), node.faults.count(OpKind::Purge))).collect();
    assert_eq!(database.rows().await?, LIVE, "what lives stays");
    Ok(outcome)
}

/// Looks every millisecond.
async fn until(is_so: impl Fn() -> bool) {
    let mut look = interval(Duration::from_millis(1));
    while !is_so() {
        look.tick().await;
    }
}

/// One of the app's servers, whose store counts.
struct Node {
    service: CookieSessionService,
    faults: Arc<Faults>,
    /// Statements before this turn.
    before: AtomicU64,
}

impl Node {
    fn new(store: Arc<dyn SessionStore>) -> Self {
        let faults = Arc::new(Faults::default());
        let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32]).expect("32 bytes"));
        let config = SessionConfig::builder().build(keys).expect("the defaults are valid");
        let store = FaultyStore::new(store, Arc::clone(&faults));
        Self {
            service: CookieSessionService::new(store, config).with_clock(ManualClock::at(NOW)),
            faults,
            before: AtomicU64::default(),
        }
    }

    fn begun(&self) -> bool {
        self.faults.count(OpKind::Purge) > self.before.load(Ordering::Relaxed)
    }

    fn end_turn(&self) {
        self.before.store(self.faults.count(OpKind::Purge), Ordering::Relaxed);
    }
}

/// How long the reads took that were made until `end`.
async fn reads_until(store: &Arc<dyn SessionStore>, end: impl Future<Output = ()>) -> Vec<Duration> {
    let over = Arc::new(AtomicBool::new(false));
    let mut readers = JoinSet::new();
    for reader in 0..READERS {
        let (store, over) = (Arc::clone(store), Arc::clone(&over));
        readers.spawn(async move {
            let (mut samples, mut pick) = (Vec::new(), Pick::seeded(reader));
            let mut pace = interval(PACE);
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while !over.load(Ordering::Relaxed) {
                pace.tick().await;
                let live = Sessions::live(LIVE);
                let token = live.token(pick.below(live.count));
                let rows = timed(&mut samples, store.load(&token, NOW)).await;
                assert_eq!(rows.len(), 1, "what lives stays");
            }
            samples
        });
    }
    end.await;
    over.store(true, Ordering::Relaxed);
    readers.join_all().await.concat()
}

impl Outcome {
    /// Prints it: how many times as long the p99 of reads is with a clean-up as without.
    fn print(&self) -> f64 {
        let figures = |samples: &[Duration]| format!("{}/{}", micros(median(samples)), micros(p99(samples)));
        let ratio = median(&self.ratios);
        println!(
            "{:>6} {:>18} {:>18} {ratio:>7.2} {:>7.1}s  {}",
            self.nodes.len(),
            figures(&self.quiet),
            figures(&self.during),
            self.took.as_secs_f64(),
            self.nodes.iter().map(|(rows, statements)| format!("{rows}/{statements}")).collect::<Vec<_>>().join(" "),
        );
        ratio
    }
}
