//! The session of one request, as handlers use it. Not here: decisions (see `state`, `policy` and `values`), and what asks the store
//! (`request`).

use std::fmt;
use std::sync::{Arc, MutexGuard};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, Result, StoreError};
use crate::model::data::Data;
use crate::model::session_id::SessionId;
use crate::model::sign_in::SignIn;
use crate::model::snapshot::Session;
use crate::model::user_id::UserId;
use crate::request::{Failure, Progress, Request, Stored, Wanted};
use crate::service::{CookieSessionService, Inner};
use crate::store::{Caller, Checked};
use crate::values::changes::{Updater, running};
use crate::values::json::{decode, encode, sign_in_data};

/// The session of one request. Clones, and every extraction in the request, are the same one.
///
/// Reading and setting values is done in memory; what was set is stored when the handler has returned, before the
/// response head leaves. What ends, makes or rotates a session asks the store at once.
#[derive(Clone)]
pub struct CookieSession(pub(crate) Arc<Request>);

impl CookieSession {
    pub(crate) fn unloaded(service: &Arc<Inner>) -> Self {
        Self(Arc::new(Request::new(Arc::clone(service))))
    }

    /// The active session as this request sees it, its own changes included. Where its data can't be understood, that is
    /// `null`, and the response a 500 unless the request ends or replaces the session.
    #[doc(alias = "session")]
    pub fn current(&self) -> Option<Session> {
        let record = Arc::clone(&self.lock().state.active()?.record);
        let values = match self.values() {
            Ok(values) => values.map_or(Value::Null, |values| Value::Object((*values).clone())),
            // Noted for the response; the caller can still sign out.
            Err(_) => Value::Null,
        };
        Some(Session::of(&record, values))
    }

    /// As [`current`](Self::current), for extractors, which can refuse.
    ///
    /// # Errors
    /// 500 where the session's data can't be understood.
    pub fn snapshot(&self) -> Result<Option<Session>> {
        let values = self.values()?;
        Ok(self.current().filter(|_| values.is_some()))
    }

    /// As [`snapshot`](Self::snapshot), where somebody must be signed in.
    ///
    /// # Errors
    /// 401 where nobody is.
    pub fn signed_in(&self) -> Result<Session> {
        self.snapshot()?.ok_or(Error::NotAuthenticated)
    }

    /// Whether there is an active session.
    pub fn is_authenticated(&self) -> bool {
        self.lock().state.active().is_some()
    }

    /// Whose session it is.
    pub fn user_id(&self) -> Option<String> {
        self.lock().state.active().map(|active| active.record.user_id.as_str().to_owned())
    }

    /// The value of `key`.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        let Some(values) = self.values()? else { return Ok(None) };
        values.get(key).map(|value| decode(key, value)).transpose()
    }

    /// Sets `key`.
    #[doc(alias = "insert")]
    pub fn set<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<()> {
        running::check_may_change(&self.0)?;
        if !self.is_authenticated() {
            return Ok(());
        }
        let value = encode(key, value)?;
        let limit = self.0.service.config.max_data_bytes;
        let mut progress = self.lock();
        let Some(active) = progress.state.active_mut() else { return Ok(()) };
        match active.view.set(key, value, limit) {
            Ok(result) => Ok(result?),
            Err(_) => Err(self.0.undecodable(progress)),
        }
    }

    /// Removes `key`.
    #[doc(alias = "remove")]
    pub fn remove_key(&self, key: &str) {
        if running::check_may_change(&self.0).is_err() {
            // There is nothing to return it by; the update that this is called from fails.
            return;
        }
        let mut progress = self.lock();
        if let Some(active) = progress.state.active_mut()
            && active.view.remove(key).is_err()
        {
            // There is nothing to return it by; the response tells.
            drop(self.0.undecodable(progress));
        }
    }

    /// Sets `key` to what `f` makes of its value.
    pub fn update<T>(&self, key: &str, f: impl Fn(Option<T>) -> T + Send + Sync + 'static) -> Result<()>
    where
        T: Serialize + DeserializeOwned,
    {
        running::check_may_change(&self.0)?;
        let updater = Updater::new(&self.0, f);
        let limit = self.0.service.config.max_data_bytes;
        loop {
            let Some((id, edits)) = self.lock().state.active().map(|active| (active.record.id, active.view.edits()))
            else {
                return Ok(());
            };
            let Some(values) = self.values()? else { return Ok(()) };
            // Without the lock, as `f` may use this very session.
            let value = updater.run(key, values.get(key))?;
            drop(values);
            let mut progress = self.lock();
            if let Some(active) = progress.state.still(id)
                && active.view.edits() == edits
            {
                return match active.view.update(key, value, updater, limit) {
                    Ok(result) => Ok(result?),
                    Err(_) => Err(self.0.undecodable(progress)),
                };
            }
        }
    }

    /// Signs in with empty data.
    #[doc(alias = "login")]
    pub async fn authenticate(&self, user_id: &str) -> Result<()> {
        self.authenticate_opts(user_id, SignIn::new()).await
    }

    /// Signs in with these values.
    pub async fn authenticate_with(&self, user_id: &str, data: Value) -> Result<()> {
        self.authenticate_opts(user_id, SignIn::new().data(data)).await
    }

    /// Signs in as these options say.
    pub async fn authenticate_opts(&self, user_id: &str, options: SignIn) -> Result<()> {
        let user = UserId::parse(user_id)?.with_shard();
        let data = match options.data {
            None => Data::empty(),
            Some(data) => sign_in_data(data, self.0.service.config.max_data_bytes)?,
        };
        let wanted = Wanted { user, data, persistent: !options.browser_session };
        self.0.run(|request| request.sign_in(wanted)).await
    }

    /// Stores pending changes now.
    pub async fn save(&self) -> Result<()> {
        self.0
            .run(|request| async move {
                match request.store_changes(true).await {
                    Ok(Stored::Done) => Ok(()),
                    Ok(Stored::Ended) => Err(Error::NotAuthenticated),
                    Err(Failure { error: Error::Store(error), only_activity: Some(_) }) => {
                        Err(request.service.failed(error))
                    }
                    Err(failure) => Err(failure.error),
                }
            })
            .await
    }

    /// Takes over what the session holds now.
    pub async fn reload(&self) -> Result<()> {
        self.0.run(Request::reload).await
    }

    /// Replaces the token.
    #[doc(alias = "cycle_id")]
    #[doc(alias = "renew")]
    #[doc(alias = "regenerate")]
    pub async fn rotate(&self) -> Result<()> {
        self.0.run(Request::rotate).await
    }

    /// Replaces the token, and lets all before it die.
    pub async fn rotate_strict(&self) -> Result<()> {
        self.0.run(Request::rotate_strict).await
    }

    /// Ends this session.
    #[doc(alias = "flush")]
    #[doc(alias = "purge")]
    #[doc(alias = "destroy")]
    pub async fn logout(&self) -> Result<()> {
        self.0.run(Request::sign_out).await
    }

    /// Ends all of the user's sessions.
    pub async fn logout_all(&self) -> Result<()> {
        self.0.run(Request::sign_out_everywhere).await
    }

    /// Ends all of the user's sessions but this one.
    #[doc(alias = "logout_others")]
    pub async fn logout_other(&self) -> Result<()> {
        self.0
            .run(|request| async move {
                let (service, caller) = (&request.service, caller(&request)?);
                let ended = service.store.end_all(&caller.user_id, Some(caller.id), Some(&caller), service.now()).await;
                checked(&request, ended, caller.id).map(drop)
            })
            .await
    }

    /// The user's live sessions.
    pub async fn list_my_sessions(&self) -> Result<Vec<Session>> {
        self.0
            .run(|request| async move {
                let (service, caller) = (&request.service, caller(&request)?);
                let records = service.store.list(&caller.user_id, Some(&caller), service.now()).await;
                Ok(service.sessions(&checked(&request, records, caller.id)?, Some(&caller)))
            })
            .await
    }

    /// Ends one of the user's own sessions.
    pub async fn revoke(&self, id: &str) -> Result<()> {
        // What can't be an id is asked for all the same, so that a session that ended meanwhile is a 401 then too.
        let id = id.parse().unwrap_or(SessionId::from_bytes([0; 16]));
        self.0
            .run(|request| async move {
                let caller = caller(&request)?;
                if id == caller.id {
                    return request.sign_out().await;
                }
                let service = &request.service;
                let ended = service.store.end(&caller.user_id, id, Some(&caller), service.now()).await;
                if checked(&request, ended, caller.id)? { Ok(()) } else { Err(Error::UnknownSession) }
            })
            .await
    }

    /// Any user's live sessions.
    pub async fn list(&self, user_id: &str) -> Result<Vec<Session>> {
        let user = UserId::parse(user_id)?;
        self.0
            .run(|request| async move {
                let (service, caller) = (&request.service, caller(&request).ok());
                let records = service.store.list(&user, None, service.now()).await;
                Ok(service.sessions(&service.unchecked(records)?, caller.as_ref()))
            })
            .await
    }

    /// Ends one session of any user.
    pub async fn revoke_by_id(&self, user_id: &str, id: &str) -> Result<()> {
        let (user_id, id) = (user_id.to_owned(), id.to_owned());
        self.0
            .run(|request| async move {
                service(&request).revoke_by_id(&user_id, &id).await?;
                request.sign_out_if(|own| own.user_id.as_str() == user_id && own.id.to_string() == id).await
            })
            .await
    }

    /// Ends all sessions of any user.
    pub async fn revoke_all(&self, user_id: &str) -> Result<()> {
        let user_id = user_id.to_owned();
        self.0
            .run(|request| async move {
                service(&request).revoke_all(&user_id).await?;
                request.sign_out_if(|own| own.user_id.as_str() == user_id).await
            })
            .await
    }

    /// Ends all sessions of any user but one.
    pub async fn revoke_all_except(&self, user_id: &str, keep_id: &str) -> Result<()> {
        let (user_id, keep_id) = (user_id.to_owned(), keep_id.to_owned());
        self.0
            .run(|request| async move {
                service(&request).revoke_all_except(&user_id, &keep_id).await?;
                request.sign_out_if(|own| own.user_id.as_str() == user_id && own.id.to_string() != keep_id).await
            })
            .await
    }

    fn values(&self) -> Result<Option<Arc<serde_json::Map<String, Value>>>> {
        let progress = self.lock();
        let Some(active) = progress.state.active() else { return Ok(None) };
        match active.view.values() {
            Ok(values) => Ok(Some(values)),
            Err(_) => Err(self.0.undecodable(progress)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.0.lock()
    }
}

fn service(request: &Request) -> CookieSessionService {
    CookieSessionService(Arc::clone(&request.service))
}

fn caller(request: &Request) -> Result<Caller> {
    let grace = request.service.config.rotation_grace;
    request.lock().state.active().map(|active| active.caller(grace)).ok_or(Error::NotAuthenticated)
}

/// The result of an operation that checked this session in the same step.
fn checked<T>(request: &Request, result: Result<Checked<T>, StoreError>, own: SessionId) -> Result<T> {
    match result.map_err(|error| request.service.failed(error))? {
        Checked::Live(value) => Ok(value),
        Checked::CallerGone => Err(request.found_ended(own)),
    }
}

impl fmt::Debug for CookieSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let progress = self.lock();
        let id = progress.state.active().map(|active| active.record.id.to_string());
        f.debug_struct("CookieSession").field("id", &id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
