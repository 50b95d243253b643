//! What is Axum's own about guards and users: bodies of other types, a forgotten layer, and an
//! `Option` of a user.

use std::convert::Infallible;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{Request, StatusCode};
use session_axum::testing::SignedIn;
use session_axum::{
    CookieSessionService, CookieSessionServiceExt, CurrentUser, Error, KeyRing, LoadUser, MemoryStore, RequireSignIn,
    Session, SessionConfig, SigningKey,
};
use tower::{Layer, ServiceExt, service_fn};

fn service() -> CookieSessionService {
    let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32]).unwrap());
    CookieSessionService::new(MemoryStore::new(), SessionConfig::builder().build(keys).unwrap())
}

#[tokio::test]
async fn around_a_body_that_is_not_axums_an_answer_has_its_text_too() {
    let service = service();
    let handler = service_fn(async |_: Request<()>| Ok::<_, Infallible>(http::Response::new("members".to_owned())));
    let app = service.layer().layer(RequireSignIn::new().layer(handler));
    let text = async |request| {
        let response = app.clone().oneshot(request).await.unwrap();
        (response.status(), to_bytes(response.into_body(), 100).await.unwrap())
    };
    assert_eq!(text(Request::new(())).await, (StatusCode::UNAUTHORIZED, "not signed in\n".into()));
    let request = Request::get("/").signed_in(&service, "ada").await.unwrap().body(()).unwrap();
    assert_eq!(text(request).await, (StatusCode::OK, "members".into()));
}

#[tokio::test]
async fn a_guard_without_the_layer_is_a_500() {
    let app = Router::new().route("/", get("for members")).route_layer(RequireSignIn::new());
    let response = app.oneshot(Request::new(Body::empty())).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(to_bytes(response.into_body(), 100).await.unwrap(), "internal error\n");
}

struct User;

/// An error that is a 418 whatever it is about.
#[derive(Debug)]
struct Teapot;

impl From<Error> for Teapot {
    fn from(_: Error) -> Self {
        Self
    }
}

impl IntoResponse for Teapot {
    fn into_response(self) -> Response {
        StatusCode::IM_A_TEAPOT.into_response()
    }
}

impl LoadUser for User {
    type State = ();
    type Error = Teapot;

    async fn load(_: &Session, (): &()) -> Result<Option<Self>, Teapot> {
        Err(Teapot)
    }
}

#[tokio::test]
async fn every_error_of_a_user_is_the_applications_and_none_is_swallowed() {
    let service = service();
    let optional = async |user: Option<CurrentUser<User>>| if user.is_some() { "a user" } else { "none" };
    let app = Router::new()
        .route("/", get(async |_: CurrentUser<User>| "a user"))
        .route("/optional", get(optional))
        .layer(service.layer())
        .route("/unlayered", get(optional));
    let status = async |path: &str, is_signed_in: bool| {
        let request = Request::get(path);
        let request = if is_signed_in { request.signed_in(&service, "ada").await.unwrap() } else { request };
        app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status()
    };
    assert_eq!(status("/", false).await, StatusCode::IM_A_TEAPOT, "also that there is no sign-in");
    assert_eq!(status("/optional", false).await, StatusCode::OK);
    assert_eq!(status("/optional", true).await, StatusCode::IM_A_TEAPOT);
    assert_eq!(status("/unlayered", true).await, StatusCode::OK);
}
