//! What makes a session, stores it, replaces its token and ends it.

use serde_json::Value;

use super::CookieSession;
use crate::error::{Error, Result};
use crate::model::data::Data;
use crate::model::sign_in::{Keep, SignIn};
use crate::model::user_id::UserId;
use crate::request::{Failure, Request, Stored, Wanted};
use crate::values::json::{Values, first_values, sign_in_data};

impl CookieSession {
    /// Signs `user_id` in, after you have verified the user: a new session, with a new token and no
    /// data, whose cookie is sent with the response.
    ///
    /// The session that this request had ends in the same step (ASVS 5.0 7.2.4), and so does the
    /// user's least recently active one beyond `max_sessions_per_user`.
    ///
    /// # Errors
    /// - [`Error::UserId`], 400: empty, over 255 bytes, with a NUL, or one of a visitor, which
    ///   begins with `~visitor:`.
    /// - [`Error::Store`], 503: the session of before lives on, unless the outcome is unknown.
    /// - [`Error::HeadSent`], 500: the response head has left, so no cookie can follow.
    /// - [`Error::NoRandomness`], 500: the operating system gave no random bytes.
    ///
    /// ```
    /// # session_core::__private::example(async |session| {
    /// session.authenticate("ada").await?;
    /// assert_eq!(session.user_id().as_deref(), Some("ada"));
    /// assert_eq!(session.authenticate("").await.unwrap_err().status(), 400);
    /// assert!(session.is_authenticated(), "a refused sign-in changes nothing");
    /// # Ok(())
    /// # })
    /// ```
    #[doc(alias = "login")]
    pub async fn authenticate(&self, user_id: &str) -> Result<()> {
        self.authenticate_opts(user_id, SignIn::new()).await
    }

    /// Signs in with `data`, a JSON object, as the session's first values.
    ///
    /// # Errors
    /// As [`authenticate`](Self::authenticate), and [`Error::Data`]: 400 if `data` isn't an object
    /// or is nested too deep, 413 if it is too large.
    ///
    /// ```
    /// # session_core::__private::example(async |session| {
    /// session.authenticate_with("ada", serde_json::json!({"theme": "dark"})).await?;
    /// assert_eq!(session.get::<String>("theme")?.as_deref(), Some("dark"));
    /// # Ok(())
    /// # })
    /// ```
    pub async fn authenticate_with(&self, user_id: &str, data: Value) -> Result<()> {
        self.authenticate_opts(user_id, SignIn::new().data(data)).await
    }

    /// Signs in as `options` say: with first values, with values of the visitor who signs in, or
    /// with a cookie that the browser forgets when it is closed.
    ///
    /// # Errors
    /// As [`authenticate_with`](Self::authenticate_with).
    ///
    /// ```
    /// # session_core::__private::example(async |session| {
    /// session.authenticate_opts("ada", session_core::SignIn::new().browser_session(true)).await?;
    /// assert!(session.is_authenticated());
    /// # Ok(())
    /// # })
    /// ```
    pub async fn authenticate_opts(&self, user_id: &str, options: SignIn) -> Result<()> {
        let user = UserId::of_user(user_id)?.with_shard();
        let values = options.data.map(first_values).transpose()?.unwrap_or_default();
        let limit = self.0.service.config.max_data_bytes;
        let (data, values) = match options.keep {
            Keep::Nothing if values.is_empty() => (Data::empty(), values),
            Keep::Nothing => (sign_in_data(values, limit)?, Values::new()),
            Keep::Keys(_) | Keep::All => (sign_in_data(values.clone(), limit)?, values),
        };
        let wanted = Wanted { user, data, values, keep: options.keep, persistent: !options.browser_session };
        self.0.run(|request| request.sign_in(wanted)).await
    }

    /// Stores pending changes now, for handlers that outlive the response head. It asks the store
    /// in any case, and records activity that is due.
    ///
    /// # Errors
    /// - [`Error::NotAuthenticated`], 401: there is no session, it has ended, or its token was
    ///   replaced and no longer counts. (With [`Visitors`](crate::Visitors) there is nothing to
    ///   store for a visitor without values, and no error.)
    /// - [`Error::Store`] or [`Error::Contention`], 503. The changes may have been stored unless
    ///   the error says that they weren't.
    /// - [`Error::Store`] with `Corrupt`, 500: the session's data can't be decoded.
    /// - [`Error::Data`], 413, or an error of an `update`: the changes don't fit what others
    ///   stored.
    /// - [`Error::HeadSent`], 500: a visitor's first value, and the response head has left, so no
    ///   cookie can follow.
    ///
    /// ```
    /// # session_core::__private::example(async |session| {
    /// assert_eq!(session.save().await.unwrap_err().status(), 401);
    /// session.authenticate("ada").await?;
    /// session.set("progress", &50)?;
    /// session.save().await?;
    /// # Ok(())
    /// # })
    /// ```
    pub async fn save(&self) -> Result<()> {
        self.0
            .run(|request| async move {
                match request.store_changes(true).await {
                    Ok(Stored::Done) => Ok(()),
                    Ok(Stored::Ended) if request.is_new_visitor() => Ok(()),
                    Ok(Stored::Ended | Stored::VisitorEnded) => Err(Error::NotAuthenticated),
                    Err(Failure { error: Error::Store(error), only_activity: Some(_) }) => {
                        Err(request.service.failed(error))
                    }
                    Err(failure) => Err(failure.error),
                }
            })
            .await
    }

    /// Reads what the session holds now, without a write: the heartbeat of a handler that outlives
    /// the response head. It finds the session by its id, so it works however often the token was
    /// rotated in the meantime. What was set here and isn't stored yet stays on top.
    ///
    /// # Errors
    /// - [`Error::NotAuthenticated`], 401: there is no session, it has ended, or
    ///   [`rotate_strict`](Self::rotate_strict) was called for it in another request.
    /// - [`Error::Store`], 503: that is no sign-out.
    ///
    /// ```
    /// # session_core::__private::example(async |session| {
    /// session.authenticate("ada").await?;
    /// session.reload().await?;
    /// session.logout().await?;
    /// assert_eq!(session.reload().await.unwrap_err().status(), 401);
    /// # Ok(())
    /// # })
    /// ```
    pub async fn reload(&self) -> Result<()> {
        self.0.run(Request::reload).await
    }

    /// Replaces the token by its successor: id, user and data stay. The idle timeout starts anew,
    /// the absolute one doesn't.
    ///
    /// The old token works for `rotation_grace`, and beyond that until a request has presented the
    /// new one. So a response that is lost or late is no sign-out, and several rotations of one
    /// token give the same successor. After a change of privileges or of the password use
    /// [`rotate_strict`](Self::rotate_strict).
    ///
    /// # Errors
    /// - [`Error::NotAuthenticated`], 401: there is no session, it has ended, or its token was
    ///   replaced and no longer counts.
    /// - [`Error::Store`], 503.
    /// - [`Error::HeadSent`], 500: the response head has left, so no cookie can follow.
    /// - [`Error::NoRandomness`], 500: the operating system gave no random bytes.
    ///
    /// ```
    /// # session_core::__private::example(async |session| {
    /// session.authenticate("ada").await?;
    /// let id = session.current().unwrap().id;
    /// session.rotate().await?;
    /// assert_eq!(session.current().unwrap().id, id, "the same session, under another token");
    /// # Ok(())
    /// # })
    /// ```
    #[doc(alias = "cycle_id")]
    #[doc(alias = "renew")]
    #[doc(alias = "regenerate")]
    pub async fn rotate(&self) -> Result<()> {
        self.0.run(Request::rotate).await
    }

    /// Replaces the token by one that is no token's successor: all earlier tokens of this session
    /// are dead at once (ASVS 5.0 7.2.4), on open sockets too. If the response is lost, the browser
    /// is signed out.
    ///
    /// # Errors
    /// As [`rotate`](Self::rotate).
    ///
    /// ```
    /// # session_core::__private::example(async |session| {
    /// session.authenticate("ada").await?;
    /// session.rotate_strict().await?;
    /// assert!(session.is_authenticated());
    /// # Ok(())
    /// # })
    /// ```
    pub async fn rotate_strict(&self) -> Result<()> {
        self.0.run(Request::rotate_strict).await
    }

    /// Signs out: ends this session, and any other that a cookie of this request names, and removes
    /// the cookie. A token that was replaced in the meantime signs out too. Without a session it
    /// succeeds.
    ///
    /// # Errors
    /// [`Error::Store`], 503: the cookie stays.
    ///
    /// ```
    /// # session_core::__private::example(async |session| {
    /// session.authenticate("ada").await?;
    /// session.logout().await?;
    /// assert!(!session.is_authenticated());
    /// session.logout().await?;
    /// # Ok(())
    /// # })
    /// ```
    #[doc(alias = "flush")]
    #[doc(alias = "purge")]
    #[doc(alias = "destroy")]
    pub async fn logout(&self) -> Result<()> {
        self.0.run(Request::sign_out).await
    }

    /// Signs out everywhere: ends all of the user's sessions. Without a session it succeeds.
    ///
    /// # Errors
    /// As [`logout`](Self::logout).
    ///
    /// ```
    /// # session_core::__private::example(async |session| {
    /// session.authenticate("ada").await?;
    /// session.logout_all().await?;
    /// assert!(session.list("ada").await?.is_empty());
    /// # Ok(())
    /// # })
    /// ```
    pub async fn logout_all(&self) -> Result<()> {
        self.0.run(Request::sign_out_everywhere).await
    }
}
