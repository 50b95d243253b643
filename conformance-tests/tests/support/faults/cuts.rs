//! A connection that is cut in the middle of a change: before the server reads its end, while it
//! does it, or before the answer is back. It is done whole, once, and answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use conformance_tests::browser::{Browser, Reply};
use conformance_tests::world::{Rows, World};
use serde_json::{Value, json};

use super::client::{Client, Inspect, Stored};
use super::pool::{Pool, Settings};
use super::proxy::{Cut, Proxy};
use crate::support::axum::Axum;

const CUTS: [Cut; 3] = [Cut::Before, Cut::During, Cut::After];
const PATIENCE: Duration = Duration::from_secs(10);

/// What a request changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Change {
    SignIn,
    SignInAgain,
    Set,
    Update,
    Activity,
    Rotate,
    Logout,
    LogoutAll,
    LogoutOther,
    Revoke,
}

pub(crate) const CHANGES: [Change; 10] = [
    Change::SignIn,
    Change::SignInAgain,
    Change::Set,
    Change::Update,
    Change::Activity,
    Change::Rotate,
    Change::Logout,
    Change::LogoutAll,
    Change::LogoutOther,
    Change::Revoke,
];

pub(crate) async fn cut_in_the_middle(url: String) {
    let (pool, proxy) = Pool::open_through(&url, Settings::SHORT).await;
    let direct = Pool::open(&url, Settings::SHORT).await.rows(PATIENCE);
    let client = Client::connect(&url).await.expect("a server that answers");
    each_done_once(pool.rows(PATIENCE), &proxy, direct, client).await;
    assert_eq!(pool.hold_all().await.len(), pool.connections(), "no connection is lost");
}

/// Cuts the connections of `rows` through the proxy, and sees by the others what became of it.
pub(super) async fn each_done_once(rows: Rows, proxy: &Proxy, direct: Rows, mut client: impl Inspect) {
    let world = World::new(Arc::new(Axum), rows).await;
    let direct = World::new(Arc::new(Axum), direct).await;
    let mut counts: BTreeMap<_, u32> = BTreeMap::new();
    for round in 0..world.rounds {
        let (change, cut) = (CHANGES[round % CHANGES.len()], CUTS[round / CHANGES.len() % CUTS.len()]);
        let mut case = Case::new(&direct, &world, &mut client, round, change).await;
        proxy.cut_next(cut);
        let reply = case.browser.run(json!([case.op, {"op": "fail"}])).await;
        assert!(!proxy.cut_none(), "{change:?}: no change to cut");
        proxy.settled(round + 1).await;
        let stored = client.sessions(&case.user).await;
        let applied = case.is_applied(&stored);
        case.check(cut, applied, &reply);
        case.is_true(&direct).await;
        *counts.entry(change).or_default() += 1;
    }
    let counts: Vec<_> = counts.iter().map(|(change, count)| format!("{change:?} {count}")).collect();
    println!("{} cuts, each done once: {}", world.rounds, counts.join(", "));
}

/// One request of a user with two sessions.
pub(crate) struct Case {
    change: Change,
    pub(crate) user: String,
    /// The one that asks.
    pub(crate) browser: Browser,
    pub(crate) op: Value,
    /// The sessions before, the asking one first.
    before: [Stored; 2],
}

impl Case {
    pub(crate) async fn new(
        direct: &World,
        world: &World,
        client: &mut impl Inspect,
        round: usize,
        change: Change,
    ) -> Self {
        let user = format!("ada {round}");
        let [mut own, mut other] = [direct.browser(), direct.browser()];
        let script = json!([{"op": "authenticate_with", "user": user, "data": {"n": 0}}]);
        assert_eq!((own.run(script).await.status, other.sign_in(&user).await.status), (200, 200));
        let stored = client.sessions(&user).await;
        let [own_row, other_row] = &stored[..] else { panic!("two sessions, not {stored:?}") };
        let (own_row, other_row) =
            if own_row.data["n"].is_null() { (other_row, own_row) } else { (own_row, other_row) };
        if change == Change::Activity {
            for world in [world, direct] {
                world.clock.advance(Duration::from_secs(600));
            }
        }
        let op = match change {
            Change::SignIn | Change::SignInAgain => json!({"op": "authenticate", "user": user}),
            Change::Set => json!({"op": "set", "key": "a", "value": {"whole": round}}),
            Change::Update => json!({"op": "increment", "key": "n"}),
            Change::Activity => json!({"op": "get", "key": "n"}),
            Change::Rotate => json!({"op": "rotate"}),
            Change::Logout => json!({"op": "logout"}),
            Change::LogoutAll => json!({"op": "logout_all"}),
            Change::LogoutOther => json!({"op": "logout_other"}),
            Change::Revoke => json!({"op": "revoke", "id": other_row.id}),
        };
        let browser = if change == Change::SignIn { world.browser() } else { own.on(world) };
        Self { change, user, browser, op, before: [own_row.clone(), other_row.clone()] }
    }

    /// Whether the change is stored, as a whole; if not, everything is as it was.
    pub(crate) fn is_applied(&self, stored: &[Stored]) -> bool {
        let mut before = self.before.to_vec();
        before.sort_by(|one, other| one.id.cmp(&other.id));
        if before == stored {
            return false;
        }
        let [own, other] = &self.before;
        let of = |row: &Stored| stored.iter().find(|now| now.id == row.id).cloned();
        let (own_now, other_now) = (of(own), of(other));
        let new = stored.iter().filter(|row| ![&own.id, &other.id].contains(&&row.id)).count();
        let (own_now, other_now) = (own_now.as_ref(), other_now.as_ref());
        let whole = match self.change {
            Change::SignIn => (own_now, other_now, new) == (Some(own), Some(other), 1),
            Change::SignInAgain => (own_now, other_now, new) == (None, Some(other), 1),
            Change::Logout => (own_now, other_now, new) == (None, Some(other), 0),
            Change::LogoutAll => (own_now, other_now, new) == (None, None, 0),
            Change::LogoutOther | Change::Revoke => (own_now, other_now, new) == (Some(own), None, 0),
            Change::Set | Change::Update | Change::Activity | Change::Rotate => {
                let now = own_now.expect("still there");
                let mut wanted = own.clone();
                match self.change {
                    Change::Set => wanted.data["a"] = self.op["value"].clone(),
                    Change::Update => wanted.data["n"] = json!(1),
                    Change::Activity => wanted.last_active += 600_000_000,
                    _ => wanted.token.clone_from(&now.token),
                }
                now == &wanted && (other_now, new) == (Some(other), 0)
            }
        };
        assert!(whole, "{:?}: neither done nor undone: {:?} became {stored:?}", self.change, self.before);
        true
    }

    /// It was asked again, under the same identity, until its outcome was known: the answer is that
    /// it is done.
    pub(crate) fn check(&self, cut: Cut, applied: bool, reply: &Reply) {
        let what = format!("{:?}, cut {cut:?}, applied: {applied}: {reply:?}", self.change);
        assert!(applied && reply.status == 200, "{what}");
        let cookies = match self.change {
            Change::SignIn | Change::SignInAgain | Change::Rotate => (true, false),
            Change::Logout | Change::LogoutAll => (false, true),
            _ => (false, false),
        };
        assert_eq!((reply.sends_cookie(), reply.removes_cookie()), cookies, "{what}");
    }

    /// What the browser holds now is as good as it was told.
    pub(crate) async fn is_true(&self, direct: &World) {
        let lives = !matches!(self.change, Change::Logout | Change::LogoutAll);
        let reply = self.browser.on(direct).run(json!([{"op": "user_id"}])).await;
        let user = if lives { json!(self.user) } else { json!(null) };
        assert_eq!((reply.status, reply.result(0)), (200, user), "{:?}", self.change);
    }
}
