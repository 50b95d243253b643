//! Sessions in Redis.
//!
//! A session's row is one value. A look-up is a plain `GET`; everything else is a script, which the
//! server runs as one step. Not here: how a row is written, see `row`; the names of keys, see
//! `keys`; connections, see `connection`, and when a command is sent again, `retry`.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use arrayvec::ArrayVec;
use futures_util::future::join_all;
use redis::{Cmd, Value};
use time::OffsetDateTime;

use super::{
    Activity, Caller, Checked, Created, Fate, Loaded, MAX_LOADED, NewData, Replaced, Rotation, SessionStore,
    StoreError, StoreFuture, Update, Updated,
};
use crate::clock::earlier;
use crate::model::record::Record;
use crate::model::session_id::SessionId;
use crate::model::token::TokenRef;
use crate::model::user_id::UserId;
use connection::Connections;
use error::RedisFailure;
use keys::{Keys, Tag};
use nodes::Nodes;
use reply::Reply;
use retry::{Answer, Replicas, Request, run};
use row::time_bytes;
use scripts::{CREATE, END, END_ALL, LIST, UPDATE};

mod across;
mod connection;
mod error;
mod keys;
mod nodes;
mod open_error;
mod options;
mod purge;
mod reply;
mod retry;
mod row;
mod scripts;
mod set_up;

pub use error::RedisFailure as RedisDriverError;
pub use open_error::{RedisOpenError, RedisUrlFault};
pub use options::RedisOptions;

/// The most that a row can hold of data: what Redis takes as one value, less what else is in a row.
const MAX_DATA_BYTES: usize = (512 << 20) - (1 << 20);

/// Sessions in Redis. Clones share the connections.
///
/// Each async runtime that uses the store has one connection, which its requests share without
/// waiting for each other. A failure is [`StoreError::NotApplied`] only if it is certain that
/// nothing was changed. Times are stored in whole microseconds.
///
/// What the server has acknowledged is only as safe as its own settings make it: see
/// [`operators::redis`](crate::store::operators::redis).
#[derive(Clone)]
pub struct RedisStore {
    shared: Arc<Shared>,
}

struct Shared {
    connections: Connections,
    nodes: Nodes,
    replicas: Replicas,
    keys: Keys,
    query_timeout: Duration,
    /// The tag at which the next clean-up begins.
    next_tag: AtomicUsize,
}

/// The answer to a change was lost, and others have changed the session's data twice since.
#[derive(Debug, thiserror::Error)]
#[error("the Redis server did not say whether the data was stored, and others have changed it since")]
struct Overwritten;

impl RedisStore {
    /// Connects to the server at `url` with the settings of [`RedisOptions::new`].
    ///
    /// # Errors
    /// [`RedisOpenError`], which says what to do and never shows the URL's password.
    pub async fn open(url: &str) -> Result<Self, RedisOpenError> {
        RedisOptions::new(url).open().await
    }

    async fn ask(&self, request: &Request) -> Result<Answer, StoreError> {
        run(&self.shared.connections, &self.shared.nodes, &self.shared.replicas, request, self.shared.query_timeout)
            .await
    }

    /// Runs a script that concerns the session of this id, and reads its answer.
    async fn call(&self, request: &Request, id: Option<SessionId>) -> Result<(Reply, bool), StoreError> {
        let Answer { value, is_repeated } = self.ask(request).await.map_err(|error| unreadable(error, id))?;
        Ok((Reply::of(value)?, is_repeated))
    }

    /// Inserts the session, in one step if all keys lie together.
    async fn insert(
        &self,
        new: &Arc<Record>,
        replaces: &[Replaced],
        limit: NonZeroU32,
        now: OffsetDateTime,
    ) -> Result<Created, StoreError> {
        let replaces = &replaces[..replaces.len().min(MAX_LOADED)];
        let home = Tag::of(new.user_id.shard());
        if self.is_one_step(replaces.iter().map(|replaced| &replaced.session.user_id), home) {
            return self.insert_together(new, replaces, limit, now).await.map(|(created, _)| created);
        }
        let apart =
            across::Insertion { store: self.clone(), new: Arc::clone(new), replaces: replaces.to_vec(), limit, now };
        across::to_its_end(apart.run()).await
    }

    /// Whether the keys of these users can be in one script with this tag's.
    fn is_one_step<'a>(&self, users: impl IntoIterator<Item = &'a UserId>, home: Tag) -> bool {
        !self.shared.nodes.is_cluster() || users.into_iter().all(|user| Tag::of(user.shard()) == home)
    }

    /// Inserts the session in one step, and returns whether an earlier attempt may have.
    async fn insert_together(
        &self,
        new: &Record,
        replaces: &[Replaced],
        limit: NonZeroU32,
        now: OffsetDateTime,
    ) -> Result<(Created, bool), StoreError> {
        let (keys, home) = (&self.shared.keys, Tag::of(new.user_id.shard()));
        let mut of_all = self.keys_of(&new.user_id, new.id).to_vec();
        let (now, row, limit) = (time_bytes(now), row::encode(new), limit.to_string());
        let (rows, expires_at) = (keys.rows(home), time_bytes(new.expires_at));
        let mut args: Vec<&[u8]> =
            vec![&now, &row, limit.as_bytes(), &rows, new.id.as_bytes(), new.user_id.as_str().as_bytes(), &expires_at];
        let versions: ArrayVec<_, MAX_LOADED> =
            replaces.iter().map(|replaced| replaced.version.map(i64::to_be_bytes)).collect();
        for (Replaced { session, .. }, version) in replaces.iter().zip(&versions) {
            of_all.extend(self.keys_of(&session.user_id, session.id));
            let version = version.as_ref().map_or(&[][..], |version| version);
            args.extend([&session.id.as_bytes()[..], session.user_id.as_str().as_bytes(), version]);
        }
        let of_all: Vec<_> = of_all.iter().map(Vec::as_slice).collect();
        let create = Request::call(home, &CREATE, &of_all, &args).kept(keys, !replaces.is_empty());
        let (reply, is_repeated) = self.call(&create, None).await?;
        let created = match reply.what() {
            "inserted" => Created::Inserted { evicted: reply.ids()? },
            "taken" => Created::Taken,
            "changed" => Created::Changed(reply.rows()?.pop().ok_or_else(reply::not_understood)?),
            _ => return Err(reply::not_understood()),
        };
        Ok((created, is_repeated))
    }

    async fn find(&self, sessions: &[TokenRef], now: OffsetDateTime) -> Result<Loaded, StoreError> {
        if let [session] = sessions {
            return Ok(self.find_one(*session).await?.filter(|row| row.is_live(now)).into_iter().collect());
        }
        // Sent at once, on one connection.
        let found = join_all(sessions.iter().take(MAX_LOADED).map(|session| self.find_one(*session))).await;
        let mut rows = ArrayVec::<_, MAX_LOADED>::new();
        for row in found {
            rows.extend(row?.filter(|row| row.is_live(now)));
        }
        Ok(rows.into_iter().collect())
    }

    async fn find_one(&self, session: TokenRef) -> Result<Option<Arc<Record>>, StoreError> {
        let key = self.shared.keys.row(session);
        let mut get = Cmd::with_capacity(2, 8 + key.len());
        get.arg("GET").arg(key);
        let found = self.ask(&Request::read(Tag::of(session.shard), get)).await;
        let found = found.map_err(|error| unreadable(error, Some(session.id)))?;
        match found.value {
            Value::BulkString(value) => row::decode(session.id, &value).map(Some),
            Value::Nil => Ok(None),
            _ => Err(reply::not_understood()),
        }
    }

    async fn change(&self, caller: &Caller, update: &Update, now: OffsetDateTime) -> Result<Updated, StoreError> {
        let of_all = self.keys_of(&caller.user_id, caller.id);
        let [row, user, expiry] = &of_all;
        let (limit, now) = (time_bytes(earlier(now, caller.grace)), time_bytes(now));
        let versions = update
            .data
            .as_ref()
            .map(|NewData { based_on, becomes, .. }| [based_on.to_be_bytes(), becomes.to_be_bytes()].concat());
        let activity = update
            .activity
            .map(|Activity { at, expires_at, unless_after }| [at, expires_at, unless_after].map(time_bytes).concat());
        let (to, successor) = match &update.rotation {
            Some(Rotation { to, successor }) => {
                (&to.as_bytes()[..], successor.as_ref().map_or(&[][..], |sealed| sealed.as_bytes()))
            }
            None => (&[][..], &[][..]),
        };
        let args: [&[u8]; 10] = [
            &now,
            caller.user_id.as_str().as_bytes(),
            caller.token.as_bytes(),
            &limit,
            versions.as_deref().unwrap_or_default(),
            update.data.as_ref().map_or(&[], |new| new.data.text().as_bytes()),
            activity.as_deref().unwrap_or_default(),
            to,
            successor,
            if update.seen { b"1" } else { b"" },
        ];
        let tag = Tag::of(caller.user_id.shard());
        let request =
            Request::call(tag, &UPDATE, &[row, user, expiry], &args).kept(&self.shared.keys, update.rotation.is_some());
        let (reply, is_repeated) = self.call(&request, Some(caller.id)).await?;
        match reply.what() {
            "done" => Ok(Updated::Done { expires_at: reply.time(caller.id)? }),
            "gone" => Ok(Updated::Gone),
            "superseded" => Ok(Updated::Superseded(reply.row(caller.id)?)),
            "conflict" => {
                let row = reply.row(caller.id)?;
                let fate = update.data.as_ref().map(|new| new.fate(row.version));
                match fate {
                    // An earlier attempt may have stored the data, and others may have written over
                    // it since.
                    Some(Fate::Unknown) if is_repeated => Err(StoreError::unknown(Overwritten)),
                    _ => Ok(Updated::Conflict(row)),
                }
            }
            _ => Err(reply::not_understood()),
        }
    }

    async fn end_one(
        &self,
        user: &UserId,
        id: SessionId,
        by: Option<&Caller>,
        now: OffsetDateTime,
    ) -> Result<Checked<bool>, StoreError> {
        let tag = Tag::of(user.shard());
        let Some(by) = self.checked_with(by, tag, now).await? else { return Ok(Checked::CallerGone) };
        let mut of_all = self.keys_of(user, id).to_vec();
        let (by, now) = (by.map(|caller| By::of(self, caller, now)), time_bytes(now));
        let mut args: Vec<&[u8]> = vec![&now, id.as_bytes(), user.as_str().as_bytes(), &[]];
        by.iter().for_each(|by| by.add(&mut of_all, &mut args));
        let of_all: Vec<_> = of_all.iter().map(Vec::as_slice).collect();
        let (reply, is_repeated) =
            self.call(&Request::call(tag, &END, &of_all, &args).kept(&self.shared.keys, true), Some(id)).await?;
        match reply.what() {
            // If an answer was lost, the first attempt may have ended it. Either way it is over.
            "ended" => Ok(Checked::Live(reply.number()? > 0 || is_repeated)),
            "gone" => Ok(Checked::CallerGone),
            _ => Err(reply::not_understood()),
        }
    }

    async fn end_many(
        &self,
        user: &UserId,
        except: Option<SessionId>,
        by: Option<&Caller>,
        now: OffsetDateTime,
    ) -> Result<Checked<Vec<SessionId>>, StoreError> {
        let tag = Tag::of(user.shard());
        let Some(by) = self.checked_with(by, tag, now).await? else { return Ok(Checked::CallerGone) };
        let mut of_all = vec![self.shared.keys.user(user), self.shared.keys.expiry(tag)];
        let (rows, except) = (self.shared.keys.rows(tag), except.map_or_else(Vec::new, |id| id.as_bytes().to_vec()));
        let (by, now) = (by.map(|caller| By::of(self, caller, now)), time_bytes(now));
        let mut args: Vec<&[u8]> = vec![&now, &except, user.as_str().as_bytes(), &rows];
        by.iter().for_each(|by| by.add(&mut of_all, &mut args));
        let of_all: Vec<_> = of_all.iter().map(Vec::as_slice).collect();
        let (reply, _) =
            self.call(&Request::call(tag, &END_ALL, &of_all, &args).kept(&self.shared.keys, true), None).await?;
        match reply.what() {
            "ended" => Ok(Checked::Live(reply.ids()?)),
            "gone" => Ok(Checked::CallerGone),
            _ => Err(reply::not_understood()),
        }
    }

    async fn list_live(
        &self,
        user: &UserId,
        by: Option<&Caller>,
        now: OffsetDateTime,
    ) -> Result<Checked<Vec<Arc<Record>>>, StoreError> {
        let tag = Tag::of(user.shard());
        let Some(by) = self.checked_with(by, tag, now).await? else { return Ok(Checked::CallerGone) };
        let mut of_all = vec![self.shared.keys.user(user)];
        let rows = self.shared.keys.rows(tag);
        let (by, now) = (by.map(|caller| By::of(self, caller, now)), time_bytes(now));
        let mut args: Vec<&[u8]> = vec![&now, &rows];
        by.iter().for_each(|by| by.add(&mut of_all, &mut args));
        let of_all: Vec<_> = of_all.iter().map(Vec::as_slice).collect();
        let (reply, _) = self.call(&Request::call(tag, &LIST, &of_all, &args), None).await?;
        match reply.what() {
            "listed" => {
                let mut rows = reply.rows()?;
                rows.sort_by_key(|row| std::cmp::Reverse((row.last_active_at, row.authenticated_at, row.id)));
                Ok(Checked::Live(rows))
            }
            "gone" => Ok(Checked::CallerGone),
            _ => Err(reply::not_understood()),
        }
    }

    async fn time(&self) -> Result<Option<OffsetDateTime>, StoreError> {
        let mut time = Cmd::new();
        time.arg("TIME");
        reply::server_time(self.ask(&Request::read(Tag::number(0), time)).await?.value).map(Some)
    }

    /// The caller that an operation on keys with this tag is to check in its own step. One that
    /// lies elsewhere is checked before, and none is left to check; if it isn't live, there is
    /// nothing.
    async fn checked_with<'a>(
        &self,
        by: Option<&'a Caller>,
        tag: Tag,
        now: OffsetDateTime,
    ) -> Result<Option<Option<&'a Caller>>, StoreError> {
        let Some(caller) = by.filter(|caller| !self.is_one_step([&caller.user_id], tag)) else { return Ok(Some(by)) };
        let session = TokenRef { shard: caller.user_id.shard(), id: caller.id };
        let row = self.find_one(session).await?.filter(|row| row.is_live(now) && row.user_id == caller.user_id);
        Ok(row.is_some_and(|row| row.accepts(&caller.token, now, caller.grace)).then_some(None))
    }

    /// The row's key, that of its user's index, and that of the expiry index.
    fn keys_of(&self, user: &UserId, id: SessionId) -> [Vec<u8>; 3] {
        let keys = &self.shared.keys;
        [keys.row_of(user, id), keys.user(user), keys.expiry(Tag::of(user.shard()))]
    }
}

/// A caller as scripts check it: the key of its row, user, token, and now without the grace.
struct By<'a> {
    row: Vec<u8>,
    caller: &'a Caller,
    limit: [u8; 8],
}

impl<'a> By<'a> {
    fn of(store: &RedisStore, caller: &'a Caller, now: OffsetDateTime) -> Self {
        let row = store.shared.keys.row_of(&caller.user_id, caller.id);
        Self { row, caller, limit: time_bytes(earlier(now, caller.grace)) }
    }

    fn add<'b>(&'b self, keys: &mut Vec<Vec<u8>>, args: &mut Vec<&'b [u8]>) {
        keys.push(self.row.clone());
        args.extend([self.caller.user_id.as_str().as_bytes(), self.caller.token.as_bytes(), &self.limit]);
    }
}

/// The error of a command that met a value which isn't a session's row.
fn unreadable(error: StoreError, id: Option<SessionId>) -> StoreError {
    let (StoreError::NotApplied(source) | StoreError::Unknown(source)) = &error else { return error };
    let failure = source.downcast_ref::<RedisFailure>();
    match failure.is_some_and(|failure| error::is_unreadable(failure.error())) {
        true => StoreError::Corrupt { id, what: "value" },
        false => error,
    }
}

impl SessionStore for RedisStore {
    fn create<'a>(
        &'a self,
        new: &'a Arc<Record>,
        replaces: &'a [Replaced],
        limit: NonZeroU32,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Created> {
        Box::pin(self.insert(new, replaces, limit, now))
    }

    fn load<'a>(&'a self, sessions: &'a [TokenRef], now: OffsetDateTime) -> StoreFuture<'a, Loaded> {
        Box::pin(self.find(sessions, now))
    }

    fn update<'a>(&'a self, caller: &'a Caller, update: &'a Update, now: OffsetDateTime) -> StoreFuture<'a, Updated> {
        Box::pin(self.change(caller, update, now))
    }

    fn end<'a>(
        &'a self,
        user: &'a UserId,
        id: SessionId,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<bool>> {
        Box::pin(self.end_one(user, id, by, now))
    }

    fn end_all<'a>(
        &'a self,
        user: &'a UserId,
        except: Option<SessionId>,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<Vec<SessionId>>> {
        Box::pin(self.end_many(user, except, by, now))
    }

    fn list<'a>(
        &'a self,
        user: &'a UserId,
        by: Option<&'a Caller>,
        now: OffsetDateTime,
    ) -> StoreFuture<'a, Checked<Vec<Arc<Record>>>> {
        Box::pin(self.list_live(user, by, now))
    }

    fn purge_expired<'a>(&'a self, before: OffsetDateTime, limit: NonZeroU32) -> StoreFuture<'a, u64> {
        Box::pin(self.purge(before, limit))
    }

    fn max_data_bytes(&self) -> Option<usize> {
        Some(MAX_DATA_BYTES)
    }

    fn server_time(&self) -> StoreFuture<'_, Option<OffsetDateTime>> {
        Box::pin(self.time())
    }
}

/// Shows which server it is, and nothing of its content.
impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("server", &self.shared.connections.info().addr().to_string())
            .field("prefix", &self.shared.keys.prefix())
            .finish_non_exhaustive()
    }
}
