//! One operation of a request at a time, in the order in which they were called, and each of them to its end. Not here: what an
//! operation does.
//!
//! Handlers may give an operation up: a timeout around it, a task that is aborted, a client that hangs up; or they keep its future
//! and no longer poll it. The store has been asked by then, and its answer decides what the next operation may do. So an operation
//! that isn't done at once goes on in a task of its own, whatever becomes of its future, and what was called after it waits. One
//! that was given up before it began never begins.

use std::any::Any;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tracing::{Instrument, Span};

use super::Request;
use crate::error::{Result, StoreError};

/// The order of a request's operations.
#[derive(Default)]
pub(super) struct Order(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    /// The operation under way.
    running: Option<Running>,
    waiting: VecDeque<Place>,
    /// How many there were so far.
    count: u64,
}

/// What is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Now {
    Free,
    /// An operation that its caller waits for.
    Awaited,
    /// An operation that was given up.
    Abandoned,
}

struct Running {
    number: u64,
    /// Its caller no longer waits for it.
    is_abandoned: bool,
}

struct Place {
    number: u64,
    is_abandoned: bool,
    waiting: Waiting,
}

impl Place {
    const fn running(&self) -> Running {
        Running { number: self.number, is_abandoned: self.is_abandoned }
    }
}

enum Waiting {
    /// Runs in a task of its own.
    Work(Job),
    /// Is handed the permit.
    Grant(oneshot::Sender<Permit>),
}

/// An operation that runs in a task of its own.
struct Job {
    /// Ends by giving the outcome to the caller, if there is one.
    work: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Holds the permit until the caller has the outcome.
    handover: Handover,
    /// Ends when the caller has it, or has given up.
    fetched: oneshot::Receiver<()>,
}

/// The permit of an operation, which its task and its caller share.
#[derive(Clone, Default)]
struct Handover(Arc<Mutex<Option<Permit>>>);

impl Handover {
    fn lock(&self) -> MutexGuard<'_, Option<Permit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, permit: Permit) {
        *self.lock() = Some(permit);
    }

    /// Lets the next operation begin.
    fn release(&self) {
        let permit = self.lock().take();
        drop(permit);
    }
}

/// For how long an outcome waits for its caller.
const UNFETCHED: Duration = Duration::from_secs(1);

/// What an operation gave, or with what it panicked.
type Outcome<T> = std::result::Result<Result<T>, Box<dyn Any + Send>>;

/// The runtime in which an operation went on has ended.
#[derive(Debug, thiserror::Error)]
#[error("the runtime of a session operation ended before it was done")]
struct Abandoned;

impl Order {
    /// The operation under way.
    pub(super) fn now(&self) -> Now {
        match &self.lock().running {
            None => Now::Free,
            Some(running) if running.is_abandoned => Now::Abandoned,
            Some(_) => Now::Awaited,
        }
    }

    /// Begins, if nothing is under way: the operation's number.
    fn begin(&self) -> Option<u64> {
        let mut queue = self.lock();
        if queue.running.is_some() {
            return None;
        }
        queue.count += 1;
        let number = queue.count;
        queue.running = Some(Running { number, is_abandoned: false });
        Some(number)
    }

    /// Waits behind the others, unless nothing is under way any more.
    fn wait(&self, request: &Arc<Request>, waiting: Waiting, is_abandoned: bool) -> u64 {
        let mut queue = self.lock();
        queue.count += 1;
        let number = queue.count;
        queue.waiting.push_back(Place { number, is_abandoned, waiting });
        if queue.running.is_none() {
            queue.running = Some(Running { number: 0, is_abandoned: false });
            drop(queue);
            drop(Permit(Arc::clone(request)));
        }
        number
    }

    /// Its caller no longer waits: it goes on if it has begun, and never begins if it hasn't.
    fn give_up(&self, number: u64) {
        let mut queue = self.lock();
        match &mut queue.running {
            Some(running) if running.number == number => running.is_abandoned = true,
            _ => {
                let place = queue.waiting.iter().position(|place| place.number == number);
                // Dropped after the lock, as it may hold the last handle.
                let given_up = place.and_then(|place| queue.waiting.remove(place));
                drop(queue);
                drop(given_up);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics between two consistent states.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The permit of the operation that is under way. Dropped, it is the next one's.
pub(crate) struct Permit(Arc<Request>);

impl Permit {
    /// For an operation that runs in its caller's future.
    pub(crate) async fn of(request: &Arc<Request>) -> Self {
        loop {
            if request.order.begin().is_some() {
                return Self(Arc::clone(request));
            }
            let (grant, granted) = oneshot::channel();
            let number = request.order.wait(request, Waiting::Grant(grant), false);
            let waits = Waits { request, number };
            let permit = granted.await;
            std::mem::forget(waits);
            // None only where the runtime has ended.
            if let Ok(permit) = permit {
                return permit;
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let request = &self.0;
        request.settle_later();
        let next = {
            let mut queue = request.order.lock();
            let next = queue.waiting.pop_front();
            queue.running = next.as_ref().map(Place::running);
            next
        };
        let permit = || Self(Arc::clone(request));
        match next.map(|place| place.waiting) {
            None => {}
            // Refused by one that no longer waits: the permit comes back and is dropped.
            Some(Waiting::Grant(grant)) => drop(grant.send(permit())),
            Some(Waiting::Work(job)) => go_on(permit(), job),
        }
    }
}

/// Runs the rest of an operation in a task of its own.
fn go_on(permit: Permit, Job { work, handover, fetched }: Job) {
    // Without a runtime it ends here. What it has left open is settled by the next one, as after a store that didn't answer.
    if let Ok(runtime) = Handle::try_current() {
        // The permit keeps it as long as that is needed: with the last handle goes what was never saved.
        let request = Arc::downgrade(&permit.0);
        handover.put(permit);
        let rest = async move {
            work.await;
            // Fetched, given up, or neither in time: it is the next one's turn in any case.
            drop(tokio::time::timeout(UNFETCHED, fetched).await);
            if let Some(request) = request.upgrade() {
                request.end_unfetched_sign_in().await;
            }
            handover.release();
        };
        runtime.spawn(rest.instrument(Span::current()));
    }
}

impl Request {
    /// Runs `operation` when those before it are done, and what they left open is settled.
    ///
    /// # Errors
    /// What the operation gives; or 503 if what was left open can't be settled.
    pub(crate) async fn run<T, F>(self: &Arc<Self>, operation: impl FnOnce(Arc<Self>) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let (request, operation) = (Arc::clone(self), operation(Arc::clone(self)));
        let mut work = Box::pin(caught(async move {
            if request.has_open() {
                request.settle().await?;
            }
            operation.await
        }));
        let begun = self.order.begin();
        let permit = begun.map(|_| Permit(Arc::clone(self)));
        // What a store answers at once needs no task.
        if permit.is_some()
            && let Poll::Ready(outcome) = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await
        {
            self.lock().unfetched_sign_in = None;
            drop(permit);
            return given(outcome);
        }
        let (answer, outcome) = oneshot::channel();
        let (has_fetched, fetched) = oneshot::channel();
        let handover = Handover::default();
        let work = Box::pin(async move { drop(answer.send(work.await)) });
        let job = Job { work, handover: handover.clone(), fetched };
        let number = match (begun, permit) {
            (Some(number), Some(permit)) => {
                go_on(permit, job);
                number
            }
            _ => self.order.wait(self, Waiting::Work(job), false),
        };
        let waits = Waits { request: self, number };
        let outcome = outcome.await;
        std::mem::forget(waits);
        self.lock().unfetched_sign_in = None;
        handover.release();
        drop(has_fetched);
        match outcome {
            Ok(outcome) => given(outcome),
            Err(_) => Err(self.service.failed(StoreError::unknown(Abandoned))),
        }
    }

    /// Runs `operation` when those before it are done, and no one waits for it.
    pub(super) fn run_unawaited(self: &Arc<Self>, operation: impl Future<Output = ()> + Send + 'static) {
        // One that panics is reported by the panic.
        let operation = async move {
            operation.await;
            Ok(())
        };
        let work = Box::pin(async move { drop(caught(operation).await) });
        let (_, fetched) = oneshot::channel();
        self.order.wait(self, Waiting::Work(Job { work, handover: Handover::default(), fetched }), true);
    }

    /// Once the response has left no operation may follow that would settle what is open: tries again for about a minute.
    fn settle_later(self: &Arc<Self>) {
        let mut progress = self.lock();
        if !progress.head_sent || !progress.has_open() || progress.is_settling {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        progress.is_settling = true;
        drop(progress);
        let request = Arc::clone(self);
        let settles = async move {
            for pause in [1, 2, 4, 8, 16, 32].map(Duration::from_secs) {
                tokio::time::sleep(pause).await;
                // A failure was reported by an event.
                if request.run(async |_| Ok(())).await.is_ok() {
                    break;
                }
            }
            request.lock().is_settling = false;
        };
        runtime.spawn(settles.instrument(Span::current()));
    }
}

/// A caller that waits. Dropped, it has given up.
struct Waits<'a> {
    request: &'a Arc<Request>,
    number: u64,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.request.order.give_up(self.number);
    }
}

/// The future with a panic as its outcome.
async fn caught<T>(work: impl Future<Output = Result<T>>) -> Outcome<T> {
    let mut work = std::pin::pin!(work);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(outcome)) => Poll::Ready(Ok(outcome)),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

fn given<T>(outcome: Outcome<T>) -> Result<T> {
    outcome.unwrap_or_else(|panic| resume_unwind(panic))
}
