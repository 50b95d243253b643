//! Sessions as lists: the user's own devices, and those of any user.

use std::sync::Arc;

use super::CookieSession;
use crate::error::{Error, Result, StoreError};
use crate::model::session_id::SessionId;
use crate::model::snapshot::Session;
use crate::model::user_id::UserId;
use crate::request::Request;
use crate::service::CookieSessionService;
use crate::store::{Caller, Checked};

impl CookieSession {
    /// Ends all of the user's sessions but this one.
    ///
    /// # Errors
    /// - [`Error::NotAuthenticated`], 401: there is no session, it has ended, or its token was
    ///   replaced and no longer counts.
    /// - [`Error::Store`], 503.
    ///
    /// ```
    /// # session_core::__private::example(async |session| {
    /// session.authenticate("ada").await?;
    /// session.logout_other().await?;
    /// assert!(session.is_authenticated());
    /// # Ok(())
    /// # })
    /// ```
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

    /// The user's live sessions as stored, this one among them: most recently active first, and of
    /// equal ones the newest sign-in. The `data` of all others is `null`, as a stolen device must
    /// not read what the others keep.
    ///
    /// # Errors
    /// As [`logout_other`](Self::logout_other).
    ///
    /// ```
    /// # session_core::__private::example(async |session| {
    /// session.authenticate("ada").await?;
    /// let own = session.current().unwrap().id;
    /// assert_eq!(session.list_my_sessions().await?[0].id, own);
    /// # Ok(())
    /// # })
    /// ```
    pub async fn list_my_sessions(&self) -> Result<Vec<Session>> {
        self.0
            .run(|request| async move {
                let (service, caller) = (&request.service, caller(&request)?);
                let records = service.store.list(&caller.user_id, Some(&caller), service.now()).await;
                Ok(service.sessions(&checked(&request, records, caller.id)?, Some(&caller)))
            })
            .await
    }

    /// Ends one of the user's own sessions. For the current one it is a [`logout`](Self::logout).
    ///
    /// # Errors
    /// - [`Error::UnknownSession`], 404: the id is unknown, malformed or another user's.
    /// - Else as [`logout_other`](Self::logout_other).
    ///
    /// ```
    /// # session_core::__private::example(async |session| {
    /// session.authenticate("ada").await?;
    /// assert_eq!(session.revoke("unknown").await.unwrap_err().status(), 404);
    /// session.revoke(&session.current().unwrap().id).await?;
    /// assert!(!session.is_authenticated());
    /// # Ok(())
    /// # })
    /// ```
    pub async fn revoke(&self, id: &str) -> Result<()> {
        // What can't be an id is asked for all the same, so that a session that ended meanwhile is
        // a 401 then too.
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

    /// The live sessions of any user, each without its `data`, in the order of
    /// [`list_my_sessions`](Self::list_my_sessions). Check first that the caller may: nothing here
    /// asks who is signed in.
    ///
    /// # Errors
    /// [`Error::UserId`], 400; [`Error::Store`], 503.
    ///
    /// ```
    /// # session_core::__private::example(async |session| {
    /// session.authenticate("ada").await?;
    /// assert_eq!(session.list("ada").await?.len(), 1);
    /// assert!(session.list("bob").await?.is_empty());
    /// # Ok(())
    /// # })
    /// ```
    pub async fn list(&self, user_id: &str) -> Result<Vec<Session>> {
        let user = UserId::of_user(user_id)?;
        self.0
            .run(|request| async move {
                let (service, caller) = (&request.service, caller(&request).ok());
                let records = service.store.list(&user, None, service.now()).await;
                Ok(service.sessions(&service.unchecked(records)?, caller.as_ref()))
            })
            .await
    }

    /// Ends one session of any user. Check first that the caller may: nothing here asks who is
    /// signed in.
    ///
    /// # Errors
    /// [`Error::UnknownSession`], 404, if that user has no live session of that id;
    /// [`Error::UserId`], 400; [`Error::Store`], 503.
    ///
    /// ```
    /// # session_core::__private::example(async |session| {
    /// session.authenticate("ada").await?;
    /// let id = session.current().unwrap().id;
    /// assert_eq!(session.revoke_by_id("bob", &id).await.unwrap_err().status(), 404);
    /// session.revoke_by_id("ada", &id).await?;
    /// assert!(!session.is_authenticated(), "it was this request's own");
    /// # Ok(())
    /// # })
    /// ```
    pub async fn revoke_by_id(&self, user_id: &str, id: &str) -> Result<()> {
        let (user_id, id) = (user_id.to_owned(), id.to_owned());
        self.0
            .run(|request| async move {
                service(&request).revoke_by_id(&user_id, &id).await?;
                request.sign_out_if(|own| own.user_id.as_str() == user_id && own.id.to_string() == id).await
            })
            .await
    }

    /// Ends all sessions of any user. Check first that the caller may: nothing here asks who is
    /// signed in.
    ///
    /// # Errors
    /// [`Error::UserId`], 400; [`Error::Store`], 503.
    ///
    /// ```
    /// # session_core::__private::example(async |session| {
    /// session.authenticate("ada").await?;
    /// session.revoke_all("ada").await?;
    /// assert!(!session.is_authenticated());
    /// # Ok(())
    /// # })
    /// ```
    pub async fn revoke_all(&self, user_id: &str) -> Result<()> {
        let user_id = user_id.to_owned();
        self.0
            .run(|request| async move {
                service(&request).revoke_all(&user_id).await?;
                request.sign_out_if(|own| own.user_id.as_str() == user_id).await
            })
            .await
    }

    /// Ends all sessions of any user but one. A `keep_id` that isn't that user's keeps none. Check
    /// first that the caller may: nothing here asks who is signed in.
    ///
    /// # Errors
    /// [`Error::UserId`], 400; [`Error::Store`], 503.
    ///
    /// ```
    /// # session_core::__private::example(async |session| {
    /// session.authenticate("ada").await?;
    /// session.revoke_all_except("ada", &session.current().unwrap().id).await?;
    /// assert!(session.is_authenticated());
    /// # Ok(())
    /// # })
    /// ```
    pub async fn revoke_all_except(&self, user_id: &str, keep_id: &str) -> Result<()> {
        let (user_id, keep_id) = (user_id.to_owned(), keep_id.to_owned());
        self.0
            .run(|request| async move {
                service(&request).revoke_all_except(&user_id, &keep_id).await?;
                request.sign_out_if(|own| own.user_id.as_str() == user_id && own.id.to_string() != keep_id).await
            })
            .await
    }
}

fn service(request: &Request) -> CookieSessionService {
    CookieSessionService(Arc::clone(&request.service))
}

fn caller(request: &Request) -> Result<Caller> {
    let grace = request.service.config.rotation_grace;
    request.lock().state.signed_in().map(|active| active.caller(grace)).ok_or(Error::NotAuthenticated)
}

/// The result of an operation that checked this session in the same step.
fn checked<T>(request: &Request, result: Result<Checked<T>, StoreError>, own: SessionId) -> Result<T> {
    match result.map_err(|error| request.service.failed(error))? {
        Checked::Live(value) => Ok(value),
        Checked::CallerGone => Err(request.found_ended(own)),
    }
}
