//! DATA-14: `reload`, which asks whether the session lives and what it holds. After rotations it is
//! in `reload_rotated`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::faulty::{Fault, OpKind};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::in_flight::in_flight_on;
use crate::scenarios::support::sessions::{browsers_with_a_dead_cookie, id, only_row, sign_in};
use crate::scenarios::support::stored::{data, rows};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("DATA-14", "reload shows what others have stored since", reload_shows_what_others_stored),
    scenario!("DATA-14", "reload writes nothing", reload_writes_nothing),
    scenario!("DATA-14", "reload keeps unsaved changes on top", reload_keeps_unsaved_changes),
    scenario!("DATA-14", "reload of a session that has ended is a 401", reload_after_the_end),
    scenario!("DATA-14", "reload renews nothing and is a 401 from the expiry on", reload_after_the_expiry),
    scenario!("DATA-14", "reload without a session is a 401 and asks no store", reload_without_a_session),
    scenario!("DATA-14", "a failed reload is a 503 and the session stays", a_failed_reload),
];

/// Handlers before their response, and those that outlive its head, each with a user of its own.
/// Scripts begin with `head`.
const HANDLERS: [(&str, &str); 2] = [("/do", "ada"), ("/stream", "bob")];

async fn reload_shows_what_others_stored(world: World) {
    let node = world.node().await;
    for (path, user) in HANDLERS {
        let mut browser = sign_in(&world, user).await;
        browser.run(json!([{"op": "set", "key": "a", "value": 1}, {"op": "set", "key": "gone", "value": 1}])).await;
        let after = json!([
            {"op": "get", "key": "a"},
            {"op": "reload"},
            {"op": "current"},
            {"op": "get", "key": "a"},
            {"op": "get", "key": "gone"},
        ]);
        let slow = in_flight_on(path, &world, &browser, json!([{"op": "head"}]), path, after).await;
        let changes = json!([{"op": "set", "key": "a", "value": 2}, {"op": "remove_key", "key": "gone"}]);
        browser.on(&node).run(changes).await;
        let (_, reply) = slow.finish(&world).await;
        assert_eq!((reply.result(2), reply.error_status(3)), (json!({"value": 1}), None), "{path}");
        assert_eq!((&reply.result(4)["user_id"], &reply.result(4)["data"]), (&json!(user), &json!({"a": 2})));
        assert_eq!((reply.result(5), reply.result(6)), (json!({"value": 2}), json!({"absent": true})), "{path}");
        assert!(reply.status == 200 && reply.set_cookies().is_empty(), "{path}");
    }
}

async fn reload_writes_nothing(world: World) {
    let (twice, set) =
        (json!([{"op": "reload"}, {"op": "reload"}]), json!({"op": "set", "key": "unsaved", "value": 1}));
    let with_changes = json!([set, {"op": "reload"}, {"op": "reload"}]);
    for (path, user, gate, after) in [
        ("/do", "ada", "handler", twice.clone()),
        ("/stream", "bob", "stream", twice),
        ("/stream", "eve", "stream with changes", with_changes),
    ] {
        let browser = sign_in(&world, user).await;
        let slow = in_flight_on(path, &world, &browser, json!([{"op": "head"}]), gate, after).await;
        let before = only_row(&world, user).await;
        // Activity is due by now, but `reload` is none.
        world.clock.advance(Duration::from_hours(1));
        world.faults.reset_counts();
        let (_, reply) = slow.finish(&world).await;
        assert!(reply.results().iter().all(|result| result.get("error").is_none()), "{gate}: {:?}", reply.results());
        assert_eq!((world.faults.count(OpKind::Load), world.faults.total()), (2, 2), "{gate}");
        assert!(only_row(&world, user).await == before, "{gate}");
    }
}

async fn reload_keeps_unsaved_changes(world: World) {
    for (path, user) in HANDLERS {
        let mut browser = sign_in(&world, user).await;
        browser.run(json!([{"op": "set", "key": "gone", "value": 1}])).await;
        let add = json!({"op": "increment", "key": "n"});
        let before = json!([
            {"op": "head"},
            add,
            {"op": "set", "key": "mine", "value": 1},
            {"op": "remove_key", "key": "gone"},
        ]);
        let after = json!([
            {"op": "reload"},
            {"op": "current"},
            {"op": "reload"},
            {"op": "current"},
            {"op": "save"},
            {"op": "reload"},
            {"op": "current"},
        ]);
        let slow = in_flight_on(path, &world, &browser, before, path, after).await;
        browser
            .run(json!([
                add,
                add,
                {"op": "set", "key": "mine", "value": 2},
                {"op": "set", "key": "gone", "value": 2},
                {"op": "set", "key": "theirs", "value": 2},
            ]))
            .await;
        let theirs = json!({"n": 2, "mine": 2, "gone": 2, "theirs": 2});
        assert_eq!(data(&world, user).await, theirs, "{path}: nothing is saved yet");
        let (_, reply) = slow.finish(&world).await;
        let merged = json!({"n": 3, "mine": 1, "theirs": 2});
        for (reload, current) in [(5, 6), (7, 8), (10, 11)] {
            assert_eq!(reply.error_status(reload), None, "{path}, entry {reload}");
            assert_eq!(reply.result(current)["data"], merged, "{path}, entry {current}");
        }
        assert_eq!(reply.error_status(9), None, "{path}");
        assert_eq!(data(&world, user).await, merged, "{path}: the increment counts once");
    }
}

async fn reload_after_the_end(world: World) {
    let ends = |id: &str| -> [(&'static str, Value); 6] {
        [
            ("logout", json!({"op": "logout"})),
            ("logout_all", json!({"op": "logout_all"})),
            ("revoke", json!({"op": "revoke", "id": id})),
            ("revoke_by_id", json!({"op": "revoke_by_id", "user": "ada", "id": id})),
            ("revoke_all", json!({"op": "revoke_all", "user": "ada"})),
            ("authenticate", json!({"op": "authenticate", "user": "eve"})),
        ]
    };
    for i in 0..ends("").len() {
        let mut browser = sign_in(&world, "ada").await;
        let (end, op) = ends(&id(&mut browser).await)[i].clone();
        let after = json!([{"op": "reload"}, {"op": "current"}, {"op": "reload"}, {"op": "save"}]);
        let stream = in_flight_on("/stream", &world, &browser, json!([{"op": "head"}]), end, after).await;
        assert_eq!(browser.run(json!([op])).await.error_status(0), None, "{end}");
        let (_, reply) = stream.finish(&world).await;
        assert_eq!((reply.error_status(2), reply.result(3)), (Some(401), json!(null)), "ended by {end}");
        assert_eq!((reply.error_status(4), reply.error_status(5)), (Some(401), Some(401)), "ended by {end}");
        assert!(rows(&world, "ada").await.is_empty(), "{end}");
    }
}

async fn reload_after_the_expiry(world: World) {
    let (idle, second) = (Duration::from_hours(1), Duration::from_secs(1));
    let world = world.with_config(|config| config.idle_timeout(idle)).await;
    let browser = sign_in(&world, "ada").await;
    let after = json!([{"op": "reload"}, {"op": "gate", "name": "later"}, {"op": "reload"}, {"op": "user_id"}]);
    let stream = in_flight_on("/stream", &world, &browser, json!([{"op": "head"}]), "stream", after).await;
    world.clock.advance(idle - second);
    world.gates.open("stream");
    world.gates.arrived("later").await;
    world.clock.advance(second);
    world.gates.open("later");
    let (_, reply) = stream.finish(&world).await;
    assert_eq!((reply.error_status(2), reply.error_status(4)), (None, Some(401)));
    assert_eq!(reply.result(5), json!(null));
}

async fn reload_without_a_session(world: World) {
    let mut browsers = browsers_with_a_dead_cookie(&world).await;
    browsers.push(world.browser());
    for mut browser in browsers {
        world.faults.reset_counts();
        browser.run(json!([])).await;
        let extraction = world.faults.total();
        let reply = browser.run(json!([{"op": "reload"}, {"op": "reload"}, {"op": "user_id"}])).await;
        assert_eq!((reply.error_status(0), reply.error_status(1)), (Some(401), Some(401)), "{:?}", browser.cookie());
        assert_eq!((reply.result(2), reply.set_cookies().len()), (json!(null), 0));
        assert_eq!(world.faults.total(), 2 * extraction, "{:?}: it asks no store", browser.cookie());
    }
    let mut browser = sign_in(&world, "ada").await;
    world.faults.reset_counts();
    let reply = browser.run(json!([{"op": "logout"}, {"op": "reload"}])).await;
    assert_eq!((reply.error_status(1), reply.removes_cookie()), (Some(401), true), "nor after a sign-out of its own");
    assert_eq!((world.faults.count(OpKind::Load), world.faults.count(OpKind::End), world.faults.total()), (1, 1, 2));
}

async fn a_failed_reload(world: World) {
    for (path, user) in HANDLERS {
        let mut browser = sign_in(&world, user).await;
        for fault in [Fault::NotApplied, Fault::UnknownLost] {
            browser.run(json!([{"op": "set", "key": "a", "value": 1}, {"op": "remove_key", "key": "b"}])).await;
            let before = json!([{"op": "head"}, {"op": "set", "key": "b", "value": 2}]);
            let after =
                json!([{"op": "reload"}, {"op": "current"}, {"op": "reload"}, {"op": "current"}, {"op": "save"}]);
            let slow = in_flight_on(path, &world, &browser, before, path, after).await;
            browser.run(json!([{"op": "set", "key": "a", "value": 3}])).await;
            world.faults.fail_once(OpKind::Load, fault);
            let (_, reply) = slow.finish(&world).await;
            world.gates.close(path);
            assert_eq!((reply.status, reply.error_status(3)), (200, Some(503)), "{path}, {fault:?}");
            assert_eq!(reply.result(4)["user_id"], json!(user), "{path}, {fault:?}: an outage is no sign-out");
            assert_eq!(reply.result(4)["data"], json!({"a": 1, "b": 2}), "{path}, {fault:?}");
            assert_eq!((reply.error_status(5), &reply.result(6)["data"]), (None, &json!({"a": 3, "b": 2})), "{path}");
            assert_eq!(reply.error_status(7), None, "{path}, {fault:?}");
            assert_eq!(data(&world, user).await, json!({"a": 3, "b": 2}), "{path}, {fault:?}");
        }
    }
}
