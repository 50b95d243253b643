//! A new token for a session, through all nodes: ROT-1, ROT-3.

use serde_json::{Value, json};

use super::{Count, Nodes, at_once, id_of, leads_to, to};

/// Alone in every other round, else beside writes with the old cookie: those that were under way count, others are told to
/// sign in.
pub(super) async fn beside_writes(nodes: Nodes, mut count: Count) {
    let mut cookie = nodes.cookie(0, "ada", "lovelace").await;
    let id = id_of(&nodes.sessions(&cookie).await[0]);
    let (mut counted, mut late) = (0, 0);
    for round in 0..count.rounds {
        let tab = |node: usize| nodes.node(round + node).tab(&cookie);
        let writes = if round.is_multiple_of(2) { 0 } else { 4 };
        let mut posts = vec![to(tab(0), "/rotate", "")];
        posts.extend((1..=writes).map(|node| to(tab(node), "/visits", "")));
        let replies = at_once(posts).await;
        let statuses: Vec<_> = replies.iter().map(|(_, reply)| reply.status).collect();
        let quiet = replies[1..].iter().all(|(_, reply)| reply.set_cookies().is_empty());
        let stored = replies[1..].iter().filter(|(_, reply)| leads_to(reply) == "/").count();
        counted += stored;
        late += writes - stored;
        let old = std::mem::replace(&mut cookie, replies[0].0.cookie().unwrap_or_default());
        let dead = old != cookie && nodes.are_all_signed_out(&old).await;
        let seen = nodes.sessions(&cookie).await;
        let kept = seen.iter().all(|session| {
            session["id"] == id
                && session["user_id"] == "ada"
                && session["data"]["visits"].as_u64().unwrap_or(0) == counted as u64
        });
        let holds = statuses.iter().all(|status| *status == 303) && quiet && dead && kept;
        count.check(round, holds, (statuses, quiet, dead, counted, seen));
    }
    count.finish(&format!("{counted} writes beside them stored, {late} too late"));
}

pub(super) async fn at_once_on_all(nodes: Nodes, mut count: Count) {
    let mut cookie = nodes.cookie(0, "ada", "lovelace").await;
    let mut first = nodes.node(1).tab(&cookie);
    crate::pages::post(&mut first, "/visits", "").await;
    let id = id_of(&nodes.sessions(&cookie).await[0]);
    let mut overlapping = 0;
    for round in 0..count.rounds {
        // Two, and in every third round one through each node.
        let many = if round % 3 == 2 { 3 } else { 2 };
        let replies = at_once((0..many).map(|node| to(nodes.node(round + node).tab(&cookie), "/rotate", ""))).await;
        let statuses: Vec<_> = replies.iter().map(|(_, reply)| reply.status).collect();
        let won: Vec<_> = replies.iter().filter(|(_, reply)| reply.sends_cookie()).collect();
        // Who came when the winner was done is told to sign in, and keeps its cookie like the others.
        let lost: Vec<_> = replies.iter().filter(|(_, reply)| reply.set_cookies().is_empty()).collect();
        overlapping += usize::from(lost.iter().any(|(_, reply)| leads_to(reply) == "/devices"));
        let winner = won.first().and_then(|(browser, _)| browser.cookie()).unwrap_or_default();
        let old = std::mem::replace(&mut cookie, winner);
        let dead = nodes.are_all_signed_out(&old).await;
        let seen: Vec<Value> = nodes.sessions(&cookie).await;
        let kept = seen.iter().all(|session| session["id"] == id && session["data"] == json!({"visits": 1}));
        let one = won.len() == 1 && lost.len() == many - 1;
        let holds = statuses.iter().all(|status| *status == 303) && one && dead && kept;
        count.check(round, holds, (statuses, won.len(), lost.len(), dead, seen));
    }
    count.finish(&format!("in {overlapping} of them two had read the same token"));
}
