//! A store in front of one that works, whose answers take some turns of the runtime, get lost, or
//! come late: as the seed says.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use session_core::store::{SessionStore, StoreError, StoreFuture};
use session_core::{SessionId, TokenRef};
use tokio::task::yield_now;

use super::Random;
use crate::BoxFuture;
use crate::intercept::{Answer, Intercept, Intercepted, OpKind, Operation};

/// What may happen to a change that the store is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weather {
    /// Every answer comes.
    Fair,
    /// One in four answers to a change of a row is lost: the change is made at once, later, or
    /// never.
    Rough,
    /// So it is with the answers to new rows too.
    Stormy,
}

/// What happens to the stores of all nodes.
pub(super) struct Sky(Mutex<State>);

struct State {
    random: Random,
    weather: Weather,
    /// Statements that were given up, and land when they are told to.
    late: Vec<BoxFuture<'static, ()>>,
    /// The new rows that the stores were asked for, and those of them that had no answer once.
    created: Vec<TokenRef>,
    lost: Vec<SessionId>,
}

impl std::fmt::Debug for Sky {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sky")
    }
}

impl Sky {
    pub(super) fn new(seed: u64, weather: Weather) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            random: Random::seeded(seed),
            weather,
            late: Vec::new(),
            created: Vec::new(),
            lost: Vec::new(),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, weather: Weather) {
        self.lock().weather = weather;
    }

    /// Each row that the stores were asked to insert.
    pub(super) fn created(&self) -> Vec<TokenRef> {
        let mut created = self.lock().created.clone();
        created.sort_by_key(|row| row.id);
        created.dedup_by_key(|row| row.id);
        created
    }

    /// The rows whose insertion had no answer at least once.
    pub(super) fn lost(&self) -> Vec<SessionId> {
        self.lock().lost.clone()
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

    /// The store's answer, some turns after it was given.
    async fn answered<'a>(
        &self,
        store: &'a Arc<dyn SessionStore>,
        operation: Operation<'a>,
    ) -> Result<Answer, StoreError> {
        let answer = operation.ask(store).await;
        self.turns().await;
        answer
    }
}

/// The store, of one node or several.
pub(super) type Unsteady = Intercepted<Arc<Sky>>;

impl Intercept for Sky {
    fn call<'a>(&'a self, store: &'a Arc<dyn SessionStore>, operation: Operation<'a>) -> StoreFuture<'a, Answer> {
        Box::pin(async move {
            if matches!(operation.kind(), OpKind::Purge | OpKind::ForgetUsers | OpKind::ServerTime) {
                return operation.ask(store).await;
            }
            if let Operation::Create { new, .. } = operation {
                self.lock().created.push(TokenRef { shard: new.user_id.shard(), id: new.id });
            }
            self.turns().await;
            let weather = self.lock().weather;
            let is_unsteady = match operation.kind() {
                OpKind::Update => weather != Weather::Fair,
                OpKind::Create => weather == Weather::Stormy,
                _ => false,
            };
            let chance = self.below(12);
            if !is_unsteady || chance > 2 {
                return self.answered(store, operation).await;
            }
            if let Operation::Create { new, .. } = operation {
                self.lock().lost.push(new.id);
            }
            match chance {
                0 => {
                    operation.ask(store).await?;
                    Err(StoreError::unknown("the answer was lost"))
                }
                1 => {
                    self.lock().late.push(later(store, operation));
                    Err(StoreError::unknown("it may land late"))
                }
                _ => Err(StoreError::unknown("it was lost")),
            }
        })
    }
}

/// The change, to be made at any time.
fn later(store: &Arc<dyn SessionStore>, change: Operation<'_>) -> BoxFuture<'static, ()> {
    let store = Arc::clone(store);
    match change {
        Operation::Update { caller, update, now } => {
            let (caller, update) = (caller.clone(), update.clone());
            Box::pin(async move { drop(store.update(&caller, &update, now).await.expect("the store works")) })
        }
        Operation::Create { new, replaces, limit, now } => {
            let (new, replaces) = (Arc::clone(new), replaces.to_vec());
            Box::pin(async move { drop(store.create(&new, &replaces, limit, now).await.expect("the store works")) })
        }
        other => unreachable!("{:?} is steady", other.kind()),
    }
}
