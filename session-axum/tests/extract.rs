//! An extractor of a type that is made of a session, as features and applications add them: one line.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::routing::{get, post};
use http::{Request, StatusCode};
use session_axum::{
    CookieSession, CookieSessionService, CookieSessionServiceExt, FromSession, KeyRing, MemoryStore, Result,
    SessionConfig, SigningKey, session_core,
};
use tower::ServiceExt;

struct Greeting(String);

impl FromSession for Greeting {
    fn from_session(session: session_core::CookieSession) -> session_core::Result<Self> {
        let user = session.signed_in()?.user_id;
        Ok(Self(format!("{} {user}", session.get::<String>("greeting")?.unwrap_or_else(|| "hello".to_owned()))))
    }
}

session_axum::extract!(Greeting);

async fn sign_in(session: CookieSession) -> Result<()> {
    session.authenticate("ada").await
}

async fn unreadable(session: CookieSession) -> Result<()> {
    session.authenticate("ada").await?;
    session.set("greeting", &7)
}

fn app() -> Router {
    let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32]).unwrap());
    let service = CookieSessionService::new(MemoryStore::new(), SessionConfig::builder().build(keys).unwrap());
    let optional = async |greeting: Option<Greeting>| greeting.map_or("nothing".to_owned(), |Greeting(text)| text);
    Router::new()
        .route("/", get(async |Greeting(text): Greeting| text))
        .route("/optional", get(optional))
        .route("/sign-in", post(sign_in))
        .route("/unreadable", post(unreadable))
        .layer(service.layer())
        .route("/unlayered", get(optional))
}

async fn answer(app: &Router, path: &str, cookie: &str) -> (StatusCode, String) {
    let request = Request::get(path).header("cookie", cookie).body(Body::empty()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let status = response.status();
    (status, String::from_utf8(to_bytes(response.into_body(), 1000).await.unwrap().to_vec()).unwrap())
}

async fn cookie(app: &Router, path: &str) -> String {
    let response = app.clone().oneshot(Request::post(path).body(Body::empty()).unwrap()).await.unwrap();
    response.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned()
}

#[tokio::test]
async fn a_type_that_is_made_of_a_session_is_extracted_by_one_line() {
    let app = app();
    assert_eq!(answer(&app, "/", "").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(answer(&app, "/optional", "").await.1, "nothing");
    assert_eq!(answer(&app, "/unlayered", "").await.1, "nothing");
    let ada = cookie(&app, "/sign-in").await;
    assert_eq!(answer(&app, "/", &ada).await.1, "hello ada");
    assert_eq!(answer(&app, "/optional", &ada).await.1, "hello ada");
    let unreadable = cookie(&app, "/unreadable").await;
    assert_eq!(answer(&app, "/optional", &unreadable).await.0, StatusCode::INTERNAL_SERVER_ERROR, "not as if absent");
}
