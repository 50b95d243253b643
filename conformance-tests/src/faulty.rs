//! A store that fails as a test wants, in front of one that works, and counts its calls.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use session_core::Data;
use session_core::store::{Loaded, SessionStore, StoreError, StoreFuture};
use time::OffsetDateTime;

pub use crate::intercept::OpKind;
use crate::intercept::{Answer, Intercept, Intercepted, Operation};

/// How a store operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done, and the error says so.
    NotApplied,
    /// It is done, but the answer is lost.
    UnknownApplied,
    /// It isn't done, and the error doesn't say so.
    UnknownLost,
    /// The row can't be decoded. A look-up that would find no row still finds none.
    Corrupt,
    /// There is never an answer.
    Hang,
}

/// What fails, and how often each operation was called, failures included.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Plan>);

#[derive(Debug, Default)]
struct Plan {
    all: Option<Fault>,
    each: HashMap<OpKind, Fault>,
    once: HashMap<OpKind, VecDeque<Option<Fault>>>,
    counts: HashMap<OpKind, u64>,
    purged: u64,
    most_data: Option<usize>,
    server_time: Option<OffsetDateTime>,
}

impl Faults {
    /// From now on every operation fails in this way.
    pub fn fail_all(&self, fault: Fault) {
        self.plan().all = Some(fault);
    }

    /// From now on this operation fails in this way.
    pub fn fail(&self, op: OpKind, fault: Fault) {
        self.plan().each.insert(op, fault);
    }

    /// The next operation of this kind fails in this way. Repeated calls form a queue.
    pub fn fail_once(&self, op: OpKind, fault: Fault) {
        self.plan().once.entry(op).or_default().push_back(Some(fault));
    }

    /// The next operation of this kind works: an entry in the queue of
    /// [`fail_once`](Self::fail_once).
    pub fn pass_once(&self, op: OpKind) {
        self.plan().once.entry(op).or_default().push_back(None);
    }

    /// From now on a row holds at most this much data, as in databases with such a limit, and more
    /// is refused. Services learn the limit when they are built.
    pub fn keep_at_most(&self, bytes: usize) {
        self.plan().most_data = Some(bytes);
    }

    /// Nothing fails any more. Operations that hang already go on hanging.
    pub fn clear(&self) {
        let mut plan = self.plan();
        plan.all = None;
        plan.each.clear();
        plan.once.clear();
    }

    /// How many operations of this kind were called.
    pub fn count(&self, op: OpKind) -> u64 {
        self.plan().counts.get(&op).copied().unwrap_or_default()
    }

    /// How many operations were called.
    pub fn total(&self) -> u64 {
        self.plan().counts.values().sum()
    }

    /// How many rows clean-ups have reported as deleted.
    pub fn purged(&self) -> u64 {
        self.plan().purged
    }

    /// From now on the store's server has this time.
    pub fn set_server_time(&self, now: OffsetDateTime) {
        self.plan().server_time = Some(now);
    }

    /// Counts from zero again.
    pub fn reset_counts(&self) {
        let mut plan = self.plan();
        plan.counts.clear();
        plan.purged = 0;
    }

    /// Refuses data that is larger than a row holds.
    fn check_size(&self, data: Option<&Data>) -> Result<(), StoreError> {
        let is_kept = |most| data.is_none_or(|data| data.text().len() <= most);
        if self.plan().most_data.is_none_or(is_kept) { Ok(()) } else { Err(StoreError::not_applied("too large")) }
    }

    fn next(&self, op: OpKind) -> Option<Fault> {
        let mut plan = self.plan();
        *plan.counts.entry(op).or_default() += 1;
        let once = plan.once.get_mut(&op).and_then(VecDeque::pop_front);
        once.unwrap_or_else(|| plan.each.get(&op).copied().or(plan.all))
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The store that fails as its [`Faults`] say.
pub type FaultyStore = Intercepted<Arc<Faults>>;

impl Faults {
    /// What the store answers if no fault is due.
    async fn working<'a>(&self, store: &'a dyn SessionStore, operation: Operation<'a>) -> Result<Answer, StoreError> {
        match operation {
            Operation::Create { new, .. } => self.check_size(Some(&new.data))?,
            Operation::Update { update, .. } => self.check_size(update.data.as_ref().map(|new| &new.data))?,
            Operation::ServerTime {} => {
                if let Some(time) = self.plan().server_time {
                    return Ok(Answer::ServerTime(Some(time)));
                }
            }
            _ => {}
        }
        operation.ask(store).await
    }
}

impl Intercept for Faults {
    fn call<'a>(&'a self, store: &'a Arc<dyn SessionStore>, operation: Operation<'a>) -> StoreFuture<'a, Answer> {
        Box::pin(async move {
            let answer = match self.next(operation.kind()) {
                None => self.working(store, operation).await?,
                Some(Fault::NotApplied) => return Err(StoreError::not_applied("injected fault")),
                Some(Fault::UnknownApplied) => {
                    self.working(store, operation).await?;
                    return Err(StoreError::unknown("injected fault"));
                }
                Some(Fault::UnknownLost) => return Err(StoreError::unknown("injected fault")),
                Some(Fault::Corrupt) => return corrupt(store, operation).await,
                Some(Fault::Hang) => std::future::pending().await,
            };
            if let Answer::Purge(deleted) = answer {
                self.plan().purged += deleted;
            }
            Ok(answer)
        })
    }

    fn max_data_bytes(&self, store: &Arc<dyn SessionStore>) -> Option<usize> {
        let (own, inner) = (self.plan().most_data, store.max_data_bytes());
        own.into_iter().chain(inner).min()
    }
}

/// The answer about a row that can't be decoded.
async fn corrupt<'a>(store: &'a dyn SessionStore, operation: Operation<'a>) -> Result<Answer, StoreError> {
    let id = match operation {
        Operation::Load { sessions, now } => match store.load(sessions, now).await?.first() {
            Some(record) => Some(record.id),
            None => return Ok(Answer::Load(Loaded::NONE)),
        },
        Operation::Create { new, .. } => Some(new.id),
        Operation::Update { caller, .. } => Some(caller.id),
        Operation::End { id, .. } => Some(id),
        Operation::EndAll { by, .. } | Operation::List { by, .. } => by.map(|caller| caller.id),
        Operation::Purge { .. } | Operation::ForgetUsers { .. } | Operation::ServerTime {} => None,
    };
    Err(StoreError::Corrupt { id, what: "injected fault" })
}
