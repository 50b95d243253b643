//! The pages, asked in process.

use axum::body::{Body, to_bytes};
use axum::http::Request;
use session_axum::testing::SignedIn;
use tower::ServiceExt;

use super::*;

fn service() -> CookieSessionService {
    let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32]).unwrap());
    CookieSessionService::new(MemoryStore::new(), SessionConfig::builder().build(keys).unwrap())
}

async fn ask(app: &Router, request: Request<Body>) -> (u16, String, String) {
    let response = app.clone().oneshot(request).await.unwrap();
    let location = response.headers().get("location").map_or("", |location| location.to_str().unwrap()).to_owned();
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), 1000).await.unwrap();
    (status, location, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_role_decides_who_sees_a_page() {
    let service = service();
    let app = app(&service, users());
    for (user, home, admin) in
        [("ada", (200, "hello Ada"), 200), ("bob", (200, "hello Bob"), 403), ("eve", (401, "not signed in\n"), 403)]
    {
        let request = Request::get("/").signed_in(&service, user).await.unwrap().body(Body::empty()).unwrap();
        let (status, _, body) = ask(&app, request).await;
        assert_eq!((status, body.as_str()), home, "{user}");
        let request = Request::get("/admin").signed_in(&service, user).await.unwrap().body(Body::empty()).unwrap();
        assert_eq!(ask(&app, request).await.0, admin, "{user}");
    }
}

#[tokio::test]
async fn signing_in_leads_back_and_never_to_another_site() {
    let app = app(&service(), users());
    let (status, location, _) = ask(&app, Request::get("/admin?page=2").body(Body::empty()).unwrap()).await;
    assert_eq!((status, location.as_str()), (303, "/sign-in?next=/admin%3Fpage%3D2"));
    let (status, _, form) = ask(&app, Request::get(location).body(Body::empty()).unwrap()).await;
    assert_eq!((status, form.contains(r#"name=next value="/admin?page=2""#)), (200, true), "{form}");

    let post = |form: String| {
        let request = Request::post("/sign-in").header("content-type", "application/x-www-form-urlencoded");
        request.body(Body::from(form)).unwrap()
    };
    let given = [("next=/admin%3Fpage%3D2", "/admin?page=2"), ("next=//evil.example", "/"), ("next=", "/"), ("", "/")];
    for (next, leads_to) in given {
        let (status, location, _) = ask(&app, post(format!("user=ada&{next}"))).await;
        assert_eq!((status, location.as_str()), (303, leads_to), "{next}");
    }
    assert_eq!(ask(&app, post("user=eve".to_owned())).await.0, 403);
}
