//! Which clients of a session were reported, so that each is reported once and not at every
//! request. Kept in this process, and bounded.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use crate::model::session_id::SessionId;

/// How many are remembered. After that the oldest may be reported again.
const MOST: usize = 1024;

/// A session, and the hash of the `User-Agent` that it was used with.
type Use = (SessionId, u64);

/// Those that were reported last.
#[derive(Default)]
pub(crate) struct ReportedClients {
    hasher: RandomState,
    reported: Mutex<Reported>,
}

#[derive(Default)]
struct Reported {
    all: HashSet<Use>,
    oldest_first: VecDeque<Use>,
}

impl ReportedClients {
    /// Whether this client of a session is new here. From now on it is not.
    pub(crate) fn is_new(&self, id: SessionId, user_agent: &[u8]) -> bool {
        let used = (id, self.hasher.hash_one(user_agent));
        // Nothing panics between two consistent states.
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if !reported.all.insert(used) {
            return false;
        }
        reported.oldest_first.push_back(used);
        if reported.oldest_first.len() > MOST
            && let Some(oldest) = reported.oldest_first.pop_front()
        {
            reported.all.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_new_once_for_each_session() {
        let clients = ReportedClients::default();
        let [one, other] = [1, 2].map(|byte| SessionId::from_bytes([byte; 16]));
        assert!(clients.is_new(one, b"a") && clients.is_new(one, b"b") && clients.is_new(other, b"a"));
        assert!(!clients.is_new(one, b"a") && !clients.is_new(one, b"b") && !clients.is_new(other, b"a"));
    }

    #[test]
    fn the_oldest_is_forgotten() {
        let (clients, id) = (ReportedClients::default(), SessionId::from_bytes([1; 16]));
        let all: Vec<_> = (0..=MOST).map(|i| i.to_string()).collect();
        assert!(all.iter().all(|client| clients.is_new(id, client.as_bytes())));
        assert!(all[1..].iter().all(|client| !clients.is_new(id, client.as_bytes())), "the last ones are known");
        assert!(clients.is_new(id, b"0"), "the first one is not");
        let reported = clients.reported.lock().unwrap();
        assert_eq!((reported.all.len(), reported.oldest_first.len()), (MOST, MOST));
    }
}
