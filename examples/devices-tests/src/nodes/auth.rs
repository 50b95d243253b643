//! Signing in through all nodes: AUTH-2, AUTH-4. A sign-in takes a password's hash, so its rounds
//! are the slow ones.

use std::collections::BTreeSet;

use app_tests::{post, redirects};
use serde_json::{Value, json};

use super::{Count, Nodes, at_once, id_of, to};

const ADA: &str = "username=ada&password=lovelace";
/// The most sessions that a user has.
const LIMIT: usize = 10;

pub(super) async fn again(nodes: Nodes, mut count: Count) {
    let mut cookie = nodes.cookie(0, "ada", "lovelace").await;
    for round in 0..count.rounds {
        let mut browser = nodes.node(round).tab(&cookie);
        redirects(&post(&mut browser, "/visits", "").await, "/");
        redirects(&post(&mut browser, "/login", ADA).await, "/");
        let old = std::mem::replace(&mut cookie, browser.cookie().expect("signed in"));
        let dead = nodes.are_all_signed_out(&old).await;
        let new = nodes.sessions(&cookie).await;
        let fresh = new.iter().all(|session| session["user_id"] == "ada" && session["data"] == json!({}));
        let lists = nodes.devices(&cookie).await;
        let alone = lists.iter().all(|list| list.len() == 1);
        count.check(round, dead && fresh && alone, (dead, new, lists));
    }
    count.finish("asked on every node");
}

pub(super) async fn again_at_once(nodes: Nodes, mut count: Count) {
    let mut cookie = nodes.cookie(0, "ada", "lovelace").await;
    for round in 0..count.rounds {
        let tab = |node: usize| nodes.node(round + node).tab(&cookie);
        // A write beside them must not come over to a new session.
        let replies = at_once([to(tab(0), "/login", ADA), to(tab(1), "/login", ADA), to(tab(2), "/visits", "")]).await;
        let statuses: Vec<_> = replies.iter().map(|(_, reply)| reply.status).collect();
        let new: Vec<_> = replies[..2].iter().map(|(browser, _)| browser.cookie().unwrap_or_default()).collect();
        let mut sessions = Vec::new();
        for cookie in &new {
            sessions.extend(nodes.sessions(cookie).await);
        }
        let dead = nodes.are_all_signed_out(&cookie).await;
        let fresh = sessions.iter().all(|session| session["user_id"] == "ada" && session["data"] == json!({}));
        let ids: BTreeSet<_> = sessions.iter().filter(|session| !session.is_null()).map(id_of).collect();
        let lists = nodes.devices(&new[0]).await;
        let both = ids.len() == 2 && lists.iter().all(|list| list.iter().cloned().collect::<BTreeSet<_>>() == ids);
        count.check(round, statuses == [303; 3] && dead && fresh && both, (statuses, dead, &sessions, lists));
        // On the third node, and seen by the very next request on each.
        let other = sessions.last().and_then(|session| session["id"].as_str()).unwrap_or("none").to_owned();
        let revoked = post(&mut nodes.node(round + 2).tab(&new[0]), &format!("/devices/{other}/revoke"), "").await;
        let seen = nodes.sessions(&new[1]).await;
        count.check(round, revoked.status == 303 && seen.iter().all(Value::is_null), (revoked.status, seen));
        cookie.clone_from(&new[0]);
    }
    count.finish("all asked on every node");
}

/// One through each node at once, which all stay; now and then more than fit.
pub(super) async fn many_at_once(nodes: Nodes, mut count: Count) {
    let mut before: Vec<String> = Vec::new();
    for turn in 0..LIMIT {
        let cookie = nodes.cookie(turn, "ada", "lovelace").await;
        before = nodes.devices(&cookie).await.pop().expect("three nodes");
    }
    for round in 0..count.rounds {
        let many = if round % 5 == 4 { LIMIT + 2 } else { 3 };
        let replies = at_once((0..many).map(|node| to(nodes.node(round + node).browser(), "/login", ADA))).await;
        let statuses: Vec<_> = replies.iter().map(|(_, reply)| reply.status).collect();
        let mut live = Vec::new();
        for (turn, (browser, _)) in replies.iter().enumerate() {
            let cookie = browser.cookie().unwrap_or_default();
            // On another node than that of the sign-in.
            let session = crate::pages::session(&mut nodes.node(round + turn + 1).tab(&cookie)).await;
            if !session.is_null() {
                live.push((cookie, id_of(&session)));
            }
        }
        let Some((cookie, _)) = live.first() else {
            count.check(round, false, statuses);
            continue;
        };
        let lists = nodes.devices(cookie).await;
        let new: BTreeSet<_> = live.iter().map(|(_, id)| id).collect();
        let (list, same) = (&lists[0], lists.iter().all(|list| *list == lists[0]));
        let exact = list.len() == LIMIT && live.len() == many.min(LIMIT) && new.len() == live.len();
        // Those just made come first, then the latest of those before.
        let order = list.iter().take(live.len()).all(|id| new.contains(id))
            && list[live.len().min(list.len())..] == before[..LIMIT.saturating_sub(live.len())];
        let holds = statuses.iter().all(|status| *status == 303) && same && exact && order;
        count.check(round, holds, (&statuses, live.len(), lists.iter().map(Vec::len).collect::<Vec<_>>(), order));
        before.clone_from(list);
    }
    count.finish("3 sign-ins each, 12 in every fifth round");
}
