//! DATA-14: what is set after the response and never saved.

use serde_json::json;
use session_core::CookieSession;

use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::in_process::{committed, extracted};
use crate::scenarios::support::sessions::{id, sign_in};
use crate::scenarios::support::stored::data;
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("DATA-14", "what is set after the response and never saved is an event, once", unsaved_is_an_event),
    scenario!("DATA-14", "what is saved, or set before the response, is no such event", saved_is_no_event),
    scenario!("DATA-14", "a stream that ends with unsaved changes is an event", an_unsaved_stream),
];

/// The sessions of which it was told that changes weren't saved.
fn not_saved(world: &World) -> Vec<String> {
    world.events().into_iter().filter(|event| event.contains("ChangesNotSaved")).collect()
}

async fn unsaved_is_an_event(world: World) {
    let changes: [fn(&CookieSession); 3] = [
        |session| session.set("a", &2).expect("a small number"),
        |session| session.remove_key("a"),
        |session| session.update("a", |n: Option<u64>| n.unwrap_or(0) + 1).expect("a small number"),
    ];
    let mut browser = sign_in(&world, "ada").await;
    let own = id(&mut browser).await;
    browser.run(json!([{"op": "set", "key": "a", "value": 1}])).await;
    not_saved(&world);
    for change in changes {
        let (guard, session) = extracted(&world, &browser).await;
        committed(&guard).await;
        session.set("saved", &1).expect("a small number");
        session.save().await.expect("the store works");
        change(&session);
        session.set("b", &1).expect("a small number");
        let clone = session.clone();
        drop((guard, session));
        assert_eq!(not_saved(&world), Vec::<String>::new(), "somebody may save it yet");
        drop(clone);
        let events = not_saved(&world);
        assert!(events.len() == 1 && events[0].contains(&own), "{events:?}");
        assert_eq!(data(&world, "ada").await, json!({"a": 1, "saved": 1}));
    }
}

async fn saved_is_no_event(world: World) {
    let browser = sign_in(&world, "ada").await;
    not_saved(&world);
    let (guard, session) = extracted(&world, &browser).await;
    session.set("before", &1).expect("a small number");
    committed(&guard).await;
    session.set("after", &1).expect("a small number");
    session.save().await.expect("the store works");
    session.get::<u64>("after").expect("a number");
    session.remove_key("absent");
    drop((guard, session));
    assert_eq!(not_saved(&world), Vec::<String>::new());
    assert_eq!(data(&world, "ada").await, json!({"before": 1, "after": 1}));
}

async fn an_unsaved_stream(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let own = id(&mut browser).await;
    not_saved(&world);
    let set = |key: &str| json!({"op": "set", "key": key, "value": 1});
    browser.run_on("/stream", json!([set("before"), {"op": "head"}, set("after"), {"op": "save"}, set("late")])).await;
    // The client has the body before the server lets go of the handler.
    let mut events = not_saved(&world);
    while events.is_empty() {
        tokio::task::yield_now().await;
        events = not_saved(&world);
    }
    assert!(events.len() == 1 && events[0].contains(&own), "{events:?}");
    assert_eq!(data(&world, "ada").await, json!({"before": 1, "after": 1}));
}
