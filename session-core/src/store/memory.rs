//! Sessions in this process's memory, for tests and single processes. Forgets everything when the process ends.

use std::collections::HashMap;
use std::fmt;
use std::future::ready;
use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use time::OffsetDateTime;

use super::{Applied, Caller, Checked, Created, Replaced, SessionStore, StoreFuture, Update};
use crate::error::StoreError;
use crate::session::{Record, SessionId, UserId};
use crate::token::{Shard, TokenHash, TokenRef};

const SHARDS: usize = 64;

/// Sessions in memory, in 64 parts with a lock each; all of a user's sessions are in one part.
pub struct MemoryStore {
    parts: Vec<RwLock<Part>>,
}

#[derive(Default)]
struct Part {
    rows: HashMap<SessionId, Arc<Record>>,
    by_token: HashMap<TokenHash, SessionId>,
    by_user: HashMap<UserId, Vec<SessionId>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self { parts: std::iter::repeat_with(RwLock::default).take(SHARDS).collect() }
    }

    fn read(&self, shard: Shard) -> RwLockReadGuard<'_, Part> {
        // No code of ours panics between two consistent states.
        self.parts[index(shard)].read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, shard: Shard) -> RwLockWriteGuard<'_, Part> {
        self.parts[index(shard)].write().unwrap_or_else(PoisonError::into_inner)
    }

    fn create_now(&self, new: &Arc<Record>, replaces: Option<&Replaced>, limit: NonZeroU32, now: OffsetDateTime) -> Created {
        let own = new.user_id.shard();
        let other = replaces.map(|old| old.user_id.shard()).filter(|other| index(*other) != index(own));
        // Both parts at once, always the lower one first, so that two sign-ins can't wait for each other.
        let (mut part, mut old_part) = match other {
            Some(other) if index(other) < index(own) => {
                let old = self.write(other);
                (self.write(own), Some(old))
            }
            Some(other) => (self.write(own), Some(self.write(other))),
            None => (self.write(own), None),
        };
        part.insert(Arc::clone(new));
        if let Some(old) = replaces {
            old_part.as_deref_mut().unwrap_or(&mut part).remove_of(&old.user_id, old.id);
        }
        let mut rest = part.live(&new.user_id, now);
        rest.retain(|row| row.id != new.id);
        let evicted: Vec<_> = rest.iter().skip(limit.get() as usize - 1).map(|row| row.id).collect();
        for id in &evicted {
            part.remove(*id);
        }
        Created { evicted }
    }

    fn load_now(&self, tokens: &[TokenRef], now: OffsetDateTime) -> Option<Arc<Record>> {
        tokens.iter().find_map(|token| {
            let part = self.read(token.shard);
            let row = part.rows.get(part.by_token.get(&token.hash)?)?;
            row.is_live(now).then(|| Arc::clone(row))
        })
    }

    fn purge_now(&self, before: OffsetDateTime, limit: NonZeroU32) -> u64 {
        let mut left = limit.get() as usize;
        for part in &self.parts {
            let mut part = part.write().unwrap_or_else(PoisonError::into_inner);
            let expired = part.rows.values().filter(|row| row.expires_at <= before);
            let expired: Vec<_> = expired.take(left).map(|row| row.id).collect();
            left -= expired.len();
            for id in expired {
                part.remove(id);
            }
            if left == 0 {
                break;
            }
        }
        u64::from(limit.get()) - left as u64
    }
}

impl Part {
    fn insert(&mut self, row: Arc<Record>) {
        self.by_token.insert(row.token_hash, row.id);
        self.by_user.entry(row.user_id.clone()).or_default().push(row.id);
        self.rows.insert(row.id, row);
    }

    fn remove(&mut self, id: SessionId) {
        let Some(row) = self.rows.remove(&id) else { return };
        self.by_token.remove(&row.token_hash);
        if let Some(ids) = self.by_user.get_mut(&row.user_id) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_user.remove(&row.user_id);
            }
        }
    }

    fn remove_of(&mut self, user: &UserId, id: SessionId) {
        if self.rows.get(&id).is_some_and(|row| row.user_id == *user) {
            self.remove(id);
        }
    }

    /// A user's live rows, in the order of a list.
    fn live(&self, user: &UserId, now: OffsetDateTime) -> Vec<Arc<Record>> {
        let ids = self.by_user.get(user).map(Vec::as_slice).unwrap_or_default();
        let mut rows: Vec<_> =
            ids.iter().filter_map(|id| self.rows.get(id)).filter(|row| row.is_live(now)).cloned().collect();
        rows.sort_unstable_by_key(|row| std::cmp::Reverse((row.last_active_at, row.authenticated_at, row.id)));
        rows
    }

    /// The caller's row, if the caller is live.
    fn held(&self, caller: &Caller, now: OffsetDateTime) -> Option<&Arc<Record>> {
        let row = self.rows.get(&caller.id)?;
        (row.user_id == caller.user_id && row.is_live(now) && row.accepts(&caller.token, now)).then_some(row)
    }

    fn apply(&mut self, caller: &Caller, update: &Update, now: OffsetDateTime) -> Applied {
        let Some(row) = self.held(caller, now) else { return Applied::Gone };
        if update.data.as_ref().is_some_and(|new| new.based_on != row.version) {
            return Applied::Conflict(Arc::clone(row));
        }
        let rotates = update.rotate_to.is_some() && row.token_hash == caller.token;
        let active = update.activity.filter(|activity| row.last_active_at <= activity.unless_after);
        if update.data.is_some() || active.is_some() || rotates {
            let row = Arc::make_mut(self.rows.get_mut(&caller.id).expect("held above"));
            if let Some(new) = &update.data {
                row.data = new.data.clone();
                row.version += 1;
            }
            if let Some(activity) = active {
                row.last_active_at = row.last_active_at.max(activity.at);
                row.expires_at = row.expires_at.max(activity.expires_at);
            }
            row.token_seen |= row.token_hash == caller.token;
            if let (Some(hash), true) = (update.rotate_to, rotates) {
                row.previous_token_hash = Some(std::mem::replace(&mut row.token_hash, hash));
                row.token_issued_at = now;
                row.token_seen = false;
                self.by_token.remove(&caller.token);
                self.by_token.insert(hash, caller.id);
            }
        }
        let row = &self.rows[&caller.id];
        Applied::Done { version: row.version, expires_at: row.expires_at, rotated: rotates }
    }

    /// What `act` returns, unless a caller is named that isn't live.
    fn checked<T>(&mut self, by: Option<&Caller>, now: OffsetDateTime, act: impl FnOnce(&mut Self) -> T) -> Checked<T> {
        if by.is_some_and(|caller| self.held(caller, now).is_none()) {
            return Checked::CallerGone;
        }
        Checked::Live(act(self))
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
        done(self.create_now(new, replaces, limit, now))
    }

    fn load<'a>(&'a self, tokens: &'a [TokenRef], now: OffsetDateTime) -> StoreFuture<'a, Option<Arc<Record>>> {
        done(self.load_now(tokens, now))
    }

    fn apply<'a>(&'a self, caller: &'a Caller, update: &'a Update, now: OffsetDateTime) -> StoreFuture<'a, Applied> {
        done(self.write(caller.user_id.shard()).apply(caller, update, now))
    }

    fn end<'a>(
        &'a self,
        user: &'a UserId,
        id: SessionId,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<bool>> {
        done(self.write(user.shard()).checked(by, now, |part| {
            let live = part.live(user, now).iter().any(|row| row.id == id);
            part.remove_of(user, id);
            live
        }))
    }

    fn end_all<'a>(
        &'a self,
        user: &'a UserId,
        except: Option<SessionId>,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<Vec<SessionId>>> {
        done(self.write(user.shard()).checked(by, now, |part| {
            let ended: Vec<_> = part.live(user, now).iter().map(|row| row.id).filter(|id| Some(*id) != except).collect();
            for id in &ended {
                part.remove(*id);
            }
            ended
        }))
    }

    fn list<'a>(
        &'a self,
        user: &'a UserId,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<Vec<Arc<Record>>>> {
        let part = self.read(user.shard());
        if by.is_some_and(|caller| part.held(caller, now).is_none()) {
            return done(Checked::CallerGone);
        }
        done(Checked::Live(part.live(user, now)))
    }

    fn purge_expired<'a>(&'a self, before: OffsetDateTime, limit: NonZeroU32) -> StoreFuture<'a, u64> {
        done(self.purge_now(before, limit))
    }
}

/// An empty store.
impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

/// Shows how many rows there are, and none of them.
impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.parts.iter().map(|part| part.read().unwrap_or_else(PoisonError::into_inner).rows.len());
        f.debug_struct("MemoryStore").field("rows", &rows.sum::<usize>()).finish()
    }
}

fn index(shard: Shard) -> usize {
    usize::from(shard.number()) % SHARDS
}

fn done<'a, T: Send + 'a>(value: T) -> StoreFuture<'a, T> {
    Box::pin(ready(Ok::<_, StoreError>(value)))
}
