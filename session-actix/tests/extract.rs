//! An extractor of a type that is made of a session, as features and applications add them: one line.

use actix_web::App;
use actix_web::http::StatusCode;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::web::{get, post, scope};
use session_actix::{
    CookieSession, CookieSessionService, CookieSessionServiceExt, FromSession, KeyRing, MemoryStore, Result,
    SessionConfig, SigningKey, session_core,
};

struct Greeting(String);

impl FromSession for Greeting {
    fn from_session(session: session_core::CookieSession) -> session_core::Result<Self> {
        let user = session.signed_in()?.user_id;
        Ok(Self(format!("{} {user}", session.get::<String>("greeting")?.unwrap_or_else(|| "hello".to_owned()))))
    }
}

session_actix::extract!(Greeting);

async fn sign_in(session: CookieSession) -> Result<String> {
    session.authenticate("ada").await?;
    Ok(String::new())
}

async fn greet(greeting: Greeting) -> String {
    greeting.0
}

async fn optional(greeting: Option<Greeting>) -> String {
    greeting.map_or("nothing".to_owned(), |greeting| greeting.0)
}

#[actix_web::test]
async fn a_type_that_is_made_of_a_session_is_extracted_by_one_line() {
    let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32]).unwrap());
    let service = CookieSessionService::new(MemoryStore::new(), SessionConfig::builder().build(keys).unwrap());
    let layered = scope("/in")
        .route("/", get().to(greet))
        .route("/optional", get().to(optional))
        .route("/sign-in", post().to(sign_in))
        .wrap(service.middleware());
    let app = init_service(App::new().service(layered).route("/unlayered", get().to(optional))).await;
    let answer = async |path: &str, cookie: &str| {
        let request = TestRequest::get().uri(path).insert_header(("cookie", cookie)).to_request();
        let response = call_service(&app, request).await;
        let status = response.status();
        (status, String::from_utf8(read_body(response).await.to_vec()).unwrap())
    };
    assert_eq!(answer("/in/", "").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(answer("/in/optional", "").await.1, "nothing");
    assert_eq!(answer("/unlayered", "").await.1, "nothing");
    let response = call_service(&app, TestRequest::post().uri("/in/sign-in").to_request()).await;
    let cookie = response.headers().get("set-cookie").unwrap().to_str().unwrap().split(';').next().unwrap().to_owned();
    assert_eq!(answer("/in/", &cookie).await.1, "hello ada");
    assert_eq!(answer("/in/optional", &cookie).await.1, "hello ada");
}
