//! Puts questions that arrive while statements are under way together into the next one: so the more there are at once, the less
//! each costs, and one that comes alone goes at once, as if this weren't there.
//!
//! 1. Each waits for its own answer, of a statement that began after it was asked.
//! 2. A group runs in a task of its own, so that whoever gives up waiting strands nobody.
//! 3. A statement that takes long holds up no others for longer than [`HOLD`]; but those in its own group it does. However many take
//!    long, what arrives goes together all the same.
//! 4. Where the database refuses a group, each question is asked alone.
//! 5. A group is of [`MOST`] questions at most, and sends [`MOST_BYTES`] of data at most; a question of more goes by itself.
//!
//! Leaves what a question is, and its statements, to `groups`.

use std::collections::{HashSet, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::RecvError;
use tokio::task::yield_now;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::dialect::{MOST, MOST_BYTES};
use super::driver::DriverError;
use super::home::Home;
use super::packed::Unreadable;
use crate::error::StoreError;
use crate::model::session_id::SessionId;

/// For how long a statement that is under way holds up others, before they go beside it.
const HOLD: Duration = Duration::from_millis(5);

/// How long to wait for an answer beyond the time that a statement may take. An answer comes later than that only if the runtime of the
/// store's connections exists but is idle.
pub(super) const LATE: Duration = Duration::from_secs(1);

/// Nothing runs the runtime in which a group would be asked.
#[derive(Debug, thiserror::Error)]
#[error("the async runtime in which the store was opened is idle: keep it running while the store is used")]
pub(super) struct Undriven;

/// What a database `D` can be asked for many at once.
pub(super) trait Question<D>: Clone + Send + Sync + 'static {
    type Answer: Send + 'static;

    /// The session of which a group may hold one question only. Groups are ordered by it.
    fn session(&self) -> Option<SessionId>;

    /// How many bytes of data are sent with it.
    fn bytes(&self) -> usize {
        0
    }

    fn alone(&self, database: &D) -> impl Future<Output = Result<Self::Answer, StoreError>> + Send;

    /// What to tell of an answer to what was asked before, too, and may have been done then.
    fn repeated(answer: Result<Self::Answer, StoreError>) -> Result<Self::Answer, StoreError> {
        answer
    }

    /// Asks 2 to [`MOST`] at once: one answer each, in their order.
    fn together(
        questions: &[&Self],
        database: &D,
    ) -> impl Future<Output = Result<Answers<Self::Answer>, StoreError>> + Send;
}

pub(super) type Answers<T> = Vec<Result<T, StoreError>>;

/// Questions of one kind, `Q`, and their answers, `A`.
pub(super) struct Gather<Q, A> {
    /// How many questions go alone at once, before others wait and go together.
    beside: usize,
    /// How long a statement may take.
    limit: Duration,
    asked: Mutex<Asked<Q, A>>,
}

struct Asked<Q, A> {
    /// How many are under way that go alone.
    alone: usize,
    /// How many tasks run groups, but those whose statement takes long: one at most, but for a moment.
    groups: usize,
    waiting: VecDeque<Waiting<Q, A>>,
}

struct Waiting<Q, A> {
    question: Q,
    answer: oneshot::Sender<Told<A>>,
}

/// How a question is to be asked.
enum Turn<A> {
    Alone,
    /// It will be in a group. Somebody has to see that there is one in time, unless one is under way: its task does.
    Waits {
        answer: oneshot::Receiver<Told<A>>,
        is_seen_to: bool,
    },
}

/// An error where the group was dropped.
type Answered<A> = Result<Told<A>, RecvError>;

enum Told<A> {
    Answer(Result<A, StoreError>),
    /// Ask alone.
    Alone,
}

impl<Q, A> Gather<Q, A> {
    fn lock(&self) -> MutexGuard<'_, Asked<Q, A>> {
        // Nothing panics between two consistent states.
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Q, A: Send + 'static> Gather<Q, A> {
    pub(super) const fn new(beside: usize, limit: Duration) -> Self {
        let asked = Asked { alone: 0, groups: 0, waiting: VecDeque::new() };
        Self { beside, limit, asked: Mutex::new(asked) }
    }

    pub(super) async fn ask<D>(self: &Arc<Self>, question: Q, database: &D, home: &Home) -> Result<A, StoreError>
    where
        Q: Question<D, Answer = A>,
        D: Clone + Send + Sync + 'static,
    {
        // What goes alone is boxed, as its future is large, and whoever waits needn't make room for it.
        let told = match self.turn(&question) {
            Turn::Alone => {
                let _alone = Alone { gather: self, database, home };
                return Box::pin(question.alone(database)).await;
            }
            Turn::Waits { answer, is_seen_to: true } => self.answered(answer, home).await,
            Turn::Waits { mut answer, is_seen_to: false } => match timeout(HOLD, &mut answer).await {
                Ok(told) => Ok(told),
                Err(_) => {
                    if self.lock().begin() {
                        self.run_groups(database, home);
                    }
                    self.answered(answer, home).await
                }
            },
        };
        match told {
            Ok(Ok(Told::Answer(answer))) => answer,
            Ok(Ok(Told::Alone)) => Box::pin(question.alone(database)).await,
            // Its group was dropped with its runtime.
            Ok(Err(_)) => Q::repeated(Box::pin(question.alone(database)).await),
            Err(_) => Q::repeated(Err(StoreError::not_applied(Undriven))),
        }
    }

    /// Waits for a group's answer. There is a time limit only if another runtime runs the group, as that one may be idle: a timer for
    /// each question has a cost.
    async fn answered(&self, answer: oneshot::Receiver<Told<A>>, home: &Home) -> Result<Answered<A>, Elapsed> {
        if home.is_here() { Ok(answer.await) } else { timeout(self.limit + LATE, answer).await }
    }

    /// Waits for the next group; or, if little is under way, goes alone.
    fn turn(&self, question: &Q) -> Turn<A>
    where
        Q: Clone,
    {
        let mut asked = self.lock();
        if asked.groups == 0 && asked.waiting.is_empty() && asked.alone < self.beside {
            asked.alone += 1;
            return Turn::Alone;
        }
        let (told, answer) = oneshot::channel();
        asked.waiting.push_back(Waiting { question: question.clone(), answer: told });
        Turn::Waits { answer, is_seen_to: asked.groups > 0 }
    }

    /// Runs groups until nobody waits. The task is counted already.
    fn run_groups<D>(self: &Arc<Self>, database: &D, home: &Home)
    where
        Q: Question<D, Answer = A>,
        D: Clone + Send + Sync + 'static,
    {
        // Dropped with its task, should the runtime have ended.
        let mut groups = Groups { gather: Arc::clone(self), is_counted: true };
        let (database, there) = (database.clone(), home.clone());
        home.spawn(async move { groups.run(&database, &there).await });
    }

    /// The next group.
    fn take<D>(&self) -> Vec<Waiting<Q, A>>
    where
        Q: Question<D, Answer = A>,
    {
        let mut asked = self.lock();
        let (mut later, mut sessions) = (Vec::new(), HashSet::new());
        let mut group = Vec::with_capacity(asked.waiting.len().min(MOST));
        let mut bytes = 0;
        while group.len() < MOST
            && let Some(waiting) =
                asked.waiting.pop_front_if(|next| group.is_empty() || bytes + next.question.bytes() <= MOST_BYTES)
        {
            if waiting.answer.is_closed() {
                // Nobody waits for this one any more.
            } else if waiting.question.session().is_none_or(|session| sessions.insert(session)) {
                bytes += waiting.question.bytes();
                group.push(waiting);
            } else {
                later.push(waiting);
            }
        }
        for waiting in later.into_iter().rev() {
            asked.waiting.push_front(waiting);
        }
        drop(asked);
        group.sort_by_key(|waiting| waiting.question.session());
        group
    }
}

impl<Q, A> Asked<Q, A> {
    /// Whether a task must be started for those who wait, as there is none.
    fn begin(&mut self) -> bool {
        let begins = self.groups == 0 && !self.waiting.is_empty();
        self.groups += usize::from(begins);
        begins
    }
}

/// A question that goes alone. After it, or when it is dropped, come those that arrived meanwhile.
struct Alone<'a, Q: Question<D>, D: Clone + Send + Sync + 'static> {
    gather: &'a Arc<Gather<Q, Q::Answer>>,
    database: &'a D,
    home: &'a Home,
}

impl<Q: Question<D>, D: Clone + Send + Sync + 'static> Drop for Alone<'_, Q, D> {
    fn drop(&mut self) {
        let begins = {
            let mut asked = self.gather.lock();
            asked.alone -= 1;
            asked.begin()
        };
        if begins {
            self.gather.run_groups(self.database, self.home);
        }
    }
}

/// Groups, one after the other.
struct Groups<Q, A> {
    gather: Arc<Gather<Q, A>>,
    /// Until it steps aside.
    is_counted: bool,
}

impl<Q, A: Send + 'static> Groups<Q, A> {
    async fn run<D>(&mut self, database: &D, home: &Home)
    where
        Q: Question<D, Answer = A>,
        D: Clone + Send + Sync + 'static,
    {
        while self.is_counted {
            // Whoever is about to ask comes first: the group is the larger, and nobody waits for anything else.
            yield_now().await;
            let group = self.gather.take();
            let questions: Vec<_> = group.iter().map(|waiting| &waiting.question).collect();
            let answers = match questions[..] {
                [] => return,
                [question] => Ok(vec![self.hold(question.alone(database), database, home).await]),
                _ => self.hold(Q::together(&questions, database), database, home).await,
            };
            let told = match answers {
                Ok(answers) => answers.into_iter().map(Told::Answer).collect::<Vec<_>>(),
                Err(error) if is_refused(&error) => group.iter().map(|_| Told::Alone).collect(),
                Err(error) => group.iter().map(|_| Told::Answer(Err(error.clone()))).collect(),
            };
            for (waiting, told) in group.into_iter().zip(told) {
                // Whoever has given up waiting needs no answer.
                drop(waiting.answer.send(told));
            }
        }
    }

    /// Waits for the statement of a group. If it takes long, others no longer wait for it: this is its task's last.
    async fn hold<D, T>(&mut self, statement: impl Future<Output = T>, database: &D, home: &Home) -> T
    where
        Q: Question<D, Answer = A>,
        D: Clone + Send + Sync + 'static,
    {
        let mut statement = pin!(statement);
        if let Ok(done) = timeout(HOLD, &mut statement).await {
            return done;
        }
        self.is_counted = false;
        let begins = {
            let mut asked = self.gather.lock();
            asked.groups -= 1;
            asked.begin()
        };
        if begins {
            self.gather.run_groups(database, home);
        }
        statement.await
    }
}

impl<Q, A> Drop for Groups<Q, A> {
    fn drop(&mut self) {
        if !self.is_counted {
            return;
        }
        let mut asked = self.gather.lock();
        asked.groups -= 1;
        if asked.groups == 0 {
            // Those who came since the last look, or all if the task was dropped: nobody else sees to them.
            for waiting in asked.waiting.drain(..) {
                drop(waiting.answer.send(Told::Alone));
            }
        }
    }
}

/// Whether the database refused the statement itself, or one of its rows can't be read, so that not all of its questions need be to blame.
pub(super) fn is_refused(error: &StoreError) -> bool {
    let StoreError::NotApplied(source) = error else { return false };
    source.is::<Unreadable>() || source.downcast_ref().is_some_and(DriverError::is_of_database)
}

#[cfg(test)]
mod tests;
