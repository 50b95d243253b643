//! One operation of a request at a time, in the order of the calls, and each of them to its end.
//! Not here: what an operation does.
//!
//! Handlers may give an operation up: there is a timeout around it, its task is aborted, its client
//! hangs up, or its future is kept and no longer polled. By then the store has been asked, and its
//! answer decides what the next operation may do. So an operation that isn't done at its first poll
//! goes on in a task of its own, whatever becomes of its future, and the operations called after it
//! wait. One that was given up before it began never begins.
//!
//! The commit waits for what its response speaks for: operations that are awaited, and changes on
//! their way to the store. Activity may be recorded after the response.

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
use super::taking::PutBack;
use crate::error::{Result, StoreError};

/// The order of a request's operations.
#[derive(Default)]
pub(super) struct Order(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    /// The operation under way.
    running: Option<Running>,
    waiting: VecDeque<Place>,
    /// How many operations there were so far.
    count: u64,
}

/// Whether an operation is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Now {
    Free,
    /// An operation whose caller waits for it.
    Awaited,
    /// An operation that was given up.
    Abandoned,
}

struct Running {
    number: u64,
    /// Whether its caller no longer waits for it.
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
    /// Receives the permit.
    Grant(oneshot::Sender<Permit>),
}

/// An operation that runs in a task of its own.
struct Job {
    /// Ends by sending the outcome to the caller, if there is one.
    work: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Keeps the permit until the caller has the outcome.
    handover: Handover,
    /// Resolves when the caller has the outcome or has given up.
    fetched: oneshot::Receiver<()>,
}

/// The permit of an operation, shared by its task and its caller.
#[derive(Clone, Default)]
struct Handover(Arc<Mutex<Option<Permit>>>);

impl Handover {
    fn lock(&self) -> MutexGuard<'_, Option<Permit>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, permit: Permit) {
        *self.lock() = Some(permit);
    }

    fn is_held(&self) -> bool {
        self.lock().is_some()
    }

    /// Lets the next operation begin.
    fn release(&self) {
        let permit = self.lock().take();
        drop(permit);
    }
}

/// How long an outcome waits for its caller.
const UNFETCHED: Duration = Duration::from_secs(1);

/// What an operation returned, or its panic.
type Outcome<T> = std::result::Result<Result<T>, Box<dyn Any + Send>>;

/// The runtime in which an operation went on has ended.
#[derive(Debug, thiserror::Error)]
#[error("the runtime of a session operation ended before it was done")]
struct Abandoned;

impl Order {
    /// Whether an operation is under way, and whether its caller waits for it.
    pub(super) fn now(&self) -> Now {
        match &self.lock().running {
            None => Now::Free,
            Some(running) if running.is_abandoned => Now::Abandoned,
            Some(_) => Now::Awaited,
        }
    }

    /// Begins an operation if none is under way, and returns its number.
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

    /// Queues an operation behind the others. It begins at once if nothing is under way any more.
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

    /// Its caller no longer waits. If the operation has begun it goes on; otherwise it never
    /// begins.
    fn abandon(&self, number: u64) {
        let mut queue = self.lock();
        match &mut queue.running {
            Some(running) if running.number == number => running.is_abandoned = true,
            _ => {
                let place = queue.waiting.iter().position(|place| place.number == number);
                // Dropped after the lock is released, as it may hold the last handle.
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

/// The permit of the operation under way. Its drop passes it to the next one.
pub(crate) struct Permit(Arc<Request>);

impl Permit {
    /// The permit of an operation that runs in its caller's future.
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
            // An error only if the runtime has ended.
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
            // One that no longer waits returns the permit, and it is dropped here.
            Some(Waiting::Grant(grant)) => drop(grant.send(permit())),
            Some(Waiting::Work(job)) => go_on(permit(), job),
        }
    }
}

/// Runs the rest of an operation in a task of its own.
fn go_on(permit: Permit, Job { work, handover, fetched }: Job) {
    // Without a runtime the operation ends here. The next one settles what it left open, as it does
    // after a store that didn't answer.
    if let Ok(runtime) = Handle::try_current() {
        // Weak, since the permit keeps the request while that is needed. The drop of the last
        // handle reports changes that were never saved.
        let request = Arc::downgrade(&permit.0);
        handover.put(permit);
        let rest = async move {
            work.await;
            // The outcome was fetched, given up, or neither in time: in each case the next one may
            // begin.
            drop(tokio::time::timeout(UNFETCHED, fetched).await);
            // A caller that has it has passed the permit on.
            if handover.is_held()
                && let Some(request) = request.upgrade()
            {
                request.end_unfetched().await;
            }
            handover.release();
        };
        runtime.spawn(rest.instrument(Span::current()));
    }
}

impl Request {
    /// Runs `operation` when the operations before it are done and what they left open is settled.
    ///
    /// # Errors
    /// The operation's own error, or a 503 if what was left open can't be settled.
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
        // An operation that the store answers at once needs no task.
        if permit.is_some()
            && let Poll::Ready(outcome) = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await
        {
            self.lock().fetched();
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
        self.lock().fetched();
        handover.release();
        drop(has_fetched);
        match outcome {
            Ok(outcome) => given(outcome),
            Err(_) => Err(self.service.failed(StoreError::unknown(Abandoned))),
        }
    }

    /// Runs `operation` when the operations before it are done. No caller waits for it.
    pub(super) fn run_unawaited(self: &Arc<Self>, operation: impl Future<Output = ()> + Send + 'static) {
        // A panic reports itself.
        let operation = async move {
            operation.await;
            Ok(())
        };
        let work = Box::pin(async move { drop(caught(operation).await) });
        let (_, fetched) = oneshot::channel();
        self.order.wait(self, Waiting::Work(Job { work, handover: Handover::default(), fetched }), true);
    }

    /// Undoes what an operation has done, if its caller gave up before it had the outcome.
    async fn end_unfetched(self: &Arc<Self>) {
        let is_abandoned = self.order.now() == Now::Abandoned;
        self.end_unfetched_sign_in(is_abandoned).await;
        if is_abandoned && self.lock().has_unfetched_taken() {
            // An event reports a failure.
            drop(Arc::clone(self).put_back(PutBack::Unfetched).await);
        }
    }

    /// Settles what is open once the response has left, since no later operation may do it. It
    /// tries for about a minute.
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
                // An event has reported the failure.
                if request.run(async |_| Ok(())).await.is_ok() {
                    break;
                }
            }
            request.lock().is_settling = false;
        };
        runtime.spawn(settles.instrument(Span::current()));
    }
}

/// A caller that waits. Its drop means that it has given up.
struct Waits<'a> {
    request: &'a Arc<Request>,
    number: u64,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.request.order.abandon(self.number);
    }
}

/// Runs `work` and returns a panic as its outcome.
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
