//! When the task cleans up, how it rests, and how it ends. The time is tokio's own, which stands
//! still while anything can run.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use time::OffsetDateTime;
use tokio::sync::{Semaphore, mpsc};

use super::*;
use crate::model::data::Data;
use crate::model::record::Record;
use crate::model::session_id::SessionId;
use crate::model::token::TokenHash;
use crate::model::user_id::UserId;
use crate::store::{Forgotten, MemoryStore, SessionStore, StoreFuture};
use crate::testing::intercept::{Answer, Intercept, Intercepted, Operation};
use crate::{KeyRing, ManualClock, SessionConfig, SigningKey};

const HOUR: Duration = Duration::from_secs(3600);

/// Makes a store report when a batch begins, and do it when it is let.
#[derive(Debug)]
struct Gated {
    begun: mpsc::UnboundedSender<Instant>,
    gate: Arc<Gate>,
}

#[derive(Debug)]
struct Gate {
    lets: Semaphore,
    fails: AtomicBool,
    panics: AtomicBool,
    /// Each batch is full, whatever it deletes.
    never_ends: AtomicBool,
    deleted: AtomicU64,
    /// The server's time, and how often it was asked for.
    time: Mutex<Option<OffsetDateTime>>,
    asked: AtomicU64,
    /// How many looks it takes to see all users, and how often all were seen.
    users: AtomicU64,
    looked_at_all: AtomicU64,
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
        never_ends: AtomicBool::default(),
        deleted: AtomicU64::default(),
        time: Mutex::default(),
        asked: AtomicU64::default(),
        users: AtomicU64::default(),
        looked_at_all: AtomicU64::default(),
    };
    let gate = Arc::new(gate);
    let keys = KeyRing::new(SigningKey::from_bytes(&[1; 32]).unwrap());
    let config = SessionConfig::builder().build(keys).unwrap();
    let service =
        CookieSessionService::new(Intercepted::new(Arc::new(rows), Gated { begun, gate: Arc::clone(&gate) }), config);
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
    let (service, mut begins, gate) = over(375).await;
    let task = service.spawn_cleanup(HOUR);
    begins.recv().await.unwrap();
    gate.lets.add_permits(1);
    begins.recv().await.unwrap();
    let mut stop = std::pin::pin!(task.stop());
    assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(stop.as_mut().poll(cx).is_pending())).await);
    gate.lets.add_permits(10);
    soon(stop).await;
    assert_eq!((gate.deleted(), begins.try_recv().is_ok()), (300, false));
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
    assert_eq!(gate.deleted(), 100);
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
async fn after_a_full_batch_it_rests_nine_times_as_long_as_that_took() {
    let (service, mut begins, gate) = over(225).await;
    let _task = service.spawn_cleanup(HOUR);
    let mut begun = begins.recv().await.unwrap();
    for millis in [10, 20] {
        tokio::time::advance(Duration::from_millis(millis)).await;
        gate.lets.add_permits(1);
        let next = begins.recv().await.unwrap();
        assert!((10 * millis..=10 * millis + 2).contains(&((next - begun).as_millis() as u64)), "{:?}", next - begun);
        begun = next;
    }
    gate.lets.add_permits(1);
    let next = begins.recv().await.unwrap();
    assert_eq!((gate.deleted(), next - begun >= HOUR / 2), (225, true), "the next pass");
}

#[tokio::test(start_paused = true)]
async fn the_first_pass_begins_at_a_random_moment_of_the_first_minute() {
    let mut waits = Vec::new();
    for _ in 0..50 {
        let (service, mut begins, _gate) = over(0).await;
        let start = Instant::now();
        let _task = service.spawn_cleanup(24 * HOUR);
        waits.push((begins.recv().await.unwrap() - start).as_secs());
    }
    assert!(waits.iter().all(|wait| (0..=60).contains(wait)), "{waits:?}");
    waits.sort_unstable();
    waits.dedup();
    assert!(waits.len() > 10, "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn each_pass_after_it_begins_at_a_random_moment_of_the_intervals_second_half() {
    let (service, mut begins, gate) = over(0).await;
    let _task = service.spawn_cleanup(HOUR);
    let mut last = begins.recv().await.unwrap();
    let mut waits = Vec::new();
    for _ in 0..50 {
        gate.lets.add_permits(1);
        let begun = begins.recv().await.unwrap();
        waits.push((begun - last).as_secs());
        last = begun;
    }
    assert!(waits.iter().all(|wait| (1800..=3600).contains(wait)), "{waits:?}");
    waits.sort_unstable();
    waits.dedup();
    assert!(waits.len() > 10, "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn what_failed_is_tried_again_soon_then_less_soon() {
    let (service, mut begins, gate) = over(15).await;
    let (service, mut told) = observed(service);
    let _task = service.spawn_cleanup(HOUR);
    // So that the batches have an end should the task have one.
    drop(service);
    let mut last = begins.recv().await.unwrap();
    gate.fails.store(true, Ordering::SeqCst);
    for most in [1000, 2000, 4000, 8000] {
        gate.lets.add_permits(1);
        let next = begins.recv().await.unwrap();
        assert!((most / 2..=most + 1).contains(&(next - last).as_millis()), "{:?}, not {most}", next - last);
        assert!(told.try_recv().unwrap().starts_with("CleanupFailed"));
        last = next;
    }
    gate.fails.store(false, Ordering::SeqCst);
    gate.lets.add_permits(1);
    let next = begins.recv().await.unwrap();
    assert_eq!((gate.deleted(), next - last >= HOUR / 2, told.try_recv().is_ok()), (15, true, false));
}

#[tokio::test(start_paused = true)]
async fn five_minutes_without_an_end_are_told_once() {
    let (service, mut begins, gate) = over(15).await;
    let (service, mut told) = observed(service);
    gate.never_ends.store(true, Ordering::SeqCst);
    let _task = service.spawn_cleanup(HOUR);
    let start = begins.recv().await.unwrap();
    while start.elapsed() < Duration::from_secs(900) {
        tokio::time::advance(Duration::from_millis(20)).await;
        gate.lets.add_permits(1);
        begins.recv().await.unwrap();
        if start.elapsed() < Duration::from_secs(295) {
            assert_eq!(told.try_recv().ok(), None, "after {:?}", start.elapsed());
        }
    }
    let event = told.try_recv().unwrap();
    assert!(event.starts_with("CleanupBehind { at_it: 30"), "{event}");
    assert_eq!(told.try_recv().ok(), None);
}

/// A clock that stands still, and says that it is the system's.
#[derive(Debug)]
struct AsSystem(ManualClock);

impl crate::Clock for AsSystem {
    fn now(&self) -> OffsetDateTime {
        self.0.now()
    }

    fn is_system(&self) -> bool {
        true
    }
}

/// What a pass does on a clock that is so far ahead of the server's: rows that it deletes of 15
/// that expired two days before, and the events.
async fn pass_ahead(ahead: time::Duration, is_system: bool) -> (u64, Vec<String>) {
    let (service, mut begins, gate) = over(15).await;
    let (service, mut told) = observed(service);
    let clock = ManualClock::default();
    *gate.time.lock().unwrap() = Some(crate::Clock::now(&clock) - ahead);
    let service = if is_system { service.with_clock(AsSystem(clock)) } else { service.with_clock(clock) };
    let task = service.spawn_cleanup(HOUR);
    gate.lets.add_permits(1);
    let passes = async {
        while gate.asked.load(Ordering::SeqCst) < 2 && begins.try_recv().is_err() {
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    };
    soon(passes).await;
    drop(task);
    (gate.deleted(), std::iter::from_fn(|| told.try_recv().ok()).collect())
}

#[tokio::test(start_paused = true)]
async fn the_earlier_of_both_clocks_decides() {
    let minute = time::Duration::MINUTE;
    assert_eq!(pass_ahead(time::Duration::ZERO, true).await, (15, vec![]));
    assert_eq!(pass_ahead(59 * minute, true).await, (15, vec![]));
    assert_eq!(pass_ahead(-3 * 24 * 60 * minute, true).await, (15, vec![]), "the server's is ahead");
    let (deleted, told) = pass_ahead(61 * minute, true).await;
    assert_eq!(deleted, 0);
    assert!(told.iter().all(|event| event == "CleanupClockAhead { by: 3660s }") && !told.is_empty(), "{told:?}");
    assert_eq!(pass_ahead(61 * minute, false).await, (15, vec![]), "a clock of a test's own");
}

#[tokio::test(start_paused = true)]
async fn users_are_looked_at_a_few_at_a_time_beside_the_passes_and_all_every_six_hours() {
    let (service, mut begins, gate) = over(0).await;
    // So slow that one look goes on for several passes.
    gate.users.store(10, Ordering::SeqCst);
    let _task = service.spawn_cleanup(HOUR);
    let (start, mut passes) = (begins.recv().await.unwrap(), 0);
    while gate.looked_at_all.load(Ordering::SeqCst) < 2 {
        gate.lets.add_permits(1);
        begins.recv().await.unwrap();
        passes += 1;
        if gate.looked_at_all.load(Ordering::SeqCst) == 0 {
            assert!(start.elapsed() < 3 * HOUR, "10 looks of 10 seconds, with rests of 49 times that");
        }
    }
    assert!(passes > 6, "a pass every hour: {passes}");
    assert!((7 * HOUR..10 * HOUR).contains(&start.elapsed()), "{:?}", start.elapsed());
}

fn observed(service: CookieSessionService) -> (CookieSessionService, mpsc::UnboundedReceiver<String>) {
    let (tell, told) = mpsc::unbounded_channel();
    // The receiver may be gone.
    (service.with_observer(move |event| drop(tell.send(format!("{event:?}")))), told)
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

impl Intercept for Gated {
    fn call<'a>(&'a self, store: &'a Arc<dyn SessionStore>, operation: Operation<'a>) -> StoreFuture<'a, Answer> {
        Box::pin(async move {
            match operation {
                Operation::Purge { before, limit } => self.purge(store, before, limit).await.map(Answer::Purge),
                Operation::ForgetUsers { after, .. } => Ok(Answer::ForgetUsers(self.forget_users(after).await)),
                Operation::ServerTime {} => {
                    self.gate.asked.fetch_add(1, Ordering::SeqCst);
                    Ok(Answer::ServerTime(*self.gate.time.lock().unwrap()))
                }
                other => other.ask(store).await,
            }
        })
    }
}

impl Gated {
    async fn purge(
        &self,
        store: &dyn SessionStore,
        before: OffsetDateTime,
        limit: NonZeroU32,
    ) -> Result<u64, StoreError> {
        self.begun.send(Instant::now()).expect("the test looks");
        self.gate.lets.acquire().await.expect("never closed").forget();
        assert!(!self.gate.panics.load(Ordering::SeqCst), "a store of the test's own");
        if self.gate.fails.load(Ordering::SeqCst) {
            return Err(StoreError::not_applied("told to fail"));
        }
        let deleted = store.purge_expired(before, limit).await?;
        self.gate.deleted.fetch_add(deleted, Ordering::SeqCst);
        Ok(if self.gate.never_ends.load(Ordering::SeqCst) { u64::from(limit.get()) } else { deleted })
    }

    async fn forget_users(&self, after: Option<&str>) -> Forgotten {
        let users = self.gate.users.load(Ordering::SeqCst);
        if users == 0 {
            return Forgotten::default();
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
        let at = after.map_or(0, |at| at.parse().expect("a number")) + 1;
        if at == users {
            self.gate.looked_at_all.fetch_add(1, Ordering::SeqCst);
            return Forgotten::default();
        }
        Forgotten { users: 0, next: Some(at.to_string()) }
    }
}
