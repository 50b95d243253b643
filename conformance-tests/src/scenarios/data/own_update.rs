//! DATA-17: an `update` whose function changes the very session that it is run for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use session_core::CookieSession;

use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::in_process::{committed, extracted};
use crate::scenarios::support::sessions::{only_row, sign_in};
use crate::scenarios::support::stored::data;
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("DATA-17", "an update that changes its own session is refused at once", refused_at_once),
    scenario!(
        "DATA-17",
        "a replayed update that changes its own session stores nothing of its request",
        refused_at_commit
    ),
    scenario!("DATA-17", "a save that replays an update that changes its own session stores nothing", refused_at_save),
    scenario!("DATA-17", "an update may read its own session and change another", reading_and_others),
];

/// A change that a function tries, whatever it makes of the refusal.
type Change = fn(&CookieSession);

const CHANGES: [(&str, Change); 3] = [
    ("set", |session| drop(session.set("inner", &1))),
    ("remove_key", |session| session.remove_key("kept")),
    ("update", |session| drop(session.update("inner", |n: Option<u64>| n.unwrap_or(0) + 1))),
];

/// Counts its runs; in the `run`th and all later ones it makes a change to `session`.
fn changing(
    session: &CookieSession,
    change: Change,
    run: usize,
) -> (Arc<AtomicUsize>, impl Fn(Option<u64>) -> u64 + Send + Sync + 'static) {
    let (runs, session) = (Arc::new(AtomicUsize::new(0)), session.clone());
    let counted = Arc::clone(&runs);
    let function = move |n: Option<u64>| {
        if counted.fetch_add(1, Ordering::SeqCst) + 1 >= run {
            change(&session);
        }
        n.unwrap_or(0) + 1
    };
    (runs, function)
}

async fn refused_at_once(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    for (name, change) in CHANGES {
        browser.run(json!([{"op": "set", "key": "kept", "value": 1}, {"op": "remove_key", "key": "after"}])).await;
        let (guard, session) = extracted(&world, &browser).await;
        session.set("before", &name).expect("a small text");
        let (runs, function) = changing(&session, change, 1);
        let error = session.update("visits", function).expect_err(name);
        assert!(error.status() == 500 && error.to_string().contains("visits"), "{name}: {error}");
        assert_eq!(runs.load(Ordering::SeqCst), 1, "{name}: it isn't run again and again");
        let seen = session.current().expect("signed in").data;
        assert_eq!(seen, json!({"kept": 1, "before": name}), "{name}: nothing of it is kept");
        session.set("after", &1).expect("a small number");
        assert_eq!(committed(&guard).await.status(), 200, "{name}");
        assert_eq!(data(&world, "ada").await, json!({"kept": 1, "before": name, "after": 1}), "{name}");
        assert_eq!(runs.load(Ordering::SeqCst), 1, "{name}: nor by the commit");
    }
}

async fn refused_at_commit(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    browser.run(json!([{"op": "set", "key": "kept", "value": 1}])).await;
    for (round, (name, change)) in CHANGES.into_iter().enumerate() {
        let (guard, session) = extracted(&world, &browser).await;
        let (runs, function) = changing(&session, change, 2);
        session.set("a", &1).expect("a small number");
        session.update("visits", function).expect("it changes nothing yet");
        session.set("z", &1).expect("a small number");
        browser.run(json!([{"op": "set", "key": "meanwhile", "value": round}])).await;
        let before = only_row(&world, "ada").await;
        let response = committed(&guard).await;
        assert_eq!((response.status().as_u16(), runs.load(Ordering::SeqCst)), (500, 2), "{name}");
        assert!(only_row(&world, "ada").await == before, "{name}: nothing of the request is stored");
        assert_eq!(data(&world, "ada").await, json!({"kept": 1, "meanwhile": round}), "{name}");
    }
}

async fn refused_at_save(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    browser.run(json!([{"op": "set", "key": "kept", "value": 1}])).await;
    for (round, (name, change)) in CHANGES.into_iter().enumerate() {
        let (guard, session) = extracted(&world, &browser).await;
        let (_, function) = changing(&session, change, 2);
        session.set("a", &1).expect("a small number");
        session.update("visits", function).expect("it changes nothing yet");
        browser.run(json!([{"op": "set", "key": "meanwhile", "value": round}])).await;
        let error = session.save().await.expect_err(name);
        assert!(error.status() == 500 && error.to_string().contains("visits"), "{name}: {error}");
        assert_eq!(committed(&guard).await.status(), 500, "{name}: the response claims nothing");
        assert_eq!(data(&world, "ada").await, json!({"kept": 1, "meanwhile": round}), "{name}");
    }
}

async fn reading_and_others(world: World) {
    let (mut browser, other) = (sign_in(&world, "ada").await, sign_in(&world, "bob").await);
    browser.run(json!([{"op": "set", "key": "step", "value": 10}])).await;
    let (guard, session) = extracted(&world, &browser).await;
    let (others_guard, others) = extracted(&world, &other).await;
    let (own, written) = (session.clone(), others.clone());
    let add_step = move |n: Option<u64>| {
        written.set("seen", &n).expect("a session that isn't the update's own");
        n.unwrap_or(0) + own.get::<u64>("step").expect("a number").expect("it was set")
    };
    session.update("sum", add_step).expect("it only reads");
    browser.run(json!([{"op": "set", "key": "sum", "value": 7}])).await;
    assert_eq!(committed(&guard).await.status(), 200);
    assert_eq!(committed(&others_guard).await.status(), 200);
    assert_eq!(data(&world, "ada").await, json!({"step": 10, "sum": 17}));
    assert_eq!(data(&world, "bob").await, json!({"seen": 7}), "as its last run left it");
}
