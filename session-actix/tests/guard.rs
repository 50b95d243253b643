//! What is Actix's own about guards and users: a forgotten middleware, and a forgotten state.

use actix_web::App;
use actix_web::http::StatusCode;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::web::{Data, get, scope};
use session_actix::testing::SignedIn;
use session_actix::{
    CookieSessionService, CookieSessionServiceExt, CurrentUser, Error, KeyRing, LoadUser, MemoryStore, RequireSignIn,
    Session, SessionConfig, SigningKey,
};

fn service() -> CookieSessionService {
    let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32]).unwrap());
    CookieSessionService::new(MemoryStore::new(), SessionConfig::builder().build(keys).unwrap())
}

#[actix_web::test]
async fn a_guard_without_the_middleware_is_a_500() {
    let app = App::new().route("/", get().to(async || "for members")).wrap(RequireSignIn::new());
    let response = call_service(&init_service(app).await, TestRequest::get().to_request()).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(read_body(response).await, "internal error\n");
}

struct User(u8);

impl LoadUser for User {
    type State = u8;
    type Error = Error;

    async fn load(_: &Session, state: &u8) -> Result<Option<Self>, Error> {
        Ok(Some(Self(*state)))
    }
}

#[actix_web::test]
async fn a_state_that_the_app_lacks_is_a_500() {
    let service = service();
    let user = async |user: CurrentUser<User>| user.0.0.to_string();
    let with_state = scope("/with").app_data(Data::new(7_u8)).route("/", get().to(user));
    let app = App::new().service(with_state).route("/without", get().to(user)).wrap(service.middleware());
    let app = init_service(app).await;
    for (path, status, body) in [("/with/", 200, Some("7")), ("/without", 500, None)] {
        let request = TestRequest::get().uri(path).signed_in(&service, "ada").await.unwrap().to_request();
        let response = call_service(&app, request).await;
        assert_eq!(response.status(), status, "{path}");
        if let Some(body) = body {
            assert_eq!(read_body(response).await, body);
        }
    }
}
