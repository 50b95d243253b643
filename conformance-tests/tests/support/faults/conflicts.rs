//! Foreign transactions that run into the library's: deadlocks, and changes that a
//! stricter isolation level refuses. The database rolls one back, the store runs it again, and the
//! answer is a success; if it never stops, it is a 503.

use std::sync::Arc;
use std::time::Duration;

use conformance_tests::browser::{Browser, Reply};
use conformance_tests::world::World;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::client::Client;
use super::pool::{Pool, Settings};
use super::programs::Kind;
use crate::support::axum::Axum;

const ROUNDS: usize = 5;
/// More tries than any store makes.
const ENDLESS: usize = 200;
const PATIENCE: Duration = Duration::from_secs(60);

/// Two others that hold rows of the user `ada`, and a third that looks who waits for whom.
struct Others {
    kind: Kind,
    /// Empty while it has something to do.
    clients: [Option<Client>; 2],
    ids: [i64; 2],
    observer: Client,
}

/// Takes the session's row, as a change does.
const SESSION: &str = "UPDATE cookie_session SET token_seen = NOT token_seen WHERE user_id = 'ada'";
/// Takes the user's row, as a sign-in does.
const USER: &str = "SELECT user_id FROM cookie_session_user WHERE user_id = 'ada' FOR UPDATE";

/// What refuses each change of a session and counts, what allows them again, and the count.
const fn refusing(kind: Kind) -> [&'static str; 3] {
    match kind {
        Kind::Postgres => [
            "CREATE SEQUENCE tries; \
             CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM nextval(''tries''); \
             RAISE EXCEPTION USING ERRCODE = ''serialization_failure'', MESSAGE = ''again''; END'; \
             CREATE TRIGGER refuse BEFORE UPDATE ON cookie_session FOR EACH ROW EXECUTE FUNCTION refuse()",
            "DROP TRIGGER refuse ON cookie_session",
            "SELECT last_value FROM tries",
        ],
        Kind::MariaDb => [
            "CREATE TABLE tries (n INT) ENGINE = Aria; \
             CREATE TRIGGER refuse BEFORE UPDATE ON cookie_session FOR EACH ROW BEGIN INSERT INTO tries VALUES (1); \
             SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213, MESSAGE_TEXT = 'again'; END",
            "DROP TRIGGER refuse",
            "SELECT count(*) FROM tries",
        ],
    }
}

/// Sign-ins take the user's row, then the session's; the others the other way round.
pub(super) async fn deadlocks(url: String) {
    let (world, mut browser) =
        world(&url, Settings::SHORT, ["SET deadlock_timeout = '100ms'", "SET NAMES utf8mb4"]).await;
    let mut others = Others::connect(&url).await;
    let mut rolled_back = 0;
    for _ in 0..ROUNDS {
        others.begin(0).await;
        others.run(0, SESSION).await.expect("a free row");
        let request = others.ask(&browser, json!({"op": "authenticate", "user": "ada"})).await;
        // Where the database chooses this one to be rolled back, the sign-in was never in danger.
        rolled_back += usize::from(others.run(0, USER).await.is_ok());
        others.run(0, "ROLLBACK").await.expect("an end");
        let (signed_in, reply) = request.await.expect("an answer");
        assert_eq!((reply.status, reply.sends_cookie()), (200, true), "{:?}", world.events());
        browser = signed_in;
    }
    assert!(rolled_back > 0, "the store was never the one that is rolled back");

    for _ in 0..ROUNDS {
        let (after, reply, deadlocks) = others.deadlock_for_ever(&browser).await;
        let Some(deadlocks) = deadlocks else {
            browser = after;
            continue;
        };
        let failed = world.events();
        assert_eq!((reply.status, reply.sends_cookie()), (503, false), "after {deadlocks} deadlocks: {failed:?}");
        assert!(deadlocks < ENDLESS, "it never gives up");
        let reply = browser.run(json!([{"op": "rotate"}, {"op": "fail"}])).await;
        assert_eq!(reply.status, 200, "the old session lives, and service goes on");
        println!(
            "{}: {rolled_back} of {ROUNDS} sign-ins in a deadlock rolled back and run again; given up after {deadlocks} rounds",
            others.kind.name()
        );
        return;
    }
    panic!("the database never let the others have their way");
}

/// Changes of a session by others, while a stricter default makes PostgreSQL refuse the second one,
/// and MariaDB wait longer.
pub(super) async fn refused_changes(url: String) {
    let strict =
        ["SET default_transaction_isolation = 'serializable'", "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE"];
    let (world, mut browser) = world(&url, Settings::SHORT, strict).await;
    let mut others = Others::connect(&url).await;
    for _ in 0..ROUNDS {
        for op in [json!({"op": "increment", "key": "n"}), json!({"op": "rotate"})] {
            others.begin(0).await;
            others.run(0, SESSION).await.expect("a free row");
            let request = others.ask(&browser, op).await;
            others.run(0, "COMMIT").await.expect("an end");
            let (after, reply) = request.await.expect("an answer");
            assert_eq!(reply.status, 200, "{:?}", world.events());
            browser = after;
        }
    }
    // One that the database never allows.
    let [refuse, allow, count] = refusing(others.kind);
    others.run(0, refuse).await.expect("a trigger");
    let mut tab = browser.clone();
    let reply = tab.run(json!([{"op": "increment", "key": "n"}])).await;
    assert_eq!((reply.status, reply.set_cookies().len()), (503, 0), "{:?}", world.events());
    others.run(0, allow).await.expect("its trigger");
    let tries = others.observer.numbers(count).await[0];
    assert!((2..100).contains(&tries), "{tries} tries");
    let reply = browser.run(json!([{"op": "increment", "key": "n"}])).await;
    assert_eq!((reply.status, reply.error_status(0)), (200, None), "service goes on");
    let reply = browser.run(json!([{"op": "get", "key": "n"}])).await;
    assert_eq!(reply.result(0), json!({"value": ROUNDS + 1}), "each counts once");
    println!("{}: {} changes that had to wait, made; one given up after {tries} tries", others.kind.name(), 2 * ROUNDS);
}

/// `first` is said on each connection, to PostgreSQL or to MariaDB.
async fn world(url: &str, settings: Settings, first: [&'static str; 2]) -> (World, Browser) {
    let first = match Kind::of(url) {
        Kind::Postgres => first[0],
        Kind::MariaDb => first[1],
    };
    let pool = Pool::open(url, Settings { first: Some(first), ..settings }).await;
    let world = World::new(Arc::new(Axum), pool.rows(PATIENCE)).await;
    let mut browser = world.browser();
    browser.run(json!([{"op": "authenticate_with", "user": "ada", "data": {"n": 0}}])).await;
    (world, browser)
}

type Request = JoinHandle<(Browser, Reply)>;

impl Others {
    async fn connect(url: &str) -> Self {
        let connect = async || Client::connect(url).await.expect("a server that answers");
        let (mut clients, mut ids) = ([Some(connect().await), Some(connect().await)], [0; 2]);
        let kind = Kind::of(url);
        for (client, id) in clients.iter_mut().flatten().zip(&mut ids) {
            *id = client.id().await;
        }
        let mut observer = connect().await;
        if kind == Kind::MariaDb {
            observer.run("CREATE TABLE weight (n INT)").await.expect("a table");
        }
        Self { kind, clients, ids, observer }
    }

    async fn begin(&mut self, index: usize) {
        let begin = match self.kind {
            // So that the store, which is quicker to look, finds the deadlock.
            Kind::Postgres => "BEGIN; SET LOCAL deadlock_timeout = '3s'",
            // Whoever has changed least is rolled back.
            Kind::MariaDb => {
                "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; START TRANSACTION; \
                 INSERT INTO weight SELECT seq FROM seq_1_to_1000"
            }
        };
        self.run(index, begin).await.expect("a transaction");
    }

    async fn run(&mut self, index: usize, sql: &str) -> sqlx::Result<()> {
        self.clients[index].as_mut().expect("nothing else to do").run(sql).await
    }

    /// Deadlocks with a sign-in again and again, while the session's row is never free: how many
    /// rounds it took the store to give up; none if the database rolled back another one.
    async fn deadlock_for_ever(&mut self, browser: &Browser) -> (Browser, Reply, Option<usize>) {
        let mut deadlocks = Some(0);
        self.begin(0).await;
        self.run(0, SESSION).await.expect("a free row");
        if self.kind == Kind::Postgres {
            self.run(0, "SAVEPOINT session").await.expect("a transaction");
        }
        let request = self.ask(browser, json!({"op": "authenticate", "user": "ada"})).await;
        let mut holder = 0;
        for _ in 0..ENDLESS {
            let has_its_way = self.run(holder, USER).await.is_ok();
            deadlocks = deadlocks.filter(|_| has_its_way).map(|deadlocks| deadlocks + 1);
            if deadlocks.is_none() || !self.store_waits(&request, holder).await {
                break;
            }
            holder = self.let_go_of_user(holder).await;
            if !self.store_waits(&request, holder).await {
                break;
            }
        }
        self.end().await;
        let (after, reply) = request.await.expect("an answer");
        (after, reply, deadlocks)
    }

    /// Sends a request, and waits until it waits for the first of the others.
    async fn ask(&mut self, browser: &Browser, op: Value) -> Request {
        let mut browser = browser.clone();
        let request = tokio::spawn(async move {
            let reply = browser.run(json!([op, {"op": "fail"}])).await;
            (browser, reply)
        });
        assert!(self.store_waits(&request, 0).await, "it waits");
        request
    }

    /// Waits until a connection of the store waits for one of the others: false if the answer came
    /// instead.
    async fn store_waits(&mut self, request: &Request, holder: usize) -> bool {
        loop {
            let waiting = self.observer.waiting(&[self.ids[holder]]).await;
            if waiting.iter().any(|id| !self.ids.contains(id)) {
                return true;
            }
            if request.is_finished() {
                return false;
            }
        }
    }

    /// Lets go of the user's row, and not of the session's: who holds that now.
    async fn let_go_of_user(&mut self, holder: usize) -> usize {
        if self.kind == Kind::Postgres {
            self.run(holder, "ROLLBACK TO SAVEPOINT session").await.expect("a transaction");
            return holder;
        }
        // MariaDB keeps such a lock to the end, and gives the session's row to the one that waited
        // first.
        let next = 1 - holder;
        self.begin(next).await;
        let mut client = self.clients[next].take().expect("nothing else to do");
        let queued = tokio::spawn(async move {
            client.run(SESSION).await.expect("a lock in the end");
            client
        });
        let ids = self.ids;
        while !self.observer.waiting(&ids).await.contains(&ids[next]) {}
        self.run(holder, "ROLLBACK").await.expect("an end");
        self.clients[next] = Some(queued.await.expect("a lock in the end"));
        next
    }

    async fn end(&mut self) {
        for index in 0..2 {
            self.run(index, "ROLLBACK").await.expect("an end");
        }
    }
}
