//! ADM-1, ADM-2, ADM-3: seeing and revoking any user's sessions.

use serde_json::json;

use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::sessions::{
    assert_signed_out, id, ids_of_no_session, only_row, sign_in, user, without_date,
};
use crate::scenarios::support::stored::rows;
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("ADM-1", "revoke_by_id needs no sign-in", revoke_by_id_needs_no_sign_in),
    scenario!("ADM-1", "an id that isn't that user's is a 404", another_users_id_is_a_404),
    scenario!("ADM-1", "revoke_by_id of one's own session is a logout", revoking_oneself_by_id),
    scenario!("ADM-2", "revoke_all ends every session of that user", revoke_all_ends_every_session),
    scenario!("ADM-2", "revoke_all of oneself is a logout", revoking_all_of_oneself),
    scenario!("ADM-3", "revoke_all_except keeps one", revoke_all_except_keeps_one),
    scenario!("ADM-3", "a keep_id that isn't that user's keeps nothing", a_foreign_keep_id_keeps_nothing),
    scenario!("ADM-3", "revoke_all_except is a logout unless it keeps the caller", revoking_all_but_another),
];

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
