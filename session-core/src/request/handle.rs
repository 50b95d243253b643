//! The session of one request, as handlers use it. Not here: decisions (see `state`, `policy` and
//! `values`), and how the larger operations ask the store (see the other files of `request`).

use std::fmt;
use std::sync::{Arc, MutexGuard};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::{SessionConfig, SessionConfigBuilder};
use crate::error::{Error, Result};
use crate::keys::{KeyRing, SigningKey};
use crate::model::record::Record;
use crate::model::snapshot::Session;
use crate::request::{Progress, Request};
use crate::service::{CookieSessionService, Shared};
use crate::store::MemoryStore;
use crate::values::changes::{Updater, running};
use crate::values::json::{Values, decode, encode};
use crate::values::view::Refusal;
use crate::visitor::Visitors;

mod devices;
mod sign_in;

/// The session of one request. Clones, and every extraction in the request, are the same one.
///
/// Reading and setting values is done in memory; what was set is stored when the handler has
/// returned, before the response head leaves. What ends, makes or rotates a session asks the store
/// at once.
#[derive(Clone)]
pub struct CookieSession(pub(crate) Arc<Request>);

impl CookieSession {
    pub(crate) fn unloaded(service: &Arc<Shared>) -> Self {
        Self(Arc::new(Request::new(Arc::clone(service))))
    }

    /// The active session as this request sees it, with its own changes; none without a
    /// sign-in.
    ///
    /// If the data can't be decoded, `data` is `null`, and the response is a 500 unless the request
    /// ends or replaces the session.
    ///
    /// ```
    /// # session_core::__private::example(async |session| {
    /// assert!(session.current().is_none());
    /// session.authenticate("ada").await?;
    /// session.set("theme", "dark")?;
    /// assert_eq!(session.current().unwrap().data["theme"], "dark");
    /// # Ok(())
    /// # })
    /// ```
    #[doc(alias = "session")]
    pub fn current(&self) -> Option<Session> {
        let (record, values) = self.row()?;
        // What can't be understood is noted for the response; the caller can still sign out.
        Some(Session::of(&record, values.map_or(Value::Null, |values| Value::Object((*values).clone()))))
    }

    /// As [`current`](Self::current), for extractors, which can refuse a request.
    ///
    /// # Errors
    /// [`Error::Store`] with `Corrupt`, 500: the session's data can't be decoded.
    ///
    /// ```
    /// # session_core::__private::example(async |session| {
    /// assert!(session.snapshot()?.is_none());
    /// # Ok(())
    /// # })
    /// ```
    pub fn snapshot(&self) -> Result<Option<Session>> {
        let Some((record, values)) = self.row() else { return Ok(None) };
        Ok(Some(Session::of(&record, Value::Object((*values?).clone()))))
    }

    /// As [`snapshot`](Self::snapshot), for handlers that need a sign-in.
    ///
    /// # Errors
    /// [`Error::NotAuthenticated`], 401, without a session; else as [`snapshot`](Self::snapshot).
    ///
    /// ```
    /// # session_core::__private::example(async |session| {
    /// assert_eq!(session.signed_in().unwrap_err().status(), 401);
    /// session.authenticate("ada").await?;
    /// assert_eq!(session.signed_in()?.user_id, "ada");
    /// # Ok(())
    /// # })
    /// ```
    pub fn signed_in(&self) -> Result<Session> {
        self.snapshot()?.ok_or(Error::NotAuthenticated)
    }

    /// Whether there is an active session.
    ///
    /// ```
    /// # session_core::__private::example(async |session| {
    /// assert!(!session.is_authenticated());
    /// session.authenticate("ada").await?;
    /// assert!(session.is_authenticated());
    /// # Ok(())
    /// # })
    /// ```
    pub fn is_authenticated(&self) -> bool {
        self.lock().state.signed_in().is_some()
    }

    /// The id of the user who is signed in.
    ///
    /// ```
    /// # session_core::__private::example(async |session| {
    /// session.authenticate("ada").await?;
    /// assert_eq!(session.user_id().as_deref(), Some("ada"));
    /// # Ok(())
    /// # })
    /// ```
    pub fn user_id(&self) -> Option<String> {
        self.lock().state.signed_in().map(|active| active.record.user_id.as_str().to_owned())
    }

    /// The id of the visitor, who hasn't signed in and has values: see
    /// [`Visitors`](crate::Visitors). It stays the same until a sign-in or a sign-out. None for
    /// users, and for visitors without values.
    ///
    /// ```
    /// # session_core::__private::visiting(async |session| {
    /// assert_eq!(session.visitor_id(), None);
    /// session.set("theme", "dark")?;
    /// assert!(session.visitor_id().is_some() && !session.is_authenticated());
    /// session.authenticate("ada").await?;
    /// assert_eq!(session.visitor_id(), None);
    /// # Ok(())
    /// # })
    /// ```
    pub fn visitor_id(&self) -> Option<String> {
        self.lock().state.visitor().map(|active| active.record.id.to_string())
    }

    /// The value of `key`, with this request's own changes: `Ok(None)` if there is none, or no
    /// session.
    ///
    /// # Errors
    /// - [`Error::WrongType`], 500: the value isn't a `T`. It stays as it is.
    /// - [`Error::Store`] with `Corrupt`, 500: the session's data can't be decoded.
    ///
    /// ```
    /// # session_core::__private::example(async |session| {
    /// session.authenticate("ada").await?;
    /// session.set("visits", &3)?;
    /// assert_eq!(session.get::<u64>("visits")?, Some(3));
    /// assert_eq!(session.get::<u64>("absent")?, None);
    /// assert_eq!(session.get::<String>("visits").unwrap_err().status(), 500);
    /// # Ok(())
    /// # })
    /// ```
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        let Some(values) = self.values()? else { return Ok(None) };
        values.get(key).map(|value| decode(key, value)).transpose()
    }

    /// Sets `key`, in memory: it is stored when the handler has returned, before the response head
    /// leaves. If it can't be stored then, the response becomes an empty failure: a 503, or a 413
    /// if the data is too large together with what other requests stored. If the handler's own
    /// response is a 5xx, the change is discarded.
    ///
    /// Concurrent requests that set different keys all take effect. For one key the last commit
    /// wins: see [`update`](Self::update). Without a sign-in, and without
    /// [`Visitors`](crate::Visitors), it does nothing but log a warning.
    ///
    /// # Errors
    /// Nothing changes after one.
    /// - [`DataError::TooLarge`](crate::DataError), 413: the data would be over `max_data_bytes`.
    /// - [`DataError::TooDeep`](crate::DataError), 400: the value is nested over 100 deep.
    /// - [`DataError::Unencodable`](crate::DataError), 500: its `Serialize` fails, or a float in it
    ///   isn't finite.
    /// - [`Error::UpdateChangesSession`], 500: called by the function of an `update` of this
    ///   session.
    ///
    /// ```
    /// # session_core::__private::example(async |session| {
    /// session.authenticate("ada").await?;
    /// session.set("theme", "dark")?;
    /// session.set("cart", &["tea", "milk"])?;
    /// assert_eq!(session.get::<Vec<String>>("cart")?.unwrap().len(), 2);
    /// assert_eq!(session.set("theme", &f64::NAN).unwrap_err().status(), 500);
    /// assert_eq!(session.get::<String>("theme")?.as_deref(), Some("dark"));
    /// # Ok(())
    /// # })
    /// ```
    #[doc(alias = "insert")]
    pub fn set<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<()> {
        running::check_may_change(&self.0)?;
        if !self.0.can_change(key)? {
            return Ok(());
        }
        let value = encode(key, value)?;
        let mut progress = self.lock();
        let Some(active) = progress.state.active_mut() else { return Ok(()) };
        let limit = self.0.service.config.max_data_bytes_of(&active.record.user_id);
        match active.view.set(key, value, limit) {
            Ok(()) => Ok(()),
            Err(Refusal::Change(error)) => Err(error),
            Err(Refusal::Undecodable) => Err(self.0.undecodable(progress)),
        }
    }

    /// Removes `key`, in memory. The removal is stored as a [`set`](Self::set) is. An absent key is
    /// no change.
    ///
    /// ```
    /// # session_core::__private::example(async |session| {
    /// session.authenticate("ada").await?;
    /// session.set("theme", "dark")?;
    /// session.remove_key("theme");
    /// assert_eq!(session.get::<String>("theme")?, None);
    /// # Ok(())
    /// # })
    /// ```
    #[doc(alias = "remove")]
    pub fn remove_key(&self, key: &str) {
        if running::check_may_change(&self.0).is_err() {
            // This method can't return the error; the update that it is called from fails.
            return;
        }
        let mut progress = self.lock();
        if let Some(active) = progress.state.active_mut()
            && active.view.remove(key).is_err()
        {
            // This method can't return the error; the response becomes a 500.
            drop(self.0.undecodable(progress));
        }
    }

    /// Sets `key` to what `f` makes of its value, atomically: no concurrent update of it is lost.
    ///
    /// `f` runs now, and again at the commit if another request stored first, so it should only
    /// compute. It may read this session. The update takes effect once, even where a connection
    /// breaks and the store repeats the write. After a 503 it may have taken effect or not, so a
    /// client that retries may count twice. Without a sign-in, and without
    /// [`Visitors`](crate::Visitors), nothing happens but a warning in the log, and `f` doesn't
    /// run. It may run again, so it clones what it keeps.
    ///
    /// # Errors
    /// As [`get`](Self::get) and [`set`](Self::set); [`Error::UpdateChangesSession`], 500, if `f`
    /// sets, removes or updates a key of this session. If a later run of `f` fails, the response
    /// has the status of that error, and nothing of the request is stored.
    ///
    /// ```
    /// # session_core::__private::example(async |session| {
    /// session.authenticate("ada").await?;
    /// session.update("visits", |visits: Option<u64>| visits.unwrap_or(0) + 1)?;
    /// session.update("visits", |visits: Option<u64>| visits.unwrap_or(0) + 1)?;
    /// assert_eq!(session.get::<u64>("visits")?, Some(2));
    /// # Ok(())
    /// # })
    /// ```
    pub fn update<T>(&self, key: &str, f: impl Fn(Option<T>) -> T + Send + Sync + 'static) -> Result<()>
    where
        T: Serialize + DeserializeOwned,
    {
        running::check_may_change(&self.0)?;
        let updater = Updater::new(&self.0, f);
        loop {
            let seen = self.lock().state.active().map(|active| (active.record.id, active.view.edits()));
            let Some((id, edits)) = seen else {
                if self.0.can_change(key)? {
                    continue;
                }
                return Ok(());
            };
            let Some(values) = self.values()? else { return Ok(()) };
            // Without the lock, as `f` may use this very session.
            let value = updater.run(key, values.get(key))?;
            drop(values);
            let mut progress = self.lock();
            if let Some(active) = progress.state.active_if(id)
                && active.view.edits() == edits
            {
                let limit = self.0.service.config.max_data_bytes_of(&active.record.user_id);
                return match active.view.update(key, value, updater, limit) {
                    Ok(()) => Ok(()),
                    Err(Refusal::Change(error)) => Err(error),
                    Err(Refusal::Undecodable) => Err(self.0.undecodable(progress)),
                };
            }
        }
    }

    /// The signed-in user's row and values, of one moment.
    fn row(&self) -> Option<(Arc<Record>, Result<Arc<Values>>)> {
        let progress = self.lock();
        progress.state.signed_in()?;
        self.any_row(progress)
    }

    /// The row and values of a user or a visitor.
    fn any_row(&self, progress: MutexGuard<'_, Progress>) -> Option<(Arc<Record>, Result<Arc<Values>>)> {
        let active = progress.state.active()?;
        let record = Arc::clone(&active.record);
        Some((record, active.view.values().map_err(|_| self.0.undecodable(progress))))
    }

    fn values(&self) -> Result<Option<Arc<Values>>> {
        self.any_row(self.lock()).map(|(_, values)| values).transpose()
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.0.lock()
    }
}

/// Runs an example of the documentation with a request's session, over a store in memory.
///
/// # Panics
/// If the example fails.
#[doc(hidden)]
pub fn example(run: impl AsyncFnOnce(CookieSession) -> Result<()>) {
    run_example(SessionConfig::builder(), run);
}

/// The same, with visitors.
///
/// # Panics
/// If the example fails.
#[doc(hidden)]
pub fn visiting(run: impl AsyncFnOnce(CookieSession) -> Result<()>) {
    run_example(SessionConfig::builder().visitors(Visitors::new()), run);
}

fn run_example(config: SessionConfigBuilder, run: impl AsyncFnOnce(CookieSession) -> Result<()>) {
    let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32]).expect("32 bytes"));
    let config = config.build(keys).expect("the settings are valid");
    let session = CookieSession::unloaded(&CookieSessionService::new(MemoryStore::new(), config).0);
    session.0.loaded.set(Ok(())).expect("it is new");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(run(session)).expect("the example works");
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
