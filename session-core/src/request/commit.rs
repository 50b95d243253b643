//! The end of a handler: which changes are stored, and what the response becomes if they can't be.
//! Not here: the response's headers, see `adapter`.
//!
//! This runs before the response head leaves, so a failure can still change the status. It can't
//! for what a handler does after that, in a stream or on a socket: there `save` returns the
//! failure.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::operation::Now;
use super::rotate::NextToken;
use super::state::State;
use super::taking::PutBack;
use super::{Permit, Request, Stored};
use crate::error::Error;
use crate::observe::event::Event;
use crate::store::{Activity, Update, Updated};

/// The status that the response must have instead, if there was a failure.
pub(crate) type Failed = Option<u16>;

impl Request {
    /// Ends the handler's part of a request, if its response needs nothing more from the store.
    /// None if it does.
    pub(crate) fn commit_at_once(self: &Arc<Self>, status: u16) -> Option<Failed> {
        // The response waits for operations that are awaited and for changes on their way to the
        // store, because it speaks for them. It doesn't wait for an operation that was given up,
        // which is settled without it, nor for activity, which can follow.
        let is_behind = match self.order.now() {
            Now::Free => false,
            Now::Abandoned => true,
            Now::Awaited => return None,
        };
        let mut progress = self.lock();
        let is_undecided = progress.in_flight || progress.unfetched_sign_in.is_some() || progress.has_unfetched_taken();
        if is_undecided || (progress.has_open() && !is_behind) {
            return None;
        }
        let is_failure = status >= 500 || progress.failed_status.is_some();
        let is_to_store = if is_failure { progress.has_taken() } else { progress.state.has_changes() };
        if is_to_store {
            return None;
        }
        let is_due = self.due_activity(&progress).is_some();
        let rotates = !is_failure && self.rotation_is_due(&progress);
        if (is_due || rotates) && !is_behind {
            return None;
        }
        progress.end_handler(status);
        progress.forget_taken();
        let lost = progress.failed_status;
        drop(progress);
        self.committed();
        if is_due {
            self.run_unawaited(Arc::clone(self).record_activity());
        }
        Some(lost)
    }

    /// The activity of this request, if it is worth a write.
    pub(super) fn due_activity(&self, progress: &super::Progress) -> Option<Activity> {
        let active = progress.state.active()?;
        let (record, now) = (&active.record, active.extracted_at);
        let expiry = self.service.config.expiry_of(&record.user_id);
        let presented = || expiry.presentation(now, record.last_active_at, record.absolute_expires_at);
        expiry
            .due(now, record.last_active_at, record.absolute_expires_at)
            .or_else(|| active.is_first_seen.then(presented))
    }

    /// Whether the token is to be replaced by the way: it is the session's current one, the browser
    /// is known to have it, and it is old.
    fn rotation_is_due(&self, progress: &super::Progress) -> bool {
        let Some(interval) = self.service.config.rotate_every else { return false };
        let State::Carried(active) = &progress.state else { return false };
        let (record, now) = (&active.record, active.extracted_at);
        let is_known =
            progress.presented.is_some() && !active.is_first_seen && active.token.is_same(&record.token_hash);
        is_known && now - record.token_issued_at >= interval
    }

    /// Waits for the operations before it, and stores what is pending.
    pub(crate) async fn commit(self: Arc<Self>, status: u16) -> Failed {
        let mut permit = Permit::of(&self).await;
        if self.has_open() {
            // If it can't be settled: the handler got an error when it was left open, and an event
            // reports it again.
            drop(self.settle().await);
        }
        let (lost, is_failure) = {
            let mut progress = self.lock();
            let due = if self.rotation_is_due(&progress) { progress.presented.take() } else { None };
            let (lost, is_failure) = (progress.failed_status, progress.end_handler(status));
            // Without randomness the next request tries again.
            let next = due.filter(|_| !is_failure).map(|token| NextToken::of(&token).inspect_err(Error::trace));
            progress.to_rotate = next.and_then(Result::ok);
            (lost, is_failure)
        };
        if is_failure && self.lock().has_taken() {
            permit = self.put_back_all(permit).await;
        }
        let failed = match self.store_changes(false).await {
            Ok(Stored::Done | Stored::Ended) => None,
            // An event has reported it.
            Ok(Stored::VisitorEnded) => Some(503),
            Err(failure) => match (failure.only_activity, failure.error) {
                (Some(id), Error::Store(error)) => {
                    self.service.emit(&Event::ActivityNotRecorded { id, error });
                    None
                }
                (_, error) => {
                    // The response has no body that could say it.
                    error.trace();
                    Some(error.status())
                }
            },
        };
        self.lock().to_rotate = None;
        if failed.is_some() {
            // The response says that they aren't stored, so they must not be stored later.
            self.lock().state.discard();
        }
        if failed.is_some() && self.lock().has_taken() {
            permit = self.put_back_all(permit).await;
        }
        self.lock().forget_taken();
        self.committed();
        drop(permit);
        failed.or(lost)
    }

    /// Puts back what was taken out, as no response shows it: in a task of its own, so that it is
    /// done even if the client hangs up meanwhile. An event reports a failure.
    async fn put_back_all(self: &Arc<Self>, permit: Permit) -> Permit {
        let (done, is_done) = oneshot::channel();
        let request = Arc::clone(self);
        self.run_unawaited(async move {
            drop(request.put_back(PutBack::All).await);
            let _ = done.send(());
        });
        drop(permit);
        // An error only if the runtime has ended.
        drop(is_done.await);
        Permit::of(self).await
    }

    /// Records the activity, and that the token was presented, when the commit doesn't.
    pub(super) async fn record_activity(self: Arc<Self>) {
        let service = &self.service;
        let (caller, update, activity) = {
            let progress = self.lock();
            let Some((active, activity)) = progress.state.active().zip(self.due_activity(&progress)) else { return };
            let update = Update { activity: Some(activity), seen: active.is_first_seen, ..Update::default() };
            (active.caller(service.config.rotation_grace), update, activity)
        };
        match service.store.update(&caller, &update, service.now()).await {
            Ok(Updated::Done { expires_at }) => {
                if let Some(active) = self.lock().state.active_if(caller.id) {
                    active.recorded(activity, expires_at);
                }
            }
            Ok(Updated::Gone | Updated::Conflict(_) | Updated::Superseded(_)) => {}
            Err(error) => service.emit(&Event::ActivityNotRecorded { id: caller.id, error }),
        }
    }
}

impl super::Progress {
    /// From now on no cookie can be sent. If the response is a failure, what is pending is dropped.
    /// Returns whether it is one.
    fn end_handler(&mut self, status: u16) -> bool {
        let is_failure = status >= 500 || self.failed_status.is_some();
        if is_failure {
            self.state.discard();
            self.discard_added();
        }
        self.close_head();
        is_failure
    }
}
