//! A new token for a session, through all nodes: ROT-1, ROT-3.

use serde_json::{Value, json};

use super::{Count, Nodes, at_once, id_of, leads_to, to};

/// Alone in every other round, else beside writes with the old cookie, which count all the same.
pub(super) async fn beside_writes(nodes: Nodes, mut count: Count) {
    let mut cookies = Cookies::new(nodes.cookie(0, "ada", "lovelace").await);
    let id = id_of(&nodes.sessions(&cookies.newest).await[0]);
    let mut counted = 0;
    for round in 0..count.rounds {
        let tab = |node: usize| nodes.node(round + node).tab(&cookies.newest);
        let writes = if round.is_multiple_of(2) { 0 } else { 4 };
        let mut posts = vec![to(tab(0), "/rotate", "")];
        posts.extend((1..=writes).map(|node| to(tab(node), "/visits", "")));
        let replies = at_once(posts).await;
        let statuses: Vec<_> = replies.iter().map(|(_, reply)| reply.status).collect();
        let quiet = replies[1..].iter().all(|(_, reply)| reply.set_cookies().is_empty());
        let stored = replies[1..].iter().filter(|(_, reply)| leads_to(reply) == "/").count();
        counted += writes;
        let sent = replies[0].0.cookie().unwrap_or_default();
        let is_new = sent != cookies.newest;
        cookies.replaced_by(sent);
        let kept = |session: &Value| {
            session["id"] == id
                && session["user_id"] == "ada"
                && session["data"]["visits"].as_u64().unwrap_or(0) == counted as u64
        };
        let lives = cookies.live_and_die(&nodes, kept).await;
        let holds = statuses.iter().all(|status| *status == 303) && quiet && is_new && stored == writes;
        count.check(round, holds && lives.is_ok(), (statuses, quiet, is_new, stored, counted, lives));
    }
    count.finish(&format!("{counted} writes beside them stored"));
}

pub(super) async fn at_once_on_all(nodes: Nodes, mut count: Count) {
    let mut cookies = Cookies::new(nodes.cookie(0, "ada", "lovelace").await);
    let mut first = nodes.node(1).tab(&cookies.newest);
    app_tests::post(&mut first, "/visits", "").await;
    let id = id_of(&nodes.sessions(&cookies.newest).await[0]);
    let mut asked = 0;
    for round in 0..count.rounds {
        // Two, and in every third round one through each node.
        let many = if round % 3 == 2 { 3 } else { 2 };
        let tabs = (0..many).map(|node| to(nodes.node(round + node).tab(&cookies.newest), "/rotate", ""));
        let replies = at_once(tabs).await;
        asked += many;
        let outcomes: Vec<_> = replies.iter().map(|(_, reply)| (reply.status, leads_to(reply).to_owned())).collect();
        let sent: Vec<_> =
            replies.iter().filter(|(_, reply)| reply.sends_cookie()).map(|(tab, _)| tab.cookie()).collect();
        let successor = replies[0].0.cookie().unwrap_or_default();
        let same = sent.len() == many && sent.iter().all(|cookie| cookie.as_ref() == Some(&successor));
        let is_new = successor != cookies.newest;
        cookies.replaced_by(successor);
        let kept = |session: &Value| session["id"] == id && session["data"] == json!({"visits": 1});
        let lives = cookies.live_and_die(&nodes, kept).await;
        let succeed = outcomes.iter().all(|(status, path)| (*status, path.as_str()) == (303, "/devices"));
        count.check(round, succeed && same && is_new && lives.is_ok(), (outcomes, sent.len(), same, is_new, lives));
    }
    count.finish(&format!("{asked} rotations"));
}

/// The cookies that a session has had.
struct Cookies {
    newest: String,
    /// It was replaced by the newest.
    old: Option<String>,
    /// It was replaced by the old one.
    older: Option<String>,
}

impl Cookies {
    const fn new(newest: String) -> Self {
        Self { newest, old: None, older: None }
    }

    fn replaced_by(&mut self, successor: String) {
        self.older = self.old.replace(std::mem::replace(&mut self.newest, successor));
    }

    /// On every node: the old cookie lives while nobody has used the newest one, and for the rest
    /// of the minute after that, which is more than this takes. The one before it is dead.
    ///
    /// # Errors
    /// What each cookie shows that isn't as it should be.
    async fn live_and_die(&self, nodes: &Nodes, kept: impl Fn(&Value) -> bool) -> Result<(), Vec<Vec<Value>>> {
        let mut seen = Vec::new();
        let old = self.old.as_deref().unwrap_or_default();
        for cookie in [old, &self.newest, old] {
            seen.push(nodes.sessions(cookie).await);
        }
        let live = seen.iter().flatten().all(kept);
        let dead = match &self.older {
            Some(older) => nodes.are_all_signed_out(older).await,
            None => true,
        };
        if live && dead { Ok(()) } else { Err(seen) }
    }
}
