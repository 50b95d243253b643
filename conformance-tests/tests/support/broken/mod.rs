//! Stores with one thing broken, which the suite must notice.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use conformance_tests::BoxFuture;
use conformance_tests::intercept::{Answer, Intercept, Intercepted, Operation};
use conformance_tests::world::{Rows, StoreKind};
use session_core::store::{Caller, Fate, MemoryStore, NewData, SessionStore, StoreError, StoreFuture, Update, Updated};
use session_core::{Record, SessionId, TokenRef};
use time::{Duration, OffsetDateTime};

pub(crate) mod users;

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// A write to a row that ended inserts it again.
    Upserts,
    /// Data is written whatever version it was based on.
    IgnoresVersions,
    /// A write that was made and is asked for again is made again.
    WritesAgain,
    /// A write that was made and is asked for again is a conflict.
    MissesWrites,
    /// A write that was made and is asked for again finds no session, as if only a row of the old
    /// version counted.
    LosesWrites,
    /// The server's time is that of a time zone, taken for UTC.
    LocalTime,
    /// The server's time is that of the first time it was asked for.
    FrozenTime,
}

impl StoreKind for Broken {
    fn name(&self) -> &'static str {
        match self {
            Self::Upserts => "upserting",
            Self::IgnoresVersions => "last-writer-wins",
            Self::WritesAgain => "writing-again",
            Self::MissesWrites => "missing-writes",
            Self::LosesWrites => "losing-writes",
            Self::LocalTime => "local-time",
            Self::FrozenTime => "frozen-time",
        }
    }

    fn fresh(&self) -> BoxFuture<'static, Rows> {
        let breaks = Breaks { what: *self, written: Mutex::default(), asked: OnceLock::new() };
        let store = Intercepted::new(Arc::new(MemoryStore::new()), breaks);
        Box::pin(std::future::ready(Rows::shared(Arc::new(store))))
    }
}

/// What is broken, and what that needs to know.
#[derive(Debug)]
struct Breaks {
    what: Broken,
    /// Every row as it was inserted or loaded last.
    written: Mutex<HashMap<SessionId, Arc<Record>>>,
    /// When the server's time was asked for first.
    asked: OnceLock<OffsetDateTime>,
}

impl Breaks {
    fn remember(&self, record: &Arc<Record>) {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(record.id, Arc::clone(record));
    }

    fn remembered(&self, id: SessionId) -> Option<Arc<Record>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }
}

impl Intercept for Breaks {
    fn call<'a>(&'a self, store: &'a Arc<dyn SessionStore>, operation: Operation<'a>) -> StoreFuture<'a, Answer> {
        Box::pin(async move {
            match operation {
                Operation::Create { new, .. } => self.remember(new),
                Operation::Update { caller, update: update @ Update { data: Some(new), .. }, now } => {
                    return self.write(store, caller, update, new, now).await.map(Answer::Update);
                }
                Operation::ServerTime {} => match self.what {
                    Broken::LocalTime => {
                        return Ok(Answer::ServerTime(Some(OffsetDateTime::now_utc() + Duration::HOUR)));
                    }
                    Broken::FrozenTime => {
                        let first = *self.asked.get_or_init(OffsetDateTime::now_utc);
                        return Ok(Answer::ServerTime(Some(first)));
                    }
                    _ => {}
                },
                _ => {}
            }
            let answer = operation.ask(store).await?;
            if let Answer::Load(found) = &answer {
                for record in &**found {
                    self.remember(record);
                }
            }
            Ok(answer)
        })
    }
}

impl Breaks {
    async fn write(
        &self,
        store: &dyn SessionStore,
        caller: &Caller,
        update: &Update,
        new: &NewData,
        now: OffsetDateTime,
    ) -> Result<Updated, StoreError> {
        let token = TokenRef { shard: caller.user_id.shard(), id: caller.id };
        let found = store.load(&[token], now).await?.into_iter().next();
        let found = found.filter(|row| new.fate(row.version) == Fate::Made);
        let on_top = |row: &Record| {
            let data = Some(NewData::new(row.version, new.data.clone()));
            Update { data, ..update.clone() }
        };
        match (self.what, store.update(caller, update, now).await?) {
            (Broken::Upserts, Updated::Gone) => {
                let Some(row) = self.remembered(caller.id) else { return Ok(Updated::Gone) };
                let row = Arc::new(Record { data: new.data.clone(), version: new.becomes, ..(*row).clone() });
                store.create(&row, &[], NonZeroU32::MAX, now).await?;
                Ok(Updated::Done { expires_at: row.expires_at })
            }
            (Broken::IgnoresVersions, Updated::Conflict(row)) => store.update(caller, &on_top(&row), now).await,
            (what, applied @ Updated::Done { .. }) => match (what, found) {
                (Broken::WritesAgain, Some(row)) => store.update(caller, &on_top(&row), now).await,
                (Broken::MissesWrites, Some(row)) => Ok(Updated::Conflict(row)),
                (Broken::LosesWrites, Some(_)) => Ok(Updated::Gone),
                _ => Ok(applied),
            },
            (_, applied) => Ok(applied),
        }
    }
}
