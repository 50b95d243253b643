//! OUT-1, OUT-2, OUT-3, OUT-4: signing out.

use serde_json::{Value, json};

use crate::faulty::{Fault, OpKind};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::in_flight::in_flight;
use crate::scenarios::support::sessions::{assert_signed_out, browsers_with_a_dead_cookie, id, ids, sign_in, user};
use crate::scenarios::support::stored::rows;
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
