//! A store in memory that keeps users and forgets them, as those on servers do: as it should, or
//! with one thing broken.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use conformance_tests::BoxFuture;
use conformance_tests::intercept::{Answer, Intercept, Intercepted, Operation};
use conformance_tests::world::{Rows, StoreKind};
use session_core::UserId;
use session_core::store::{Checked, Forgotten, MemoryStore, SessionStore, StoreError, StoreFuture};
use time::OffsetDateTime;

/// How users are forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forgetting {
    /// Correctly.
    Right,
    /// A look never says that it was the last one.
    NeverEnds,
    /// Each look begins with the first user.
    IgnoresThePlace,
    /// A look looks at all users, whatever its limit.
    IgnoresTheLimit,
    /// Users are forgotten as soon as they have no session.
    ForgetsAtOnce,
    /// Users with sessions are forgotten, and their sessions end.
    ForgetsThoseWithSessions,
    /// A sign-in doesn't clear the note that the user had no session.
    KeepsItsNotes,
    /// Once a user was forgotten, sign-ins keep to no limit.
    LosesTheLimit,
}

impl StoreKind for Forgetting {
    fn name(&self) -> &'static str {
        if *self == Self::Right { "forgetting" } else { "forgetting-wrongly" }
    }

    fn fresh(&self) -> BoxFuture<'static, Rows> {
        let users = Users { forgetting: *self, noted: Mutex::default(), has_forgotten: AtomicBool::new(false) };
        let store = Intercepted::new(Arc::new(MemoryStore::new()), users);
        Box::pin(std::future::ready(Rows::shared(Arc::new(store))))
    }
}

/// The users, and when each was noted to have no session.
#[derive(Debug)]
struct Users {
    forgetting: Forgetting,
    noted: Mutex<BTreeMap<String, Option<OffsetDateTime>>>,
    has_forgotten: AtomicBool,
}

impl Users {
    fn noted(&self) -> MutexGuard<'_, BTreeMap<String, Option<OffsetDateTime>>> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn look(
        &self,
        store: &dyn SessionStore,
        after: Option<&str>,
        since: OffsetDateTime,
        now: OffsetDateTime,
        limit: NonZeroU32,
    ) -> Result<Forgotten, StoreError> {
        let after = after.filter(|_| self.forgetting != Forgetting::IgnoresThePlace);
        let limit = if self.forgetting == Forgetting::IgnoresTheLimit { usize::MAX } else { limit.get() as usize };
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let seen: Vec<_> =
            self.noted().range::<str, _>((after, Bound::Unbounded)).map(|(user, _)| user.clone()).collect();
        let seen = &seen[..seen.len().min(limit)];
        let mut forgotten = 0;
        for user in seen {
            let id = UserId::parse(user).expect("it was signed in");
            let has_sessions = store.list(&id, None, now).await? != Checked::Live(Vec::new());
            if has_sessions && self.forgetting == Forgetting::ForgetsThoseWithSessions {
                store.end_all(&id, None, None, now).await?;
            } else if has_sessions {
                continue;
            }
            let mut noted = self.noted();
            let Some(at) = noted.get_mut(user) else { continue };
            let at = *at.get_or_insert(now);
            if at <= since || self.forgetting == Forgetting::ForgetsAtOnce {
                noted.remove(user);
                forgotten += 1;
                self.has_forgotten.store(true, Ordering::SeqCst);
            }
        }
        let is_last = seen.len() < limit && self.forgetting != Forgetting::NeverEnds;
        let next = if is_last { None } else { Some(seen.last().cloned().unwrap_or_default()) };
        Ok(Forgotten { users: forgotten, next })
    }
}

impl Intercept for Users {
    fn call<'a>(&'a self, store: &'a Arc<dyn SessionStore>, operation: Operation<'a>) -> StoreFuture<'a, Answer> {
        Box::pin(async move {
            match operation {
                Operation::ForgetUsers { after, since, now, limit } => {
                    self.look(store, after, since, now, limit).await.map(Answer::ForgetUsers)
                }
                Operation::Create { new, replaces, mut limit, now } => {
                    let user = new.user_id.as_str().to_owned();
                    if self.forgetting == Forgetting::KeepsItsNotes {
                        self.noted().entry(user).or_default();
                    } else {
                        self.noted().insert(user, None);
                    }
                    if self.forgetting == Forgetting::LosesTheLimit && self.has_forgotten.load(Ordering::SeqCst) {
                        limit = NonZeroU32::MAX;
                    }
                    Operation::Create { new, replaces, limit, now }.ask(store).await
                }
                other => other.ask(store).await,
            }
        })
    }
}
