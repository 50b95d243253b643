//! What the end of a handler means for the session: which changes are stored, what becomes of a response whose changes can't be.
//! Not here: the response's headers, see `adapter`.

use std::sync::Arc;

use super::{Permit, Request, Stored};
use crate::error::Error;
use crate::event::Event;
use crate::store::{Applied, Update};

/// What a response must be instead: the status of the failure, if there was one.
pub(crate) type Failed = Option<u16>;

impl Request {
    /// Ends the handler's part of a request that needs nothing from the store any more; none if it does.
    pub(crate) fn commit_at_once(&self, status: u16) -> Option<Failed> {
        if self.must_wait() {
            return None;
        }
        let mut progress = self.lock();
        // What was given up and is still under way settles itself.
        if progress.has_open() && !self.order.is_abandoned() {
            return None;
        }
        let is_failure = status >= 500 || progress.lost.is_some();
        let is_idle = progress.state.active().is_none_or(|active| {
            let (record, expiry) = (&active.record, &self.service.config.expiry);
            let due = expiry.due(active.extracted_at, record.last_active_at, record.absolute_expires_at);
            let has_changes = active.view.has_changes() && !is_failure;
            !has_changes && due.is_none() && !active.is_first_seen
        });
        if !is_idle {
            return None;
        }
        progress.end_handler(status);
        let lost = progress.lost;
        drop(progress);
        self.committed();
        Some(lost)
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

    /// Records that the token was presented, where no commit does.
    pub(super) async fn record_presentation(self: Arc<Self>) {
        let _permit = Permit::of(&self).await;
        let service = &self.service;
        let now = service.now();
        let (caller, activity) = {
            let progress = self.lock();
            let Some(active) = progress.state.active().filter(|active| active.is_first_seen) else { return };
            let record = &active.record;
            let expiry = &service.config.expiry;
            let activity = expiry.presentation(now, record.last_active_at, record.absolute_expires_at);
            (active.caller(service.config.rotation_grace), activity)
        };
        let update = Update { activity: Some(activity), seen: true, ..Update::default() };
        match service.store.apply(&caller, &update, now).await {
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
