//! Signing out of the sessions that the request's cookies name, by whichever of their tokens, and
//! of all sessions of a user.

use std::sync::Arc;

use super::Request;
use crate::error::Result;
use crate::request::state::{Active, Transition};
use crate::store::{Checked, SessionKey};

impl Request {
    /// Ends every session that the request's cookies name, and the one that the request holds.
    pub(crate) async fn sign_out(self: Arc<Self>) -> Result<()> {
        let named = self.lock().named();
        self.end_each(&named).await?;
        self.signed_out(&named);
        Ok(())
    }

    /// Ends all sessions of the caller's user. Sessions of other users end as in
    /// [`sign_out`](Self::sign_out).
    pub(crate) async fn sign_out_everywhere(self: Arc<Self>) -> Result<()> {
        let service = &self.service;
        let (caller, named) = {
            let progress = self.lock();
            let caller = progress.state.signed_in().map(|active| active.caller(service.config.rotation_grace));
            (caller, progress.named())
        };
        let Some(caller) = caller else { return self.sign_out().await };
        let (own, others): (Vec<_>, Vec<_>) = named.iter().cloned().partition(|key| key.user_id == caller.user_id);
        self.end_each(&others).await?;
        let ended = service.store.end_all(&caller.user_id, None, Some(&caller), service.now()).await;
        if ended.map_err(|error| service.failed(error))? == Checked::CallerGone {
            // The caller's session has ended, or its token died. It may end what its cookies name,
            // and nothing else.
            self.end_each(&own).await?;
        }
        self.signed_out(&named);
        Ok(())
    }

    /// Called after an operation for any user has ended the sessions that `covers` accepts. If this
    /// request's session is among them, this is a sign-out too.
    pub(crate) async fn sign_out_if(&self, covers: impl Fn(&SessionKey) -> bool + Send) -> Result<()> {
        let named = {
            let progress = self.lock();
            if !progress.state.signed_in().map(Active::key).is_some_and(|own| covers(&own)) {
                return Ok(());
            }
            progress.named()
        };
        let others: Vec<_> = named.iter().filter(|key| !covers(key)).cloned().collect();
        self.end_each(&others).await?;
        self.signed_out(&named);
        Ok(())
    }

    /// Ends these sessions one after the other. The request's own is the last, so that a failure
    /// leaves it as it is.
    async fn end_each(&self, sessions: &[SessionKey]) -> Result<()> {
        let service = &self.service;
        for SessionKey { user_id, id } in sessions {
            let ended = service.store.end(user_id, *id, None, service.now()).await;
            ended.map_err(|error| service.failed(error))?;
        }
        Ok(())
    }

    fn signed_out(&self, sessions: &[SessionKey]) {
        let mut progress = self.lock();
        progress.also_named.clear();
        progress.presented = None;
        progress.advance(Transition::SignOut(sessions.iter().map(|key| key.id).collect()));
    }
}
