//! Random interleavings of what three browsers do, compared with a model. A failure names the seed
//! of its run. Not here: races, see the scenarios; here requests follow each other, so that every
//! answer is known.

use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::Trial;
use serde_json::{Value, json};
use session_core::Clock;
use time::OffsetDateTime;

use crate::adapter::Adapter;
use crate::browser::Browser;
use crate::random::Random;
use crate::trial;
use crate::world::{StoreKind, World};

const RUNS: u64 = 60;
const STEPS: usize = 40;
const BROWSERS: usize = 3;
const USERS: [&str; 2] = ["ada", "bob"];
const LIMIT: usize = 2;
const IDLE: Duration = Duration::from_secs(3600);
const ABSOLUTE: Duration = Duration::from_secs(3 * 3600);
const TOUCH: Duration = Duration::from_secs(300);

/// The trial for one adapter over one kind of store.
pub fn mount<A: Adapter>(adapter: &Arc<A>, store: &Arc<dyn StoreKind>) -> Trial {
    let name = trial::name(&[adapter.name(), store.name(), "model"], &format!("{RUNS} random runs of {STEPS} steps"));
    let (adapter, store) = (Arc::clone(adapter), Arc::clone(store));
    Trial::test(name, move || {
        trial::run(async move {
            for seed in 0..RUNS {
                let world = World::new(Arc::clone(&adapter), store.fresh().await).await;
                one_run(seed, world).await;
            }
        })
    })
}

async fn one_run(seed: u64, world: World) {
    let limit = u32::try_from(LIMIT).expect("small");
    let world = world
        .with_config(|config| {
            config.idle_timeout(IDLE).absolute_timeout(ABSOLUTE).touch_interval(TOUCH).max_sessions_per_user(limit)
        })
        .await;
    let mut random = Random::seeded(seed);
    let mut model = Model { now: world.clock.now(), ..Model::default() };
    let mut browsers: Vec<Browser> = (0..BROWSERS).map(|_| world.browser()).collect();
    let mut taken: Vec<String> = Vec::new();
    for _ in 0..STEPS {
        // So that no two sessions were last active at the same time: their order is then known.
        world.clock.advance(Duration::from_secs(1));
        model.advance(1);
        let number = random.below(BROWSERS);
        let browser = &mut browsers[number];
        match random.below(12) {
            0 | 1 => {
                let user = USERS[random.below(USERS.len())];
                let reply = act(browser, &mut taken, number, json!({"op": "authenticate", "user": user})).await;
                model.sign_in(number, user, reply["session"]["id"].as_str().expect("signed in"));
            }
            2 | 3 => {
                let (key, value) = (["a", "b"][random.below(2)], random.below(100));
                act(browser, &mut taken, number, json!({"op": "set", "key": key, "value": value})).await;
                model.change(number, |data| data[key] = json!(value));
            }
            4 => {
                act(browser, &mut taken, number, json!({"op": "increment", "key": "n"})).await;
                model.change(number, |data| data["n"] = json!(data["n"].as_u64().unwrap_or(0) + 1));
            }
            5 => {
                let failed = act(browser, &mut taken, number, json!({"op": "rotate"})).await["failed"].clone();
                assert_eq!(failed, model.rotate(number), "seed {seed}: {taken:?}");
            }
            6 => {
                act(browser, &mut taken, number, json!({"op": "logout"})).await;
                model.end(number, |_, own| own);
                model.browsers[number] = None;
            }
            7 => {
                let failed = act(browser, &mut taken, number, json!({"op": "logout_other"})).await["failed"].clone();
                assert_eq!(failed, model.end(number, |same_user, own| same_user && !own), "seed {seed}: {taken:?}");
            }
            8 => {
                // Any session there ever was: one's own, another's, or one that has ended.
                let Some(id) = random.of(&model.ids).cloned() else { continue };
                let failed =
                    act(browser, &mut taken, number, json!({"op": "revoke", "id": id})).await["failed"].clone();
                assert_eq!(failed, model.revoke(number, &id), "seed {seed}: {taken:?}");
            }
            9 | 10 => {
                let by = [1, 200, 300, 1800, 3599, 3600][random.below(6)];
                taken.push(format!("clock +{by} s"));
                world.clock.advance(Duration::from_secs(by));
                model.advance(by);
            }
            _ => {
                act(browser, &mut taken, number, json!({"op": "get", "key": "a"})).await;
                model.touch(number);
            }
        }
        for (user, expected) in USERS.map(|user| (user, model.list(user))) {
            let rows = crate::scenarios::support::stored::rows(&world, user).await;
            let value = |text: &str| serde_json::from_str::<Value>(text).expect("stored data is JSON");
            let listed: Vec<_> = rows.iter().map(|row| (row.id.to_string(), value(row.data.text()))).collect();
            assert_eq!(listed, expected, "seed {seed}, {user}'s sessions after {taken:?}");
        }
    }
}

/// Runs one operation of one browser. Returns the session after it, which must be the cookie's, and
/// the status if it failed.
async fn act(browser: &mut Browser, taken: &mut Vec<String>, number: usize, op: Value) -> Value {
    taken.push(format!("browser {number}: {op}"));
    let reply = browser.run(json!([op, {"op": "current"}])).await;
    assert_eq!(reply.status, 200, "after {taken:?}");
    json!({"failed": reply.error_status(0), "session": reply.result(1)})
}

/// What the model expects to be stored.
#[derive(Debug)]
struct Model {
    now: OffsetDateTime,
    sessions: Vec<Expected>,
    /// The session of each browser's cookie.
    browsers: [Option<String>; BROWSERS],
    /// All sessions there ever were.
    ids: Vec<String>,
}

#[derive(Debug, Clone)]
struct Expected {
    id: String,
    user: &'static str,
    data: Value,
    last_active: OffsetDateTime,
    absolute: OffsetDateTime,
    /// Whether its token was rotated and the new one not presented yet. Presenting it first always
    /// counts as activity.
    unseen: bool,
}

impl Expected {
    fn is_live(&self, now: OffsetDateTime) -> bool {
        now < self.absolute && now < self.last_active + IDLE
    }
}

impl Default for Model {
    fn default() -> Self {
        Self {
            now: OffsetDateTime::UNIX_EPOCH,
            sessions: Vec::new(),
            browsers: [const { None }; BROWSERS],
            ids: Vec::new(),
        }
    }
}

impl Model {
    fn own(&self, number: usize) -> Option<usize> {
        let id = self.browsers[number].as_ref()?;
        self.sessions.iter().position(|session| session.id == *id)
    }

    fn sign_in(&mut self, number: usize, user: &'static str, id: &str) {
        if let Some(old) = self.own(number) {
            self.sessions.remove(old);
        }
        self.browsers[number] = Some(id.to_owned());
        self.ids.push(id.to_owned());
        let (last_active, absolute) = (self.now, self.now + ABSOLUTE);
        self.sessions.push(Expected { id: id.to_owned(), user, data: json!({}), last_active, absolute, unseen: false });
        for (evicted, _) in self.list(user).into_iter().skip(LIMIT) {
            self.sessions.retain(|session| session.id != evicted);
        }
    }

    /// A request that extracted the session: activity, where it is due.
    fn touch(&mut self, number: usize) {
        if let Some(own) = self.own(number) {
            let session = &mut self.sessions[own];
            if std::mem::take(&mut session.unseen) || self.now - session.last_active >= TOUCH {
                session.last_active = self.now;
            }
        }
    }

    fn change(&mut self, number: usize, change: impl FnOnce(&mut Value)) {
        self.touch(number);
        if let Some(own) = self.own(number) {
            change(&mut self.sessions[own].data);
        }
    }

    fn rotate(&mut self, number: usize) -> Value {
        match self.own(number) {
            None => json!(401),
            Some(own) => {
                self.sessions[own].last_active = self.now;
                self.sessions[own].unseen = true;
                Value::Null
            }
        }
    }

    /// Ends the sessions that `which(is of the same user, is the same session)` selects.
    fn end(&mut self, number: usize, which: impl Fn(bool, bool) -> bool) -> Value {
        self.touch(number);
        let Some(own) = self.own(number) else { return json!(401) };
        let (user, id) = (self.sessions[own].user, self.sessions[own].id.clone());
        self.sessions.retain(|session| !which(session.user == user, session.id == id));
        Value::Null
    }

    fn revoke(&mut self, number: usize, id: &str) -> Value {
        let Some(own) = self.own(number) else { return json!(401) };
        let user = self.sessions[own].user;
        self.touch(number);
        match self.sessions.iter().position(|session| session.id == id && session.user == user) {
            None => json!(404),
            Some(ended) => {
                self.sessions.remove(ended);
                if ended == own {
                    self.browsers[number] = None;
                }
                Value::Null
            }
        }
    }

    fn advance(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.sessions.retain(|session| session.is_live(self.now));
    }

    fn list(&self, user: &str) -> Vec<(String, Value)> {
        let mut sessions: Vec<_> = self.sessions.iter().filter(|session| session.user == user).collect();
        sessions.sort_by_key(|session| std::cmp::Reverse(session.last_active));
        sessions.into_iter().map(|session| (session.id.clone(), session.data.clone())).collect()
    }
}
