//! Sessions in this process's memory: for tests, and for a single server whose users may be signed out by a restart.
//! Leaves nothing to anybody: it keeps every rule of [`SessionStore`].

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;

use super::{Applied, Caller, Checked, Created, Replaced, SessionStore, StoreError, StoreFuture, Update};
use crate::session::{Record, SessionId};
use crate::token::{Shard, TokenHash, TokenRef};
use crate::user_id::UserId;

/// So that requests of different users seldom wait for each other.
const PARTS: usize = 64;

/// Sessions in memory, gone with the process.
///
/// Every operation finishes at once, without waiting for anything but a short lock on a 64th of the sessions.
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

    /// Locks the parts of one or two users, in the order of the parts so that two such calls never wait for each other.
    fn lock(&self, user: &UserId, other: Option<&UserId>) -> Held<'_> {
        let a = index(user.shard());
        let b = other.map_or(a, |other| index(other.shard()));
        let (low, high) = (a.min(b), a.max(b));
        let first = self.lock_at(low);
        Held { low, first, second: (low != high).then(|| self.lock_at(high)) }
    }

    fn insert(
        &self,
        new: &Arc<Record>,
        replaces: Option<&Replaced>,
        limit: NonZeroU32,
        now: OffsetDateTime,
    ) -> Result<Created, StoreError> {
        let mut held = self.lock(&new.user_id, replaces.map(|replaced| &replaced.user_id));
        let part = held.of(&new.user_id);
        if part.rows.contains_key(&new.id) || part.tokens.contains_key(&new.token_hash) {
            return Err(taken());
        }
        part.add(Arc::clone(new));
        if let Some(replaced) = replaces {
            held.of(&replaced.user_id).remove_live(&replaced.user_id, replaced.id, now);
        }
        let part = held.of(&new.user_id);
        let mut others = part.live(&new.user_id, now);
        others.retain(|row| row.id != new.id);
        let keep = usize::try_from(limit.get() - 1).unwrap_or(usize::MAX);
        let evicted: Vec<_> = others.iter().skip(keep).map(|row| row.id).collect();
        for id in &evicted {
            part.remove(*id);
        }
        Ok(Created { evicted })
    }

    fn find(&self, tokens: &[TokenRef], now: OffsetDateTime) -> Option<Arc<Record>> {
        tokens.iter().find_map(|token| {
            let part = self.lock_at(index(token.shard));
            let row = part.rows.get(part.tokens.get(&token.hash)?)?;
            row.is_live(now).then(|| Arc::clone(row))
        })
    }

    fn change(&self, caller: &Caller, update: &Update, now: OffsetDateTime) -> Result<Applied, StoreError> {
        let mut held = self.lock(&caller.user_id, None);
        let part = held.of(&caller.user_id);
        let Some(row) = part.caller(caller, now) else { return Ok(Applied::Gone) };
        if update.data.as_ref().is_some_and(|data| data.based_on != row.version) {
            return Ok(Applied::Conflict(Arc::clone(row)));
        }

        let mut next = Record::clone(row);
        let mut written = false;
        if let Some(new) = &update.data {
            next.data = new.data.clone();
            next.version += 1;
            written = true;
        }
        if let Some(activity) = update.activity.filter(|activity| row.last_active_at <= activity.unless_after) {
            next.last_active_at = next.last_active_at.max(activity.at);
            next.expires_at = next.expires_at.max(activity.expires_at);
            written = true;
        }
        let current = caller.token == row.token_hash;
        if let Some(token) = update.rotate_to.filter(|_| current) {
            if part.tokens.get(&token).is_some_and(|holder| *holder != row.id) {
                return Err(taken());
            }
            next.previous_token_hash = Some(next.token_hash);
            next.token_hash = token;
            next.token_issued_at = now;
            next.token_seen = false;
            written = true;
        } else if current && written {
            next.token_seen = true;
        }

        let done = Applied::Done { expires_at: next.expires_at, rotated: update.rotate_to == Some(next.token_hash) };
        if written {
            part.replace(next);
        }
        Ok(done)
    }

    /// Runs `then` on the user's part, in one step with the check of `by`.
    fn checked<T>(
        &self,
        user: &UserId,
        by: Option<&Caller>,
        now: OffsetDateTime,
        then: impl FnOnce(&mut Part) -> T,
    ) -> Checked<T> {
        let mut held = self.lock(user, by.map(|caller| &caller.user_id));
        if by.is_some_and(|caller| held.of(&caller.user_id).caller(caller, now).is_none()) {
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
        replaces: Option<&'a Replaced>,
        limit: NonZeroU32,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Created> {
        when_polled(move || self.insert(new, replaces, limit, now))
    }

    fn load<'a>(&'a self, tokens: &'a [TokenRef], now: OffsetDateTime) -> StoreFuture<'a, Option<Arc<Record>>> {
        when_polled(move || Ok(self.find(tokens, now)))
    }

    fn apply<'a>(&'a self, caller: &'a Caller, update: &'a Update, now: OffsetDateTime) -> StoreFuture<'a, Applied> {
        when_polled(move || self.change(caller, update, now))
    }

    fn end<'a>(
        &'a self,
        user: &'a UserId,
        id: SessionId,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<bool>> {
        when_polled(move || Ok(self.checked(user, by, now, |part| part.remove_live(user, id, now))))
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

/// A 64th of the sessions: all of those of its users.
#[derive(Default)]
struct Part {
    rows: HashMap<SessionId, Arc<Record>>,
    tokens: HashMap<TokenHash, SessionId>,
    users: HashMap<UserId, Vec<SessionId>>,
}

impl Part {
    /// The caller's row, if the caller is live.
    fn caller(&self, caller: &Caller, now: OffsetDateTime) -> Option<&Arc<Record>> {
        let row = self.rows.get(&caller.id)?;
        (row.user_id == caller.user_id && row.is_live(now) && row.accepts(&caller.token, now)).then_some(row)
    }

    /// The user's live rows, in the order of `list`.
    fn live(&self, user: &UserId, now: OffsetDateTime) -> Vec<Arc<Record>> {
        let ids = self.users.get(user).map(Vec::as_slice).unwrap_or_default();
        let mut rows: Vec<_> =
            ids.iter().filter_map(|id| self.rows.get(id)).filter(|row| row.is_live(now)).cloned().collect();
        rows.sort_by_key(|row| std::cmp::Reverse((row.last_active_at, row.authenticated_at, row.id)));
        rows
    }

    fn add(&mut self, row: Arc<Record>) {
        self.tokens.insert(row.token_hash, row.id);
        self.users.entry(row.user_id.clone()).or_default().push(row.id);
        self.rows.insert(row.id, row);
    }

    /// Puts `next` in the place of the row with its id, which exists.
    fn replace(&mut self, next: Record) {
        let (id, token) = (next.id, next.token_hash);
        let old = self.rows.insert(id, Arc::new(next));
        if let Some(old) = old.filter(|old| old.token_hash != token) {
            self.tokens.remove(&old.token_hash);
            self.tokens.insert(token, id);
        }
    }

    /// Removes the user's row of that id if it is live: whether it was.
    fn remove_live(&mut self, user: &UserId, id: SessionId, now: OffsetDateTime) -> bool {
        let there = self.rows.get(&id).is_some_and(|row| row.user_id == *user && row.is_live(now));
        if there {
            self.remove(id);
        }
        there
    }

    fn remove(&mut self, id: SessionId) {
        let Some(row) = self.rows.remove(&id) else { return };
        self.tokens.remove(&row.token_hash);
        if let Some(ids) = self.users.get_mut(&row.user_id) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.users.remove(&row.user_id);
            }
        }
    }
}

/// One or two locked parts.
struct Held<'a> {
    low: usize,
    first: MutexGuard<'a, Part>,
    second: Option<MutexGuard<'a, Part>>,
}

impl Held<'_> {
    /// The part of one of the users that the lock was taken for.
    fn of(&mut self, user: &UserId) -> &mut Part {
        match &mut self.second {
            Some(second) if index(user.shard()) != self.low => second,
            _ => &mut self.first,
        }
    }
}

fn index(shard: Shard) -> usize {
    usize::from(shard.number()) % PARTS
}

/// A future that does nothing until it is polled, as those of every other store.
fn when_polled<'a, T: Send + 'a>(act: impl FnOnce() -> Result<T, StoreError> + Send + 'a) -> StoreFuture<'a, T> {
    Box::pin(async move { act() })
}

/// Ids and token hashes are unique; 256 random bits only collide if the caller reuses them.
fn taken() -> StoreError {
    StoreError::not_applied("another session has this id or token")
}
