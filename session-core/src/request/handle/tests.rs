//! What only shows within one request: operations that overlap, futures that are dropped, and a head that has left.

mod updates;

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use time::OffsetDateTime;
use tokio::sync::Notify;

use super::*;
use crate::adapter::{Headers, HeadersMut, ResponseHead, ScopeGuard};
use crate::model::record::Record;
use crate::model::token::TokenRef;
use crate::request::state::State;
use crate::store::{Applied, Created, Forgotten, Loaded, NewData, SessionKey, SessionStore, StoreFuture, Update};
use crate::{KeyRing, MemoryStore, SessionConfig, SigningKey};

/// A store whose answers don't come while it is told so; what it was asked to do is done all the same.
#[derive(Debug, Default)]
struct Silent {
    store: MemoryStore,
    silent: AtomicBool,
    speaks: Notify,
    failing: AtomicBool,
    panicking: AtomicBool,
    /// Another request is always faster.
    contended: AtomicBool,
    most_data: Option<usize>,
}

impl Silent {
    fn answer<'a, T: Send + 'a>(&'a self, work: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        Box::pin(async move {
            assert!(!self.panicking.load(Ordering::SeqCst), "told to panic");
            if self.failing.load(Ordering::SeqCst) {
                return Err(StoreError::not_applied("told to fail"));
            }
            let answer = work.await;
            while self.silent.load(Ordering::SeqCst) {
                self.speaks.notified().await;
            }
            answer
        })
    }

    fn keep_silent(&self, silent: bool) {
        self.silent.store(silent, Ordering::SeqCst);
        self.speaks.notify_one();
    }
}

impl SessionStore for Silent {
    fn create<'a>(
        &'a self,
        new: &'a Arc<Record>,
        replaces: &'a [SessionKey],
        limit: NonZeroU32,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Created> {
        self.answer(self.store.create(new, replaces, limit, now))
    }

    fn load<'a>(&'a self, sessions: &'a [TokenRef], now: OffsetDateTime) -> StoreFuture<'a, Loaded> {
        self.answer(self.store.load(sessions, now))
    }

    fn apply<'a>(&'a self, caller: &'a Caller, update: &'a Update, now: OffsetDateTime) -> StoreFuture<'a, Applied> {
        self.answer(Box::pin(async move {
            if self.contended.load(Ordering::SeqCst)
                && let Some(NewData { based_on, data, .. }) = &update.data
            {
                let (based_on, data) = (*based_on, data.clone());
                let faster = NewData { based_on, becomes: crate::model::version::drawn(based_on), data };
                self.store.apply(caller, &Update { data: Some(faster), ..Update::default() }, now).await?;
            }
            self.store.apply(caller, update, now).await
        }))
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

    fn max_data_bytes(&self) -> Option<usize> {
        self.most_data
    }

    fn forget_users<'a>(
        &'a self,
        after: Option<&'a str>,
        since: OffsetDateTime,
        now: OffsetDateTime,
        limit: NonZeroU32,
    ) -> StoreFuture<'a, Forgotten> {
        self.answer(self.store.forget_users(after, since, now, limit))
    }

    fn server_time(&self) -> StoreFuture<'_, Option<OffsetDateTime>> {
        self.answer(self.store.server_time())
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
async fn a_commit_waits_for_a_save_that_was_given_up() {
    let store = Arc::new(Silent::default());
    let service = service(Arc::clone(&store));
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
    let store = Arc::new(Silent::default());
    let service = service(Arc::clone(&store));
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
    // What comes next waits until it is settled.
    session.logout().await.unwrap();
    assert!(service.list("ada").await.unwrap().is_empty());
}

#[tokio::test]
async fn what_comes_after_a_sign_in_that_was_given_up_finds_it_ended() {
    let store = Arc::new(Silent::default());
    let service = service(Arc::clone(&store));
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
    let store = Arc::new(Silent::default());
    let service = service(Arc::clone(&store));
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
    let store = Arc::new(Silent::default());
    let service = service(Arc::clone(&store));
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
    let store = Arc::new(Silent::default());
    let service = service(Arc::clone(&store));
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
async fn a_future_that_is_kept_and_no_longer_polled_holds_up_nothing() {
    let store = Arc::new(Silent::default());
    let service = service(Arc::clone(&store));
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
    let store = Arc::new(Silent::default());
    let service = service(Arc::clone(&store));
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
    let store = Arc::new(Silent::default());
    let clock = Arc::new(crate::ManualClock::default());
    let service = service(Arc::clone(&store)).with_clock(Arc::clone(&clock));
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

#[tokio::test]
async fn an_operation_whose_store_panics_lets_the_next_one_go() {
    let store = Arc::new(Silent::default());
    let service = service(Arc::clone(&store));
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
    let store = Arc::new(Silent::default());
    let service = service(Arc::clone(&store));
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
async fn what_is_set_after_the_response_and_never_saved_is_reported_once() {
    let events = Arc::new(std::sync::Mutex::new(Vec::new()));
    let observed = Arc::clone(&events);
    let service = service(MemoryStore::new()).with_observer(move |event| {
        observed.lock().unwrap().push(format!("{event:?}"));
    });
    for saves in [true, false] {
        let guard = service.begin(None);
        let session = extract(&guard).await;
        session.authenticate("ada").await.unwrap();
        session.set("before", &1).unwrap();
        drop(guard.commit(200).await);
        session.set("after", &2).unwrap();
        if saves {
            session.save().await.unwrap();
        }
        let other = session.clone();
        drop(guard);
        drop(session);
        assert!(events.lock().unwrap().is_empty(), "another handle may still save it");
        drop(other);
        let seen = std::mem::take(&mut *events.lock().unwrap());
        assert_eq!(
            seen.iter().filter(|event| event.contains("ChangesNotSaved")).count(),
            usize::from(!saves),
            "{seen:?}"
        );
    }
}

#[tokio::test]
async fn what_loses_every_race_is_an_error_of_its_own_and_can_be_saved_later() {
    let store = Arc::new(Silent::default());
    let events = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let service =
        service(Arc::clone(&store)).with_observer(move |event| seen.lock().unwrap().push(format!("{event:?}")));
    let cookie = signed_in(&service).await;
    let guard = service.begin(None);
    let session = extract_with(&guard, &cookie).await;
    session.set("a", &1).unwrap();
    store.contended.store(true, Ordering::SeqCst);
    let error = session.save().await.unwrap_err();
    assert!(matches!(error, Error::Contention) && error.status() == 503, "{error:?}");
    let told = std::mem::take(&mut *events.lock().unwrap());
    assert!(told.len() == 1 && told[0].starts_with("Contention"), "{told:?}");
    store.contended.store(false, Ordering::SeqCst);
    session.save().await.unwrap();
    assert_eq!(stored(&service).await["a"], 1);
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
    store.failing.store(true, Ordering::SeqCst);

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

#[test]
fn the_smaller_limit_of_data_holds_and_one_warning_says_if_it_is_the_stores() {
    for (most_data, limit, warnings) in
        [(None, 100, 0), (Some(100), 100, 0), (Some(99), 99, 1), (Some(1 << 30), 100, 0)]
    {
        let log = crate::config::tests::logged(|| {
            let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32]).unwrap());
            let config = SessionConfig::builder().max_data_bytes(100).build(keys).unwrap();
            // Shared, as the adapters' examples do.
            let store = Arc::new(Silent { most_data, ..Silent::default() });
            let service = CookieSessionService::new(store, config);
            assert_eq!(service.config().max_data_bytes, limit, "{most_data:?}");
            drop(service.clone());
        });
        assert_eq!(log.lines().filter(|line| line.contains("WARN")).count(), warnings, "{log}");
        assert_eq!(log.contains("limit=99"), warnings == 1, "{log}");
    }
}
