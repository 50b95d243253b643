//! Users who take turns on a row of their own: forgetting those who have had no session for long. Looks at some users without
//! holding anything, then asks again under the lock of those who have none. Not here: how often, see `service::cleanup`.

use std::num::NonZeroU32;

use time::OffsetDateTime;

use super::Backend;
#[cfg(any(feature = "mysql", feature = "postgres"))]
use super::dialect::Statement;
use super::dialect::USERS_AT_ONCE;
use super::row::{self, Arg};
#[cfg(any(feature = "mysql", feature = "postgres"))]
use super::statements::UserStatements;
#[cfg(any(feature = "mysql", feature = "postgres"))]
use super::task::Step;
use crate::store::{Forgotten, StoreError};

#[cfg(all(test, any(feature = "mysql", feature = "postgres")))]
pub(in crate::store) mod tests;

/// Users who had no session a moment ago.
#[cfg_attr(not(any(feature = "mysql", feature = "postgres")), allow(dead_code))]
pub(in crate::store) struct Idle<'a> {
    /// At most [`USERS_AT_ONCE`].
    users: &'a [String],
    /// Whoever has had no session since then is forgotten.
    since: OffsetDateTime,
    now: OffsetDateTime,
}

#[cfg(any(feature = "mysql", feature = "postgres"))]
impl Idle<'_> {
    /// Locks them, but not those whom a sign-in has locked: rows of their ids.
    pub(in crate::store) fn lock(&self, sql: &'static UserStatements) -> Step<'_> {
        (&sql.lock, ids(self.users).collect())
    }

    /// For the locked ones, whose sessions are now as they stay until the transaction ends: notes since when those have had none
    /// of whom that isn't known, then forgets whoever had none for long enough.
    pub(in crate::store) fn forget<'b>(&self, sql: &'static UserStatements, locked: &'b [String]) -> [Step<'b>; 2] {
        let step = |statement: &'static Statement, time| {
            (statement, [Arg::time(time)].into_iter().chain(ids(locked)).collect())
        };
        [step(&sql.note, self.now), step(&sql.forget, self.since)]
    }
}

/// Always as many values.
#[cfg(any(feature = "mysql", feature = "postgres"))]
fn ids(users: &[String]) -> impl Iterator<Item = Arg<'_>> {
    (0..USERS_AT_ONCE).map(|at| Arg::Text(users.get(at).map(String::as_str)))
}

pub(super) async fn forget(
    backend: &impl Backend,
    after: Option<&str>,
    since: OffsetDateTime,
    now: OffsetDateTime,
    limit: NonZeroU32,
) -> Result<Forgotten, StoreError> {
    let Some(sql) = &backend.sql().users else { return Ok(Forgotten::default()) };
    // No id is empty, so all come after that.
    let args =
        vec![Arg::Text(Some(after.unwrap_or_default())), Arg::Int(Some(i64::from(limit.get()))), Arg::time(since)];
    let rows = backend.read((&sql.next, args)).await?;
    let is_last = (rows.len() as u64) < u64::from(limit.get());
    let next = if is_last { None } else { rows.last().map(|row| row::user(row, 0)).transpose()?.flatten() };
    let idle = rows.iter().map(|row| row::user(row, 1));
    let idle = idle.filter_map(Result::transpose).collect::<Result<Vec<_>, _>>()?;
    let mut forgotten = Forgotten { users: 0, next };
    for users in idle.chunks(USERS_AT_ONCE) {
        forgotten.users += backend.forget(Idle { users, since, now }).await?;
    }
    Ok(forgotten)
}

/// The time by the database's clock.
pub(super) async fn server_time(backend: &impl Backend) -> Result<Option<OffsetDateTime>, StoreError> {
    let Some(statement) = &backend.sql().server_time else { return Ok(None) };
    backend.read_one((statement, Vec::new())).await?.map(|row| row::server_time(&row)).transpose()
}
