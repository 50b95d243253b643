//! The application's user, as an extractor.

use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpRequest};

use crate::{CookieSession, Error, Result, Session};

session_core::user_types! {
    /// The type's [`State`](LoadUser::State) is what the app has as [`Data`]. An `Option` of it is
    /// none where it would be an error of any kind: to see the loader's, extract a `Result`.
    ///
    /// ```
    /// use std::collections::HashMap;
    ///
    /// use actix_web::test::{TestRequest, call_service, init_service, read_body};
    /// use actix_web::{App, web::{Data, get}};
    /// use session_actix::testing::SignedIn;
    /// use session_actix::{CookieSessionServiceExt, CurrentUser, Error, LoadUser, Session};
    /// # use session_actix::{CookieSessionService, KeyRing, MemoryStore, SessionConfig};
    /// # use session_actix::SigningKey;
    ///
    /// type Users = HashMap<String, User>;
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
    /// # #[actix_web::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32])?);
    /// # let config = SessionConfig::builder().build(keys)?;
    /// # let service = CookieSessionService::new(MemoryStore::new(), config);
    /// let users = Users::from([("1".to_owned(), User { name: "Ada".to_owned() })]);
    /// let app = App::new().route("/", get().to(hello)).wrap(service.middleware());
    /// let app = init_service(app.app_data(Data::new(users))).await;
    ///
    /// let request = TestRequest::get().signed_in(&service, "1").await?.to_request();
    /// assert_eq!(read_body(call_service(&app, request).await).await, "hello Ada");
    ///
    /// let request = TestRequest::get().signed_in(&service, "2").await?.to_request();
    /// let response = call_service(&app, request).await;
    /// assert_eq!(response.status(), 401, "there is no such user any more");
    /// # Ok(())
    /// # }
    /// ```
}

impl<U: LoadUser<Error: Into<actix_web::Error>>> FromRequest for CurrentUser<U> {
    type Error = actix_web::Error;
    type Future = Pin<Box<dyn Future<Output = actix_web::Result<Self>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let session = CookieSession::from_request(request, payload);
        let state = Data::from_request(request, payload);
        Box::pin(async move { Self::required(session.await, &*state.await?).await.map_err(Into::into) })
    }
}
