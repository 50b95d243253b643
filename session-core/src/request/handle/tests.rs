//! What only shows within one request: operations that overlap, futures that are dropped, and a
//! head that has left.

mod flash;
mod given_up;
mod saves;
mod updates;
mod visitors;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use serde_json::json;
use tokio::sync::Notify;

use super::*;
use crate::adapter::{Headers, HeadersMut, ResponseHead, ScopeGuard};
use crate::error::StoreError;
use crate::model::user_id::UserId;
use crate::request::state::State;
use crate::store::{Checked, NewData, SessionStore, StoreFuture, Update};
use crate::testing::intercept::{Answer, Intercept, Intercepted, Operation};
use crate::{KeyRing, MemoryStore, SessionConfig, SigningKey};

/// A store in memory whose answers don't come while this says so; what it was asked to do is done
/// all the same.
#[derive(Debug, Default)]
struct Silent {
    silent: AtomicBool,
    speaks: Notify,
    failing: AtomicBool,
    panicking: AtomicBool,
    /// How many answers to insertions are lost.
    unanswered: AtomicU32,
    /// Another request is always faster.
    contended: AtomicBool,
    most_data: Option<usize>,
}

impl Silent {
    fn keep_silent(&self, silent: bool) {
        self.silent.store(silent, Ordering::SeqCst);
        self.speaks.notify_one();
    }
}

impl Intercept for Silent {
    fn call<'a>(&'a self, store: &'a Arc<dyn SessionStore>, operation: Operation<'a>) -> StoreFuture<'a, Answer> {
        Box::pin(async move {
            assert!(!self.panicking.load(Ordering::SeqCst), "told to panic");
            if self.failing.load(Ordering::SeqCst) {
                return Err(StoreError::not_applied("told to fail"));
            }
            if self.contended.load(Ordering::SeqCst)
                && let Operation::Update { caller, update: Update { data: Some(new), .. }, now } = operation
            {
                let faster = NewData::new(new.based_on, new.data.clone());
                store.update(caller, &Update { data: Some(faster), ..Update::default() }, now).await?;
            }
            let is_insertion = matches!(operation, Operation::Create { .. });
            let answer = operation.ask(store).await;
            let lose = |left: u32| left.checked_sub(1);
            if is_insertion && self.unanswered.fetch_update(Ordering::SeqCst, Ordering::SeqCst, lose).is_ok() {
                return Err(StoreError::unknown("told to lose it"));
            }
            while self.silent.load(Ordering::SeqCst) {
                self.speaks.notified().await;
            }
            answer
        })
    }

    fn max_data_bytes(&self, _: &Arc<dyn SessionStore>) -> Option<usize> {
        self.most_data
    }
}

/// What keeps a service's store silent, and the service.
fn silent() -> (Arc<Silent>, CookieSessionService) {
    let silent = Arc::new(Silent::default());
    let service = service(Intercepted::new(Arc::new(MemoryStore::new()), Arc::clone(&silent)));
    (silent, service)
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

/// A request with this cookie.
async fn extract_with(guard: &ScopeGuard, cookie: &str) -> CookieSession {
    let scope = guard.scope();
    scope.load(scope.read(&Response(vec![("cookie", cookie.to_owned())]), None)).await.unwrap()
}

/// Signs ada in: the cookie.
async fn signed_in(service: &CookieSessionService) -> String {
    let guard = service.begin(None);
    extract(&guard).await.authenticate("ada").await.unwrap();
    let mut response = Response::default();
    guard.commit(200).await.apply(&mut response);
    let line = response.lines("set-cookie").next().unwrap().to_vec();
    String::from_utf8(line).unwrap().split(';').next().unwrap().to_owned()
}

/// The data of ada's only session.
async fn stored(service: &CookieSessionService) -> Value {
    let Checked::Live(rows) =
        service.0.store.list(&UserId::parse("ada").unwrap(), None, service.0.now()).await.unwrap()
    else {
        unreachable!("no caller was named")
    };
    serde_json::from_str(rows[0].data.text()).unwrap()
}

fn token(session: &CookieSession) -> crate::TokenHash {
    session.lock().state.active().unwrap().token
}

fn sends_cookie(session: &CookieSession) -> bool {
    matches!(session.lock().state, State::Issued(..))
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
    fn retain_lines(&mut self, keep: impl Fn(&str, &[u8]) -> bool) {
        self.0.retain(|(name, value)| *name == ":status" || keep(name, value.as_bytes()));
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
        self.0.insert(0, (":status", status.to_string()));
    }
}

/// Polls once.
fn poll_once<F: Future + Unpin>(future: &mut F) -> std::task::Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
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

#[tokio::test]
async fn that_a_token_was_presented_is_recorded_also_where_the_request_is_dropped() {
    let service = service(MemoryStore::new());
    let old = signed_in(&service).await;
    let rotates = service.begin(None);
    extract_with(&rotates, &old).await.rotate().await.unwrap();
    let mut response = Response::default();
    rotates.commit(200).await.apply(&mut response);
    let new = String::from_utf8(response.lines("set-cookie").next().unwrap().to_vec()).unwrap();
    let guard = service.begin(None);
    let session = extract_with(&guard, new.split(';').next().unwrap()).await;
    drop(guard);
    // The task that records it gets its turn, and what is called after it waits for it.
    tokio::task::yield_now().await;
    session.list("nobody").await.unwrap();
    let rows = service.0.store.list(&UserId::parse("ada").unwrap(), None, service.0.now()).await.unwrap();
    let Checked::Live(rows) = rows else { unreachable!("no caller was named") };
    assert!(rows[0].token_seen && rows[0].successor.is_none());
}

#[tokio::test]
async fn an_operation_whose_store_panics_lets_the_next_one_go() {
    let (store, service) = silent();
    let guard = service.begin(None);
    let session = extract(&guard).await;
    session.authenticate("ada").await.unwrap();
    store.panicking.store(true, Ordering::SeqCst);
    let rotates = session.clone();
    assert!(tokio::spawn(async move { rotates.rotate().await }).await.unwrap_err().is_panic());
    store.panicking.store(false, Ordering::SeqCst);
    session.logout().await.unwrap();
    assert!(service.list("ada").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_commit_waits_for_a_sign_in_in_another_task() {
    let (store, service) = silent();
    let guard = service.begin(None);
    let session = extract(&guard).await;
    store.keep_silent(true);
    let mut sign_in = Box::pin(session.authenticate("ada"));
    assert!(poll_once(&mut sign_in).is_pending());
    let mut commit = guard.commit(200);
    assert!(poll_once(&mut commit).is_pending());
    store.keep_silent(false);
    sign_in.await.unwrap();
    drop(commit.await);
    assert!(sends_cookie(&session));
    assert_eq!(service.list("ada").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_reload_keeps_what_was_set_here_on_top_of_what_others_stored() {
    // A store behind a pointer is one, too.
    let store: Box<dyn SessionStore> = Box::new(MemoryStore::new());
    let service = service(store);
    let cookie = signed_in(&service).await;
    let (guard, other) = (service.begin(None), service.begin(None));
    let (session, elsewhere) = (extract_with(&guard, &cookie).await, extract_with(&other, &cookie).await);
    session.set("mine", &1).unwrap();
    session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).unwrap();
    elsewhere.set("theirs", &2).unwrap();
    elsewhere.set("n", &10).unwrap();
    drop(other.commit(200).await);
    session.reload().await.unwrap();
    let seen = |key: &str| session.get::<u64>(key).unwrap();
    assert_eq!((seen("mine"), seen("theirs"), seen("n")), (Some(1), Some(2), Some(11)));
    assert_eq!(stored(&service).await, json!({"theirs": 2, "n": 10}), "nothing is written");
    session.save().await.unwrap();
    assert_eq!(stored(&service).await, json!({"mine": 1, "theirs": 2, "n": 11}));
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

#[tokio::test]
async fn an_extraction_that_asks_nobody_is_ready_at_once_and_boxed_none() {
    let service = service(MemoryStore::new());
    let guard = service.begin(None);
    let scope = guard.scope();
    let mut first = scope.load(scope.read(&NoHead, None));
    let std::task::Poll::Ready(Ok(session)) = poll_once(&mut first) else { panic!("nobody is asked") };
    session.authenticate("ada").await.unwrap();
    let mut again = scope.load(scope.read(&NoHead, None));
    let std::task::Poll::Ready(Ok(session)) = poll_once(&mut again) else { panic!("it is loaded") };
    assert_eq!(session.user_id().as_deref(), Some("ada"), "a later extraction is the same session");
}

#[tokio::test]
async fn the_cookie_of_a_service_further_in_survives_a_failure_further_out() {
    let (store, outside) = silent();
    let other_name = SessionConfig::builder().cookie_name("__Host-other");
    let keys = KeyRing::new(SigningKey::from_bytes(&[1; 32]).unwrap());
    let inside = CookieSessionService::new(MemoryStore::new(), other_name.build(keys).unwrap());
    let outer = outside.begin(None);
    let session = extract(&outer).await;
    session.authenticate("ada").await.unwrap();
    let inner = inside.begin(Some(outer.scope()));
    extract(&inner).await.authenticate("alan").await.unwrap();
    session.set("a", &1).unwrap();
    store.failing.store(true, Ordering::SeqCst);

    let mut response = Response(vec![("x-handler", "done".into())]);
    inner.commit(200).await.apply(&mut response);
    outer.commit(200).await.apply(&mut response);
    let names: Vec<_> = response.0.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, [":status", "set-cookie", "retry-after", "vary", "cache-control", "set-cookie"]);
}

#[test]
fn the_smaller_limit_of_data_holds_and_one_warning_says_if_it_is_the_stores() {
    for (most_data, limit, warnings) in
        [(None, 100, 0), (Some(100), 100, 0), (Some(99), 99, 1), (Some(1 << 30), 100, 0)]
    {
        let log = crate::config::tests::logged(|| {
            let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32]).unwrap());
            let config = SessionConfig::builder().max_data_bytes(100).build(keys).unwrap();
            // Shared, as the adapters' examples do.
            let silent = Silent { most_data, ..Silent::default() };
            let store = Arc::new(Intercepted::new(Arc::new(MemoryStore::new()), silent));
            let service = CookieSessionService::new(store, config);
            assert_eq!(service.config().max_data_bytes, limit, "{most_data:?}");
            drop(service.clone());
        });
        assert_eq!(log.lines().filter(|line| line.contains("WARN")).count(), warnings, "{log}");
        assert_eq!(log.contains("limit=99"), warnings == 1, "{log}");
    }
}

#[tokio::test]
async fn a_snapshot_is_of_one_session_while_another_task_signs_in() {
    const SIGN_INS: usize = 2000;
    let service = service(MemoryStore::new());
    let guard = service.begin(None);
    let session = extract(&guard).await;
    let (read, start, done) = (session.clone(), Arc::new(std::sync::Barrier::new(2)), Arc::new(AtomicBool::new(false)));
    let (started, ended) = (Arc::clone(&start), Arc::clone(&done));
    let reader = std::thread::spawn(move || {
        started.wait();
        let mut reads = 0;
        while reads < SIGN_INS || !ended.load(Ordering::SeqCst) {
            for current in [read.current(), read.snapshot().unwrap()].into_iter().flatten() {
                assert_eq!(current.data["of"], json!(current.user_id), "read {reads}");
            }
            reads += 1;
        }
    });
    start.wait();
    for user in ["ada", "bob"].iter().cycle().take(SIGN_INS) {
        session.authenticate_with(user, json!({"of": user})).await.unwrap();
    }
    done.store(true, Ordering::SeqCst);
    reader.join().unwrap();
}
