//! A store that fails when told to, in front of one that works, and counts what it is asked.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use session_core::store::{
    Applied, Caller, Checked, Created, Loaded, SessionKey, SessionStore, StoreError, StoreFuture, Update,
};
use session_core::{Record, SessionId, TokenRef, UserId};
use time::OffsetDateTime;

/// How a store operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done, and it says so.
    NotApplied,
    /// It is done, but the answer is lost.
    UnknownApplied,
    /// It isn't done, and nobody is told that.
    UnknownLost,
    /// The row is there and can't be understood. A look-up that would find none finds none.
    Corrupt,
    /// No answer ever comes.
    Hang,
}

/// An operation of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "named as the store's methods")]
pub enum OpKind {
    Create,
    Load,
    Apply,
    End,
    EndAll,
    List,
    Purge,
}

/// What fails, and what was asked so far, failures included.
#[derive(Debug, Default)]
pub struct Faults(Mutex<Plan>);

#[derive(Debug, Default)]
struct Plan {
    all: Option<Fault>,
    each: HashMap<OpKind, Fault>,
    once: HashMap<OpKind, VecDeque<Option<Fault>>>,
    counts: HashMap<OpKind, u64>,
    purged: u64,
}

impl Faults {
    /// From now on every operation fails so.
    pub fn fail_all(&self, fault: Fault) {
        self.plan().all = Some(fault);
    }

    /// From now on this operation fails so.
    pub fn fail(&self, op: OpKind, fault: Fault) {
        self.plan().each.insert(op, fault);
    }

    /// The next operation of this kind fails so. Several queue up.
    pub fn fail_once(&self, op: OpKind, fault: Fault) {
        self.plan().once.entry(op).or_default().push_back(Some(fault));
    }

    /// The next operation of this kind works, and those that fail once come after it.
    pub fn pass_once(&self, op: OpKind) {
        self.plan().once.entry(op).or_default().push_back(None);
    }

    /// Nothing fails any more. What hangs stays so.
    pub fn clear(&self) {
        let mut plan = self.plan();
        plan.all = None;
        plan.each.clear();
        plan.once.clear();
    }

    /// How many operations of this kind were asked for.
    pub fn count(&self, op: OpKind) -> u64 {
        self.plan().counts.get(&op).copied().unwrap_or_default()
    }

    /// How many operations were asked for.
    pub fn total(&self) -> u64 {
        self.plan().counts.values().sum()
    }

    /// How many rows clean-ups have deleted and told of.
    pub fn purged(&self) -> u64 {
        self.plan().purged
    }

    /// Counts from zero again.
    pub fn reset_counts(&self) {
        let mut plan = self.plan();
        plan.counts.clear();
        plan.purged = 0;
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
#[derive(Debug)]
pub struct FaultyStore {
    inner: Arc<dyn SessionStore>,
    faults: Arc<Faults>,
}

impl FaultyStore {
    /// Puts `faults` in front of `inner`.
    pub fn new(inner: Arc<dyn SessionStore>, faults: Arc<Faults>) -> Self {
        Self { inner, faults }
    }

    /// `working` with the fault that is due, if one is. `id` is the row that a corrupt one would be.
    fn with_fault<'a, T: Send + 'a>(
        &'a self,
        op: OpKind,
        id: Option<SessionId>,
        working: impl FnOnce() -> StoreFuture<'a, T> + Send + 'a,
    ) -> StoreFuture<'a, T> {
        Box::pin(async move {
            match self.faults.next(op) {
                None => working().await,
                Some(Fault::NotApplied) => Err(StoreError::not_applied("injected fault")),
                Some(Fault::UnknownApplied) => {
                    working().await?;
                    Err(StoreError::unknown("injected fault"))
                }
                Some(Fault::UnknownLost) => Err(StoreError::unknown("injected fault")),
                Some(Fault::Corrupt) => Err(StoreError::Corrupt { id, what: "injected fault" }),
                Some(Fault::Hang) => std::future::pending().await,
            }
        })
    }
}

impl SessionStore for FaultyStore {
    fn create<'a>(
        &'a self,
        new: &'a Arc<Record>,
        replaces: &'a [SessionKey],
        limit: NonZeroU32,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Created> {
        self.with_fault(OpKind::Create, Some(new.id), move || self.inner.create(new, replaces, limit, now))
    }

    fn load<'a>(&'a self, sessions: &'a [TokenRef], now: OffsetDateTime) -> StoreFuture<'a, Loaded> {
        Box::pin(async move {
            match self.faults.next(OpKind::Load) {
                None => self.inner.load(sessions, now).await,
                Some(Fault::NotApplied) => Err(StoreError::not_applied("injected fault")),
                Some(Fault::UnknownApplied | Fault::UnknownLost) => Err(StoreError::unknown("injected fault")),
                Some(Fault::Corrupt) => match self.inner.load(sessions, now).await?.first() {
                    Some(record) => Err(StoreError::Corrupt { id: Some(record.id), what: "injected fault" }),
                    None => Ok(Loaded::NONE),
                },
                Some(Fault::Hang) => std::future::pending().await,
            }
        })
    }

    fn apply<'a>(&'a self, caller: &'a Caller, update: &'a Update, now: OffsetDateTime) -> StoreFuture<'a, Applied> {
        self.with_fault(OpKind::Apply, Some(caller.id), move || self.inner.apply(caller, update, now))
    }

    fn end<'a>(
        &'a self,
        user: &'a UserId,
        id: SessionId,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<bool>> {
        self.with_fault(OpKind::End, Some(id), move || self.inner.end(user, id, by, now))
    }

    fn end_all<'a>(
        &'a self,
        user: &'a UserId,
        except: Option<SessionId>,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<Vec<SessionId>>> {
        self.with_fault(OpKind::EndAll, by.map(|caller| caller.id), move || self.inner.end_all(user, except, by, now))
    }

    fn list<'a>(
        &'a self,
        user: &'a UserId,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<Vec<Arc<Record>>>> {
        self.with_fault(OpKind::List, by.map(|caller| caller.id), move || self.inner.list(user, by, now))
    }

    fn purge_expired<'a>(&'a self, before: OffsetDateTime, limit: NonZeroU32) -> StoreFuture<'a, u64> {
        Box::pin(async move {
            let working = move || self.inner.purge_expired(before, limit);
            let deleted = self.with_fault(OpKind::Purge, None, working).await?;
            self.faults.plan().purged += deleted;
            Ok(deleted)
        })
    }
}
