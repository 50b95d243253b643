//! Operations that are given up: their futures are dropped, or kept and no longer polled.

use super::*;

#[tokio::test]
async fn a_commit_waits_for_a_save_that_was_given_up() {
    let (store, service) = silent();
    let guard = service.begin(None);
    let session = extract(&guard).await;
    session.authenticate("ada").await.unwrap();
    session.set("a", &1).unwrap();
    store.keep_silent(true);
    let mut save = Box::pin(session.save());
    assert!(poll_once(&mut save).is_pending());
    drop(save);
    let mut commit = guard.commit(200);
    assert!(poll_once(&mut commit).is_pending(), "the response speaks for what it stores");
    store.keep_silent(false);
    assert!(!format!("{:?}", commit.await).contains("503"));
    assert_eq!(stored(&service).await, json!({"a": 1}));
}

#[tokio::test]
async fn a_sign_in_that_was_given_up_leaves_no_session_and_sends_no_cookie() {
    let (store, service) = silent();
    let guard = service.begin(None);
    let session = extract(&guard).await;
    store.keep_silent(true);
    let mut sign_in = Box::pin(session.authenticate("ada"));
    assert!(poll_once(&mut sign_in).is_pending());
    drop(sign_in);
    // It sends no cookie, and the response doesn't wait for it.
    assert!(poll_once(&mut guard.commit(408)).is_ready());
    assert!(!sends_cookie(&session));
    store.keep_silent(false);
    // The next operation waits until it is settled.
    session.logout().await.unwrap();
    assert!(service.list("ada").await.unwrap().is_empty());
}

#[tokio::test]
async fn what_comes_after_a_sign_in_that_was_given_up_finds_it_ended() {
    let (store, service) = silent();
    let guard = service.begin(None);
    let session = extract(&guard).await;
    store.keep_silent(true);
    let mut first = Box::pin(session.authenticate("ada"));
    assert!(poll_once(&mut first).is_pending());
    drop(first);
    let mut second = Box::pin(session.authenticate("ada"));
    assert!(poll_once(&mut second).is_pending());
    store.keep_silent(false);
    second.await.unwrap();
    assert_eq!(service.list("ada").await.unwrap().len(), 1, "the one whose cookie is sent");
    assert!(sends_cookie(&session));
}

#[tokio::test]
async fn an_operation_that_was_given_up_before_its_turn_never_begins() {
    let (store, service) = silent();
    let guard = service.begin(None);
    let session = extract(&guard).await;
    store.keep_silent(true);
    let mut first = Box::pin(session.authenticate("ada"));
    assert!(poll_once(&mut first).is_pending());
    let mut waits = Box::pin(session.authenticate("alan"));
    assert!(poll_once(&mut waits).is_pending());
    drop(waits);
    store.keep_silent(false);
    first.await.unwrap();
    assert_eq!(session.user_id().as_deref(), Some("ada"));
    session.save().await.unwrap();
    assert!(service.list("alan").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_rotation_that_was_given_up_goes_on_and_its_cookie_is_sent() {
    let (store, service) = silent();
    let cookie = signed_in(&service).await;
    let guard = service.begin(None);
    let session = extract_with(&guard, &cookie).await;
    session.set("a", &1).unwrap();
    let before = token(&session);
    store.keep_silent(true);
    let mut rotate = Box::pin(session.rotate());
    assert!(poll_once(&mut rotate).is_pending());
    drop(rotate);
    let mut commit = guard.commit(200);
    assert!(poll_once(&mut commit).is_pending(), "there is something to store, and that waits");
    store.keep_silent(false);
    drop(commit.await);
    assert!(sends_cookie(&session) && token(&session) != before);
    assert_eq!(stored(&service).await, json!({"a": 1}));
}

#[tokio::test]
async fn a_response_with_nothing_to_store_does_not_wait_for_a_rotation_that_was_given_up() {
    let (store, service) = silent();
    let cookie = signed_in(&service).await;
    let guard = service.begin(None);
    let session = extract_with(&guard, &cookie).await;
    store.keep_silent(true);
    let mut rotate = Box::pin(session.rotate());
    assert!(poll_once(&mut rotate).is_pending());
    drop(rotate);
    assert!(poll_once(&mut guard.commit(200)).is_ready());
    store.keep_silent(false);
    tokio::task::yield_now().await;
    for _ in 0..2 {
        let next = service.begin(None);
        assert_eq!(extract_with(&next, &cookie).await.user_id().as_deref(), Some("ada"), "either token works");
    }
}

#[tokio::test]
async fn a_future_that_is_kept_and_no_longer_polled_holds_up_nothing() {
    let (store, service) = silent();
    let guard = service.begin(None);
    let session = extract(&guard).await;
    session.authenticate("ada").await.unwrap();
    store.keep_silent(true);
    let mut first = Box::pin(session.rotate_strict());
    assert!(poll_once(&mut first).is_pending());
    let mut second = Box::pin(session.list("nobody"));
    assert!(poll_once(&mut second).is_pending());
    store.keep_silent(false);
    session.save().await.unwrap();
    drop(guard.commit(200).await);
    // What they gave is still there to have.
    first.await.unwrap();
    second.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_settled_is_settled_after_the_response() {
    let (store, service) = silent();
    let guard = service.begin(None);
    let session = extract(&guard).await;
    store.keep_silent(true);
    let mut sign_in = Box::pin(session.authenticate("ada"));
    assert!(poll_once(&mut sign_in).is_pending());
    drop(sign_in);
    assert!(poll_once(&mut guard.commit(200)).is_ready());
    drop(session);
    drop(guard);
    store.failing.store(true, Ordering::SeqCst);
    store.keep_silent(false);
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    store.failing.store(false, Ordering::SeqCst);
    assert_eq!(service.list("ada").await.unwrap().len(), 1, "the store has failed since");
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    assert!(service.list("ada").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_response_waits_for_no_activity_behind_an_operation_that_was_given_up() {
    let (store, service) = silent();
    let clock = Arc::new(crate::ManualClock::default());
    let service = service.with_clock(Arc::clone(&clock));
    let cookie = signed_in(&service).await;
    clock.advance(std::time::Duration::from_secs(3600));
    let guard = service.begin(None);
    let session = extract_with(&guard, &cookie).await;
    store.keep_silent(true);
    let mut list = Box::pin(session.list("nobody"));
    assert!(poll_once(&mut list).is_pending());
    drop(list);
    assert!(poll_once(&mut guard.commit(200)).is_ready());
    store.keep_silent(false);
    session.save().await.unwrap();
    let active = service.list("ada").await.unwrap()[0].last_active_at;
    assert_eq!(active, crate::Clock::now(&clock), "it is recorded after the response");
}
