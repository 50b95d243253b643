//! The pages, asked in process.

use actix_web::body::to_bytes;
use actix_web::test::{TestRequest, call_service, init_service};
use session_actix::testing::SignedIn;

use super::*;

fn service() -> CookieSessionService {
    let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32]).unwrap());
    CookieSessionService::new(MemoryStore::new(), SessionConfig::builder().build(keys).unwrap())
}

async fn ask(service: &CookieSessionService, request: TestRequest) -> (u16, String, String) {
    let app = init_service(App::new().configure(app(service, users()))).await;
    let response = call_service(&app, request.to_request()).await;
    let location = response.headers().get("location").map_or("", |location| location.to_str().unwrap()).to_owned();
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body()).await.unwrap();
    (status, location, String::from_utf8(body.to_vec()).unwrap())
}

#[actix_web::test]
async fn a_role_decides_who_sees_a_page() {
    let service = service();
    for (user, home, admin) in
        [("ada", (200, "hello Ada"), 200), ("bob", (200, "hello Bob"), 403), ("eve", (401, "not signed in\n"), 403)]
    {
        let request = TestRequest::get().uri("/").signed_in(&service, user).await.unwrap();
        let (status, _, body) = ask(&service, request).await;
        assert_eq!((status, body.as_str()), home, "{user}");
        let request = TestRequest::get().uri("/admin").signed_in(&service, user).await.unwrap();
        assert_eq!(ask(&service, request).await.0, admin, "{user}");
    }
}

#[actix_web::test]
async fn signing_in_leads_back_and_never_to_another_site() {
    let service = service();
    let (status, location, _) = ask(&service, TestRequest::get().uri("/admin?page=2")).await;
    assert_eq!((status, location.as_str()), (303, "/sign-in?next=/admin%3Fpage%3D2"));
    let (status, _, form) = ask(&service, TestRequest::get().uri(&location)).await;
    assert_eq!((status, form.contains(r#"name=next value="/admin?page=2""#)), (200, true), "{form}");

    let post = |form: String| {
        let request = TestRequest::post().uri("/sign-in");
        request.insert_header(("content-type", "application/x-www-form-urlencoded")).set_payload(form)
    };
    let given = [("next=/admin%3Fpage%3D2", "/admin?page=2"), ("next=//evil.example", "/"), ("next=", "/"), ("", "/")];
    for (next, leads_to) in given {
        let (status, location, _) = ask(&service, post(format!("user=ada&{next}"))).await;
        assert_eq!((status, location.as_str()), (303, leads_to), "{next}");
    }
    assert_eq!(ask(&service, post("user=eve".to_owned())).await.0, 403);
}
