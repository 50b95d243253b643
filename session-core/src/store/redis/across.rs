//! In a cluster: a sign-in that replaces sessions which lie on other servers, as a visitor's does.
//! Its steps are one after the other, so that a failure between them loses nothing:
//! 1. The replaced sessions elsewhere are read. If one hasn't the version that it must have,
//!    nothing changes.
//! 2. The new session is stored, in one step with all that lies with it.
//! 3. The replaced ones elsewhere are ended, at once, each in one step with the check of its
//!    version.
//!
//! If a write came between the first step and the third, the new session is removed again; the
//! other replaced sessions and those beyond the user's limit have ended, as they will when it
//! starts over. If the third step fails, so does the sign-in, and the browser keeps the session
//! that it has: the new one, whose token no browser has, is removed as far as the servers can be
//! reached, and else lies there until it expires. Of two sign-ins that replace the same session at
//! once, both may succeed.

use std::num::NonZeroU32;
use std::sync::Arc;

use futures_util::future::join_all;
use time::OffsetDateTime;

use super::keys::Tag;
use super::retry::Request;
use super::row::time_bytes;
use super::scripts::END;
use super::{RedisStore, reply};
use crate::model::record::Record;
use crate::model::token::TokenRef;
use crate::store::{Created, Replaced, StoreError};

/// Such a sign-in.
pub(super) struct Insertion {
    pub(super) store: RedisStore,
    pub(super) new: Arc<Record>,
    pub(super) replaces: Vec<Replaced>,
    pub(super) limit: NonZeroU32,
    pub(super) now: OffsetDateTime,
}

/// Runs what has several steps to its end, also if this is dropped.
pub(super) async fn to_its_end<T: Send + 'static>(
    steps: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::spawn(steps).await.unwrap_or_else(|ended| Err(StoreError::unknown(ended)))
}

impl Insertion {
    pub(super) async fn run(self) -> Result<Created, StoreError> {
        let Self { store, new, replaces, limit, now } = &self;
        let home = Tag::of(new.user_id.shard());
        let (here, elsewhere): (Vec<_>, Vec<_>) =
            replaces.iter().cloned().partition(|replaced| Tag::of(replaced.session.user_id.shard()) == home);
        for Replaced { session, version } in &elsewhere {
            let Some(version) = version else { continue };
            let row = store.find_one(TokenRef { shard: session.user_id.shard(), id: session.id }).await?;
            let row = row.filter(|row| row.is_live(*now) && row.user_id == session.user_id && row.version != *version);
            if let Some(row) = row {
                return Ok(Created::Changed(row));
            }
        }
        let created = match store.insert_together(new, &here, *limit, *now).await? {
            // Another sign-in of this id was complete. But an attempt of this one may not be.
            (Created::Taken, false) => return Ok(Created::Taken),
            (Created::Changed(row), _) => return Ok(Created::Changed(row)),
            (created, _) => created,
        };
        let ends = join_all(elsewhere.iter().map(|replaced| self.end(replaced))).await;
        let mut outcome = Ok(created);
        for end in ends {
            match end {
                Ok(None) => {}
                Ok(Some(row)) => outcome = outcome.map(|_| Created::Changed(row)),
                Err(error) => outcome = Err(error),
            }
        }
        if !matches!(outcome, Ok(Created::Inserted { .. } | Created::Taken)) {
            let own = Replaced {
                session: super::super::SessionKey { user_id: new.user_id.clone(), id: new.id },
                version: None,
            };
            let removed = self.end(&own).await;
            // That it ended nothing, or that it isn't known.
            outcome = match (outcome, removed) {
                (Err(StoreError::NotApplied(source)), _) => Err(StoreError::Unknown(source)),
                (Ok(_), Err(StoreError::NotApplied(source))) => Err(StoreError::Unknown(source)),
                (Ok(_), Err(error)) => Err(error),
                (outcome, _) => outcome,
            };
        }
        outcome
    }

    /// Ends a session, unless it is live and has another version than it must have: then that row.
    async fn end(&self, Replaced { session, version }: &Replaced) -> Result<Option<Arc<Record>>, StoreError> {
        let keys = self.store.keys_of(&session.user_id, session.id);
        let (now, version) = (time_bytes(self.now), version.map(i64::to_be_bytes));
        let version = version.as_ref().map_or(&[][..], |version| version);
        let args: [&[u8]; 4] = [&now, session.id.as_bytes(), session.user_id.as_str().as_bytes(), version];
        let tag = Tag::of(session.user_id.shard());
        let end =
            Request::call(tag, &END, &keys.each_ref().map(Vec::as_slice), &args).kept(&self.store.shared.keys, true);
        let (reply, _) = self.store.call(&end, Some(session.id)).await?;
        match reply.what() {
            "ended" => Ok(None),
            "changed" => reply.row(session.id).map(Some),
            _ => Err(reply::not_understood()),
        }
    }
}
