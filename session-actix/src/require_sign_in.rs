//! The guard that lets only signed-in users through, as a middleware.

use crate::Session;
use crate::guard::GuardMiddleware;

session_core::require_sign_in! {
    /// Wrap a scope or a resource in it, inside the session's middleware.
    ///
    /// ```
    /// use actix_web::test::{TestRequest, call_service, init_service};
    /// use actix_web::{App, web::{get, scope}};
    /// use session_actix::testing::SignedIn;
    /// use session_actix::{CookieSessionServiceExt, RequireSignIn, Session, SignIn};
    /// # use session_actix::{CookieSessionService, KeyRing, MemoryStore, SessionConfig};
    /// # use session_actix::SigningKey;
    ///
    /// # #[actix_web::main]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32])?);
    /// # let config = SessionConfig::builder().build(keys)?;
    /// # let service = CookieSessionService::new(MemoryStore::new(), config);
    /// let is_admin = |session: &Session| session.data["role"] == "admin";
    /// let admins = RequireSignIn::or_redirect("/sign-in").check(is_admin);
    /// let admin = scope("/admin").wrap(admins).route("/users", get().to(async || "all users"));
    /// let app = init_service(App::new().service(admin).wrap(service.middleware())).await;
    ///
    /// let request = TestRequest::get().uri("/admin/users?page=2").to_request();
    /// let response = call_service(&app, request).await;
    /// assert_eq!(response.status(), 303);
    /// let location = response.headers().get("location").unwrap();
    /// assert_eq!(location, "/sign-in?next=/admin/users%3Fpage%3D2");
    ///
    /// let request = TestRequest::get().uri("/admin/users").signed_in(&service, "eve").await?;
    /// assert_eq!(call_service(&app, request.to_request()).await.status(), 403);
    ///
    /// let admin = SignIn::new().data(serde_json::json!({"role": "admin"}));
    /// let request = TestRequest::get().uri("/admin/users");
    /// let request = request.signed_in_with(&service, "ada", admin).await?;
    /// assert_eq!(call_service(&app, request.to_request()).await.status(), 200);
    /// # Ok(())
    /// # }
    /// ```
    GuardMiddleware
}
