//! CSRF-4, CSRF-5: listed origins and exempt paths.

use http::Request;
use session_core::{ConfigError, CrossOrigin};

use crate::scenario::{Scenario, scenario};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("CSRF-4", "a listed origin is compared by scheme, host and port", listed_origins),
    scenario!("CSRF-4", "what isn't one origin is refused with the reason", no_origins),
    scenario!("CSRF-5", "an exempt path is matched as it is", exempt_paths),
    scenario!("CSRF-5", "inside a nested router an exempt path is one from the site's root", exempt_paths_in_a_router),
    scenario!("CSRF-5", "a path that can't be exempt is refused with the reason", no_paths),
];

async fn listed_origins(world: World) {
    let rules = ["https://admin.example", "http://[::1]:3000", "capacitor://localhost"]
        .iter()
        .try_fold(CrossOrigin::new(), |rules, origin| rules.allow_origin(origin))
        .expect("origins");
    let world = world.with_config(|config| config.refuse_cross_origin(rules)).await;
    for (origin, passes) in [
        ("https://admin.example", true),
        ("https://ADMIN.example:443", true),
        ("http://[::1]:3000", true),
        ("capacitor://localhost", true),
        ("http://admin.example", false),
        ("https://admin.example:8443", false),
        ("https://admin.example.", false),
        ("https://sub.admin.example", false),
        ("http://[::1]", false),
        ("ionic://localhost", false),
    ] {
        for site in ["same-site", "cross-site"] {
            let request = Request::post("/plain").header("origin", origin).header("sec-fetch-site", site);
            let reply = world.browser().send(request.body("").expect("a request")).await;
            assert_eq!(reply.status, if passes { 200 } else { 403 }, "{origin}, {site}");
        }
    }
}

async fn no_origins(_world: World) {
    for (origin, says) in [
        ("*", "wildcard"),
        ("https://*.example", "wildcard"),
        ("null", "null"),
        ("admin.example", "scheme"),
        ("https://admin.example/", "slash"),
        ("https://admin.example/path", "leave out"),
        ("https://ada@admin.example", "user"),
        ("https://", "host"),
        ("https://admin.example:https", "port"),
    ] {
        let error = CrossOrigin::new().allow_origin(origin).expect_err(origin);
        assert!(matches!(error, ConfigError::Origin { .. }) && error.to_string().contains(says), "{origin}: {error}");
    }
}

async fn exempt_paths(world: World) {
    let rules = CrossOrigin::new().exempt("/plain").and_then(|rules| rules.exempt("/webhooks/")).expect("paths");
    let world = world.with_config(|config| config.refuse_cross_origin(rules)).await;
    for (path, exempt) in [
        ("/plain", true),
        ("/plain?a=/../b%20", true),
        ("/webhooks/", true),
        ("/webhooks/paid", true),
        ("/do", false),
        ("/plain/", false),
        ("/Plain", false),
        ("/%70lain", false),
        ("/webhooks", false),
        ("/webhooks-admin", false),
        ("/webhooks/../do", false),
        ("/webhooks/./do", false),
        ("/webhooks/%2e%2e/do", false),
        ("/webhooks/..%2fdo", false),
        ("/webhooks/..;/do", false),
        ("/webhooks//do", false),
        ("//webhooks/paid", false),
        ("/do?/webhooks/", false),
    ] {
        let request = Request::post(path).header("origin", "https://evil.example").body("").expect("a request");
        assert_eq!(world.service.begin(None).admit(&request).is_none(), exempt, "{path}");
        // Where no route is, some routers have no layer either.
        let reply = world.browser().send(request).await;
        let may_be: &[u16] = if exempt { &[200, 404] } else { &[403, 404] };
        assert!(may_be.contains(&reply.status), "{path}: {}", reply.status);
    }
}

async fn exempt_paths_in_a_router(world: World) {
    for (exempt, status) in [("/do", 403), ("/within/do", 200), ("/within/", 200)] {
        let rules = CrossOrigin::new().exempt(exempt).expect("a path");
        let world = world.with_config(|config| config.refuse_cross_origin(rules)).await;
        let request =
            Request::post("/within/do").header("origin", "https://evil.example").body("[]").expect("a request");
        assert_eq!(world.browser().send(request).await.status, status, "{exempt}");
    }
}

async fn no_paths(_world: World) {
    for (path, says) in [
        ("/", "everything"),
        ("webhooks/", "slash"),
        ("/webhooks/*", "patterns"),
        ("/web%20hooks", "%"),
        ("/webhooks//", "empty"),
        ("/a/../webhooks", "dots"),
    ] {
        let error = CrossOrigin::new().exempt(path).expect_err(path);
        assert!(matches!(error, ConfigError::ExemptPath { .. }) && error.to_string().contains(says), "{path}: {error}");
    }
}
