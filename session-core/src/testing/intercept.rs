//! Stores in front of another one: one whose calls a test sees and changes, and one that fails when
//! a test says so.

use std::fmt::Debug;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use time::OffsetDateTime;

use crate::error::StoreError;
use crate::model::record::Record;
use crate::model::session_id::SessionId;
use crate::model::token::TokenRef;
use crate::model::user_id::UserId;
use crate::store::{Caller, Checked, Created, Forgotten, Loaded, Replaced, SessionStore, StoreFuture, Update, Updated};

/// What happens to the calls of a store.
pub trait Intercept: Debug + Send + Sync + 'static {
    /// Answers `operation`, with [`Operation::ask`] or without asking the store. The answer must be
    /// of the operation's kind.
    fn call<'a>(&'a self, store: &'a Arc<dyn SessionStore>, operation: Operation<'a>) -> StoreFuture<'a, Answer>;

    /// Answers [`SessionStore::max_data_bytes`], which is no operation.
    fn max_data_bytes(&self, store: &Arc<dyn SessionStore>) -> Option<usize> {
        store.max_data_bytes()
    }
}

impl<I: Intercept + ?Sized> Intercept for Arc<I> {
    fn call<'a>(&'a self, store: &'a Arc<dyn SessionStore>, operation: Operation<'a>) -> StoreFuture<'a, Answer> {
        (**self).call(store, operation)
    }

    fn max_data_bytes(&self, store: &Arc<dyn SessionStore>) -> Option<usize> {
        (**self).max_data_bytes(store)
    }
}

/// A store whose calls are intercepted.
#[derive(Debug)]
pub struct Intercepted<I> {
    store: Arc<dyn SessionStore>,
    by: I,
}

impl<I: Intercept> Intercepted<I> {
    /// Puts `by` in front of `store`.
    pub fn new(store: Arc<dyn SessionStore>, by: I) -> Self {
        Self { store, by }
    }
}

/// The methods of the trait, once: the name of each operation, its arguments and its answer.
macro_rules! operations {
    ($($Kind:ident: $method:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        /// An operation of the store.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "named as the store's methods")]
        pub enum OpKind {
            $($Kind,)*
        }

        /// A call of a store's operation.
        #[derive(Debug, Clone, Copy)]
        #[allow(missing_docs, reason = "named as the store's methods and their arguments")]
        pub enum Operation<'a> {
            $($Kind { $($argument: $type),* },)*
        }

        /// What a store answers, by operation.
        #[derive(Debug)]
        #[allow(missing_docs, reason = "named as the store's methods")]
        pub enum Answer {
            $($Kind($answer),)*
        }

        impl<'a> Operation<'a> {
            /// Which operation it is.
            pub fn kind(&self) -> OpKind {
                match self {
                    $(Self::$Kind { .. } => OpKind::$Kind,)*
                }
            }

            /// Asks `store` for it, once polled.
            ///
            /// # Errors
            /// Those of the store.
            pub async fn ask(self, store: &'a dyn SessionStore) -> Result<Answer, StoreError> {
                match self {
                    $(Self::$Kind { $($argument),* } => store.$method($($argument),*).await.map(Answer::$Kind),)*
                }
            }
        }

        impl<I: Intercept> SessionStore for Intercepted<I> {
            $(fn $method<'a>(&'a self, $($argument: $type),*) -> StoreFuture<'a, $answer> {
                Box::pin(async move {
                    match self.by.call(&self.store, Operation::$Kind { $($argument),* }).await? {
                        Answer::$Kind(answer) => Ok(answer),
                        other => panic!("{other:?} answers no {}", stringify!($method)),
                    }
                })
            })*

            fn max_data_bytes(&self) -> Option<usize> {
                self.by.max_data_bytes(&self.store)
            }
        }

        impl SessionStore for FailingStore {
            $(fn $method<'a>(&'a self, $($argument: $type),*) -> StoreFuture<'a, $answer> {
                self.0.$method($($argument),*)
            })*

            fn max_data_bytes(&self) -> Option<usize> {
                self.0.max_data_bytes()
            }
        }
    };
}

operations! {
    Create: create(new: &'a Arc<Record>, replaces: &'a [Replaced], limit: NonZeroU32, now: OffsetDateTime) -> Created;
    Load: load(sessions: &'a [TokenRef], now: OffsetDateTime) -> Loaded;
    Update: update(caller: &'a Caller, update: &'a Update, now: OffsetDateTime) -> Updated;
    End: end(user: &'a UserId, id: SessionId, by: Option<&'a Caller>, now: OffsetDateTime) -> Checked<bool>;
    EndAll: end_all(
        user: &'a UserId, except: Option<SessionId>, by: Option<&'a Caller>, now: OffsetDateTime
    ) -> Checked<Vec<SessionId>>;
    List: list(user: &'a UserId, by: Option<&'a Caller>, now: OffsetDateTime) -> Checked<Vec<Arc<Record>>>;
    Purge: purge_expired(before: OffsetDateTime, limit: NonZeroU32) -> u64;
    ForgetUsers: forget_users(
        after: Option<&'a str>, since: OffsetDateTime, now: OffsetDateTime, limit: NonZeroU32
    ) -> Forgotten;
    ServerTime: server_time() -> Option<OffsetDateTime>;
}

/// A store that fails when a test says so, in front of one that works. A clone is the same store.
///
/// What fails has certainly changed nothing, and a request that needs it is a 503.
///
/// ```
/// use session_core::testing::FailingStore;
/// use session_core::{CookieSessionService, MemoryStore};
/// # use session_core::{KeyRing, SessionConfig, SigningKey};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let config = SessionConfig::builder().build(KeyRing::new(SigningKey::from_bytes(&[7; 32])?))?;
/// let store = FailingStore::new(MemoryStore::new());
/// let service = CookieSessionService::new(store.clone(), config);
///
/// store.fail_writes();
/// assert_eq!(service.issue("ada").await.unwrap_err().status(), 503);
/// assert_eq!(service.list("ada").await?.len(), 0);
///
/// store.recover();
/// service.issue("ada").await?;
/// store.fail_reads();
/// assert_eq!(service.list("ada").await.unwrap_err().status(), 503);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct FailingStore(Arc<Intercepted<Switch>>);

#[derive(Debug, Default)]
struct Switch {
    reads: AtomicBool,
    writes: AtomicBool,
}

impl FailingStore {
    /// A store in front of `store`. Nothing fails yet.
    pub fn new(store: impl SessionStore) -> Self {
        Self(Arc::new(Intercepted::new(Arc::new(store), Switch::default())))
    }

    /// From now on look-ups and lists fail.
    pub fn fail_reads(&self) {
        self.0.by.reads.store(true, Ordering::SeqCst);
    }

    /// From now on fails what changes a row: sign-ins, values, activity, rotations, sign-outs and
    /// clean-ups.
    pub fn fail_writes(&self) {
        self.0.by.writes.store(true, Ordering::SeqCst);
    }

    /// From now on nothing fails.
    pub fn recover(&self) {
        self.0.by.reads.store(false, Ordering::SeqCst);
        self.0.by.writes.store(false, Ordering::SeqCst);
    }
}

impl Intercept for Switch {
    fn call<'a>(&'a self, store: &'a Arc<dyn SessionStore>, operation: Operation<'a>) -> StoreFuture<'a, Answer> {
        let fails = match operation.kind() {
            OpKind::Load | OpKind::List | OpKind::ServerTime => &self.reads,
            OpKind::Create | OpKind::Update | OpKind::End | OpKind::EndAll | OpKind::Purge | OpKind::ForgetUsers => {
                &self.writes
            }
        };
        Box::pin(async move {
            if fails.load(Ordering::SeqCst) {
                return Err(StoreError::not_applied("a test made the store fail"));
            }
            operation.ask(&**store).await
        })
    }
}
