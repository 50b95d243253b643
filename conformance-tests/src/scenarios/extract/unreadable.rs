//! EXT-9: rows that are there and can't be understood, whole or in their data only.

use std::sync::Arc;

use serde_json::{Value, json};
use session_core::store::Checked;
use session_core::{Clock, Data, Record};

use crate::browser::Browser;
use crate::faulty::{Fault, OpKind};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::sessions::{only_row, sign_in, user};
use crate::scenarios::support::stored::rows;
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("EXT-9", "a row that can't be understood is a 500 and an event", an_unreadable_row),
    scenario!("EXT-9", "data that can't be understood is a 500 and an event when it is read", unreadable_data),
    scenario!("EXT-9", "data is decoded when it is first read", data_is_decoded_when_read),
    scenario!("EXT-9", "data that can't be understood is never overwritten", unreadable_data_stays),
    scenario!("EXT-9", "signing out of a session with unreadable data works", signing_out_works),
    scenario!("EXT-9", "revoking a session with unreadable data works", revoking_works),
    scenario!("EXT-9", "signing in over a session with unreadable data works", signing_in_again_works),
];

const NOT_JSON: &str = "{\"a\": 1";

/// Puts the user's row back with another data text.
async fn with_data(world: &World, user: &str, text: &str) -> Arc<Record> {
    let mut record = (*only_row(world, user).await).clone();
    let now = world.clock.now();
    let ended = world.store.end(&record.user_id, record.id, None, now).await.expect("the store works");
    assert_eq!(ended, Checked::Live(true));
    record.data = Data::from_text(text);
    let record = Arc::new(record);
    world.store.create(&record, &[], World::LIMIT, now).await.expect("a store takes any text");
    record
}

/// A browser whose session has data that can't be understood.
async fn unreadable(world: &World, user: &str) -> (Browser, Arc<Record>) {
    let browser = sign_in(world, user).await;
    let row = with_data(world, user, NOT_JSON).await;
    (browser, row)
}

fn tells_of(events: &[String], row: &Record) -> bool {
    events.iter().any(|event| event.contains("Corrupt") && event.contains(&row.id.to_string()))
}

async fn an_unreadable_row(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let row = only_row(&world, "ada").await;
    for path in ["/do", "/optional", "/result", "/session", "/optional-session", "/twice"] {
        world.events();
        world.faults.fail_once(OpKind::Load, Fault::Corrupt);
        let reply = browser.run_on(path, json!([])).await;
        assert_eq!(reply.status, 500, "{path}: no outage");
        assert_eq!(reply.headers.get("set-cookie"), None, "{path}");
        let events = world.events();
        assert!(tells_of(&events, &row), "{path}: {events:?}");
    }
    assert_eq!(user(&mut browser).await, json!("ada"));
}

async fn unreadable_data(world: World) {
    for text in [NOT_JSON, "", "[]", "null", "\"text\"", "{} trailing"] {
        let (mut browser, row) = unreadable(&world, "ada").await;
        with_data(&world, "ada", text).await;
        for op in [
            json!({"op": "get", "key": "a"}),
            json!({"op": "set", "key": "a", "value": 1}),
            json!({"op": "increment", "key": "a"}),
        ] {
            world.events();
            let reply = browser.run(json!([op, {"op": "fail"}])).await;
            assert_eq!((reply.status, reply.set_cookies().len()), (500, 0), "{op} of {text:?}");
            let events = world.events();
            assert!(tells_of(&events, &row), "{op} of {text:?}: {events:?}");
            assert!(text.is_empty() || text == "[]" || !events.concat().contains(text), "{events:?}");
        }
        for path in ["/session", "/optional-session"] {
            assert_eq!(browser.get(path).await.status, 500, "{path} of {text:?}");
        }
        let reply = browser.run(json!([{"op": "current"}])).await;
        assert_eq!(reply.status, 500, "`current` can't refuse, so the response does");
        browser.run(json!([{"op": "logout"}])).await;
    }
}

async fn data_is_decoded_when_read(world: World) {
    let (mut browser, _) = unreadable(&world, "ada").await;
    let reply = browser.run(json!([{"op": "is_authenticated"}, {"op": "user_id"}, {"op": "rotate"}])).await;
    assert_eq!(reply.status, 200, "nobody read the data");
    assert_eq!((reply.result(0), reply.result(1), reply.error_status(2)), (json!(true), json!("ada"), None));
    assert_eq!(browser.get("/optional").await.json(), json!({"some": true, "user": "ada"}));
    assert_eq!(world.events(), Vec::<String>::new());
}

async fn unreadable_data_stays(world: World) {
    let (mut browser, _) = unreadable(&world, "ada").await;
    let change = json!([
        {"op": "set", "key": "a", "value": 1},
        {"op": "remove_key", "key": "b"},
        {"op": "increment", "key": "c"},
        {"op": "save"},
    ]);
    let reply = browser.run(change).await;
    assert_eq!(reply.status, 500);
    assert_eq!(only_row(&world, "ada").await.data.text(), NOT_JSON);
}

async fn signing_out_works(world: World) {
    for op in ["logout", "logout_all", "revoke", "revoke_all"] {
        let (mut browser, row) = unreadable(&world, "ada").await;
        let op = match op {
            "revoke" => json!({"op": op, "id": row.id.to_string()}),
            "revoke_all" => json!({"op": op, "user": "ada"}),
            _ => json!({"op": op}),
        };
        let reply = browser.run(json!([op, {"op": "current"}, {"op": "get", "key": "a"}])).await;
        assert_eq!((reply.status, reply.error_status(0), reply.result(1)), (200, None, Value::Null), "{op}");
        assert!(reply.removes_cookie(), "{op}");
        assert!(rows(&world, "ada").await.is_empty(), "{op}");
    }
}

async fn revoking_works(world: World) {
    for op in ["revoke", "revoke_by_id", "logout_other"] {
        let (mut broken, row) = unreadable(&world, "ada").await;
        let mut other = sign_in(&world, "ada").await;
        let listed = other.run(json!([{"op": "list_my_sessions"}, {"op": "list", "user": "ada"}])).await;
        assert_eq!(listed.status, 200, "{op}");
        for i in 0..2 {
            let ids: Vec<_> =
                listed.result(i).as_array().unwrap().iter().map(|session| session["id"].clone()).collect();
            assert!(ids.len() == 2 && ids.contains(&json!(row.id.to_string())), "it is seen, to be revoked: {ids:?}");
        }
        let op = match op {
            "revoke" => json!({"op": op, "id": row.id.to_string()}),
            "revoke_by_id" => json!({"op": op, "user": "ada", "id": row.id.to_string()}),
            _ => json!({"op": op}),
        };
        let reply = other.run(json!([op])).await;
        assert_eq!((reply.status, reply.error_status(0)), (200, None), "{op}");
        assert_eq!(user(&mut broken).await, Value::Null, "{op}");
        assert_eq!(other.run(json!([{"op": "logout"}])).await.error_status(0), None);
    }
}

async fn signing_in_again_works(world: World) {
    let (mut browser, row) = unreadable(&world, "ada").await;
    let ops = json!([{"op": "authenticate_with", "user": "ada", "data": {"a": 2}}, {"op": "get", "key": "a"}]);
    let reply = browser.run(ops).await;
    assert_eq!((reply.status, reply.error_status(0), reply.sends_cookie()), (200, None, true));
    assert_eq!(reply.result(1), json!({"value": 2}));
    let fresh = only_row(&world, "ada").await;
    assert_ne!(fresh.id, row.id, "the old session is replaced");
    assert_eq!(user(&mut browser).await, json!("ada"));
}
