//! Sessions in an embedded SQLite file, which several processes of one machine may share.
//! Leaves opening to `options`, tables to `schema`, SQL to `statements`, and what a failure means to `fault`.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqliteRow;
use sqlx::{Connection, Sqlite, SqliteConnection, SqlitePool};
use time::OffsetDateTime;
use tokio::sync::{Mutex, MutexGuard};

use super::{
    Applied, Caller, Checked, Created, ROTATION_GRACE, Replaced, SessionStore, StoreError, StoreFuture, Update,
};
use crate::session::{Record, SessionId, UserId};
use crate::token::TokenRef;
use row::{Query, blob, micros};

mod fault;
mod options;
mod row;
mod schema;
mod statements;
#[cfg(test)]
mod tests;

pub use options::{SqliteOpenError, SqliteOptions};

/// How often `apply` starts over when the row changes between its two statements.
const RACES: u32 = 32;

/// Sessions in a SQLite file. Clones share the connections.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), session_core::SqliteOpenError> {
/// use session_core::SqliteStore;
///
/// let store = SqliteStore::open("sqlite::memory:").await?;
/// store.migrate().await?; // `open` has done so already; a second time does nothing
/// # Ok(())
/// # }
/// ```
///
/// Times are kept in whole microseconds. A failure says [`StoreError::NotApplied`] only if SQLite refused the change.
#[derive(Clone)]
pub struct SqliteStore {
    pool: SqlitePool,
    /// SQLite lets one connection write at a time, and the others poll with growing pauses. Within this process they
    /// queue instead, and without holding a connection that a reader could use.
    writer: Arc<Mutex<()>>,
}

impl SqliteStore {
    /// Sessions in the database of your own `pool`, whose settings stay as they are. Call [`migrate`](Self::migrate)
    /// before the first request.
    pub fn new(pool: SqlitePool) -> Self {
        Self { pool, writer: Arc::default() }
    }

    /// Opens the file at `path_or_url` with the settings of [`SqliteOptions::new`], creating it if need be, and brings
    /// its tables to this release's schema.
    ///
    /// # Errors
    /// [`SqliteOpenError`], which names the file.
    pub async fn open(path_or_url: &str) -> Result<Self, SqliteOpenError> {
        SqliteOptions::new(path_or_url).open().await
    }

    /// Brings the tables to this release's schema: `cookie_session` and `cookie_session_schema`. Does nothing if they
    /// are, and is safe to call from many processes at once.
    ///
    /// # Errors
    /// [`SqliteOpenError`], which names the file.
    pub async fn migrate(&self) -> Result<(), SqliteOpenError> {
        let migrated = async {
            let mut conn = self.pool.acquire().await?;
            schema::migrate(&mut conn).await
        };
        migrated.await.map_err(|error| SqliteOpenError::of(&options::path_of(&self.pool), error))
    }

    async fn connection(&self) -> Result<PoolConnection<Sqlite>, StoreError> {
        self.pool.acquire().await.map_err(fault::before_commit)
    }

    async fn read(&self, query: Query) -> Result<Vec<SqliteRow>, StoreError> {
        query.fetch_all(&mut *self.connection().await?).await.map_err(fault::before_commit)
    }

    /// Waits for the turn to write, as long as for a connection.
    async fn turn(&self) -> Result<MutexGuard<'_, ()>, StoreError> {
        let patience = self.pool.options().get_acquire_timeout();
        let turn = tokio::time::timeout(patience, self.writer.lock()).await;
        turn.map_err(|_| StoreError::not_applied("other writes took too long"))
    }

    /// Runs one statement that is its own transaction, to its end: with `fetch_optional` sqlx would stop at the first
    /// row, and never hear of a failed commit.
    async fn write(&self, query: Query) -> Result<Vec<SqliteRow>, StoreError> {
        let _turn = self.turn().await?;
        let mut conn = self.connection().await?;
        query.fetch_all(&mut *conn).await.map_err(fault::statement)
    }

    async fn insert(
        &self,
        new: &Record,
        replaces: Option<&Replaced>,
        limit: NonZeroU32,
        now: OffsetDateTime,
    ) -> Result<Created, StoreError> {
        let _turn = self.turn().await?;
        let mut conn = self.connection().await?;
        let result = insert_on(&mut conn, new, replaces, limit, now).await;
        // After some errors SQLite itself has rolled back, and sqlx, whose own roll-back then fails, counts a
        // transaction as open for ever: such a connection would refuse every later sign-in. The ping comes after the
        // roll-back in the connection's queue.
        if result.is_err() && (conn.ping().await.is_err() || conn.is_in_transaction()) {
            conn.close_on_drop();
        }
        result
    }

    async fn find(&self, tokens: &[TokenRef], now: OffsetDateTime) -> Result<Option<Arc<Record>>, StoreError> {
        for three in tokens.chunks(3) {
            let sql = if three.len() == 1 { statements::LOAD_ONE } else { statements::LOAD_THREE };
            // A missing third token is null, which matches nothing.
            let query = three
                .iter()
                .fold(sqlx::query(sql).bind(micros(now)), |query, token| query.bind(blob(token.hash.as_bytes())));
            let rows = self.read(query).await?;
            let first = three.iter().find_map(|token| rows.iter().find(|row| row::token_hash(row) == Some(token.hash)));
            if let Some(row) = first {
                return row::record(row).map(Some);
            }
        }
        Ok(None)
    }

    async fn change(&self, caller: &Caller, update: &Update, now: OffsetDateTime) -> Result<Applied, StoreError> {
        let sql = match update {
            Update { rotate_to: Some(_), .. } => Some(statements::APPLY_ROTATION),
            Update { activity: Some(_), .. } => Some(statements::APPLY_ACTIVITY),
            Update { data: Some(_), .. } => Some(statements::APPLY_DATA),
            Update { data: None, activity: None, rotate_to: None } => None,
        };
        for _ in 0..RACES {
            if let Some(sql) = sql {
                let query = bind_caller(sqlx::query(sql), caller, now)
                    .bind(update.data.as_ref().map(|new| new.data.text().to_owned()))
                    .bind(update.data.as_ref().map(|new| new.based_on))
                    .bind(update.activity.map(|activity| micros(activity.at)))
                    .bind(update.activity.map(|activity| micros(activity.expires_at)))
                    .bind(update.activity.map(|activity| micros(activity.unless_after)))
                    .bind(update.rotate_to.map(|hash| blob(hash.as_bytes())));
                if let Some(row) = self.write(query).await?.first() {
                    let (version, expires_at, token) = row::updated(row, caller.id)?;
                    return Ok(Applied::Done { version, expires_at, rotated: update.rotate_to == Some(token) });
                }
            }

            // Nothing was written. The row tells why.
            let query = sqlx::query(statements::ROW).bind(blob(caller.id.as_bytes())).bind(text(&caller.user_id));
            let rows = self.read(query).await?;
            let Some(row) = rows.first() else { return Ok(Applied::Gone) };
            let row = row::record(row)?;
            if !row.is_live(now) || !row.accepts(&caller.token, now) {
                return Ok(Applied::Gone);
            }
            if update.data.as_ref().is_some_and(|new| new.based_on != row.version) {
                return Ok(Applied::Conflict(row));
            }
            let nothing_to_write = update.data.is_none()
                && update.activity.is_none_or(|activity| row.last_active_at > activity.unless_after)
                && (update.rotate_to.is_none() || row.token_hash != caller.token);
            if nothing_to_write {
                let rotated = update.rotate_to == Some(row.token_hash);
                return Ok(Applied::Done { version: row.version, expires_at: row.expires_at, rotated });
            }
            // Another request changed the row in between: now there is something to write.
        }
        Err(StoreError::not_applied("the session changed at every try"))
    }

    /// Runs `query` on what binds user and time, and adds the caller if there is one.
    async fn checked(
        &self,
        writes: bool,
        query: Query,
        by: Option<&Caller>,
        now: OffsetDateTime,
    ) -> Result<Checked<Vec<SqliteRow>>, StoreError> {
        let query = match by {
            Some(caller) => query
                .bind(blob(caller.id.as_bytes()))
                .bind(text(&caller.user_id))
                .bind(blob(caller.token.as_bytes()))
                .bind(micros(now - ROTATION_GRACE)),
            None => query,
        };
        let rows = if writes { self.write(query).await? } else { self.read(query).await? };
        match by {
            // No rows: either there were none for a live caller, or the caller isn't live. A caller that is live only
            // now was live then too, because nothing brings one back; one that isn't was told of no change.
            Some(caller) if rows.is_empty() => {
                let query = bind_caller(sqlx::query(statements::CALLER), caller, now);
                Ok(if self.read(query).await?.is_empty() { Checked::CallerGone } else { Checked::Live(rows) })
            }
            _ => Ok(Checked::Live(rows)),
        }
    }

    async fn purge(&self, before: OffsetDateTime, limit: NonZeroU32) -> Result<u64, StoreError> {
        let _turn = self.turn().await?;
        let mut conn = self.connection().await?;
        let query = sqlx::query(statements::PURGE).bind(micros(before)).bind(i64::from(limit.get()));
        Ok(query.execute(&mut *conn).await.map_err(fault::statement)?.rows_affected())
    }
}

/// Names the file, and nothing of what is in it.
impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &options::path_of(&self.pool)).finish_non_exhaustive()
    }
}

impl SessionStore for SqliteStore {
    fn create<'a>(
        &'a self,
        new: &'a Arc<Record>,
        replaces: Option<&'a Replaced>,
        limit: NonZeroU32,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Created> {
        Box::pin(self.insert(new, replaces, limit, now))
    }

    fn load<'a>(&'a self, tokens: &'a [TokenRef], now: OffsetDateTime) -> StoreFuture<'a, Option<Arc<Record>>> {
        Box::pin(self.find(tokens, now))
    }

    fn apply<'a>(&'a self, caller: &'a Caller, update: &'a Update, now: OffsetDateTime) -> StoreFuture<'a, Applied> {
        Box::pin(self.change(caller, update, now))
    }

    fn end<'a>(
        &'a self,
        user: &'a UserId,
        id: SessionId,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<bool>> {
        let sql = if by.is_some() { statements::END_BY } else { statements::END };
        let query = sqlx::query(sql).bind(text(user)).bind(micros(now)).bind(blob(id.as_bytes()));
        Box::pin(async move { if_live(self.checked(true, query, by, now).await?, |rows| Ok(!rows.is_empty())) })
    }

    fn end_all<'a>(
        &'a self,
        user: &'a UserId,
        except: Option<SessionId>,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<Vec<SessionId>>> {
        let sql = if by.is_some() { statements::END_ALL_BY } else { statements::END_ALL };
        let query =
            sqlx::query(sql).bind(text(user)).bind(micros(now)).bind(except.map(|except| blob(except.as_bytes())));
        Box::pin(async move {
            if_live(self.checked(true, query, by, now).await?, |rows| rows.iter().map(row::id).collect())
        })
    }

    fn list<'a>(
        &'a self,
        user: &'a UserId,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<Vec<Arc<Record>>>> {
        let query = sqlx::query(if by.is_some() { statements::LIST_BY } else { statements::LIST });
        // ?3 is free here.
        let query = query.bind(text(user)).bind(micros(now)).bind(None::<i64>);
        Box::pin(async move {
            if_live(self.checked(false, query, by, now).await?, |rows| rows.iter().map(row::record).collect())
        })
    }

    fn purge_expired<'a>(&'a self, before: OffsetDateTime, limit: NonZeroU32) -> StoreFuture<'a, u64> {
        Box::pin(self.purge(before, limit))
    }
}

/// Binds ?1 id, ?2 user, ?3 token, ?4 now, ?5 grace.
fn bind_caller(query: Query, caller: &Caller, now: OffsetDateTime) -> Query {
    query
        .bind(blob(caller.id.as_bytes()))
        .bind(text(&caller.user_id))
        .bind(blob(caller.token.as_bytes()))
        .bind(micros(now))
        .bind(micros(now - ROTATION_GRACE))
}

/// The transaction of a sign-in. Dropped before its commit it is rolled back.
async fn insert_on(
    conn: &mut SqliteConnection,
    new: &Record,
    replaces: Option<&Replaced>,
    limit: NonZeroU32,
    now: OffsetDateTime,
) -> Result<Created, StoreError> {
    // Whoever races for the limit waits here, not at the first write, where it would be too late to wait.
    let mut tx = conn.begin_with("BEGIN IMMEDIATE").await.map_err(fault::before_commit)?;
    let insert = row::bind(sqlx::query(statements::INSERT), new);
    insert.execute(&mut *tx).await.map_err(fault::before_commit)?;
    if let Some(replaced) = replaces {
        let end = sqlx::query(statements::END)
            .bind(text(&replaced.user_id))
            .bind(micros(now))
            .bind(blob(replaced.id.as_bytes()));
        end.fetch_all(&mut *tx).await.map_err(fault::before_commit)?;
    }
    let evict = sqlx::query(statements::EVICT)
        .bind(text(&new.user_id))
        .bind(micros(now))
        .bind(blob(new.id.as_bytes()))
        .bind(i64::from(limit.get()) - 1);
    let evicted = evict.fetch_all(&mut *tx).await.map_err(fault::before_commit)?;
    let evicted = evicted.iter().map(row::id).collect::<Result<_, _>>()?;
    tx.commit().await.map_err(fault::commit)?;
    Ok(Created { evicted })
}

/// `then` on the result, if the caller is live.
fn if_live<T, U>(checked: Checked<T>, then: impl FnOnce(T) -> Result<U, StoreError>) -> Result<Checked<U>, StoreError> {
    match checked {
        Checked::Live(value) => Ok(Checked::Live(then(value)?)),
        Checked::CallerGone => Ok(Checked::CallerGone),
    }
}

fn text(user: &UserId) -> String {
    user.as_str().to_owned()
}
