//! Messages that are taken while other requests change the session, and takes and commits that are
//! given up.

use super::*;
use crate::model::sign_in::SignIn;
use crate::{Flash, FlashLevel};

fn push(session: &CookieSession, text: &str) {
    Flash::of(session).push(FlashLevel::Info, text).unwrap();
}

async fn take(session: &CookieSession) -> Vec<String> {
    let messages = Flash::of(session).take().await.unwrap();
    messages.into_iter().map(|message| message.text).collect()
}

async fn commit(guard: ScopeGuard, status: u16) {
    let mut response = Response::default();
    guard.commit(status).await.apply(&mut response);
    assert!(response.lines(":status").next().is_none(), "the handler's response stands");
}

/// Another request of the browser, which adds a message.
async fn pushes(service: &CookieSessionService, cookie: &str, text: &str) {
    let guard = service.begin(None);
    push(&extract_with(&guard, cookie).await, text);
    commit(guard, 200).await;
}

/// The messages that wait.
async fn waiting(service: &CookieSessionService) -> Value {
    let messages = stored(service).await["~flash"].take();
    let texts = messages.as_array().into_iter().flatten().map(|message| message["text"].clone());
    texts.collect()
}

/// What is given up is done when this returns.
async fn settled(session: &CookieSession) {
    session.list("nobody").await.unwrap();
}

#[tokio::test]
async fn what_a_request_adds_and_takes_itself_removes_no_message_of_another() {
    for adds_again in [false, true] {
        let service = service(MemoryStore::new());
        let cookie = signed_in(&service).await;
        let guard = service.begin(None);
        let session = extract_with(&guard, &cookie).await;
        push(&session, "mine");
        assert_eq!(take(&session).await, ["mine"]);
        if adds_again {
            push(&session, "more");
        }
        session.set("a", &1).unwrap();
        pushes(&service, &cookie, "theirs").await;
        commit(guard, 200).await;
        let expected = if adds_again { json!(["theirs", "more"]) } else { json!(["theirs"]) };
        assert_eq!(waiting(&service).await, expected);
        assert_eq!(stored(&service).await["a"], 1);
    }
}

#[tokio::test]
async fn a_take_that_is_given_up_leaves_the_request_as_it_was() {
    for is_answered in [false, true] {
        for status in [200, 500] {
            let (store, service) = silent();
            let cookie = signed_in(&service).await;
            pushes(&service, &cookie, "a").await;
            let guard = service.begin(None);
            let session = extract_with(&guard, &cookie).await;
            session.set("mine", &1).unwrap();
            push(&session, "b");
            store.keep_silent(true);
            let flash = Flash::of(&session);
            let mut taking = Box::pin(flash.take());
            assert!(poll_once(&mut taking).is_pending());
            if is_answered {
                store.keep_silent(false);
                for _ in 0..5 {
                    tokio::task::yield_now().await;
                }
            }
            drop(taking);
            store.keep_silent(false);
            settled(&session).await;
            assert_eq!(waiting(&service).await, json!(["a"]), "as soon as it was given up");
            assert_eq!(stored(&service).await.get("mine"), None, "the commit decides on the rest");
            commit(guard, status).await;
            let expected = if status == 200 { json!(["a", "b"]) } else { json!(["a"]) };
            assert_eq!(waiting(&service).await, expected, "{is_answered} {status}");
            assert_eq!(stored(&service).await.get("mine").is_some(), status == 200);
        }
    }
}

#[tokio::test]
async fn a_response_waits_until_what_is_not_shown_is_put_back() {
    let (store, service) = silent();
    let cookie = signed_in(&service).await;
    pushes(&service, &cookie, "a").await;
    let guard = service.begin(None);
    let session = extract_with(&guard, &cookie).await;
    store.keep_silent(true);
    let flash = Flash::of(&session);
    let mut taking = Box::pin(flash.take());
    assert!(poll_once(&mut taking).is_pending());
    store.keep_silent(false);
    for _ in 0..5 {
        tokio::task::yield_now().await;
    }
    drop(taking);
    commit(guard, 200).await;
    assert_eq!(waiting(&service).await, json!(["a"]));
}

#[tokio::test]
async fn a_take_that_is_given_up_puts_back_nothing_that_was_shown() {
    let (store, service) = silent();
    let cookie = signed_in(&service).await;
    pushes(&service, &cookie, "a").await;
    let guard = service.begin(None);
    let session = extract_with(&guard, &cookie).await;
    assert_eq!(take(&session).await, ["a"]);
    pushes(&service, &cookie, "b").await;
    session.reload().await.unwrap();
    store.keep_silent(true);
    let flash = Flash::of(&session);
    let mut taking = Box::pin(flash.take());
    assert!(poll_once(&mut taking).is_pending());
    drop(taking);
    store.keep_silent(false);
    settled(&session).await;
    commit(guard, 200).await;
    assert_eq!(waiting(&service).await, json!(["b"]));
}

/// A store that takes some turns before it does what it is asked for, and doesn't do it if it is
/// given up before.
#[derive(Debug, Default)]
struct Slow;

impl Intercept for Slow {
    fn call<'a>(&'a self, store: &'a Arc<dyn SessionStore>, operation: Operation<'a>) -> StoreFuture<'a, Answer> {
        Box::pin(async move {
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            operation.ask(store).await
        })
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_stops_no_message_from_being_put_back() {
    for polls in 1..12 {
        let service = service(Intercepted::new(Arc::new(MemoryStore::new()), Slow));
        let cookie = signed_in(&service).await;
        pushes(&service, &cookie, "a").await;
        let guard = service.begin(None);
        let session = extract_with(&guard, &cookie).await;
        assert_eq!(take(&session).await, ["a"]);
        let mut committing = guard.commit(500);
        for _ in 0..polls {
            if poll_once(&mut committing).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(committing);
        drop(guard);
        settled(&session).await;
        settled(&session).await;
        assert_eq!(waiting(&service).await, json!(["a"]), "after {polls} polls");
    }
}

#[tokio::test]
async fn messages_that_a_failed_page_took_follow_the_visitor_who_signs_in() {
    for (keep, waits) in [(SignIn::new().keep_all(), true), (SignIn::new().keep(["cart"]), false)] {
        let keys = KeyRing::new(SigningKey::from_bytes(&[1; 32]).unwrap());
        let config = SessionConfig::builder().visitors(Visitors::new());
        let service = CookieSessionService::new(MemoryStore::new(), config.build(keys).unwrap());
        let guard = service.begin(None);
        push(&extract(&guard).await, "a");
        let mut response = Response::default();
        guard.commit(200).await.apply(&mut response);
        let line = String::from_utf8(response.lines("set-cookie").next().unwrap().to_vec()).unwrap();
        let guard = service.begin(None);
        let session = extract_with(&guard, line.split(';').next().unwrap()).await;
        assert_eq!(take(&session).await, ["a"]);
        session.authenticate_opts("ada", keep).await.unwrap();
        commit(guard, 500).await;
        assert_eq!(waiting(&service).await, if waits { json!(["a"]) } else { json!([]) });
    }
}
