//! Forgets users who have had no session for long, where each user has a row that sign-ins lock.
//! Reads some users without a lock, then checks those without a session again while they are
//! locked. Not here: how often, see `service::cleanup`.

use std::num::NonZeroU32;

use time::OffsetDateTime;

use super::Backend;
#[cfg(any(feature = "mysql", feature = "postgres"))]
use super::change::BoundStatement;
use super::dialect::MAX_LOCKED_USERS;
#[cfg(any(feature = "mysql", feature = "postgres"))]
use super::dialect::Statement;
use super::row::{self, Arg};
#[cfg(any(feature = "mysql", feature = "postgres"))]
use super::statements::UserStatements;
use crate::store::{Forgotten, StoreError};

#[cfg(all(test, any(feature = "mysql", feature = "postgres")))]
pub(in crate::store) mod tests;

/// Users who had no session a moment ago.
#[cfg_attr(not(any(feature = "mysql", feature = "postgres")), allow(dead_code))]
pub(in crate::store) struct IdleUsers<'a> {
    /// At most [`MAX_LOCKED_USERS`].
    users: &'a [String],
    /// Users who have had no session since then are forgotten.
    since: OffsetDateTime,
    now: OffsetDateTime,
}

#[cfg(any(feature = "mysql", feature = "postgres"))]
impl<'a> IdleUsers<'a> {
    /// For users who are forgotten as soon as they have no session.
    pub(super) const fn at(users: &'a [String], now: OffsetDateTime) -> Self {
        Self { users, since: now, now }
    }

    /// Locks them, except those that a sign-in has locked already, and returns their ids.
    pub(in crate::store) fn lock(&self, sql: &'static UserStatements) -> BoundStatement<'a> {
        (&sql.lock, ids(self.users).collect())
    }

    /// For the locked users, whose sessions can't change until the transaction ends. First notes
    /// that they have no session as of now, where that isn't noted yet; then forgets those who had
    /// none for long enough.
    pub(in crate::store) fn forget<'b>(
        &self,
        sql: &'static UserStatements,
        locked: &'b [String],
    ) -> [BoundStatement<'b>; 2] {
        let bind = |statement: &'static Statement, time| {
            (statement, [Arg::time(time)].into_iter().chain(ids(locked)).collect())
        };
        [bind(&sql.note, self.now), bind(&sql.forget, self.since)]
    }
}

/// Always the same number of values.
#[cfg(any(feature = "mysql", feature = "postgres"))]
fn ids(users: &[String]) -> impl Iterator<Item = Arg<'_>> {
    (0..MAX_LOCKED_USERS).map(|at| Arg::Text(users.get(at).map(String::as_str)))
}

pub(super) async fn forget(
    backend: &impl Backend,
    after: Option<&str>,
    since: OffsetDateTime,
    now: OffsetDateTime,
    limit: NonZeroU32,
) -> Result<Forgotten, StoreError> {
    let Some(sql) = &backend.sql().users else { return Ok(Forgotten::default()) };
    // No id is empty, so all of them are greater.
    let args =
        vec![Arg::Text(Some(after.unwrap_or_default())), Arg::Int(Some(i64::from(limit.get()))), Arg::time(since)];
    let rows = backend.read((&sql.next, args)).await?;
    let is_last = (rows.len() as u64) < u64::from(limit.get());
    let next = if is_last { None } else { rows.last().map(|row| row::user(row, 0)).transpose()?.flatten() };
    let idle = rows.iter().map(|row| row::user(row, 1));
    let idle = idle.filter_map(Result::transpose).collect::<Result<Vec<_>, _>>()?;
    let mut forgotten = Forgotten { users: 0, next };
    for users in idle.chunks(MAX_LOCKED_USERS) {
        forgotten.users += backend.forget(IdleUsers { users, since, now }).await?;
    }
    Ok(forgotten)
}

/// The time by the database's clock.
pub(super) async fn server_time(backend: &impl Backend) -> Result<Option<OffsetDateTime>, StoreError> {
    let Some(statement) = &backend.sql().server_time else { return Ok(None) };
    backend.read_one((statement, Vec::new())).await?.map(|row| row::server_time(&row)).transpose()
}
