//! One request's view of a session's values, and the log of what it changed, so that the changes can be made again on
//! newer data. Leaves storing to `service`.

use std::any::type_name;
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{DataError, Error, Result};
use crate::session::Data;
use crate::store::NewData;

/// How deep a value may be nested: under serde_json's own limit for reading, with room for the session's object.
const MAX_DEPTH: usize = 100;

type Values = Map<String, Value>;

/// From a key and its value to the key's new value.
type UpdateFn = dyn Fn(&str, Option<&Value>) -> Result<Value> + Send + Sync;

/// A function that `update` was given, made to work on JSON.
#[derive(Clone)]
pub(crate) struct Updater(Arc<UpdateFn>);

impl Updater {
    pub(crate) fn new<T, F>(f: F) -> Self
    where
        T: Serialize + DeserializeOwned,
        F: Fn(Option<T>) -> T + Send + Sync + 'static,
    {
        Self(Arc::new(move |key, old| {
            let old = old.map(|old| decode::<T>(key, old)).transpose()?;
            encode(key, &f(old))
        }))
    }

    /// Runs the function on the value of `key` now.
    pub(crate) fn run(&self, key: &str, old: Option<&Value>) -> Result<Value> {
        (self.0)(key, old)
    }

    /// Runs it at commit, where a panic has no handler to unwind into.
    fn replay(&self, key: &str, old: Option<&Value>) -> Result<Value> {
        catch_unwind(AssertUnwindSafe(|| self.run(key, old)))
            .unwrap_or_else(|_| Err(Error::UpdatePanicked { key: key.to_owned() }))
    }
}

/// What a request did to one key.
#[derive(Clone)]
enum Change {
    /// Its value is the one in this request's values.
    Set,
    Removed,
    /// A value worked out from the stored one, by these in order.
    Updated(Vec<Updater>),
}

/// The changes of one request, by key. Changes of different keys are independent of each other.
#[derive(Clone, Default)]
pub(crate) struct ChangeLog(BTreeMap<String, Change>);

impl ChangeLog {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `self` happened before `later`, on the same values.
    fn followed_by(mut self, later: Self) -> Self {
        for (key, change) in later.0 {
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
        self
    }

    /// Makes these changes on `fresh`, taking what was set from `ours`.
    fn replay(&self, fresh: &mut Values, ours: &Values) -> Result<()> {
        for (key, change) in &self.0 {
            match change {
                Change::Set => {
                    let value = ours.get(key).expect("a key that is logged as set has a value");
                    fresh.insert(key.clone(), value.clone());
                }
                Change::Removed => {
                    fresh.remove(key);
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

/// A request's values: what is stored, with this request's changes on top.
#[derive(Debug, Clone)]
pub(crate) struct View {
    stored: Data,
    /// The stored version.
    version: i64,
    /// With the changes; only there once something changed.
    changed: Option<Arc<Values>>,
    /// Bytes of JSON of the values with the changes.
    size: usize,
    log: ChangeLog,
    /// Counts the changes, so that an update can tell whether its key stood still.
    edits: u64,
    /// Counts the discards, so that what was discarded doesn't come back.
    discards: u64,
}

/// Changes on their way to the store.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    log: ChangeLog,
    ours: Arc<Values>,
    based_on: i64,
    data: Data,
    discards: u64,
    /// Whether another request's changes are among the values by now.
    rebased: bool,
}

/// The changes that a request made while others were on their way to the store.
#[derive(Debug)]
pub(crate) struct Later {
    log: ChangeLog,
    ours: Arc<Values>,
    edits: u64,
}

/// The row's data isn't a JSON object.
#[derive(Debug)]
pub(crate) struct Undecodable;

impl View {
    pub(crate) fn of(stored: Data, version: i64) -> Self {
        Self {
            size: stored.text().len(),
            stored,
            version,
            changed: None,
            log: ChangeLog::default(),
            edits: 0,
            discards: 0,
        }
    }

    /// The values as this request sees them.
    pub(crate) fn values(&self) -> Result<Arc<Values>, Undecodable> {
        match &self.changed {
            Some(values) => Ok(Arc::clone(values)),
            None => self.stored.values().ok_or(Undecodable),
        }
    }

    pub(crate) const fn edits(&self) -> u64 {
        self.edits
    }

    pub(crate) fn has_changes(&self) -> bool {
        !self.log.is_empty()
    }

    /// Sets `key`, or refuses and leaves all as it is.
    pub(crate) fn set(&mut self, key: &str, value: Value, limit: usize) -> Result<Result<(), DataError>, Undecodable> {
        Ok(self.put(key, value, limit)?.map(|()| {
            self.log.0.insert(key.to_owned(), Change::Set);
        }))
    }

    /// Sets `key` to what `updater` made of its value as it stands.
    pub(crate) fn update(
        &mut self,
        key: &str,
        value: Value,
        updater: Updater,
        limit: usize,
    ) -> Result<Result<(), DataError>, Undecodable> {
        Ok(self.put(key, value, limit)?.map(|()| {
            let one = ChangeLog(BTreeMap::from([(key.to_owned(), Change::Updated(vec![updater]))]));
            self.log = std::mem::take(&mut self.log).followed_by(one);
        }))
    }

    /// Removes `key`; an absent one is no change.
    pub(crate) fn remove(&mut self, key: &str) -> Result<(), Undecodable> {
        let values = self.values()?;
        let Some(old) = values.get(key) else { return Ok(()) };
        let comma = usize::from(values.len() > 1);
        self.size = self.size.saturating_sub(entry_size(key, old) + comma);
        Arc::make_mut(self.changed.insert(values)).remove(key);
        self.log.0.insert(key.to_owned(), Change::Removed);
        self.edits += 1;
        Ok(())
    }

    /// Takes the changes to store them. Later ones start a new log.
    pub(crate) fn take(&mut self) -> Option<Pending> {
        if self.log.is_empty() {
            return None;
        }
        let ours = self.changed.clone().expect("a logged change has changed the values");
        let log = std::mem::take(&mut self.log);
        let data = Data::encode(Arc::clone(&ours));
        Some(Pending { log, based_on: self.version, data, ours, discards: self.discards, rebased: false })
    }

    /// What changed since `pending` was taken, if that has to be made again on what was stored.
    pub(crate) fn later(&self, pending: &Pending) -> Option<Later> {
        let ours = self.changed.as_ref().filter(|_| pending.rebased && !self.log.is_empty())?;
        Some(Later { log: self.log.clone(), ours: Arc::clone(ours), edits: self.edits })
    }

    /// `pending` was stored, and `later` are the values with what changed meanwhile, if they had to be worked out: whether it
    /// all still fits.
    pub(crate) fn stored(&mut self, pending: &Pending, later: Option<(u64, Values)>) -> bool {
        let changed = match later {
            Some((edits, _)) if edits != self.edits => return false,
            Some((_, values)) => Some(Arc::new(values)),
            None if self.log.is_empty() => None,
            None if pending.rebased => return false,
            // Made on exactly the values that are stored now.
            None => self.changed.take(),
        };
        self.stored = pending.data.clone();
        self.version = pending.based_on + 1;
        self.size = changed.as_ref().map_or(self.stored.text().len(), |values| json_size(&**values));
        self.changed = changed;
        self.edits += 1;
        true
    }

    /// `pending` certainly wasn't stored: it stays pending, unless it was to be discarded meanwhile.
    pub(crate) fn not_stored(&mut self, pending: Pending) {
        if pending.discards == self.discards {
            self.log = pending.log.followed_by(std::mem::take(&mut self.log));
        }
    }

    /// Forgets what isn't stored.
    pub(crate) fn discard(&mut self) {
        let (edits, discards) = (self.edits + 1, self.discards + 1);
        *self = Self { edits, discards, ..Self::of(self.stored.clone(), self.version) };
    }

    fn put(&mut self, key: &str, value: Value, limit: usize) -> Result<Result<(), DataError>, Undecodable> {
        let mut values = self.values()?;
        let comma = usize::from(!values.is_empty());
        let rest = match values.get(key) {
            Some(old) => self.size.saturating_sub(entry_size(key, old)),
            None => self.size + comma,
        };
        let size = rest + entry_size(key, &value);
        // Concurrent requests may together have passed the limit: what shrinks the data is welcome all the same.
        if size > limit && size > self.size {
            return Ok(Err(DataError::TooLarge { key: key.to_owned(), limit }));
        }
        // The row's copy may be shared; this request's own is changed in place, and what it was decoded from can be decoded again.
        drop(self.changed.take());
        self.stored.forget_values();
        let own = Arc::make_mut(&mut values);
        match own.get_mut(key) {
            Some(old) => *old = value,
            None => drop(own.insert(key.to_owned(), value)),
        }
        self.changed = Some(values);
        self.size = size;
        self.edits += 1;
        Ok(Ok(()))
    }
}

impl Pending {
    /// What the store is to keep.
    pub(crate) fn to_store(&self) -> NewData {
        NewData { based_on: self.based_on, data: self.data.clone() }
    }

    /// The same changes on a newer row, which may have grown to twice `limit` by what others stored.
    pub(crate) fn rebase(&mut self, fresh: &Data, version: i64, limit: usize) -> Result<Result<()>, Undecodable> {
        let mut values = (*fresh.values().ok_or(Undecodable)?).clone();
        if let Err(error) = self.log.replay(&mut values, &self.ours) {
            return Ok(Err(error));
        }
        let data = Data::encode(Arc::new(values.clone()));
        if data.text().len() > limit.saturating_mul(2) && data.text().len() > fresh.text().len() {
            let key = self.log.0.keys().next().cloned().unwrap_or_default();
            return Ok(Err(DataError::TooLarge { key, limit: limit.saturating_mul(2) }.into()));
        }
        self.ours = Arc::new(values);
        self.based_on = version;
        self.data = data;
        self.rebased = true;
        Ok(Ok(()))
    }

    /// These values with `later` on top. Runs the application's functions: hold no lock.
    pub(crate) fn with(&self, later: &Later) -> Result<(u64, Values)> {
        let mut values = (*self.ours).clone();
        later.log.replay(&mut values, &later.ours)?;
        Ok((later.edits, values))
    }
}

/// The data of a sign-in: an object, each value within depth, all within `limit`.
pub(crate) fn sign_in_data(value: Value, limit: usize) -> Result<Data, DataError> {
    let Value::Object(values) = value else { return Err(DataError::NotAnObject) };
    if let Some(key) = values.iter().find_map(|(key, value)| too_deep(value, MAX_DEPTH).then_some(key)) {
        return Err(DataError::TooDeep { key: key.clone() });
    }
    let data = Data::encode(Arc::new(values));
    if data.text().len() > limit {
        let largest =
            data.values().and_then(|v| v.iter().max_by_key(|(k, v)| entry_size(k, v)).map(|(k, _)| k.clone()));
        return Err(DataError::TooLarge { key: largest.unwrap_or_default(), limit });
    }
    Ok(data)
}

/// `value` as JSON, unless its `Serialize` fails or it is too deep to read back.
pub(crate) fn encode<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<Value> {
    let value = serde_json::to_value(value).map_err(|_| DataError::Unencodable { key: key.to_owned() })?;
    if too_deep(&value, MAX_DEPTH) {
        return Err(DataError::TooDeep { key: key.to_owned() }.into());
    }
    Ok(value)
}

/// `value` as a `T`. serde_json's own message would quote the value, so it is left out.
pub(crate) fn decode<T: DeserializeOwned>(key: &str, value: &Value) -> Result<T> {
    T::deserialize(value).map_err(|_| Error::WrongType { key: key.to_owned(), expected: type_name::<T>() })
}

fn too_deep(value: &Value, left: usize) -> bool {
    match value {
        Value::Array(items) => left == 0 || items.iter().any(|item| too_deep(item, left - 1)),
        Value::Object(items) => left == 0 || items.values().any(|item| too_deep(item, left - 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Bytes of one entry in a JSON object, without a comma.
fn entry_size(key: &str, value: &Value) -> usize {
    json_size(key) + json_size(value) + 1
}

fn json_size<T: Serialize + ?Sized>(value: &T) -> usize {
    struct Count(usize);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    serde_json::to_writer(&mut count, value).expect("counting the bytes of a JSON value can't fail");
    count.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn view(value: &Value) -> View {
        View::of(Data::from_text(value.to_string()), 1)
    }

    fn add(view: &mut View, key: &str, by: u64) {
        let updater = Updater::new(move |n: Option<u64>| n.unwrap_or(0).wrapping_add(by));
        let now = view.values().unwrap().get(key).cloned();
        let value = updater.run(key, now.as_ref()).unwrap();
        view.update(key, value, updater, 1 << 20).unwrap().unwrap();
    }

    #[derive(Debug, Clone)]
    enum Step {
        Set(u8, u64),
        Remove(u8),
        Add(u8, u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0u8..4, 0u64..9).prop_map(|(k, v)| Step::Set(k, v)),
            (0u8..4).prop_map(Step::Remove),
            (0u8..4, 1u64..9).prop_map(|(k, v)| Step::Add(k, v)),
        ];
        proptest::collection::vec(step, 0..12)
    }

    fn run(view: &mut View, steps: &[Step]) {
        for step in steps {
            match step {
                Step::Set(k, v) => view.set(&k.to_string(), json!(v), 1 << 20).unwrap().unwrap(),
                Step::Remove(k) => view.remove(&k.to_string()).unwrap(),
                Step::Add(k, v) => add(view, &k.to_string(), *v),
            }
        }
    }

    fn stored_values(view: &mut View) -> Values {
        view.take().map_or_else(|| (*view.values().unwrap()).clone(), |p| (*p.data.values().unwrap()).clone())
    }

    proptest! {
        #[test]
        fn replaying_on_the_same_row_gives_what_the_request_saw(base in proptest::collection::btree_map("[0-3]", 0u64..9, 0..4), steps in steps()) {
            let base = json!(base);
            let mut view = view(&base);
            run(&mut view, &steps);
            let seen = view.values().unwrap();
            if let Some(mut pending) = view.take() {
                pending.rebase(&Data::from_text(base.to_string()), 1, 1 << 20).unwrap().unwrap();
                prop_assert_eq!(pending.data.values().unwrap(), seen);
            }
        }

        #[test]
        fn saving_in_the_middle_changes_nothing_in_the_end(first in steps(), then in steps(), rebased: bool) {
            let base = json!({"0": 5});
            let mut whole = view(&base);
            run(&mut whole, &first);
            run(&mut whole, &then);
            let mut halves = view(&base);
            run(&mut halves, &first);
            let pending = halves.take();
            run(&mut halves, &then);
            if let Some(mut pending) = pending {
                if rebased {
                    pending.rebase(&Data::from_text(base.to_string()), 1, 1 << 20).unwrap().unwrap();
                }
                let later = halves.later(&pending).map(|later| pending.with(&later).unwrap());
                prop_assert!(halves.stored(&pending, later));
            }
            prop_assert_eq!(halves.size, json_size(&*halves.values().unwrap()));
            prop_assert_eq!(halves.values().unwrap(), whole.values().unwrap());
            prop_assert_eq!(stored_values(&mut halves), stored_values(&mut whole));
        }

        #[test]
        fn a_refused_store_loses_nothing(first in steps(), then in steps()) {
            let base = json!({"0": 5});
            let mut whole = view(&base);
            run(&mut whole, &first);
            run(&mut whole, &then);
            let mut halves = view(&base);
            run(&mut halves, &first);
            let pending = halves.take();
            run(&mut halves, &then);
            if let Some(pending) = pending {
                halves.not_stored(pending);
            }
            let fresh = Data::from_text(json!({"0": 70, "3": 1}).to_string());
            let rebased = |view: &mut View| view.take().map(|mut p| {
                p.rebase(&fresh, 9, 1 << 20).unwrap().unwrap();
                p.data.values().unwrap()
            });
            prop_assert_eq!(rebased(&mut halves), rebased(&mut whole));
        }

        #[test]
        fn the_size_is_that_of_the_text(steps in steps()) {
            let mut view = view(&json!({}));
            run(&mut view, &steps);
            prop_assert_eq!(view.size, json_size(&*view.values().unwrap()));
        }

        #[test]
        fn any_stored_text_is_values_or_undecodable_and_no_panic(text: String) {
            let mut view = View::of(Data::from_text(text.clone()), 1);
            let object = serde_json::from_str::<Values>(&text).is_ok();
            prop_assert_eq!(view.set("k", json!(1), 1 << 20).is_ok(), object);
        }
    }

    #[test]
    fn an_increment_replays_on_the_newer_value_and_a_set_overwrites_it() {
        let mut view = view(&json!({"n": 1, "s": 1}));
        add(&mut view, "n", 1);
        view.set("s", json!(2), 100).unwrap().unwrap();
        let mut pending = view.take().unwrap();
        pending.rebase(&Data::from_text(r#"{"n":10,"s":10,"other":true}"#), 7, 100).unwrap().unwrap();
        assert_eq!(
            pending.data.values().unwrap(),
            Arc::new(json!({"n": 11, "s": 2, "other": true}).as_object().unwrap().clone())
        );
        assert_eq!(pending.based_on, 7);
    }

    #[test]
    fn a_replay_on_another_type_or_with_a_panic_is_an_error() {
        let mut first = view(&json!({}));
        add(&mut first, "n", 1);
        let error = first.take().unwrap().rebase(&Data::from_text(r#"{"n":"secret"}"#), 2, 100).unwrap().unwrap_err();
        assert!(error.to_string().contains("\"n\"") && !error.to_string().contains("secret"), "{error}");
        let mut second = view(&json!({}));
        let updater = Updater::new(|n: Option<u64>| if n.is_some() { panic!("on replay") } else { 1 });
        second.update("n", json!(1), updater, 100).unwrap().unwrap();
        let error = second.take().unwrap().rebase(&Data::from_text(r#"{"n":1}"#), 2, 100).unwrap().unwrap_err();
        assert_eq!((error.status(), error.to_string().contains("panicked")), (500, true));
    }

    #[test]
    fn what_was_discarded_on_its_way_does_not_come_back() {
        let mut view = view(&json!({"n": 1}));
        add(&mut view, "n", 1);
        let pending = view.take().unwrap();
        view.discard();
        view.not_stored(pending);
        assert!(!view.has_changes());
        assert_eq!(view.values().unwrap().get("n"), Some(&json!(1)));
    }

    #[test]
    fn values_over_100_deep_are_refused_by_key() {
        let nested = |depth| (0..depth).fold(json!(1), |inner, _| json!([inner]));
        assert!(encode("k", &nested(100)).is_ok());
        assert!(encode("k", &nested(101)).unwrap_err().to_string().contains("\"k\""));
        let data = Data::encode(Arc::new(Map::from_iter([("k".to_owned(), nested(100))])));
        assert!(Data::from_text(data.text()).values().is_some(), "what is accepted can be read back");
    }
}
