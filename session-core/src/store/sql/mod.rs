//! What all SQL stores do: which statement each operation of a store runs, and what its rows mean.
//! Not here: connections, transactions and what a failure means, see each database's `Backend`; and
//! the SQL, see `statements`.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use time::OffsetDateTime;

use super::{
    Activity, Caller, Checked, Created, Fate, Forgotten, Loaded, MAX_LOADED, Replaced, SessionStore, StoreError,
    StoreFuture, Update, Updated,
};
use crate::model::record::Record;
use crate::model::session_id::SessionId;
use crate::model::token::TokenRef;
use crate::model::user_id::UserId;
use batch::batcher::{self, BatchRequest};
use batch::{Batchers, Lookup, UpdateOutcome, look_up, within_budget};
use change::{BoundStatement, Change, Ending, RowUpdate, by_args, caller_args};
use dialect::Statement;
use row::{Arg, Columns, WriteResult};
use statements::Statements;
use users::IdleUsers;

pub(super) mod batch;
pub(super) mod change;
pub(super) mod connection;
mod create;
pub(super) mod dialect;
pub(super) mod driver;
pub(super) mod macros;
pub(super) mod migrations;
pub(super) mod rehearsal;
pub(super) mod row;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(super) mod server;
pub(super) mod statements;
#[cfg(test)]
pub(super) mod testing;
pub(super) mod users;

/// How often `update` starts over when the row changes between its two statements.
const MAX_ATTEMPTS: u32 = 32;

/// A database.
pub(super) trait Backend: fmt::Debug + Clone + Send + Sync + 'static {
    /// A row of a result.
    type Row: Columns + 'static;

    /// Its batchers, if it opened its own connections.
    fn batchers(&self) -> Option<&Batchers<Self::Row>>;

    /// Its statements.
    fn sql(&self) -> &'static Statements;

    /// Runs a statement that changes nothing.
    fn read(&self, statement: BoundStatement<'_>) -> impl Future<Output = Result<Vec<Self::Row>, StoreError>> + Send;

    /// Runs one that finds at most one row.
    fn read_one(
        &self,
        statement: BoundStatement<'_>,
    ) -> impl Future<Output = Result<Option<Self::Row>, StoreError>> + Send {
        async move { Ok(self.read(statement).await?.into_iter().next()) }
    }

    /// Runs a statement that is a transaction of its own, to its end.
    fn write(
        &self,
        statement: BoundStatement<'_>,
    ) -> impl Future<Output = Result<WriteResult<Self::Row>, StoreError>> + Send;

    /// How many bytes of data a row can hold, if that is known.
    fn max_data_bytes(&self) -> Option<usize>;

    /// Runs a change that may wait for locks. If this future is dropped, the change happens
    /// completely or not at all.
    fn change(&self, change: Change) -> impl Future<Output = Result<WriteResult<Self::Row>, StoreError>> + Send;

    /// Forgets those of these users who have had no session for long enough, in one transaction
    /// that locks them. Returns how many it forgot: none in a database without rows for users.
    fn forget(&self, _: IdleUsers<'_>) -> impl Future<Output = Result<u64, StoreError>> + Send {
        std::future::ready(Ok(0))
    }
}

/// Boxes the operations of a database.
impl<B: Backend> SessionStore for B {
    fn create<'a>(
        &'a self,
        new: &'a Arc<Record>,
        replaces: &'a [Replaced],
        limit: NonZeroU32,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Created> {
        Box::pin(create::create(self, new, replaces, limit, now))
    }

    fn load<'a>(&'a self, sessions: &'a [TokenRef], now: OffsetDateTime) -> StoreFuture<'a, Loaded> {
        Box::pin(load(self, sessions, now))
    }

    fn update<'a>(&'a self, caller: &'a Caller, update: &'a Update, now: OffsetDateTime) -> StoreFuture<'a, Updated> {
        Box::pin(update_row(self, caller, update, now))
    }

    fn end<'a>(
        &'a self,
        user: &'a UserId,
        id: SessionId,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<bool>> {
        Box::pin(end(self, user, id, by, now))
    }

    fn end_all<'a>(
        &'a self,
        user: &'a UserId,
        except: Option<SessionId>,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<Vec<SessionId>>> {
        Box::pin(end_all(self, user, except, by, now))
    }

    fn list<'a>(
        &'a self,
        user: &'a UserId,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<Vec<Arc<Record>>>> {
        Box::pin(list(self, user, by, now))
    }

    fn purge_expired<'a>(&'a self, before: OffsetDateTime, limit: NonZeroU32) -> StoreFuture<'a, u64> {
        Box::pin(purge(self, before, limit))
    }

    fn max_data_bytes(&self) -> Option<usize> {
        Backend::max_data_bytes(self)
    }

    fn forget_users<'a>(
        &'a self,
        after: Option<&'a str>,
        since: OffsetDateTime,
        now: OffsetDateTime,
        limit: NonZeroU32,
    ) -> StoreFuture<'a, Forgotten> {
        Box::pin(users::forget(self, after, since, now, limit))
    }

    fn server_time(&self) -> StoreFuture<'_, Option<OffsetDateTime>> {
        Box::pin(users::server_time(self))
    }
}

async fn load(backend: &impl Backend, sessions: &[TokenRef], now: OffsetDateTime) -> Result<Loaded, StoreError> {
    if let [session] = sessions {
        return Ok(Lookup { id: session.id, now }.submit(backend).await?.into_iter().collect());
    }
    // Boxed, as few requests need this.
    Box::pin(some_of(backend, &sessions[..sessions.len().min(MAX_LOADED)], now)).await
}

async fn some_of(backend: &impl Backend, sessions: &[TokenRef], now: OffsetDateTime) -> Result<Loaded, StoreError> {
    let lookups: Vec<_> = sessions.iter().map(|session| Lookup { id: session.id, now }).collect();
    let mut found = match look_up(backend, lookups.iter().map(|lookup| lookup.id), now).await {
        Err(error) if batcher::is_refused(&error) => {
            let mut found = Vec::new();
            for lookup in &lookups {
                found.push(lookup.run_one(backend).await?);
            }
            found
        }
        found => {
            let mut found = found?;
            lookups.iter().map(|lookup| found.remove(&lookup.id)).collect()
        }
    };
    let mut rows = Vec::new();
    for (lookup, found) in lookups.into_iter().zip(found.drain(..)) {
        rows.extend(lookup.read(found, backend).await?);
    }
    Ok(rows.into_iter().collect())
}

/// The answer to a change was lost, and others have changed the session's data twice since.
#[derive(Debug, thiserror::Error)]
#[error("the database did not say whether the data was stored, and others have changed it since")]
struct Overwritten;

async fn update_row(
    backend: &impl Backend,
    caller: &Caller,
    update: &Update,
    now: OffsetDateTime,
) -> Result<Updated, StoreError> {
    let sql = backend.sql();
    let mut rotation = update.rotation.as_ref();
    let (mut superseded, mut is_repeated) = (None, false);
    let done = |expires_at, superseded: Option<_>| superseded.map_or(Updated::Done { expires_at }, Updated::Superseded);
    for attempt in 0..MAX_ATTEMPTS {
        let row_update = || RowUpdate { caller: caller.clone(), update: update.clone(), now };
        let changed = match rotation {
            Some(rotation) => {
                let statement =
                    if rotation.successor.is_some() { &sql.update_rotation } else { &sql.update_strict_rotation };
                let rotation = Change::Update { update: row_update(), statement, rotation: Some(*rotation) };
                let bytes = update.data.as_ref().map_or(0, |new| new.data.text().len());
                let written = Box::pin(within_budget(backend, bytes, backend.change(rotation))).await?;
                UpdateOutcome::of(&written, caller.id)?
            }
            None if update.data.is_none() && update.activity.is_none() && !update.seen => {
                UpdateOutcome { expires_at: None, is_repeated: false }
            }
            None if attempt == 0 => row_update().submit(backend).await?,
            // Not in a batch, which skips a row that another request has locked.
            None => Box::pin(row_update().run_unbatched(backend)).await?,
        };
        if let Some(expires_at) = changed.expires_at {
            return Ok(done(expires_at, superseded));
        }
        is_repeated |= changed.is_repeated;

        // Nothing was written. The row shows why.
        let args = vec![Arg::Bytes(Some(caller.id.as_bytes())), Arg::text(&caller.user_id)];
        let row = Box::pin(backend.read_one((&sql.row, args))).await?;
        let Some(row) = row else { return Ok(Updated::Gone) };
        let row = row::record(&row)?;
        if !row.is_live(now) {
            return Ok(Updated::Gone);
        }
        if rotation.is_some_and(|rotation| rotation.successor.is_none() && rotation.to == row.token_hash) {
            return Ok(Updated::Done { expires_at: row.expires_at });
        }
        if !row.accepts(&caller.token, now, caller.grace) {
            return Ok(Updated::Gone);
        }
        let fate = update.data.as_ref().map(|new| new.fate(row.version));
        match fate {
            // An earlier attempt may have stored the data, and others may have written over it
            // since.
            Some(Fate::Unknown) if is_repeated => return Err(StoreError::unknown(Overwritten)),
            Some(Fate::Never | Fate::Unknown) => return Ok(Updated::Conflict(row)),
            Some(Fate::Made | Fate::Open) | None => {}
        }
        let is_current = row.token_hash == caller.token;
        if !is_current && rotation.is_some_and(|rotation| rotation.successor.is_some()) {
            // The caller's token is the previous one: there is nothing to rotate.
            (superseded, rotation) = (Some(Arc::clone(&row)), None);
        }
        if fate == Some(Fate::Made) {
            // An earlier attempt made the change, with all of its update.
            return Ok(done(row.expires_at, superseded));
        }
        let is_due = |activity: Activity| row.last_active_at <= activity.unless_after;
        let is_first_seen = update.seen && is_current && !row.token_seen;
        let has_more = update.data.is_some() || rotation.is_some() || is_first_seen;
        if !has_more && !update.activity.is_some_and(is_due) {
            return Ok(done(row.expires_at, superseded));
        }
        // Another request changed the row in between: now there is something to write.
    }
    Err(StoreError::not_applied("the session changed at every try"))
}

async fn end(
    backend: &impl Backend,
    user: &UserId,
    id: SessionId,
    by: Option<&Caller>,
    now: OffsetDateTime,
) -> Result<Checked<bool>, StoreError> {
    let sql = backend.sql();
    let Some(caller) = by else {
        let ending = Ending { user: user.clone(), now, id: Some(id), by: None, statements: vec![&sql.end] };
        let ended = backend.change(Change::End(ending)).await?;
        // If its answer was lost, an earlier attempt may have ended it. Either way the session is
        // over.
        return Ok(Checked::Live(ended.count > 0 || ended.is_repeated));
    };
    let targets = match targets(backend, &sql.end_targets, user, Some(id), caller, now).await? {
        Checked::Live(targets) if !targets.is_empty() => targets,
        Checked::Live(_) => return Ok(Checked::Live(false)),
        Checked::CallerGone => return Ok(Checked::CallerGone),
    };
    let ended = ended(backend, user, vec![&sql.end_by], Some(id), caller, now, &targets).await?;
    if_live(ended, |ended| Ok(!ended.is_empty()))
}

async fn end_all(
    backend: &impl Backend,
    user: &UserId,
    except: Option<SessionId>,
    by: Option<&Caller>,
    now: OffsetDateTime,
) -> Result<Checked<Vec<SessionId>>, StoreError> {
    let sql = backend.sql();
    let deletion = if by.is_some() { &sql.end_all_by } else { &sql.end_all };
    let statements: Vec<_> = deletion.find.iter().chain([&deletion.delete]).collect();
    let Some(caller) = by else {
        let ending = Ending { user: user.clone(), now, id: except, by: None, statements };
        let ended = backend.change(Change::End(ending)).await?;
        return Ok(Checked::Live(ended.rows.iter().map(row::id).collect::<Result<_, _>>()?));
    };
    let targets = match targets(backend, &sql.end_all_targets, user, except, caller, now).await? {
        Checked::Live(targets) if !targets.is_empty() => targets,
        nothing => return Ok(nothing),
    };
    ended(backend, user, statements, except, caller, now, &targets).await
}

/// Which sessions an end by this caller would end, if the caller is live. Waits for no lock: if
/// there is nothing to end, the operation is done.
async fn targets(
    backend: &impl Backend,
    lookup: &'static Statement,
    user: &UserId,
    id: Option<SessionId>,
    caller: &Caller,
    now: OffsetDateTime,
) -> Result<Checked<Vec<SessionId>>, StoreError> {
    let mut args = vec![Arg::text(user), Arg::time(now), Arg::Bytes(id.as_ref().map(|id| &id.as_bytes()[..]))];
    args.extend(by_args(caller, now));
    let (mut is_live, mut targets) = (false, Vec::new());
    for row in backend.read((lookup, args)).await? {
        let id = row::id(&row)?;
        match row::is_caller(&row, id)? {
            true => is_live = true,
            false => targets.push(id),
        }
    }
    Ok(if is_live { Checked::Live(targets) } else { Checked::CallerGone })
}

async fn list(
    backend: &impl Backend,
    user: &UserId,
    by: Option<&Caller>,
    now: OffsetDateTime,
) -> Result<Checked<Vec<Arc<Record>>>, StoreError> {
    let sql = backend.sql();
    // ?3 is free here.
    let mut args = vec![Arg::text(user), Arg::time(now), Arg::Bytes(None)];
    let statement = match by {
        Some(caller) => {
            args.extend(by_args(caller, now));
            &sql.list_by
        }
        None => &sql.list,
    };
    let rows = backend.read((statement, args)).await?;
    let is_empty = rows.is_empty();
    if_live(checked(backend, rows, is_empty, by, now).await?, |rows| rows.iter().map(row::record).collect())
}

async fn purge(backend: &impl Backend, before: OffsetDateTime, limit: NonZeroU32) -> Result<u64, StoreError> {
    let args = vec![Arg::time(before), Arg::Int(Some(i64::from(limit.get())))];
    Ok(backend.write((&backend.sql().purge, args)).await?.count)
}

/// Runs statements that end sessions if the caller is live, and returns which they ended. `seen`
/// are those that were there a moment ago.
async fn ended(
    backend: &impl Backend,
    user: &UserId,
    statements: Vec<&'static Statement>,
    id: Option<SessionId>,
    caller: &Caller,
    now: OffsetDateTime,
    seen: &[SessionId],
) -> Result<Checked<Vec<SessionId>>, StoreError> {
    let ending = Ending { user: user.clone(), now, id, by: Some(caller.clone()), statements };
    let ended = backend.change(Change::End(ending)).await?;
    let mut ids = ended.rows.iter().map(row::id).collect::<Result<Vec<_>, _>>()?;
    if ended.rows.is_empty() && ended.count > 0 {
        // Where rows aren't returned, the statement named one session.
        ids.extend(seen);
    }
    if ended.is_repeated {
        // If its answer was lost, an earlier attempt may have ended them. Either way they are over,
        // unless the caller is.
        ids.extend(
            seen.iter().filter(|id| !ended.rows.iter().any(|row| row::id(row).is_ok_and(|ended| ended == **id))),
        );
    }
    let is_empty = ended.count == 0;
    checked(backend, ids, is_empty, Some(caller), now).await
}

/// The result of a statement that finds nothing unless its caller is live.
async fn checked<T>(
    backend: &impl Backend,
    result: T,
    is_empty: bool,
    by: Option<&Caller>,
    now: OffsetDateTime,
) -> Result<Checked<T>, StoreError> {
    match by {
        // The statement found nothing: either there was nothing for a live caller, or the caller
        // isn't live. A caller that is live now was live then too, because nothing revives one. If
        // it isn't live now, nothing was changed either way.
        Some(caller) if is_empty => {
            let live = backend.read((&backend.sql().caller, caller_args(caller, now))).await?;
            Ok(if live.is_empty() { Checked::CallerGone } else { Checked::Live(result) })
        }
        _ => Ok(Checked::Live(result)),
    }
}

/// Applies `then` to the result, if the caller is live.
fn if_live<T, U>(checked: Checked<T>, then: impl FnOnce(T) -> Result<U, StoreError>) -> Result<Checked<U>, StoreError> {
    match checked {
        Checked::Live(value) => Ok(Checked::Live(then(value)?)),
        Checked::CallerGone => Ok(Checked::CallerGone),
    }
}
