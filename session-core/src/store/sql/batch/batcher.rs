//! Batches requests: those that arrive while a statement is running go into the next one together,
//! so the more there are at once, the less each costs. A request that arrives when little is
//! running runs at once.
//!
//! 1. Each request waits for its own reply, from a statement that began after the request arrived.
//! 2. A batch runs in a task of its own, so that a request that is dropped strands no other.
//! 3. A slow statement delays requests outside its own batch by [`MAX_WAIT`] at most. However many
//!    statements are slow, requests that arrive are still batched.
//! 4. If the database refuses a batch, or one of its rows can't be read, each of its requests runs
//!    as a statement of its own.
//! 5. A batch has at most [`MAX_BATCH`] requests and sends at most [`MAX_BATCH_BYTES`] of data; a
//!    larger request is a batch of one.
//!
//! Not here: what a request is, and its statements, see the module above.

use std::collections::{HashSet, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::RecvError;
use tokio::task::yield_now;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::json_rows::Unreadable;
use crate::error::StoreError;
use crate::model::session_id::SessionId;
use crate::store::sql::connection::runtime::OwnerRuntime;
use crate::store::sql::dialect::{MAX_BATCH, MAX_BATCH_BYTES};
use crate::store::sql::driver::DriverError;

/// How long a running statement may delay others, before they start without waiting for it.
const MAX_WAIT: Duration = Duration::from_millis(5);

/// How long to wait for a reply beyond the time that a statement may take. A reply arrives later
/// than that only if the runtime of the store's connections exists but is idle.
pub(in crate::store::sql) const REPLY_GRACE: Duration = Duration::from_secs(1);

/// Nothing drives the runtime in which the batch would run.
#[derive(Debug, thiserror::Error)]
#[error("the async runtime in which the store was opened is idle: keep it running while the store is used")]
pub(in crate::store::sql) struct RuntimeIdle;

/// What a database `D` can answer for many at once.
pub(in crate::store::sql) trait BatchRequest<D>: Clone + Send + Sync + 'static {
    type Output: Send + 'static;

    /// The session that a batch may name only once, and by which batches are sorted; none if a
    /// batch may name any session many times.
    fn session(&self) -> Option<SessionId>;

    /// How many bytes of data the request sends.
    fn bytes(&self) -> usize {
        0
    }

    fn run_one(&self, database: &D) -> impl Future<Output = Result<Self::Output, StoreError>> + Send;

    /// The answer to a request that was sent before and may have been carried out then.
    fn repeated(answer: Result<Self::Output, StoreError>) -> Result<Self::Output, StoreError> {
        answer
    }

    /// Runs 2 to [`MAX_BATCH`] requests at once: one answer for each, in their order.
    fn run_many(
        requests: &[&Self],
        database: &D,
    ) -> impl Future<Output = Result<Outputs<Self::Output>, StoreError>> + Send;
}

pub(in crate::store::sql) type Outputs<T> = Vec<Result<T, StoreError>>;

/// Batches requests of one kind, `Q`, with answers `A`.
pub(in crate::store::sql) struct Batcher<Q, A> {
    /// How many requests may run on their own at once, before others wait to be batched.
    solo_limit: usize,
    /// How long a statement may take.
    limit: Duration,
    state: Mutex<BatcherState<Q, A>>,
}

struct BatcherState<Q, A> {
    /// How many requests are running on their own.
    solo: usize,
    /// How many tasks are running batches: at most one, as those with a slow statement don't count.
    tasks: usize,
    waiting: VecDeque<Waiting<Q, A>>,
}

struct Waiting<Q, A> {
    request: Q,
    answer: oneshot::Sender<Reply<A>>,
}

/// How a request is to run.
enum Admission<A> {
    RunNow,
    /// It will be in a batch. If no task is running batches, the request has to start one if none
    /// does within [`MAX_WAIT`].
    Queued {
        answer: oneshot::Receiver<Reply<A>>,
        has_task: bool,
    },
}

/// An error if the batch was dropped.
type Received<A> = Result<Reply<A>, RecvError>;

enum Reply<A> {
    Answer(Result<A, StoreError>),
    /// Run the request as a statement of its own.
    RunOne,
}

impl<Q, A> Batcher<Q, A> {
    fn lock(&self) -> MutexGuard<'_, BatcherState<Q, A>> {
        // Nothing panics between two consistent states.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Q, A: Send + 'static> Batcher<Q, A> {
    pub(in crate::store::sql) const fn new(solo_limit: usize, limit: Duration) -> Self {
        let state = BatcherState { solo: 0, tasks: 0, waiting: VecDeque::new() };
        Self { solo_limit, limit, state: Mutex::new(state) }
    }

    pub(in crate::store::sql) async fn submit<D>(
        self: &Arc<Self>,
        request: Q,
        database: &D,
        owner: &OwnerRuntime,
    ) -> Result<A, StoreError>
    where
        Q: BatchRequest<D, Output = A>,
        D: Clone + Send + Sync + 'static,
    {
        // Boxed, as this future is large, and a request that waits needn't have room for it.
        let reply = match self.admit(&request) {
            Admission::RunNow => {
                let _guard = SoloGuard { batcher: self, database, owner };
                return Box::pin(request.run_one(database)).await;
            }
            Admission::Queued { answer, has_task: true } => self.receive(answer, owner).await,
            Admission::Queued { mut answer, has_task: false } => match timeout(MAX_WAIT, &mut answer).await {
                Ok(reply) => Ok(reply),
                Err(_) => {
                    if self.lock().claim_task() {
                        self.spawn_task(database, owner);
                    }
                    self.receive(answer, owner).await
                }
            },
        };
        match reply {
            Ok(Ok(Reply::Answer(answer))) => answer,
            Ok(Ok(Reply::RunOne)) => Box::pin(request.run_one(database)).await,
            // The batch was dropped with its runtime.
            Ok(Err(_)) => Q::repeated(Box::pin(request.run_one(database)).await),
            Err(_) => Q::repeated(Err(StoreError::not_applied(RuntimeIdle))),
        }
    }

    /// Waits for a batch's reply. Has a time limit only if another runtime runs the batch, as that
    /// one may be idle: a timer for each request has a cost.
    async fn receive(&self, answer: oneshot::Receiver<Reply<A>>, owner: &OwnerRuntime) -> Result<Received<A>, Elapsed> {
        if owner.is_current() { Ok(answer.await) } else { timeout(self.limit + REPLY_GRACE, answer).await }
    }

    /// Lets the request run at once if little is running; otherwise queues it.
    fn admit(&self, request: &Q) -> Admission<A>
    where
        Q: Clone,
    {
        let mut state = self.lock();
        if state.tasks == 0 && state.waiting.is_empty() && state.solo < self.solo_limit {
            state.solo += 1;
            return Admission::RunNow;
        }
        let (reply, answer) = oneshot::channel();
        state.waiting.push_back(Waiting { request: request.clone(), answer: reply });
        Admission::Queued { answer, has_task: state.tasks > 0 }
    }

    /// Starts a task that runs batches until no request waits, or until a batch is slow. The caller
    /// has counted it already.
    fn spawn_task<D>(self: &Arc<Self>, database: &D, owner: &OwnerRuntime)
    where
        Q: BatchRequest<D, Output = A>,
        D: Clone + Send + Sync + 'static,
    {
        // If the runtime has ended, this is dropped with its task.
        let mut task = BatchTask { batcher: Arc::clone(self), is_counted: true };
        let (database, task_owner) = (database.clone(), owner.clone());
        owner.spawn(async move { task.run(&database, &task_owner).await });
    }

    /// Takes the next batch from the queue.
    fn next_batch<D>(&self) -> Vec<Waiting<Q, A>>
    where
        Q: BatchRequest<D, Output = A>,
    {
        let mut state = self.lock();
        let (mut later, mut sessions) = (Vec::new(), HashSet::new());
        let mut batch = Vec::with_capacity(state.waiting.len().min(MAX_BATCH));
        let mut bytes = 0;
        while batch.len() < MAX_BATCH
            && let Some(waiting) =
                state.waiting.pop_front_if(|next| batch.is_empty() || bytes + next.request.bytes() <= MAX_BATCH_BYTES)
        {
            if waiting.answer.is_closed() {
                // The request was dropped.
            } else if waiting.request.session().is_none_or(|session| sessions.insert(session)) {
                bytes += waiting.request.bytes();
                batch.push(waiting);
            } else {
                later.push(waiting);
            }
        }
        for waiting in later.into_iter().rev() {
            state.waiting.push_front(waiting);
        }
        drop(state);
        batch.sort_by_key(|waiting| waiting.request.session());
        batch
    }
}

impl<Q, A> BatcherState<Q, A> {
    /// Whether to start a task, because requests wait and no task is running. Counts it if so.
    fn claim_task(&mut self) -> bool {
        let claimed = self.tasks == 0 && !self.waiting.is_empty();
        self.tasks += usize::from(claimed);
        claimed
    }
}

/// A request that runs on its own. When it ends or is dropped, those that arrived meanwhile run.
struct SoloGuard<'a, Q: BatchRequest<D>, D: Clone + Send + Sync + 'static> {
    batcher: &'a Arc<Batcher<Q, Q::Output>>,
    database: &'a D,
    owner: &'a OwnerRuntime,
}

impl<Q: BatchRequest<D>, D: Clone + Send + Sync + 'static> Drop for SoloGuard<'_, Q, D> {
    fn drop(&mut self) {
        let claimed = {
            let mut state = self.batcher.lock();
            state.solo -= 1;
            state.claim_task()
        };
        if claimed {
            self.batcher.spawn_task(self.database, self.owner);
        }
    }
}

/// Runs batches, one after the other.
struct BatchTask<Q, A> {
    batcher: Arc<Batcher<Q, A>>,
    /// False once its statement is slow, and others no longer wait for it.
    is_counted: bool,
}

impl<Q, A: Send + 'static> BatchTask<Q, A> {
    async fn run<D>(&mut self, database: &D, owner: &OwnerRuntime)
    where
        Q: BatchRequest<D, Output = A>,
        D: Clone + Send + Sync + 'static,
    {
        while self.is_counted {
            // Requests that are just arriving can join the batch, which waits for nothing else.
            yield_now().await;
            let batch = self.batcher.next_batch();
            let requests: Vec<_> = batch.iter().map(|waiting| &waiting.request).collect();
            let answers = match requests[..] {
                [] => return,
                [request] => Ok(vec![self.run_statement(request.run_one(database), database, owner).await]),
                _ => self.run_statement(Q::run_many(&requests, database), database, owner).await,
            };
            let reply = match answers {
                Ok(answers) => answers.into_iter().map(Reply::Answer).collect::<Vec<_>>(),
                Err(error) if is_refused(&error) => batch.iter().map(|_| Reply::RunOne).collect(),
                Err(error) => batch.iter().map(|_| Reply::Answer(Err(error.clone()))).collect(),
            };
            for (waiting, reply) in batch.into_iter().zip(reply) {
                // A request that was dropped needs no reply.
                drop(waiting.answer.send(reply));
            }
        }
    }

    /// Waits for a batch's statement. If that is slow, another task takes over, and this batch is
    /// this task's last.
    async fn run_statement<D, T>(&mut self, statement: impl Future<Output = T>, database: &D, owner: &OwnerRuntime) -> T
    where
        Q: BatchRequest<D, Output = A>,
        D: Clone + Send + Sync + 'static,
    {
        let mut statement = pin!(statement);
        if let Ok(done) = timeout(MAX_WAIT, &mut statement).await {
            return done;
        }
        self.is_counted = false;
        let claimed = {
            let mut state = self.batcher.lock();
            state.tasks -= 1;
            state.claim_task()
        };
        if claimed {
            self.batcher.spawn_task(database, owner);
        }
        statement.await
    }
}

impl<Q, A> Drop for BatchTask<Q, A> {
    fn drop(&mut self) {
        if !self.is_counted {
            return;
        }
        let mut state = self.batcher.lock();
        state.tasks -= 1;
        if state.tasks == 0 {
            // Those that arrived after the last batch was taken, or all if the task was dropped: no
            // other task will run them.
            for waiting in state.waiting.drain(..) {
                drop(waiting.answer.send(Reply::RunOne));
            }
        }
    }
}

/// Whether the database refused the statement itself, or one of its rows can't be read: the cause
/// may be just one of the requests.
pub(in crate::store::sql) fn is_refused(error: &StoreError) -> bool {
    let StoreError::NotApplied(source) = error else { return false };
    source.is::<Unreadable>() || source.downcast_ref().is_some_and(DriverError::is_of_database)
}

#[cfg(test)]
mod tests;
