//! What the end of a handler means for the session: which changes are stored, what becomes of a response whose changes can't be.
//! Not here: the response's headers, see `adapter`.

use std::sync::Arc;

use super::operation::Now;
use super::{Permit, Request, Stored};
use crate::error::Error;
use crate::observe::event::Event;
use crate::store::{Activity, Applied, Update};

/// What a response must be instead: the status of the failure, if there was one.
pub(crate) type Failed = Option<u16>;

impl Request {
    /// Ends the handler's part of a request whose response needs nothing from the store any more; none if it does.
    pub(crate) fn commit_at_once(self: &Arc<Self>, status: u16) -> Option<Failed> {
        // What was given up and is still under way settles itself, and activity can follow it: the response waits for neither. It
        // waits for what a caller waits for, and for changes on their way, which it speaks for.
        let is_behind = match self.order.now() {
            Now::Free => false,
            Now::Abandoned => true,
            Now::Awaited => return None,
        };
        let mut progress = self.lock();
        let is_undecided = progress.in_flight || progress.unfetched_sign_in.is_some();
        if is_undecided || (progress.has_open() && !is_behind) {
            return None;
        }
        let is_failure = status >= 500 || progress.lost.is_some();
        let has_changes = progress.state.active().is_some_and(|active| active.view.has_changes());
        let is_due = self.due_activity(&progress).is_some();
        if (has_changes && !is_failure) || (is_due && !is_behind) {
            return None;
        }
        progress.end_handler(status);
        let lost = progress.lost;
        drop(progress);
        self.committed();
        if is_due {
            self.run_unawaited(Arc::clone(self).record_activity());
        }
        Some(lost)
    }

    /// The activity that this request is, if it is worth a write.
    fn due_activity(&self, progress: &super::Progress) -> Option<Activity> {
        let active = progress.state.active()?;
        let (record, expiry, now) = (&active.record, &self.service.config.expiry, active.extracted_at);
        let presented = || expiry.presentation(now, record.last_active_at, record.absolute_expires_at);
        expiry
            .due(now, record.last_active_at, record.absolute_expires_at)
            .or_else(|| active.is_first_seen.then(presented))
    }

    /// Waits for the operations that the response speaks for, and stores what is pending.
    pub(crate) async fn commit(self: Arc<Self>, status: u16) -> Failed {
        let _permit = Permit::of(&self).await;
        if self.has_open() {
            // What can't be settled was a failure to the handler when it was left open, and an event reports it again.
            drop(self.settle().await);
        }
        let lost = {
            let mut progress = self.lock();
            progress.end_handler(status);
            progress.lost
        };
        let failed = match self.store_changes(false).await {
            Ok(Stored::Done | Stored::Ended) => None,
            Err(failure) => match (failure.only_activity, failure.error) {
                (Some(id), Error::Store(error)) => {
                    self.service.tell(&Event::ActivityNotRecorded { id, error });
                    None
                }
                (_, error) => {
                    // The response has no body to say it in.
                    error.trace_program_fault();
                    Some(error.status())
                }
            },
        };
        if failed.is_some()
            && let Some(active) = self.lock().state.active_mut()
        {
            // The response says that they aren't stored.
            active.view.discard();
        }
        self.committed();
        failed.or(lost)
    }

    /// Records the activity, and that the token was presented, where no commit does.
    pub(super) async fn record_activity(self: Arc<Self>) {
        let service = &self.service;
        let (caller, update, activity) = {
            let progress = self.lock();
            let Some((active, activity)) = progress.state.active().zip(self.due_activity(&progress)) else { return };
            let update = Update { activity: Some(activity), seen: active.is_first_seen, ..Update::default() };
            (active.caller(service.config.rotation_grace), update, activity)
        };
        match service.store.apply(&caller, &update, service.now()).await {
            Ok(Applied::Done { expires_at }) => {
                if let Some(active) = self.lock().state.still(caller.id) {
                    active.recorded(activity, expires_at);
                }
            }
            Ok(Applied::Gone | Applied::Conflict(_) | Applied::Superseded(_)) => {}
            Err(error) => service.tell(&Event::ActivityNotRecorded { id: caller.id, error }),
        }
    }
}

impl super::Progress {
    /// From now on no cookie can follow; and what is pending is dropped, if the response isn't one that may store it.
    fn end_handler(&mut self, status: u16) {
        let is_failure = status >= 500 || self.lost.is_some();
        if is_failure && let Some(active) = self.state.active_mut() {
            active.view.discard();
        }
        self.close_head();
    }
}
