//! The layer around plain tower services: what HTTP can't show.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::SystemTime;

use axum::body::Body;
use axum::extract::FromRequestParts;
use http::header::SET_COOKIE;
use http::{Request, Response};
use session_axum::session_core::UserId;
use session_axum::session_core::store::{Checked, SessionStore};
use session_axum::{
    BodyOrEmpty, CookieSession, CookieSessionService, CookieSessionServiceExt, KeyRing, MemoryStore, SessionConfig,
    SigningKey,
};
use tower::{Layer, Service, ServiceExt, service_fn};

fn service() -> CookieSessionService {
    on(MemoryStore::new())
}

fn on(store: impl SessionStore) -> CookieSessionService {
    let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32]).unwrap());
    CookieSessionService::new(store, SessionConfig::builder().build(keys).unwrap())
}

/// What the store holds as the data of ada's only session.
async fn stored(store: &MemoryStore) -> String {
    let ada = UserId::parse("ada").unwrap();
    match store.list(&ada, None, SystemTime::now().into()).await.unwrap() {
        Checked::Live(rows) if rows.len() == 1 => rows[0].data.text().to_owned(),
        other => panic!("one session, not {other:?}"),
    }
}

/// A handler's part without a framework: signs in and sets a value.
async fn sign_in(request: Request<u8>) {
    let (mut parts, _) = request.into_parts();
    let session = <CookieSession as FromRequestParts<()>>::from_request_parts(&mut parts, &()).await.unwrap();
    session.authenticate("ada").await.unwrap();
    session.set("theme", &"dark").unwrap();
}

#[tokio::test]
async fn any_tower_service_between_http_heads_can_be_inside() {
    let inner = service_fn(async |request: Request<u8>| Ok::<_, Infallible>(Response::new(vec![*request.body()])));
    let response = service().layer().unboxed().layer(inner).oneshot(Request::new(7)).await.unwrap();
    assert!(response.headers().is_empty());
    assert_eq!(response.into_body(), BodyOrEmpty::Body { body: vec![7] });
}

/// How many allocations a request makes that is ready at once.
fn allocations<S: Service<Request<()>>>(mut app: S) -> u64 {
    let request = Request::new(());
    let counted = allocation_counter::measure(|| {
        let response = std::pin::pin!(app.call(request));
        assert!(response.poll(&mut Context::from_waker(Waker::noop())).is_ready());
    });
    counted.count_total
}

#[test]
fn only_a_body_that_is_not_axums_is_put_into_a_box_and_without_boxes_none_is() {
    let (boxed, unboxed) = (service().layer(), service().layer().unboxed());
    let axums = || service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(Body::empty())));
    assert_eq!(allocations(boxed.layer(axums())), allocations(unboxed.layer(axums())));
    let text = || service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(String::new())));
    assert_eq!(allocations(boxed.layer(text())), allocations(unboxed.layer(text())) + 1);
}

#[tokio::test]
async fn the_cookie_is_marked_sensitive() {
    let inner = service_fn(async |request| {
        sign_in(request).await;
        Ok::<_, Infallible>(Response::new(String::new()))
    });
    let response = service().layer().layer(inner).oneshot(Request::new(7)).await.unwrap();
    assert!(response.headers()[SET_COOKIE].is_sensitive());
}

#[tokio::test]
async fn once_the_response_is_given_up_no_cookie_can_be_promised() {
    let (give, taken) = std::sync::mpsc::channel();
    let inner = service_fn(move |request: Request<u8>| {
        let give = give.clone();
        async move {
            let (mut parts, _) = request.into_parts();
            let session = <CookieSession as FromRequestParts<()>>::from_request_parts(&mut parts, &()).await;
            give.send(session.unwrap()).unwrap();
            std::future::pending::<Result<Response<String>, Infallible>>().await
        }
    });
    let mut response = Box::pin(service().layer().layer(inner).oneshot(Request::new(7)));
    std::future::poll_fn(|cx| {
        assert!(response.as_mut().poll(cx).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    drop(response);
    let error = taken.recv().unwrap().authenticate("ada").await.unwrap_err();
    assert!(matches!(error.kind(), session_axum::ErrorKind::HeadSent));
}

#[tokio::test]
async fn a_tower_error_discards_what_is_pending_and_keeps_the_sign_in() {
    let store = Arc::new(MemoryStore::new());
    let inner = service_fn(async |request| {
        sign_in(request).await;
        Err::<Response<String>, _>("broken")
    });
    let layer = on(Arc::clone(&store)).layer();
    assert_eq!(layer.layer(inner).oneshot(Request::new(7)).await.unwrap_err(), "broken");
    assert_eq!(stored(&store).await, "{}");
}
