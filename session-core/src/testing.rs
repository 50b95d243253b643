//! What an application needs to test its own handlers: a signed-in request in one line, and a store
//! that fails when a test says so. With [`ManualClock`] time passes without
//! waiting. Only with the feature `testing`, which belongs into `[dev-dependencies]`.

use crate::error::Result;
use crate::model::sign_in::SignIn;
use crate::request::handle::CookieSession;
use crate::request::state::CookieAction;
use crate::service::CookieSessionService;

pub mod intercept;

pub use crate::clock::ManualClock;
pub use intercept::FailingStore;

/// With the feature `testing`.
impl CookieSessionService {
    /// Signs `user_id` in without a request, and gives the cookie as the browser would send it:
    /// `name=value`. The session is a real row of the store, which ends as any other does.
    ///
    /// # Errors
    /// As [`CookieSession::authenticate`](crate::CookieSession::authenticate).
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::time::Duration;
    ///
    /// use session_core::testing::ManualClock;
    /// use session_core::{CookieSessionService, MemoryStore};
    /// # use session_core::{KeyRing, SessionConfig, SigningKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32])?);
    /// # let config = SessionConfig::builder().build(keys)?;
    /// let clock = Arc::new(ManualClock::default());
    /// let service = CookieSessionService::new(MemoryStore::new(), config);
    /// let service = service.with_clock(Arc::clone(&clock));
    /// let cookie = service.issue("ada").await?;
    /// assert!(cookie.starts_with("__Host-session="));
    /// assert_eq!(service.list("ada").await?.len(), 1);
    ///
    /// clock.advance(Duration::from_secs(8 * 24 * 3600));
    /// assert_eq!(service.list("ada").await?.len(), 0);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn issue(&self, user_id: &str) -> Result<String> {
        self.issue_with(user_id, SignIn::new()).await
    }

    /// The same for a sign-in with options, such as the session's first values.
    ///
    /// # Errors
    /// As [`CookieSession::authenticate_opts`](crate::CookieSession::authenticate_opts).
    ///
    /// ```
    /// # use session_core::{CookieSessionService, KeyRing, MemoryStore, SessionConfig, SigningKey};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32])?);
    /// # let config = SessionConfig::builder().build(keys)?;
    /// # let service = CookieSessionService::new(MemoryStore::new(), config);
    /// use session_core::SignIn;
    ///
    /// let admin = SignIn::new().data(serde_json::json!({"role": "admin"}));
    /// let cookie = service.issue_with("ada", admin).await?;
    /// let no_object = SignIn::new().data(1.into());
    /// assert_eq!(service.issue_with("ada", no_object).await.unwrap_err().status(), 400);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn issue_with(&self, user_id: &str, options: SignIn) -> Result<String> {
        let session = CookieSession::unloaded(&self.0);
        session.0.loaded.set(Ok(())).expect("it is new");
        session.authenticate_opts(user_id, options).await?;
        let progress = session.0.lock();
        let CookieAction::Send { token, .. } = progress.state.cookie(false) else {
            unreachable!("a sign-in that succeeded sends its cookie");
        };
        let value = self.0.config.cookie_keys.sign(token);
        let cookie = format!("{}={}", self.0.config.cookie_name(), value.as_str());
        drop(progress);
        session.0.close();
        Ok(cookie)
    }
}

/// Makes a request that is being built a signed-in one. An adapter whose framework has another
/// builder has a trait of this name for it.
///
/// ```
/// # use session_core::{CookieSessionService, KeyRing, MemoryStore, SessionConfig, SigningKey};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let config = SessionConfig::builder().build(KeyRing::new(SigningKey::from_bytes(&[7; 32])?))?;
/// # let service = CookieSessionService::new(MemoryStore::new(), config);
/// use http::Request;
/// use session_core::testing::SignedIn;
///
/// let request = Request::get("/me").signed_in(&service, "ada").await?.body(())?;
/// assert!(request.headers().contains_key("cookie"));
/// # Ok(())
/// # }
/// ```
#[cfg(feature = "http")]
pub trait SignedIn: Sized {
    /// The request with the cookie of a new session of `user_id`.
    ///
    /// # Errors
    /// As [`CookieSessionService::issue`].
    fn signed_in(self, service: &CookieSessionService, user_id: &str) -> impl Future<Output = Result<Self>> {
        self.signed_in_with(service, user_id, SignIn::new())
    }

    /// The same for a sign-in with options.
    ///
    /// # Errors
    /// As [`CookieSessionService::issue_with`].
    fn signed_in_with(
        self,
        service: &CookieSessionService,
        user_id: &str,
        options: SignIn,
    ) -> impl Future<Output = Result<Self>>;
}

#[cfg(feature = "http")]
impl SignedIn for http::request::Builder {
    async fn signed_in_with(self, service: &CookieSessionService, user_id: &str, options: SignIn) -> Result<Self> {
        Ok(self.header("cookie", service.issue_with(user_id, options).await?))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::config::SessionConfig;
    use crate::keys::{KeyRing, SigningKey};
    use crate::store::MemoryStore;

    #[tokio::test]
    async fn a_session_that_was_issued_is_left_as_a_response_leaves_it() {
        let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32]).unwrap());
        let config = SessionConfig::builder().cookie_name("__Host-mine").build(keys).unwrap();
        let events = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&events);
        let service = CookieSessionService::new(MemoryStore::new(), config)
            .with_observer(move |event| seen.lock().unwrap().push(format!("{event:?}")));
        let options = SignIn::new().data(serde_json::json!({"role": "admin"})).browser_session(true);
        let cookies = [service.issue("ada").await.unwrap(), service.issue_with("ada", options).await.unwrap()];
        assert!(cookies.iter().all(|cookie| cookie.starts_with("__Host-mine=")) && cookies[0] != cookies[1]);
        assert_eq!(service.list("ada").await.unwrap().len(), 2, "neither ends the other");
        assert_eq!(*events.lock().unwrap(), Vec::<String>::new());
    }
}
