//! What an application needs to test its own handlers: a signed-in request in one line, and a store
//! that fails when a test says so. Only with the feature `testing`, which belongs into
//! `[dev-dependencies]`.

use actix_web::test::TestRequest;
pub use session_core::testing::{FailingStore, ManualClock};

use crate::{CookieSessionService, Result, SignIn};

/// Makes a request that is being built a signed-in one.
///
/// ```
/// use actix_web::test::{TestRequest, call_service, init_service, read_body};
/// use actix_web::{App, web::get};
/// use session_actix::testing::SignedIn;
/// use session_actix::{CookieSessionServiceExt, Session, SignIn};
/// # use session_actix::{CookieSessionService, KeyRing, MemoryStore, SessionConfig, SigningKey};
///
/// async fn me(session: Session) -> String {
///     format!("{} {}", session.user_id, session.data["role"])
/// }
///
/// # #[actix_web::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32])?);
/// # let config = SessionConfig::builder().build(keys)?;
/// # let service = CookieSessionService::new(MemoryStore::new(), config);
/// let app = init_service(App::new().route("/me", get().to(me)).wrap(service.middleware())).await;
///
/// let request = TestRequest::get().uri("/me").signed_in(&service, "ada").await?.to_request();
/// assert_eq!(read_body(call_service(&app, request).await).await, "ada null");
///
/// let admin = SignIn::new().data(serde_json::json!({"role": "admin"}));
/// let request = TestRequest::get().uri("/me").signed_in_with(&service, "ada", admin).await?;
/// let response = call_service(&app, request.to_request()).await;
/// assert_eq!(read_body(response).await, "ada \"admin\"");
/// # Ok(())
/// # }
/// ```
pub trait SignedIn: Sized {
    /// The request with the cookie of a new session of `user_id`.
    ///
    /// # Errors
    /// As [`CookieSessionService::issue`].
    fn signed_in(self, service: &CookieSessionService, user_id: &str) -> impl Future<Output = Result<Self>> {
        self.signed_in_with(service, user_id, SignIn::new())
    }

    /// The same for a sign-in with options, such as the session's first values.
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

impl SignedIn for TestRequest {
    async fn signed_in_with(self, service: &CookieSessionService, user: &str, options: SignIn) -> Result<Self> {
        Ok(self.insert_header(("cookie", service.issue_with(user, options).await?)))
    }
}
