//! AUTH: signing in, and what becomes of the session before. What is common to the session scenarios stands at the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use session_core::{Clock, KeyRing, Record, SessionConfig, SigningKey};

use crate::browser::{Browser, Reply};
use crate::faulty::{Fault, OpKind};
use crate::scenarios::in_flight::in_flight;
use crate::scenarios::stored::rows;
use crate::suite::{Scenario, scenario};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("AUTH-1", "a sign-in makes a session, sends its cookie and shows at once", a_sign_in_shows_at_once),
    scenario!("AUTH-1", "every sign-in has a new id and a new token", every_sign_in_is_new),
    scenario!("AUTH-1", "a session starts with the data given to it", starts_with_the_data_given),
    scenario!("AUTH-1", "a dead token isn't taken up again", a_dead_token_is_not_taken_up_again),
    scenario!("AUTH-2", "the session before is dead on every node before the call returns", the_one_before_is_dead),
    scenario!("AUTH-2", "another user's session before is ended too", another_users_session_before_is_ended),
    scenario!("AUTH-2", "the end and the beginning are one store call", replacing_is_one_store_call),
    scenario!("AUTH-2", "no data is carried over", no_data_is_carried_over),
    scenario!(
        "AUTH-2",
        "a slow request writes to neither the old session nor the new",
        a_slow_request_writes_to_neither
    ),
    scenario!("AUTH-2", "a sign-in whose session was replaced meanwhile succeeds", replaced_meanwhile),
    scenario!("AUTH-2", "racing sign-ins that replace one session leave two", racing_replacements_leave_two),
    scenario!("AUTH-3", "a refused sign-in leaves everything as it was", a_refused_sign_in_changes_nothing),
    scenario!("AUTH-3", "a sign-in of unknown outcome that is found is a success", an_unknown_sign_in_that_is_found),
    scenario!("AUTH-3", "a sign-in of unknown outcome that isn't found is a 503", an_unknown_sign_in_that_is_lost),
    scenario!("AUTH-3", "a sign-in that can't be looked up is a 503", an_unknown_sign_in_without_lookup),
    scenario!("AUTH-3", "a refused rotate leaves everything as it was", a_refused_rotate_changes_nothing),
    scenario!("AUTH-3", "a rotate of unknown outcome that is found is a success", an_unknown_rotate_that_is_found),
    scenario!("AUTH-3", "a rotate of unknown outcome that isn't found is a 503", an_unknown_rotate_that_is_lost),
    scenario!("AUTH-4", "ten sessions by default, and the oldest go", ten_sessions_by_default),
    scenario!("AUTH-4", "the least recently active go, not the first to sign in", the_least_recently_active_go),
    scenario!("AUTH-4", "a sign-in never ends itself, even if the clock jumped back", a_sign_in_never_ends_itself),
    scenario!("AUTH-4", "the session that a sign-in replaces makes room for it", the_replaced_one_makes_room),
    scenario!("AUTH-4", "only live sessions of the same user count", only_live_sessions_of_the_user_count),
    scenario!("AUTH-4", "a lowered limit holds from the next sign-in on", a_lowered_limit_holds),
    scenario!("AUTH-4", "the limit is 1 to 1000", the_limit_is_1_to_1000),
    scenario!("AUTH-4", "of 24 racing sign-ins exactly the limit remains", racing_sign_ins_keep_the_limit),
    scenario!("AUTH-5", "of two sign-ins in one request the last remains", the_last_sign_in_remains),
    scenario!("AUTH-5", "if the second sign-in is refused the first stands", a_refused_second_leaves_the_first),
    scenario!("AUTH-6", "user ids are compared byte for byte", user_ids_are_compared_byte_for_byte),
    scenario!("AUTH-6", "user ids of 1 to 255 bytes are taken", user_ids_up_to_255_bytes),
    scenario!("AUTH-6", "other user ids are an error that changes nothing", bad_user_ids_change_nothing),
    scenario!("ROT-1", "rotate keeps the session and sends a new token", rotate_keeps_the_session),
    scenario!("ROT-1", "rotate renews the idle expiry", rotate_renews_the_idle_expiry),
    scenario!("ROT-1", "rotate never moves the absolute expiry", rotate_never_moves_the_absolute_expiry),
    scenario!("ROT-1", "the old token is dead on every node before the call returns", the_old_token_is_dead_at_once),
    scenario!("ROT-2", "without a session rotate is a 401", rotate_without_a_session),
    scenario!("ROT-2", "if the session ended meanwhile rotate is a 401", rotate_after_the_end),
    scenario!("ROT-2", "a token replaced a minute ago can't rotate", rotate_after_the_grace),
    scenario!("ROT-3", "the rotation that comes second succeeds without a cookie", the_second_rotation_succeeds),
    scenario!(
        "ROT-3",
        "of racing rotations one sends its cookie, and that one works",
        racing_rotations_have_one_winner
    ),
    scenario!("ROT-4", "token and expiry change in one store call", rotate_is_one_store_call),
    scenario!("ROT-4", "nobody ever sees one without the other", nobody_sees_half_a_rotation),
    scenario!("ROT-5", "a second rotate starts from the first one's token", a_second_rotate_starts_from_the_first),
    scenario!("ROT-5", "rotate after a sign-in starts from its token", rotate_after_a_sign_in),
];

async fn a_sign_in_shows_at_once(world: World) {
    let mut browser = world.browser();
    let reply = browser
        .run(json!([
            {"op": "authenticate", "user": "ada"},
            {"op": "current"},
            {"op": "is_authenticated"},
            {"op": "user_id"},
        ]))
        .await;
    assert_eq!(reply.error_status(0), None);
    let session = reply.result(1);
    assert_eq!((&session["user_id"], &session["data"]), (&json!("ada"), &json!({})));
    assert_eq!((reply.result(2), reply.result(3)), (json!(true), json!("ada")));
    assert!(reply.sends_cookie());
    assert_eq!(reply.set_cookies().len(), 1);

    let rows = rows(&world, "ada").await;
    assert_eq!(rows.len(), 1);
    assert_eq!(session["id"], json!(rows[0].id.to_string()));
    let now = world.clock.now();
    assert_eq!((rows[0].created_at, rows[0].authenticated_at, rows[0].last_active_at), (now, now, now));
    let next = browser.run(json!([{"op": "current"}])).await;
    assert_eq!(next.result(0), session, "the next request sees the same");
}

async fn every_sign_in_is_new(world: World) {
    let mut browsers = [world.browser(), world.browser()];
    let (mut ids, mut cookies, mut tokens) = (Vec::new(), Vec::new(), Vec::new());
    for i in [0, 0, 1, 0, 1] {
        let reply = browsers[i].run(json!([{"op": "authenticate", "user": "ada"}, {"op": "current"}])).await;
        ids.push(reply.result(1)["id"].to_string());
        cookies.push(browsers[i].cookie().expect("a sign-in sends the cookie"));
        let row = rows(&world, "ada").await.into_iter().find(|row| json!(row.id.to_string()) == reply.result(1)["id"]);
        tokens.push(row.expect("the session that `current` shows is stored").token_hash);
    }
    for later in 1..ids.len() {
        for earlier in 0..later {
            assert_ne!(ids[earlier], ids[later]);
            assert_ne!(cookies[earlier], cookies[later]);
            assert!(tokens[earlier] != tokens[later]);
        }
    }
}

async fn starts_with_the_data_given(world: World) {
    let given = json!({"theme": "dark", "": [1, null]});
    for op in ["authenticate_with", "authenticate_opts"] {
        let mut browser = sign_in(&world, "ada").await;
        let reply = browser.run(json!([{"op": op, "user": "ada", "data": given}, {"op": "current"}])).await;
        assert_eq!(reply.error_status(0), None, "{op}");
        assert_eq!(reply.result(1)["data"], given, "{op} shows at once");
        let reply = browser.run(json!([{"op": "current"}])).await;
        assert_eq!(reply.result(0)["data"], given, "{op} is stored");
    }
    let mut browser = world.browser();
    browser.run(json!([{"op": "authenticate_opts", "user": "ada", "browser_session": true}])).await;
    assert_eq!(
        browser.run(json!([{"op": "current"}])).await.result(0)["data"],
        json!({}),
        "no data is an empty object"
    );
}

async fn a_dead_token_is_not_taken_up_again(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let mut stale = browser.clone();
    browser.run(json!([{"op": "logout"}])).await;
    let dead = stale.cookie();
    let reply = stale.run(json!([{"op": "authenticate", "user": "ada"}])).await;
    assert!(reply.sends_cookie());
    assert_ne!(stale.cookie(), dead);
    assert_eq!(user(&mut stale).await, json!("ada"));
    let mut thief = world.browser();
    thief.set_cookie(dead.expect("the copy kept it"));
    assert_eq!(user(&mut thief).await, json!(null));
}

async fn the_one_before_is_dead(world: World) {
    let node = world.node().await;
    let old = sign_in(&world, "ada").await;
    let slow =
        in_flight(&world, &old, json!([{"op": "authenticate", "user": "ada"}, {"op": "current"}]), "slow", json!([]));
    let slow = slow.await;
    for node in [&world, &node] {
        let mut late = old.on(node);
        let reply = late.run(json!([{"op": "current"}])).await;
        assert_eq!(
            (reply.status, reply.result(0)),
            (200, json!(null)),
            "the call has returned, the response hasn't left"
        );
        assert!(reply.set_cookies().is_empty(), "a late request leaves the cookie alone");
    }
    let (mut browser, reply) = slow.finish(&world).await;
    assert_eq!(ids(&world, "ada").await, [text(&reply.result(1)["id"])]);
    assert_eq!(user(&mut browser.on(&node)).await, json!("ada"));
    assert_eq!(user(&mut browser).await, json!("ada"));
}

async fn another_users_session_before_is_ended(world: World) {
    let mut browser = sign_in(&world, "bob").await;
    let mut old = browser.clone();
    browser.sign_in("ada").await;
    assert_eq!(ids(&world, "bob").await, Vec::<String>::new());
    assert_eq!(ids(&world, "ada").await.len(), 1);
    assert_eq!((user(&mut old).await, user(&mut browser).await), (json!(null), json!("ada")));
}

async fn replacing_is_one_store_call(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    world.faults.reset_counts();
    browser.sign_in("ada").await;
    let counts = (world.faults.count(OpKind::Load), world.faults.count(OpKind::Create), world.faults.total());
    assert_eq!(counts, (1, 1, 2));
}

async fn no_data_is_carried_over(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    browser.run(json!([{"op": "set", "key": "stored", "value": 1}])).await;
    let reply = browser
        .run(json!([
            {"op": "set", "key": "pending", "value": 1},
            {"op": "increment", "key": "stored"},
            {"op": "authenticate", "user": "ada"},
            {"op": "current"},
            {"op": "get", "key": "stored"},
            {"op": "get", "key": "pending"},
        ]))
        .await;
    assert_eq!(reply.result(3)["data"], json!({}));
    assert_eq!((reply.result(4), reply.result(5)), (json!({"absent": true}), json!({"absent": true})));
    assert_eq!(browser.run(json!([{"op": "current"}])).await.result(0)["data"], json!({}));
}

async fn a_slow_request_writes_to_neither(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let slow = in_flight(&world, &browser, json!([{"op": "set", "key": "a", "value": 1}]), "slow", json!([])).await;
    browser.sign_in("ada").await;
    let (_, reply) = slow.finish(&world).await;
    assert_eq!((reply.status, reply.set_cookies().len()), (200, 0));
    assert_eq!(ids(&world, "ada").await.len(), 1, "the old session didn't come back");
    assert_eq!(browser.run(json!([{"op": "current"}])).await.result(0)["data"], json!({}));
}

async fn replaced_meanwhile(world: World) {
    let mut first = sign_in(&world, "ada").await;
    let mut old = first.clone();
    let second = in_flight(&world, &first, json!([]), "slow", json!([{"op": "authenticate", "user": "ada"}])).await;
    first.sign_in("ada").await;
    let (mut second, reply) = second.finish(&world).await;
    assert_eq!(reply.error_status(1), None);
    assert!(reply.sends_cookie());
    assert_eq!(ids(&world, "ada").await.len(), 2);
    assert_ne!(id(&mut first).await, id(&mut second).await);
    assert_eq!(user(&mut old).await, json!(null));
}

async fn racing_replacements_leave_two(world: World) {
    let node = world.node().await;
    for round in 0..world.rounds {
        let name = format!("ada-{round}");
        let mut old = sign_in(&world, &name).await;
        let script = json!([{"op": "authenticate", "user": name}, {"op": "current"}]);
        let mut done = at_once(vec![(&world, old.on(&world), script.clone()), (&node, old.on(&node), script)]).await;
        let mut made = Vec::new();
        for (browser, reply) in &mut done {
            assert_eq!(reply.error_status(1), None, "round {round}");
            assert!(reply.sends_cookie(), "round {round}");
            assert_eq!(user(browser).await, json!(name), "round {round}");
            made.push(text(&reply.result(2)["id"]));
        }
        let mut left = ids(&world, &name).await;
        left.sort();
        made.sort();
        assert_eq!(left, made, "round {round}");
        assert_eq!(user(&mut old).await, json!(null), "round {round}");
    }
}

async fn a_refused_sign_in_changes_nothing(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    browser.run(json!([{"op": "set", "key": "a", "value": 1}])).await;
    let before = rows(&world, "ada").await;
    let script = json!([
        {"op": "authenticate", "user": "bob"},
        {"op": "current"},
        {"op": "authenticate", "user": "ada"},
        {"op": "current"},
    ]);
    world.faults.fail(OpKind::Create, Fault::NotApplied);
    let signed_in = browser.run(script.clone()).await;
    let anonymous = world.browser().run(script).await;
    world.faults.clear();
    for reply in [&signed_in, &anonymous] {
        assert_eq!((reply.error_status(0), reply.error_status(2)), (Some(503), Some(503)));
        assert!(reply.set_cookies().is_empty());
    }
    for i in [1, 3] {
        assert_eq!(signed_in.result(i)["user_id"], json!("ada"), "the old session is still the current one");
        assert_eq!(signed_in.result(i)["data"], json!({"a": 1}));
        assert_eq!(anonymous.result(i), json!(null));
    }
    assert!(rows(&world, "ada").await == before);
    assert_eq!(ids(&world, "bob").await, Vec::<String>::new());
    assert_eq!(user(&mut browser).await, json!("ada"));
}

async fn an_unknown_sign_in_that_is_found(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let mut old = browser.clone();
    world.faults.reset_counts();
    world.faults.fail(OpKind::Create, Fault::UnknownApplied);
    let reply = browser.run(json!([{"op": "authenticate", "user": "ada"}, {"op": "current"}])).await;
    world.faults.clear();
    assert_eq!(reply.error_status(0), None);
    assert!(reply.sends_cookie());
    assert_eq!(ids(&world, "ada").await, [text(&reply.result(1)["id"])]);
    let counts = (world.faults.count(OpKind::Create), world.faults.count(OpKind::Load));
    assert_eq!(counts, (1, 2), "never tried again, and looked up once");
    assert_eq!((user(&mut browser).await, user(&mut old).await), (json!("ada"), json!(null)));
}

async fn an_unknown_sign_in_that_is_lost(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let before = ids(&world, "ada").await;
    world.faults.reset_counts();
    world.faults.fail(OpKind::Create, Fault::UnknownLost);
    let reply = browser.run(json!([{"op": "authenticate", "user": "ada"}])).await;
    assert_eq!(reply.error_status(0), Some(503));
    assert!(reply.set_cookies().is_empty());
    let counts = (world.faults.count(OpKind::Create), world.faults.count(OpKind::Load));
    assert_eq!(counts, (1, 2), "never tried again, and looked up once");
    let reply = world.browser().run(json!([{"op": "authenticate", "user": "bob"}, {"op": "current"}])).await;
    assert_eq!((reply.error_status(0), reply.result(1)), (Some(503), json!(null)));
    assert!(reply.set_cookies().is_empty());
    world.faults.clear();
    assert_eq!(ids(&world, "ada").await, before);
    assert_eq!(user(&mut browser).await, json!("ada"), "the old session still lives");
    assert_eq!(ids(&world, "bob").await, Vec::<String>::new());
}

async fn an_unknown_sign_in_without_lookup(world: World) {
    for fault in [Fault::UnknownApplied, Fault::UnknownLost] {
        world.faults.fail(OpKind::Create, fault);
        world.faults.fail(OpKind::Load, Fault::NotApplied);
        let mut browser = world.browser();
        let reply = browser.run(json!([{"op": "authenticate", "user": "ada"}])).await;
        world.faults.clear();
        assert_eq!(reply.error_status(0), Some(503));
        assert!(reply.set_cookies().is_empty());
        assert_eq!(user(&mut browser).await, json!(null));
    }
}

async fn a_refused_rotate_changes_nothing(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let before = rows(&world, "ada").await;
    world.clock.advance(Duration::from_secs(10));
    world.faults.fail(OpKind::Apply, Fault::NotApplied);
    let reply = browser.run(json!([{"op": "rotate"}, {"op": "user_id"}])).await;
    world.faults.clear();
    assert_eq!((reply.error_status(0), reply.result(1)), (Some(503), json!("ada")));
    assert!(reply.set_cookies().is_empty());
    assert!(rows(&world, "ada").await == before, "neither token nor expiry changed");
    assert_eq!(user(&mut browser).await, json!("ada"), "the old token still lives");
}

async fn an_unknown_rotate_that_is_found(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let mut old = browser.clone();
    let before = id(&mut browser).await;
    world.faults.reset_counts();
    world.faults.fail(OpKind::Apply, Fault::UnknownApplied);
    let reply = browser.run(json!([{"op": "rotate"}])).await;
    world.faults.clear();
    assert_eq!(reply.error_status(0), None);
    assert!(reply.sends_cookie());
    let counts = (world.faults.count(OpKind::Apply), world.faults.count(OpKind::Load));
    assert_eq!(counts, (1, 2), "never tried again, and looked up once");
    assert_eq!(id(&mut browser).await, before);
    assert_eq!(user(&mut old).await, json!(null));
}

async fn an_unknown_rotate_that_is_lost(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    world.faults.reset_counts();
    world.faults.fail(OpKind::Apply, Fault::UnknownLost);
    let reply = browser.run(json!([{"op": "rotate"}])).await;
    world.faults.clear();
    assert_eq!(reply.error_status(0), Some(503));
    assert!(reply.set_cookies().is_empty());
    let counts = (world.faults.count(OpKind::Apply), world.faults.count(OpKind::Load));
    assert_eq!(counts, (1, 2), "never tried again, and looked up once");
    assert_eq!(user(&mut browser).await, json!("ada"), "the old token still lives");
}

async fn ten_sessions_by_default(world: World) {
    let mut browsers = Vec::new();
    for _ in 0..12 {
        browsers.push(sign_in(&world, "ada").await);
        world.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(ids(&world, "ada").await.len(), 10);
    for (i, browser) in browsers.iter_mut().enumerate() {
        let reply = browser.run(json!([{"op": "user_id"}])).await;
        assert_eq!(reply.result(0), if i < 2 { json!(null) } else { json!("ada") }, "browser {i}");
        assert!(reply.set_cookies().is_empty());
    }
}

async fn the_least_recently_active_go(world: World) {
    let world = world.with_config(|config| config.max_sessions_per_user(3)).await;
    let mut browsers = Vec::new();
    for _ in 0..3 {
        browsers.push(sign_in(&world, "ada").await);
        world.clock.advance(Duration::from_secs(1));
    }
    world.clock.advance(Duration::from_mins(10));
    assert_eq!(user(&mut browsers[0]).await, json!("ada"));
    world.clock.advance(Duration::from_secs(1));
    browsers.push(sign_in(&world, "ada").await);
    for (i, browser) in browsers.iter_mut().enumerate() {
        assert_eq!(user(browser).await, if i == 1 { json!(null) } else { json!("ada") }, "browser {i}");
    }
}

async fn a_sign_in_never_ends_itself(world: World) {
    for limit in [1, 2] {
        let world = world.with_config(|config| config.max_sessions_per_user(limit)).await;
        let name = format!("ada-{limit}");
        let mut first = sign_in(&world, &name).await;
        world.clock.advance(Duration::from_secs(1));
        let mut second = sign_in(&world, &name).await;
        let before = world.clock.now();
        world.clock.set(before - Duration::from_hours(1));
        let mut third = sign_in(&world, &name).await;
        assert_eq!(user(&mut third).await, json!(name), "limit {limit}");
        assert_eq!(user(&mut first).await, json!(null), "limit {limit}");
        assert_eq!(user(&mut second).await, if limit == 1 { json!(null) } else { json!(name) });
        assert_eq!(ids(&world, &name).await.len(), usize::try_from(limit).unwrap());
        world.clock.set(before);
    }
}

async fn the_replaced_one_makes_room(world: World) {
    let world = world.with_config(|config| config.max_sessions_per_user(2)).await;
    let mut idle = sign_in(&world, "ada").await;
    world.clock.advance(Duration::from_secs(1));
    let mut active = sign_in(&world, "ada").await;
    for _ in 0..3 {
        world.clock.advance(Duration::from_secs(1));
        active.sign_in("ada").await;
    }
    assert_eq!((user(&mut idle).await, user(&mut active).await), (json!("ada"), json!("ada")));
    assert_eq!(ids(&world, "ada").await.len(), 2);
}

async fn only_live_sessions_of_the_user_count(world: World) {
    let world = world
        .with_config(|config| {
            config
                .max_sessions_per_user(2)
                .idle_timeout(Duration::from_hours(1))
                .absolute_timeout(Duration::from_hours(2))
        })
        .await;
    let mut bob = sign_in(&world, "bob").await;
    let mut expired = sign_in(&world, "ada").await;
    for _ in 0..3 {
        world.clock.advance(Duration::from_mins(30));
        assert_eq!(user(&mut expired).await, json!("ada"));
        assert_eq!(user(&mut bob).await, json!("bob"));
    }
    let mut live = sign_in(&world, "ada").await;
    world.clock.advance(Duration::from_mins(20));
    assert_eq!(user(&mut expired).await, json!("ada"), "more recently active than the other");
    assert_eq!(user(&mut bob).await, json!("bob"), "another user's sessions don't count");
    world.clock.advance(Duration::from_mins(10));
    let mut new = sign_in(&world, "ada").await;
    assert_eq!(user(&mut expired).await, json!(null));
    assert_eq!(
        (user(&mut live).await, user(&mut new).await),
        (json!("ada"), json!("ada")),
        "an expired one is no third"
    );
}

async fn a_lowered_limit_holds(world: World) {
    for _ in 0..6 {
        sign_in(&world, "ada").await;
        world.clock.advance(Duration::from_secs(1));
    }
    let newest = ids(&world, "ada").await[0].clone();
    let world = world.with_config(|config| config.max_sessions_per_user(2)).await;
    let mut browser = sign_in(&world, "ada").await;
    assert_eq!(ids(&world, "ada").await, [id(&mut browser).await, newest]);
}

async fn the_limit_is_1_to_1000(_: World) {
    for (limit, valid) in [(0, false), (1, true), (1000, true), (1001, false), (u32::MAX, false)] {
        let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32]).expect("32 bytes are a key"));
        let built = SessionConfig::builder().max_sessions_per_user(limit).build(keys);
        assert_eq!(built.is_ok(), valid, "{limit}");
    }
}

async fn racing_sign_ins_keep_the_limit(world: World) {
    let world = world.with_config(|config| config.max_sessions_per_user(5)).await;
    let node = world.node().await;
    for round in 0..world.rounds {
        let name = format!("ada-{round}");
        let script = json!([{"op": "authenticate", "user": name}, {"op": "current"}]);
        let racers = (0..24).map(|i| if i % 2 == 0 { &world } else { &node });
        let done = at_once(racers.map(|node| (node, node.browser(), script.clone())).collect()).await;
        let mut made = Vec::new();
        for (_, reply) in &done {
            assert_eq!(reply.error_status(1), None, "round {round}");
            assert!(reply.sends_cookie(), "round {round}");
            made.push(text(&reply.result(2)["id"]));
        }
        let left = ids(&world, &name).await;
        assert_eq!(left.len(), 5, "round {round}");
        assert!(left.iter().all(|id| made.contains(id)), "round {round}");
        if round == 0 {
            let mut live = 0;
            for (mut browser, _) in done {
                live += usize::from(user(&mut browser).await == json!(name));
            }
            assert_eq!(live, 5, "as many cookies work as there are sessions");
        }
    }
}

async fn the_last_sign_in_remains(world: World) {
    let mut returning = sign_in(&world, "eve").await;
    let mut old = returning.clone();
    for browser in [&mut world.browser(), &mut returning] {
        for (first, last) in [("ada", "ada"), ("ada", "bob"), ("bob", "ada")] {
            let reply = browser
                .run(json!([
                    {"op": "authenticate_with", "user": first, "data": {"first": 1}},
                    {"op": "set", "key": "pending", "value": 1},
                    {"op": "authenticate", "user": last},
                    {"op": "current"},
                ]))
                .await;
            assert_eq!((reply.error_status(0), reply.error_status(2)), (None, None));
            assert_eq!(reply.set_cookies().len(), 1);
            let all = [ids(&world, "ada").await, ids(&world, "bob").await].concat();
            assert_eq!(all, [text(&reply.result(3)["id"])], "{first}, then {last}");
            let current = browser.run(json!([{"op": "current"}])).await.result(0);
            assert_eq!((&current["user_id"], &current["data"]), (&json!(last), &json!({})));
        }
        browser.run(json!([{"op": "logout"}])).await;
    }
    assert_eq!(user(&mut old).await, json!(null));
    let mut browser = world.browser();
    let between = json!([
        {"op": "authenticate", "user": "ada"},
        {"op": "logout"},
        {"op": "authenticate", "user": "ada"},
    ]);
    let reply = browser.run(between).await;
    assert!(reply.sends_cookie() && reply.set_cookies().len() == 1);
    assert_eq!((user(&mut browser).await, ids(&world, "ada").await.len()), (json!("ada"), 1));
}

async fn a_refused_second_leaves_the_first(world: World) {
    let first = json!([{"op": "authenticate", "user": "ada"}, {"op": "current"}]);
    let second = json!([{"op": "authenticate", "user": "bob"}, {"op": "current"}]);
    let slow = in_flight(&world, &world.browser(), first, "slow", second).await;
    world.faults.fail(OpKind::Create, Fault::NotApplied);
    let (mut browser, reply) = slow.finish(&world).await;
    world.faults.clear();
    assert_eq!((reply.error_status(0), reply.error_status(3)), (None, Some(503)));
    assert_eq!(reply.result(4), reply.result(1));
    assert_eq!(reply.set_cookies().len(), 1, "the first one's cookie");
    assert_eq!(id(&mut browser).await, text(&reply.result(1)["id"]));
    assert_eq!(ids(&world, "bob").await, Vec::<String>::new());
}

/// Ids that a collation, a trim or a normalisation would take for one another.
const ALIKE: &[&str] = &[
    "ada",
    "Ada",
    "ADA",
    "ada ",
    " ada",
    "ada\t",
    "ada\n",
    "ada\u{200b}",
    "adá",
    "ada\u{301}",
    "\u{ff41}da",
    "ada%",
    "ad_",
    "ss",
    "ß",
    "1",
    "01",
    "1.0",
    "i",
    "ı",
    "İ",
];

async fn user_ids_are_compared_byte_for_byte(world: World) {
    let world = world.with_config(|config| config.max_sessions_per_user(1)).await;
    let mut browsers = Vec::new();
    for name in ALIKE {
        browsers.push(sign_in(&world, name).await);
    }
    for (name, browser) in ALIKE.iter().zip(&mut browsers) {
        let reply = browser.run(json!([{"op": "user_id"}, {"op": "list", "user": name}, {"op": "current"}])).await;
        assert_eq!(reply.result(0), json!(name), "{name:?} was not pushed out by a sign-in of another");
        assert_eq!(reply.result(1), json!([reply.result(2)]), "{name:?}");
    }
    let others = id(&mut browsers[1]).await;
    let reply = world
        .browser()
        .run(json!([
            {"op": "revoke_by_id", "user": "ada", "id": others},
            {"op": "revoke_all_except", "user": "ada", "keep": others},
            {"op": "revoke_all", "user": "ada"},
        ]))
        .await;
    assert_eq!((reply.error_status(0), reply.error_status(1), reply.error_status(2)), (Some(404), None, None));
    for (name, browser) in ALIKE.iter().zip(&mut browsers) {
        assert_eq!(user(browser).await, if *name == "ada" { json!(null) } else { json!(name) }, "{name:?}");
    }
}

async fn user_ids_up_to_255_bytes(world: World) {
    for name in ["x".repeat(255), format!("{}x", "é".repeat(127)), " ".into(), "\u{1}".into(), "'; --".into()] {
        let mut browser = sign_in(&world, &name).await;
        assert_eq!(user(&mut browser).await, json!(name));
        assert_eq!(ids(&world, &name).await.len(), 1);
    }
}

async fn bad_user_ids_change_nothing(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let before = rows(&world, "ada").await;
    world.faults.reset_counts();
    for bad in [String::new(), "x".repeat(256), "é".repeat(128), "\0".into(), "ada\0".into(), "\0ada".into()] {
        let script = json!([
            {"op": "authenticate", "user": bad},
            {"op": "authenticate_with", "user": bad, "data": {}},
            {"op": "authenticate_opts", "user": bad},
            {"op": "list", "user": bad},
            {"op": "revoke_all", "user": bad},
            {"op": "revoke_all_except", "user": bad, "keep": "x"},
            {"op": "user_id"},
        ]);
        for (reply, name) in
            [(browser.run(script.clone()).await, json!("ada")), (world.browser().run(script).await, json!(null))]
        {
            for i in 0..6 {
                assert_eq!(reply.error_status(i), Some(400), "{bad:?}, entry {i}");
            }
            assert_eq!(reply.result(6), name, "{bad:?}");
            assert!(reply.set_cookies().is_empty());
        }
    }
    assert_eq!(world.faults.total(), world.faults.count(OpKind::Load), "nothing to ask the store about such an id");
    assert!(rows(&world, "ada").await == before);
}

async fn rotate_keeps_the_session(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    browser.run(json!([{"op": "set", "key": "a", "value": 1}])).await;
    let (cookie, before) = (browser.cookie(), only_row(&world, "ada").await);
    world.clock.advance(Duration::from_secs(10));
    let reply = browser.run(json!([{"op": "rotate"}, {"op": "current"}])).await;
    assert_eq!(reply.error_status(0), None);
    assert!(reply.sends_cookie() && reply.set_cookies().len() == 1);
    assert_ne!(browser.cookie(), cookie);
    let after = only_row(&world, "ada").await;
    assert_eq!((after.id, &after.user_id, &after.data), (before.id, &before.user_id, &before.data));
    assert_eq!((after.created_at, after.authenticated_at), (before.created_at, before.authenticated_at));
    assert!(after.token_hash != before.token_hash);
    for current in [reply.result(1), browser.run(json!([{"op": "current"}])).await.result(0)] {
        assert_eq!(current["id"], json!(before.id.to_string()));
        assert_eq!((&current["user_id"], &current["data"]), (&json!("ada"), &json!({"a": 1})));
    }
}

async fn rotate_renews_the_idle_expiry(world: World) {
    let world = world.with_config(|config| config.idle_timeout(Duration::from_hours(1))).await;
    let mut browser = sign_in(&world, "ada").await;
    world.clock.advance(Duration::from_mins(4));
    browser.run(json!([{"op": "rotate"}])).await;
    let row = only_row(&world, "ada").await;
    let now = world.clock.now();
    assert_eq!((row.last_active_at, row.expires_at), (now, now + Duration::from_hours(1)));
    world.clock.advance(Duration::from_mins(60) - Duration::from_secs(1));
    assert_eq!(user(&mut browser).await, json!("ada"), "an hour after the rotation, not after the sign-in");
}

async fn rotate_never_moves_the_absolute_expiry(world: World) {
    let (idle, absolute) = (Duration::from_hours(1), Duration::from_hours(3));
    let world = world.with_config(|config| config.idle_timeout(idle).absolute_timeout(absolute)).await;
    let mut browser = sign_in(&world, "ada").await;
    let end = world.clock.now() + absolute;
    for _ in 0..5 {
        world.clock.advance(Duration::from_mins(30));
        let reply = browser.run(json!([{"op": "rotate"}])).await;
        let row = only_row(&world, "ada").await;
        let now = world.clock.now();
        assert_eq!((row.absolute_expires_at, row.expires_at), (end, end.min(now + idle)));
        let left = format!("Max-Age={}", (end - now).whole_seconds());
        assert!(reply.set_cookies()[0].contains(&left), "{:?} has {left}", reply.set_cookies());
    }
    world.clock.advance(Duration::from_mins(30));
    assert_eq!(user(&mut browser).await, json!(null));
}

async fn the_old_token_is_dead_at_once(world: World) {
    let node = world.node().await;
    let old = sign_in(&world, "ada").await;
    let slow = in_flight(&world, &old, json!([{"op": "rotate"}]), "slow", json!([])).await;
    for node in [&world, &node] {
        let reply = old.on(node).run(json!([{"op": "current"}])).await;
        assert_eq!(
            (reply.status, reply.result(0)),
            (200, json!(null)),
            "the call has returned, the response hasn't left"
        );
        assert!(reply.set_cookies().is_empty(), "a late request leaves the cookie alone");
    }
    let (mut browser, _) = slow.finish(&world).await;
    assert_eq!(user(&mut browser).await, json!("ada"));
    assert_eq!(user(&mut browser.on(&node)).await, json!("ada"));
    assert_eq!(user(&mut old.on(&world)).await, json!(null));
}

async fn rotate_without_a_session(world: World) {
    world.faults.reset_counts();
    let reply = world.browser().run(json!([{"op": "rotate"}])).await;
    assert_eq!((reply.error_status(0), reply.set_cookies().len()), (Some(401), 0));
    assert_eq!(world.faults.total(), 0);
    let mut browser = sign_in(&world, "ada").await;
    let mut stale = browser.clone();
    let reply = browser.run(json!([{"op": "logout"}, {"op": "rotate"}])).await;
    assert_eq!(reply.error_status(1), Some(401));
    assert!(reply.removes_cookie() && reply.set_cookies().len() == 1);
    let reply = stale.run(json!([{"op": "rotate"}])).await;
    assert_eq!((reply.error_status(0), reply.set_cookies().len()), (Some(401), 0), "a stale cookie is no session");
}

async fn rotate_after_the_end(world: World) {
    let rotate = json!([{"op": "rotate"}]);
    for (gate, end) in [("logout", json!({"op": "logout"})), ("sign-in", json!({"op": "authenticate", "user": "bob"}))]
    {
        let mut browser = sign_in(&world, "ada").await;
        let slow = in_flight(&world, &browser, json!([]), gate, rotate.clone()).await;
        browser.run(json!([end])).await;
        let (_, reply) = slow.finish(&world).await;
        assert_eq!((reply.error_status(1), reply.set_cookies().len()), (Some(401), 0), "ended by {gate}");
        assert_eq!(ids(&world, "ada").await, Vec::<String>::new());
    }
    let browser = sign_in(&world, "ada").await;
    let slow = in_flight(&world, &browser, json!([]), "expiry", rotate).await;
    world.clock.set(only_row(&world, "ada").await.expires_at);
    let (_, reply) = slow.finish(&world).await;
    assert_eq!((reply.error_status(1), reply.set_cookies().len()), (Some(401), 0), "ended by expiry");
    assert_eq!(ids(&world, "ada").await, Vec::<String>::new());
}

async fn rotate_after_the_grace(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let slow = in_flight(&world, &browser, json!([]), "slow", json!([{"op": "rotate"}])).await;
    browser.run(json!([{"op": "rotate"}])).await;
    let before = only_row(&world, "ada").await;
    world.clock.advance(Duration::from_mins(1));
    let (_, reply) = slow.finish(&world).await;
    assert_eq!((reply.error_status(1), reply.set_cookies().len()), (Some(401), 0));
    assert!(only_row(&world, "ada").await == before, "the session of the new token is untouched");
    assert_eq!(user(&mut browser).await, json!("ada"));
}

async fn the_second_rotation_succeeds(world: World) {
    let mut winner = sign_in(&world, "ada").await;
    let mut old = winner.clone();
    let before = id(&mut winner).await;
    let after = json!([{"op": "rotate"}, {"op": "user_id"}, {"op": "set", "key": "a", "value": 1}]);
    let slow = in_flight(&world, &winner, json!([]), "slow", after).await;
    winner.run(json!([{"op": "rotate"}])).await;
    let token = only_row(&world, "ada").await.token_hash;
    world.clock.advance(Duration::from_secs(59));
    let (mut loser, reply) = slow.finish(&world).await;
    assert_eq!((reply.error_status(1), reply.result(2)), (None, json!("ada")));
    assert!(reply.set_cookies().is_empty(), "a cookie here would put the winner's out");
    assert_eq!(id(&mut winner).await, before);
    let row = only_row(&world, "ada").await;
    assert!(row.token_hash == token, "the winner's token stays");
    assert_eq!(row.data.text(), r#"{"a":1}"#, "and the loser's data is stored");
    assert_eq!((user(&mut loser).await, user(&mut old).await), (json!(null), json!(null)));
}

async fn racing_rotations_have_one_winner(world: World) {
    let node = world.node().await;
    let mut browser = sign_in(&world, "ada").await;
    let before = id(&mut browser).await;
    let rotate = json!([{"op": "rotate"}]);
    for round in 0..world.rounds {
        let mut old = browser.clone();
        let racers = vec![(&world, old.on(&world), rotate.clone()), (&node, old.on(&node), rotate.clone())];
        let done = at_once(racers).await;
        for (_, reply) in &done {
            assert_eq!((reply.status, reply.error_status(1)), (200, None), "round {round}");
            assert_eq!(reply.set_cookies().len(), usize::from(reply.sends_cookie()), "round {round}");
        }
        let mut winners: Vec<_> = done.into_iter().filter(|(_, reply)| reply.sends_cookie()).collect();
        assert_eq!(winners.len(), 1, "round {round}");
        browser = winners.remove(0).0.on(&world);
        assert_eq!(id(&mut browser).await, before, "round {round}: the session lives on under the winner's token");
        assert_eq!(user(&mut old).await, json!(null), "round {round}");
        assert_eq!(ids(&world, "ada").await.len(), 1, "round {round}");
    }
}

async fn rotate_is_one_store_call(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    world.clock.advance(Duration::from_hours(1));
    world.faults.reset_counts();
    browser.run(json!([{"op": "rotate"}])).await;
    let counts = (world.faults.count(OpKind::Load), world.faults.count(OpKind::Apply), world.faults.total());
    assert_eq!(counts, (1, 1, 2), "with the activity that was due");
    let row = only_row(&world, "ada").await;
    assert_eq!(row.last_active_at, world.clock.now());
    world.clock.advance(Duration::from_hours(1));
    world.faults.fail(OpKind::Apply, Fault::NotApplied);
    browser.run(json!([{"op": "rotate"}])).await;
    world.faults.clear();
    assert!(only_row(&world, "ada").await == row, "a failure changes neither");
}

async fn nobody_sees_half_a_rotation(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    for round in 0..world.rounds {
        let before = only_row(&world, "ada").await;
        world.clock.advance(Duration::from_secs(1));
        let mut rotating = browser.clone();
        let request = tokio::spawn(async move {
            rotating.run(json!([{"op": "rotate"}])).await;
            rotating
        });
        loop {
            let finished = request.is_finished();
            let row = only_row(&world, "ada").await;
            let (token, expiry) = (row.token_hash != before.token_hash, row.expires_at != before.expires_at);
            assert_eq!(token, expiry, "round {round}");
            if finished {
                assert!(token, "round {round}");
                break;
            }
            tokio::task::yield_now().await;
        }
        browser = request.await.expect("the request runs to its end");
    }
}

async fn a_second_rotate_starts_from_the_first(world: World) {
    let mut old = sign_in(&world, "ada").await;
    let original = only_row(&world, "ada").await;
    let slow = in_flight(&world, &old, json!([{"op": "rotate"}]), "slow", json!([{"op": "rotate"}])).await;
    let first = only_row(&world, "ada").await;
    let (mut browser, reply) = slow.finish(&world).await;
    let second = only_row(&world, "ada").await;
    assert_eq!((reply.error_status(0), reply.error_status(2)), (None, None));
    assert!(reply.sends_cookie() && reply.set_cookies().len() == 1);
    assert!(first.token_hash != original.token_hash);
    assert!(second.token_hash != first.token_hash && second.token_hash != original.token_hash);
    assert!(
        second.previous_token_hash.as_ref() == Some(&first.token_hash),
        "the first one's token is the one replaced"
    );
    assert_eq!(id(&mut browser).await, original.id.to_string());
    assert_eq!(user(&mut old).await, json!(null));
    browser.run(json!([{"op": "rotate"}, {"op": "rotate"}, {"op": "rotate"}])).await;
    assert_eq!(id(&mut browser).await, original.id.to_string());
}

async fn rotate_after_a_sign_in(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    for script in [
        json!([{"op": "authenticate", "user": "ada"}, {"op": "rotate"}, {"op": "current"}]),
        json!([{"op": "rotate"}, {"op": "authenticate", "user": "ada"}, {"op": "current"}]),
    ] {
        let reply = browser.run(script).await;
        assert_eq!((reply.error_status(0), reply.error_status(1)), (None, None));
        assert!(reply.sends_cookie() && reply.set_cookies().len() == 1);
        assert_eq!(ids(&world, "ada").await, [text(&reply.result(2)["id"])]);
        assert_eq!(id(&mut browser).await, text(&reply.result(2)["id"]));
    }
}

/// A browser that has signed in as `user`.
pub(super) async fn sign_in(world: &World, user: &str) -> Browser {
    let mut browser = world.browser();
    browser.sign_in(user).await;
    browser
}

/// Who the server takes the browser for: a user's id or null.
pub(super) async fn user(browser: &mut Browser) -> Value {
    browser.run(json!([{"op": "user_id"}])).await.result(0)
}

/// The id of the browser's live session.
pub(super) async fn id(browser: &mut Browser) -> String {
    text(&browser.run(json!([{"op": "current"}])).await.result(0)["id"])
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("text, not {value}")).to_owned()
}

/// The user's only live row.
pub(super) async fn only_row(world: &World, user: &str) -> Arc<Record> {
    let mut rows = rows(world, user).await;
    assert_eq!(rows.len(), 1, "one session of {user}");
    rows.remove(0)
}

/// The ids of the user's live sessions, most recently active first.
pub(super) async fn ids(world: &World, user: &str) -> Vec<String> {
    rows(world, user).await.iter().map(|row| row.id.to_string()).collect()
}

/// Sends all requests, each to its node; waits until all are in their handlers, with their sessions extracted; and lets
/// all of them go on at once. Entry 0 of each reply is that wait's.
pub(super) async fn at_once(requests: Vec<(&World, Browser, Value)>) -> Vec<(Browser, Reply)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut started = Vec::new();
    for (node, mut browser, script) in requests {
        let gate = format!("at once {}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut ops = vec![json!({"op": "gate", "name": gate})];
        ops.extend(script.as_array().expect("a script is an array").iter().cloned());
        let request = tokio::spawn(async move {
            let reply = browser.run(Value::Array(ops)).await;
            (browser, reply)
        });
        started.push((node, gate, request));
    }
    for (node, gate, _) in &started {
        node.gates.arrived(gate).await;
    }
    for (node, gate, _) in &started {
        node.gates.open(gate);
    }
    let mut done = Vec::new();
    for (_, _, request) in started {
        done.push(request.await.expect("the request runs to its end"));
    }
    done
}
