//! OUT, LIST, REV and ADM: signing out, and seeing and revoking sessions, one's own and any user's.

use std::time::Duration;

use http::HeaderMap;
use serde_json::{Value, json};
use session_core::Clock;

use crate::browser::{Browser, Reply};
use crate::faulty::{Fault, OpKind};
use crate::scenarios::auth::{at_once, id, ids, only_row, sign_in, text, user};
use crate::scenarios::in_flight::in_flight;
use crate::scenarios::stored::rows;
use crate::suite::{Scenario, scenario};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("OUT-1", "logout ends the row, removes the cookie and shows at once", logout_shows_at_once),
    scenario!("OUT-1", "logout ends this session only, on every node", logout_ends_this_session_only),
    scenario!("OUT-1", "logout removes a cookie that is no session", logout_removes_a_dead_cookie),
    scenario!("OUT-1", "logout without a cookie succeeds and sends nothing", logout_without_a_cookie),
    scenario!("OUT-1", "logout of what ended or rotated meanwhile succeeds", logout_of_what_changed_meanwhile),
    scenario!("OUT-1", "logout ends what the same request made", logout_ends_what_the_request_made),
    scenario!("OUT-2", "logout_all ends every session of the user", logout_all_ends_every_session),
    scenario!("OUT-2", "logout_all treats the cookie as logout does", logout_all_without_a_session),
    scenario!("OUT-3", "logout_other ends all but this one", logout_other_ends_all_but_this_one),
    scenario!("OUT-3", "logout_other without a session is a 401", logout_other_without_a_session),
    scenario!("OUT-4", "a refused sign-out is an error, and all stays", a_refused_sign_out_changes_nothing),
    scenario!(
        "OUT-4",
        "a sign-out of unknown outcome is an error, and the cookie stays",
        an_unknown_sign_out_is_an_error
    ),
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
    scenario!("ADM-1", "revoke_by_id needs no sign-in", revoke_by_id_needs_no_sign_in),
    scenario!("ADM-1", "an id that isn't that user's is a 404", another_users_id_is_a_404),
    scenario!("ADM-1", "revoke_by_id of one's own session is a logout", revoking_oneself_by_id),
    scenario!("ADM-2", "revoke_all ends every session of that user", revoke_all_ends_every_session),
    scenario!("ADM-2", "revoke_all of oneself is a logout", revoking_all_of_oneself),
    scenario!("ADM-3", "revoke_all_except keeps one", revoke_all_except_keeps_one),
    scenario!("ADM-3", "a keep_id that isn't that user's keeps nothing", a_foreign_keep_id_keeps_nothing),
    scenario!("ADM-3", "revoke_all_except is a logout unless it keeps the caller", revoking_all_but_another),
];

async fn logout_shows_at_once(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    browser.run(json!([{"op": "set", "key": "a", "value": 1}])).await;
    let reply = browser
        .run(json!([
            {"op": "logout"},
            {"op": "current"},
            {"op": "is_authenticated"},
            {"op": "user_id"},
            {"op": "get", "key": "a"},
            {"op": "list_my_sessions"},
            {"op": "logout"},
        ]))
        .await;
    assert_eq!((reply.error_status(0), reply.error_status(6)), (None, None), "twice is no error");
    assert_eq!((reply.result(1), reply.result(2), reply.result(3)), (json!(null), json!(false), json!(null)));
    assert_eq!((reply.result(4), reply.error_status(5)), (json!({"absent": true}), Some(401)));
    assert_signed_out(&browser, &reply);
    assert!(rows(&world, "ada").await.is_empty());
    assert_eq!(user(&mut browser).await, json!(null));
}

async fn logout_ends_this_session_only(world: World) {
    let node = world.node().await;
    let (mut browser, mut other, mut bob) =
        (sign_in(&world, "ada").await, sign_in(&world, "ada").await, sign_in(&world, "bob").await);
    let thief = browser.clone();
    browser.run(json!([{"op": "logout"}])).await;
    for node in [&world, &node] {
        let reply = thief.on(node).run(json!([{"op": "current"}])).await;
        assert_eq!((reply.result(0), reply.set_cookies().len()), (json!(null), 0), "a copied cookie is dead too");
    }
    assert_eq!((user(&mut other).await, user(&mut bob).await), (json!("ada"), json!("bob")));
}

/// Browsers with a cookie of our name that is no live session.
async fn browsers_with_a_dead_cookie(world: &World) -> Vec<Browser> {
    let mut browser = sign_in(world, "eve").await;
    let ended = browser.clone();
    browser.run(json!([{"op": "logout"}])).await;
    let mut browsers = vec![ended];
    for value in ["garbage", "", "v1.AAAA", &"x".repeat(5000)] {
        let mut browser = world.browser();
        browser.set_cookie(value);
        browsers.push(browser);
    }
    browsers
}

async fn logout_removes_a_dead_cookie(world: World) {
    for mut browser in browsers_with_a_dead_cookie(&world).await {
        let value = browser.cookie();
        let reply = browser.run(json!([{"op": "logout"}, {"op": "current"}])).await;
        assert_eq!((reply.error_status(0), reply.result(1)), (None, json!(null)), "{value:?}");
        assert_signed_out(&browser, &reply);
    }
}

async fn logout_without_a_cookie(world: World) {
    world.faults.reset_counts();
    let mut with_others = world.browser();
    with_others.header("cookie", b"other=1; __host-session=x; __Host-session2=x");
    for mut browser in [world.browser(), with_others] {
        for op in ["logout", "logout_all"] {
            let reply = browser.run(json!([{"op": op}, {"op": "current"}])).await;
            assert_eq!((reply.status, reply.error_status(0), reply.result(1)), (200, None, json!(null)));
            assert!(!reply.headers.contains_key("set-cookie"), "{op}");
        }
    }
    assert_eq!(world.faults.total(), 0);
}

async fn logout_of_what_changed_meanwhile(world: World) {
    for (gate, meanwhile) in [("ended", "logout"), ("rotated", "rotate")] {
        let mut browser = sign_in(&world, "ada").await;
        let slow = in_flight(&world, &browser, json!([]), gate, json!([{"op": "logout"}, {"op": "current"}])).await;
        browser.run(json!([{"op": meanwhile}])).await;
        let (late, reply) = slow.finish(&world).await;
        assert_eq!((reply.error_status(1), reply.result(2)), (None, json!(null)), "{gate} meanwhile");
        assert_signed_out(&late, &reply);
        assert!(rows(&world, "ada").await.is_empty(), "{gate} meanwhile");
        assert_eq!(user(&mut browser).await, json!(null), "{gate} meanwhile");
    }
}

async fn logout_ends_what_the_request_made(world: World) {
    let scripts = [
        json!([{"op": "authenticate", "user": "ada"}, {"op": "logout"}, {"op": "current"}]),
        json!([{"op": "rotate"}, {"op": "logout"}, {"op": "current"}]),
    ];
    for script in scripts {
        let mut browser = sign_in(&world, "ada").await;
        let reply = browser.run(script).await;
        assert_eq!((reply.error_status(0), reply.error_status(1), reply.result(2)), (None, None, json!(null)));
        assert_signed_out(&browser, &reply);
        assert!(rows(&world, "ada").await.is_empty());
    }
    let mut browser = world.browser();
    let reply = browser.run(json!([{"op": "authenticate", "user": "ada"}, {"op": "logout"}])).await;
    assert!(!reply.sends_cookie() && browser.cookie().is_none());
    assert!(rows(&world, "ada").await.is_empty());
}

async fn logout_all_ends_every_session(world: World) {
    let node = world.node().await;
    let mut browser = sign_in(&world, "ada").await;
    let copy = browser.clone();
    let mut others = [sign_in(&world, "ada").await, sign_in(&node, "ada").await];
    let mut bob = sign_in(&world, "bob").await;
    let reply = browser.run(json!([{"op": "logout_all"}, {"op": "current"}, {"op": "is_authenticated"}])).await;
    assert_eq!((reply.error_status(0), reply.result(1), reply.result(2)), (None, json!(null), json!(false)));
    assert_signed_out(&browser, &reply);
    assert!(rows(&world, "ada").await.is_empty());
    for other in &mut others {
        let reply = other.run(json!([{"op": "user_id"}])).await;
        assert_eq!((reply.result(0), reply.set_cookies().len()), (json!(null), 0));
    }
    assert_eq!(user(&mut copy.on(&node)).await, json!(null));
    assert_eq!(user(&mut bob).await, json!("bob"));
}

async fn logout_all_without_a_session(world: World) {
    let mut ada = sign_in(&world, "ada").await;
    for mut browser in browsers_with_a_dead_cookie(&world).await {
        let reply = browser.run(json!([{"op": "logout_all"}, {"op": "current"}])).await;
        assert_eq!((reply.error_status(0), reply.result(1)), (None, json!(null)));
        assert_signed_out(&browser, &reply);
    }
    let mut browser = sign_in(&world, "bob").await;
    let slow = in_flight(&world, &browser, json!([]), "slow", json!([{"op": "logout_all"}, {"op": "current"}])).await;
    browser.run(json!([{"op": "logout"}])).await;
    let (late, reply) = slow.finish(&world).await;
    assert_eq!((reply.error_status(1), reply.result(2)), (None, json!(null)), "ended meanwhile");
    assert_signed_out(&late, &reply);
    assert_eq!(user(&mut ada).await, json!("ada"));
}

async fn logout_other_ends_all_but_this_one(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    browser.run(json!([{"op": "set", "key": "a", "value": 1}])).await;
    let mut bob = sign_in(&world, "bob").await;
    for script in [
        json!([{"op": "logout_other"}, {"op": "current"}]),
        json!([{"op": "rotate"}, {"op": "logout_other"}, {"op": "current"}]),
        json!([{"op": "logout_other"}]),
    ] {
        let mut others = [sign_in(&world, "ada").await, sign_in(&world, "ada").await];
        let before = id(&mut browser).await;
        let reply = browser.run(script.clone()).await;
        let length = script.as_array().map_or(0, Vec::len);
        assert!((0..length).all(|i| reply.error_status(i).is_none()), "{script}");
        assert_eq!(reply.set_cookies().len(), usize::from(length == 3), "only `rotate` sends the cookie");
        assert!(!reply.removes_cookie());
        assert_eq!(ids(&world, "ada").await, [before]);
        assert_eq!(browser.run(json!([{"op": "current"}])).await.result(0)["data"], json!({"a": 1}));
        for other in &mut others {
            let reply = other.run(json!([{"op": "user_id"}])).await;
            assert_eq!((reply.result(0), reply.set_cookies().len()), (json!(null), 0));
        }
    }
    let reply = browser.run(json!([{"op": "logout_other"}, {"op": "user_id"}])).await;
    assert_eq!((reply.error_status(0), reply.result(1)), (None, json!("ada")), "with no others there is nothing to do");
    assert_eq!(user(&mut bob).await, json!("bob"));
}

async fn logout_other_without_a_session(world: World) {
    let mut ada = sign_in(&world, "ada").await;
    let mut browsers = browsers_with_a_dead_cookie(&world).await;
    browsers.push(world.browser());
    for mut browser in browsers {
        let reply = browser.run(json!([{"op": "logout_other"}])).await;
        assert_eq!((reply.error_status(0), reply.set_cookies().len()), (Some(401), 0));
    }
    let reply = sign_in(&world, "ada").await.run(json!([{"op": "logout"}, {"op": "logout_other"}])).await;
    assert_eq!(reply.error_status(1), Some(401));
    assert_eq!(user(&mut ada).await, json!("ada"));
}

/// Everything that ends sessions: of ada, by her session `own`, who has another one, `other`.
fn sign_outs(own: &str, other: &str) -> Vec<Value> {
    vec![
        json!({"op": "logout"}),
        json!({"op": "logout_all"}),
        json!({"op": "logout_other"}),
        json!({"op": "revoke", "id": own}),
        json!({"op": "revoke", "id": other}),
        json!({"op": "revoke_by_id", "user": "ada", "id": own}),
        json!({"op": "revoke_by_id", "user": "ada", "id": other}),
        json!({"op": "revoke_all", "user": "ada"}),
        json!({"op": "revoke_all_except", "user": "ada", "keep": own}),
        json!({"op": "revoke_all_except", "user": "ada", "keep": other}),
    ]
}

async fn a_refused_sign_out_changes_nothing(world: World) {
    let (mut browser, mut other) = (sign_in(&world, "ada").await, sign_in(&world, "ada").await);
    let sign_outs = sign_outs(&id(&mut browser).await, &id(&mut other).await);
    let before = rows(&world, "ada").await;
    for fault in [Fault::NotApplied, Fault::UnknownLost] {
        for sign_out in &sign_outs {
            world.faults.fail(OpKind::End, fault);
            world.faults.fail(OpKind::EndAll, fault);
            let reply = browser.run(json!([sign_out, {"op": "user_id"}])).await;
            world.faults.clear();
            assert_eq!(reply.error_status(0), Some(503), "{sign_out}");
            assert_eq!(reply.result(1), json!("ada"), "{sign_out}: still signed in, in the same request too");
            assert!(reply.set_cookies().is_empty(), "{sign_out}: the cookie stays");
            assert!(rows(&world, "ada").await == before, "{sign_out}");
            assert_eq!((user(&mut browser).await, user(&mut other).await), (json!("ada"), json!("ada")), "{sign_out}");
        }
    }
}

async fn an_unknown_sign_out_is_an_error(world: World) {
    for op in ["logout", "logout_all"] {
        let mut browser = sign_in(&world, "ada").await;
        world.faults.reset_counts();
        world.faults.fail(OpKind::End, Fault::UnknownApplied);
        world.faults.fail(OpKind::EndAll, Fault::UnknownApplied);
        let reply = browser.run(json!([{"op": op}])).await;
        world.faults.clear();
        assert_eq!((reply.error_status(0), reply.set_cookies().len()), (Some(503), 0), "{op}");
        assert_eq!(world.faults.count(OpKind::End) + world.faults.count(OpKind::EndAll), 1, "never tried again");
        let reply = browser.run(json!([{"op": op}])).await;
        assert_eq!(reply.error_status(0), None, "asked again, it succeeds, whatever came of the first time");
        assert_signed_out(&browser, &reply);
    }
}

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
        assert_eq!((reply.result(0), reply.result(1)), (mine.clone(), json!([])));
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

/// Ids that are no session, as seen by whoever owns `own`.
fn ids_of_no_session(own: &str) -> Vec<String> {
    let mut unknown = own.to_owned();
    let last = if unknown.ends_with('0') { "1" } else { "0" };
    unknown.replace_range(unknown.len() - 1.., last);
    vec![
        unknown,
        String::new(),
        " ".into(),
        "x".into(),
        "0".into(),
        own.to_uppercase(),
        own.replace('-', ""),
        format!("{{{own}}}"),
        format!("urn:uuid:{own}"),
        format!(" {own}"),
        format!("{own} "),
        format!("{own}\0"),
        own[..own.len() - 1].to_owned(),
        "00000000-0000-0000-0000-000000000000".into(),
        "ffffffff-ffff-ffff-ffff-ffffffffffff".into(),
        "' OR 1=1 --".into(),
        "\0".into(),
        "ключ".into(),
        "x".repeat(100_000),
    ]
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

async fn revoke_by_id_needs_no_sign_in(world: World) {
    for mut admin in [world.browser(), sign_in(&world, "root").await] {
        let (mut lost, mut kept) = (sign_in(&world, "ada").await, sign_in(&world, "ada").await);
        let (who, lost_id) = (user(&mut admin).await, id(&mut lost).await);
        let script = json!([{"op": "revoke_by_id", "user": "ada", "id": lost_id}, {"op": "user_id"}]);
        let reply = admin.run(script).await;
        assert_eq!((reply.error_status(0), reply.result(1), reply.set_cookies().len()), (None, who, 0));
        let reply = lost.run(json!([{"op": "user_id"}])).await;
        assert_eq!((reply.result(0), reply.set_cookies().len()), (json!(null), 0));
        assert_eq!(user(&mut kept).await, json!("ada"));
    }
}

async fn another_users_id_is_a_404(world: World) {
    let (mut ada, mut bob) = (sign_in(&world, "ada").await, sign_in(&world, "bob").await);
    let (own, others) = (id(&mut ada).await, id(&mut bob).await);
    let before = (rows(&world, "ada").await, rows(&world, "bob").await);
    let mut answers = Vec::new();
    for mut caller in [world.browser(), ada.clone(), bob.clone()] {
        for id in [vec![others.clone()], ids_of_no_session(&own)].concat() {
            let reply = caller.run(json!([{"op": "revoke_by_id", "user": "ada", "id": id}])).await;
            assert_eq!((reply.error_status(0), reply.set_cookies().len()), (Some(404), 0), "{id:?}");
            let response = caller.run(json!([{"op": "revoke_by_id", "user": "ada", "id": id}, {"op": "fail"}])).await;
            answers.push((reply.result(0), response.status, without_date(response.headers), response.body));
        }
        let reply = caller.run(json!([{"op": "revoke_by_id", "user": "nobody", "id": own}])).await;
        assert_eq!(reply.error_status(0), Some(404));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0] && answer.1 == 404), "{answers:#?}");
    assert!((rows(&world, "ada").await, rows(&world, "bob").await) == before);
    assert_eq!((user(&mut ada).await, user(&mut bob).await), (json!("ada"), json!("bob")));
}

async fn revoking_oneself_by_id(world: World) {
    for first in ["current", "rotate"] {
        let (mut browser, mut other) = (sign_in(&world, "ada").await, sign_in(&world, "ada").await);
        let own = id(&mut browser).await;
        let script = json!([{"op": first}, {"op": "revoke_by_id", "user": "ada", "id": own}, {"op": "current"}]);
        let reply = browser.run(script).await;
        assert_eq!((reply.error_status(1), reply.result(2)), (None, json!(null)));
        assert_signed_out(&browser, &reply);
        assert_eq!(user(&mut other).await, json!("ada"));
    }
}

async fn revoke_all_ends_every_session(world: World) {
    let node = world.node().await;
    for mut admin in [world.browser(), sign_in(&world, "root").await] {
        let mut lost = [sign_in(&world, "ada").await, sign_in(&node, "ada").await];
        let mut bob = sign_in(&world, "bob").await;
        let who = user(&mut admin).await;
        let script =
            json!([{"op": "revoke_all", "user": "ada"}, {"op": "revoke_all", "user": "nobody"}, {"op": "user_id"}]);
        let reply = admin.run(script).await;
        assert_eq!((reply.error_status(0), reply.error_status(1), reply.result(2)), (None, None, who));
        assert!(reply.set_cookies().is_empty());
        for browser in &mut lost {
            let reply = browser.run(json!([{"op": "user_id"}])).await;
            assert_eq!((reply.result(0), reply.set_cookies().len()), (json!(null), 0));
        }
        assert!(rows(&world, "ada").await.is_empty());
        assert_eq!(user(&mut bob).await, json!("bob"));
    }
}

async fn revoking_all_of_oneself(world: World) {
    let (mut browser, mut other) = (sign_in(&world, "ada").await, sign_in(&world, "ada").await);
    let script = json!([{"op": "revoke_all", "user": "ada"}, {"op": "current"}, {"op": "set", "key": "a", "value": 1}]);
    let reply = browser.run(script).await;
    assert_eq!((reply.status, reply.error_status(0), reply.result(1)), (200, None, json!(null)));
    assert_signed_out(&browser, &reply);
    assert_eq!(user(&mut other).await, json!(null));
    assert!(rows(&world, "ada").await.is_empty());
}

async fn revoke_all_except_keeps_one(world: World) {
    let mut kept = sign_in(&world, "ada").await;
    let mut bob = sign_in(&world, "bob").await;
    let keep = id(&mut kept).await;
    for mut admin in [world.browser(), sign_in(&world, "root").await, kept.clone()] {
        let mut lost = [sign_in(&world, "ada").await, sign_in(&world, "ada").await];
        let who = user(&mut admin).await;
        let script = json!([{"op": "revoke_all_except", "user": "ada", "keep": keep}, {"op": "user_id"}]);
        let reply = admin.run(script).await;
        assert_eq!((reply.error_status(0), reply.result(1), reply.set_cookies().len()), (None, who, 0));
        assert_eq!(only_row(&world, "ada").await.id.to_string(), keep);
        for browser in &mut lost {
            assert_eq!(user(browser).await, json!(null));
        }
    }
    assert_eq!((user(&mut kept).await, user(&mut bob).await), (json!("ada"), json!("bob")));
}

async fn a_foreign_keep_id_keeps_nothing(world: World) {
    let mut bob = sign_in(&world, "bob").await;
    let foreign = id(&mut bob).await;
    let mut first = sign_in(&world, "ada").await;
    let own = id(&mut first).await;
    for keep in [vec![foreign], ids_of_no_session(&own)].concat() {
        let mut browser = sign_in(&world, "ada").await;
        let reply = world.browser().run(json!([{"op": "revoke_all_except", "user": "ada", "keep": keep}])).await;
        assert_eq!(reply.error_status(0), None, "{keep:?}");
        assert!(rows(&world, "ada").await.is_empty(), "{keep:?}");
        assert_eq!(user(&mut browser).await, json!(null), "{keep:?}");
        let mut browser = sign_in(&world, "ada").await;
        let script = json!([{"op": "revoke_all_except", "user": "ada", "keep": keep}, {"op": "current"}]);
        let reply = browser.run(script).await;
        assert_eq!(reply.result(1), json!(null), "{keep:?}");
        assert_signed_out(&browser, &reply);
    }
    assert_eq!((user(&mut first).await, user(&mut bob).await), (json!(null), json!("bob")));
}

async fn revoking_all_but_another(world: World) {
    let (mut browser, mut other) = (sign_in(&world, "ada").await, sign_in(&world, "ada").await);
    let keep = id(&mut other).await;
    let script = json!([{"op": "revoke_all_except", "user": "ada", "keep": keep}, {"op": "current"}]);
    let reply = browser.run(script).await;
    assert_eq!((reply.error_status(0), reply.result(1)), (None, json!(null)));
    assert_signed_out(&browser, &reply);
    assert_eq!(only_row(&world, "ada").await.id.to_string(), keep);
    assert_eq!(user(&mut other).await, json!("ada"));
}

/// The response removes the cookie, once, and the browser has none now.
fn assert_signed_out(browser: &Browser, reply: &Reply) {
    assert!(reply.removes_cookie() && !reply.sends_cookie());
    assert_eq!(reply.set_cookies().len(), 1);
    assert_eq!(browser.cookie(), None);
}

fn listed_ids(list: &Value) -> Vec<String> {
    list.as_array().unwrap_or_else(|| panic!("a list, not {list}")).iter().map(|session| text(&session["id"])).collect()
}

fn without_date(mut headers: HeaderMap) -> HeaderMap {
    headers.remove("date");
    headers
}
