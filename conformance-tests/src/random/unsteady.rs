//! A store in front of one that works, whose answers take some turns of the runtime, get lost, or come late: as the seed says.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use session_core::store::{
    Applied, Caller, Checked, Created, Forgotten, Loaded, SessionKey, SessionStore, StoreError, StoreFuture, Update,
};
use session_core::{Record, SessionId, TokenRef, UserId};
use time::OffsetDateTime;
use tokio::task::yield_now;

use super::Random;
use crate::BoxFuture;

/// What may happen to a change that the store is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weather {
    /// Every answer comes.
    Fair,
    /// One in four answers to a change of a row is lost: the change is made at once, later, or never.
    Rough,
}

/// The store, of one node or several.
#[derive(Debug)]
pub(super) struct Unsteady {
    inner: Arc<dyn SessionStore>,
    sky: Arc<Sky>,
}

/// What all nodes share.
pub(super) struct Sky(Mutex<State>);

struct State {
    random: Random,
    weather: Weather,
    /// Statements that were given up, and land when they are told to.
    late: Vec<BoxFuture<'static, ()>>,
}

impl std::fmt::Debug for Sky {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sky")
    }
}

impl Sky {
    pub(super) fn new(seed: u64, weather: Weather) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { random: Random::seeded(seed), weather, late: Vec::new() })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, weather: Weather) {
        self.lock().weather = weather;
    }

    fn below(&self, bound: usize) -> usize {
        self.lock().random.below(bound)
    }

    /// Lets the statements land that were given up, in any order.
    pub(super) async fn land(&self) {
        loop {
            let statement = {
                let mut state = self.lock();
                if state.late.is_empty() {
                    return;
                }
                let count = state.late.len();
                let index = state.random.below(count);
                state.late.swap_remove(index)
            };
            statement.await;
        }
    }

    /// Up to three turns.
    async fn turns(&self) {
        for _ in 0..self.below(4) {
            yield_now().await;
        }
    }
}

impl Unsteady {
    pub(super) fn new(inner: Arc<dyn SessionStore>, sky: &Arc<Sky>) -> Self {
        Self { inner, sky: Arc::clone(sky) }
    }

    fn answer<'a, T: Send + 'a>(&'a self, work: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        Box::pin(async move {
            self.sky.turns().await;
            let answer = work.await;
            self.sky.turns().await;
            answer
        })
    }
}

impl SessionStore for Unsteady {
    fn create<'a>(
        &'a self,
        new: &'a Arc<Record>,
        replaces: &'a [SessionKey],
        limit: NonZeroU32,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Created> {
        self.answer(self.inner.create(new, replaces, limit, now))
    }

    fn load<'a>(&'a self, sessions: &'a [TokenRef], now: OffsetDateTime) -> StoreFuture<'a, Loaded> {
        self.answer(self.inner.load(sessions, now))
    }

    fn apply<'a>(&'a self, caller: &'a Caller, update: &'a Update, now: OffsetDateTime) -> StoreFuture<'a, Applied> {
        Box::pin(async move {
            self.sky.turns().await;
            let fair = self.sky.lock().weather == Weather::Fair;
            match self.sky.below(12) {
                _ if fair => {
                    let answer = self.inner.apply(caller, update, now).await;
                    self.sky.turns().await;
                    answer
                }
                0 => {
                    self.inner.apply(caller, update, now).await?;
                    Err(StoreError::unknown("the answer was lost"))
                }
                1 => {
                    let (inner, caller, update) = (Arc::clone(&self.inner), caller.clone(), update.clone());
                    self.sky.lock().late.push(Box::pin(async move {
                        inner.apply(&caller, &update, now).await.expect("the store works");
                    }));
                    Err(StoreError::unknown("it may land late"))
                }
                2 => Err(StoreError::unknown("it was lost")),
                _ => {
                    let answer = self.inner.apply(caller, update, now).await;
                    self.sky.turns().await;
                    answer
                }
            }
        })
    }

    fn end<'a>(
        &'a self,
        user: &'a UserId,
        id: SessionId,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<bool>> {
        self.answer(self.inner.end(user, id, by, now))
    }

    fn end_all<'a>(
        &'a self,
        user: &'a UserId,
        except: Option<SessionId>,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<Vec<SessionId>>> {
        self.answer(self.inner.end_all(user, except, by, now))
    }

    fn list<'a>(
        &'a self,
        user: &'a UserId,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<Vec<Arc<Record>>>> {
        self.answer(self.inner.list(user, by, now))
    }

    fn purge_expired<'a>(&'a self, before: OffsetDateTime, limit: NonZeroU32) -> StoreFuture<'a, u64> {
        self.inner.purge_expired(before, limit)
    }

    fn max_data_bytes(&self) -> Option<usize> {
        self.inner.max_data_bytes()
    }

    fn forget_users<'a>(
        &'a self,
        after: Option<&'a str>,
        since: OffsetDateTime,
        now: OffsetDateTime,
        limit: NonZeroU32,
    ) -> StoreFuture<'a, Forgotten> {
        self.inner.forget_users(after, since, now, limit)
    }

    fn server_time(&self) -> StoreFuture<'_, Option<OffsetDateTime>> {
        self.inner.server_time()
    }
}
