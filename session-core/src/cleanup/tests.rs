//! When the task cleans up, how it rests, and how it ends. The time is tokio's own, which stands still while anything can run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use time::OffsetDateTime;
use tokio::sync::{Semaphore, mpsc};

use super::*;
use crate::session::{Data, Record, SessionId};
use crate::store::{
    Applied, Caller, Checked, Created, Loaded, MemoryStore, SessionKey, SessionStore, StoreFuture, Update,
};
use crate::token::{TokenHash, TokenRef};
use crate::user_id::UserId;
use crate::{KeyRing, ManualClock, SessionConfig, SigningKey};

const HOUR: Duration = Duration::from_secs(3600);

/// A store that tells when a batch begins, and does it when it is let.
#[derive(Debug)]
struct Gated {
    rows: MemoryStore,
    begun: mpsc::UnboundedSender<Instant>,
    gate: Arc<Gate>,
}

#[derive(Debug)]
struct Gate {
    lets: Semaphore,
    fails: AtomicBool,
    panics: AtomicBool,
    deleted: AtomicU64,
}

impl Gate {
    fn deleted(&self) -> u64 {
        self.deleted.load(Ordering::SeqCst)
    }
}

/// A service over so many expired rows, the batches that begin, and the gate that they wait at.
async fn over(expired: u16) -> (CookieSessionService, mpsc::UnboundedReceiver<Instant>, Arc<Gate>) {
    let clock = ManualClock::default();
    let now = crate::Clock::now(&clock);
    let rows = MemoryStore::new();
    for number in 0..expired {
        let new = Arc::new(record(number, now - time::Duration::days(2)));
        rows.create(&new, &[], NonZeroU32::MAX, new.created_at).await.unwrap();
    }
    let (begun, begins) = mpsc::unbounded_channel();
    let gate = Gate {
        lets: Semaphore::new(0),
        fails: AtomicBool::default(),
        panics: AtomicBool::default(),
        deleted: AtomicU64::default(),
    };
    let gate = Arc::new(gate);
    let keys = KeyRing::new(SigningKey::from_bytes(&[1; 32]).unwrap());
    let config = SessionConfig::builder().build(keys).unwrap();
    let service = CookieSessionService::new(Gated { rows, begun, gate: Arc::clone(&gate) }, config);
    (service.with_clock(clock), begins, gate)
}

fn record(number: u16, ended: OffsetDateTime) -> Record {
    let mut bytes = [0; 32];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    let made = ended - time::Duration::HOUR;
    Record {
        id: SessionId::from_bytes(bytes[..16].try_into().unwrap()),
        user_id: UserId::parse(&format!("user {}", number % 100)).unwrap(),
        token_hash: TokenHash::from_slice(&bytes).unwrap(),
        previous_token_hash: None,
        token_issued_at: made,
        token_seen: false,
        successor: None,
        strict_rotated_at: None,
        client: Arc::default(),
        data: Data::from_text("{}"),
        version: 0,
        persistent: true,
        created_at: made,
        authenticated_at: made,
        last_active_at: made,
        expires_at: ended,
        absolute_expires_at: ended,
    }
}

/// What comes within a day, which takes no time.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(24 * HOUR, future).await.expect("it comes")
}

#[tokio::test(start_paused = true)]
async fn told_to_stop_it_ends_after_the_batch_that_it_is_at() {
    let (service, mut begins, gate) = over(175).await;
    let task = service.spawn_cleanup(HOUR);
    begins.recv().await.unwrap();
    gate.lets.add_permits(1);
    begins.recv().await.unwrap();
    let mut stop = std::pin::pin!(task.stop());
    assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(stop.as_mut().poll(cx).is_pending())).await);
    gate.lets.add_permits(10);
    soon(stop).await;
    assert_eq!((gate.deleted(), begins.try_recv().is_ok()), (100, false));
}

#[tokio::test(start_paused = true)]
async fn told_to_stop_while_it_waits_it_ends_at_once() {
    let (service, mut begins, _gate) = over(1).await;
    let start = Instant::now();
    soon(service.spawn_cleanup(HOUR).stop()).await;
    assert_eq!((start.elapsed(), begins.try_recv().is_ok()), (Duration::ZERO, false));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_handle_ends_the_task_and_lets_go_of_the_store() {
    let (service, mut begins, gate) = over(175).await;
    let task = service.spawn_cleanup(HOUR);
    drop(service);
    begins.recv().await.unwrap();
    drop(task);
    gate.lets.add_permits(10);
    assert_eq!(begins.recv().await, None, "the store is dropped, with no other batch begun");
    assert_eq!(gate.deleted(), 50);
}

#[test]
fn the_task_ends_with_its_runtime_and_stop_knows() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let first = runtime();
    let (task, mut begins, gate) = first.block_on(async {
        let (service, mut begins, gate) = over(175).await;
        let task = service.spawn_cleanup(HOUR);
        begins.recv().await.unwrap();
        (task, begins, gate)
    });
    drop(first);
    runtime().block_on(async {
        task.stop().await;
        assert_eq!((begins.recv().await, gate.deleted()), (None, 0));
    });
}

#[tokio::test(start_paused = true)]
async fn after_a_batch_it_rests_199_times_as_long_as_that_took() {
    let (service, mut begins, gate) = over(125).await;
    let _task = service.spawn_cleanup(HOUR);
    let mut begun = begins.recv().await.unwrap();
    for seconds in [3, 20] {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        gate.lets.add_permits(1);
        let next = begins.recv().await.unwrap();
        assert_eq!((next - begun).as_secs(), 200 * seconds, "the batch, and the rest");
        begun = next;
    }
    gate.lets.add_permits(1);
    let next = begins.recv().await.unwrap();
    assert_eq!((gate.deleted(), next - begun >= HOUR / 2), (125, true), "the next pass");
}

#[tokio::test(start_paused = true)]
async fn each_pass_begins_at_a_random_moment_of_the_intervals_second_half() {
    let (service, mut begins, gate) = over(0).await;
    let mut last = Instant::now();
    let _task = service.spawn_cleanup(HOUR);
    let mut waits = Vec::new();
    for _ in 0..50 {
        let begun = begins.recv().await.unwrap();
        gate.lets.add_permits(1);
        waits.push((begun - last).as_secs());
        last = begun;
    }
    assert!(waits.iter().all(|wait| (1800..=3600).contains(wait)), "{waits:?}");
    waits.sort_unstable();
    waits.dedup();
    assert!(waits.len() > 10, "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn after_an_error_it_waits_for_the_next_pass_and_goes_on() {
    let (service, mut begins, gate) = over(15).await;
    let (tell, mut told) = mpsc::unbounded_channel();
    let service = service.with_observer(move |event| tell.send(format!("{event:?}")).unwrap());
    let _task = service.spawn_cleanup(HOUR);
    // So that the batches have an end should the task have one.
    drop(service);
    let first = begins.recv().await.unwrap();
    gate.fails.store(true, Ordering::SeqCst);
    gate.lets.add_permits(1);
    let second = begins.recv().await.unwrap();
    assert!((HOUR / 2..=HOUR + Duration::from_secs(1)).contains(&(second - first)), "{:?}", second - first);
    assert!(told.try_recv().unwrap().starts_with("CleanupFailed"));
    gate.fails.store(false, Ordering::SeqCst);
    gate.lets.add_permits(2);
    begins.recv().await.unwrap();
    begins.recv().await.unwrap();
    assert_eq!((gate.deleted(), told.try_recv().is_ok()), (15, false));
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "a store of the test's own")]
async fn a_panic_of_the_store_is_told_by_stop() {
    let (service, mut begins, gate) = over(1).await;
    let task = service.spawn_cleanup(HOUR);
    begins.recv().await.unwrap();
    gate.panics.store(true, Ordering::SeqCst);
    gate.lets.add_permits(1);
    task.stop().await;
}

impl SessionStore for Gated {
    fn create<'a>(
        &'a self,
        new: &'a Arc<Record>,
        replaces: &'a [SessionKey],
        limit: NonZeroU32,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Created> {
        self.rows.create(new, replaces, limit, now)
    }

    fn load<'a>(&'a self, sessions: &'a [TokenRef], now: OffsetDateTime) -> StoreFuture<'a, Loaded> {
        self.rows.load(sessions, now)
    }

    fn apply<'a>(&'a self, caller: &'a Caller, update: &'a Update, now: OffsetDateTime) -> StoreFuture<'a, Applied> {
        self.rows.apply(caller, update, now)
    }

    fn end<'a>(
        &'a self,
        user: &'a UserId,
        id: SessionId,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<bool>> {
        self.rows.end(user, id, by, now)
    }

    fn end_all<'a>(
        &'a self,
        user: &'a UserId,
        except: Option<SessionId>,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<Vec<SessionId>>> {
        self.rows.end_all(user, except, by, now)
    }

    fn list<'a>(
        &'a self,
        user: &'a UserId,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<Vec<Arc<Record>>>> {
        self.rows.list(user, by, now)
    }

    fn max_data_bytes(&self) -> Option<usize> {
        self.rows.max_data_bytes()
    }

    fn purge_expired<'a>(&'a self, before: OffsetDateTime, limit: NonZeroU32) -> StoreFuture<'a, u64> {
        Box::pin(async move {
            self.begun.send(Instant::now()).expect("the test looks");
            self.gate.lets.acquire().await.expect("never closed").forget();
            assert!(!self.gate.panics.load(Ordering::SeqCst), "a store of the test's own");
            if self.gate.fails.load(Ordering::SeqCst) {
                return Err(StoreError::not_applied("told to fail"));
            }
            let deleted = self.rows.purge_expired(before, limit).await?;
            self.gate.deleted.fetch_add(deleted, Ordering::SeqCst);
            Ok(deleted)
        })
    }
}
