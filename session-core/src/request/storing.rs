//! Storing what a request changed: its data, with its activity. If other requests stored something
//! meanwhile, the changes are replayed on that. If the outcome is unknown, the store is asked
//! again. Not here: when to store, see `commit` and the handle's `save`.
//!
//! A request that loses a race joins a queue. After its first version conflict it waits for its
//! turn at the session, and later writers in the same process wait behind it. Without the queue, a
//! session that many requests change at once collapses: each winner makes all others start over,
//! newcomers win over those that do, and some are refused after [`MAX_TRIES`]. A store failure
//! dissolves the queue, so that an outage isn't discovered by one request after the other. `save`
//! doesn't queue, so that no commit waits for a handler. Requests of other processes are still met
//! by starting over.
//!
//! An unknown outcome is asked again only where twice is the same as once. A change of data is such
//! a case, because the row's version names the write that made it and the one before
//! (`model::version`): it shows whether the write was made, can still be made, or never will be. In
//! the last case the changes are replayed as a new write. An outcome that can't be found out is a
//! 503.

use super::Request;
use super::rotate::{NextToken, conflict_without_data};
use super::state::Transition;
use crate::error::{Error, StoreError};
use crate::model::session_id::SessionId;
use crate::observe::event::Event;
use crate::store::{Activity, Fate, Update, Updated};
use crate::values::view::Pending;
use crate::values::view::Refusal;

/// How the storing of a request's changes ended.
pub(crate) enum Stored {
    Done,
    Ended,
    /// A visitor's session has ended, and changes with it. Perhaps the visitor signed in, and the
    /// values were to be taken along.
    VisitorEnded,
}

/// Why the changes weren't stored.
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// The session, if there was only activity to record.
    pub(crate) only_activity: Option<SessionId>,
}

impl Failure {
    pub(super) const fn of(error: Error) -> Self {
        Self { error, only_activity: None }
    }
}

/// The most tries to store changes. Each lost try means that another request's try succeeded.
pub(super) const MAX_TRIES: usize = 100;
/// How often a write whose outcome is unknown is asked for again in one go.
pub(super) const ASKED_AGAIN: usize = 2;

impl Request {
    /// Stores what this request changed, with its activity if that is due by now. With `always` the
    /// store is asked in any case. Only for the operation that has the permit.
    pub(crate) async fn store_changes(&self, always: bool) -> Result<Stored, Failure> {
        let settles = self.has_open_write();
        // Not for `save`, as the application may never finish its future, and no request should
        // wait for that.
        let queues = !always;
        match self.store_next(always, queues).await? {
            // That was what an earlier call had left open. Now store what was changed after it.
            Stored::Done if settles => Box::pin(self.store_next(false, queues)).await,
            stored => Ok(stored),
        }
    }

    /// Settles a write whose outcome is unknown, if there is one. Only for the operation that has
    /// the permit.
    pub(super) async fn settle_write(&self) -> Result<(), Error> {
        if self.has_open_write() {
            Box::pin(self.store_next(false, false)).await.map_err(|failure| failure.error)?;
        }
        Ok(())
    }

    fn has_open_write(&self) -> bool {
        self.lock().state.active().is_some_and(|active| active.view.has_open())
    }

    /// Stores what was left open, or if nothing was, what was changed.
    pub(super) async fn store_next(&self, always: bool, queues: bool) -> Result<Stored, Failure> {
        let service = &self.service;
        let found = {
            let mut progress = self.lock();
            let has_row = progress.state.missing_row().is_none();
            match progress.state.active_mut().filter(|_| has_row) {
                Some(active) => {
                    let (caller, pending) = (active.caller(service.config.rotation_grace), active.view.take());
                    let record = &active.record;
                    let times = (record.last_active_at, record.absolute_expires_at);
                    let seen = active.is_first_seen;
                    progress.in_flight = pending.is_some();
                    Some((caller, times.0, times.1, seen, pending))
                }
                None if has_row => {
                    let Some(id) = progress.state.drop_ended() else { return Ok(Stored::Ended) };
                    drop(progress);
                    service.emit(&Event::DataDropped { id });
                    return Ok(Stored::VisitorEnded);
                }
                None => None,
            }
        };
        let Some((caller, last_active_at, absolute_expires_at, seen, pending)) = found else {
            return Box::pin(self.make_visitor(always)).await;
        };
        let id = caller.id;
        let mut taken = ChangesInFlight { request: self, id, pending };
        // Not with a write that is asked for again: it may have been made without.
        let is_open = taken.pending.as_ref().is_some_and(Pending::is_open);
        let next = if always || is_open { None } else { self.lock().to_rotate.take() };
        let queues = queues && taken.pending.is_some();
        let mut unanswered = 0;
        let mut place = if queues { service.write_queues.join_existing(id).await } else { None };
        // The limit of what concurrent requests may store together.
        let most = service.config.max_data_bytes_of(&caller.user_id);
        let together = most.saturating_mul(2).min(service.most_data);
        for _ in 0..MAX_TRIES {
            if let Some(Err(error)) = taken.pending.as_ref().map(|pending| pending.check_size(service.most_data)) {
                return Err(taken.failed(error));
            }
            let now = service.now();
            let expiry = service.config.expiry_of(&caller.user_id);
            // The first presentation of a rotated token counts as due.
            let first = || seen.then(|| expiry.presentation(now, last_active_at, absolute_expires_at));
            let activity = match &next {
                Some(_) => Some(expiry.renewal(now, absolute_expires_at)),
                None => expiry.due(now, last_active_at, absolute_expires_at).or_else(first),
            };
            let data = taken.pending.as_ref().map(Pending::to_store);
            if data.is_none() && activity.is_none() && !always {
                return Ok(Stored::Done);
            }
            let rotation = next.as_ref().map(NextToken::rotation);
            let update = Update { data, activity, rotation, seen };
            match service.store.update(&caller, &update, now).await {
                Ok(Updated::Done { expires_at }) => {
                    let stored = taken.stored(activity.map(|activity| (activity, expires_at)))?;
                    if let Some(NextToken { token, .. }) = next {
                        self.lock().advance(Transition::Rotate { token, strict: false, at: now, expires_at });
                    }
                    return Ok(stored);
                }
                Ok(Updated::Gone) => {
                    let had_changes = taken.pending.take().is_some();
                    self.found_ended(id);
                    if had_changes {
                        service.emit(&Event::DataDropped { id });
                    }
                    let is_visitor = had_changes && caller.user_id.is_visitor();
                    return Ok(if is_visitor { Stored::VisitorEnded } else { Stored::Ended });
                }
                Ok(Updated::Superseded(row)) => {
                    let Some(NextToken { token, .. }) = next else {
                        return Err(taken.failed(service.failed(rotated_unasked())));
                    };
                    // All else was done.
                    let stored = taken.stored(activity.map(|activity| (activity, activity.expires_at)))?;
                    // By this request's own try, whose answer was lost; or by another request,
                    // which sends its token.
                    if row.token_hash.is_same(&token.hash()) {
                        let (at, expires_at) = (row.token_issued_at, row.expires_at);
                        self.lock().advance(Transition::Rotate { token, strict: false, at, expires_at });
                    }
                    return Ok(stored);
                }
                Ok(Updated::Conflict(fresh)) => {
                    let Some(pending) = &mut taken.pending else {
                        return Err(taken.failed(service.failed(conflict_without_data())));
                    };
                    match pending.fate(fresh.version) {
                        // The store should have reported this as done.
                        Fate::Made => return taken.stored(activity.map(|activity| (activity, fresh.expires_at))),
                        // The row still has the version that the write is based on: this try or an
                        // earlier one can still succeed.
                        Fate::Open => {
                            tokio::task::yield_now().await;
                            continue;
                        }
                        Fate::Unknown if pending.is_open() => return Err(taken.failed(service.failed(overwritten()))),
                        Fate::Never | Fate::Unknown => {}
                    }
                    match pending.rebase(&fresh.data, fresh.version, together) {
                        Ok(()) if queues && place.is_none() => place = service.write_queues.join(id).await,
                        Ok(()) => tokio::task::yield_now().await,
                        Err(Refusal::Change(error)) => return Err(taken.failed(error)),
                        Err(Refusal::Undecodable) => {
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
                            // From here on other requests wait, if they can: two writes before it
                            // is asked again would hide its outcome.
                            if queues && place.is_none() {
                                place = service.write_queues.start_queue(id);
                            }
                            continue;
                        }
                    }
                    if let Some(place) = &place {
                        place.dismiss_waiters();
                    }
                    return Err(taken.refused(error));
                }
            }
        }
        service.emit(&Event::Contention { id });
        Err(taken.contended())
    }

    /// Notes that changes are lost, and the status that says so.
    fn lose(&self, id: SessionId, status: u16) {
        let mut progress = self.lock();
        progress.failed_status = Some(status);
        if let Some(active) = progress.state.active_if(id) {
            active.view.discard();
        }
    }
}

/// Changes that were taken to be stored. They count as lost if this is dropped before the store has
/// answered.
pub(super) struct ChangesInFlight<'a> {
    pub(super) request: &'a Request,
    pub(super) id: SessionId,
    pub(super) pending: Option<Pending>,
}

impl ChangesInFlight<'_> {
    pub(super) fn stored(mut self, activity: Option<(Activity, time::OffsetDateTime)>) -> Result<Stored, Failure> {
        let pending = self.pending.take();
        if let Some((activity, expires_at)) = activity
            && let Some(active) = self.request.lock().state.active_if(self.id)
        {
            active.recorded(activity, expires_at);
        }
        let Some(pending) = pending else { return Ok(Stored::Done) };
        loop {
            let later = self.request.lock().state.active_if(self.id).and_then(|active| active.view.later(&pending));
            // Not under the lock: this runs the application's functions.
            let later = later.map(|later| pending.with(&later)).transpose().map_err(|error| {
                self.request.lose(self.id, error.status());
                Failure { error, only_activity: None }
            })?;
            let mut progress = self.request.lock();
            let Some(active) = progress.state.active_if(self.id) else { return Ok(Stored::Done) };
            if active.view.stored(&pending, later) {
                return Ok(Stored::Done);
            }
        }
    }

    /// The store failed. Changes that can still be stored stay pending, and a write that may have
    /// been stored keeps its identity.
    pub(super) fn refused(mut self, error: StoreError) -> Failure {
        let only_activity = self.pending.is_none().then_some(self.id);
        let is_open = self.pending.as_ref().is_some_and(Pending::is_open);
        let error = match error {
            // That the last try certainly changed nothing says nothing about the tries before.
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

    /// This write was certainly not stored and never will be. The changes stay pending.
    pub(super) fn put_back(mut self) {
        let Some(pending) = self.pending.take() else { return };
        if let Some(active) = self.request.lock().state.active_if(self.id) {
            active.view.not_stored(pending);
        }
    }

    /// Other requests were first at every try. The changes stay pending.
    fn contended(mut self) -> Failure {
        self.keep();
        Failure { error: Error::Contention, only_activity: None }
    }

    fn keep(&mut self) {
        let Some(pending) = self.pending.take() else { return };
        if let Some(active) = self.request.lock().state.active_if(self.id) {
            if pending.is_open() {
                active.view.left_open(pending);
            } else {
                active.view.not_stored(pending);
            }
        }
    }

    /// The changes can't be made, and none of them is stored.
    pub(super) fn failed(mut self, error: Error) -> Failure {
        self.lose(error.status());
        Failure { error, only_activity: None }
    }

    fn lose(&mut self, status: u16) {
        if self.pending.take().is_some() {
            self.request.lose(self.id, status);
        }
    }
}

impl Drop for ChangesInFlight<'_> {
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
