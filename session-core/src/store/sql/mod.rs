//! What all SQL stores do: which statement each operation of a store runs, and what its rows mean. Not here: connections,
//! transactions and what a failure means, see each database's `Backend`; and the texts, see `statements`.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use arrayvec::ArrayVec;
use time::OffsetDateTime;

use super::{
    Activity, Applied, Caller, Checked, Created, Fate, Forgotten, Loaded, MAX_LOADED, SessionKey, SessionStore,
    StoreError, StoreFuture, Update,
};
use crate::model::record::Record;
use crate::model::session_id::SessionId;
use crate::model::token::TokenRef;
use crate::model::user_id::UserId;
use dialect::Statement;
use driver::DriverError;
use gather::Question;
use groups::{Changed, Groups, Look, in_room, look_up};
use row::Written;
use row::{Arg, Columns};
use statements::Statements;
use task::{Change, Ending, SignIn, Step, Task, by_args, caller_args};
use users::Idle;

mod apply;
pub(super) mod dialect;
pub(super) mod driver;
mod gather;
pub(super) mod glue;
pub(super) mod groups;
mod home;
pub(super) mod migrations;
mod packed;
mod room;
pub(super) mod row;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(super) mod server;
pub(super) mod spares;
pub(super) mod statements;
pub(super) mod task;
#[cfg(test)]
pub(super) mod testing;
pub(super) mod users;

/// How often `apply` starts over when the row changes between its two statements.
const RACES: u32 = 32;

/// A database.
pub(super) trait Backend: fmt::Debug + Clone + Send + Sync + 'static {
    /// A row of a result.
    type Row: Columns + 'static;

    /// What is asked together, if it opened its own connections.
    fn groups(&self) -> Option<&Groups<Self::Row>>;

    /// Its statements.
    fn sql(&self) -> &'static Statements;

    /// Runs a statement that changes nothing.
    fn read(&self, step: Step<'_>) -> impl Future<Output = Result<Vec<Self::Row>, StoreError>> + Send;

    /// The same of one that finds one row at most.
    fn read_one(&self, step: Step<'_>) -> impl Future<Output = Result<Option<Self::Row>, StoreError>> + Send {
        async move { Ok(self.read(step).await?.into_iter().next()) }
    }

    /// Runs a statement that is its own transaction, to its end.
    fn write(&self, step: Step<'_>) -> impl Future<Output = Result<Written<Self::Row>, StoreError>> + Send;

    /// How many bytes of data a row can hold, if that is known.
    fn most_data(&self) -> Option<usize>;

    /// Does a change that may wait for locks, to its end, whatever becomes of this future.
    fn change(&self, task: Task) -> impl Future<Output = Result<Written<Self::Row>, StoreError>> + Send;

    /// Forgets those of these users who have had no session for long enough, as one transaction that holds their turns: how many.
    /// Where nobody takes turns on a row, there is none.
    fn forget(&self, _: Idle<'_>) -> impl Future<Output = Result<u64, StoreError>> + Send {
        std::future::ready(Ok(0))
    }
}

/// Boxes the operations of a database.
impl<B: Backend> SessionStore for B {
    fn create<'a>(
        &'a self,
        new: &'a Arc<Record>,
        replaces: &'a [SessionKey],
        limit: NonZeroU32,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Created> {
        Box::pin(create(self, new, replaces, limit, now))
    }

    fn load<'a>(&'a self, sessions: &'a [TokenRef], now: OffsetDateTime) -> StoreFuture<'a, Loaded> {
        Box::pin(load(self, sessions, now))
    }

    fn apply<'a>(&'a self, caller: &'a Caller, update: &'a Update, now: OffsetDateTime) -> StoreFuture<'a, Applied> {
        Box::pin(apply(self, caller, update, now))
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
        self.most_data()
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

async fn create(
    backend: &impl Backend,
    new: &Arc<Record>,
    replaces: &[SessionKey],
    limit: NonZeroU32,
    now: OffsetDateTime,
) -> Result<Created, StoreError> {
    let replaces: ArrayVec<_, MAX_LOADED> = replaces.iter().take(MAX_LOADED).cloned().collect();
    let sign_in = SignIn { new: Arc::clone(new), replaces: replaces.clone(), others: i64::from(limit.get()) - 1, now };
    let sign_in = backend.change(Task::SignIn(sign_in));
    let ended = match in_room(backend, new.data.text().len(), sign_in).await {
        // Perhaps by itself, when its answer was lost and it was asked again.
        Err(StoreError::NotApplied(source) | StoreError::Unknown(source))
            if source.downcast_ref().is_some_and(DriverError::is_duplicate) =>
        {
            return Ok(Created::Taken);
        }
        ended => ended?,
    };
    let mut evicted = ended.rows.iter().map(row::id).collect::<Result<Vec<_>, _>>()?;
    evicted.retain(|id| replaces.iter().all(|replaced| replaced.id != *id));
    Ok(Created::Inserted { evicted })
}

async fn load(backend: &impl Backend, sessions: &[TokenRef], now: OffsetDateTime) -> Result<Loaded, StoreError> {
    if let [session] = sessions {
        return Ok(Look { id: session.id, now }.ask(backend).await?.into_iter().collect());
    }
    // Boxed, as few requests come here.
    Box::pin(some_of(backend, &sessions[..sessions.len().min(MAX_LOADED)], now)).await
}

async fn some_of(backend: &impl Backend, sessions: &[TokenRef], now: OffsetDateTime) -> Result<Loaded, StoreError> {
    let looks: Vec<_> = sessions.iter().map(|session| Look { id: session.id, now }).collect();
    let mut found = match look_up(backend, looks.iter().map(|look| look.id), now).await {
        Err(error) if gather::is_refused(&error) => {
            let mut found = Vec::new();
            for look in &looks {
                found.push(look.alone(backend).await?);
            }
            found
        }
        found => {
            let mut found = found?;
            looks.iter().map(|look| found.remove(&look.id)).collect()
        }
    };
    let mut rows = Vec::new();
    for (look, found) in looks.into_iter().zip(found.drain(..)) {
        rows.extend(look.read(found, backend).await?);
    }
    Ok(rows.into_iter().collect())
}

/// Others changed the session's data twice since a change was asked for whose answer was lost.
#[derive(Debug, thiserror::Error)]
#[error("the database did not say whether the data was stored, and others have changed it since")]
struct Overwritten;

async fn apply(
    backend: &impl Backend,
    caller: &Caller,
    update: &Update,
    now: OffsetDateTime,
) -> Result<Applied, StoreError> {
    let sql = backend.sql();
    let mut rotation = update.rotation.as_ref();
    let (mut superseded, mut is_repeated) = (None, false);
    let done = |expires_at, superseded: Option<_>| superseded.map_or(Applied::Done { expires_at }, Applied::Superseded);
    for race in 0..RACES {
        let change = || Change { caller: caller.clone(), update: update.clone(), now };
        let changed = match rotation {
            Some(rotation) => {
                let statement =
                    if rotation.successor.is_some() { &sql.apply_rotation } else { &sql.apply_strict_rotation };
                let rotation = Task::Change { change: change(), statement, rotation: Some(*rotation) };
                let bytes = update.data.as_ref().map_or(0, |new| new.data.text().len());
                let written = Box::pin(in_room(backend, bytes, backend.change(rotation))).await?;
                Changed::of(&written, caller.id)?
            }
            None if update.data.is_none() && update.activity.is_none() && !update.seen => {
                Changed { expires_at: None, is_repeated: false }
            }
            None if race == 0 => change().ask(backend).await?,
            // Not in a group, which leaves out a row that another request holds.
            None => Box::pin(change().ask_alone(backend)).await?,
        };
        if let Some(expires_at) = changed.expires_at {
            return Ok(done(expires_at, superseded));
        }
        is_repeated |= changed.is_repeated;

        // Nothing was written. The row says why.
        let args = vec![Arg::Bytes(Some(caller.id.as_bytes())), Arg::text(&caller.user_id)];
        let row = Box::pin(backend.read_one((&sql.row, args))).await?;
        let Some(row) = row else { return Ok(Applied::Gone) };
        let row = row::record(&row)?;
        if !row.is_live(now) {
            return Ok(Applied::Gone);
        }
        if rotation.is_some_and(|rotation| rotation.successor.is_none() && rotation.to == row.token_hash) {
            return Ok(Applied::Done { expires_at: row.expires_at });
        }
        if !row.accepts(&caller.token, now, caller.grace) {
            return Ok(Applied::Gone);
        }
        let fate = update.data.as_ref().map(|new| new.fate(row.version));
        match fate {
            // An earlier try may have been done, and others may have written over it since.
            Some(Fate::Unknown) if is_repeated => return Err(StoreError::unknown(Overwritten)),
            Some(Fate::Never | Fate::Unknown) => return Ok(Applied::Conflict(row)),
            Some(Fate::Made | Fate::Open) | None => {}
        }
        let is_current = row.token_hash == caller.token;
        if !is_current && rotation.is_some_and(|rotation| rotation.successor.is_some()) {
            // The caller's is the previous one: there is nothing to rotate.
            (superseded, rotation) = (Some(Arc::clone(&row)), None);
        }
        if fate == Some(Fate::Made) {
            // When it was asked for before, with all of its update.
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
        let ended = backend.change(Task::End(ending)).await?;
        // It may have ended it before, when its answer was lost. It is over in any case.
        return Ok(Checked::Live(ended.count > 0 || ended.is_repeated));
    };
    let targets = match targets(backend, &sql.look_end, user, Some(id), caller, now).await? {
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
        let ended = backend.change(Task::End(ending)).await?;
        return Ok(Checked::Live(ended.rows.iter().map(row::id).collect::<Result<_, _>>()?));
    };
    let targets = match targets(backend, &sql.look_end_all, user, except, caller, now).await? {
        Checked::Live(targets) if !targets.is_empty() => targets,
        nothing => return Ok(nothing),
    };
    ended(backend, user, statements, except, caller, now, &targets).await
}

/// What an ending by this caller would end, and whether the caller is live, without waiting for anybody: where there is nothing to do,
/// it is done.
async fn targets(
    backend: &impl Backend,
    look: &'static Statement,
    user: &UserId,
    id: Option<SessionId>,
    caller: &Caller,
    now: OffsetDateTime,
) -> Result<Checked<Vec<SessionId>>, StoreError> {
    let mut args = vec![Arg::text(user), Arg::time(now), Arg::Bytes(id.as_ref().map(|id| &id.as_bytes()[..]))];
    args.extend(by_args(caller, now));
    let (mut is_live, mut targets) = (false, Vec::new());
    for row in backend.read((look, args)).await? {
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

/// Ends what the statements name, if the caller is live: which ones. `seen` were there a moment ago.
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
    let ended = backend.change(Task::End(ending)).await?;
    let mut ids = ended.rows.iter().map(row::id).collect::<Result<Vec<_>, _>>()?;
    if ended.rows.is_empty() && ended.count > 0 {
        // It was named, where rows aren't returned.
        ids.extend(seen);
    }
    if ended.is_repeated {
        // It may have ended them before, when its answer was lost. They are over in any case, unless the caller is.
        ids.extend(
            seen.iter().filter(|id| !ended.rows.iter().any(|row| row::id(row).is_ok_and(|ended| ended == **id))),
        );
    }
    let is_empty = ended.count == 0;
    checked(backend, ids, is_empty, Some(caller), now).await
}

/// The result of a statement that found nothing if its caller wasn't live.
async fn checked<T>(
    backend: &impl Backend,
    result: T,
    is_empty: bool,
    by: Option<&Caller>,
    now: OffsetDateTime,
) -> Result<Checked<T>, StoreError> {
    match by {
        // Nothing: either there was none for a live caller, or the caller isn't live. A caller that is live only now was
        // live then too, because nothing brings one back; one that isn't was told of no change.
        Some(caller) if is_empty => {
            let live = backend.read((&backend.sql().caller, caller_args(caller, now))).await?;
            Ok(if live.is_empty() { Checked::CallerGone } else { Checked::Live(result) })
        }
        _ => Ok(Checked::Live(result)),
    }
}

/// `then` on the result, if the caller is live.
fn if_live<T, U>(checked: Checked<T>, then: impl FnOnce(T) -> Result<U, StoreError>) -> Result<Checked<U>, StoreError> {
    match checked {
        Checked::Live(value) => Ok(Checked::Live(then(value)?)),
        Checked::CallerGone => Ok(Checked::CallerGone),
    }
}
