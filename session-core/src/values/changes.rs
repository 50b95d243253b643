//! What a request did to a session's values, so that it can be replayed on newer ones.
//!
//! A store write carries the version that it is based on. On a conflict the store returns the row,
//! the core replays this request's changes on it, and tries again. So no key is lost, and `update`
//! is atomic with any store that can compare one number.
//!
//! Changes are kept by key, not as a history: a `set` overrides what was before it, an `update`
//! after a `set` is a `set`, and two updates are a list. The keys can be replayed in any order,
//! with the same result.

pub(crate) mod running;

use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::running::Owner;
use crate::error::{Error, Result};
use crate::values::json::{Values, decode, encode, take_out};

/// Maps a key and its value to the key's new value.
type UpdateFn = dyn Fn(&str, Option<&Value>) -> Result<Value> + Send + Sync;

/// A function that `update` was given, made to work on JSON.
#[derive(Clone)]
pub(crate) struct Updater(Arc<UpdateFn>);

impl Updater {
    /// `f`, for the session of `request`, which `f` itself must not change.
    pub(crate) fn new<R, T, F>(request: &Arc<R>, f: F) -> Self
    where
        T: Serialize + DeserializeOwned,
        F: Fn(Option<T>) -> T + Send + Sync + 'static,
    {
        let owner = Owner::of(request);
        Self(Arc::new(move |key, old| {
            running::run(owner, key, || {
                let old = old.map(|old| decode::<T>(key, old)).transpose()?;
                encode(key, &f(old))
            })
        }))
    }

    /// Runs the function on the value of `key` now.
    pub(crate) fn run(&self, key: &str, old: Option<&Value>) -> Result<Value> {
        (self.0)(key, old)
    }

    /// Runs the function at commit, where a panic has no handler to unwind into.
    fn replay(&self, key: &str, old: Option<&Value>) -> Result<Value> {
        catch_unwind(AssertUnwindSafe(|| self.run(key, old)))
            .unwrap_or_else(|_| Err(Error::UpdatePanicked { key: key.to_owned() }))
    }
}

/// What a request did to one key.
#[derive(Clone)]
enum Change {
    /// Its value is the one among this request's values.
    Set,
    Removed,
    /// Its value is computed from the stored one by these functions, in this order.
    Updated(Vec<Updater>),
}

/// The changes of one request, by key. Changes of different keys are independent of each other.
#[derive(Clone, Default)]
pub(crate) struct ChangeLog(BTreeMap<String, Change>);

impl ChangeLog {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first of the changed keys.
    pub(crate) fn first_key(&self) -> Option<&str> {
        self.0.keys().next().map(String::as_str)
    }

    pub(crate) fn set(&mut self, key: &str) {
        self.0.insert(key.to_owned(), Change::Set);
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.0.insert(key.to_owned(), Change::Removed);
    }

    pub(crate) fn update(&mut self, key: &str, updater: Updater) {
        self.add(key.to_owned(), Change::Updated(vec![updater]));
    }

    /// Forgets what was done to `key`, and returns whether anything was.
    pub(crate) fn forget(&mut self, key: &str) -> bool {
        self.0.remove(key).is_some()
    }

    /// These changes, and then `later`, which was made on the same values.
    pub(crate) fn followed_by(mut self, later: Self) -> Self {
        for (key, change) in later.0 {
            self.add(key, change);
        }
        self
    }

    fn add(&mut self, key: String, change: Change) {
        let merged = match (self.0.remove(&key), change) {
            (Some(Change::Updated(mut first)), Change::Updated(then)) => {
                first.extend(then);
                Change::Updated(first)
            }
            (Some(Change::Set | Change::Removed), Change::Updated(_)) => Change::Set,
            (_, change) => change,
        };
        self.0.insert(key, merged);
    }

    /// Makes these changes on `fresh`. Values that were set are taken from `ours`.
    pub(crate) fn replay(&self, fresh: &mut Values, ours: &Values) -> Result<()> {
        for (key, change) in &self.0 {
            match change {
                Change::Set => {
                    let value = ours.get(key).expect("a key that is logged as set has a value");
                    fresh.insert(key.clone(), value.clone());
                }
                Change::Removed => {
                    take_out(fresh, key);
                }
                Change::Updated(updaters) => {
                    for updater in updaters {
                        let value = updater.replay(key, fresh.get(key))?;
                        fresh.insert(key.clone(), value);
                    }
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for ChangeLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChangeLog({} keys)", self.0.len())
    }
}
