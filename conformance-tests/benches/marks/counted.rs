//! Browsers that change sessions all the time and count what they were told: nothing that was acknowledged may be lost or done twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use conformance_tests::browser::{Browser, Connection};
use conformance_tests::world::World;
use http::Request;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Browsers with a session each, which set a number.
const OWN: u64 = 36;
/// Sessions that several browsers share, which add to a count; and how many each.
const SHARED: u64 = 4;
const SHARERS: u64 = 4;

/// What all were told.
#[derive(Default)]
pub(crate) struct Told {
    /// Changes that were acknowledged.
    pub(crate) done: AtomicU64,
    /// 503s.
    pub(crate) refused: AtomicU64,
    updates: AtomicU64,
    longest: AtomicU64,
}

impl Told {
    pub(crate) fn longest(&self) -> Duration {
        Duration::from_micros(self.longest.load(Ordering::Relaxed))
    }

    pub(crate) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    pub(crate) fn updates(&self) -> u64 {
        self.updates.load(Ordering::Relaxed)
    }
}

/// What is at work, to be finished.
pub(crate) struct Counted {
    pub(crate) told: Arc<Told>,
    own: JoinSet<(Browser, Own)>,
    shared: Vec<(Browser, JoinSet<(u64, u64)>)>,
}

/// What the session of one browser holds: the last number that was acknowledged, and those refused since.
#[derive(Default)]
struct Own {
    acknowledged: u64,
    last: u64,
}

impl Counted {
    /// Until `changes` were acknowledged: a tenth of them are counts of shared sessions.
    pub(crate) async fn start(world: &World, changes: u64) -> Self {
        let told = Arc::new(Told::default());
        let (mut own, mut shared) = (JoinSet::new(), Vec::new());
        for number in 0..OWN {
            let mut browser = world.browser();
            browser.sign_in(&format!("own {number}")).await;
            let mut conn = browser.connect().await;
            let told = Arc::clone(&told);
            own.spawn(async move {
                let mut own = Own::default();
                while told.done() < changes {
                    own.last += 1;
                    let op = json!({"op": "set", "key": "n", "value": own.last});
                    if change(&mut conn, &mut browser, op, &told).await {
                        own.acknowledged = own.last;
                    }
                }
                (browser, own)
            });
        }
        for number in 0..SHARED {
            let mut browser = world.browser();
            let script = json!([{"op": "authenticate_with", "user": format!("shared {number}"), "data": {"n": 0}}]);
            assert_eq!(browser.run(script).await.status, 200);
            let mut sharers = JoinSet::new();
            for _ in 0..SHARERS {
                let (told, mut browser) = (Arc::clone(&told), browser.clone());
                let mut conn = browser.connect().await;
                sharers.spawn(async move {
                    let (mut done, mut refused) = (0, 0);
                    while told.done() < changes {
                        if told.updates() * 10 > told.done() {
                            // As many as they should be.
                            tokio::time::sleep(Duration::from_millis(1)).await;
                            continue;
                        }
                        told.updates.fetch_add(1, Ordering::Relaxed);
                        let op = json!({"op": "increment", "key": "n"});
                        let is_done = change(&mut conn, &mut browser, op, &told).await;
                        *(if is_done { &mut done } else { &mut refused }) += 1;
                    }
                    (done, refused)
                });
            }
            shared.push((browser, sharers));
        }
        Self { told, own, shared }
    }

    /// Waits until so many changes were acknowledged.
    pub(crate) async fn done(&self, changes: u64) {
        while self.told.done() < changes {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits for the end: nothing is lost, and nothing is done twice.
    pub(crate) async fn finish(self) -> Arc<Told> {
        for (mut browser, own) in self.own.join_all().await {
            let n = number(&mut browser).await;
            let possible = own.acknowledged..=own.last;
            assert!(possible.contains(&n), "{n} is stored, of {possible:?}");
        }
        for (mut browser, sharers) in self.shared {
            let sums = sharers.join_all().await;
            let (done, refused) = sums.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
            let n = number(&mut browser).await;
            assert!((done..=done + refused).contains(&n), "{n} counted, {done} acknowledged, {refused} refused");
        }
        self.told
    }
}

/// Asks for one change: whether it was acknowledged. If not, it was a 503.
async fn change(conn: &mut Connection, browser: &mut Browser, op: Value, told: &Told) -> bool {
    let (status, took) = ask(conn, browser, op).await;
    told.longest.fetch_max(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    match status {
        200 => told.done.fetch_add(1, Ordering::Relaxed),
        503 => told.refused.fetch_add(1, Ordering::Relaxed),
        other => panic!("{other}"),
    };
    status == 200
}

/// Asks for one operation on a connection of the browser's own: the response's status, and how long it took.
pub(crate) async fn ask(conn: &mut Connection, browser: &mut Browser, op: Value) -> (u16, Duration) {
    let script = json!([op, {"op": "fail"}]).to_string();
    let start = Instant::now();
    let reply = conn.try_send(browser, Request::post("/do").body(script).expect("a valid path")).await;
    (reply.expect("an answer").status, start.elapsed())
}

async fn number(browser: &mut Browser) -> u64 {
    let reply = browser.run(json!([{"op": "get", "key": "n"}])).await;
    assert_eq!(reply.status, 200);
    reply.result(0)["value"].as_u64().expect("a number")
}
