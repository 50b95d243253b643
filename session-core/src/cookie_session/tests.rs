//! What only shows within one request: operations that overlap, futures that are dropped, and a head that has left.

mod updates;

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use time::OffsetDateTime;

use super::*;
use crate::adapter::{Headers, HeadersMut, ResponseHead, ScopeGuard};
use crate::state::State;
use crate::store::{Created, Replaced, SessionStore, StoreFuture};
use crate::token::TokenRef;
use crate::{KeyRing, MemoryStore, SessionConfig, SigningKey};

/// A store whose answers don't come while it is told so; what it was asked to do is done all the same.
#[derive(Debug, Default)]
struct Silent {
    store: MemoryStore,
    silent: AtomicBool,
}

impl Silent {
    fn answer<'a, T: Send + 'a>(&'a self, work: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        Box::pin(async move {
            let answer = work.await;
            if self.silent.load(Ordering::SeqCst) {
                std::future::pending::<Infallible>().await;
            }
            answer
        })
    }
}

impl SessionStore for Silent {
    fn create<'a>(
        &'a self,
        new: &'a Arc<Record>,
        replaces: Option<&'a Replaced>,
        limit: NonZeroU32,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Created> {
        self.answer(self.store.create(new, replaces, limit, now))
    }

    fn load<'a>(&'a self, tokens: &'a [TokenRef], now: OffsetDateTime) -> StoreFuture<'a, Option<Arc<Record>>> {
        self.answer(self.store.load(tokens, now))
    }

    fn apply<'a>(&'a self, caller: &'a Caller, update: &'a Update, now: OffsetDateTime) -> StoreFuture<'a, Applied> {
        self.answer(self.store.apply(caller, update, now))
    }

    fn end<'a>(
        &'a self,
        user: &'a UserId,
        id: SessionId,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<bool>> {
        self.answer(self.store.end(user, id, by, now))
    }

    fn end_all<'a>(
        &'a self,
        user: &'a UserId,
        except: Option<SessionId>,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<Vec<SessionId>>> {
        self.answer(self.store.end_all(user, except, by, now))
    }

    fn list<'a>(
        &'a self,
        user: &'a UserId,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<Vec<Arc<Record>>>> {
        self.answer(self.store.list(user, by, now))
    }

    fn purge_expired<'a>(&'a self, before: OffsetDateTime, limit: NonZeroU32) -> StoreFuture<'a, u64> {
        self.answer(self.store.purge_expired(before, limit))
    }
}

/// A request without headers.
struct NoHead;

impl Headers for NoHead {
    fn lines<'a>(&'a self, _: &'a str) -> impl Iterator<Item = &'a [u8]> {
        std::iter::empty()
    }
}

fn service(store: impl SessionStore) -> CookieSessionService {
    let keys = KeyRing::new(SigningKey::from_bytes(&[1; 32]).unwrap());
    CookieSessionService::new(store, SessionConfig::builder().build(keys).unwrap())
}

async fn extract(guard: &ScopeGuard) -> CookieSession {
    let scope = guard.scope();
    scope.load(scope.read(&NoHead, None)).await.unwrap()
}

async fn stored(service: &CookieSessionService) -> Value {
    service.list("ada").await.unwrap().pop().unwrap().data
}

fn sends_cookie(session: &CookieSession) -> bool {
    matches!(session.lock().state, State::Issued(..))
}

#[tokio::test]
async fn a_handle_that_is_extracted_after_the_head_left_sends_no_token() {
    let service = service(MemoryStore::new());
    for close in [|guard: ScopeGuard| drop(guard.commit(200)), drop] {
        let guard = service.begin(None);
        let scope = guard.scope().clone();
        close(guard);
        let session = scope.load(scope.read(&NoHead, None)).await.unwrap();
        assert!(matches!(session.authenticate("ada").await, Err(Error::HeadSent)));
        assert!(matches!(session.rotate().await, Err(Error::HeadSent)));
        assert!(service.list("ada").await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn saves_that_overlap_count_each_update_once() {
    let service = service(MemoryStore::new());
    let guard = service.begin(None);
    let session = extract(&guard).await;
    session.authenticate("ada").await.unwrap();
    let add = |session: &CookieSession| session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).unwrap();
    for _ in 0..200 {
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let session = session.clone();
                tokio::spawn(async move {
                    add(&session);
                    session.save().await
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap().unwrap();
        }
    }
    assert_eq!(stored(&service).await, json!({"n": 800}));
    assert_eq!(session.get::<u64>("n").unwrap(), Some(800));
}

#[tokio::test]
async fn a_commit_waits_behind_those_that_queue_for_its_session_and_a_save_does_not() {
    let service = service(MemoryStore::new());
    let guard = service.begin(None);
    let session = extract(&guard).await;
    session.authenticate("ada").await.unwrap();
    let id = session.lock().state.active().unwrap().record.id;
    let place = service.0.turns.queue(id).await;
    session.set("saved", &1).unwrap();
    assert!(poll_once(&mut Box::pin(session.save())).is_ready());
    session.set("committed", &1).unwrap();
    let mut commit = guard.commit(200);
    assert!(poll_once(&mut commit).is_pending());
    assert_eq!(stored(&service).await, json!({"saved": 1}));
    drop(place);
    drop(commit.await);
    assert_eq!(stored(&service).await, json!({"saved": 1, "committed": 1}));
}

#[tokio::test]
async fn a_dropped_save_makes_the_response_a_503() {
    let store = Arc::new(Silent::default());
    let service = service(Arc::clone(&store));
    let guard = service.begin(None);
    let session = extract(&guard).await;
    session.authenticate("ada").await.unwrap();
    session.set("a", &1).unwrap();
    store.silent.store(true, Ordering::SeqCst);
    let mut save = Box::pin(session.save());
    assert!(poll_once(&mut save).is_pending());
    drop(save);
    store.silent.store(false, Ordering::SeqCst);
    assert!(format!("{:?}", guard.commit(200).await).contains("503"));
    session.set("b", &1).unwrap();
    session.save().await.unwrap();
}

#[tokio::test]
async fn a_sign_in_or_rotation_whose_future_was_dropped_still_sends_its_cookie() {
    let store = Arc::new(Silent::default());
    let service = service(Arc::clone(&store));
    let guard = service.begin(None);
    let session = extract(&guard).await;
    store.silent.store(true, Ordering::SeqCst);
    let mut sign_in = Box::pin(session.authenticate("ada"));
    assert!(poll_once(&mut sign_in).is_pending());
    drop(sign_in);
    store.silent.store(false, Ordering::SeqCst);
    drop(guard.commit(408).await);
    assert!(sends_cookie(&session) && session.user_id().as_deref() == Some("ada"));

    let guard = service.begin(None);
    let session = extract(&guard).await;
    session.authenticate("ada").await.unwrap();
    session.set("a", &1).unwrap();
    let before = session.caller().unwrap().token;
    store.silent.store(true, Ordering::SeqCst);
    let mut rotate = Box::pin(session.rotate());
    assert!(poll_once(&mut rotate).is_pending());
    drop(rotate);
    store.silent.store(false, Ordering::SeqCst);
    drop(guard.commit(200).await);
    assert!(sends_cookie(&session) && session.caller().unwrap().token != before);
    let sessions = service.list("ada").await.unwrap();
    assert!(sessions.iter().any(|session| session.data == json!({"a": 1})));
}

#[tokio::test]
async fn an_update_may_use_its_own_session() {
    let service = service(MemoryStore::new());
    let guard = service.begin(None);
    let session = extract(&guard).await;
    session.authenticate("ada").await.unwrap();
    session.set("step", &5_u64).unwrap();
    let own = session.clone();
    session.update("n", move |n: Option<u64>| n.unwrap_or(0) + own.get::<u64>("step").unwrap().unwrap_or(0)).unwrap();
    session.save().await.unwrap();
    assert_eq!(stored(&service).await, json!({"n": 5, "step": 5}));
}

/// A response's header lines.
#[derive(Default)]
struct Response(Vec<(&'static str, String)>);

impl Headers for Response {
    fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(move |(known, _)| *known == name).map(|(_, value)| value.as_bytes())
    }
}

impl HeadersMut for Response {
    fn remove_lines(&mut self, name: &'static str) {
        self.0.retain(|(known, _)| *known != name);
    }

    fn append_line(&mut self, name: &'static str, value: std::borrow::Cow<'static, str>, _: bool) {
        self.0.push((name, value.into_owned()));
    }
}

impl ResponseHead for Response {
    type Headers<'a> = &'a mut Self;

    fn headers(&mut self) -> &mut Self {
        self
    }

    fn replace(&mut self, status: u16) {
        self.0 = vec![(":status", status.to_string())];
    }
}

#[tokio::test]
async fn what_no_commit_told_of_is_not_stored_by_a_later_save() {
    let end: [fn(ScopeGuard); 3] = [
        drop,
        |guard| drop(guard.commit(200)),
        |guard| {
            let mut commit = guard.commit(500);
            assert!(poll_once(&mut commit).is_ready());
        },
    ];
    for end in end {
        let service = service(MemoryStore::new());
        let guard = service.begin(None);
        let session = extract(&guard).await;
        session.authenticate("ada").await.unwrap();
        session.set("half", &1).unwrap();
        end(guard);
        session.set("whole", &2).unwrap();
        session.save().await.unwrap();
        assert_eq!(stored(&service).await, json!({"whole": 2}), "what a task sets afterwards is its own to save");
    }
    let service = service(MemoryStore::new());
    let guard = service.begin(None);
    let session = extract(&guard).await;
    session.authenticate("ada").await.unwrap();
    drop(guard.commit(200).await);
    session.set("streamed", &1).unwrap();
    drop(guard);
    session.save().await.unwrap();
    assert_eq!(stored(&service).await, json!({"streamed": 1}), "after a commit the layer's end discards nothing");
}

#[tokio::test]
async fn an_extraction_that_asks_nobody_is_ready_at_once_and_boxed_none() {
    let service = service(MemoryStore::new());
    let guard = service.begin(None);
    let scope = guard.scope();
    let mut first = scope.load_boxed(scope.read(&NoHead, None));
    let std::task::Poll::Ready(Ok(session)) = poll_once(&mut first) else { panic!("nobody is asked") };
    session.authenticate("ada").await.unwrap();
    let mut again = scope.load_boxed(scope.read(&NoHead, None));
    let std::task::Poll::Ready(Ok(session)) = poll_once(&mut again) else { panic!("it is loaded") };
    assert_eq!(session.user_id().as_deref(), Some("ada"), "a later extraction is the same session");
}

#[tokio::test]
async fn the_cookie_of_a_service_further_in_survives_a_failure_further_out() {
    let store = Arc::new(Silent::default());
    let outside = service(Arc::clone(&store));
    let other_name = SessionConfig::builder().cookie_name("__Host-other");
    let keys = KeyRing::new(SigningKey::from_bytes(&[1; 32]).unwrap());
    let inside = CookieSessionService::new(MemoryStore::new(), other_name.build(keys).unwrap());
    let outer = outside.begin(None);
    let session = extract(&outer).await;
    session.authenticate("ada").await.unwrap();
    let inner = inside.begin(Some(outer.scope()));
    extract(&inner).await.authenticate("alan").await.unwrap();
    session.set("a", &1).unwrap();
    store.silent.store(true, Ordering::SeqCst);
    let mut save = Box::pin(session.save());
    assert!(poll_once(&mut save).is_pending());
    drop(save);

    let mut response = Response(vec![("x-handler", "done".into())]);
    inner.commit(200).await.apply(&mut response);
    outer.commit(200).await.apply(&mut response);
    let names: Vec<_> = response.0.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, [":status", "set-cookie", "vary", "cache-control", "set-cookie"]);
}

/// Polls once.
fn poll_once<F: Future + Unpin>(future: &mut F) -> std::task::Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}
