//! Visitors whose sign-in is given up, and rows that are made without a value.

use super::*;
use crate::model::sign_in::SignIn;
use crate::model::token::TokenRef;

fn visiting(store: impl SessionStore) -> CookieSessionService {
    let keys = KeyRing::new(SigningKey::from_bytes(&[1; 32]).unwrap());
    let config = SessionConfig::builder().visitors(Visitors::new());
    CookieSessionService::new(store, config.build(keys).unwrap())
}

fn silent_visiting() -> (Arc<Silent>, CookieSessionService) {
    let silent = Arc::new(Silent::default());
    let service = visiting(Intercepted::new(Arc::new(MemoryStore::new()), Arc::clone(&silent)));
    (silent, service)
}

fn keep_all() -> SignIn {
    SignIn::new().keep_all()
}

/// The cookie of a visitor who has `cart`.
async fn visitor(service: &CookieSessionService) -> String {
    let guard = service.begin(None);
    extract(&guard).await.set("cart", "tea").unwrap();
    committed(guard, 200).await.expect("a cookie")
}

/// The cookie that the response sends.
async fn committed(guard: ScopeGuard, status: u16) -> Option<String> {
    let mut response = Response::default();
    guard.commit(status).await.apply(&mut response);
    let line = response.lines("set-cookie").next()?.to_vec();
    Some(String::from_utf8(line).unwrap().split(';').next().unwrap().to_owned())
}

/// Signs in, and gives it up once the store has done it: before or after it has answered.
async fn give_up(store: &Silent, session: &CookieSession, is_answered: bool) {
    store.keep_silent(true);
    let mut sign_in = Box::pin(session.authenticate_opts("ada", keep_all()));
    assert!(poll_once(&mut sign_in).is_pending());
    tokio::task::yield_now().await;
    if is_answered {
        store.keep_silent(false);
        for _ in 0..5 {
            tokio::task::yield_now().await;
        }
    }
    drop(sign_in);
    store.keep_silent(false);
    session.list("nobody").await.unwrap();
}

#[tokio::test]
async fn a_sign_in_that_is_given_up_and_tried_again_takes_the_values_along() {
    for (has_row, is_answered) in [(true, false), (true, true), (false, false), (false, true)] {
        let (store, service) = silent_visiting();
        let cookie = if has_row { visitor(&service).await } else { "none=".to_owned() };
        let guard = service.begin(None);
        let session = extract_with(&guard, &cookie).await;
        session.set("cart", "tea").unwrap();
        session.set("mine", &1).unwrap();
        for _ in 0..2 {
            give_up(&store, &session, is_answered).await;
            assert_eq!(session.user_id(), None);
            assert!(service.list("ada").await.unwrap().is_empty());
        }
        session.authenticate_opts("ada", keep_all()).await.unwrap();
        assert_eq!(stored(&service).await, json!({"cart": "tea", "mine": 1}), "{has_row} {is_answered}");
        assert!(committed(guard, 200).await.is_some());
    }
}

#[tokio::test]
async fn first_values_survive_a_sign_in_that_is_given_up() {
    for is_answered in [false, true] {
        let (store, service) = silent_visiting();
        let guard = service.begin(None);
        let session = extract(&guard).await;
        session.set("cart", "tea").unwrap();
        give_up(&store, &session, is_answered).await;
        let cookie = committed(guard, 200).await.expect("a visitor's cookie");
        let session = extract_with(&service.begin(None), &cookie).await;
        assert_eq!(session.get::<String>("cart").unwrap().as_deref(), Some("tea"));
        assert!(session.visitor_id().is_some());
    }
}

#[tokio::test]
async fn what_a_visitor_set_is_a_503_if_its_own_sign_in_ended_it() {
    let (store, service) = silent_visiting();
    let cookie = visitor(&service).await;
    let guard = service.begin(None);
    let session = extract_with(&guard, &cookie).await;
    session.set("mine", &1).unwrap();
    give_up(&store, &session, false).await;
    let mut response = Response::default();
    guard.commit(200).await.apply(&mut response);
    assert_eq!(response.0[0], (":status", "503".to_owned()));
}

#[tokio::test]
async fn a_row_without_values_is_made_for_what_is_bound_to_the_visitor() {
    let service = visiting(MemoryStore::new());
    let guard = service.begin(None);
    let session = extract(&guard).await;
    let id = session.0.bound_id().unwrap().expect("a visitor");
    session.0.want_row(id);
    let cookie = committed(guard, 200).await.expect("a cookie");
    let session = extract_with(&service.begin(None), &cookie).await;
    assert_eq!(session.visitor_id(), Some(id.to_string()));
    // Not by a response that fails, whether the store was asked before or not.
    for saves in [false, true] {
        let guard = service.begin(None);
        let session = extract(&guard).await;
        let id = session.0.bound_id().unwrap().expect("a visitor");
        session.0.want_row(id);
        if saves {
            session.set("a", &1).unwrap();
            session.remove_key("a");
        }
        session.list("nobody").await.unwrap();
        let mut listing = Box::pin(session.list("nobody"));
        drop(poll_once(&mut listing));
        assert_eq!(committed(guard, 500).await, None);
        let row = TokenRef { shard: UserId::of_visitor(id).shard(), id };
        assert!(service.0.store.load(&[row], service.0.now()).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_row_that_was_made_without_an_answer_takes_later_values() {
    let (store, service) = silent_visiting();
    let guard = service.begin(None);
    let session = extract(&guard).await;
    let id = session.0.bound_id().unwrap().expect("a visitor");
    session.0.want_row(id);
    store.unanswered.store(3, Ordering::SeqCst);
    assert_eq!(session.save().await.unwrap_err().status(), 503);
    session.set("a", &1).unwrap();
    session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).unwrap();
    session.save().await.unwrap();
    session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).unwrap();
    let cookie = committed(guard, 200).await.expect("a cookie");
    let session = extract_with(&service.begin(None), &cookie).await;
    assert_eq!((session.get::<u64>("a").unwrap(), session.get::<u64>("n").unwrap()), (Some(1), Some(2)));
}

#[tokio::test]
async fn a_saved_row_whose_handler_is_dropped_is_ended() {
    let service = visiting(MemoryStore::new());
    let guard = service.begin(None);
    let session = extract(&guard).await;
    session.set("a", &1).unwrap();
    session.save().await.unwrap();
    let id = session.visitor_id().expect("a visitor").parse().unwrap();
    drop(guard);
    session.list("nobody").await.unwrap();
    session.list("nobody").await.unwrap();
    let row = TokenRef { shard: UserId::of_visitor(id).shard(), id };
    assert!(service.0.store.load(&[row], service.0.now()).await.unwrap().is_empty());
    assert_eq!(session.save().await.unwrap_err().status(), 401);
}

#[tokio::test]
async fn a_row_whose_request_has_gone_is_ended() {
    let (store, service) = silent_visiting();
    let guard = service.begin(None);
    let session = extract(&guard).await;
    session.set("a", &1).unwrap();
    let id = session.visitor_id().expect("a visitor").parse().unwrap();
    store.keep_silent(true);
    let saving = tokio::spawn({
        let session = session.clone();
        async move { session.save().await }
    });
    tokio::task::yield_now().await;
    drop(guard);
    store.keep_silent(false);
    assert!(matches!(saving.await.unwrap(), Err(Error::HeadSent)));
    let row = TokenRef { shard: UserId::of_visitor(id).shard(), id };
    assert!(service.0.store.load(&[row], service.0.now()).await.unwrap().is_empty());
}
