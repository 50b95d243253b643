//! The insertion of a session: a sign-in's, with those that it replaces and evicts, and a
//! visitor's.

use std::num::NonZeroU32;
use std::sync::Arc;

use arrayvec::ArrayVec;
use time::OffsetDateTime;

use super::batch::within_budget;
use super::change::{Change, SignIn};
use super::driver::DriverError;
use super::row::{self, Arg};
use super::{Backend, MAX_ATTEMPTS};
use crate::model::record::Record;
use crate::store::{Created, MAX_LOADED, Replaced, StoreError};

pub(super) async fn create(
    backend: &impl Backend,
    new: &Arc<Record>,
    replaces: &[Replaced],
    limit: NonZeroU32,
    now: OffsetDateTime,
) -> Result<Created, StoreError> {
    if new.user_id.is_visitor() && replaces.is_empty() {
        return create_visitor(backend, new).await;
    }
    let replaces: ArrayVec<_, MAX_LOADED> = replaces.iter().take(MAX_LOADED).cloned().collect();
    let others = i64::from(limit.get()) - 1;
    for _ in 0..MAX_ATTEMPTS {
        let sign_in = SignIn { new: Arc::clone(new), replaces: replaces.clone(), others, now };
        let sign_in = backend.change(Change::SignIn(sign_in));
        let ended = match within_budget(backend, new.data.text().len(), sign_in).await {
            // Perhaps this sign-in inserted it, if its answer was lost and it was sent again.
            Err(StoreError::NotApplied(source) | StoreError::Unknown(source))
                if source.downcast_ref().is_some_and(DriverError::is_duplicate) =>
            {
                return Ok(Created::Taken);
            }
            Err(StoreError::NotApplied(source)) if source.downcast_ref().is_some_and(DriverError::is_other_version) => {
                match Box::pin(changed(backend, &replaces, now)).await? {
                    Some(row) => return Ok(Created::Changed(row)),
                    // It has ended since, so it needs no version any more.
                    None => continue,
                }
            }
            ended => ended?,
        };
        let mut evicted = ended.rows.iter().map(row::id).collect::<Result<Vec<_>, _>>()?;
        evicted.retain(|id| replaces.iter().all(|replaced| replaced.session.id != *id));
        return Ok(Created::Inserted { evicted });
    }
    Err(StoreError::not_applied("the replaced session changed at every try"))
}

/// A visitor has one session only, so the insertion is all.
async fn create_visitor(backend: &impl Backend, new: &Arc<Record>) -> Result<Created, StoreError> {
    let insert = backend.write((&backend.sql().insert_visitor, row::args(new)));
    match within_budget(backend, new.data.text().len(), insert).await {
        Err(StoreError::NotApplied(source) | StoreError::Unknown(source))
            if source.downcast_ref().is_some_and(DriverError::is_duplicate) =>
        {
            Ok(Created::Taken)
        }
        written => written.map(|_| Created::Inserted { evicted: Vec::new() }),
    }
}

/// The row whose version was another one a moment ago, if it is still live.
async fn changed(
    backend: &impl Backend,
    replaces: &[Replaced],
    now: OffsetDateTime,
) -> Result<Option<Arc<Record>>, StoreError> {
    for Replaced { session, version } in replaces {
        let args = vec![Arg::Bytes(Some(session.id.as_bytes())), Arg::text(&session.user_id)];
        let Some(row) = backend.read_one((&backend.sql().row, args)).await? else { continue };
        let row = row::record(&row)?;
        if row.is_live(now) && version.is_some_and(|version| version != row.version) {
            return Ok(Some(row));
        }
    }
    Ok(None)
}
