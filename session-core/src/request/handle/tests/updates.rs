//! What the function given to `update` may do: read its own session, and whatever it likes with
//! others, but not change its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicUsize;

use super::*;

/// What an update's function does to the session that it is given.
type Act = fn(&CookieSession) -> Result<()>;

/// Each way to change a session's values.
const CHANGES: [Act; 3] = [
    |session| session.set("inner", &1),
    |session| {
        session.remove_key("kept");
        // What `set` and `update` return; this has no result.
        Err(Error::UpdateChangesSession { key: "n".to_owned() })
    },
    |session| session.update("inner", |_: Option<u8>| 1),
];

fn refused(result: Result<()>) -> bool {
    matches!(result, Err(Error::UpdateChangesSession { key }) if key == "n")
}

/// Counts its runs and, from that run on, does `act` to `session`.
fn add(session: &CookieSession, act: Act, from: usize) -> (Arc<AtomicUsize>, impl Fn(Option<u64>) -> u64 + use<>) {
    let (runs, session) = (Arc::new(AtomicUsize::new(0)), session.clone());
    let counted = Arc::clone(&runs);
    let f = move |n: Option<u64>| {
        if counted.fetch_add(1, Ordering::SeqCst) + 1 >= from {
            assert!(refused(act(&session)), "the function is told too");
        }
        n.unwrap_or(0) + 1
    };
    (runs, f)
}

#[tokio::test]
async fn an_update_that_changes_its_own_session_is_refused_at_once() {
    for change in CHANGES {
        let service = service(MemoryStore::new());
        let guard = service.begin(None);
        let session = extract(&guard).await;
        session.authenticate_with("ada", json!({"kept": 1})).await.unwrap();
        let (runs, f) = add(&session, change, 1);
        let error = session.update("n", f).unwrap_err();
        assert_eq!((error.status(), error.to_string().contains("compute")), (500, true), "{error}");
        assert!(refused(Err(error)));
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        assert_eq!(session.current().unwrap().data, json!({"kept": 1}));
        session.set("other", &2).unwrap();
        let mut response = Response::default();
        guard.commit(200).await.apply(&mut response);
        assert!(response.lines(":status").next().is_none(), "no other response");
        assert_eq!(stored(&service).await, json!({"kept": 1, "other": 2}));
    }
}

/// A request with the cookie of this response.
struct WithCookie(String);

impl WithCookie {
    fn of(response: &Response) -> Self {
        let line = String::from_utf8(response.lines("set-cookie").next().unwrap().to_vec()).unwrap();
        Self(line.split(';').next().unwrap().to_owned())
    }
}

impl Headers for WithCookie {
    fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        (name == "cookie").then_some(self.0.as_bytes()).into_iter()
    }
}

#[tokio::test]
async fn an_update_that_changes_its_own_session_when_it_is_run_again_makes_the_response_a_500() {
    for change in CHANGES {
        let service = service(MemoryStore::new());
        let guard = service.begin(None);
        extract(&guard).await.authenticate_with("ada", json!({"kept": 1})).await.unwrap();
        let mut signed_in = Response::default();
        guard.commit(200).await.apply(&mut signed_in);
        let browser = WithCookie::of(&signed_in);

        let guard = service.begin(None);
        let session = guard.scope().load(guard.scope().read(&browser, None)).await.unwrap();
        session.set("other", &2).unwrap();
        let (runs, f) = add(&session, change, 2);
        session.update("n", f).unwrap();

        let first = service.begin(None);
        let conflicting = first.scope().load(first.scope().read(&browser, None)).await.unwrap();
        conflicting.set("first", &3).unwrap();
        drop(first.commit(200).await);

        let mut response = Response::default();
        guard.commit(200).await.apply(&mut response);
        assert_eq!(response.lines(":status").collect::<Vec<_>>(), [b"500"]);
        assert_eq!(runs.load(Ordering::SeqCst), 2);
        assert_eq!(stored(&service).await, json!({"kept": 1, "first": 3}));
    }
}

#[tokio::test]
async fn an_update_may_change_the_session_of_another_request() {
    let service = service(MemoryStore::new());
    let (guard, other_guard) = (service.begin(None), service.begin(None));
    let (session, other) = (extract(&guard).await, extract(&other_guard).await);
    session.authenticate("ada").await.unwrap();
    other.authenticate_with("bob", json!({"kept": 1})).await.unwrap();
    let (own, others) = (session.clone(), other.clone());
    session
        .update("n", move |n: Option<u64>| {
            others.set("set", &1).unwrap();
            others.remove_key("kept");
            others.update("updated", |n: Option<u64>| n.unwrap_or(0) + 1).unwrap();
            own.get::<u64>("n").unwrap();
            n.unwrap_or(0) + 1
        })
        .unwrap();
    assert_eq!(session.current().unwrap().data, json!({"n": 1}));
    assert_eq!(other.current().unwrap().data, json!({"set": 1, "updated": 1}));

    let (own, others) = (session.clone(), other.clone());
    let through_another = session.update("n", move |n: Option<u64>| {
        let own = own.clone();
        others
            .update("updated", move |n: Option<u64>| {
                assert!(refused(own.set("inner", &1)));
                n.unwrap_or(0) + 1
            })
            .unwrap();
        n.unwrap_or(0) + 1
    });
    assert!(refused(through_another), "also where another request's update is in between");
    assert_eq!(session.current().unwrap().data, json!({"n": 1}));
    assert_eq!(other.current().unwrap().data, json!({"set": 1, "updated": 2}), "which did nothing wrong");
}

#[tokio::test]
async fn after_an_update_that_panicked_its_session_can_be_changed() {
    let service = service(MemoryStore::new());
    let guard = service.begin(None);
    let session = extract(&guard).await;
    session.authenticate("ada").await.unwrap();
    let own = session.clone();
    let panics = move |_: Option<u64>| -> u64 {
        assert!(refused(own.set("inner", &1)));
        panic!("of the test");
    };
    assert!(catch_unwind(AssertUnwindSafe(|| session.update("n", panics))).is_err());
    session.set("a", &1).unwrap();
    session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1).unwrap();
    assert_eq!(session.current().unwrap().data, json!({"a": 1, "n": 1}));
}
