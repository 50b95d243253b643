//! A store in front of another one, whose database sees the data of sessions encrypted. Not here:
//! the cipher, see `keys::seal`; and how sealed data is written as text, see `sealed`.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use time::OffsetDateTime;

use super::{Caller, Checked, Created, Forgotten, Loaded, Replaced, SessionStore, StoreFuture, Update, Updated};
use crate::keys::KeyRing;
use crate::model::record::Record;
use crate::model::session_id::SessionId;
use crate::model::token::TokenRef;
use crate::model::user_id::UserId;
use sealed::Sealer;

mod sealed;

/// Encrypts the data of all sessions before `S` stores it, and decrypts it after `S` read it:
/// XChaCha20-Poly1305, with keys that are derived for this use. It keeps a reader of the database,
/// or of its copies, from reading and from changing what sessions hold.
///
/// Data is bound to its user and its session: the text of one row in another is an error. It isn't
/// bound to its version, so a row that is set back to an earlier state isn't noticed.
/// Encrypted are the values of sessions, and nothing else: user ids, times, addresses and the names
/// of devices are in plain text, because databases search and sort by them.
///
/// Data that can't be decrypted is what data that can't be decoded is: a 500 where it is read, an
/// event, and never an empty session; signing out, revoking and signing in again still work. One
/// line of log names the cause.
///
/// # Keys
/// A [`KeyRing`], by preference not the one that signs cookies: the first key encrypts, the
/// verify-only keys decrypt. A session's data is encrypted anew at each write, so a key that became
/// verify-only can be dropped after the longest absolute timeout. A key of
/// [`from_env`](crate::SigningKey::from_env) that isn't set is random: it makes what is stored
/// unreadable for the next process.
///
/// # Cost
/// The stored text is longer by a third and 68 bytes, which leaves that much less of what `S` can
/// hold. A look-up of 1 KiB takes about 3 microseconds more, and of 64 KiB about 80, whether the
/// handler reads the data or not.
///
/// ```
/// use session_core::{Encrypted, KeyRing, MemoryStore, SessionStore, SigningKey};
///
/// # fn main() -> Result<(), session_core::KeyError> {
/// let new = SigningKey::from_bytes(&[2; 32])?;
/// let old = SigningKey::from_bytes(&[1; 32])?;
/// let store = Encrypted::new(MemoryStore::new(), KeyRing::new(new).verify_with(old)?);
/// assert_eq!(store.max_data_bytes(), None);
/// assert_eq!(format!("{store:?}"), "Encrypted(MemoryStore { .. })");
/// # Ok(())
/// # }
/// ```
pub struct Encrypted<S> {
    store: S,
    sealer: Sealer,
}

impl<S: SessionStore> Encrypted<S> {
    /// Encrypts what `store` stores.
    pub fn new(store: S, keys: impl Into<KeyRing>) -> Self {
        Self { store, sealer: Sealer::new(&keys.into()) }
    }

    /// Also reads data that isn't encrypted, as long as there are sessions from before. The next
    /// write of each encrypts it. Without this, such data is an error, so that what was planted in
    /// the database isn't read.
    #[must_use]
    pub fn accept_plain_data(mut self) -> Self {
        self.sealer.accepts_plain = true;
        self
    }

    fn rows(&self, rows: impl IntoIterator<Item = Arc<Record>>) -> impl Iterator<Item = Arc<Record>> {
        rows.into_iter().map(|row| self.sealer.opened(row))
    }

    fn checked(&self, rows: Checked<Vec<Arc<Record>>>) -> Checked<Vec<Arc<Record>>> {
        match rows {
            Checked::Live(rows) => Checked::Live(self.rows(rows).collect()),
            Checked::CallerGone => Checked::CallerGone,
        }
    }

    fn updated(&self, updated: Updated) -> Updated {
        match updated {
            Updated::Superseded(row) => Updated::Superseded(self.sealer.opened(row)),
            Updated::Conflict(row) => Updated::Conflict(self.sealer.opened(row)),
            Updated::Done { .. } | Updated::Gone => updated,
        }
    }
}

/// Shows the store and no key.
impl<S: fmt::Debug> fmt::Debug for Encrypted<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Encrypted").field(&self.store).finish()
    }
}

impl<S: SessionStore> SessionStore for Encrypted<S> {
    fn create<'a>(
        &'a self,
        new: &'a Arc<Record>,
        replaces: &'a [Replaced],
        limit: NonZeroU32,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Created> {
        Box::pin(async move {
            let data = self.sealer.sealed(&new.user_id, new.id, &new.data)?;
            let sealed = Arc::new(Record { data, ..Record::clone(new) });
            Ok(match self.store.create(&sealed, replaces, limit, now).await? {
                Created::Changed(row) => Created::Changed(self.sealer.opened(row)),
                other => other,
            })
        })
    }

    fn load<'a>(&'a self, sessions: &'a [TokenRef], now: OffsetDateTime) -> StoreFuture<'a, Loaded> {
        Box::pin(async move { Ok(self.rows(self.store.load(sessions, now).await?).collect()) })
    }

    fn update<'a>(&'a self, caller: &'a Caller, update: &'a Update, now: OffsetDateTime) -> StoreFuture<'a, Updated> {
        let Some(new) = &update.data else {
            return Box::pin(async move { Ok(self.updated(self.store.update(caller, update, now).await?)) });
        };
        Box::pin(async move {
            let mut update = update.clone();
            let mut sealed = new.clone();
            sealed.data = self.sealer.sealed(&caller.user_id, caller.id, &new.data)?;
            update.data = Some(sealed);
            Ok(self.updated(self.store.update(caller, &update, now).await?))
        })
    }

    fn end<'a>(
        &'a self,
        user: &'a UserId,
        id: SessionId,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<bool>> {
        self.store.end(user, id, by, now)
    }

    fn end_all<'a>(
        &'a self,
        user: &'a UserId,
        except: Option<SessionId>,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<Vec<SessionId>>> {
        self.store.end_all(user, except, by, now)
    }

    fn list<'a>(
        &'a self,
        user: &'a UserId,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<Vec<Arc<Record>>>> {
        Box::pin(async move { Ok(self.checked(self.store.list(user, by, now).await?)) })
    }

    fn purge_expired<'a>(&'a self, before: OffsetDateTime, limit: NonZeroU32) -> StoreFuture<'a, u64> {
        self.store.purge_expired(before, limit)
    }

    fn max_data_bytes(&self) -> Option<usize> {
        self.store.max_data_bytes().map(sealed::most_text)
    }

    fn forget_users<'a>(
        &'a self,
        after: Option<&'a str>,
        since: OffsetDateTime,
        now: OffsetDateTime,
        limit: NonZeroU32,
    ) -> StoreFuture<'a, Forgotten> {
        self.store.forget_users(after, since, now, limit)
    }

    fn server_time(&self) -> StoreFuture<'_, Option<OffsetDateTime>> {
        self.store.server_time()
    }
}
