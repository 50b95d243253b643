//! What a session store must do. Leaves tokens, expiry rules and conflicts' replay to the core: a store keeps rows,
//! compares what it is told to compare, and does each operation as one atomic step.
//!
//! # Rules that hold for every operation
//! 1. A row is *live* at `now` while `expires_at > now`. A row that isn't live is invisible to every operation but
//!    [`purge_expired`](SessionStore::purge_expired).
//! 2. A [`Caller`] is live if its row is, belongs to its user, and its token is the row's own, or is the row's previous
//!    one and was replaced less than [`ROTATION_GRACE`] before `now`.
//! 3. Only [`create`](SessionStore::create) inserts. Nothing brings back a row that has ended.
//! 4. User ids are compared byte for byte, and data text comes back exactly as it went in.
//! 5. A [`StoreError::NotApplied`] promises that nothing changed; whoever can't promise that says
//!    [`StoreError::Unknown`].

use std::fmt;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

pub use crate::error::StoreError;
use crate::session::{Data, Record, SessionId};
use crate::token::{TokenHash, TokenRef};
use crate::user_id::UserId;

mod memory;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(all(doc, any(feature = "mysql", feature = "postgres")))]
#[doc = include_str!("operators.md")]
pub mod operators {}
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite"))]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;

pub use memory::MemoryStore;

/// The stores of the databases whose features are on.
pub mod databases {
    #[cfg(feature = "mysql")]
    pub use super::mysql::{MySqlOptions, MySqlStore};
    #[cfg(feature = "postgres")]
    pub use super::postgres::{PostgresOptions, PostgresStore};
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    pub use super::sql::server::ServerOpenError;
    #[cfg(feature = "sqlite")]
    pub use super::sqlite::{SqliteOpenError, SqliteOptions, SqliteStore};
}

/// For how long after a rotation a request in flight may still store data under the token it came with.
pub const ROTATION_GRACE: Duration = Duration::from_secs(60);

/// The future of one store operation.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Where sessions live. Implement it to bring another database, and prove it with the store suite of
/// `conformance-tests`.
///
/// Each operation is one atomic step. The time is always passed in: a store reads no clock.
pub trait SessionStore: fmt::Debug + Send + Sync + 'static {
    /// Inserts `new`; ends the session that it `replaces`; then ends the user's least recently active live sessions
    /// beyond `limit`, never `new` itself. All or nothing, wherever one shard holds both users.
    fn create<'a>(
        &'a self,
        new: &'a Arc<Record>,
        replaces: Option<&'a Replaced>,
        limit: NonZeroU32,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Created>;

    /// The first of `tokens` (one to three) whose hash is the current token hash of a live row.
    fn load<'a>(&'a self, tokens: &'a [TokenRef], now: OffsetDateTime) -> StoreFuture<'a, Option<Arc<Record>>>;

    /// Changes the caller's own row as `update` says, in one step, and never inserts.
    fn apply<'a>(&'a self, caller: &'a Caller, update: &'a Update, now: OffsetDateTime) -> StoreFuture<'a, Applied>;

    /// Ends session `id` of `user`: whether there was a live one.
    fn end<'a>(
        &'a self,
        user: &'a UserId,
        id: SessionId,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<bool>>;

    /// Ends all sessions of `user` but `except`: the ids of the live ones that ended.
    fn end_all<'a>(
        &'a self,
        user: &'a UserId,
        except: Option<SessionId>,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<Vec<SessionId>>>;

    /// The user's live sessions: most recently active first, ties by newest sign-in, then by highest id.
    fn list<'a>(
        &'a self,
        user: &'a UserId,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<Vec<Arc<Record>>>>;

    /// Deletes up to `limit` rows whose `expires_at` is at or before `before`: how many it deleted.
    fn purge_expired<'a>(&'a self, before: OffsetDateTime, limit: NonZeroU32) -> StoreFuture<'a, u64>;
}

macro_rules! forward {
    ($($name:ident($($arg:ident: $type:ty),*) -> $result:ty;)*) => {
        /// A shared store is a store.
        impl<S: SessionStore + ?Sized> SessionStore for Arc<S> {
            $(fn $name<'a>(&'a self, $($arg: $type),*) -> StoreFuture<'a, $result> {
                (**self).$name($($arg),*)
            })*
        }
    };
}

forward! {
    create(new: &'a Arc<Record>, replaces: Option<&'a Replaced>, limit: NonZeroU32, now: OffsetDateTime) -> Created;
    load(tokens: &'a [TokenRef], now: OffsetDateTime) -> Option<Arc<Record>>;
    apply(caller: &'a Caller, update: &'a Update, now: OffsetDateTime) -> Applied;
    end(user: &'a UserId, id: SessionId, by: Option<&'a Caller>, now: OffsetDateTime) -> Checked<bool>;
    end_all(user: &'a UserId, except: Option<SessionId>, by: Option<&'a Caller>, now: OffsetDateTime) -> Checked<Vec<SessionId>>;
    list(user: &'a UserId, by: Option<&'a Caller>, now: OffsetDateTime) -> Checked<Vec<Arc<Record>>>;
    purge_expired(before: OffsetDateTime, limit: NonZeroU32) -> u64;
}

/// A session as a request holds it: whose it is, which one, and the hash of the token that the request came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Whose session it is.
    pub user_id: UserId,
    /// Which session it is.
    pub id: SessionId,
    /// The hash of the token that the request came with.
    pub token: TokenHash,
}

/// A session that a sign-in replaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// Whose session it is; not always the user who signs in.
    pub user_id: UserId,
    /// Which session it is.
    pub id: SessionId,
}

/// What a sign-in did besides inserting.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Created {
    /// The user's sessions that were ended to keep to the limit.
    pub evicted: Vec<SessionId>,
}

/// A change of one row: any of new data, activity and rotation. With none of them, a check that the caller is live.
#[derive(Debug, Clone, Default)]
pub struct Update {
    /// New data, stored only on the version it was based on.
    pub data: Option<NewData>,
    /// Activity, which only ever moves forward.
    pub activity: Option<Activity>,
    /// The hash that replaces the caller's token. The one that is replaced becomes the row's previous one.
    /// Where the caller's token is the previous one already, nothing is replaced.
    pub rotate_to: Option<TokenHash>,
}

/// New data for a row.
#[derive(Debug, Clone)]
pub struct NewData {
    /// The version that the row must have; it becomes one more.
    pub based_on: i64,
    /// The data, whole.
    pub data: Data,
}

/// Activity to record: nothing if the row's `last_active_at` is after `unless_after`, else `last_active_at` becomes the
/// later of itself and `at`, and `expires_at` the later of itself and this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activity {
    /// When.
    pub at: OffsetDateTime,
    /// When the session now expires: the earlier of its idle and absolute end.
    pub expires_at: OffsetDateTime,
    /// Records nothing if there was activity after this.
    pub unless_after: OffsetDateTime,
}

/// What came of an [`apply`](SessionStore::apply).
#[derive(Debug, Clone)]
pub enum Applied {
    /// The row is as the update says.
    Done {
        /// When the row expires now.
        expires_at: OffsetDateTime,
        /// Whether the row's token is the one of `rotate_to`.
        rotated: bool,
    },
    /// The row has another version than the data was based on; nothing changed. This is the row.
    Conflict(Arc<Record>),
    /// The caller isn't live; nothing changed.
    Gone,
}

/// The result of an operation that may have checked its caller in the same step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked<T> {
    /// The caller, if one was named, is live; this is the result.
    Live(T),
    /// The caller isn't live; nothing changed.
    CallerGone,
}
