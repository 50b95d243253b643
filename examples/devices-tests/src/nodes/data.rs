//! What sessions hold and whether they live, through all nodes at once: DATA-4, DATA-5, DATA-6.

use serde_json::json;

use super::{Count, Nodes, at_once, id_of, leads_to, to};
use crate::pages::session;

const THEMES: [&str; 3] = ["auto", "light", "dark"];

pub(super) async fn different_keys(nodes: Nodes, mut count: Count) {
    let cookie = nodes.cookie(0, "ada", "lovelace").await;
    for round in 0..count.rounds {
        let theme = THEMES[round % 3];
        let tab = |node: usize| nodes.node(round + node).tab(&cookie);
        let pick = format!("theme={theme}");
        // What the rounds before have counted is removed in every other round.
        let (visits, expected) = if round.is_multiple_of(2) {
            ("/visits/reset", json!({"theme": theme}))
        } else {
            ("/visits", json!({"theme": theme, "visits": 1}))
        };
        let replies = at_once([to(tab(0), "/theme", &pick), to(tab(1), visits, ""), to(tab(2), "/theme", &pick)]).await;
        let statuses: Vec<_> = replies.iter().map(|(_, reply)| reply.status).collect();
        let stored = nodes.sessions(&cookie).await.iter().map(|session| session["data"].clone()).collect::<Vec<_>>();
        let holds = statuses == [303; 3] && stored.iter().all(|data| *data == expected);
        count.check(round, holds, (statuses, stored, expected));
    }
    count.finish("3 requests each");
}

pub(super) async fn visits(nodes: Nodes, mut count: Count) {
    let cookie = nodes.cookie(0, "grace", "hopper").await;
    let (mut answered, mut refused) = (0, 0);
    for round in 0..count.rounds {
        let clicks = (0..6).map(|node| to(nodes.node(round + node).tab(&cookie), "/visits", ""));
        let replies = at_once(clicks).await;
        let statuses: Vec<_> = replies.iter().map(|(_, reply)| reply.status).collect();
        answered += statuses.iter().filter(|status| **status == 303).count();
        refused += statuses.iter().filter(|status| **status == 503).count();
        let counted = session(&mut nodes.node(round).tab(&cookie)).await["data"]["visits"].clone();
        let holds = counted == json!(answered) && statuses.iter().all(|status| [303, 503].contains(status));
        count.check(round, holds, (&statuses, &counted, answered));
        answered = counted.as_u64().and_then(|counted| counted.try_into().ok()).unwrap_or_default();
    }
    assert!(answered > 0, "an outage is no proof");
    count.finish(&format!("6 requests each, {answered} counted, {refused} refused with 503"));
}

/// Signed out in turn by oneself, by another device, and as all other devices; beside it two
/// writes, of which one is now and then a rotation: a sign-out that crosses one is a sign-out
/// (OUT-1).
pub(super) async fn writes_across_a_sign_out(nodes: Nodes, mut count: Count) {
    let laptop = nodes.cookie(0, "ada", "lovelace").await;
    let laptop_id = id_of(&nodes.sessions(&laptop).await[0]);
    let (mut before, mut after) = (0, 0);
    for round in 0..count.rounds {
        let phone = nodes.cookie(round, "ada", "lovelace").await;
        let phone_id = id_of(&nodes.sessions(&phone).await[0]);
        let tab = |node: usize, cookie: &str| nodes.node(round + node).tab(cookie);
        let end = match round % 3 {
            0 => to(tab(0, &phone), "/logout", ""),
            1 => to(tab(0, &laptop), &format!("/devices/{phone_id}/revoke"), ""),
            _ => to(tab(0, &laptop), "/logout-others", ""),
        };
        let (write, form) = if round % 6 >= 3 { ("/rotate", "") } else { ("/theme", "theme=dark") };
        let mut replies = at_once([end, to(tab(1, &phone), "/visits", ""), to(tab(2, &phone), write, form)]).await;
        let (rotating, rotated) = replies.pop().expect("three");
        let (_, visited) = replies.pop().expect("three");
        let (_, ended) = replies.pop().expect("three");
        for reply in [&visited, &rotated] {
            if leads_to(reply) == "/login" { after += 1 } else { before += 1 }
        }
        // Only a rotation may send a cookie, which is as dead then.
        let newest = rotating.cookie().unwrap_or_default();
        let dead = nodes.are_all_signed_out(&phone).await && nodes.are_all_signed_out(&newest).await;
        let lists = nodes.devices(&laptop).await;
        let statuses = [ended.status, visited.status, rotated.status];
        // A rotation of what has ended meanwhile is a 401.
        let as_they_should =
            statuses[..2] == [303; 2] && (statuses[2] == 303 || (write == "/rotate" && statuses[2] == 401));
        let quiet = visited.set_cookies().is_empty() && (write == "/rotate" || rotated.set_cookies().is_empty());
        let listed = lists.iter().all(|list| *list == [laptop_id.clone()]);
        count.check(round, dead && as_they_should && quiet && listed, (dead, statuses, quiet, lists));
    }
    count.finish(&format!("of the writes {before} came before the sign-out and {after} after"));
}
