//! The types of an adapter, written once. Not here: the framework's traits, which the adapter
//! implements for them.

/// Defines `CookieSession`, `CsrfToken`, `Flash`, `Session`, `Error` and `Result` in the crate that
/// calls it, so that it can implement its framework's traits for them. Each wraps the core's type
/// of that name.
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
        $crate::__csrf_token_type!();
        $crate::__flash_type!();

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

        impl $crate::adapter::FromSession for Session {
            fn from_session(session: $crate::CookieSession) -> $crate::Result<Self> {
                ::std::result::Result::Ok(session.signed_in()?.into())
            }
        }

        impl $crate::adapter::FromSession for CookieSession {
            fn from_session(session: $crate::CookieSession) -> $crate::Result<Self> {
                ::std::result::Result::Ok(session.into())
            }
        }

        /// `Result` with this crate's [`Error`].
        pub type Result<T, E = Error> = ::std::result::Result<T, E>;

        /// An error of a session operation, which is also a response: 401 without a session, 403
        /// for a wrong CSRF token, 404 for an unknown id, 400 for a bad user id or bad data, 413
        /// for too much of it, 503 if the store failed, else 500. The body is short and fixed for
        /// each status; `Display` says more, for logs, and holds no secret.
        pub struct Error {
            kind: $crate::Error,
            /// A framework may ask for the response of one error more than once.
            is_logged: ::std::sync::atomic::AtomicBool,
        }

        impl Error {
            /// The status of the response.
            pub const fn status(&self) -> u16 {
                self.kind.status()
            }

            /// What went wrong, to match on.
            pub const fn kind(&self) -> &$crate::Error {
                &self.kind
            }

            /// The parts of the response. What they hide is logged the first time.
            pub fn as_response(&self) -> $crate::ErrorResponse {
                $crate::__private::as_response(&self.kind, &self.is_logged)
            }
        }

        impl ::std::clone::Clone for Error {
            fn clone(&self) -> Self {
                let is_logged = self.is_logged.load(::std::sync::atomic::Ordering::Relaxed);
                Self { kind: self.kind.clone(), is_logged: is_logged.into() }
            }
        }

        impl ::std::fmt::Debug for Error {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Debug::fmt(&self.kind, f)
            }
        }

        impl ::std::fmt::Display for Error {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(&self.kind, f)
            }
        }

        impl ::std::error::Error for Error {
            fn source(&self) -> ::std::option::Option<&(dyn ::std::error::Error + 'static)> {
                ::std::error::Error::source(&self.kind)
            }
        }

        impl ::std::convert::From<$crate::Error> for Error {
            fn from(kind: $crate::Error) -> Self {
                Self { kind, is_logged: ::std::sync::atomic::AtomicBool::new(false) }
            }
        }

        /// The session of one request. Clones, and every extraction in the request, are the same
        /// one.
        ///
        /// Reading and setting values is done in memory. What was set is stored when the handler
        /// has returned, before the response head leaves. If it can't be stored, the response
        /// becomes an empty failure, mostly a 503. If the handler's own response is a 5xx, what
        /// was set is discarded. What makes, rotates or ends a session asks the store at once.
        ///
        /// The methods below are those of [the core's handle](::session_core::CookieSession), where
        /// each is documented in full, with its errors and an example; here they have this crate's
        /// types. The handle itself is what this dereferences to.
        #[derive(Debug, Clone)]
        pub struct CookieSession($crate::CookieSession);

        impl CookieSession {
            /// The active session as this request sees it; none without a sign-in.
            #[doc(alias = "session")]
            pub fn current(&self) -> ::std::option::Option<Session> {
                self.0.current().map(Session::from)
            }

            /// Whether there is an active session.
            pub fn is_authenticated(&self) -> bool {
                self.0.is_authenticated()
            }

            /// The id of the user who is signed in.
            pub fn user_id(&self) -> ::std::option::Option<::std::string::String> {
                self.0.user_id()
            }

            /// The value of `key`, if there is one.
            pub fn get<T: $crate::__private::DeserializeOwned>(&self, key: &str) -> Result<::std::option::Option<T>> {
                Ok(self.0.get(key)?)
            }

            /// Sets `key`; stored when the handler has returned.
            #[doc(alias = "insert")]
            pub fn set<T: $crate::__private::Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<()> {
                Ok(self.0.set(key, value)?)
            }

            /// Removes `key`; stored when the handler has returned.
            #[doc(alias = "remove")]
            pub fn remove_key(&self, key: &str) {
                self.0.remove_key(key);
            }

            /// Sets `key` to what `f` makes of its value, once, whatever other requests store
            /// meanwhile.
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

            /// Signs `user_id` in: a new session with a new token and no data.
            #[doc(alias = "login")]
            pub async fn authenticate(&self, user_id: &str) -> Result<()> {
                Ok(self.0.authenticate(user_id).await?)
            }

            /// Signs in with `data`, a JSON object, as the first values.
            pub async fn authenticate_with(&self, user_id: &str, data: $crate::__private::Value) -> Result<()> {
                Ok(self.0.authenticate_with(user_id, data).await?)
            }

            /// Signs in as `options` say.
            pub async fn authenticate_opts(&self, user_id: &str, options: $crate::SignIn) -> Result<()> {
                Ok(self.0.authenticate_opts(user_id, options).await?)
            }

            /// Stores pending changes now, for handlers that outlive the response head.
            pub async fn save(&self) -> Result<()> {
                Ok(self.0.save().await?)
            }

            /// Reads what the session holds now, without a write.
            pub async fn reload(&self) -> Result<()> {
                Ok(self.0.reload().await?)
            }

            /// Replaces the token by its successor; a lost response is no sign-out.
            #[doc(alias = "cycle_id")]
            #[doc(alias = "renew")]
            #[doc(alias = "regenerate")]
            pub async fn rotate(&self) -> Result<()> {
                Ok(self.0.rotate().await?)
            }

            /// Replaces the token, and ends all earlier ones of this session at once.
            pub async fn rotate_strict(&self) -> Result<()> {
                Ok(self.0.rotate_strict().await?)
            }

            /// Signs out: ends this session and removes the cookie.
            #[doc(alias = "flush")]
            #[doc(alias = "purge")]
            #[doc(alias = "destroy")]
            pub async fn logout(&self) -> Result<()> {
                Ok(self.0.logout().await?)
            }

            /// Signs out everywhere: ends all of the user's sessions.
            pub async fn logout_all(&self) -> Result<()> {
                Ok(self.0.logout_all().await?)
            }

            /// Ends all of the user's sessions but this one.
            #[doc(alias = "logout_others")]
            pub async fn logout_other(&self) -> Result<()> {
                Ok(self.0.logout_other().await?)
            }

            /// The user's live sessions, this one among them.
            pub async fn list_my_sessions(&self) -> Result<::std::vec::Vec<Session>> {
                Ok(self.0.list_my_sessions().await?.into_iter().map(Session::from).collect())
            }

            /// Ends one of the user's own sessions.
            pub async fn revoke(&self, id: &str) -> Result<()> {
                Ok(self.0.revoke(id).await?)
            }

            /// The live sessions of any user: check the rights of the caller first.
            pub async fn list(&self, user_id: &str) -> Result<::std::vec::Vec<Session>> {
                Ok(self.0.list(user_id).await?.into_iter().map(Session::from).collect())
            }

            /// Ends one session of any user: check the rights of the caller first.
            pub async fn revoke_by_id(&self, user_id: &str, id: &str) -> Result<()> {
                Ok(self.0.revoke_by_id(user_id, id).await?)
            }

            /// Ends all sessions of any user: check the rights of the caller first.
            pub async fn revoke_all(&self, user_id: &str) -> Result<()> {
                Ok(self.0.revoke_all(user_id).await?)
            }

            /// Ends all sessions of any user but one: check the rights of the caller first.
            pub async fn revoke_all_except(&self, user_id: &str, keep_id: &str) -> Result<()> {
                Ok(self.0.revoke_all_except(user_id, keep_id).await?)
            }
        }

        /// The core's handle of the same session.
        impl ::std::ops::Deref for CookieSession {
            type Target = $crate::CookieSession;

            fn deref(&self) -> &$crate::CookieSession {
                &self.0
            }
        }

        impl ::std::convert::From<$crate::CookieSession> for CookieSession {
            fn from(session: $crate::CookieSession) -> Self {
                Self(session)
            }
        }

        impl ::std::convert::From<CookieSession> for $crate::CookieSession {
            fn from(session: CookieSession) -> Self {
                session.0
            }
        }
    };
}
