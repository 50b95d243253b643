//! Nodes that end under load, one after the other, and are started again: by SIGKILL, as when
//! memory runs out, and by SIGTERM, as a service manager replaces a release. Browsers go on through
//! the nodes that are there, as behind a load balancer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use app_tests::{FORM, post, redirects};
use conformance_tests::race_rounds_or;
use http::Request;
use libtest_mimic::Trial;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::place::Place;
use super::{Nodes, leads_to, proves, title};
use crate::pages::session;
use crate::program::{App, Cookies, Database, Running};

/// Browsers that write all the time, each with a session of its own.
const WRITERS: usize = 6;
/// Requests that each of them must have had answered between two restarts.
const BETWEEN: usize = 10;

/// How a node ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Killed,
    Stopped,
}

pub(super) fn trials(apps: [App; 3], place: &Place) -> Vec<Trial> {
    let trial = |end, clauses, what| {
        let (title, start) = (title(apps[0], place, what), place.clone());
        proves(place, clauses, what, move || async move {
            let database = start.fresh().await;
            under_load(Fleet::start(apps, database).await, end, &title).await;
        })
    };
    vec![
        trial(End::Killed, &["FLT-1", "DATA-6"], "nodes killed under load lose and revive nothing"),
        trial(End::Stopped, &["FLT-1", "FLT-2"], "nodes stopped under load answer all that they accepted"),
    ]
}

/// Nodes that come and go.
struct Fleet {
    apps: [App; 3],
    database: Database,
    nodes: Mutex<Vec<Arc<Running>>>,
}

impl Fleet {
    async fn start(apps: [App; 3], database: Database) -> Arc<Self> {
        let nodes = Nodes::start(apps, database.clone()).await.all.into_iter().map(Arc::new).collect();
        Arc::new(Self { apps, database, nodes: Mutex::new(nodes) })
    }

    fn node(&self, turn: usize) -> Arc<Running> {
        let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(nodes.get(turn % self.apps.len()).expect("a trial that runs"))
    }

    /// Puts a new process in the place of one that has ended.
    async fn replace(&self, turn: usize) {
        let (app, database) = (self.apps[turn % self.apps.len()], self.database.clone());
        let new = spawn_blocking(move || app.start(Cookies::Secure, &database)).await.expect("a node that starts");
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes[turn % self.apps.len()] = Arc::new(new);
    }

    async fn sign_in(&self, turn: usize, (username, password): (&str, &str)) -> String {
        crate::pages::signed_in(&self.node(turn), username, password).await.cookie().expect("signed in")
    }
}

/// What one writer has met.
#[derive(Debug, Clone, Copy, Default)]
struct Met {
    /// Writes that were acknowledged.
    stored: usize,
    /// Writes that were a 503.
    refused: usize,
    /// Connections that nobody took.
    nobody: usize,
    /// Connections that ended without an answer.
    broken: usize,
}

/// Ends all nodes when the trial ends, however it does: the writers may hold them a little longer.
struct Ending(Arc<Fleet>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.nodes.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

async fn under_load(fleet: Arc<Fleet>, end: End, title: &str) {
    let _ending = Ending(Arc::clone(&fleet));
    // A full round is some fifty requests.
    let restarts = race_rounds_or(super::ROUNDS).div_ceil(5).max(3);
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let account = [("alan", "turing"), ("grace", "hopper")][writer % 2];
        let cookie = fleet.sign_in(writer, account).await;
        let (tell, told) = watch::channel(Met::default());
        let task = tokio::spawn(write(Arc::clone(&fleet), cookie.clone(), Arc::clone(&stop), tell));
        writers.push((cookie, told, task));
    }

    let mut ended = Vec::new();
    for turn in 0..restarts {
        for (_, told, _) in &mut writers {
            let before = told.borrow().stored;
            told.wait_for(|met| met.stored >= before + BETWEEN).await.expect("a writer that runs");
        }
        // What this node says last: a sign-in with a value, and a sign-out.
        let node = fleet.node(turn);
        let kept = fleet.sign_in(turn, ("ada", "lovelace")).await;
        redirects(&post(&mut node.tab(&kept), "/theme", "theme=dark").await, "/");
        let gone = fleet.sign_in(turn, ("ada", "lovelace")).await;
        redirects(&post(&mut node.tab(&gone), "/logout", "").await, "/login");
        ended.push(gone);
        match end {
            End::Killed => spawn_blocking(move || node.kill()).await.expect("killed"),
            End::Stopped => {
                answers_what_it_accepted(&node, &kept).await;
                assert!(
                    spawn_blocking(move || node.ended_well()).await.expect("stopped"),
                    "restart {turn}: it ends well"
                );
            }
        }
        fleet.replace(turn).await;
        let mut back = fleet.node(turn).tab(&kept);
        let theme = if end == End::Killed { "dark" } else { "light" };
        assert_eq!(session(&mut back).await["data"], json!({"theme": theme}), "restart {turn}");
        redirects(&post(&mut back, "/logout", "").await, "/login");
        ended.push(kept);
    }
    stop.store(true, Ordering::SeqCst);

    let mut all = Met::default();
    for (writer, (cookie, told, task)) in writers.into_iter().enumerate() {
        task.await.expect("a writer that ends well");
        let met = *told.borrow();
        let seen = session(&mut fleet.node(writer).tab(&cookie)).await;
        let counted = usize::try_from(seen["data"]["visits"].as_u64().expect("a count")).expect("few");
        // A killed node may have stored what it could acknowledge no more. A node that is told to
        // stop must acknowledge.
        let most = met.stored + if end == End::Killed { met.broken + met.refused } else { 0 };
        assert!((met.stored..=most).contains(&counted), "writer {writer}: {counted} counted, {met:?}");
        all.stored += met.stored;
        all.refused += met.refused;
        all.nobody += met.nobody;
        all.broken += met.broken;
    }
    for cookie in &ended {
        for node in 0..3 {
            assert!(session(&mut fleet.node(node).tab(cookie)).await.is_null(), "signed out stays signed out");
        }
    }
    let Met { stored, refused, nobody, broken } = all;
    println!(
        "{title}: {restarts} restarts, {stored} writes acknowledged, none lost; {refused} refused with 503, {nobody} connections \
         that nobody took, {broken} closed without an answer; {} sign-outs stayed",
        ended.len()
    );
}

/// Writes through all nodes in turn until it is told to stop.
async fn write(fleet: Arc<Fleet>, cookie: String, stop: Arc<AtomicBool>, tell: watch::Sender<Met>) {
    for turn in 0.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let mut tab = fleet.node(turn).tab(&cookie);
        let Ok(mut connection) = tab.try_connect().await else {
            tell.send_modify(|met| met.nobody += 1);
            continue;
        };
        let request = Request::post("/visits").body("").expect("a valid request");
        let reply = connection.try_send(&mut tab, request).await;
        tell.send_modify(|met| match &reply {
            None => met.broken += 1,
            Some(reply) if reply.status == 503 => met.refused += 1,
            Some(reply) => {
                assert_eq!((reply.status, leads_to(reply)), (303, "/"), "nobody is signed out by a restart");
                met.stored += 1;
            }
        });
    }
}

/// Tells a node to stop while it waits for the rest of a form, which comes when the node takes no
/// new connection any more.
async fn answers_what_it_accepted(node: &Running, cookie: &str) {
    let form = "theme=light";
    let head = format!(
        "POST /theme HTTP/1.1\r\nhost: localhost\r\ncookie: {}={cookie}\r\ncontent-type: {}\r\ncontent-length: {}\r\n\
         expect: 100-continue\r\nconnection: close\r\n\r\n",
        Cookies::Secure.name(),
        FORM,
        form.len()
    );
    let mut stream = TcpStream::connect(node.addr).await.expect("it listens");
    stream.write_all(head.as_bytes()).await.expect("it reads");
    let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
    let mut answer = vec![0; go_on.len()];
    stream.read_exact(&mut answer).await.expect("it wants the form");
    assert_eq!(answer, go_on, "{}", String::from_utf8_lossy(&answer));

    node.ask_to_stop();
    while TcpStream::connect(node.addr).await.is_ok() {
        tokio::task::yield_now().await;
    }
    stream.write_all(form.as_bytes()).await.expect("it reads on");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("a whole answer");
    assert!(answer.starts_with("HTTP/1.1 303 ") && answer.to_ascii_lowercase().contains("location: /\r\n"), "{answer}");
}
