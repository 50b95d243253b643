//! What a session store must do. A store keeps rows, compares what it is asked to compare, and runs
//! each operation as one atomic step. Not here: tokens, expiry rules and the replay of conflicts,
//! which are the core's.
//!
//! # Rules that hold for every operation
//! 1. A row is *live* at `now` while `expires_at > now`. A row that isn't live is invisible to
//!    every operation but [`purge_expired`](SessionStore::purge_expired).
//! 2. A [`Caller`] is live if its row is live, belongs to its user, and [accepts](Record::accepts)
//!    its token. The row's own token is accepted. The row's previous token is accepted as long as
//!    the current one hasn't been presented (`token_seen`), or was issued less than the caller's
//!    `grace` before `now`.
//! 3. Only [`create`](SessionStore::create) inserts. Nothing brings back a row that has ended.
//! 4. User ids are compared byte for byte, and data text is returned exactly as it was stored.
//! 5. A [`StoreError::NotApplied`] promises that nothing changed; if that is uncertain, the error
//!    is [`StoreError::Unknown`].
//! 6. A change of data has an identity, [`NewData::becomes`]. [`update`](SessionStore::update)
//!    makes it once: if it is asked for again, even after one other change, nothing changes and it
//!    is done. Versions need 62 bits: a store whose numbers are floats (JSON, Lua) must keep them
//!    as text.
//! 7. Every operation ends: it has a time limit of its own. A request's operations wait for each
//!    other, so one that never ended would hold up its request for ever.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arrayvec::ArrayVec;
use time::OffsetDateTime;

pub use crate::error::StoreError;
use crate::model::data::Data;
use crate::model::record::Record;
use crate::model::session_id::SessionId;
use crate::model::token::{SealedToken, TokenHash, TokenRef};
use crate::model::user_id::UserId;
use crate::model::version;
pub use crate::model::version::Fate;

#[cfg(feature = "encryption")]
mod encrypted;
mod memory;
#[cfg(any(feature = "mysql", feature = "postgres", feature = "redis", feature = "sqlite-unbundled"))]
mod micros;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(all(doc, any(feature = "mysql", feature = "postgres", feature = "redis")))]
#[doc = include_str!("operators.md")]
pub mod operators {
    #[cfg(feature = "redis")]
    #[doc = include_str!("redis/operators.md")]
    pub mod redis {}
}
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "redis")]
mod redis;
#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite-unbundled"))]
mod sql;
#[cfg(feature = "sqlite-unbundled")]
mod sqlite;
pub(crate) mod write_queues;

pub use memory::MemoryStore;

/// The stores whose features are on.
pub mod databases {
    #[cfg(feature = "encryption")]
    pub use super::encrypted::Encrypted;
    #[cfg(feature = "mysql")]
    pub use super::mysql::{MySqlOptions, MySqlStore};
    #[cfg(feature = "postgres")]
    pub use super::postgres::{PostgresOptions, PostgresStore};
    #[cfg(feature = "redis")]
    pub use super::redis::{RedisDriverError, RedisOpenError, RedisOptions, RedisStore, RedisUrlFault};
    #[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite-unbundled"))]
    pub use super::sql::driver::DriverError;
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    pub use super::sql::server::{ServerOpenError, ServerOptions, ServerStore, UrlFault};
    #[cfg(feature = "sqlite-unbundled")]
    pub use super::sqlite::{LocationFault, SqliteOpenError, SqliteOptions, SqliteStore};
}

/// How many sessions one look-up asks for at most.
pub const MAX_LOADED: usize = 3;

/// The future of one store operation.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Where sessions are stored. Implement it for another database, and prove it with the store suite
/// of `conformance-tests`.
///
/// Each operation is one atomic step. The time is always passed in: a store reads no clock.
pub trait SessionStore: fmt::Debug + Send + Sync + 'static {
    /// Inserts `new`; ends the sessions that it `replaces` (at most three, of any users); then ends
    /// the user's least recently active live sessions beyond `limit`, never `new` itself. All or
    /// nothing, if one shard holds all of it.
    ///
    /// If a row of that id exists, expired or not, nothing changes and the result is
    /// [`Created::Taken`]: ids are never used twice, so the same sign-in was stored before. If such
    /// a row is just being inserted, the operation waits for it.
    ///
    /// If a session that it replaces is to have a certain [version](Replaced::version), is live and
    /// has another one, nothing changes and the result is [`Created::Changed`].
    fn create<'a>(
        &'a self,
        new: &'a Arc<Record>,
        replaces: &'a [Replaced],
        limit: NonZeroU32,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Created>;

    /// The live rows among `sessions` (one to three), in that order.
    fn load<'a>(&'a self, sessions: &'a [TokenRef], now: OffsetDateTime) -> StoreFuture<'a, Loaded>;

    /// Changes the caller's own row as `update` says, in one step, and never inserts.
    ///
    /// Data is stored only on the version it was based on, which then becomes the update's
    /// [`becomes`](NewData::becomes). If the live row of an accepted caller has another version,
    /// its [`Fate`] decides: a write that was [made](Fate::Made) before is done, with all of its
    /// update, and anything else is a conflict.
    ///
    /// A store that sends an operation to its database again returns [`StoreError::Unknown`]
    /// instead of a conflict if an earlier attempt got no answer and the row doesn't show its
    /// [fate](Fate::Unknown).
    fn update<'a>(&'a self, caller: &'a Caller, update: &'a Update, now: OffsetDateTime) -> StoreFuture<'a, Updated>;

    /// Ends session `id` of `user`, and returns whether it was live. If there is a caller (`by`),
    /// only if that is live, checked in the same step. A store that lost its database's answer and
    /// asked again may return true, because its first attempt may have ended it.
    fn end<'a>(
        &'a self,
        user: &'a UserId,
        id: SessionId,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<bool>>;

    /// Ends all sessions of `user` but `except`, and returns the ids of those that were live. A
    /// store that lost its database's answer and asked again may leave out those that its first
    /// attempt ended.
    fn end_all<'a>(
        &'a self,
        user: &'a UserId,
        except: Option<SessionId>,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<Vec<SessionId>>>;

    /// The user's live sessions, most recently active first; then the newest sign-in first, then
    /// the highest id.
    fn list<'a>(
        &'a self,
        user: &'a UserId,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<Vec<Arc<Record>>>>;

    /// Deletes up to `limit` rows whose `expires_at` is at or before `before`, and returns how many
    /// it deleted.
    fn purge_expired<'a>(&'a self, before: OffsetDateTime, limit: NonZeroU32) -> StoreFuture<'a, u64>;

    /// How many bytes of data one row can hold; none if the store knows no limit. The service asks
    /// once, at the start, and refuses larger data. A store that wraps another one returns that
    /// one's limit.
    fn max_data_bytes(&self) -> Option<usize> {
        None
    }

    /// Looks at up to `limit` users after `after`, in an order of the store's choice. Notes `now`
    /// for those who have no session, unless a time is noted already, and forgets those for whom
    /// `since` or an earlier time is noted. A sign-in removes the note.
    ///
    /// The default does nothing, which is right for a store that keeps nothing about a user but
    /// sessions.
    fn forget_users<'a>(
        &'a self,
        after: Option<&'a str>,
        since: OffsetDateTime,
        now: OffsetDateTime,
        limit: NonZeroU32,
    ) -> StoreFuture<'a, Forgotten> {
        let _ = (after, since, now, limit);
        Box::pin(std::future::ready(Ok(Forgotten::default())))
    }

    /// The time by the database's clock, if that is another machine's. The default is none.
    fn server_time(&self) -> StoreFuture<'_, Option<OffsetDateTime>> {
        Box::pin(std::future::ready(Ok(None)))
    }
}

macro_rules! forward {
    ($methods:tt) => {
        forward!(@for [S: SessionStore + ?Sized] Arc<S>, $methods);
        // For any `S` it would conflict with the databases' own implementation.
        forward!(@for [] Box<dyn SessionStore>, $methods);
    };
    (@for [$($bounds:tt)*] $pointer:ty, {$($name:ident($($arg:ident: $type:ty),*) -> $result:ty;)*}) => {
        /// A pointer to a store is a store.
        impl<$($bounds)*> SessionStore for $pointer {
            $(fn $name<'a>(&'a self, $($arg: $type),*) -> StoreFuture<'a, $result> {
                (**self).$name($($arg),*)
            })*

            fn max_data_bytes(&self) -> Option<usize> {
                (**self).max_data_bytes()
            }
        }
    };
}

forward! {{
        create(new: &'a Arc<Record>, replaces: &'a [Replaced], limit: NonZeroU32, now: OffsetDateTime) -> Created;
        load(sessions: &'a [TokenRef], now: OffsetDateTime) -> Loaded;
        update(caller: &'a Caller, update: &'a Update, now: OffsetDateTime) -> Updated;
        end(user: &'a UserId, id: SessionId, by: Option<&'a Caller>, now: OffsetDateTime) -> Checked<bool>;
        end_all(user: &'a UserId, except: Option<SessionId>, by: Option<&'a Caller>, now: OffsetDateTime) -> Checked<Vec<SessionId>>;
        list(user: &'a UserId, by: Option<&'a Caller>, now: OffsetDateTime) -> Checked<Vec<Arc<Record>>>;
        purge_expired(before: OffsetDateTime, limit: NonZeroU32) -> u64;
        forget_users(after: Option<&'a str>, since: OffsetDateTime, now: OffsetDateTime, limit: NonZeroU32) -> Forgotten;
        server_time() -> Option<OffsetDateTime>;
}}

/// A session as a request holds it: whose it is, which one, and the hash of the token that the
/// request holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Whose session it is.
    pub user_id: UserId,
    /// Which session it is.
    pub id: SessionId,
    /// The hash of the token that the request holds.
    pub token: TokenHash,
    /// How long after the rotation the replaced token is accepted, even if its successor was
    /// presented.
    pub grace: Duration,
}

/// Which session, and whose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionKey {
    /// Whose session it is.
    pub user_id: UserId,
    /// Which session it is.
    pub id: SessionId,
}

/// A session that a new one replaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// Which one.
    pub session: SessionKey,
    /// The version that its data must have if it is live, because the new session takes data along.
    /// None if any will do.
    pub version: Option<i64>,
}

impl From<SessionKey> for Replaced {
    fn from(session: SessionKey) -> Self {
        Self { session, version: None }
    }
}

/// The result of a sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// The session is stored.
    Inserted {
        /// The user's sessions that were ended because of the limit.
        evicted: Vec<SessionId>,
    },
    /// There was a row of that id already. Nothing changed.
    Taken,
    /// A session that it replaces has another version. Nothing changed. This is that session's row.
    Changed(Arc<Record>),
}

/// The result of a look at some users.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// How many were forgotten.
    pub users: u64,
    /// The `after` of the next look; none once all users were looked at.
    pub next: Option<String>,
}

/// The rows that a look-up found, at most three.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded(ArrayVec<Arc<Record>, MAX_LOADED>);

impl Loaded {
    /// No row.
    pub const NONE: Self = Self(ArrayVec::new_const());
}

/// Takes the first three.
impl FromIterator<Arc<Record>> for Loaded {
    fn from_iter<I: IntoIterator<Item = Arc<Record>>>(rows: I) -> Self {
        Self(rows.into_iter().take(MAX_LOADED).collect())
    }
}

impl IntoIterator for Loaded {
    type Item = Arc<Record>;
    type IntoIter = arrayvec::IntoIter<Arc<Record>, MAX_LOADED>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl Deref for Loaded {
    type Target = [Arc<Record>];

    fn deref(&self) -> &[Arc<Record>] {
        &self.0
    }
}

/// A change of one row: any of new data, activity, a new token, and the fact that the current token
/// was presented. Without any of them, a check that the caller is live.
#[derive(Debug, Clone, Default)]
pub struct Update {
    /// New data, stored only on the version it was based on.
    pub data: Option<NewData>,
    /// Activity, which only ever moves forward.
    pub activity: Option<Activity>,
    /// A new token.
    pub rotation: Option<Rotation>,
    /// The caller's token was presented. If it is the row's current one, the row's `token_seen`
    /// becomes true and its `successor` null. Never together with a rotation.
    pub seen: bool,
}

/// A new token for a row. The row's `token_issued_at` becomes `now`, or a microsecond after its old
/// value if that is later; its `token_seen` becomes false.
#[derive(Debug, Clone, Copy)]
pub struct Rotation {
    /// The hash of the new token.
    pub to: TokenHash,
    /// The new token, sealed to the one that it replaces. It becomes the row's `successor`, and the
    /// replaced token the row's previous one. If the caller's token is the previous one already,
    /// nothing is replaced: [`Updated::Superseded`].
    ///
    /// None for a strict rotation, for which the caller's token may be the row's previous one. The
    /// row then has no previous token and no `successor`, and its `strict_rotated_at` becomes its
    /// `token_issued_at`. If the row's token is `to` already, the rotation is done.
    pub successor: Option<SealedToken>,
}

/// New data for a row.
#[derive(Debug, Clone)]
pub struct NewData {
    /// The version that the row must have.
    pub based_on: i64,
    /// The version that the row gets. It is the identity of this write, the same whenever it is
    /// asked for again.
    pub becomes: i64,
    /// The data, whole.
    pub data: Data,
}

impl NewData {
    /// A new write, with an identity of its own.
    pub fn new(based_on: i64, data: Data) -> Self {
        Self { based_on, becomes: version::drawn(based_on), data }
    }

    /// What a row of this version shows about this write.
    pub const fn fate(&self, version: i64) -> Fate {
        version::fate(version, self.based_on, self.becomes)
    }
}

/// Activity to record. Nothing changes if the row's `last_active_at` is after `unless_after`.
/// Otherwise `last_active_at` becomes the later of itself and `at`, and `expires_at` the later of
/// itself and this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activity {
    /// When.
    pub at: OffsetDateTime,
    /// When the session expires now: the earlier of its idle and absolute end.
    pub expires_at: OffsetDateTime,
    /// Records nothing if there was activity after this.
    pub unless_after: OffsetDateTime,
}

/// The result of an [`update`](SessionStore::update).
#[derive(Debug, Clone)]
pub enum Updated {
    /// The row is as the update says.
    Done {
        /// When the row expires now.
        expires_at: OffsetDateTime,
    },
    /// The rotation did nothing, because the caller's token is the row's previous one. The rest of
    /// the update was done. This is the row as it was before that.
    Superseded(Arc<Record>),
    /// The row has another version than the one that the data was based on, and isn't known to
    /// contain the data. Nothing changed. This is the row.
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
