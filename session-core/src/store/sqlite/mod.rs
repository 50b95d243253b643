//! Sessions in an embedded SQLite file, which several processes may share. Leaves opening the file to `open` and the
//! tables to `schema`.

use std::num::NonZeroU32;
use std::sync::Arc;

use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqlitePool, SqliteRow};
use sqlx::{Acquire, Row, Sqlite, Transaction};
use time::OffsetDateTime;

use super::{Applied, Caller, Checked, Created, ROTATION_GRACE, Replaced, SessionStore, StoreFuture, Update};
use crate::error::StoreError;
use crate::session::{Data, Record, SessionId, UserId};
use crate::token::{TokenHash, TokenRef};

mod open;
mod schema;
mod statements;

pub use open::{SqliteOpenError, SqliteOptions};
use statements as sql;

/// Sessions in an SQLite file, or in a pool of your own. A clone is the same store.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), session_core::SqliteOpenError> {
/// let store = session_core::SqliteStore::open("sqlite::memory:").await?;
/// # let _ = store;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SqliteStore {
    pool: SqlitePool,
}

type Query = sqlx::query::Query<'static, Sqlite, SqliteArguments>;

impl SqliteStore {
    /// Opens a file, making it if there is none, in WAL mode with `synchronous=FULL`, and brings its tables up to date.
    /// Takes a path, or a URL such as `sqlite://sessions.db`.
    ///
    /// # Errors
    /// [`SqliteOpenError`], which names the file.
    pub async fn open(path_or_url: &str) -> Result<Self, SqliteOpenError> {
        SqliteOptions::new(path_or_url).open().await
    }

    /// A store on your own pool, with its settings as they are. Call [`migrate`](Self::migrate) once at the start.
    pub const fn new(pool: SqlitePool) -> Self {
        Self { pool }
    }

    /// Brings the tables `cookie_session` and `cookie_session_schema` up to date. Any number of processes may do so at once.
    ///
    /// # Errors
    /// [`SqliteOpenError`], without a file's name.
    pub async fn migrate(&self) -> Result<(), SqliteOpenError> {
        schema::migrate(&self.pool).await.map_err(|error| open::explain(error, "the pool's database"))
    }

    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(before)
    }

    async fn rows(&self, query: Query) -> Result<Vec<SqliteRow>, StoreError> {
        // To the statement's end, where it commits: the first row alone would hide a failure there.
        query.fetch_all(&self.pool).await.map_err(autocommitted)
    }

    async fn create_row(
        &self,
        new: &Record,
        replaces: Option<&Replaced>,
        limit: NonZeroU32,
        now: OffsetDateTime,
    ) -> Result<Created, StoreError> {
        let mut transaction = self.begin().await?;
        let connection = transaction.acquire().await.map_err(before)?;
        sql::insert(new).execute(&mut *connection).await.map_err(before)?;
        if let Some(old) = replaces {
            let end = sqlx::query(sql::END).bind(old.id.as_bytes().to_vec()).bind(old.user_id.as_str().to_owned());
            end.execute(&mut *connection).await.map_err(before)?;
        }
        let trim = sqlx::query(sql::TRIM)
            .bind(new.user_id.as_str().to_owned())
            .bind(micros(now))
            .bind(new.id.as_bytes().to_vec())
            .bind(i64::from(limit.get()) - 1);
        let evicted = trim.fetch_all(&mut *connection).await.map_err(before)?;
        let evicted = evicted.iter().map(id_of).collect::<Result<_, _>>()?;
        transaction.commit().await.map_err(at_commit)?;
        Ok(Created { evicted })
    }

    async fn load_row(&self, tokens: &[TokenRef], now: OffsetDateTime) -> Result<Option<Arc<Record>>, StoreError> {
        let hash = |at: usize| tokens.get(at).map(|token| token.hash.as_bytes().to_vec());
        let query = match tokens.len() {
            1 => sqlx::query(sql::LOAD_ONE).bind(hash(0)).bind(micros(now)),
            _ => sqlx::query(sql::LOAD_THREE).bind(hash(0)).bind(hash(1)).bind(hash(2)).bind(micros(now)),
        };
        let rows = self.rows(query).await?;
        let rows = rows.iter().map(record).collect::<Result<Vec<_>, _>>()?;
        Ok(tokens.iter().find_map(|token| rows.iter().find(|row| row.token_hash == token.hash)).cloned())
    }

    async fn apply_row(&self, caller: &Caller, update: &Update, now: OffsetDateTime) -> Result<Applied, StoreError> {
        // A row that changed between the two statements is asked again.
        loop {
            if update.data.is_some() || update.activity.is_some() || update.rotate_to.is_some() {
                let rows = self.rows(sql::apply(caller, update, now)).await?;
                if let Some(row) = rows.first() {
                    let hash: Vec<u8> = row.try_get("token_hash").map_err(|_| corrupt(caller.id, "token_hash"))?;
                    return Ok(Applied::Done {
                        version: row.try_get("version").map_err(|_| corrupt(caller.id, "version"))?,
                        expires_at: time_of(row, "expires_at").ok_or_else(|| corrupt(caller.id, "expires_at"))?,
                        rotated: update.rotate_to.is_some_and(|to| to.as_bytes()[..] == hash),
                    });
                }
            }
            let select = sqlx::query(sql::BY_ID).bind(caller.id.as_bytes().to_vec());
            let rows = self.rows(select).await?;
            let Some(row) = rows.first().map(record).transpose()? else { return Ok(Applied::Gone) };
            if row.user_id != caller.user_id || !row.is_live(now) || !row.accepts(&caller.token, now) {
                return Ok(Applied::Gone);
            }
            match &update.data {
                Some(new) if new.based_on != row.version => return Ok(Applied::Conflict(row)),
                Some(_) => {}
                None if update.rotate_to.is_some() && row.token_hash == caller.token => {}
                None if update.activity.is_some_and(|activity| row.last_active_at <= activity.unless_after) => {}
                None => {
                    return Ok(Applied::Done { version: row.version, expires_at: row.expires_at, rotated: false });
                }
            }
        }
    }

    /// Runs one statement, in a transaction with the check of the caller where one is named.
    async fn checked(
        &self,
        query: Query,
        by: Option<&Caller>,
        now: OffsetDateTime,
    ) -> Result<Checked<Vec<SqliteRow>>, StoreError> {
        let Some(caller) = by else { return Ok(Checked::Live(self.rows(query).await?)) };
        let mut transaction = self.begin().await?;
        let connection: &mut SqliteConnection = transaction.acquire().await.map_err(before)?;
        let held = sql::held(caller, now).fetch_optional(&mut *connection).await.map_err(before)?;
        if held.is_none() {
            return Ok(Checked::CallerGone);
        }
        let rows = query.fetch_all(&mut *connection).await.map_err(before)?;
        transaction.commit().await.map_err(at_commit)?;
        Ok(Checked::Live(rows))
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
        Box::pin(self.create_row(new, replaces, limit, now))
    }

    fn load<'a>(&'a self, tokens: &'a [TokenRef], now: OffsetDateTime) -> StoreFuture<'a, Option<Arc<Record>>> {
        Box::pin(self.load_row(tokens, now))
    }

    fn apply<'a>(&'a self, caller: &'a Caller, update: &'a Update, now: OffsetDateTime) -> StoreFuture<'a, Applied> {
        Box::pin(self.apply_row(caller, update, now))
    }

    fn end<'a>(
        &'a self,
        user: &'a UserId,
        id: SessionId,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<bool>> {
        let end = sqlx::query(sql::END_LIVE);
        let end = end.bind(id.as_bytes().to_vec()).bind(user.as_str().to_owned()).bind(micros(now));
        Box::pin(async move { Ok(map(self.checked(end, by, now).await?, |rows| !rows.is_empty())) })
    }

    fn end_all<'a>(
        &'a self,
        user: &'a UserId,
        except: Option<SessionId>,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<Vec<SessionId>>> {
        let end = sqlx::query(sql::END_ALL).bind(user.as_str().to_owned()).bind(micros(now));
        let end = end.bind(except.map(|id| id.as_bytes().to_vec()));
        Box::pin(async move {
            match self.checked(end, by, now).await? {
                Checked::Live(rows) => Ok(Checked::Live(rows.iter().map(id_of).collect::<Result<_, _>>()?)),
                Checked::CallerGone => Ok(Checked::CallerGone),
            }
        })
    }

    fn list<'a>(
        &'a self,
        user: &'a UserId,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<Vec<Arc<Record>>>> {
        let list = sqlx::query(sql::LIST).bind(user.as_str().to_owned()).bind(micros(now));
        Box::pin(async move {
            // One statement sees one state: the caller is live if its row is in the list and takes its token.
            let rows = self.rows(list).await?.iter().map(record).collect::<Result<Vec<_>, _>>()?;
            let held = |caller: &Caller| rows.iter().any(|row| row.id == caller.id && row.accepts(&caller.token, now));
            Ok(if by.is_none_or(held) { Checked::Live(rows) } else { Checked::CallerGone })
        })
    }

    fn purge_expired<'a>(&'a self, before: OffsetDateTime, limit: NonZeroU32) -> StoreFuture<'a, u64> {
        let purge = sqlx::query(sql::PURGE).bind(micros(before)).bind(i64::from(limit.get()));
        Box::pin(async move { Ok(purge.execute(&self.pool).await.map_err(autocommitted)?.rows_affected()) })
    }
}

fn map<T, U>(checked: Checked<T>, f: impl FnOnce(T) -> U) -> Checked<U> {
    match checked {
        Checked::Live(value) => Checked::Live(f(value)),
        Checked::CallerGone => Checked::CallerGone,
    }
}

fn record(row: &SqliteRow) -> Result<Arc<Record>, StoreError> {
    let id = id_of(row)?;
    let wrong = |what| move |_| corrupt(id, what);
    let at = |name| time_of(row, name).ok_or_else(|| corrupt(id, name));
    let text = |name| row.try_get::<String, _>(name).map_err(wrong(name));
    let hash = |name| row.try_get::<Option<Vec<u8>>, _>(name).map_err(wrong(name));
    let parse = |bytes: Vec<u8>, name| TokenHash::from_slice(&bytes).ok_or_else(|| corrupt(id, name));
    let token_hash = hash("token_hash")?.ok_or_else(|| corrupt(id, "token_hash"))?;
    Ok(Arc::new(Record {
        id,
        user_id: UserId::parse(&text("user_id")?).map_err(|_| corrupt(id, "user_id"))?,
        token_hash: parse(token_hash, "token_hash")?,
        previous_token_hash: hash("previous_token_hash")?.map(|h| parse(h, "previous_token_hash")).transpose()?,
        token_issued_at: at("token_issued_at")?,
        token_seen: row.try_get("token_seen").map_err(wrong("token_seen"))?,
        ip_address: text("ip_address")?,
        user_agent: text("user_agent")?,
        device_name: text("device_name")?,
        device_type: text("device_type")?,
        fingerprint: text("fingerprint")?,
        data: Data::from_text(text("data")?),
        version: row.try_get("version").map_err(wrong("version"))?,
        persistent: row.try_get("persistent").map_err(wrong("persistent"))?,
        created_at: at("created_at")?,
        authenticated_at: at("authenticated_at")?,
        last_active_at: at("last_active_at")?,
        expires_at: at("expires_at")?,
        absolute_expires_at: at("absolute_expires_at")?,
    }))
}

fn id_of(row: &SqliteRow) -> Result<SessionId, StoreError> {
    let bytes: Option<Vec<u8>> = row.try_get("id").ok();
    let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
    bytes.map(SessionId::from_bytes).ok_or(StoreError::Corrupt { id: None, what: "id" })
}

const fn corrupt(id: SessionId, what: &'static str) -> StoreError {
    StoreError::Corrupt { id: Some(id), what }
}

/// Microseconds since the Unix epoch.
pub(super) fn micros(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1000).unwrap_or(i64::MAX)
}

fn time_of(row: &SqliteRow, name: &str) -> Option<OffsetDateTime> {
    let micros: i64 = row.try_get(name).ok()?;
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).ok()
}

/// The time after which a replaced token was replaced too recently to be dead.
pub(super) fn grace_start(now: OffsetDateTime) -> i64 {
    micros(now - ROTATION_GRACE)
}

/// A failure before anything was committed.
fn before(error: sqlx::Error) -> StoreError {
    if is_missing_table(&error) {
        return StoreError::not_applied("the table `cookie_session` is missing: call `migrate()` once at the start");
    }
    StoreError::not_applied(error)
}

/// A failure of a statement that commits by itself: SQLite rolls it back, unless its thread is gone.
fn autocommitted(error: sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::WorkerCrashed => StoreError::unknown(error),
        error => before(error),
    }
}

/// A failure of `COMMIT`. SQLite keeps the transaction open where it is busy, full or read-only, and it is rolled back
/// with the connection; after anything else nobody knows.
fn at_commit(error: sqlx::Error) -> StoreError {
    const BUSY: &str = "5";
    const READ_ONLY: &str = "8";
    const FULL: &str = "13";
    let code = error.as_database_error().and_then(|error| error.code());
    match code.as_deref() {
        Some(BUSY | READ_ONLY | FULL) => StoreError::not_applied(error),
        _ => StoreError::unknown(error),
    }
}

fn is_missing_table(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.message().contains("no such table: cookie_session"))
}

#[cfg(test)]
mod tests;
