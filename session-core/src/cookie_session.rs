//! The session of one request, as handlers use it. Leaves every decision to `state` and `data`, and storing what changed
//! to `request`.

use std::fmt;
use std::sync::{Arc, MutexGuard};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::changes::{Updater, running};
use crate::error::{Error, Result, StoreError};
use crate::event::Event;
use crate::request::{Attempt, Failure, Progress, Request, Stored, conflict_without_data};
use crate::service::{CookieSessionService, Inner};
use crate::session::{Data, Record, Session, SessionId};
use crate::sign_in::SignIn;
use crate::state::{Active, Did};
use crate::store::{Applied, Caller, Checked, Update};
use crate::token::SessionToken;
use crate::user_id::UserId;
use crate::values::{decode, encode, sign_in_data};

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
    pub async fn authenticate(&self, user_id: &str) -> Result<()> {
        self.authenticate_opts(user_id, SignIn::new()).await
    }

    /// Signs in with these values.
    pub async fn authenticate_with(&self, user_id: &str, data: Value) -> Result<()> {
        self.authenticate_opts(user_id, SignIn::new().data(data)).await
    }

    /// Signs in as these options say.
    pub async fn authenticate_opts(&self, user_id: &str, options: SignIn) -> Result<()> {
        let service = &self.0.service;
        let user = UserId::parse(user_id)?.with_shard();
        let data = match options.data {
            None => Data::from_text("{}"),
            Some(data) => sign_in_data(data, service.config.max_data_bytes)?,
        };
        let _turn = self.0.turn.lock().await;
        let (replaces, client) = {
            self.0.check_head()?;
            let progress = self.lock();
            (progress.state.active().map(Active::replaced), progress.client.info())
        };
        let now = service.now();
        let token = SessionToken::generate(&user)?;
        let (expires_at, absolute_expires_at) = service.config.expiry.of_sign_in(now);
        let record = Arc::new(Record {
            id: SessionId::new(now),
            user_id: user,
            token_hash: token.hash(),
            previous_token_hash: None,
            token_issued_at: now,
            token_seen: false,
            client: Arc::new(client),
            data,
            version: 0,
            persistent: !options.browser_session,
            created_at: now,
            authenticated_at: now,
            last_active_at: now,
            expires_at,
            absolute_expires_at,
        });
        let create = async {
            match service.store.create(&record, replaces.as_ref(), service.config.max_sessions, now).await {
                Ok(created) if created.evicted.is_empty() => Ok(()),
                Ok(created) => {
                    service.tell(&Event::Evicted { ids: created.evicted });
                    Ok(())
                }
                Err(error) => self.look_up_after(error, &token).await.map(drop),
            }
        };
        self.attempt(&token, None, create).await?;
        if let Err(error) = self.0.check_head() {
            // The head left in between: nobody will ever hold this session's token.
            let ended = service.store.end(&record.user_id, record.id, None, service.now()).await;
            ended.map_err(|error| service.failed(error))?;
            return Err(error);
        }
        self.advance(Did::SignIn { record, token });
        Ok(())
    }

    /// Stores pending changes now.
    pub async fn save(&self) -> Result<()> {
        match self.0.store_changes(true).await {
            Ok(Stored::Done) => Ok(()),
            Ok(Stored::Ended) => Err(Error::NotAuthenticated),
            Err(Failure { error: Error::Store(error), only_activity: Some(_) }) => Err(self.0.service.failed(error)),
            Err(failure) => Err(failure.error),
        }
    }

    /// Replaces the token.
    pub async fn rotate(&self) -> Result<()> {
        let service = &self.0.service;
        let _turn = self.0.turn.lock().await;
        let (caller, absolute_expires_at) = {
            self.0.check_head()?;
            let progress = self.lock();
            let active = progress.state.active().ok_or(Error::NotAuthenticated)?;
            (active.caller(), active.record.absolute_expires_at)
        };
        let now = service.now();
        let token = SessionToken::generate(&caller.user_id)?;
        let activity = service.config.expiry.renewal(now, absolute_expires_at);
        let update = Update { data: None, activity: Some(activity), rotate_to: Some(token.hash()) };
        let id = caller.id;
        let rotate = async {
            match service.store.apply(&caller, &update, now).await {
                Ok(Applied::Done { rotated: true, expires_at, .. }) => Ok(Some(expires_at)),
                // Another request rotated first: its response brings the new cookie.
                Ok(Applied::Done { rotated: false, .. }) => Ok(None),
                Ok(Applied::Gone) => {
                    self.advance(Did::FindEnded(id));
                    Err(Error::NotAuthenticated)
                }
                Ok(Applied::Conflict(_)) => Err(service.failed(conflict_without_data())),
                Err(error) => self.look_up_after(error, &token).await.map(|record| Some(record.expires_at)),
            }
        };
        if let Some(expires_at) = self.attempt(&token, Some(id), rotate).await? {
            self.advance(Did::Rotate { id, token, at: now, expires_at });
        }
        Ok(())
    }

    /// Ends this session.
    pub async fn logout(&self) -> Result<()> {
        let service = &self.0.service;
        let caller = self.caller();
        if let Ok(caller) = &caller {
            let ended = service.store.end(&caller.user_id, caller.id, None, service.now()).await;
            ended.map_err(|error| service.failed(error))?;
        }
        self.advance(Did::SignOut(caller.ok().map(|caller| caller.id)));
        Ok(())
    }

    /// Ends all of the user's sessions.
    pub async fn logout_all(&self) -> Result<()> {
        let service = &self.0.service;
        if let Ok(caller) = self.caller() {
            let ended = service.store.end_all(&caller.user_id, None, None, service.now()).await;
            ended.map_err(|error| service.failed(error))?;
        }
        self.advance(Did::SignOut(None));
        Ok(())
    }

    /// Ends all of the user's sessions but this one.
    pub async fn logout_other(&self) -> Result<()> {
        let service = &self.0.service;
        let caller = self.caller()?;
        let ended = service.store.end_all(&caller.user_id, Some(caller.id), Some(&caller), service.now()).await;
        self.checked(ended, caller.id).map(|_| ())
    }

    /// The user's live sessions.
    pub async fn list_my_sessions(&self) -> Result<Vec<Session>> {
        let service = &self.0.service;
        let caller = self.caller()?;
        let records = service.store.list(&caller.user_id, Some(&caller), service.now()).await;
        Ok(service.sessions(&self.checked(records, caller.id)?))
    }

    /// Ends one of the user's own sessions.
    pub async fn revoke(&self, id: &str) -> Result<()> {
        let service = &self.0.service;
        let caller = self.caller()?;
        // What can't be an id is asked for all the same, so that a session that ended meanwhile is told so.
        let id = id.parse().unwrap_or(SessionId::from_bytes([0; 16]));
        if id == caller.id {
            return self.logout().await;
        }
        let ended = service.store.end(&caller.user_id, id, Some(&caller), service.now()).await;
        if self.checked(ended, caller.id)? { Ok(()) } else { Err(Error::UnknownSession) }
    }

    /// Any user's live sessions.
    pub async fn list(&self, user_id: &str) -> Result<Vec<Session>> {
        self.service().list(user_id).await
    }

    /// Ends one session of any user.
    pub async fn revoke_by_id(&self, user_id: &str, id: &str) -> Result<()> {
        self.service().revoke_by_id(user_id, id).await?;
        self.sign_out_if(|own| own.user_id.as_str() == user_id && own.id.to_string() == id);
        Ok(())
    }

    /// Ends all sessions of any user.
    pub async fn revoke_all(&self, user_id: &str) -> Result<()> {
        self.service().revoke_all(user_id).await?;
        self.sign_out_if(|own| own.user_id.as_str() == user_id);
        Ok(())
    }

    /// Ends all sessions of any user but one.
    pub async fn revoke_all_except(&self, user_id: &str, keep_id: &str) -> Result<()> {
        self.service().revoke_all_except(user_id, keep_id).await?;
        self.sign_out_if(|own| own.user_id.as_str() == user_id && own.id.to_string() != keep_id);
        Ok(())
    }

    fn service(&self) -> CookieSessionService {
        CookieSessionService(Arc::clone(&self.0.service))
    }

    fn caller(&self) -> Result<Caller> {
        self.lock().state.active().map(Active::caller).ok_or(Error::NotAuthenticated)
    }

    fn sign_out_if(&self, covers: impl FnOnce(&Caller) -> bool) {
        if let Ok(own) = self.caller()
            && covers(&own)
        {
            self.advance(Did::SignOut(Some(own.id)));
        }
    }

    /// The result of an operation that checked this session in the same step.
    fn checked<T>(&self, result: Result<Checked<T>, StoreError>, own: SessionId) -> Result<T> {
        match result.map_err(|error| self.0.service.failed(error))? {
            Checked::Live(value) => Ok(value),
            Checked::CallerGone => {
                self.advance(Did::FindEnded(own));
                Err(Error::NotAuthenticated)
            }
        }
    }

    /// Notes that the store was asked for `token`, until it has answered: should the future be dropped before, the commit
    /// looks whether the token is valid, so that its cookie isn't lost.
    async fn attempt<T>(
        &self,
        token: &SessionToken,
        rotates: Option<SessionId>,
        operation: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.lock().attempt = Some(Attempt { token: token.clone(), rotates });
        let result = operation.await;
        self.lock().attempt = None;
        result
    }

    /// Where the outcome of issuing `token` is unknown, asks once whether the store has it.
    async fn look_up_after(&self, error: StoreError, token: &SessionToken) -> Result<Arc<Record>> {
        let service = &self.0.service;
        if matches!(error, StoreError::Unknown(_))
            && let Ok(Some(record)) = service.store.load(&[token.lookup()], service.now()).await
        {
            return Ok(record);
        }
        Err(service.failed(error))
    }

    fn values(&self) -> Result<Option<Arc<serde_json::Map<String, Value>>>> {
        let progress = self.lock();
        let Some(active) = progress.state.active() else { return Ok(None) };
        match active.view.values() {
            Ok(values) => Ok(Some(values)),
            Err(_) => Err(self.0.undecodable(progress)),
        }
    }

    fn advance(&self, did: Did) {
        self.0.advance(did);
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.0.lock()
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
