//! The guard that lets only signed-in users through, as a layer.

use crate::Session;
use crate::guard::GuardLayer;

session_core::require_sign_in! {
    /// Put it around routes with `route_layer`, inside the session's layer. A body that isn't
    /// Axum's own stays empty.
    ///
    /// ```
    /// use axum::{Router, body::Body, http::Request, routing::get};
    /// use session_axum::testing::SignedIn;
    /// use session_axum::{CookieSessionServiceExt, RequireSignIn, Session, SignIn};
    /// use tower::ServiceExt;
    /// # use session_axum::{CookieSessionService, KeyRing, MemoryStore, SessionConfig, SigningKey};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32])?);
    /// # let config = SessionConfig::builder().build(keys)?;
    /// # let service = CookieSessionService::new(MemoryStore::new(), config);
    /// let is_admin = |session: &Session| session.data["role"] == "admin";
    /// let admins = RequireSignIn::or_redirect("/sign-in").check(is_admin);
    /// let admin = Router::new().route("/users", get("all users")).route_layer(admins);
    /// let app = Router::new().nest("/admin", admin).layer(service.layer());
    ///
    /// let request = Request::get("/admin/users?page=2").body(Body::empty())?;
    /// let response = app.clone().oneshot(request).await?;
    /// assert_eq!(response.status(), 303);
    /// assert_eq!(response.headers()["location"], "/sign-in?next=/admin/users%3Fpage%3D2");
    ///
    /// let request = Request::get("/admin/users").signed_in(&service, "eve").await?;
    /// assert_eq!(app.clone().oneshot(request.body(Body::empty())?).await?.status(), 403);
    ///
    /// let admin = SignIn::new().data(serde_json::json!({"role": "admin"}));
    /// let request = Request::get("/admin/users").signed_in_with(&service, "ada", admin).await?;
    /// assert_eq!(app.oneshot(request.body(Body::empty())?).await?.status(), 200);
    /// # Ok(())
    /// # }
    /// ```
    GuardLayer
}
