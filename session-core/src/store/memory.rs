//! Sessions in this process's memory: for tests, and for a single server whose users may be signed
//! out by a restart. It keeps every rule of [`SessionStore`].

mod room;

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

use room::{DEFAULT_BYTES, Room, bytes_of};

/// So that requests of different users seldom wait for each other.
const PARTS: usize = 64;

/// Sessions in memory, gone with the process.
///
/// Every operation finishes at once: all it waits for is a short lock on a 64th of the sessions.
///
/// It holds at most [`max_bytes`](Self::max_bytes). Sign-ins and values beyond that are 503s, and a
/// clean-up makes room: without [`spawn_cleanup`](crate::CookieSessionService::spawn_cleanup) all
/// sessions stay that have expired.
pub struct MemoryStore {
    parts: [Mutex<Part>; PARTS],
    room: Arc<Room>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::of(DEFAULT_BYTES)
    }

    /// An empty store that holds at most this many bytes. Counted are the texts of all rows, and
    /// 1 KiB for each row; values that were decoded take some more. A sign-in, a first value or a
    /// change that would pass it is a 503, and visitors are refused at half of it, so that users
    /// can still sign in. Signing out, reading, and data that gets smaller always work. Default:
    /// 1 GiB.
    pub fn max_bytes(self, bytes: usize) -> Self {
        Self::of(bytes)
    }

    fn of(bytes: usize) -> Self {
        let room = Arc::new(Room::new(bytes));
        Self { parts: std::array::from_fn(|_| Mutex::new(Part::new(Arc::clone(&room)))), room }
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

    fn insert(
        &self,
        new: &Arc<Record>,
        replaces: &[Replaced],
        limit: NonZeroU32,
        now: OffsetDateTime,
    ) -> Result<Created, StoreError> {
        let sessions = || replaces.iter().map(|replaced| &replaced.session);
        let mut held = self.lock([&new.user_id].into_iter().chain(sessions().map(|session| &session.user_id)));
        if held.of(&new.user_id).rows.contains_key(&new.id) {
            return Ok(Created::Taken);
        }
        let mut replaced_bytes = 0;
        for Replaced { session, version } in replaces {
            let Some(row) = held.of(&session.user_id).live_row_of(session, now) else { continue };
            if version.is_some_and(|version| row.version != version) {
                return Ok(Created::Changed(Arc::clone(row)));
            }
            replaced_bytes += bytes_of(row);
        }
        self.room.take(new, replaced_bytes)?;
        // What is replaced is given back when it is removed.
        self.room.add(replaced_bytes.min(bytes_of(new)));
        held.of(&new.user_id).add(Arc::clone(new));
        for session in sessions() {
            held.of(&session.user_id).remove_live(session, now);
        }
        let part = held.of(&new.user_id);
        let evicted = part.beyond(limit, new, now);
        for id in &evicted {
            part.remove(*id);
        }
        Ok(Created::Inserted { evicted })
    }

    fn find(&self, sessions: &[TokenRef], now: OffsetDateTime) -> Loaded {
        let live = |session: &TokenRef| {
            let part = self.lock_at(index(session.shard));
            part.rows.get(&session.id).filter(|row| row.is_live(now)).cloned()
        };
        sessions.iter().filter_map(live).collect()
    }

    fn change(&self, caller: &Caller, update: &Update, now: OffsetDateTime) -> Result<Updated, StoreError> {
        let mut held = self.lock([&caller.user_id]);
        let part = held.of(&caller.user_id);
        let Some(row) = part.live_row(caller, now) else { return Ok(Updated::Gone) };
        let strict = update.rotation.filter(|rotation| rotation.successor.is_none());
        if strict.is_some_and(|rotation| rotation.to == row.token_hash) {
            return Ok(Updated::Done { expires_at: row.expires_at });
        }
        if !row.accepts(&caller.token, now, caller.grace) {
            return Ok(Updated::Gone);
        }
        let found = Arc::clone(row);
        let is_current = caller.token == row.token_hash;
        let is_renewal = update.rotation.is_some_and(|rotation| rotation.successor.is_some());
        match update.data.as_ref().map(|data| data.fate(row.version)) {
            None | Some(Fate::Open) => {}
            // The change was made with all of its update.
            Some(Fate::Made) if is_renewal && !is_current => return Ok(Updated::Superseded(found)),
            Some(Fate::Made) => return Ok(Updated::Done { expires_at: row.expires_at }),
            Some(Fate::Never | Fate::Unknown) => return Ok(Updated::Conflict(found)),
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
        let bytes_before = bytes_of(&found);
        self.room.take(&next, bytes_before)?;
        self.room.give_back(bytes_before.saturating_sub(bytes_of(&next)));
        part.rows.insert(next.id, Arc::new(next));
        if rotation.is_none() && update.rotation.is_some() {
            return Ok(Updated::Superseded(found));
        }
        Ok(Updated::Done { expires_at })
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
        when_polled(move || self.insert(new, replaces, limit, now))
    }

    fn load<'a>(&'a self, sessions: &'a [TokenRef], now: OffsetDateTime) -> StoreFuture<'a, Loaded> {
        when_polled(move || Ok(self.find(sessions, now)))
    }

    fn update<'a>(&'a self, caller: &'a Caller, update: &'a Update, now: OffsetDateTime) -> StoreFuture<'a, Updated> {
        when_polled(move || self.change(caller, update, now))
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
struct Part {
    rows: HashMap<SessionId, Arc<Record>>,
    users: HashMap<UserId, Vec<SessionId>>,
    room: Arc<Room>,
}

impl Part {
    fn new(room: Arc<Room>) -> Self {
        Self { rows: HashMap::new(), users: HashMap::new(), room }
    }

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
        self.room.give_back(bytes_of(&row));
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::ManualClock;
    use crate::config::SessionConfig;
    use crate::config::tests::keys;
    use crate::service::CookieSessionService;

    #[tokio::test]
    async fn what_is_counted_is_what_is_held() {
        let (store, clock) = (Arc::new(MemoryStore::new()), Arc::new(ManualClock::default()));
        let config = SessionConfig::builder().max_sessions_per_user(3).build(keys()).unwrap();
        let service = CookieSessionService::new(Arc::clone(&store), config).with_clock(Arc::clone(&clock));
        let counted = || {
            let rows = (0..PARTS).map(|at| store.lock_at(at).rows.values().map(|row| bytes_of(row)).sum::<usize>());
            (store.room.held(), rows.sum::<usize>())
        };
        for round in 0..5 {
            for user in ["ada", "alan"] {
                service.issue(user).await.unwrap();
            }
            let (held, rows) = counted();
            assert!(held == rows && held > 0, "round {round}: {held}, {rows}");
        }
        service.revoke_all("ada").await.unwrap();
        assert_eq!(counted().0, counted().1);
        clock.advance(Duration::from_secs(40 * 24 * 3600));
        store.purge_expired(crate::Clock::now(&*clock), NonZeroU32::MAX).await.unwrap();
        assert_eq!(counted(), (0, 0));
    }
}
