//! AUTH-6: which user ids there are, and that none is taken for another.

use serde_json::json;

use crate::faulty::OpKind;
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::sessions::{id, ids, sign_in, user};
use crate::scenarios::support::stored::rows;
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("AUTH-6", "user ids are compared byte for byte", user_ids_are_compared_byte_for_byte),
    scenario!("AUTH-6", "user ids of 1 to 255 bytes are taken", user_ids_up_to_255_bytes),
    scenario!("AUTH-6", "other user ids are an error that changes nothing", bad_user_ids_change_nothing),
];

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
