//! The application's user, as an extractor.

use axum::extract::{FromRef, FromRequestParts, OptionalFromRequestParts};
use axum::response::IntoResponse;
use http::request::Parts;

use crate::extract::required;
use crate::{CookieSession, Error, Result, Session};

session_core::user_types! {
    /// The type's [`State`](LoadUser::State) is the app's, or a part of it by
    /// [`FromRef`]. An `Option` of it is none where it would be a 401.
    ///
    /// ```
    /// use std::collections::HashMap;
    /// use std::sync::Arc;
    ///
    /// use axum::{Router, body::{Body, to_bytes}, http::Request, routing::get};
    /// use session_axum::testing::SignedIn;
    /// use session_axum::{CookieSessionServiceExt, CurrentUser, Error, LoadUser, Session};
    /// use tower::ServiceExt;
    /// # use session_axum::{CookieSessionService, KeyRing, MemoryStore, SessionConfig, SigningKey};
    ///
    /// type Users = Arc<HashMap<String, User>>;
    ///
    /// #[derive(Clone)]
    /// struct User {
    ///     name: String,
    /// }
    ///
    /// impl LoadUser for User {
    ///     type State = Users;
    ///     type Error = Error;
    ///
    ///     async fn load(session: &Session, users: &Users) -> Result<Option<Self>, Error> {
    ///         Ok(users.get(&session.user_id).cloned())
    ///     }
    /// }
    ///
    /// async fn hello(user: CurrentUser<User>) -> String {
    ///     format!("hello {}", user.name)
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32])?);
    /// # let config = SessionConfig::builder().build(keys)?;
    /// # let service = CookieSessionService::new(MemoryStore::new(), config);
    /// let users = Users::new([("1".to_owned(), User { name: "Ada".to_owned() })].into());
    /// let app = Router::new().route("/", get(hello)).layer(service.layer()).with_state(users);
    ///
    /// let request = Request::get("/").signed_in(&service, "1").await?.body(Body::empty())?;
    /// let response = app.clone().oneshot(request).await?;
    /// assert_eq!(to_bytes(response.into_body(), 100).await?, "hello Ada");
    ///
    /// let request = Request::get("/").signed_in(&service, "2").await?.body(Body::empty())?;
    /// assert_eq!(app.oneshot(request).await?.status(), 401, "there is no such user any more");
    /// # Ok(())
    /// # }
    /// ```
}

impl<S: Sync, U: LoadUser<State: FromRef<S>, Error: IntoResponse>> FromRequestParts<S> for CurrentUser<U> {
    type Rejection = U::Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, U::Error> {
        Self::required(required(parts).await, &U::State::from_ref(state)).await
    }
}

impl<S: Sync, U: LoadUser<State: FromRef<S>, Error: IntoResponse>> OptionalFromRequestParts<S> for CurrentUser<U> {
    type Rejection = U::Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, U::Error> {
        let Some(session) = CookieSession::of(parts).await? else { return Ok(None) };
        Self::of(&session, &U::State::from_ref(state)).await
    }
}
