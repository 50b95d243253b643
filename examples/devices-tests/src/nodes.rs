//! Several processes of the app on one database server: many nodes, one truth.

use conformance_tests::postgres::Postgres;
use conformance_tests::suite;
use libtest_mimic::Trial;
use serde_json::json;

use crate::pages::{id, post, redirects, session, signed_in};
use crate::program::{App, Cookies, Database};

/// Rounds of a race between the processes.
const ROUNDS: usize = 100;

pub(crate) fn trials(app: App, server: &Postgres) -> Vec<Trial> {
    let (one, other) = (server.clone(), server.clone());
    let name = |what: &str| format!("{} × postgres, two processes · {what}", app.name);
    vec![
        Trial::test(name("what one does the other sees"), move || suite::run(one_truth(app, one))),
        Trial::test(name("visits counted through both at once all count"), move || suite::run(both_count(app, other))),
    ]
}

async fn one_truth(app: App, server: Postgres) {
    let database = Database::Server { url: server.schema().await };
    let (here, there) = (app.start(Cookies::Secure, &database), app.start(Cookies::Secure, &database));
    let mut laptop = signed_in(&here, "ada", "lovelace").await;
    let mut phone = signed_in(&there, "ada", "lovelace").await;

    redirects(&post(&mut laptop, "/theme", "theme=dark").await, "/");
    let mut moved = there.browser();
    moved.set_cookie(laptop.cookie().expect("signed in"));
    assert_eq!(session(&mut moved).await["data"], json!({"theme": "dark"}));

    let phone_id = id(&mut phone).await;
    redirects(&post(&mut laptop, &format!("/devices/{phone_id}/revoke"), "").await, "/devices");
    redirects(&phone.get("/devices").await, "/login");

    redirects(&post(&mut moved, "/logout-all", "").await, "/login");
    redirects(&laptop.get("/").await, "/login");

    assert!(here.stop() && there.stop(), "both end well");
    let again = app.start(Cookies::Secure, &database);
    signed_in(&again, "ada", "lovelace").await;
}

async fn both_count(app: App, server: Postgres) {
    let database = Database::Server { url: server.schema().await };
    let nodes = [app.start(Cookies::Secure, &database), app.start(Cookies::Secure, &database)];
    let mut browser = signed_in(&nodes[0], "grace", "hopper").await;
    let cookie = browser.cookie().expect("signed in");
    for _ in 0..ROUNDS {
        let clicks: Vec<_> = nodes
            .iter()
            .chain(&nodes)
            .map(|node| {
                let mut tab = node.browser();
                tab.set_cookie(&cookie);
                tokio::spawn(async move { post(&mut tab, "/visits", "").await.status })
            })
            .collect();
        for click in clicks {
            assert_eq!(click.await.expect("the request runs to its end"), 303);
        }
    }
    assert_eq!(session(&mut browser).await["data"]["visits"], json!(4 * ROUNDS));
}
