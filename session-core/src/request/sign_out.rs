//! Signing out: of the sessions that the request's cookies name, by whichever of their tokens, and of all of a user's.

use std::sync::Arc;

use super::Request;
use crate::error::Result;
use crate::request::state::{Active, Did};
use crate::store::{Checked, SessionKey};

impl Request {
    /// Ends every session that the request's cookies name, and the one that it holds.
    pub(crate) async fn sign_out(self: Arc<Self>) -> Result<()> {
        let named = self.lock().named();
        self.end_each(&named).await?;
        self.signed_out(&named);
        Ok(())
    }

    /// Ends all sessions of the user, and of any other user what [`sign_out`](Self::sign_out) ends.
    pub(crate) async fn sign_out_everywhere(self: Arc<Self>) -> Result<()> {
        let service = &self.service;
        let (caller, named) = {
            let progress = self.lock();
            let caller = progress.state.active().map(|active| active.caller(service.config.rotation_grace));
            (caller, progress.named())
        };
        let Some(caller) = caller else { return self.sign_out().await };
        let (own, others): (Vec<_>, Vec<_>) = named.iter().cloned().partition(|key| key.user_id == caller.user_id);
        self.end_each(&others).await?;
        let ended = service.store.end_all(&caller.user_id, None, Some(&caller), service.now()).await;
        if ended.map_err(|error| service.failed(error))? == Checked::CallerGone {
            // Its session was ended, or its token died: it may end what it names, and nothing else.
            self.end_each(&own).await?;
        }
        self.signed_out(&named);
        Ok(())
    }

    /// An operation for any user has ended the sessions that `covers` says. If this request's is among them it is a sign-out.
    pub(crate) async fn sign_out_if(&self, covers: impl Fn(&SessionKey) -> bool + Send) -> Result<()> {
        let named = {
            let progress = self.lock();
            if !progress.state.active().map(Active::key).is_some_and(|own| covers(&own)) {
                return Ok(());
            }
            progress.named()
        };
        let others: Vec<_> = named.iter().filter(|key| !covers(key)).cloned().collect();
        self.end_each(&others).await?;
        self.signed_out(&named);
        Ok(())
    }

    /// Ends these sessions one after the other; the request's own is the last, so that a failure leaves it as it is.
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
        progress.advance(Did::SignOut(sessions.iter().map(|key| key.id).collect()));
    }
}
