//! The sessions of a round, what their callers were told, and what must be true then.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::RwLock;

use crate::support::faults::client::Stored;

/// A session, as its callers know it.
pub(super) struct Known {
    pub(super) user: String,
    pub(super) id: String,
    /// Read by its requests. A rotation waits for those that have an older token, which would be dead after it.
    pub(super) tokens: RwLock<()>,
    told: Mutex<Told>,
}

struct Told {
    cookie: String,
    fate: Fate,
    /// Numbers that were to be appended once, and whether that was acknowledged.
    appended: BTreeMap<u64, bool>,
    /// The last value of each key that was acknowledged, and those that weren't since.
    keys: BTreeMap<String, (Option<u64>, Vec<u64>)>,
}

/// Whether it has to live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Lives,
    /// Its end was asked for.
    MayHaveEnded,
    Ended,
}

/// What was acknowledged by a moment.
pub(super) struct Before {
    pub(super) fate: Fate,
    appended: Vec<u64>,
}

impl Known {
    pub(super) fn new(user: String, id: String, cookie: String) -> Self {
        let (appended, keys) = (BTreeMap::new(), BTreeMap::new());
        let told = Mutex::new(Told { cookie, fate: Fate::Lives, appended, keys });
        Self { user, id, tokens: RwLock::new(()), told }
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn cookie(&self) -> String {
        self.told().cookie.clone()
    }

    pub(super) fn sent(&self, cookie: String) {
        self.told().cookie = cookie;
    }

    pub(super) fn fate(&self) -> Fate {
        self.told().fate
    }

    /// Its end is about to be asked for.
    pub(super) fn may_end(&self) {
        let mut told = self.told();
        if told.fate == Fate::Lives {
            told.fate = Fate::MayHaveEnded;
        }
    }

    /// Its end was acknowledged.
    pub(super) fn ended(&self) {
        self.told().fate = Fate::Ended;
    }

    pub(super) fn before(&self) -> Before {
        let told = self.told();
        let done = told.appended.iter().filter(|(_, is_done)| **is_done);
        Before { fate: told.fate, appended: done.map(|(number, _)| *number).collect() }
    }

    pub(super) fn appends(&self, number: u64) {
        self.told().appended.insert(number, false);
    }

    pub(super) fn appended(&self, number: u64) {
        self.told().appended.insert(number, true);
    }

    pub(super) fn sets(&self, key: &str, value: u64) {
        self.told().keys.entry(key.to_owned()).or_default().1.push(value);
    }

    pub(super) fn set(&self, key: &str, value: u64) {
        self.told().keys.insert(key.to_owned(), (Some(value), Vec::new()));
    }

    /// What is wrong with numbers that were read: `before` that, some were acknowledged.
    pub(super) fn wrong_numbers(&self, before: &Before, found: &[u64]) -> Option<String> {
        let told = self.told();
        let mut once = found.to_vec();
        once.sort_unstable();
        once.dedup();
        let lost: Vec<_> = before.appended.iter().filter(|number| once.binary_search(number).is_err()).collect();
        let strange: Vec<_> = once.iter().filter(|number| !told.appended.contains_key(number)).collect();
        let is_wrong = once.len() < found.len() || !lost.is_empty() || !strange.is_empty();
        is_wrong.then(|| format!("{} of {}: {found:?}, lost {lost:?}, never asked {strange:?}", self.id, self.user))
    }

    /// What is wrong with its row at the end, or with its absence.
    pub(super) fn wrong_row(&self, rows: &[Stored]) -> Option<String> {
        let row = rows.iter().find(|row| row.id == self.id);
        let fate = self.fate();
        let Some(row) = row else {
            return (fate == Fate::Lives).then(|| format!("{} of {} is lost", self.id, self.user));
        };
        if fate == Fate::Ended {
            return Some(format!("{} of {} lives, and was signed out", self.id, self.user));
        }
        let found: Vec<u64> = row.data["log"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
        self.wrong_numbers(&self.before(), &found).or_else(|| {
            let told = self.told();
            let is_right = |key: &str, acknowledged: &Option<u64>, open: &[u64]| {
                let stored = row.data[key].as_u64();
                stored == *acknowledged || stored.is_some_and(|value| open.contains(&value))
            };
            let mut keys = told.keys.iter();
            let wrong = keys.find(|(key, (acknowledged, open))| !is_right(key, acknowledged, open))?;
            Some(format!("{} of {}: {wrong:?}, stored is {}", self.id, self.user, row.data[wrong.0]))
        })
    }
}
