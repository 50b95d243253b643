//! Sessions in this process's memory: for tests, and for a single server whose users may be signed
//! out by a restart. It keeps every rule of [`SessionStore`].

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrayvec::ArrayVec;
use time::OffsetDateTime;

use super::{
    Caller, Checked, Created, Fate, Loaded, MAX_LOADED, Replaced, SessionKey, SessionStore, StoreError, StoreFuture,
    Update, Updated,
};
use crate::clock::later;
use crate::model::record::Record;
use crate::model::session_id::SessionId;
use crate::model::token::TokenRef;
use crate::model::user_id::{Shard, UserId};

/// So that requests of different users seldom wait for each other.
const PARTS: usize = 64;

/// Sessions in memory, gone with the process.
///
/// Every operation finishes at once: all it waits for is a short lock on a 64th of the sessions.
pub struct MemoryStore {
    parts: [Mutex<Part>; PARTS],
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self { parts: std::array::from_fn(|_| Mutex::default()) }
    }

    fn lock_at(&self, index: usize) -> MutexGuard<'_, Part> {
        // No code of ours panics while a part is half changed, so a poisoned one is whole.
        self.parts[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the parts of these users, in the order of the parts, so that two such calls never wait
    /// for each other.
    fn lock<'a>(&self, users: impl IntoIterator<Item = &'a UserId>) -> Held<'_> {
        let mut parts: ArrayVec<usize, MAX_USERS> = users.into_iter().map(|user| index(user.shard())).collect();
        parts.sort_unstable();
        let mut held = Held(ArrayVec::new());
        for part in parts {
            if held.0.last().is_none_or(|(last, _)| *last != part) {
                held.0.push((part, self.lock_at(part)));
            }
        }
        held
    }

    fn insert(&self, new: &Arc<Record>, replaces: &[Replaced], limit: NonZeroU32, now: OffsetDateTime) -> Created {
        let sessions = || replaces.iter().map(|replaced| &replaced.session);
        let mut held = self.lock([&new.user_id].into_iter().chain(sessions().map(|session| &session.user_id)));
        if held.of(&new.user_id).rows.contains_key(&new.id) {
            return Created::Taken;
        }
        for Replaced { session, version } in replaces {
            let row = held.of(&session.user_id).live_row_of(session, now);
            if let Some(row) = row.filter(|row| version.is_some_and(|version| row.version != version)) {
                return Created::Changed(Arc::clone(row));
            }
        }
        held.of(&new.user_id).add(Arc::clone(new));
        for session in sessions() {
            held.of(&session.user_id).remove_live(session, now);
        }
        let part = held.of(&new.user_id);
        let evicted = part.beyond(limit, new, now);
        for id in &evicted {
            part.remove(*id);
        }
        Created::Inserted { evicted }
    }

    fn find(&self, sessions: &[TokenRef], now: OffsetDateTime) -> Loaded {
        let live = |session: &TokenRef| {
            let part = self.lock_at(index(session.shard));
            part.rows.get(&session.id).filter(|row| row.is_live(now)).cloned()
        };
        sessions.iter().filter_map(live).collect()
    }

    fn change(&self, caller: &Caller, update: &Update, now: OffsetDateTime) -> Updated {
        let mut held = self.lock([&caller.user_id]);
        let part = held.of(&caller.user_id);
        let Some(row) = part.live_row(caller, now) else { return Updated::Gone };
        let strict = update.rotation.filter(|rotation| rotation.successor.is_none());
        if strict.is_some_and(|rotation| rotation.to == row.token_hash) {
            return Updated::Done { expires_at: row.expires_at };
        }
        if !row.accepts(&caller.token, now, caller.grace) {
            return Updated::Gone;
        }
        let found = Arc::clone(row);
        let is_current = caller.token == row.token_hash;
        let is_renewal = update.rotation.is_some_and(|rotation| rotation.successor.is_some());
        match update.data.as_ref().map(|data| data.fate(row.version)) {
            None | Some(Fate::Open) => {}
            // The change was made with all of its update.
            Some(Fate::Made) if is_renewal && !is_current => return Updated::Superseded(found),
            Some(Fate::Made) => return Updated::Done { expires_at: row.expires_at },
            Some(Fate::Never | Fate::Unknown) => return Updated::Conflict(found),
        }

        let mut next = Record::clone(row);
        if let Some(new) = &update.data {
            next.data = new.data.clone();
            next.version = new.becomes;
        }
        if let Some(activity) = update.activity.filter(|activity| row.last_active_at <= activity.unless_after) {
            next.last_active_at = next.last_active_at.max(activity.at);
            next.expires_at = next.expires_at.max(activity.expires_at);
        }
        if update.seen && is_current {
            next.token_seen = true;
            next.successor = None;
        }
        let rotation = update.rotation.filter(|rotation| is_current || rotation.successor.is_none());
        if let Some(rotation) = rotation {
            next.token_issued_at = now.max(later(row.token_issued_at, Duration::from_micros(1)));
            next.token_seen = false;
            next.previous_token_hash = rotation.successor.map(|_| row.token_hash);
            next.successor = rotation.successor;
            next.token_hash = rotation.to;
            if rotation.successor.is_none() {
                next.strict_rotated_at = Some(next.token_issued_at);
            }
        }

        let expires_at = next.expires_at;
        part.rows.insert(next.id, Arc::new(next));
        if rotation.is_none() && update.rotation.is_some() {
            return Updated::Superseded(found);
        }
        Updated::Done { expires_at }
    }

    /// Runs `then` on the user's part, in one step with the check of `by`.
    fn checked<T>(
        &self,
        user: &UserId,
        by: Option<&Caller>,
        now: OffsetDateTime,
        then: impl FnOnce(&mut Part) -> T,
    ) -> Checked<T> {
        let mut held = self.lock([user].into_iter().chain(by.map(|caller| &caller.user_id)));
        let is_live = |caller: &Caller, part: &Part| {
            part.live_row(caller, now).is_some_and(|row| row.accepts(&caller.token, now, caller.grace))
        };
        if by.is_some_and(|caller| !is_live(caller, held.of(&caller.user_id))) {
            return Checked::CallerGone;
        }
        Checked::Live(then(held.of(user)))
    }

    fn purge(&self, before: OffsetDateTime, limit: NonZeroU32) -> u64 {
        let limit = usize::try_from(limit.get()).unwrap_or(usize::MAX);
        let mut purged = 0;
        for at in 0..PARTS {
            let mut part = self.lock_at(at);
            let ended: Vec<_> =
                part.rows.values().filter(|row| !row.is_live(before)).take(limit - purged).map(|row| row.id).collect();
            for id in &ended {
                part.remove(*id);
            }
            purged += ended.len();
            if purged == limit {
                break;
            }
        }
        purged as u64
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

/// Shows no session.
impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

impl SessionStore for MemoryStore {
    fn create<'a>(
        &'a self,
        new: &'a Arc<Record>,
        replaces: &'a [Replaced],
        limit: NonZeroU32,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Created> {
        when_polled(move || Ok(self.insert(new, replaces, limit, now)))
    }

    fn load<'a>(&'a self, sessions: &'a [TokenRef], now: OffsetDateTime) -> StoreFuture<'a, Loaded> {
        when_polled(move || Ok(self.find(sessions, now)))
    }

    fn update<'a>(&'a self, caller: &'a Caller, update: &'a Update, now: OffsetDateTime) -> StoreFuture<'a, Updated> {
        when_polled(move || Ok(self.change(caller, update, now)))
    }

    fn end<'a>(
        &'a self,
        user: &'a UserId,
        id: SessionId,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<bool>> {
        when_polled(move || {
            Ok(self.checked(user, by, now, |part| part.remove_live(&SessionKey { user_id: user.clone(), id }, now)))
        })
    }

    fn end_all<'a>(
        &'a self,
        user: &'a UserId,
        except: Option<SessionId>,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<Vec<SessionId>>> {
        when_polled(move || {
            Ok(self.checked(user, by, now, |part| {
                let mut ids: Vec<_> = part.live(user, now).iter().map(|row| row.id).collect();
                ids.retain(|id| except != Some(*id));
                for id in &ids {
                    part.remove(*id);
                }
                ids
            }))
        })
    }

    fn list<'a>(
        &'a self,
        user: &'a UserId,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<Vec<Arc<Record>>>> {
        when_polled(move || Ok(self.checked(user, by, now, |part| part.live(user, now))))
    }

    fn purge_expired<'a>(&'a self, before: OffsetDateTime, limit: NonZeroU32) -> StoreFuture<'a, u64> {
        when_polled(move || Ok(self.purge(before, limit)))
    }
}

/// A 64th of the sessions: all those of its users.
#[derive(Default)]
struct Part {
    rows: HashMap<SessionId, Arc<Record>>,
    users: HashMap<UserId, Vec<SessionId>>,
}

impl Part {
    /// The caller's row, if it is live, whatever its token.
    fn live_row(&self, caller: &Caller, now: OffsetDateTime) -> Option<&Arc<Record>> {
        self.rows.get(&caller.id).filter(|row| row.user_id == caller.user_id && row.is_live(now))
    }

    fn live_row_of(&self, session: &SessionKey, now: OffsetDateTime) -> Option<&Arc<Record>> {
        self.rows.get(&session.id).filter(|row| row.user_id == session.user_id && row.is_live(now))
    }

    /// The user's live rows, in the order of `list`.
    fn live(&self, user: &UserId, now: OffsetDateTime) -> Vec<Arc<Record>> {
        let ids = self.users.get(user).map(Vec::as_slice).unwrap_or_default();
        let mut rows: Vec<_> =
            ids.iter().filter_map(|id| self.rows.get(id)).filter(|row| row.is_live(now)).cloned().collect();
        rows.sort_by_key(|row| std::cmp::Reverse((row.last_active_at, row.authenticated_at, row.id)));
        rows
    }

    /// The user's least recently active live sessions beyond `limit`, but never `new`.
    fn beyond(&self, limit: NonZeroU32, new: &Record, now: OffsetDateTime) -> Vec<SessionId> {
        let limit = usize::try_from(limit.get()).unwrap_or(usize::MAX);
        if self.users.get(&new.user_id).is_none_or(|ids| ids.len() <= limit) {
            return Vec::new();
        }
        let live = self.live(&new.user_id, now);
        live.iter().map(|row| row.id).filter(|id| *id != new.id).skip(limit - 1).collect()
    }

    fn add(&mut self, row: Arc<Record>) {
        self.users.entry(row.user_id.clone()).or_default().push(row.id);
        self.rows.insert(row.id, row);
    }

    /// Removes the user's row of that id if it is live, and returns whether it was.
    fn remove_live(&mut self, session: &SessionKey, now: OffsetDateTime) -> bool {
        let there = self.live_row_of(session, now).is_some();
        if there {
            self.remove(session.id);
        }
        there
    }

    fn remove(&mut self, id: SessionId) {
        let Some(row) = self.rows.remove(&id) else { return };
        if let Some(ids) = self.users.get_mut(&row.user_id) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.users.remove(&row.user_id);
            }
        }
    }
}

/// How many users one operation can concern: the one who signs in, and those whose sessions it
/// replaces.
const MAX_USERS: usize = 1 + MAX_LOADED;

/// Locked parts.
struct Held<'a>(ArrayVec<(usize, MutexGuard<'a, Part>), MAX_USERS>);

impl Held<'_> {
    /// The part of a user that the lock was taken for.
    fn of(&mut self, user: &UserId) -> &mut Part {
        let part = index(user.shard());
        let held = self.0.iter_mut().find(|(held, _)| *held == part);
        &mut held.expect("the lock was taken for this user").1
    }
}

fn index(shard: Shard) -> usize {
    usize::from(shard.number()) % PARTS
}

/// A future that does nothing until it is polled, like those of all other stores.
fn when_polled<'a, T: Send + 'a>(act: impl FnOnce() -> Result<T, StoreError> + Send + 'a) -> StoreFuture<'a, T> {
    Box::pin(async move { act() })
}
