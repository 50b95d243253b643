//! Browsers that write all the time while a trial makes their server fail, and what must hold of
//! all that they were told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use conformance_tests::BoxFuture;
use conformance_tests::browser::Browser;
use conformance_tests::world::World;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Browsers, each with a session of its own.
const WRITERS: usize = 8;

/// Writers at work.
pub(super) struct Load {
    world: World,
    writers: Vec<Writer>,
    stop: Arc<AtomicBool>,
    /// Even while the server is well.
    phase: Arc<AtomicU64>,
    /// Cookies of sessions that were signed out before a fault.
    gone: Vec<String>,
}

struct Writer {
    browser: Browser,
    told: watch::Receiver<Told>,
    task: JoinHandle<()>,
}

/// What one writer has been told.
#[derive(Debug, Clone, Default)]
struct Told {
    /// Numbers of the requests that were acknowledged.
    stored: Vec<u64>,
    /// How many were a 503.
    refused: usize,
    /// How many of these began and ended while the server was well.
    for_nothing: u64,
}

/// The sums of a load that held what was promised.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) stored: u64,
    pub(super) refused: usize,
    pub(super) for_nothing: u64,
    /// Acknowledged, and undone by a failover.
    pub(super) lost: u64,
}

impl Load {
    /// Starts writing, so many bytes with each request.
    pub(super) async fn start(world: &World, bytes: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let phase = Arc::new(AtomicU64::new(0));
        let mut writers = Vec::new();
        for writer in 0..WRITERS {
            let mut browser = world.browser();
            browser.sign_in(&format!("writer {writer}")).await;
            let (tell, told) = watch::channel(Told::default());
            let task = tokio::spawn(write(browser.clone(), bytes, tell, Arc::clone(&stop), Arc::clone(&phase)));
            writers.push(Writer { browser, told, task });
        }
        Self { world: world.clone(), writers, stop, phase, gone: Vec::new() }
    }

    /// Waits until each writer has had so many more requests acknowledged.
    pub(super) async fn stored(&self, more: usize) {
        futures_util::future::join_all(self.waits(move |told| (told.stored.len(), more))).await;
    }

    /// Waits until any writer has had one more request acknowledged.
    pub(super) async fn stored_one(&self) {
        futures_util::future::select_all(self.waits(|told| (told.stored.len(), 1))).await;
    }

    /// Waits until each writer has been refused once more.
    pub(super) async fn refused(&self) {
        futures_util::future::join_all(self.waits(|told| (told.refused, 1))).await;
    }

    /// For each writer the wait until a count of what it was told is so much more.
    fn waits(
        &self,
        count: impl Fn(&Told) -> (usize, usize) + Copy + Send + Sync + 'static,
    ) -> Vec<BoxFuture<'static, ()>> {
        let wait = |writer: &Writer| {
            let mut told = writer.told.clone();
            let (before, more) = count(&told.borrow());
            Box::pin(async move {
                told.wait_for(|told| count(told).0 >= before + more).await.expect("a writer that runs");
            }) as BoxFuture<'static, ()>
        };
        self.writers.iter().map(wait).collect()
    }

    /// From now on the server may fail, after one more session was signed out.
    pub(super) async fn before_the_fault(&mut self) {
        let mut browser = self.world.browser();
        browser.sign_in(&format!("gone {}", self.gone.len())).await;
        self.gone.push(browser.cookie().expect("signed in"));
        let reply = browser.run(json!([{"op": "logout"}])).await;
        assert_eq!((reply.status, reply.error_status(0)), (200, None));
        self.phase.fetch_add(1, Ordering::SeqCst);
    }

    /// From now on it is well.
    pub(super) fn after_the_fault(&self) {
        self.phase.fetch_add(1, Ordering::SeqCst);
    }

    /// How many requests were refused while the server was well.
    pub(super) fn for_nothing(&self) -> u64 {
        self.writers.iter().map(|writer| writer.told.borrow().for_nothing).sum()
    }

    /// Stops, and checks that nothing is lost and nothing is back.
    pub(super) async fn finish(self) -> Totals {
        let totals = self.finish_after_failovers().await;
        assert_eq!(totals.lost, 0, "what was acknowledged is there");
        totals
    }

    /// Stops, and checks the same but for what failovers may undo: values.
    pub(super) async fn finish_after_failovers(self) -> Totals {
        self.stop.store(true, Ordering::SeqCst);
        let mut totals = Totals::default();
        for (writer, Writer { mut browser, told, task }) in self.writers.into_iter().enumerate() {
            task.await.expect("a writer that ends well");
            let told = told.borrow().clone();
            let reply = browser.run(json!([{"op": "current"}])).await;
            assert_eq!(reply.status, 200, "writer {writer} is still signed in: {reply:?}");
            totals.lost += check(writer, &told, &reply.result(0)["data"]);
            totals.stored += told.stored.len() as u64;
            totals.refused += told.refused;
            totals.for_nothing += told.for_nothing;
        }
        for cookie in self.gone {
            let mut browser = self.world.browser();
            browser.set_cookie(cookie);
            let reply = browser.run(json!([{"op": "user_id"}])).await;
            assert_eq!((reply.status, reply.result(0)), (200, json!(null)), "signed out stays signed out");
        }
        totals
    }
}

async fn write(
    mut tab: Browser,
    bytes: usize,
    tell: watch::Sender<Told>,
    stop: Arc<AtomicBool>,
    phase: Arc<AtomicU64>,
) {
    for number in 0.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let began = phase.load(Ordering::SeqCst);
        let reply = tab
            .run(json!([
                {"op": "increment", "key": "n"},
                {"op": "set", "key": number.to_string(), "value": 1},
                {"op": "set", "key": "filling", "value": filling(number, bytes)},
            ]))
            .await;
        let well = began.is_multiple_of(2) && began == phase.load(Ordering::SeqCst);
        tell.send_modify(|told| match reply.status {
            200 => {
                assert!((0..3).all(|op| reply.error_status(op).is_none()), "{reply:?}");
                told.stored.push(number);
            }
            503 => {
                told.refused += 1;
                told.for_nothing += u64::from(well);
            }
            status => panic!("{status}: {reply:?}"),
        });
    }
}

/// Text that doesn't shrink when it is compressed much, another one for each number.
pub(super) fn filling(number: u64, bytes: usize) -> String {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let letters = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'0' + (state % 64) as u8)
    });
    letters.take(bytes).filter(|letter| !matches!(letter, '\\' | '"')).collect()
}

/// Returns how many acknowledged requests left nothing.
fn check(writer: usize, told: &Told, data: &Value) -> u64 {
    let missing: Vec<_> = told.stored.iter().filter(|number| data[number.to_string()] != json!(1)).collect();
    if !missing.is_empty() {
        let kept: Vec<_> = data.as_object().into_iter().flatten().map(|(key, _)| key).collect();
        println!(
            "writer {writer}: acknowledged {:?}, of which {missing:?} are not there; there are {kept:?}",
            told.stored
        );
    }
    let lost = missing.len() as u64;
    let counted = data["n"].as_u64().expect("a count");
    let acknowledged = told.stored.len() as u64;
    // What was a 503 may have been stored, whole and once.
    let possible = acknowledged - lost..=acknowledged + told.refused as u64;
    assert!(
        possible.contains(&counted),
        "writer {writer}: {counted} counted, {acknowledged} acknowledged, {lost} lost"
    );
    assert_eq!(counted, data.as_object().expect("an object").len() as u64 - 2, "as many increments as keys");
    lost
}

/// What each kind of request gets while nothing can be written, all at once: reads as `reads` says,
/// what finds nothing to end too, and what writes is a 503 that leaves the cookie alone.
pub(super) async fn nothing_can_be_written(world: &World, signed_in: &Browser, reads: u16) {
    let stranger = world.browser();
    let unknown = if reads == 200 { 404 } else { reads };
    let requests = [
        (&stranger, json!({"op": "user_id"}), 200),
        (&stranger, json!({"op": "authenticate", "user": "stranger"}), 503),
        (signed_in, json!({"op": "get", "key": "n"}), reads),
        (signed_in, json!({"op": "list_my_sessions"}), reads),
        (signed_in, json!({"op": "set", "key": "lost", "value": 1}), 503),
        (signed_in, json!({"op": "authenticate", "user": "stranger"}), 503),
        (signed_in, json!({"op": "rotate"}), 503),
        (signed_in, json!({"op": "logout"}), 503),
        (signed_in, json!({"op": "logout_all"}), 503),
        (signed_in, json!({"op": "logout_other"}), reads),
        (signed_in, json!({"op": "revoke", "id": "018f0000-0000-7000-8000-000000000000"}), unknown),
    ];
    let replies = requests.into_iter().map(async |(browser, op, status)| {
        let reply = browser.clone().run(json!([op, {"op": "fail"}])).await;
        assert_eq!((reply.status, reply.set_cookies().len()), (status, 0), "{op}: {reply:?}");
    });
    futures_util::future::join_all(replies).await;
}
