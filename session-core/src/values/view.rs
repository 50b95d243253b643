//! One request's view of a session's values, and which of its changes are on their way to the
//! store. Not here: storing, see `request::storing`; what a change is, see `changes`.

use std::sync::Arc;

use serde_json::Value;

use crate::error::{DataError, Error, Result};
use crate::model::data::Data;
use crate::store::{Fate, NewData};
use crate::values::changes::{ChangeLog, Updater};
use crate::values::json::{Values, entry_size, json_size, take_out};

/// A request's values: the stored ones, with this request's changes on top.
#[derive(Debug, Clone)]
pub(crate) struct View {
    stored: Data,
    /// The stored version.
    version: i64,
    /// The values with the changes. None until something changes.
    changed: Option<Arc<Values>>,
    /// Bytes of JSON of the values with the changes.
    size: usize,
    log: ChangeLog,
    /// Changes from before those of the log, if it isn't known whether they are stored.
    open: Option<Box<Pending>>,
    /// Counts the changes, so that an update notices if others were made meanwhile.
    edits: u64,
    /// Counts the discards, so that what was discarded doesn't come back.
    discards: u64,
}

/// Changes on their way to the store.
#[derive(Debug, Clone)]
pub(crate) struct Pending {
    log: ChangeLog,
    ours: Arc<Values>,
    /// The same write at every try, and another one after each rebase.
    write: NewData,
    discards: u64,
    /// Whether the values hold another request's changes too by now.
    rebased: bool,
    /// Whether the store was asked for this very write and its outcome is unknown.
    is_open: bool,
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

/// Why a change can't be made.
#[derive(Debug)]
pub(crate) enum Refusal {
    Undecodable,
    /// The change itself is at fault.
    Change(Error),
}

impl From<Undecodable> for Refusal {
    fn from(_: Undecodable) -> Self {
        Self::Undecodable
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Change(error)
    }
}

impl View {
    pub(crate) fn of(stored: Data, version: i64) -> Self {
        Self {
            size: stored.text().len(),
            stored,
            version,
            changed: None,
            log: ChangeLog::default(),
            open: None,
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

    /// What is stored.
    pub(crate) fn stored_data(&self) -> Data {
        self.stored.clone()
    }

    /// The stored version.
    pub(crate) const fn version(&self) -> i64 {
        self.version
    }

    pub(crate) const fn edits(&self) -> u64 {
        self.edits
    }

    pub(crate) fn has_changes(&self) -> bool {
        self.has_open() || !self.log.is_empty()
    }

    /// Whether there is a value, as this request sees them.
    pub(crate) fn has_values(&self) -> bool {
        self.values().is_ok_and(|values| !values.is_empty())
    }

    /// Whether there are changes of which it isn't known whether they are stored.
    pub(crate) const fn has_open(&self) -> bool {
        self.open.is_some()
    }

    /// Sets `key`, or refuses and changes nothing.
    pub(crate) fn set(&mut self, key: &str, value: Value, limit: usize) -> Result<(), Refusal> {
        self.put(key, value, limit)?;
        self.log.set(key);
        Ok(())
    }

    /// Sets `key` to `value`, which `updater` made of the key's present value.
    pub(crate) fn update(&mut self, key: &str, value: Value, updater: Updater, limit: usize) -> Result<(), Refusal> {
        self.put(key, value, limit)?;
        self.log.update(key, updater);
        Ok(())
    }

    /// Removes `key`; an absent one is no change.
    pub(crate) fn remove(&mut self, key: &str) -> Result<(), Undecodable> {
        let values = self.values()?;
        let Some(old) = values.get(key) else { return Ok(()) };
        let comma = usize::from(values.len() > 1);
        self.size = self.size.saturating_sub(entry_size(key, old) + comma);
        take_out(Arc::make_mut(self.changed.insert(values)), key);
        self.log.remove(key);
        self.edits += 1;
        Ok(())
    }

    /// Withdraws what was done to `key`, which is then as it is stored, and returns the value that
    /// it had. A removal would undo what other requests do to it as well.
    pub(crate) fn withdraw(&mut self, key: &str) -> Option<Value> {
        if !self.log.forget(key) {
            return None;
        }
        let mut values = self.changed.take()?;
        let stored = self.stored.values().and_then(|stored| stored.get(key).cloned());
        let own = Arc::make_mut(&mut values);
        let withdrawn = match stored {
            Some(stored) => own.insert(key.to_owned(), stored),
            None => own.remove(key),
        };
        if self.log.is_empty() {
            self.size = self.stored.text().len();
        } else {
            self.size = json_size(&*values);
            self.changed = Some(values);
        }
        self.edits += 1;
        withdrawn
    }

    /// The changes so far, to be replayed on other data.
    pub(crate) fn changes(&self) -> Option<Later> {
        let ours = self.changed.as_ref().filter(|_| !self.log.is_empty())?;
        Some(Later { log: self.log.clone(), ours: Arc::clone(ours), edits: self.edits })
    }

    /// Takes over what is stored now, with the changes so far replayed on it, if there were any.
    /// False if more changes were made meanwhile.
    pub(crate) fn refresh(&mut self, stored: &Data, version: i64, replayed: Option<(u64, Values)>) -> bool {
        let changed = match replayed {
            Some((edits, _)) if edits != self.edits => return false,
            Some((_, values)) => Some(Arc::new(values)),
            None if self.log.is_empty() => None,
            None => return false,
        };
        self.size = changed.as_ref().map_or(stored.text().len(), |values| json_size(&**values));
        (self.stored, self.version, self.changed) = (stored.clone(), version, changed);
        self.edits += 1;
        true
    }

    /// Takes the changes to store them. Later ones start a new log. A write that was left open is
    /// taken first, without what was changed after it.
    pub(crate) fn take(&mut self) -> Option<Pending> {
        if let Some(open) = self.open.take() {
            return Some(*open);
        }
        if self.log.is_empty() {
            return None;
        }
        let ours = self.changed.clone().expect("a logged change has changed the values");
        let log = std::mem::take(&mut self.log);
        let write = NewData::new(self.version, Data::encode(Arc::clone(&ours)));
        Some(Pending { log, write, ours, discards: self.discards, rebased: false, is_open: false })
    }

    /// What changed since `pending` was taken, if that must be replayed on what was stored.
    pub(crate) fn later(&self, pending: &Pending) -> Option<Later> {
        self.changes().filter(|_| pending.rebased)
    }

    /// `pending` was stored. `later` are the values with what changed meanwhile, if they had to be
    /// computed. False if more changes were made since.
    pub(crate) fn stored(&mut self, pending: &Pending, later: Option<(u64, Values)>) -> bool {
        let changed = match later {
            Some((edits, _)) if edits != self.edits => return false,
            Some((_, values)) => Some(Arc::new(values)),
            None if self.log.is_empty() => None,
            None if pending.rebased => return false,
            // Made on exactly the values that are stored now.
            None => self.changed.take(),
        };
        self.stored = pending.write.data.clone();
        self.version = pending.write.becomes;
        self.size = changed.as_ref().map_or(self.stored.text().len(), |values| json_size(&**values));
        self.changed = changed;
        self.edits += 1;
        true
    }

    /// `pending` certainly wasn't stored. It stays pending, unless changes were discarded
    /// meanwhile.
    pub(crate) fn not_stored(&mut self, pending: Pending) {
        if pending.discards == self.discards {
            self.log = pending.log.followed_by(std::mem::take(&mut self.log));
        }
    }

    /// It isn't known whether `pending` was stored. It stays open, unless changes were discarded
    /// meanwhile.
    pub(crate) fn left_open(&mut self, pending: Pending) {
        if pending.discards == self.discards {
            self.open = Some(Box::new(pending));
        }
    }

    /// Forgets all changes that aren't stored.
    pub(crate) fn discard(&mut self) {
        let (edits, discards) = (self.edits + 1, self.discards + 1);
        *self = Self { edits, discards, ..Self::of(self.stored.clone(), self.version) };
    }

    fn put(&mut self, key: &str, value: Value, limit: usize) -> Result<(), Refusal> {
        let mut values = self.values()?;
        let comma = usize::from(!values.is_empty());
        let rest = match values.get(key) {
            Some(old) => self.size.saturating_sub(entry_size(key, old)),
            None => self.size + comma,
        };
        let size = rest + entry_size(key, &value);
        // Concurrent requests may together have passed the limit. What makes the data smaller is
        // still accepted.
        if size > limit && size > self.size {
            return Err(Error::from(DataError::TooLarge { key: key.to_owned(), limit }).into());
        }
        // If another request shares these values, it keeps them and this one changes a copy.
        // Otherwise they are changed in place, and their text can be decoded again.
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
        Ok(())
    }
}

impl Pending {
    /// What the store shall keep.
    pub(crate) fn to_store(&self) -> NewData {
        self.write.clone()
    }

    /// An error if the data is larger than the store can keep.
    pub(crate) fn check_size(&self, limit: usize) -> Result<()> {
        if self.write.data.text().len() <= limit { Ok(()) } else { Err(self.too_large(limit)) }
    }

    fn too_large(&self, limit: usize) -> Error {
        DataError::TooLarge { key: self.log.first_key().unwrap_or_default().to_owned(), limit }.into()
    }

    /// Notes that the store didn't report the outcome.
    pub(crate) const fn leave_open(&mut self) {
        self.is_open = true;
    }

    pub(crate) const fn is_open(&self) -> bool {
        self.is_open
    }

    /// What a row of this version says about this write.
    pub(crate) const fn fate(&self, version: i64) -> Fate {
        self.write.fate(version)
    }

    /// Replays the changes on a newer row, which certainly doesn't have them yet. What other
    /// requests stored may have let the row grow up to `limit`.
    pub(crate) fn rebase(&mut self, fresh: &Data, version: i64, limit: usize) -> Result<(), Refusal> {
        let mut values = (*fresh.values().ok_or(Undecodable)?).clone();
        self.log.replay(&mut values, &self.ours)?;
        let values = Arc::new(values);
        let data = Data::encode(Arc::clone(&values));
        if data.text().len() > limit && data.text().len() > fresh.text().len() {
            return Err(self.too_large(limit).into());
        }
        self.ours = values;
        self.write = NewData::new(version, data);
        (self.rebased, self.is_open) = (true, false);
        Ok(())
    }

    /// The stored values with `later` on top. It runs the application's functions, so hold no lock.
    pub(crate) fn with(&self, later: &Later) -> Result<(u64, Values)> {
        later.made_on((*self.ours).clone())
    }
}

impl Later {
    /// The values of `fresh` with these changes on top. It runs the application's functions, so
    /// hold no lock.
    pub(crate) fn on(&self, fresh: &Data) -> Result<(u64, Values), Refusal> {
        Ok(self.made_on((*fresh.values().ok_or(Undecodable)?).clone())?)
    }

    fn made_on(&self, mut values: Values) -> Result<(u64, Values)> {
        self.log.replay(&mut values, &self.ours)?;
        Ok((self.edits, values))
    }
}

#[cfg(test)]
mod tests;
