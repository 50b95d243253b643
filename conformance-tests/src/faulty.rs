//! A store that fails when told to, in front of one that works, and counts what it is asked.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use session_core::store::{
    Applied, Caller, Checked, Created, Forgotten, Loaded, SessionKey, SessionStore, StoreError, StoreFuture, Update,
};
use session_core::{Data, Record, SessionId, TokenRef, UserId};
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
    ForgetUsers,
    ServerTime,
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
    most_data: Option<usize>,
    server_time: Option<OffsetDateTime>,
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

    /// From now on a row holds no more data than this, as some databases are set: more is refused. Services that are built after this
    /// are told.
    pub fn keep_at_most(&self, bytes: usize) {
        self.plan().most_data = Some(bytes);
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

    /// From now on the store's server says that it is this time.
    pub fn set_server_time(&self, now: OffsetDateTime) {
        self.plan().server_time = Some(now);
    }

    /// Counts from zero again.
    pub fn reset_counts(&self) {
        let mut plan = self.plan();
        plan.counts.clear();
        plan.purged = 0;
    }

    /// Refuses data of which a row holds less.
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
        self.with_fault(OpKind::Create, Some(new.id), move || match self.faults.check_size(Some(&new.data)) {
            Ok(()) => self.inner.create(new, replaces, limit, now),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        })
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
        let data = update.data.as_ref().map(|new| &new.data);
        self.with_fault(OpKind::Apply, Some(caller.id), move || match self.faults.check_size(data) {
            Ok(()) => self.inner.apply(caller, update, now),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        })
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

    fn max_data_bytes(&self) -> Option<usize> {
        let (own, inner) = (self.faults.plan().most_data, self.inner.max_data_bytes());
        own.into_iter().chain(inner).min()
    }

    fn forget_users<'a>(
        &'a self,
        after: Option<&'a str>,
        since: OffsetDateTime,
        now: OffsetDateTime,
        limit: NonZeroU32,
    ) -> StoreFuture<'a, Forgotten> {
        self.with_fault(OpKind::ForgetUsers, None, move || self.inner.forget_users(after, since, now, limit))
    }

    fn server_time(&self) -> StoreFuture<'_, Option<OffsetDateTime>> {
        self.with_fault(OpKind::ServerTime, None, move || {
            let told = self.faults.plan().server_time;
            if told.is_some() { Box::pin(std::future::ready(Ok(told))) } else { self.inner.server_time() }
        })
    }
}
