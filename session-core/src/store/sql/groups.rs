//! What can be asked of an SQL store for many sessions in one statement: looking a token up, and storing changes. Leaves when
//! that happens to `gather`, and the texts to `statements`.

use std::collections::HashMap;
use std::sync::Arc;

use time::OffsetDateTime;

use super::gather::{Answers, Gather, Question};
use super::home::Home;
use super::row::{self, Arg, micros};
use super::statements::{Statement, Statements};
use super::{Backend, Step, caller_args};
use crate::error::StoreError;
use crate::session::SessionId;
use crate::store::{Caller, Update};
use crate::token::TokenHash;

/// What is gathered for one store that opened its own connections, in the runtime in which it was opened.
pub(in crate::store) struct Groups<R> {
    home: Home,
    looks: Arc<Gather<Look, Option<Arc<R>>>>,
    /// Apart, because their statements are.
    data: Arc<Gather<Change, Option<OffsetDateTime>>>,
    activity: Arc<Gather<Change, Option<OffsetDateTime>>>,
}

/// How many statements of a kind are worth running beside each other, before others wait and go together.
pub(in crate::store) struct Beside {
    pub(in crate::store) reads: usize,
    pub(in crate::store) writes: usize,
}

impl<R: Send + Sync + 'static> Groups<R> {
    /// None outside of a runtime.
    pub(in crate::store) fn here(beside: &Beside) -> Option<Arc<Self>> {
        Some(Arc::new(Self {
            home: Home::here()?,
            looks: Arc::new(Gather::new(beside.reads)),
            data: Arc::new(Gather::new(beside.writes)),
            activity: Arc::new(Gather::new(beside.writes)),
        }))
    }

    #[cfg(any(feature = "mysql", feature = "postgres"))]
    pub(in crate::store) const fn home(&self) -> &Home {
        &self.home
    }
}

/// Which row has this token, and is live now?
#[derive(Clone)]
pub(super) struct Look {
    pub(super) token: TokenHash,
    pub(super) now: OffsetDateTime,
}

impl Look {
    pub(super) async fn ask<B: Backend>(self, backend: &B) -> Result<Option<Arc<B::Row>>, StoreError> {
        match backend.groups() {
            Some(groups) => groups.looks.ask(self, backend, &groups.home).await,
            None => self.alone(backend).await,
        }
    }
}

impl<B: Backend> Question<B> for Look {
    type Answer = Option<Arc<B::Row>>;
    const IS_READ: bool = true;

    /// Many may ask for the same row.
    fn session(&self) -> Option<SessionId> {
        None
    }

    async fn alone(&self, backend: &B) -> Result<Self::Answer, StoreError> {
        let args = vec![Arg::time(self.now), Arg::Bytes(Some(self.token.as_bytes()))];
        let rows = backend.read((&backend.sql().load_one, args)).await?;
        Ok(rows.into_iter().next().map(Arc::new))
    }

    async fn together(looks: &[&Self], backend: &B) -> Result<Answers<Self::Answer>, StoreError> {
        // Each request has read the clock for itself.
        let earliest = looks.iter().map(|look| look.now).min().unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let hashes = looks.iter().map(|look| &look.token);
        let rows = backend.read(load_many(backend.sql(), hashes, earliest)).await?;
        let rows: HashMap<_, _> =
            rows.into_iter().filter_map(|row| Some((row::token_hash(&row)?, Arc::new(row)))).collect();
        let answer = |look: &&Self| {
            let row = rows.get(&look.token)?;
            (look.now == earliest || row::may_be_live(&**row, look.now)).then(|| Arc::clone(row))
        };
        Ok(looks.iter().map(answer).map(Ok).collect())
    }
}

/// Looks up to as many tokens as go together.
pub(super) fn load_many<'a>(
    sql: &'static Statements,
    tokens: impl ExactSizeIterator<Item = &'a TokenHash>,
    now: OffsetDateTime,
) -> Step<'a> {
    let (statement, size) = sized(&sql.load_many, tokens.len());
    let mut args = vec![Arg::time(now)];
    args.extend(tokens.map(|token| Arg::Bytes(Some(token.as_bytes()))));
    // Null matches nothing.
    args.resize(1 + size, Arg::Bytes(None));
    (statement, args)
}

/// Change this row, unless it has changed: when it expires now, if it was changed.
#[derive(Clone)]
pub(super) struct Change {
    pub(super) caller: Caller,
    /// Data or activity or both, and no rotation.
    pub(super) update: Update,
    pub(super) now: OffsetDateTime,
}

impl Change {
    pub(super) async fn ask<B: Backend>(self, backend: &B) -> Result<Option<OffsetDateTime>, StoreError> {
        match backend.groups() {
            // Where rows aren't returned, nobody could tell which of a group were changed.
            Some(groups) if !backend.sql().apply_data_many.is_empty() => {
                let gather = if self.update.activity.is_some() { &groups.activity } else { &groups.data };
                gather.ask(self, backend, &groups.home).await
            }
            _ => self.alone(backend).await,
        }
    }

    /// ?1 to ?5 the caller, ?6 data, ?7 its version, ?8 to ?10 activity.
    pub(super) fn args<'a>(caller: &'a Caller, update: &'a Update, now: OffsetDateTime) -> Vec<Arg<'a>> {
        let mut args = caller_args(caller, now);
        args.extend([
            Arg::Text(update.data.as_ref().map(|new| new.data.text())),
            Arg::Int(update.data.as_ref().map(|new| new.based_on)),
            Arg::Int(update.activity.map(|activity| micros(activity.at))),
            Arg::Int(update.activity.map(|activity| micros(activity.expires_at))),
            Arg::Int(update.activity.map(|activity| micros(activity.unless_after))),
        ]);
        args
    }
}

/// The arguments of no change at all.
const NO_CHANGE: [Arg<'_>; 10] = [
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
];

impl<B: Backend> Question<B> for Change {
    type Answer = Option<OffsetDateTime>;
    const IS_READ: bool = false;

    fn session(&self) -> Option<SessionId> {
        Some(self.caller.id)
    }

    async fn alone(&self, backend: &B) -> Result<Self::Answer, StoreError> {
        let sql = backend.sql();
        let statement = if self.update.activity.is_some() { &sql.apply_activity } else { &sql.apply_data };
        let written = backend.write((statement, Self::args(&self.caller, &self.update, self.now))).await?;
        (written.count > 0).then(|| row::expires_at(&written, self.caller.id)).transpose()
    }

    async fn together(changes: &[&Self], backend: &B) -> Result<Answers<Self::Answer>, StoreError> {
        let sql = backend.sql();
        let has_activity = changes.iter().any(|change| change.update.activity.is_some());
        let (statement, size) =
            sized(if has_activity { &sql.apply_activity_many } else { &sql.apply_data_many }, changes.len());
        let mut args = Vec::with_capacity(size * NO_CHANGE.len());
        for change in changes {
            args.extend(Self::args(&change.caller, &change.update, change.now));
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
        Ok(changes.iter().map(|change| changed.remove(&change.caller.id).transpose()).collect())
    }
}

/// The smallest of the statements that takes so many, and how many it takes.
fn sized(statements: &'static [(usize, Statement)], count: usize) -> (&'static Statement, usize) {
    let fits = statements.iter().find(|(size, _)| *size >= count);
    let (size, statement) = fits.expect("no group is larger than the largest statement");
    (statement, *size)
}
