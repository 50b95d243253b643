//! Callers of two nodes, many of which give up, while everything fails at random: nothing that was acknowledged is lost, nothing is done
//! twice, nothing that ended is back (DATA-5, DATA-6, DATA-16, ROT-7, FLT-1, FLT-2). The seed of a round repeats what is asked and what
//! fails, but not what of it meets.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::support::faults::client::{Client, Inspect};
use crate::support::faults::programs::Kind;
use crate::support::faults::servers::Server;
use asking::{Shared, Way, lock};
use nodes::{CONNECTIONS, Node, PATIENCE};
use random::Random;
use request::{Op, Wait};
use told::Known;

mod asking;
mod faults;
mod nodes;
mod proxy;
mod random;
mod request;
mod told;

/// As many as a node has connections, so that each can hold one.
pub(super) const USERS: u64 = CONNECTIONS as u64;
/// Sessions of each, which the workers share.
const SHARED: usize = 2;
const WORKERS: usize = 2;
/// Twice so many in a round, two at a time.
const FAULTS: usize = 20;

/// What the command line says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Runs {
    pub(crate) rounds: u64,
    pub(crate) seed: Option<u64>,
}

pub(crate) async fn everything_fails(server: &Server, runs: Runs) {
    let name = server.kind().name();
    let panics = count_panics();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let first = runs.seed.unwrap_or(now * 1000);
    let mut wrong = 0;
    for seed in first..first + runs.rounds {
        let start = Instant::now();
        let mut round = Round::start(server, seed).await;
        round.run(server).await;
        round.check(server).await;
        if panics.swap(0, Ordering::SeqCst) > 0 {
            round.shared.wrong("there were panics");
        }
        println!("{name}: seed {seed}, {:.1?}: {}", start.elapsed(), round.shared.summary());
        for what in round.shared.take_wrong() {
            wrong += 1;
            println!("{name}: seed {seed}: WRONG: {what}");
        }
    }
    assert_eq!(wrong, 0, "see above, and run a seed again by `--seed N --rounds 1`");
}

fn count_panics() -> Arc<AtomicU64> {
    let panics = Arc::new(AtomicU64::new(0));
    let (counted, before) = (Arc::clone(&panics), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |info| {
        counted.fetch_add(1, Ordering::SeqCst);
        before(info);
    }));
    panics
}

struct Round {
    random: Random,
    shared: Arc<Shared>,
    sessions: Vec<Arc<Known>>,
}

impl Round {
    async fn start(server: &Server, seed: u64) -> Self {
        let url = server.url();
        let shared = Arc::new(Shared::new([Node::start(&url).await, Node::start(&url).await]));
        let mut client = Client::connect(&url).await.expect("a server that answers");
        client.run("DELETE FROM cookie_session").await.expect("tables");
        let mut sessions = Vec::new();
        for user in (0..USERS).flat_map(|user| [user; SHARED]) {
            let user = format!("user {user}");
            let known = shared.sign_in(Way::to_the_end(0), &user).await.expect("a server that answers");
            sessions.push(known);
        }
        Self { random: Random::new(seed), shared, sessions }
    }

    /// Workers and faults, until the workers are done.
    async fn run(&mut self, server: &Server) {
        let mut workers = JoinSet::new();
        for (number, known) in self.sessions.iter().flat_map(|known| [known; WORKERS]).enumerate() {
            let worker = Worker {
                shared: Arc::clone(&self.shared),
                known: Arc::clone(known),
                rotates: number % WORKERS == 0,
                number,
                others: Vec::new(),
                users: 0,
                random: self.random.fork(),
            };
            workers.spawn(worker.work());
        }
        let kinds = [self.random.fork(), self.random.fork()].map(|random| self.faults(server, random));
        futures_util::future::join_all(kinds).await;
        self.shared.is_over.store(true, Ordering::Relaxed);
        self.shared.nodes.iter().for_each(|node| node.proxy.heal());
        while let Some(done) = workers.join_next().await {
            done.expect("a worker that ends well");
        }
    }

    /// One fault after the other.
    async fn faults(&self, server: &Server, mut random: Random) {
        let mut admin = Client::connect(&admin_url(server)).await.expect("a server that answers");
        if server.kind() == Kind::MariaDb {
            admin.run("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED").await.expect("a level that there is");
        }
        for _ in 0..FAULTS {
            sleep(random.millis(150)).await;
            let fault = faults::fault(&mut random, &self.shared.nodes, server.kind(), &mut admin).await;
            self.shared.count(fault, 1);
        }
    }

    /// All must be true now, and full service again.
    async fn check(&mut self, server: &Server) {
        let shared = &self.shared;
        for (number, node) in shared.nodes.iter().enumerate() {
            if let Some(tasks) = node.settled().await {
                shared.wrong(format!("tasks are left on node {number}: {tasks:?}"));
            }
        }
        let mut observer = Client::connect(&admin_url(server)).await.expect("a server that answers");
        let made = lock(&shared.made).clone();
        let users: BTreeSet<_> = made.iter().map(|known| &known.user).collect();
        for user in users {
            let rows = observer.sessions(user).await;
            let of_user: Vec<_> = made.iter().filter(|known| known.user == *user).collect();
            of_user.iter().filter_map(|known| known.wrong_row(&rows)).for_each(|what| shared.wrong(what));
            let unknown = rows.iter().filter(|row| of_user.iter().all(|known| known.id != row.id)).count();
            shared.count("left of sign-ins without an answer", unknown as u64);
        }
        for known in &made {
            for node in [0, 1] {
                shared.ask(Way::to_the_end(node), known, Op::Read).await;
            }
        }
        for node in [0, 1] {
            self.all_connections_work(server, node, &mut observer).await;
        }
    }

    /// As many changes as a node has connections reach the server at once.
    async fn all_connections_work(&self, server: &Server, node: usize, observer: &mut Client) {
        let mut holder = Client::connect(&admin_url(server)).await.expect("a server that answers");
        let id = holder.id().await;
        holder.run("BEGIN").await.expect("a transaction");
        holder.run("SELECT 1 FROM cookie_session FOR UPDATE").await.expect("locks");
        let mut changes = JoinSet::new();
        for known in self.sessions.iter().step_by(SHARED) {
            let (shared, known) = (Arc::clone(&self.shared), Arc::clone(known));
            let number = shared.next.fetch_add(1, Ordering::Relaxed);
            changes.spawn(async move { shared.ask(Way::to_the_end(node), &known, Op::Append(number)).await });
        }
        let all_wait = async { while observer.waiting(&[id]).await.len() < CONNECTIONS {} };
        if timeout(PATIENCE, all_wait).await.is_err() {
            let waiting = observer.waiting(&[id]).await.len();
            self.shared.wrong(format!("node {node} has {waiting} connections of {CONNECTIONS}"));
        }
        holder.run("ROLLBACK").await.expect("no lock any more");
        changes.join_all().await;
    }
}

/// As an administrator who looks into the tables.
fn admin_url(server: &Server) -> String {
    match server.kind() {
        Kind::Postgres => format!("{}?application_name={}", server.admin_url(), faults::SPARED),
        Kind::MariaDb => server.admin_url().replace("/mysql", "/sessions"),
    }
}

/// Asks one thing after the other in a session.
struct Worker {
    shared: Arc<Shared>,
    known: Arc<Known>,
    rotates: bool,
    number: usize,
    /// Sessions of a user that only this worker has, and how many such users were before.
    others: Vec<Arc<Known>>,
    users: u32,
    random: Random,
}

impl Worker {
    async fn work(mut self) {
        while !self.shared.is_over.load(Ordering::Relaxed) {
            self.step().await;
            sleep(self.random.millis(10)).await;
        }
    }

    fn way(&mut self) -> Way {
        let [node, place] = [self.random.index(2), self.random.index(2)];
        Way { node, place, wait: Wait::any(&mut self.random) }
    }

    async fn step(&mut self) {
        let way = self.way();
        let (shared, known) = (&self.shared, &self.known);
        let next = shared.next.fetch_add(1, Ordering::Relaxed);
        match self.random.below(12) {
            0 if self.rotates => {
                drop(known.tokens.write().await);
                shared.ask(way, known, Op::Rotate).await;
            }
            0 | 1 => {
                let filling = self.random.index(2) * self.random.index(30_000);
                let op = Op::Set { key: format!("key {}", self.number), value: next, filling };
                shared.ask(way, known, op).await;
            }
            2 => shared.list(way, &known.user).await,
            3 | 4 => shared.ask(way, known, Op::Read).await,
            5 => self.one_that_ends(way, next).await,
            6 => self.one_that_ends_others(way).await,
            _ => shared.ask(way, known, Op::Append(next)).await,
        }
    }

    /// A session that is changed while it is ended.
    async fn one_that_ends(&mut self, way: Way, number: u64) {
        let Some(known) = self.shared.sign_in(way, &self.known.user).await else { return };
        let [change, end] = [self.way(), self.way()];
        let ends = async {
            match self.random.below(3) {
                0 => {}
                1 => self.shared.ask(end, &known, Op::Logout).await,
                _ => self.shared.revoke(end, &known).await,
            }
        };
        tokio::join!(self.shared.ask(change, &known, Op::Append(number)), ends);
    }

    /// A session that ends those before it.
    async fn one_that_ends_others(&mut self, way: Way) {
        let user = format!("worker {} {}", self.number, self.users);
        let Some(known) = self.shared.sign_in(way, &user).await else { return };
        let way = self.way();
        if self.shared.end_others(way, &known, &self.others).await {
            self.others.push(known);
        } else {
            self.others.clear();
            self.users += 1;
        }
    }
}
