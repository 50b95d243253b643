//! Stores with one thing broken, which the suite must notice.

use std::num::NonZeroU32;
use std::sync::Arc;

use conformance_tests::BoxFuture;
use conformance_tests::world::{Rows, StoreKind};
use session_core::store::{
    Applied, Caller, Checked, Created, Forgotten, Loaded, MemoryStore, SessionKey, SessionStore, StoreFuture, Update,
};
use session_core::{Record, SessionId, TokenRef, UserId};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use time::OffsetDateTime;

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// A write to a row that ended inserts it again.
    Upserts,
    /// Data is written whatever version it was based on.
    IgnoresVersions,
}

impl StoreKind for Broken {
    fn name(&self) -> &'static str {
        match self {
            Self::Upserts => "upserting",
            Self::IgnoresVersions => "last-writer-wins",
        }
    }

    fn fresh(&self) -> BoxFuture<'static, Rows> {
        let store = BrokenStore { what: *self, inner: MemoryStore::new(), written: Mutex::default() };
        Box::pin(std::future::ready(Rows::shared(Arc::new(store))))
    }
}

/// The store in memory, broken.
#[derive(Debug)]
struct BrokenStore {
    what: Broken,
    inner: MemoryStore,
    /// Every row as it was inserted or loaded last.
    written: Mutex<HashMap<SessionId, Arc<Record>>>,
}

impl BrokenStore {
    fn remember(&self, record: &Arc<Record>) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(record.id, Arc::clone(record));
    }

    fn remembered(&self, id: SessionId) -> Option<Arc<Record>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }
}

impl SessionStore for BrokenStore {
    fn create<'a>(
        &'a self,
        new: &'a Arc<Record>,
        replaces: &'a [SessionKey],
        limit: NonZeroU32,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Created> {
        self.remember(new);
        self.inner.create(new, replaces, limit, now)
    }

    fn load<'a>(&'a self, sessions: &'a [TokenRef], now: OffsetDateTime) -> StoreFuture<'a, Loaded> {
        Box::pin(async move {
            let found = self.inner.load(sessions, now).await?;
            for record in &*found {
                self.remember(record);
            }
            Ok(found)
        })
    }

    fn apply<'a>(&'a self, caller: &'a Caller, update: &'a Update, now: OffsetDateTime) -> StoreFuture<'a, Applied> {
        Box::pin(async move {
            let applied = self.inner.apply(caller, update, now).await?;
            match (self.what, applied, &update.data) {
                (Broken::Upserts, Applied::Gone, Some(new)) => {
                    let Some(row) = self.remembered(caller.id) else { return Ok(Applied::Gone) };
                    let row = Arc::new(Record { data: new.data.clone(), version: new.becomes, ..(*row).clone() });
                    self.inner.create(&row, &[], NonZeroU32::MAX, now).await?;
                    Ok(Applied::Done { expires_at: row.expires_at })
                }
                (Broken::IgnoresVersions, Applied::Conflict(row), Some(new)) => {
                    let mut update = update.clone();
                    update.data = Some(session_core::store::NewData::new(row.version, new.data.clone()));
                    self.inner.apply(caller, &update, now).await
                }
                (_, applied, _) => Ok(applied),
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
        self.inner.end(user, id, by, now)
    }

    fn end_all<'a>(
        &'a self,
        user: &'a UserId,
        except: Option<SessionId>,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<Vec<SessionId>>> {
        self.inner.end_all(user, except, by, now)
    }

    fn list<'a>(
        &'a self,
        user: &'a UserId,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<Vec<Arc<Record>>>> {
        self.inner.list(user, by, now)
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
