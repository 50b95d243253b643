//! Storing what a request changed: its data with its activity, made again on what others stored meanwhile, and asked for again where
//! the store didn't say what came of it. Not here: when that is done, see `commit` and the handle's `save`.

use super::Request;
use super::rotate::conflict_without_data;
use crate::error::{Error, StoreError};
use crate::model::session_id::SessionId;
use crate::observe::event::Event;
use crate::store::{Activity, Applied, Fate, Update};
use crate::values::view::Pending;

/// What came of storing a request's changes.
pub(crate) enum Stored {
    Done,
    Ended,
}

/// Storing failed.
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// The session, if only its activity was to be recorded.
    pub(crate) only_activity: Option<SessionId>,
}

/// Tries at storing changes before the store counts as too busy: each lost try means that another request's succeeded.
const MAX_TRIES: usize = 100;
/// How often a write is asked for again in one go whose outcome the store couldn't tell.
const ASKED_AGAIN: usize = 2;

impl Request {
    /// Stores what this request changed, with its activity if that is due by now. `always` asks the store in any case. Only for
    /// the operation that has the permit.
    pub(crate) async fn store_changes(&self, always: bool) -> Result<Stored, Failure> {
        let settles = self.has_open_write();
        // Not for `save`, whose future the application may leave unfinished: no request should wait for that.
        let queues = !always;
        match self.store_next(always, queues).await? {
            // What an earlier call had left open. Now what was changed after it.
            Stored::Done if settles => Box::pin(self.store_next(false, queues)).await,
            stored => Ok(stored),
        }
    }

    /// Settles a write whose outcome isn't known, if there is one. Only for the operation that has the permit.
    pub(super) async fn settle_write(&self) -> Result<(), Error> {
        if self.has_open_write() {
            Box::pin(self.store_next(false, false)).await.map_err(|failure| failure.error)?;
        }
        Ok(())
    }

    fn has_open_write(&self) -> bool {
        self.lock().state.active().is_some_and(|active| active.view.has_open())
    }

    /// Stores what was left open; or if nothing was, what was changed.
    async fn store_next(&self, always: bool, queues: bool) -> Result<Stored, Failure> {
        let service = &self.service;
        let (caller, last_active_at, absolute_expires_at, seen, pending) = {
            let mut progress = self.lock();
            let Some(active) = progress.state.active_mut() else { return Ok(Stored::Ended) };
            let (caller, pending) = (active.caller(service.config.rotation_grace), active.view.take());
            let record = &active.record;
            let times = (record.last_active_at, record.absolute_expires_at);
            let seen = active.is_first_seen;
            progress.in_flight = pending.is_some();
            (caller, times.0, times.1, seen, pending)
        };
        let id = caller.id;
        let mut taken = Taken { request: self, id, pending };
        let queues = queues && taken.pending.is_some();
        let mut unanswered = 0;
        let mut place = if queues { service.turns.behind_others(id).await } else { None };
        // What concurrent requests may store together.
        let together = service.config.max_data_bytes.saturating_mul(2).min(service.most_data);
        for _ in 0..MAX_TRIES {
            if let Some(Err(error)) = taken.pending.as_ref().map(|pending| pending.check_size(service.most_data)) {
                return Err(taken.failed(error));
            }
            let now = service.now();
            let expiry = &service.config.expiry;
            // The first presentation of a rotated token counts as due.
            let first = || seen.then(|| expiry.presentation(now, last_active_at, absolute_expires_at));
            let activity = expiry.due(now, last_active_at, absolute_expires_at).or_else(first);
            let data = taken.pending.as_ref().map(Pending::to_store);
            if data.is_none() && activity.is_none() && !always {
                return Ok(Stored::Done);
            }
            let update = Update { data, activity, rotation: None, seen };
            match service.store.apply(&caller, &update, now).await {
                Ok(Applied::Done { expires_at }) => {
                    return taken.stored(activity.map(|activity| (activity, expires_at)));
                }
                Ok(Applied::Gone) => {
                    let had_changes = taken.pending.take().is_some();
                    self.found_ended(id);
                    if had_changes {
                        service.tell(&Event::DataDropped { id });
                    }
                    return Ok(Stored::Ended);
                }
                Ok(Applied::Superseded(_)) => return Err(taken.failed(service.failed(rotated_unasked()))),
                Ok(Applied::Conflict(fresh)) => {
                    let Some(pending) = &mut taken.pending else {
                        return Err(taken.failed(service.failed(conflict_without_data())));
                    };
                    match pending.fate(fresh.version) {
                        // The store should have said so.
                        Fate::Made => return taken.stored(activity.map(|activity| (activity, fresh.expires_at))),
                        // The row is as it was: the swap can succeed, and an earlier try of it may still.
                        Fate::Open => {
                            tokio::task::yield_now().await;
                            continue;
                        }
                        Fate::Unknown if pending.is_open() => return Err(taken.failed(service.failed(overwritten()))),
                        Fate::Never | Fate::Unknown => {}
                    }
                    match pending.rebase(&fresh.data, fresh.version, together) {
                        Ok(Ok(())) if queues && place.is_none() => place = service.turns.queue(id).await,
                        Ok(Ok(())) => tokio::task::yield_now().await,
                        Ok(Err(error)) => return Err(taken.failed(error)),
                        Err(_) => {
                            let corrupt = StoreError::Corrupt { id: Some(id), what: "data" };
                            return Err(taken.failed(service.failed(corrupt)));
                        }
                    }
                }
                Err(error) => {
                    if let (StoreError::Unknown(_), Some(pending)) = (&error, &mut taken.pending) {
                        pending.leave_open();
                        if unanswered < ASKED_AGAIN {
                            unanswered += 1;
                            // Others wait, if they can: two that write before it is asked for again hide what came of it.
                            if queues && place.is_none() {
                                place = service.turns.first(id);
                            }
                            continue;
                        }
                    }
                    if let Some(place) = &place {
                        place.give_up();
                    }
                    return Err(taken.refused(error));
                }
            }
        }
        service.tell(&Event::Contention { id });
        Err(taken.contended())
    }

    /// Notes that changes are lost, and why.
    fn lose(&self, id: SessionId, status: u16) {
        let mut progress = self.lock();
        progress.lost = Some(status);
        if let Some(active) = progress.state.still(id) {
            active.view.discard();
        }
    }
}

/// Changes that were taken to be stored. Dropped without a word from the store, they count as lost.
struct Taken<'a> {
    request: &'a Request,
    id: SessionId,
    pending: Option<Pending>,
}

impl Taken<'_> {
    fn stored(mut self, activity: Option<(Activity, time::OffsetDateTime)>) -> Result<Stored, Failure> {
        let pending = self.pending.take();
        if let Some((activity, expires_at)) = activity
            && let Some(active) = self.request.lock().state.still(self.id)
        {
            active.recorded(activity, expires_at);
        }
        let Some(pending) = pending else { return Ok(Stored::Done) };
        loop {
            let later = self.request.lock().state.still(self.id).and_then(|active| active.view.later(&pending));
            // Without the lock: this runs the application's functions.
            let later = later.map(|later| pending.with(&later)).transpose().map_err(|error| {
                self.request.lose(self.id, error.status());
                Failure { error, only_activity: None }
            })?;
            let mut progress = self.request.lock();
            let Some(active) = progress.state.still(self.id) else { return Ok(Stored::Done) };
            if active.view.stored(&pending, later) {
                return Ok(Stored::Done);
            }
        }
    }

    /// The store failed: what may be stored some time stays pending, and what may be stored already keeps its identity.
    fn refused(mut self, error: StoreError) -> Failure {
        let only_activity = self.pending.is_none().then_some(self.id);
        let is_open = self.pending.as_ref().is_some_and(Pending::is_open);
        let error = match error {
            // What is certain of the last try says nothing of those before.
            StoreError::NotApplied(source) if is_open => StoreError::Unknown(source),
            error => error,
        };
        if matches!(error, StoreError::NotApplied(_) | StoreError::Unknown(_)) {
            self.keep();
        }
        let error = match only_activity {
            Some(_) => error.into(),
            None => self.request.service.failed(error),
        };
        Failure { error, only_activity }
    }

    /// Other requests were faster at every try: what may be stored some time stays pending.
    fn contended(mut self) -> Failure {
        self.keep();
        Failure { error: Error::Contention, only_activity: None }
    }

    fn keep(&mut self) {
        let Some(pending) = self.pending.take() else { return };
        if let Some(active) = self.request.lock().state.still(self.id) {
            if pending.is_open() {
                active.view.left_open(pending);
            } else {
                active.view.not_stored(pending);
            }
        }
    }

    /// The changes can't be made: none of them is stored.
    fn failed(mut self, error: Error) -> Failure {
        self.lose(error.status());
        Failure { error, only_activity: None }
    }

    fn lose(&mut self, status: u16) {
        if self.pending.take().is_some() {
            self.request.lose(self.id, status);
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.lose(503);
        self.request.lock().in_flight = false;
    }
}

fn overwritten() -> StoreError {
    StoreError::unknown("others changed the session's data twice before the store could be asked again")
}

fn rotated_unasked() -> StoreError {
    StoreError::not_applied("the store reported a rotation that it was not asked for")
}
