//! The types that an adapter gives its users, written out once. Leaves the framework's traits to the adapter.

/// Defines `CookieSession`, `CookieSessionService`, `Session`, `Error` and `Result` in the crate that calls it, so that
/// it can implement its framework's traits for them. Each is a thin coat over the core's type of that name.
///
/// ```
/// mod my_framework {
///     session_core::adapter_types!();
/// }
///
/// let error = my_framework::Error::from(session_core::Error::NotAuthenticated);
/// assert_eq!(error.status(), 401);
/// ```
#[macro_export]
macro_rules! adapter_types {
    () => {
        $crate::__session_type!();

        impl ::std::convert::From<$crate::Session> for Session {
            fn from(session: $crate::Session) -> Self {
                Self {
                    id: session.id,
                    user_id: session.user_id,
                    ip_address: session.ip_address,
                    user_agent: session.user_agent,
                    device_name: session.device_name,
                    device_type: session.device_type,
                    fingerprint: session.fingerprint,
                    data: session.data,
                    created_at: session.created_at,
                    last_active_at: session.last_active_at,
                    authenticated_at: session.authenticated_at,
                    expires_at: session.expires_at,
                }
            }
        }

        /// `Result` with this crate's [`Error`].
        pub type Result<T, E = Error> = ::std::result::Result<T, E>;

        /// An error of a session operation, which is also a response: 401 without a session, 404 for an unknown id, 400
        /// for a bad user id or bad data, 413 for too much of it, 503 if the store failed, else 500. The body is short
        /// and fixed for each status; `Display` says more, for logs, and holds no secret.
        #[derive(Clone)]
        pub struct Error($crate::Error);

        impl Error {
            /// The status of the response.
            pub const fn status(&self) -> u16 {
                self.0.status()
            }

            /// The core's error, to match on.
            pub const fn as_core(&self) -> &$crate::Error {
                &self.0
            }
        }

        impl ::std::fmt::Debug for Error {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Debug::fmt(&self.0, f)
            }
        }

        impl ::std::fmt::Display for Error {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(&self.0, f)
            }
        }

        impl ::std::error::Error for Error {
            fn source(&self) -> ::std::option::Option<&(dyn ::std::error::Error + 'static)> {
                ::std::error::Error::source(&self.0)
            }
        }

        impl ::std::convert::From<$crate::Error> for Error {
            fn from(error: $crate::Error) -> Self {
                Self(error)
            }
        }

        /// Sessions over one store under one configuration: made once, at the start. A clone is the same service.
        #[derive(Debug, Clone)]
        pub struct CookieSessionService($crate::CookieSessionService);

        impl CookieSessionService {
            /// A service over `store`.
            pub fn new(store: impl $crate::SessionStore, config: $crate::SessionConfig) -> Self {
                Self($crate::CookieSessionService::new(store, config))
            }

            /// The core's service, for its configuration. A clock or an observer is given to that before it becomes this one:
            /// `CookieSessionService::from(session_core::CookieSessionService::new(store, config).with_observer(…))`.
            pub const fn as_core(&self) -> &$crate::CookieSessionService {
                &self.0
            }

            /// The live sessions of any user: most recently active first, ties by newest sign-in.
            ///
            /// # Errors
            /// 400 for a bad user id, 503 if the store failed.
            pub async fn list(&self, user_id: &str) -> Result<::std::vec::Vec<Session>> {
                Ok(self.0.list(user_id).await?.into_iter().map(Session::from).collect())
            }

            /// Ends one session of any user.
            ///
            /// # Errors
            /// 404 if that user has no live session of that id, 400 for a bad user id, 503 if the store failed.
            pub async fn revoke_by_id(&self, user_id: &str, id: &str) -> Result<()> {
                Ok(self.0.revoke_by_id(user_id, id).await?)
            }

            /// Ends all sessions of any user.
            ///
            /// # Errors
            /// 400 for a bad user id, 503 if the store failed.
            pub async fn revoke_all(&self, user_id: &str) -> Result<()> {
                Ok(self.0.revoke_all(user_id).await?)
            }

            /// Ends all sessions of any user but one; a `keep_id` that isn't that user's keeps nothing.
            ///
            /// # Errors
            /// 400 for a bad user id, 503 if the store failed.
            pub async fn revoke_all_except(&self, user_id: &str, keep_id: &str) -> Result<()> {
                Ok(self.0.revoke_all_except(user_id, keep_id).await?)
            }

            /// Starts a task that deletes long-expired rows about every `interval`, until it is stopped or dropped.
            ///
            /// # Panics
            /// Outside a tokio runtime.
            pub fn spawn_cleanup(&self, interval: ::std::time::Duration) -> $crate::CleanupTask {
                self.0.spawn_cleanup(interval)
            }
        }

        impl ::std::convert::From<$crate::CookieSessionService> for CookieSessionService {
            fn from(service: $crate::CookieSessionService) -> Self {
                Self(service)
            }
        }

        /// The session of one request. Clones, and every extraction in the request, are the same one.
        ///
        /// Reading and setting values is done in memory. What was set is stored when the handler has returned, before
        /// the response head leaves; if it can't be stored, the response is an empty 503, and a 5xx response discards
        /// it. What makes, rotates or ends a session asks the store at once.
        #[derive(Debug, Clone)]
        pub struct CookieSession($crate::CookieSession);

        impl CookieSession {
            /// The core's handle of the same session.
            pub const fn as_core(&self) -> &$crate::CookieSession {
                &self.0
            }

            /// The active session as this request sees it, its own changes included; none if nobody is signed in.
            #[doc(alias = "session")]
            pub fn current(&self) -> ::std::option::Option<Session> {
                self.0.current().map(Session::from)
            }

            /// Whether somebody is signed in.
            pub fn is_authenticated(&self) -> bool {
                self.0.is_authenticated()
            }

            /// Whose session it is.
            pub fn user_id(&self) -> ::std::option::Option<::std::string::String> {
                self.0.user_id()
            }

            /// The value of `key`: `Ok(None)` if it is absent, or nobody is signed in.
            ///
            /// # Errors
            /// 500 if the value isn't a `T`, naming the key; what is stored stays.
            pub fn get<T: $crate::__private::DeserializeOwned>(&self, key: &str) -> Result<::std::option::Option<T>> {
                Ok(self.0.get(key)?)
            }

            /// Sets `key`, to be stored when the handler has returned. Of concurrent requests, those that set other keys
            /// all take effect, and for one key the last commit wins. Does nothing if nobody is signed in.
            ///
            /// # Errors
            /// 413 if the data would pass the configured size, 400 if the value is nested over 100 deep, 500 if it can't be
            /// written as JSON, such as a float that isn't finite; nothing changes then.
            #[doc(alias = "insert")]
            pub fn set<T: $crate::__private::Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<()> {
                Ok(self.0.set(key, value)?)
            }

            /// Removes `key`, as [`set`](Self::set) sets it.
            #[doc(alias = "remove")]
            pub fn remove_key(&self, key: &str) {
                self.0.remove_key(key);
            }

            /// Sets `key` to what `f` makes of its value, atomically: `f` runs now, and again at commit if another
            /// request changed the data first, so it should do nothing but compute. It may read this session. Does
            /// nothing, and doesn't run `f`, if nobody is signed in. It takes effect once, even if a connection breaks and the
            /// store asks its database again. After a 503 it may or may not have taken effect: a client that retries may count twice.
            ///
            /// # Errors
            /// As [`get`](Self::get) and [`set`](Self::set), and 500 if `f` sets, removes or updates a key of this session:
            /// nothing of that is kept, nor of the update. Where that shows at commit only, the response is a 500, and
            /// nothing of the request is stored.
            pub fn update<T>(
                &self,
                key: &str,
                f: impl Fn(::std::option::Option<T>) -> T + ::std::marker::Send + ::std::marker::Sync + 'static,
            ) -> Result<()>
            where
                T: $crate::__private::Serialize + $crate::__private::DeserializeOwned,
            {
                Ok(self.0.update(key, f)?)
            }

            /// Signs `user_id` in: a new session with a new token and no data, whose cookie goes with the response. A
            /// session that this request had ends in the same step (ASVS 5.0 7.2.4), and so does the user's least
            /// recently active one beyond the configured number.
            ///
            /// # Errors
            /// 400 for an empty user id, one over 255 bytes or with NUL; 503 if the store failed, and then the old
            /// session lives on; 500 once the response head has left.
            #[doc(alias = "login")]
            pub async fn authenticate(&self, user_id: &str) -> Result<()> {
                Ok(self.0.authenticate(user_id).await?)
            }

            /// Signs in with `data`, a JSON object, as the session's first values.
            ///
            /// # Errors
            /// As [`authenticate`](Self::authenticate), and 400 or 413 for the data.
            pub async fn authenticate_with(&self, user_id: &str, data: $crate::__private::Value) -> Result<()> {
                Ok(self.0.authenticate_with(user_id, data).await?)
            }

            /// Signs in as `options` say: data, and whether the browser forgets the cookie when it closes.
            ///
            /// # Errors
            /// As [`authenticate_with`](Self::authenticate_with).
            pub async fn authenticate_opts(&self, user_id: &str, options: $crate::SignIn) -> Result<()> {
                Ok(self.0.authenticate_opts(user_id, options).await?)
            }

            /// Stores pending changes now, for handlers that outlive the response head. It always asks the store, and
            /// records activity that is due.
            ///
            /// # Errors
            /// 401 without a session, if it ended meanwhile, or if its token was replaced and no longer counts; 503 if the
            /// store failed, 413 or 500 if the changes don't fit what others stored.
            pub async fn save(&self) -> Result<()> {
                Ok(self.0.save().await?)
            }

            /// Takes over what the session holds now, without a write: the heartbeat of a handler that outlives the response
            /// head. It asks by the session's id, so it works however often the token was rotated elsewhere meanwhile. What was
            /// set here and isn't saved yet stays on top.
            ///
            /// # Errors
            /// 401 without a session, if it ended, or after a [`rotate_strict`](Self::rotate_strict) elsewhere; 503 if the
            /// store failed.
            pub async fn reload(&self) -> Result<()> {
                Ok(self.0.reload().await?)
            }

            /// Replaces the token by its successor: id, user and data stay, the idle timeout starts anew, the absolute one
            /// doesn't. The old token works until a request has come with the new one, and for the configured grace after
            /// that; so a lost or late answer signs nobody out. Several rotations of one token give the same successor.
            ///
            /// After a change of privileges or of the password use [`rotate_strict`](Self::rotate_strict).
            ///
            /// # Errors
            /// 401 without a session, 503 if the store failed, 500 once the response head has left.
            #[doc(alias = "cycle_id")]
            #[doc(alias = "renew")]
            #[doc(alias = "regenerate")]
            pub async fn rotate(&self) -> Result<()> {
                Ok(self.0.rotate().await?)
            }

            /// Replaces the token by one that is no token's successor: all tokens of this session before it are dead at once
            /// (ASVS 5.0 7.2.4), on open sockets too. If this answer is lost the browser is signed out.
            ///
            /// # Errors
            /// As [`rotate`](Self::rotate).
            pub async fn rotate_strict(&self) -> Result<()> {
                Ok(self.0.rotate_strict().await?)
            }

            /// Signs out: ends this session, and any other that a cookie of this request names, and removes the cookie. A
            /// token that was replaced meanwhile signs out as well. Without a session it succeeds.
            ///
            /// # Errors
            /// 503 if the store failed; the cookie stays then.
            #[doc(alias = "flush")]
            #[doc(alias = "purge")]
            #[doc(alias = "destroy")]
            pub async fn logout(&self) -> Result<()> {
                Ok(self.0.logout().await?)
            }

            /// Signs out everywhere: ends all of the user's sessions. Without a session it succeeds.
            ///
            /// # Errors
            /// As [`logout`](Self::logout).
            pub async fn logout_all(&self) -> Result<()> {
                Ok(self.0.logout_all().await?)
            }

            /// Ends all of the user's sessions but this one.
            ///
            /// # Errors
            /// 401 without a session, or if it ended meanwhile; 503 if the store failed.
            #[doc(alias = "logout_others")]
            pub async fn logout_other(&self) -> Result<()> {
                Ok(self.0.logout_other().await?)
            }

            /// The user's live sessions, this one among them, as stored: most recently active first, ties by newest
            /// sign-in. The `data` of all others is `null`.
            ///
            /// # Errors
            /// As [`logout_other`](Self::logout_other).
            pub async fn list_my_sessions(&self) -> Result<::std::vec::Vec<Session>> {
                Ok(self.0.list_my_sessions().await?.into_iter().map(Session::from).collect())
            }

            /// Ends one of the user's own sessions. For the current one it is a [`logout`](Self::logout).
            ///
            /// # Errors
            /// 404 for an id that is unknown, malformed or another user's, else as
            /// [`logout_other`](Self::logout_other).
            pub async fn revoke(&self, id: &str) -> Result<()> {
                Ok(self.0.revoke(id).await?)
            }

            /// The live sessions of any user, each without its `data`: check first that the one who asks may see them.
            ///
            /// # Errors
            /// 400 for a bad user id, 503 if the store failed.
            pub async fn list(&self, user_id: &str) -> Result<::std::vec::Vec<Session>> {
                Ok(self.0.list(user_id).await?.into_iter().map(Session::from).collect())
            }

            /// Ends one session of any user: check first that the one who asks may.
            ///
            /// # Errors
            /// 404 if that user has no live session of that id, 400 for a bad user id, 503 if the store failed.
            pub async fn revoke_by_id(&self, user_id: &str, id: &str) -> Result<()> {
                Ok(self.0.revoke_by_id(user_id, id).await?)
            }

            /// Ends all sessions of any user: check first that the one who asks may.
            ///
            /// # Errors
            /// 400 for a bad user id, 503 if the store failed.
            pub async fn revoke_all(&self, user_id: &str) -> Result<()> {
                Ok(self.0.revoke_all(user_id).await?)
            }

            /// Ends all sessions of any user but one; a `keep_id` that isn't that user's keeps nothing.
            ///
            /// # Errors
            /// 400 for a bad user id, 503 if the store failed.
            pub async fn revoke_all_except(&self, user_id: &str, keep_id: &str) -> Result<()> {
                Ok(self.0.revoke_all_except(user_id, keep_id).await?)
            }
        }

        impl ::std::convert::From<$crate::CookieSession> for CookieSession {
            fn from(session: $crate::CookieSession) -> Self {
                Self(session)
            }
        }
    };
}
