//! The session of a visitor: begun in memory by the first value, and given a row when that is
//! stored. Not here: its settings, see `visitor`; what a request keeps of it, see `state`.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::sign_in::unnamed;
use super::storing::{ASKED_AGAIN, ChangesInFlight, Failure, Stored};
use super::{Progress, Request};
use crate::error::{Error, Result, StoreError};
use crate::model::data::Data;
use crate::model::record::Record;
use crate::model::session_id::SessionId;
use crate::model::token::SessionToken;
use crate::model::user_id::UserId;
use crate::request::state::Transition;
use crate::store::{Created, SessionKey};
use crate::values::view::Pending;
use crate::visitor::warn_unstored;

impl Request {
    /// Whether there is a session whose `key` can be changed. With visitors one is begun.
    ///
    /// # Errors
    /// 401 if no visitor can begin here.
    pub(crate) fn can_change(&self, key: &str) -> Result<bool> {
        let mut progress = self.lock();
        if progress.state.active().is_some() {
            return Ok(true);
        }
        let has_visitors = self.service.config.visitors.is_some();
        if !has_visitors {
            drop(progress);
            warn_unstored(key);
            return Ok(false);
        }
        if !progress.can_visit() {
            return Err(Error::NotAuthenticated);
        }
        self.visit(&mut progress)?;
        Ok(true)
    }

    /// Whether this is a request of a visitor for whom there is nothing to store yet.
    pub(crate) fn is_new_visitor(&self) -> bool {
        self.service.config.visitors.is_some() && self.lock().can_visit()
    }

    /// The id of the session or visitor to which a feature binds something. With visitors, a
    /// request without one begins one in memory. None without.
    pub(crate) fn bound_id(&self) -> Result<Option<SessionId>> {
        let mut progress = self.lock();
        if progress.can_visit() && self.service.config.visitors.is_some() {
            self.visit(&mut progress)?;
        }
        Ok(progress.state.active().map(|active| active.record.id))
    }

    /// Makes this visitor's row at the commit, whether or not there are values.
    pub(crate) fn want_row(&self, id: SessionId) {
        let mut progress = self.lock();
        if progress.state.active_if(id).is_some() {
            progress.state.want_row();
        }
    }

    fn visit(&self, progress: &mut Progress) -> Result<()> {
        let now = self.service.now();
        let id = SessionId::new(now);
        let user_id = UserId::of_visitor(id);
        let token = SessionToken::generate(&user_id, id)?;
        let (expires_at, absolute_expires_at) = self.service.config.expiry_of(&user_id).of_sign_in(now);
        let record = Arc::new(Record {
            id,
            user_id,
            token_hash: token.hash(),
            previous_token_hash: None,
            token_issued_at: now,
            token_seen: false,
            successor: None,
            strict_rotated_at: None,
            client: Arc::default(),
            data: Data::empty(),
            version: 0,
            persistent: true,
            created_at: now,
            authenticated_at: now,
            last_active_at: now,
            expires_at,
            absolute_expires_at,
        });
        progress.advance(Transition::Visit { record, token });
        Ok(())
    }

    /// Makes the visitor's row with the values so far, if there is something to make one for. For a
    /// `save`, the response's head must not have left.
    pub(super) async fn make_visitor(&self, is_save: bool) -> Result<Stored, Failure> {
        let service = &self.service;
        let (record, pending) = {
            let mut progress = self.lock();
            let Some(record) = progress.state.missing_row().cloned() else { return Ok(Stored::Ended) };
            if !progress.state.wants_row() {
                progress.state.discard();
                return Ok(Stored::Done);
            }
            if is_save {
                progress.check_head().map_err(Failure::of)?;
            }
            let pending = progress.state.active_mut().and_then(|active| active.view.take());
            progress.in_flight = true;
            (record, pending)
        };
        let mut taken = ChangesInFlight { request: self, id: record.id, pending };
        if let Some(Err(error)) = taken.pending.as_ref().map(|pending| pending.check_size(service.most_data)) {
            return Err(taken.failed(error));
        }
        let record = match &taken.pending {
            Some(pending) => {
                let write = pending.to_store();
                Arc::new(Record { data: write.data, version: write.becomes, ..(*record).clone() })
            }
            None => record,
        };
        // Without values `refused` would take it for activity.
        let refuse = |taken: ChangesInFlight<'_>, error: StoreError| match &taken.pending {
            Some(_) => taken.refused(error),
            None => Failure::of(service.failed(error)),
        };
        let mut unanswered = 0;
        let earlier = loop {
            let now = service.now();
            match service.store.create(&record, &[], NonZeroU32::MAX, now).await {
                Ok(Created::Inserted { .. }) => break None,
                Ok(Created::Taken) => match self.stored_row(&record, now).await {
                    Ok(Some(row)) if row.version == record.version => break None,
                    Ok(Some(row)) => break Some(row),
                    Ok(None) => {
                        let taken_id = StoreError::not_applied("another session has this id");
                        return Err(refuse(taken, taken_id));
                    }
                    // Which write made the row isn't known.
                    Err(error) => {
                        taken.pending.iter_mut().for_each(Pending::leave_open);
                        return Err(refuse(taken, error));
                    }
                },
                Ok(Created::Changed(_)) => {
                    return Err(refuse(taken, unnamed()));
                }
                Err(error) => {
                    if let (StoreError::Unknown(_), Some(pending)) = (&error, &mut taken.pending) {
                        pending.leave_open();
                    }
                    if matches!(error, StoreError::Unknown(_)) && unanswered < ASKED_AGAIN {
                        unanswered += 1;
                        continue;
                    }
                    return Err(refuse(taken, error));
                }
            }
        };
        let is_late = {
            let mut progress = self.lock();
            progress.advance(Transition::MakeVisitor(Arc::clone(earlier.as_ref().unwrap_or(&record))));
            is_save && progress.head_sent
        };
        let is_earlier = earlier.is_some();
        let stored = match earlier {
            None => taken.stored(None),
            // An earlier try made the row, without these values.
            Some(row) => {
                taken.put_back();
                self.take_over(&row).map(|()| Stored::Done).map_err(Failure::of)
            }
        };
        if is_late {
            // The cookie can't be sent any more. What can't be ended now expires.
            self.end_made(&SessionKey { user_id: record.user_id.clone(), id: record.id }).await;
            return Err(Failure::of(Error::HeadSent));
        }
        if is_earlier && stored.is_ok() {
            return Box::pin(self.store_next(is_save, false)).await;
        }
        stored
    }

    /// Ends a row that this request has made and whose cookie it can't send.
    pub(super) async fn end_made(&self, made: &SessionKey) {
        let service = &self.service;
        let ended = service.store.end(&made.user_id, made.id, None, service.now()).await;
        // An event reports a failure.
        drop(ended.map_err(|error| service.failed(error)));
        self.found_ended(made.id);
    }
}
