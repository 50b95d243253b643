//! Several processes of the apps, on both frameworks, on one database: many nodes, one truth. Each
//! race starts at a barrier, runs many rounds through all nodes, and counts what breaks its clause;
//! none may.

mod auth;
mod data;
mod mariadb;
mod place;
mod redis;
mod restart;
mod rotation;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Instant;

use app_tests::FORM;
use conformance_tests::browser::{Browser, Reply};
use conformance_tests::{BoxFuture, race_rounds_or, suite};
use http::Request;
use http::header::{CONTENT_TYPE, LOCATION};
use libtest_mimic::Trial;
use serde_json::Value;
use tokio::sync::Barrier;

use crate::pages::{session, signed_in};
use crate::program::{App, Cookies, Database, Running};
use place::Place;

/// How many rounds a race runs unless `SESSION_TEST_ROUNDS` says otherwise: there are many
/// combinations.
const ROUNDS: usize = 10;

/// A race: which clauses it proves, by what, and how.
type Race = (&'static [&'static str], &'static str, fn(Nodes, Count) -> BoxFuture<'static, ()>);

const RACES: &[Race] = &[
    (&["DATA-4"], "different keys set and removed at once", |nodes, count| {
        Box::pin(data::different_keys(nodes, count))
    }),
    (&["DATA-5"], "visits counted at once", |nodes, count| Box::pin(data::visits(nodes, count))),
    (&["DATA-6"], "writes across a sign-out", |nodes, count| Box::pin(data::writes_across_a_sign_out(nodes, count))),
    (&["AUTH-2"], "signing in again", |nodes, count| Box::pin(auth::again(nodes, count))),
    (&["AUTH-2", "REV-1"], "two sign-ins over one session at once, then one revokes the other", |nodes, count| {
        Box::pin(auth::again_at_once(nodes, count))
    }),
    (&["AUTH-4"], "many sign-ins at once", |nodes, count| Box::pin(auth::many_at_once(nodes, count))),
    (&["ROT-1"], "a rotation beside writes", |nodes, count| Box::pin(rotation::beside_writes(nodes, count))),
    (&["ROT-3"], "rotations at once", |nodes, count| Box::pin(rotation::at_once_on_all(nodes, count))),
];

/// The trials of all races and restarts in all places.
pub(crate) fn trials(app: App) -> Vec<Trial> {
    let other = match app.other() {
        Ok(other) => other,
        Err(why) => return suite::untested(why).into_iter().collect(),
    };
    let (places, untested) = place::all();
    let mut trials: Vec<_> = untested.into_iter().filter_map(suite::untested).collect();
    for place in places {
        for &(clauses, what, race) in RACES {
            let (title, start) = (title(app, &place, what), place.clone());
            trials.push(proves(&place, clauses, what, move || async move {
                let nodes = Nodes::start([app, app, other], start.fresh().await).await;
                race(nodes, Count::new(title)).await;
            }));
        }
        if place.is_for_restarts {
            trials.extend(restart::trials([app, app, other], &place));
        }
    }
    trials
}

/// The trial `processes/PLACE/CLAUSE/behaviour`. Which app most of the nodes are says the binary
/// that it is in.
fn proves<F: Future<Output = ()> + Send + 'static>(
    place: &Place,
    clauses: &'static [&'static str],
    what: &str,
    proof: impl FnOnce() -> F + Send + 'static,
) -> Trial {
    suite::proves("processes", &place.name, clauses, what, proof)
}

/// What its report begins with.
fn title(app: App, place: &Place, what: &str) -> String {
    format!("{}, {}, {what}", app.name, place.name)
}

/// Three processes on one database.
pub(crate) struct Nodes {
    all: Vec<Running>,
}

impl Nodes {
    async fn start(apps: [App; 3], database: Database) -> Self {
        let starting = apps.map(|app| {
            let database = database.clone();
            tokio::task::spawn_blocking(move || app.start(Cookies::Secure, &database))
        });
        let mut all = Vec::new();
        for node in starting {
            all.push(node.await.expect("a node that starts"));
        }
        Self { all }
    }

    /// The node whose turn it is in a round, so that each plays each part.
    fn node(&self, turn: usize) -> &Running {
        &self.all[turn % self.all.len()]
    }

    /// What each node says about a cookie's session.
    async fn sessions(&self, cookie: &str) -> Vec<Value> {
        let mut sessions = Vec::new();
        for node in &self.all {
            sessions.push(session(&mut node.tab(cookie)).await);
        }
        sessions
    }

    /// Whether a cookie is signed out on every node.
    async fn are_all_signed_out(&self, cookie: &str) -> bool {
        self.sessions(cookie).await.iter().all(Value::is_null)
    }

    /// The ids of the devices that each node lists to this cookie.
    async fn devices(&self, cookie: &str) -> Vec<Vec<String>> {
        let mut lists = Vec::new();
        for node in &self.all {
            let devices = node.tab(cookie).get("/api/devices").await.json();
            let devices = devices.as_array().cloned().unwrap_or_default();
            lists.push(devices.iter().map(id_of).collect());
        }
        lists
    }

    /// The cookie of a new sign-in.
    async fn cookie(&self, turn: usize, username: &str, password: &str) -> String {
        signed_in(self.node(turn), username, password).await.cookie().expect("signed in")
    }
}

fn id_of(session: &Value) -> String {
    session["id"].as_str().expect("a session").to_owned()
}

/// Where a reply sends the browser.
fn leads_to(reply: &Reply) -> &str {
    reply.headers.get(LOCATION).and_then(|path| path.to_str().ok()).unwrap_or_default()
}

/// A form to post: by whom, where, and what.
type Post = (Browser, String, String);

fn to(browser: Browser, path: &str, form: &str) -> Post {
    (browser, path.to_owned(), form.to_owned())
}

/// Posts these forms at once, each from a task and over a connection of its own that is open
/// already, and returns the browsers as they are then, with the replies, in order.
async fn at_once(posts: impl IntoIterator<Item = Post>) -> Vec<(Browser, Reply)> {
    let posts: Vec<_> = posts.into_iter().collect();
    let barrier = Arc::new(Barrier::new(posts.len()));
    let tasks: Vec<_> = posts
        .into_iter()
        .map(|(mut browser, path, form)| {
            let barrier = Arc::clone(&barrier);
            tokio::spawn(async move {
                let mut connection = browser.connect().await;
                let request = Request::post(path).header(CONTENT_TYPE, FORM).body(form).expect("a valid request");
                barrier.wait().await;
                let reply = connection.try_send(&mut browser, request).await.expect("an answer");
                (browser, reply)
            })
        })
        .collect();
    let mut replies = Vec::with_capacity(tasks.len());
    for task in tasks {
        replies.push(task.await.expect("the request runs to its end"));
    }
    replies
}

/// The rounds of a race, and those that broke its clause.
struct Count {
    title: String,
    start: Instant,
    rounds: usize,
    /// By round.
    violations: BTreeMap<usize, String>,
}

impl Count {
    fn new(title: String) -> Self {
        Self { title, start: Instant::now(), rounds: race_rounds_or(ROUNDS), violations: BTreeMap::new() }
    }

    /// Notes what was seen in a round, if that breaks the clause.
    fn check(&mut self, round: usize, holds: bool, seen: impl Debug) {
        if !holds {
            self.violations.entry(round).or_insert_with(|| format!("{seen:?}"));
        }
    }

    /// Says what was counted, and fails if anything was violated. `more` is what else is worth to
    /// know.
    fn finish(self, more: &str) {
        let Self { title, start, rounds, violations } = self;
        let (broken, took) = (violations.len(), start.elapsed());
        println!("{title}: {rounds} rounds, {broken} violations, {more}, {took:.1?}");
        assert!(broken == 0, "{broken} of {rounds} rounds: {:#?}", violations.iter().take(3).collect::<Vec<_>>());
    }
}
