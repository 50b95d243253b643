//! Signing in: one atomic step of the store, asked again under the same session id where its outcome is unknown, and settled before
//! the request asks for anything else.

use std::num::NonZeroU32;
use std::sync::Arc;

use time::OffsetDateTime;

use super::Request;
use super::operation::Now;
use crate::error::{Error, Result, StoreError};
use crate::model::data::Data;
use crate::model::record::Record;
use crate::model::session_id::SessionId;
use crate::model::token::{SessionToken, TokenRef};
use crate::model::user_id::UserId;
use crate::observe::event::Event;
use crate::request::state::Did;
use crate::store::Created;

/// A sign-in as its caller asked for it.
pub(crate) struct Wanted {
    pub(crate) user: UserId,
    pub(crate) data: Data,
    pub(crate) persistent: bool,
}

impl Request {
    /// Signs in, and ends every session that the request's cookies name.
    pub(crate) async fn sign_in(self: Arc<Self>, wanted: Wanted) -> Result<()> {
        let service = &self.service;
        let (replaces, client) = {
            let progress = self.lock();
            progress.check_head()?;
            (progress.named(), progress.client.info())
        };
        let now = service.now();
        let id = SessionId::new(now);
        let token = SessionToken::generate(&wanted.user, id)?;
        let (expires_at, absolute_expires_at) = service.config.expiry.of_sign_in(now);
        let record = Arc::new(Record {
            id,
            user_id: wanted.user,
            token_hash: token.hash(),
            previous_token_hash: None,
            token_issued_at: now,
            token_seen: false,
            successor: None,
            strict_rotated_at: None,
            client: Arc::new(client),
            data: wanted.data,
            version: 0,
            persistent: wanted.persistent,
            created_at: now,
            authenticated_at: now,
            last_active_at: now,
            expires_at,
            absolute_expires_at,
        });
        self.lock().open_sign_in = Some(Arc::clone(&record));
        let create = || service.store.create(&record, &replaces, service.config.max_sessions, now);
        let (mut created, mut is_repeated) = (create().await, false);
        if matches!(created, Err(StoreError::Unknown(_))) {
            (created, is_repeated) = (create().await, true);
        }
        match created {
            Ok(Created::Inserted { evicted }) if evicted.is_empty() => {}
            Ok(Created::Inserted { evicted }) => service.tell(&Event::Evicted { ids: evicted }),
            // The first time it was stored after all; or it was the store that asked again.
            Ok(Created::Taken) if is_repeated || self.is_stored(&record, now).await? => {}
            Ok(Created::Taken) => {
                self.lock().open_sign_in = None;
                return Err(service.failed(StoreError::not_applied("another session has this id")));
            }
            Err(error) => {
                if matches!(error, StoreError::NotApplied(_)) && !is_repeated {
                    self.lock().open_sign_in = None;
                }
                return Err(service.failed(error));
            }
        }
        if self.signed_in(&record, token) {
            return Ok(());
        }
        // The cookie can't follow, or there is no one to send it for: no browser will ever hold this token.
        self.settle_sign_in(&record).await?;
        Err(Error::HeadSent)
    }

    /// Whether the session that has this one's id is this one.
    async fn is_stored(&self, record: &Record, now: OffsetDateTime) -> Result<bool> {
        let token = [TokenRef { shard: record.user_id.shard(), id: record.id }];
        let found = self.service.store.load(&token, now).await.map_err(|error| self.service.failed(error))?;
        Ok(found.iter().any(|found| found.token_hash == record.token_hash))
    }

    /// Takes over the session that the store has made, if its cookie can follow: whether it can.
    fn signed_in(&self, record: &Arc<Record>, token: SessionToken) -> bool {
        let mut progress = self.lock();
        progress.also_named.clear();
        if progress.head_sent || self.order.now() == Now::Abandoned {
            // What it replaced has ended all the same.
            if let Some(id) = progress.state.held().map(|held| held.record.id) {
                progress.advance(Did::FindEnded(id));
            }
            return false;
        }
        progress.open_sign_in = None;
        progress.unfetched_sign_in = Some(Arc::clone(record));
        progress.presented = None;
        progress.advance(Did::SignIn { record: Arc::clone(record), token });
        true
    }

    /// Ends a session whose sign-in was given up after it was done, and before its caller knew.
    pub(super) async fn end_unfetched_sign_in(&self) {
        let is_abandoned = self.order.now() == Now::Abandoned;
        let record = {
            let mut progress = self.lock();
            let Some(record) = progress.unfetched_sign_in.take().filter(|_| is_abandoned) else { return };
            progress.open_sign_in = Some(Arc::clone(&record));
            progress.advance(Did::FindEnded(record.id));
            record
        };
        // A failure was reported by an event, and it stays open.
        drop(self.settle_sign_in(&record).await);
    }

    /// Sees to it that a sign-in which was given up, or whose outcome is unknown, leaves no session.
    ///
    /// That its row isn't there now proves nothing, as its statement may still be under way. So the id is taken, by a row that has
    /// expired, which the clean-up deletes; where it is taken already, that session is ended.
    pub(super) async fn settle_sign_in(&self, record: &Arc<Record>) -> Result<()> {
        let service = &self.service;
        let expired = Arc::new(Record { expires_at: record.created_at, ..(**record).clone() });
        let now = service.now();
        let settled = match service.store.create(&expired, &[], NonZeroU32::MAX, now).await {
            Ok(Created::Inserted { .. }) => Ok(()),
            Ok(Created::Taken) => service.store.end(&record.user_id, record.id, None, now).await.map(drop),
            Err(error) => Err(error),
        };
        settled.map_err(|error| service.failed(error))?;
        self.lock().open_sign_in = None;
        Ok(())
    }
}
