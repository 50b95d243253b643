//! Taking a list out of the session at once, so that of requests at once only one has it, and
//! putting it back if no response shows it.

use std::sync::Arc;

use serde_json::Value;

use super::storing::{ASKED_AGAIN, MAX_TRIES};
use super::{Progress, Request};
use crate::error::{Error, Result, StoreError};
use crate::model::data::Data;
use crate::model::session_id::SessionId;
use crate::observe::event::Event;
use crate::store::{Fate, NewData, Update, Updated};
use crate::values::changes::Updater;
use crate::values::json::{Values, take_out};

/// A list that was taken out.
pub(super) struct Taken {
    session: SessionId,
    key: &'static str,
    /// What was stored. It is put back in front of what is there by then.
    stored: Vec<Value>,
    /// What this request had added to it.
    added: Vec<Value>,
    /// Whether the caller has it.
    is_fetched: bool,
}

/// Which lists are put back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PutBack {
    /// All, because no response shows them. What this request has added is dropped.
    All,
    /// Those whose `take` was given up. What this request has added is as if it was never taken.
    Unfetched,
}

impl Request {
    /// Takes out the list of this key: what is stored, in one step, and then what this request has
    /// added. None if another request was first, or the session has ended.
    pub(crate) async fn take(self: Arc<Self>, key: &'static str) -> Result<Option<Value>> {
        self.settle_write().await?;
        let take = |values: &mut Values| match take_out(values, key) {
            Some(Value::Array(items)) => Some(items),
            // What isn't a list is the application's own.
            _ => None,
        };
        let stored = self.change_stored(take).await?.unwrap_or_default();
        let mut progress = self.lock();
        let Some(active) = progress.state.active_mut() else { return Ok(None) };
        let session = active.record.id;
        let added = match active.view.withdraw(key) {
            Some(Value::Array(added)) => added,
            _ => Vec::new(),
        };
        let all: Vec<_> = stored.iter().chain(&added).cloned().collect();
        if all.is_empty() {
            return Ok(None);
        }
        // From here on they are put back unless a response shows them.
        progress.extras().taken.push(Taken { session, key, stored, added, is_fetched: false });
        Ok(Some(Value::Array(all)))
    }

    /// Puts back what was taken out. An event reports a failure.
    pub(super) async fn put_back(self: Arc<Self>, which: PutBack) -> Result<()> {
        let taken = self.lock().drain_taken(which, &self);
        let mut outcome = Ok(());
        // The last ones first, as each is put in front.
        for Taken { session, key, stored, .. } in taken.into_iter().rev() {
            let put = |values: &mut Values| {
                let mut all = stored.clone();
                match take_out(values, key) {
                    None => {}
                    Some(Value::Array(there)) => all.extend(there),
                    Some(_) => return None,
                }
                values.insert(key.to_owned(), Value::Array(all));
                Some(())
            };
            if !stored.is_empty() && self.lock().state.active_if(session).is_some() {
                outcome = self.change_stored(put).await.map(drop).and(outcome);
            }
        }
        outcome
    }

    /// Changes the row's data in one step, without what this request has changed and with its
    /// activity if that is due, and takes over the row as it is then. None if there is no row, or
    /// nothing to change.
    async fn change_stored<T>(&self, change: impl Fn(&mut Values) -> Option<T>) -> Result<Option<T>> {
        let service = &self.service;
        let (caller, mut stored, mut version, activity, seen) = {
            let progress = self.lock();
            if progress.state.missing_row().is_some() {
                return Ok(None);
            }
            let Some(active) = progress.state.active() else { return Ok(None) };
            let caller = active.caller(service.config.rotation_grace);
            let due = self.due_activity(&progress);
            (caller, active.view.stored_data(), active.view.version(), due, active.is_first_seen)
        };
        let corrupt = || StoreError::Corrupt { id: Some(caller.id), what: "data" };
        let mut unanswered = 0;
        for _ in 0..MAX_TRIES {
            let mut values = (*stored.values().ok_or_else(|| service.failed(corrupt()))?).clone();
            let Some(changed) = change(&mut values) else { return Ok(None) };
            let data = NewData::new(version, Data::encode(Arc::new(values)));
            if data.data.text().len() > service.most_data {
                let no_room = StoreError::not_applied("there is no room to put back what was taken out");
                return Err(service.failed(no_room));
            }
            let update = Update { data: Some(data.clone()), activity, seen, ..Update::default() };
            let updated = loop {
                match service.store.update(&caller, &update, service.now()).await {
                    Err(StoreError::Unknown(_)) if unanswered < ASKED_AGAIN => unanswered += 1,
                    // That the last try certainly changed nothing says nothing about those before.
                    Err(StoreError::NotApplied(source)) if unanswered > 0 => {
                        return Err(service.failed(StoreError::Unknown(source)));
                    }
                    updated => break updated.map_err(|error| service.failed(error))?,
                }
            };
            let row = match updated {
                Updated::Done { expires_at } => {
                    if let Some(active) = self.lock().state.active_if(caller.id)
                        && let Some(activity) = activity
                    {
                        active.recorded(activity, expires_at);
                    }
                    None
                }
                Updated::Conflict(row) => match data.fate(row.version) {
                    Fate::Made => None,
                    // It may have been made, and others have changed the data twice since.
                    Fate::Unknown if unanswered > 0 => {
                        return Err(service.failed(StoreError::unknown("others changed the session's data meanwhile")));
                    }
                    Fate::Open | Fate::Never | Fate::Unknown => Some(row),
                },
                Updated::Gone => {
                    self.found_ended(caller.id);
                    if unanswered > 0 {
                        // It may have been made before the session ended.
                        return Err(service.failed(StoreError::unknown("the session ended meanwhile")));
                    }
                    return Ok(None);
                }
                Updated::Superseded(_) => {
                    return Err(
                        service.failed(StoreError::not_applied("the store reported a rotation that was not asked for"))
                    );
                }
            };
            match row {
                None => {
                    // Where this request's own changes can't be replayed any more, the commit
                    // reports it.
                    drop(self.take_over_data(caller.id, &data.data, data.becomes, None));
                    return Ok(Some(changed));
                }
                Some(row) => {
                    unanswered = 0;
                    self.take_over_data(caller.id, &row.data, row.version, None)?;
                    (stored, version) = (row.data.clone(), row.version);
                }
            }
        }
        service.emit(&Event::Contention { id: caller.id });
        Err(Error::Contention)
    }
}

impl Progress {
    /// Whether something was taken out to be shown.
    pub(super) fn has_taken(&self) -> bool {
        self.extras.as_ref().is_some_and(|extras| !extras.taken.is_empty())
    }

    /// Whether something was taken out that its caller doesn't have yet.
    pub(super) fn has_unfetched_taken(&self) -> bool {
        self.extras.as_ref().is_some_and(|extras| extras.taken.iter().any(|taken| !taken.is_fetched))
    }

    /// What this request had added is dropped with its other changes.
    pub(super) fn discard_added(&mut self) {
        if let Some(extras) = &mut self.extras {
            extras.taken.iter_mut().for_each(|taken| taken.added.clear());
        }
    }

    /// A sign-in has taken along what is stored under these keys, or that was undone: what is put
    /// back belongs to session `to` now.
    pub(super) fn move_taken(&mut self, from: SessionId, to: SessionId, keys: impl Fn(&str) -> bool) {
        if let Some(extras) = &mut self.extras {
            let moved = extras.taken.iter_mut().filter(|taken| taken.session == from && keys(taken.key));
            moved.for_each(|taken| taken.session = to);
        }
    }

    /// The callers have what was taken out.
    pub(super) fn taken_is_fetched(&mut self) {
        if let Some(extras) = &mut self.extras {
            extras.taken.iter_mut().for_each(|taken| taken.is_fetched = true);
        }
    }

    /// A response shows what was taken out.
    pub(super) fn forget_taken(&mut self) {
        if let Some(extras) = &mut self.extras {
            extras.taken.clear();
        }
    }

    /// What is to be put back into the row, with what was added restored where it isn't dropped.
    fn drain_taken(&mut self, which: PutBack, request: &Arc<Request>) -> Vec<Taken> {
        let Some(extras) = &mut self.extras else { return Vec::new() };
        if which == PutBack::All {
            return std::mem::take(&mut extras.taken);
        }
        let (fetched, unfetched): (Vec<_>, _) =
            std::mem::take(&mut extras.taken).into_iter().partition(|taken| taken.is_fetched);
        extras.taken = fetched;
        for Taken { session, key, added, .. } in &unfetched {
            let Some(active) = self.state.active_if(*session).filter(|_| !added.is_empty()) else { continue };
            let added = added.clone();
            let updater = Updater::new(request, move |there: Option<Vec<Value>>| {
                let mut all = there.unwrap_or_default();
                all.extend(added.iter().cloned());
                all
            });
            let Ok(values) = active.view.values() else { continue };
            let Ok(value) = updater.run(key, values.get(*key)) else { continue };
            drop(values);
            // It had room for them before.
            drop(active.view.update(key, value, updater, usize::MAX));
        }
        unfetched
    }
}
