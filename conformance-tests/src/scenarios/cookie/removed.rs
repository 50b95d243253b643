//! COOK-7: what removes the cookie, and what never does.

use serde_json::json;
use session_core::SameSite;

use crate::scenario::{Scenario, scenario};
use crate::scenarios::cookie::carried::KNOWN;
use crate::scenarios::cookie::sent::{DAY, attributes};
use crate::scenarios::support::sessions::{id, sign_in, user};
use crate::scenarios::support::stored::rows;
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("COOK-7", "the cookie is removed with what it was set with", removed_as_it_was_set),
    scenario!("COOK-7", "an unknown, stale or expired token never removes the cookie", dead_tokens_remove_nothing),
    scenario!("COOK-7", "every sign-out removes the cookie", every_sign_out_removes),
    scenario!("COOK-7", "signing others out removes nothing", signing_others_out_removes_nothing),
];

async fn removed_as_it_was_set(world: World) {
    let plain = world.with_config(|config| config).await;
    let strict = world.with_config(|config| config.cookie_same_site(SameSite::Strict)).await;
    let shared = world
        .with_config(|config| {
            let config = config.cookie_name("__Secure-app").cookie_path("/do").cookie_domain("example.com");
            config.cookie_same_site(SameSite::None).cookie_partitioned(true)
        })
        .await;
    let development = world.with_config(|config| config.insecure_development_cookies()).await;
    for world in [plain, strict, shared, development] {
        let mut browser = world.browser();
        let mut set = attributes(&browser.sign_in("ada").await.set_cookies());
        let lines = browser.run(json!([{"op": "logout"}])).await.set_cookies();
        let name = world.service.config().cookie_name();
        assert!(lines[0].starts_with(&format!("{name}=;")), "{lines:?}");
        let mut removed = attributes(&lines);
        let expires: Vec<_> = removed.iter().filter(|attribute| attribute.starts_with("Expires=")).cloned().collect();
        assert!(removed.remove("Max-Age=0") && expires.len() == 1, "{lines:?}");
        assert!(expires[0].contains(" 1970 "), "in the past: {lines:?}");
        removed.remove(&expires[0]);
        set.retain(|attribute| !attribute.starts_with("Max-Age="));
        assert_eq!(removed, set, "{name}");
    }
}

async fn dead_tokens_remove_nothing(world: World) {
    let mut unknown = world.browser();
    unknown.set_cookie(KNOWN);
    let mut forged = world.browser();
    forged.set_cookie("forged");
    let stale = sign_in(&world, "ada").await;
    stale.clone().run(json!([{"op": "rotate"}])).await;
    let ended = sign_in(&world, "bob").await;
    ended.clone().run(json!([{"op": "logout"}])).await;
    let replaced = sign_in(&world, "bob").await;
    replaced.clone().run(json!([{"op": "authenticate", "user": "bob"}])).await;
    let revoked = sign_in(&world, "cat").await;
    world.service.revoke_all("cat").await.unwrap();
    let expired = sign_in(&world, "dan").await;
    world.clock.advance(7 * DAY);
    for mut browser in [unknown, forged, stale, ended, replaced, revoked, expired] {
        let cookie = browser.cookie();
        for path in ["/do", "/optional-session", "/session"] {
            let ops =
                json!([{"op": "current"}, {"op": "set", "key": "a", "value": 1}, {"op": "save"}, {"op": "rotate"}]);
            let reply = browser.run_on(path, ops).await;
            assert_eq!(reply.headers.get("set-cookie"), None, "{path}");
        }
        assert_eq!(browser.cookie(), cookie);
    }
}

async fn every_sign_out_removes(world: World) {
    for op in ["logout", "logout_all", "revoke", "revoke_by_id", "revoke_all", "revoke_all_except"] {
        let mut browser = sign_in(&world, "ada").await;
        let mine = id(&mut browser).await;
        let ops = match op {
            "revoke" => json!([{"op": op, "id": mine}]),
            "revoke_by_id" => json!([{"op": op, "user": "ada", "id": mine}]),
            "revoke_all" => json!([{"op": op, "user": "ada"}]),
            "revoke_all_except" => json!([{"op": op, "user": "ada", "keep": "none"}]),
            _ => json!([{"op": op}]),
        };
        let reply = browser.run(ops).await;
        assert_eq!((reply.error_status(0), reply.set_cookies().len()), (None, 1), "{op}");
        assert!(reply.removes_cookie() && browser.cookie().is_none(), "{op}");
        assert!(rows(&world, "ada").await.is_empty(), "{op}");
    }
}

async fn signing_others_out_removes_nothing(world: World) {
    let mut browser = sign_in(&world, "ada").await;
    let mine = id(&mut browser).await;
    let other = id(&mut sign_in(&world, "ada").await).await;
    sign_in(&world, "bob").await;
    let ops = json!([
        {"op": "revoke", "id": other},
        {"op": "logout_other"},
        {"op": "revoke_all", "user": "bob"},
        {"op": "revoke_all_except", "user": "bob", "keep": mine},
        {"op": "revoke_all_except", "user": "ada", "keep": mine},
        {"op": "revoke_by_id", "user": "bob", "id": mine},
    ]);
    let reply = browser.run(ops).await;
    assert_eq!(reply.headers.get("set-cookie"), None);
    assert_eq!(user(&mut browser).await, json!("ada"));
}
