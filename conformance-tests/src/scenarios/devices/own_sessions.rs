//! LIST-1, REV-1, REV-2, REV-3, REV-4: seeing and revoking one's own sessions.

use std::time::Duration;

use serde_json::{Value, json};
use session_core::Clock;

use crate::faulty::OpKind;
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::in_flight::in_flight;
use crate::scenarios::support::sessions::{
    assert_signed_out, at_once, browsers_with_a_dead_cookie, id, ids, ids_of_no_session, sign_in, text, user,
    without_date,
};
use crate::scenarios::support::stored::rows;
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("LIST-1", "most recently active first, this one among them", most_recently_active_first),
    scenario!("LIST-1", "ties go by newest sign-in", ties_go_by_newest_sign_in),
    scenario!("LIST-1", "the list shows what is stored", the_list_shows_what_is_stored),
    scenario!("LIST-1", "the list holds live sessions of that user only", the_list_holds_live_sessions_only),
    scenario!("LIST-1", "list_my_sessions without a session is a 401", my_sessions_without_a_session),
    scenario!("LIST-1", "anyone may list any user's sessions", anyone_may_list),
    scenario!("REV-1", "a revoked session is dead on its next request", revoke_is_immediate),
    scenario!("REV-2", "revoking the current session is a logout", revoking_the_current_is_a_logout),
    scenario!("REV-3", "every id that isn't one's own is the same 404", every_other_id_is_the_same_404),
    scenario!("REV-3", "without a session every id is a 401", revoke_without_a_session),
    scenario!("REV-4", "a session that ended meanwhile can do nothing to the others", an_ended_session_can_do_nothing),
    scenario!("REV-4", "the check is part of the one store call", the_check_is_part_of_the_call),
    scenario!("REV-4", "two sessions that end each other at once leave one", sessions_that_end_each_other),
];

async fn most_recently_active_first(world: World) {
    let mut browsers = Vec::new();
    let mut own = Vec::new();
    for _ in 0..3 {
        let mut browser = sign_in(&world, "ada").await;
        own.push(id(&mut browser).await);
        browsers.push(browser);
        world.clock.advance(Duration::from_secs(1));
    }
    world.clock.advance(Duration::from_mins(10));
    assert_eq!(user(&mut browsers[1]).await, json!("ada"));
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(user(&mut browsers[0]).await, json!("ada"));
    world.clock.advance(Duration::from_secs(1));
    let reply = browsers[0].run(json!([{"op": "list_my_sessions"}, {"op": "current"}])).await;
    let listed: Vec<_> = reply.result(0).as_array().unwrap().iter().map(|session| text(&session["id"])).collect();
    assert_eq!(listed, [own[0].clone(), own[1].clone(), own[2].clone()]);
    assert_eq!(reply.result(0)[0], reply.result(1), "this one, as `current` shows it");
}

async fn ties_go_by_newest_sign_in(world: World) {
    let mut first = sign_in(&world, "ada").await;
    world.clock.advance(Duration::from_mins(6));
    let mut second = sign_in(&world, "ada").await;
    world.clock.advance(Duration::from_mins(6));
    let mut third = sign_in(&world, "ada").await;
    let own = [id(&mut third).await, id(&mut second).await, id(&mut first).await];
    let activity: Vec<_> = rows(&world, "ada").await.iter().map(|row| row.last_active_at).collect();
    assert_eq!(activity, [world.clock.now(); 3], "all are active at the same moment");
    assert_eq!(listed_ids(&first.run(json!([{"op": "list_my_sessions"}])).await.result(0)), own);
    assert_eq!(listed_ids(&world.browser().run(json!([{"op": "list", "user": "ada"}])).await.result(0)), own);
}

async fn the_list_shows_what_is_stored(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    browser.run(json!([{"op": "set", "key": "a", "value": 1}])).await;
    let stored = browser.run(json!([{"op": "current"}])).await.result(0);
    let reply = browser
        .run(json!([
            {"op": "set", "key": "a", "value": 2},
            {"op": "increment", "key": "n"},
            {"op": "list_my_sessions"},
            {"op": "list", "user": "ada"},
            {"op": "save"},
            {"op": "list_my_sessions"},
        ]))
        .await;
    assert_eq!((reply.result(2), reply.result(3)), (json!([stored]), json!([stored])));
    assert_eq!(reply.result(5)[0]["data"], json!({"a": 2, "n": 1}));
    let mut fields: Vec<_> = stored.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    let expected = [
        "authenticated_at",
        "created_at",
        "data",
        "device_name",
        "device_type",
        "expires_at",
        "fingerprint",
        "id",
        "ip_address",
        "last_active_at",
        "user_agent",
        "user_id",
    ];
    assert_eq!(fields, expected, "neither a token nor its hash");
}

async fn the_list_holds_live_sessions_only(world: World) {
    let world = world.with_config(|config| config.idle_timeout(Duration::from_hours(1))).await;
    let (expired, mut ended) = (sign_in(&world, "ada").await, sign_in(&world, "ada").await);
    sign_in(&world, "bob").await;
    ended.run(json!([{"op": "logout"}])).await;
    world.clock.advance(Duration::from_mins(30));
    let mut browser = sign_in(&world, "ada").await;
    world.clock.advance(Duration::from_mins(30));
    let own = id(&mut browser).await;
    let reply = browser.run(json!([{"op": "list_my_sessions"}, {"op": "list", "user": "ada"}])).await;
    assert_eq!((listed_ids(&reply.result(0)), listed_ids(&reply.result(1))), (vec![own.clone()], vec![own]));
    assert!(expired.cookie().is_some());
}

async fn my_sessions_without_a_session(world: World) {
    sign_in(&world, "eve").await;
    let mut browsers = browsers_with_a_dead_cookie(&world).await;
    browsers.push(world.browser());
    for mut browser in browsers {
        let reply = browser.run(json!([{"op": "list_my_sessions"}])).await;
        assert_eq!((reply.error_status(0), reply.set_cookies().len()), (Some(401), 0));
    }
}

async fn anyone_may_list(world: World) {
    let mut ada = sign_in(&world, "ada").await;
    world.clock.advance(Duration::from_secs(1));
    sign_in(&world, "ada").await;
    let mine = ada.run(json!([{"op": "list_my_sessions"}])).await.result(0);
    assert_eq!(mine.as_array().map(Vec::len), Some(2));
    for mut browser in [world.browser(), sign_in(&world, "bob").await] {
        let before = browser.cookie();
        let script = json!([{"op": "list", "user": "ada"}, {"op": "list", "user": "nobody"}]);
        let reply = browser.run(script).await;
        assert_eq!((listed_ids(&reply.result(0)), reply.result(1)), (listed_ids(&mine), json!([])));
        assert_eq!((&reply.result(0)[0]["data"], &reply.result(0)[1]["data"]), (&json!(null), &json!(null)));
        assert_eq!((reply.set_cookies().len(), browser.cookie()), (0, before));
    }
}

async fn revoke_is_immediate(world: World) {
    let node = world.node().await;
    let mut browser = sign_in(&world, "ada").await;
    let lost = sign_in(&world, "ada").await;
    let mut kept = sign_in(&world, "ada").await;
    let slow = in_flight(&world, &lost, json!([{"op": "set", "key": "a", "value": 1}]), "slow", json!([])).await;
    let other = id(&mut lost.on(&world)).await;
    let reply =
        browser.run(json!([{"op": "revoke", "id": other}, {"op": "user_id"}, {"op": "list_my_sessions"}])).await;
    assert_eq!((reply.error_status(0), reply.result(1), reply.set_cookies().len()), (None, json!("ada"), 0));
    assert!(!listed_ids(&reply.result(2)).contains(&other));
    for node in [&world, &node] {
        let reply = lost.on(node).run(json!([{"op": "user_id"}])).await;
        assert_eq!((reply.result(0), reply.set_cookies().len()), (json!(null), 0));
    }
    slow.finish(&world).await;
    assert!(!ids(&world, "ada").await.contains(&other), "a slow request doesn't bring it back");
    assert_eq!((user(&mut browser).await, user(&mut kept).await), (json!("ada"), json!("ada")));
}

async fn revoking_the_current_is_a_logout(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let logout = browser.run(json!([{"op": "logout"}, {"op": "current"}])).await;
    for first in ["current", "rotate"] {
        let (mut browser, mut other) = (sign_in(&world, "ada").await, sign_in(&world, "ada").await);
        let own = id(&mut browser).await;
        let copy = browser.clone();
        let reply = browser.run(json!([{"op": first}, {"op": "revoke", "id": own}, {"op": "current"}])).await;
        assert_eq!((reply.error_status(1), reply.result(2)), (None, json!(null)), "{first}");
        assert_eq!(reply.set_cookies(), logout.set_cookies(), "{first}: the same removal, and nothing else");
        assert_signed_out(&browser, &reply);
        assert_eq!(user(&mut copy.on(&world)).await, json!(null));
        assert_eq!(ids(&world, "ada").await, [id(&mut other).await], "{first}");
        other.run(json!([{"op": "logout"}])).await;
    }
}

async fn every_other_id_is_the_same_404(world: World) {
    let world = world.with_config(|config| config.idle_timeout(Duration::from_hours(1))).await;
    let expired = id(&mut sign_in(&world, "ada").await).await;
    world.clock.advance(Duration::from_hours(1));
    let (mut browser, mut gone, mut bob) =
        (sign_in(&world, "ada").await, sign_in(&world, "ada").await, sign_in(&world, "bob").await);
    let own = id(&mut browser).await;
    let others = vec![id(&mut gone).await, expired, id(&mut bob).await];
    gone.run(json!([{"op": "logout"}])).await;
    let before = (rows(&world, "ada").await, rows(&world, "bob").await);
    let mut answers = Vec::new();
    for id in [others, ids_of_no_session(&own)].concat() {
        let reply = browser.run(json!([{"op": "revoke", "id": id}, {"op": "user_id"}])).await;
        assert_eq!((reply.error_status(0), reply.result(1)), (Some(404), json!("ada")), "{id:?}");
        let response = browser.run(json!([{"op": "revoke", "id": id}, {"op": "fail"}])).await;
        assert_eq!(response.status, 404, "{id:?}");
        answers.push((reply.result(0), response.status, without_date(response.headers), response.body));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    assert!((rows(&world, "ada").await, rows(&world, "bob").await) == before);
    assert_eq!((user(&mut browser).await, user(&mut bob).await), (json!("ada"), json!("bob")));
}

async fn revoke_without_a_session(world: World) {
    let mut ada = sign_in(&world, "ada").await;
    let own = id(&mut ada).await;
    let mut browsers = browsers_with_a_dead_cookie(&world).await;
    browsers.push(world.browser());
    for mut browser in browsers {
        for id in [vec![own.clone()], ids_of_no_session(&own)].concat() {
            let reply = browser.run(json!([{"op": "revoke", "id": id}])).await;
            assert_eq!((reply.error_status(0), reply.set_cookies().len()), (Some(401), 0), "{id:?}");
        }
    }
    assert_eq!(user(&mut ada).await, json!("ada"));
}

async fn an_ended_session_can_do_nothing(world: World) {
    let mut other = sign_in(&world, "ada").await;
    let others = id(&mut other).await;
    for (gate, op) in [
        ("logout_other", json!({"op": "logout_other"})),
        ("revoke", json!({"op": "revoke", "id": others})),
        ("list", json!({"op": "list_my_sessions"})),
    ] {
        let mut thief = sign_in(&world, "ada").await;
        let slow = in_flight(&world, &thief, json!([]), gate, json!([op])).await;
        let stolen = id(&mut thief).await;
        assert_eq!(other.run(json!([{"op": "revoke", "id": stolen}])).await.error_status(0), None);
        let before = rows(&world, "ada").await;
        let (_, reply) = slow.finish(&world).await;
        assert_eq!((reply.error_status(1), reply.set_cookies().len()), (Some(401), 0), "{gate}");
        assert!(rows(&world, "ada").await == before, "{gate}");
        assert_eq!(user(&mut other).await, json!("ada"), "{gate}");
    }
}

async fn the_check_is_part_of_the_call(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let other = id(&mut sign_in(&world, "ada").await).await;
    for (op, kind) in [
        (json!({"op": "list_my_sessions"}), OpKind::List),
        (json!({"op": "revoke", "id": other}), OpKind::End),
        (json!({"op": "logout_other"}), OpKind::EndAll),
    ] {
        world.faults.reset_counts();
        assert_eq!(browser.run(json!([op])).await.error_status(0), None, "{op}");
        let counts = (world.faults.count(OpKind::Load), world.faults.count(kind), world.faults.total());
        assert_eq!(counts, (1, 1, 2), "{op}");
    }
}

async fn sessions_that_end_each_other(world: World) {
    let node = world.node().await;
    for round in 0..world.rounds {
        let name = format!("ada-{round}");
        let (mut one, mut two) = (sign_in(&world, &name).await, sign_in(&world, &name).await);
        let revoke = |id: String| json!([{"op": "revoke", "id": id}]);
        let (by_one, by_two) = match round % 3 {
            0 => (json!([{"op": "logout_other"}]), json!([{"op": "logout_other"}])),
            1 => (json!([{"op": "logout_other"}]), revoke(id(&mut one).await)),
            _ => (revoke(id(&mut two).await), revoke(id(&mut one).await)),
        };
        let mut done = at_once(vec![(&world, one, by_one), (&node, two.on(&node), by_two)]).await;
        let mut statuses: Vec<_> = done.iter().map(|(_, reply)| reply.error_status(1)).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [None, Some(401)], "round {round}");
        for (browser, reply) in &mut done {
            let lives = reply.error_status(1).is_none();
            assert_eq!(user(browser).await, if lives { json!(name) } else { json!(null) }, "round {round}");
        }
        assert_eq!(ids(&world, &name).await.len(), 1, "round {round}");
    }
}

fn listed_ids(list: &Value) -> Vec<String> {
    list.as_array().unwrap_or_else(|| panic!("a list, not {list}")).iter().map(|session| text(&session["id"])).collect()
}
