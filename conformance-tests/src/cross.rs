//! Two adapters on one store: what is done through one is seen through the other, and both answer
//! alike.

use std::sync::Arc;

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::adapter::Adapter;
use crate::browser::{Browser, Reply};
use crate::faulty::{Fault, OpKind};
use crate::trial;
use crate::world::{StoreKind, World};

/// The trials of two adapters over one kind of store.
pub fn mount<A: Adapter, B: Adapter>(one: &Arc<A>, other: &Arc<B>, store: &Arc<dyn StoreKind>) -> Vec<Trial> {
    let trial = |name: &str, run: fn(World, World) -> crate::BoxFuture<'static, ()>| {
        let name = trial::name(&["cross", store.name(), &format!("{}+{}", one.name(), other.name())], name);
        let (one, other, store) = (Arc::clone(one), Arc::clone(other), Arc::clone(store));
        Trial::test(name, move || {
            trial::run(async move {
                let here = World::new(one, store.fresh().await).await;
                let there = here.beside(other).await;
                run(here, there).await;
            })
        })
    };
    vec![
        trial("sign in on one, go on with the other", |here, there| {
            Box::pin(async move {
                one_session(&here, &there).await;
                one_session(&there, &here).await;
            })
        }),
        trial("writes through both at once all take effect", |here, there| {
            Box::pin(async move { both_write(&here, &there).await })
        }),
        trial("both answer alike", |here, there| Box::pin(async move { alike(&here, &there).await })),
    ]
}

/// Sign in here; read, rotate and revoke there.
async fn one_session(here: &World, there: &World) {
    let mut laptop = here.browser();
    laptop.run(json!([{"op": "authenticate_with", "user": "ada", "data": {"theme": "dark"}}])).await;

    let mut moved = laptop.on(there);
    let read = json!([{"op": "user_id"}, {"op": "get", "key": "theme"}, {"op": "set", "key": "seen", "value": 1}]);
    let reply = moved.run(read).await;
    assert_eq!((reply.result(0), reply.result(1)), (json!("ada"), json!({"value": "dark"})));
    let reply = laptop.run(json!([{"op": "get", "key": "seen"}])).await;
    assert_eq!(reply.result(0), json!({"value": 1}), "what is set there is read here");

    let reply = moved.run(json!([{"op": "rotate"}])).await;
    assert_eq!((reply.error_status(0), reply.sends_cookie()), (None, true));
    assert_eq!(user(&mut laptop).await, json!("ada"), "here the old token works until the new one was presented");
    let mut laptop = moved.on(here);
    assert_eq!(user(&mut laptop).await, json!("ada"));

    let mut phone = there.browser();
    phone.sign_in("ada").await;
    let id = phone.run(json!([{"op": "current"}])).await.result(0)["id"].clone();
    let reply = laptop.run(json!([{"op": "list_my_sessions"}, {"op": "revoke", "id": id}])).await;
    assert_eq!(reply.result(0).as_array().map(Vec::len), Some(2), "both are listed, wherever they signed in");
    assert_eq!(reply.error_status(1), None);
    assert_eq!(user(&mut phone).await, json!(null), "what is revoked here is signed out there");
    assert_eq!(user(&mut laptop).await, json!("ada"));

    let reply = laptop.on(there).run(json!([{"op": "logout_all"}])).await;
    assert!(reply.removes_cookie());
    assert_eq!(user(&mut laptop).await, json!(null), "and so is who signs out everywhere there");
}

async fn both_write(here: &World, there: &World) {
    let mut browser = here.browser();
    browser.sign_in("ada").await;
    let mut unanswered = 0;
    for round in 0..here.rounds {
        let requests: Vec<_> = [here, there, here, there]
            .into_iter()
            .enumerate()
            .map(|(who, world)| {
                let mut browser = browser.on(world);
                let key = format!("{round}:{who}");
                let script = json!([{"op": "increment", "key": "n"}, {"op": "set", "key": key, "value": 1}]);
                tokio::spawn(async move { browser.run(script).await.status })
            })
            .collect();
        for request in requests {
            match request.await.expect("the request runs to its end") {
                200 => {}
                503 => unanswered += 1,
                status => panic!("a {status}"),
            }
        }
    }
    assert_eq!(unanswered, 0, "four at once are not too many");
    let data = browser.run(json!([{"op": "current"}])).await.result(0)["data"].clone();
    let keys = data.as_object().expect("an object").len() - 1;
    assert_eq!((data["n"].as_u64(), keys), (Some(4 * here.rounds as u64), 4 * here.rounds));
}

/// What the library decides about a response: status, our headers, and the body with what differs
/// by chance taken out.
#[derive(Debug, PartialEq)]
struct Shape {
    status: u16,
    cookies: Vec<String>,
    headers: [Option<String>; 3],
    content_type: Option<String>,
    body: String,
}

impl Shape {
    fn of(reply: &Reply) -> Self {
        let line = |name: &str| {
            let lines: Vec<_> =
                reply.headers.get_all(name).iter().map(|v| String::from_utf8_lossy(v.as_bytes())).collect();
            (!lines.is_empty()).then(|| lines.join(" | "))
        };
        let cookies = reply.set_cookies().into_iter().map(|line| {
            let (pair, attributes) = line.split_once(';').unwrap_or((&line, ""));
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            format!("{name}={} bytes;{attributes}", value.len())
        });
        Self {
            status: reply.status,
            cookies: cookies.collect(),
            headers: ["vary", "cache-control", "x-handler"].map(line),
            content_type: line("content-type"),
            body: String::from_utf8_lossy(&reply.body).into_owned(),
        }
    }
}

async fn alike(here: &World, there: &World) {
    let set = json!({"op": "set", "key": "a", "value": 1});
    let scripts = [
        json!([]),
        json!([{"op": "user_id"}, {"op": "get", "key": "given"}, set]),
        json!([set, {"op": "status", "code": 404}]),
        json!([set, {"op": "status", "code": 500}]),
        json!([{"op": "rotate"}, {"op": "header", "name": "x-handler", "value": "1"}]),
        json!([{"op": "authenticate", "user": "ada"}, {"op": "header", "name": "vary", "value": "accept"}]),
        json!([{"op": "authenticate_opts", "user": "ada", "browser_session": true}]),
        json!([{"op": "logout"}, {"op": "header", "name": "cache-control", "value": "private"}]),
        json!([{"op": "revoke", "id": "no such id"}, {"op": "fail"}]),
        json!([{"op": "authenticate", "user": ""}, {"op": "fail"}]),
        json!([{"op": "set", "key": "a", "value": "x".repeat(70_000)}, {"op": "fail"}]),
        json!([{"op": "get_u64", "key": "given"}, {"op": "fail"}]),
    ];
    let paths = ["/do", "/plain", "/optional", "/result", "/session", "/twice", "/nested", "/two-services", "/stream"];
    let faults = [None, Some(OpKind::Load), Some(OpKind::Update)];
    let mut compared = 0;
    for path in paths {
        for script in &scripts {
            for signed_in in [true, false] {
                for fault in faults {
                    let (mut one, mut other) = (here.browser(), there.browser());
                    let mut shapes = Vec::new();
                    for (world, browser) in [(here, &mut one), (there, &mut other)] {
                        if signed_in {
                            // Of a user of their own, so that the limit of sessions ends none.
                            let user = format!("user {compared}");
                            let given = json!({"given": "text"});
                            browser.run(json!([{"op": "authenticate_with", "user": user, "data": given}])).await;
                            assert!(browser.cookie().is_some(), "signed in");
                        }
                        if let Some(op) = fault {
                            world.faults.fail(op, Fault::NotApplied);
                        }
                        let reply = browser.run_on(path, script.clone()).await;
                        world.faults.clear();
                        let mut shape = Shape::of(&reply);
                        // A session has ids of its own; and where it can't be loaded, one framework
                        // refuses an `Option`, and in another the handler runs and its response is
                        // replaced.
                        if path == "/session" || (path, fault) == ("/optional", Some(OpKind::Load)) {
                            (shape.body, shape.content_type) = (String::new(), None);
                        }
                        shapes.push(shape);
                    }
                    assert_eq!(shapes[0], shapes[1], "{path}, signed in: {signed_in}, fails: {fault:?}, {script:.200}");
                    compared += 1;
                }
            }
        }
    }
    assert_eq!(compared, paths.len() * scripts.len() * 2 * faults.len());
}

async fn user(browser: &mut Browser) -> Value {
    browser.run(json!([{"op": "user_id"}])).await.result(0)
}
