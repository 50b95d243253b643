//! What can be asked of an SQL store for many sessions in one statement: looking one up, and storing changes. What holds much data is
//! asked for alone. Not here: when that happens, see `gather`; how much goes at once then, see `room`; and the texts, see `statements`.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;

use super::Backend;
use super::dialect::{MOST, MOST_BYTES, Statement};
use super::gather::{Answers, Gather, Question};
use super::home::Home;
use super::packed::{self, Line, PackedRow};
use super::room::{LARGE, Room};
use super::row::Written;
use super::row::{self, Arg, Columns};
use super::statements::COLUMN_COUNT;
use super::task::{Change, Task};
use crate::error::StoreError;
use crate::model::record::Record;
use crate::model::session_id::SessionId;

/// What is gathered for one store that opened its own connections, in the runtime in which it was opened.
pub(in crate::store) struct Groups<R> {
    home: Home,
    looks: Arc<Gather<Look, Option<Found<R>>>>,
    /// Apart, because their statements are.
    data: Arc<Gather<Change, Changed>>,
    activity: Arc<Gather<Change, Changed>>,
    room: Room,
    large: KnownLarge,
}

/// How many statements of a kind are worth running beside each other, before others wait and go together.
pub(in crate::store) struct Beside {
    pub(in crate::store) reads: usize,
    pub(in crate::store) writes: usize,
}

impl<R: Send + Sync + 'static> Groups<R> {
    /// In the runtime `home`, of statements that may take so long.
    pub(in crate::store) fn of(home: &Home, beside: &Beside, limit: Duration) -> Arc<Self> {
        Arc::new(Self {
            home: home.clone(),
            looks: Arc::new(Gather::new(beside.reads, limit)),
            data: Arc::new(Gather::new(beside.writes, limit)),
            activity: Arc::new(Gather::new(beside.writes, limit)),
            room: Room::new(),
            large: KnownLarge::default(),
        })
    }
}

/// Sessions that were too large for a group when they were looked up last: they are asked for alone at once, as a database may have to
/// read all of a row to tell how large it is.
#[derive(Default)]
struct KnownLarge {
    bytes: Mutex<HashMap<SessionId, usize>>,
    is_used: AtomicBool,
}

impl KnownLarge {
    /// How many are remembered.
    const MOST: usize = 4096;

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, usize>> {
        // Nothing panics between two consistent states.
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many bytes of data it had, if it was too large.
    fn bytes(&self, id: SessionId) -> Option<usize> {
        if self.is_used.load(Ordering::Relaxed) { self.lock().get(&id).copied() } else { None }
    }

    /// It has so many bytes of data.
    fn note(&self, id: SessionId, bytes: usize) {
        let mut known = self.lock();
        if bytes <= MOST_BYTES / MOST {
            known.remove(&id);
        } else if known.len() < Self::MOST || known.contains_key(&id) {
            known.insert(id, bytes);
        } else {
            known.clear();
        }
        self.is_used.store(!known.is_empty(), Ordering::Relaxed);
    }
}

/// Is the row of this id live now?
#[derive(Clone, Copy)]
pub(super) struct Look {
    pub(super) id: SessionId,
    pub(super) now: OffsetDateTime,
}

impl Look {
    pub(super) async fn ask<B: Backend>(self, backend: &B) -> Result<Option<Arc<Record>>, StoreError> {
        let found = match backend.groups() {
            Some(groups) => match groups.large.bytes(self.id) {
                None => groups.looks.ask(self, backend, &groups.home).await?,
                Some(bytes) => Some(Found::Large(bytes)),
            },
            None => Box::pin(self.alone(backend)).await?,
        };
        self.read(found, backend).await
    }

    /// Reads the row that was found; if that can't be read, asks for it alone: it may be readable then, or over by this clock.
    pub(super) async fn read<B: Backend>(
        self,
        found: Option<Found<B::Row>>,
        backend: &B,
    ) -> Result<Option<Arc<Record>>, StoreError> {
        let Some(found) = found else { return Ok(None) };
        let record = match found.record() {
            Ok(record) => Some(record),
            Err(_) if let Found::Large(bytes) = found => {
                let found = Box::pin(in_room(backend, bytes, self.alone(backend))).await?;
                let record = found.map(|found| found.record()).transpose()?;
                if let Some(groups) = backend.groups() {
                    groups.large.note(self.id, record.as_ref().map_or(0, |record| record.data.text().len()));
                }
                record
            }
            Err(_) => {
                let found = Box::pin(self.alone(backend)).await?;
                found.map(|found| found.record()).transpose()?
            }
        };
        // Others in its group may have read the clock earlier.
        Ok(record.filter(|record| record.is_live(self.now)))
    }
}

impl<B: Backend> Question<B> for Look {
    type Answer = Option<Found<B::Row>>;

    /// Many may ask for the same row.
    fn session(&self) -> Option<SessionId> {
        None
    }

    async fn alone(&self, backend: &B) -> Result<Self::Answer, StoreError> {
        let args = vec![Arg::time(self.now), Arg::Bytes(Some(self.id.as_bytes()))];
        let row = backend.read_one((&backend.sql().load_one, args)).await?;
        Ok(row.map(|row| Found::Row(Arc::new(row))))
    }

    async fn together(looks: &[&Self], backend: &B) -> Result<Answers<Self::Answer>, StoreError> {
        // Each request has read the clock for itself.
        let earliest = looks.iter().map(|look| look.now).min().unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let found = look_up(backend, looks.iter().map(|look| look.id), earliest).await?;
        Ok(looks.iter().map(|look| Ok(found.get(&look.id).cloned())).collect())
    }
}

/// What moves so many bytes of data, once there is room for them.
pub(super) async fn in_room<T>(
    backend: &impl Backend,
    bytes: usize,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let Some(groups) = backend.groups().filter(|_| bytes > LARGE) else { return work.await };
    let taken = groups.room.take(bytes).await?;
    let done = work.await?;
    taken.done();
    Ok(done)
}

/// The live rows of these ids, up to as many as go together.
pub(in crate::store) async fn look_up<B: Backend>(
    backend: &B,
    ids: impl ExactSizeIterator<Item = SessionId> + Send,
    now: OffsetDateTime,
) -> Result<HashMap<SessionId, Found<B::Row>>, StoreError> {
    const ID_BYTES: usize = 16;
    let sql = backend.sql();
    let (statement, size) = sized(&sql.load_many, ids.len());
    let now = Arg::time(now);
    // One after the other. No session has an id of zeros.
    let mut bytes = Vec::with_capacity(ID_BYTES * size);
    ids.for_each(|id| bytes.extend(id.as_bytes()));
    if sql.packs_rows {
        bytes.resize(ID_BYTES * size, 0);
        let row = backend.read_one((statement, vec![now, Arg::Bytes(Some(&bytes))])).await?;
        let row = row.ok_or_else(packed::unreadable)?;
        let Some(lines) = row.bytes(0).map_err(|_| packed::unreadable())? else { return Ok(HashMap::new()) };
        let named = |(id, line)| match line {
            Line::Row(row) => (id, Found::Packed(row)),
            Line::Large(bytes) => (id, Found::Large(bytes)),
        };
        return Ok(packed::rows(lines)?.into_iter().map(named).collect());
    }
    let mut args = vec![now];
    args.extend(bytes.chunks_exact(ID_BYTES).map(|id| Arg::Bytes(Some(id))));
    // Null matches nothing.
    args.resize(1 + size, Arg::Bytes(None));
    let rows = backend.read((statement, args)).await?;
    // A row that was found and can't be read isn't absent: that would sign somebody out.
    let named = |row: B::Row| {
        let id = row::id(&row).map_err(|_| packed::unreadable())?;
        let bytes = row.maybe_int(COLUMN_COUNT).map_err(|_| packed::unreadable())?;
        let large = bytes.map(|bytes| Found::Large(usize::try_from(bytes).unwrap_or(usize::MAX)));
        Ok((id, large.unwrap_or_else(|| Found::Row(Arc::new(row)))))
    };
    rows.into_iter().map(named).collect()
}

/// A session that was looked up.
pub(in crate::store) enum Found<R> {
    /// Never shared where rows are packed: reading one of SQLite's changes it.
    Row(Arc<R>),
    Packed(PackedRow),
    /// Not read yet, as it has more bytes of data than go together.
    Large(usize),
}

impl<R: Columns> Found<R> {
    pub(super) fn record(&self) -> Result<Arc<Record>, StoreError> {
        match self {
            Self::Row(row) => row::record(&**row),
            Self::Packed(row) => row.record(),
            Self::Large(_) => Err(packed::unreadable()),
        }
    }
}

impl<R> Clone for Found<R> {
    fn clone(&self) -> Self {
        match self {
            Self::Row(row) => Self::Row(Arc::clone(row)),
            Self::Packed(row) => Self::Packed(row.clone()),
            Self::Large(bytes) => Self::Large(*bytes),
        }
    }
}

impl Change {
    pub(super) async fn ask<B: Backend>(self, backend: &B) -> Result<Changed, StoreError> {
        match backend.groups() {
            // Where rows aren't returned, nobody could tell which of a group were changed.
            Some(groups) if !backend.sql().apply_data_many.is_empty() && self.size() <= LARGE => {
                let gather = if self.has_activity() { &groups.activity } else { &groups.data };
                gather.ask(self, backend, &groups.home).await
            }
            _ => Box::pin(self.ask_alone(backend)).await,
        }
    }

    /// Not in a group, which leaves out a row that another request holds.
    pub(super) async fn ask_alone<B: Backend>(self, backend: &B) -> Result<Changed, StoreError> {
        in_room(backend, self.size(), self.alone(backend)).await
    }

    /// Bytes of data.
    fn size(&self) -> usize {
        self.update.data.as_ref().map_or(0, |new| new.data.text().len())
    }

    /// Whether it is more than data.
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

impl<B: Backend> Question<B> for Change {
    type Answer = Changed;

    fn session(&self) -> Option<SessionId> {
        Some(self.caller.id)
    }

    fn bytes(&self) -> usize {
        self.size()
    }

    async fn alone(&self, backend: &B) -> Result<Self::Answer, StoreError> {
        let sql = backend.sql();
        let statement = if self.has_activity() { &sql.apply_activity } else { &sql.apply_data };
        let task = Task::Change { change: self.clone(), statement, rotation: None };
        let written = backend.change(task).await?;
        Changed::of(&written, self.caller.id)
    }

    fn repeated(answer: Result<Changed, StoreError>) -> Result<Changed, StoreError> {
        match answer {
            Ok(changed) => Ok(Changed { is_repeated: true, ..changed }),
            Err(StoreError::NotApplied(source)) => Err(StoreError::Unknown(source)),
            Err(error) => Err(error),
        }
    }

    async fn together(changes: &[&Self], backend: &B) -> Result<Answers<Self::Answer>, StoreError> {
        let sql = backend.sql();
        let has_activity = changes.iter().any(|change| change.has_activity());
        let (statement, size) =
            sized(if has_activity { &sql.apply_activity_many } else { &sql.apply_data_many }, changes.len());
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
        let answer = |expires_at| Changed { expires_at, is_repeated };
        Ok(changes.iter().map(|change| changed.remove(&change.caller.id).transpose().map(answer)).collect())
    }
}

/// What came of a change.
#[derive(Clone, Copy)]
pub(in crate::store) struct Changed {
    /// When the row expires now, if it was changed.
    pub(super) expires_at: Option<OffsetDateTime>,
    /// Whether it was asked before, and may have been made then.
    pub(super) is_repeated: bool,
}

impl Changed {
    pub(super) fn of<R: Columns>(written: &Written<R>, id: SessionId) -> Result<Self, StoreError> {
        let expires_at = (written.count > 0).then(|| row::expires_at(written, id)).transpose()?;
        Ok(Self { expires_at, is_repeated: written.is_repeated })
    }
}

/// The smallest of the statements that takes so many, and how many it takes.
fn sized(statements: &'static [(usize, Statement)], count: usize) -> (&'static Statement, usize) {
    let fits = statements.iter().find(|(size, _)| *size >= count);
    let (size, statement) = fits.expect("no group is larger than the largest statement");
    (statement, *size)
}
