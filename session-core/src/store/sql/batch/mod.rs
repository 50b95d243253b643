//! What an SQL store can do for many sessions in one statement: look sessions up, and store
//! changes. A session with much data gets a statement of its own. Not here: when requests are
//! batched, see `batcher`; how much large data moves at once, see `byte_budget`; and the SQL, see
//! `statements`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;

use crate::error::StoreError;
use crate::model::record::Record;
use crate::model::session_id::SessionId;
use crate::store::sql::Backend;
use crate::store::sql::change::{Change, RowUpdate};
use crate::store::sql::connection::runtime::OwnerRuntime;
use crate::store::sql::dialect::{MAX_BATCH, MAX_BATCH_BYTES, Statement};
use crate::store::sql::row::{self, Arg, Columns, WriteResult};
use crate::store::sql::statements::COLUMN_COUNT;
use batcher::{BatchRequest, Batcher, Outputs};
use byte_budget::{ByteBudget, MAX_BATCHED_BYTES};
use json_rows::{JsonRow, Line};

pub(in crate::store::sql) mod batcher;
mod byte_budget;
pub(in crate::store::sql) mod json_rows;

/// The batchers of one store that opened its own connections.
pub(in crate::store) struct Batchers<R> {
    owner: OwnerRuntime,
    lookups: Arc<Batcher<Lookup, Option<Found<R>>>>,
    /// Data alone, and activity with or without data: separate, because their statements differ.
    data: Arc<Batcher<RowUpdate, UpdateOutcome>>,
    activity: Arc<Batcher<RowUpdate, UpdateOutcome>>,
    budget: ByteBudget,
    large: LargeSessions,
}

/// How many statements of a kind may run at once for one request each, before others are batched.
pub(in crate::store) struct SoloLimits {
    pub(in crate::store) reads: usize,
    pub(in crate::store) writes: usize,
}

impl<R: Send + Sync + 'static> Batchers<R> {
    /// Their tasks run in the runtime `owner`; a statement takes at most `limit`.
    pub(in crate::store) fn of(owner: &OwnerRuntime, limits: &SoloLimits, limit: Duration) -> Arc<Self> {
        Arc::new(Self {
            owner: owner.clone(),
            lookups: Arc::new(Batcher::new(limits.reads, limit)),
            data: Arc::new(Batcher::new(limits.writes, limit)),
            activity: Arc::new(Batcher::new(limits.writes, limit)),
            budget: ByteBudget::new(),
            large: LargeSessions::default(),
        })
    }
}

/// Sessions that were too large for a batch at their last look-up. They get a statement of their
/// own from the start, because a database may have to read a whole row to know its size.
#[derive(Default)]
struct LargeSessions {
    bytes: Mutex<HashMap<SessionId, usize>>,
    is_used: AtomicBool,
}

impl LargeSessions {
    /// How many are remembered. If there are more, all are forgotten.
    const MAX: usize = 4096;

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, usize>> {
        // Nothing panics between two consistent states.
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many bytes of data the session had, if it was too large.
    fn bytes(&self, id: SessionId) -> Option<usize> {
        if self.is_used.load(Ordering::Relaxed) { self.lock().get(&id).copied() } else { None }
    }

    /// Notes that the session has this many bytes of data.
    fn note(&self, id: SessionId, bytes: usize) {
        let mut known = self.lock();
        if bytes <= MAX_BATCH_BYTES / MAX_BATCH {
            known.remove(&id);
        } else if known.len() < Self::MAX || known.contains_key(&id) {
            known.insert(id, bytes);
        } else {
            known.clear();
        }
        self.is_used.store(!known.is_empty(), Ordering::Relaxed);
    }
}

/// Looks a session up: its row, if that is live at `now`.
#[derive(Clone, Copy)]
pub(in crate::store::sql) struct Lookup {
    pub(in crate::store::sql) id: SessionId,
    pub(in crate::store::sql) now: OffsetDateTime,
}

impl Lookup {
    pub(in crate::store::sql) async fn submit<B: Backend>(
        self,
        backend: &B,
    ) -> Result<Option<Arc<Record>>, StoreError> {
        let found = match backend.batchers() {
            Some(batchers) => match batchers.large.bytes(self.id) {
                None => batchers.lookups.submit(self, backend, &batchers.owner).await?,
                Some(bytes) => Some(Found::Large(bytes)),
            },
            None => Box::pin(self.run_one(backend)).await?,
        };
        self.read(found, backend).await
    }

    /// Reads the row that was found. If the batch left its data out or it can't be read, runs the
    /// look-up again as a statement of its own: the row may be readable then, or have expired at
    /// `now`.
    pub(in crate::store::sql) async fn read<B: Backend>(
        self,
        found: Option<Found<B::Row>>,
        backend: &B,
    ) -> Result<Option<Arc<Record>>, StoreError> {
        let Some(found) = found else { return Ok(None) };
        let record = match found.record() {
            Ok(record) => Some(record),
            Err(_) if let Found::Large(bytes) = found => {
                let found = Box::pin(within_budget(backend, bytes, self.run_one(backend))).await?;
                let record = found.map(|found| found.record()).transpose()?;
                if let Some(batchers) = backend.batchers() {
                    batchers.large.note(self.id, record.as_ref().map_or(0, |record| record.data.text().len()));
                }
                record
            }
            Err(_) => {
                let found = Box::pin(self.run_one(backend)).await?;
                found.map(|found| found.record()).transpose()?
            }
        };
        // The batch ran with the earliest time of all its requests.
        Ok(record.filter(|record| record.is_live(self.now)))
    }
}

impl<B: Backend> BatchRequest<B> for Lookup {
    type Output = Option<Found<B::Row>>;

    /// Any number of look-ups in a batch may name the same row.
    fn session(&self) -> Option<SessionId> {
        None
    }

    async fn run_one(&self, backend: &B) -> Result<Self::Output, StoreError> {
        let args = vec![Arg::time(self.now), Arg::Bytes(Some(self.id.as_bytes()))];
        let row = backend.read_one((&backend.sql().load_one, args)).await?;
        Ok(row.map(|row| Found::Row(Arc::new(row))))
    }

    async fn run_many(lookups: &[&Self], backend: &B) -> Result<Outputs<Self::Output>, StoreError> {
        // Each request has read the clock separately, and a row that is live for any must be found.
        let earliest = lookups.iter().map(|lookup| lookup.now).min().unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let found = look_up(backend, lookups.iter().map(|lookup| lookup.id), earliest).await?;
        Ok(lookups.iter().map(|lookup| Ok(found.get(&lookup.id).cloned())).collect())
    }
}

/// Runs `work`, which moves this many bytes of data, once the store's budget allows it. A store on
/// a pool of the application's has none.
pub(in crate::store::sql) async fn within_budget<T>(
    backend: &impl Backend,
    bytes: usize,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let Some(batchers) = backend.batchers().filter(|_| bytes > MAX_BATCHED_BYTES) else { return work.await };
    let reservation = batchers.budget.reserve(bytes).await?;
    let done = work.await?;
    reservation.complete();
    Ok(done)
}

/// The live rows of these ids, at most [`MAX_BATCH`]. Where rows are read as JSON, also rows that
/// have expired, if they are too large for a batch.
pub(in crate::store) async fn look_up<B: Backend>(
    backend: &B,
    ids: impl ExactSizeIterator<Item = SessionId> + Send,
    now: OffsetDateTime,
) -> Result<HashMap<SessionId, Found<B::Row>>, StoreError> {
    const ID_BYTES: usize = 16;
    let sql = backend.sql();
    let (statement, size) = sized(&sql.load_many, ids.len());
    let now = Arg::time(now);
    // All ids in one value, which is filled up with zeros: no session's id is that.
    let mut bytes = Vec::with_capacity(ID_BYTES * size);
    ids.for_each(|id| bytes.extend(id.as_bytes()));
    if sql.rows_as_json {
        bytes.resize(ID_BYTES * size, 0);
        let row = backend.read_one((statement, vec![now, Arg::Bytes(Some(&bytes))])).await?;
        let row = row.ok_or_else(json_rows::unreadable)?;
        let Some(lines) = row.bytes(0).map_err(|_| json_rows::unreadable())? else { return Ok(HashMap::new()) };
        let named = |(id, line)| match line {
            Line::Row(row) => (id, Found::Json(row)),
            Line::Large(bytes) => (id, Found::Large(bytes)),
        };
        return Ok(json_rows::rows(lines)?.into_iter().map(named).collect());
    }
    let mut args = vec![now];
    args.extend(bytes.chunks_exact(ID_BYTES).map(|id| Arg::Bytes(Some(id))));
    // Null matches nothing.
    args.resize(1 + size, Arg::Bytes(None));
    let rows = backend.read((statement, args)).await?;
    // A row that can't be read must not count as absent, or the user would be signed out.
    let named = |row: B::Row| {
        let id = row::id(&row).map_err(|_| json_rows::unreadable())?;
        let bytes = row.maybe_int(COLUMN_COUNT).map_err(|_| json_rows::unreadable())?;
        let large = bytes.map(|bytes| Found::Large(usize::try_from(bytes).unwrap_or(usize::MAX)));
        Ok((id, large.unwrap_or_else(|| Found::Row(Arc::new(row)))))
    };
    rows.into_iter().map(named).collect()
}

/// A session that was found.
pub(in crate::store) enum Found<R> {
    /// Requests never share one of SQLite's, where reading changes it: its batches are JSON.
    Row(Arc<R>),
    Json(JsonRow),
    /// Its data, which has this many bytes, was too large for the batch and isn't read yet.
    Large(usize),
}

impl<R: Columns> Found<R> {
    pub(in crate::store::sql) fn record(&self) -> Result<Arc<Record>, StoreError> {
        match self {
            Self::Row(row) => row::record(&**row),
            Self::Json(row) => row.record(),
            Self::Large(_) => Err(json_rows::unreadable()),
        }
    }
}

impl<R> Clone for Found<R> {
    fn clone(&self) -> Self {
        match self {
            Self::Row(row) => Self::Row(Arc::clone(row)),
            Self::Json(row) => Self::Json(row.clone()),
            Self::Large(bytes) => Self::Large(*bytes),
        }
    }
}

impl RowUpdate {
    pub(in crate::store::sql) async fn submit<B: Backend>(self, backend: &B) -> Result<UpdateOutcome, StoreError> {
        match backend.batchers() {
            // Where rows aren't returned, a batch can't say which rows it changed.
            Some(batchers) if !backend.sql().update_data_many.is_empty() && self.size() <= MAX_BATCHED_BYTES => {
                let batcher = if self.has_activity() { &batchers.activity } else { &batchers.data };
                batcher.submit(self, backend, &batchers.owner).await
            }
            _ => Box::pin(self.run_unbatched(backend)).await,
        }
    }

    /// Runs as a statement of its own. A batch skips a row that another request has locked.
    pub(in crate::store::sql) async fn run_unbatched<B: Backend>(
        self,
        backend: &B,
    ) -> Result<UpdateOutcome, StoreError> {
        within_budget(backend, self.size(), self.run_one(backend)).await
    }

    /// How many bytes of data it stores.
    fn size(&self) -> usize {
        self.update.data.as_ref().map_or(0, |new| new.data.text().len())
    }

    /// Whether it changes more than data.
    const fn has_activity(&self) -> bool {
        self.update.activity.is_some() || self.update.seen
    }
}

/// The arguments of no change at all.
const NO_CHANGE: [Arg<'_>; 12] = [
    Arg::Bytes(None),
    Arg::Text(None),
    Arg::Bytes(None),
    Arg::Int(None),
    Arg::Int(None),
    Arg::Text(None),
    Arg::Int(None),
    Arg::Int(None),
    Arg::Int(None),
    Arg::Int(None),
    Arg::Int(None),
    Arg::Flag(false),
];

impl<B: Backend> BatchRequest<B> for RowUpdate {
    type Output = UpdateOutcome;

    fn session(&self) -> Option<SessionId> {
        Some(self.caller.id)
    }

    fn bytes(&self) -> usize {
        self.size()
    }

    async fn run_one(&self, backend: &B) -> Result<Self::Output, StoreError> {
        let sql = backend.sql();
        let statement = if self.has_activity() { &sql.update_activity } else { &sql.update_data };
        let change = Change::Update { update: self.clone(), statement, rotation: None };
        let written = backend.change(change).await?;
        UpdateOutcome::of(&written, self.caller.id)
    }

    fn repeated(answer: Result<UpdateOutcome, StoreError>) -> Result<UpdateOutcome, StoreError> {
        match answer {
            Ok(changed) => Ok(UpdateOutcome { is_repeated: true, ..changed }),
            Err(StoreError::NotApplied(source)) => Err(StoreError::Unknown(source)),
            Err(error) => Err(error),
        }
    }

    async fn run_many(changes: &[&Self], backend: &B) -> Result<Outputs<Self::Output>, StoreError> {
        let sql = backend.sql();
        let has_activity = changes.iter().any(|change| change.has_activity());
        let (statement, size) =
            sized(if has_activity { &sql.update_activity_many } else { &sql.update_data_many }, changes.len());
        let mut args = Vec::with_capacity(size * NO_CHANGE.len());
        for change in changes {
            args.extend(change.args(None));
        }
        for _ in changes.len()..size {
            args.extend(NO_CHANGE);
        }
        let written = backend.write((statement, args)).await?;
        let mut changed = HashMap::new();
        for row in &written.rows {
            let id = row::id(row)?;
            changed.insert(id, row::expires_at_of(row, id));
        }
        let is_repeated = written.is_repeated;
        let answer = |expires_at| UpdateOutcome { expires_at, is_repeated };
        Ok(changes.iter().map(|change| changed.remove(&change.caller.id).transpose().map(answer)).collect())
    }
}

/// What a change did.
#[derive(Clone, Copy)]
pub(in crate::store) struct UpdateOutcome {
    /// When the row expires now, if it was changed.
    pub(in crate::store::sql) expires_at: Option<OffsetDateTime>,
    /// Whether it was sent before, and may have been made then.
    pub(in crate::store::sql) is_repeated: bool,
}

impl UpdateOutcome {
    pub(in crate::store::sql) fn of<R: Columns>(written: &WriteResult<R>, id: SessionId) -> Result<Self, StoreError> {
        let expires_at = (written.count > 0).then(|| row::expires_at(written, id)).transpose()?;
        Ok(Self { expires_at, is_repeated: written.is_repeated })
    }
}

/// The smallest statement with room for this many requests, and how many it has room for.
fn sized(statements: &'static [(usize, Statement)], count: usize) -> (&'static Statement, usize) {
    let fits = statements.iter().find(|(size, _)| *size >= count);
    let (size, statement) = fits.expect("no batch is larger than the largest statement");
    (statement, *size)
}

#[cfg(test)]
mod tests;
