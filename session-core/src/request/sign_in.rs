//! Signing in: one atomic step of the store. If its outcome is unknown it is asked again under the
//! same session id, and settled before the request asks the store for anything else.

use std::num::NonZeroU32;
use std::sync::Arc;

use arrayvec::ArrayVec;
use time::OffsetDateTime;

use super::operation::Now;
use super::storing::MAX_TRIES;
use super::{Named, Request};
use crate::error::{Error, Result, StoreError};
use crate::model::data::Data;
use crate::model::record::Record;
use crate::model::session_id::SessionId;
use crate::model::sign_in::Keep;
use crate::model::token::{SessionToken, TokenRef};
use crate::model::user_id::UserId;
use crate::observe::event::Event;
use crate::request::state::{Active, Transition, VisitorRow};
use crate::store::{Created, MAX_LOADED, Replaced};
use crate::values::json::{Values, sign_in_data};
use crate::values::view::Refusal;

/// A sign-in as its caller asked for it.
pub(crate) struct Wanted {
    pub(crate) user: UserId,
    /// The first values.
    pub(crate) data: Data,
    /// The same, if something is to be taken along with them.
    pub(crate) values: Values,
    pub(crate) keep: Keep,
    pub(crate) persistent: bool,
}

/// A row, and the version of its data.
type RowVersion = (SessionId, i64);

/// A sign-in that is done, and whose caller doesn't know yet.
pub(crate) struct Unfetched {
    record: Arc<Record>,
    /// The visitor whom it has ended.
    visitor: Option<Box<(Active, VisitorRow)>>,
}

impl Request {
    /// Signs in, and ends every session that the request's cookies name.
    pub(crate) async fn sign_in(self: Arc<Self>, wanted: Wanted) -> Result<()> {
        let service = &self.service;
        if !matches!(wanted.keep, Keep::Nothing) {
            // What is taken along must be known.
            self.settle_write().await?;
        }
        let (replaces, client) = {
            let mut progress = self.lock();
            progress.check_head()?;
            if let Some(id) = progress.state.visitor().map(|visitor| visitor.record.id) {
                progress.extras().leaving = Some(id);
            }
            (progress.named(), progress.client.info(&self.service.device_rules))
        };
        let now = service.now();
        let id = SessionId::new(now);
        let token = SessionToken::generate(&wanted.user, id)?;
        let (expires_at, absolute_expires_at) = service.config.expiry.of_sign_in(now);
        let record = Record {
            id,
            user_id: wanted.user.clone(),
            token_hash: token.hash(),
            previous_token_hash: None,
            token_issued_at: now,
            token_seen: false,
            successor: None,
            strict_rotated_at: None,
            client: Arc::new(client),
            data: wanted.data.clone(),
            version: 0,
            persistent: wanted.persistent,
            created_at: now,
            authenticated_at: now,
            last_active_at: now,
            expires_at,
            absolute_expires_at,
        };
        let (record, created, is_repeated) = self.create(record, replaces, &wanted).await?;
        match created {
            Ok(Created::Inserted { evicted }) if evicted.is_empty() => {}
            Ok(Created::Inserted { evicted }) => service.emit(&Event::Evicted { ids: evicted }),
            // The first try was stored after all, or the store itself had asked again.
            Ok(Created::Taken) if is_repeated || self.is_stored(&record, now).await? => {}
            Ok(Created::Taken) => {
                self.lock().open_sign_in = None;
                return Err(service.failed(StoreError::not_applied("another session has this id")));
            }
            // After an answer that was lost: that try may still be on its way.
            Ok(Created::Changed(_)) if is_repeated => {
                return Err(service.failed(StoreError::unknown("the visitor's values changed meanwhile")));
            }
            Ok(Created::Changed(_)) => {
                self.lock().open_sign_in = None;
                return Err(service.failed(unnamed()));
            }
            // That the second try certainly changed nothing says nothing about the first.
            Err(StoreError::NotApplied(source)) if is_repeated => {
                return Err(service.failed(StoreError::Unknown(source)));
            }
            Err(error) => {
                if matches!(error, StoreError::NotApplied(_)) {
                    self.lock().open_sign_in = None;
                }
                return Err(service.failed(error));
            }
        }
        if self.signed_in(&record, token, &wanted.keep) {
            return Ok(());
        }
        // The cookie can't be sent any more, or no caller waits: no browser will ever hold this
        // token.
        self.settle_sign_in(&record).await?;
        Err(Error::HeadSent)
    }

    /// Stores the session, with what it takes along of a visitor. If the visitor's values change
    /// meanwhile, it starts over with those. Returns what the store said, and whether it was asked
    /// twice for the same.
    async fn create(
        &self,
        mut record: Record,
        replaces: Named,
        wanted: &Wanted,
    ) -> Result<(Arc<Record>, Result<Created, StoreError>, bool)> {
        let (service, now) = (&self.service, record.created_at);
        let mut replaces: ArrayVec<Replaced, MAX_LOADED> = replaces.into_iter().map(Replaced::from).collect();
        for _ in 0..MAX_TRIES {
            if let Some((data, visitor)) = self.taken_along(wanted)? {
                record.data = data;
                for replaced in &mut replaces {
                    replaced.version = visitor.filter(|(id, _)| *id == replaced.session.id).map(|(_, version)| version);
                }
            }
            let new = Arc::new(record.clone());
            self.lock().open_sign_in = Some(Arc::clone(&new));
            let create = || service.store.create(&new, &replaces, service.config.max_sessions, now);
            let created = match create().await {
                Err(StoreError::Unknown(_)) => (create().await, true),
                created => (created, false),
            };
            match created {
                (Ok(Created::Changed(row)), false) if replaces.iter().any(|replaced| replaced.version.is_some()) => {
                    self.lock().open_sign_in = None;
                    // Kept by the request, so that a second sign-in has it if this one fails.
                    self.take_over(&row)?;
                }
                (created, is_repeated) => return Ok((new, created, is_repeated)),
            }
        }
        service.emit(&Event::Contention { id: record.id });
        Err(Error::Contention)
    }

    /// The data of a sign-in with what it takes along of the visitor; and the id and version of the
    /// visitor's row, if there is one. None if nothing is to be taken along.
    fn taken_along(&self, wanted: &Wanted) -> Result<Option<(Data, Option<RowVersion>)>> {
        if matches!(wanted.keep, Keep::Nothing) {
            return Ok(None);
        }
        let (mut values, row) = {
            let progress = self.lock();
            let ended = progress.state.ended_visitor();
            if let Some(ended) = ended.filter(|ended| progress.leaving() != Some(ended.record.id)) {
                // Another request has ended it, and with it what was stored.
                let Some(changes) = ended.view.changes() else { return Ok(None) };
                drop(progress);
                // Not under the lock: this runs the application's functions.
                match changes.on(&Data::empty()) {
                    Ok((_, values)) => (values, None),
                    Err(Refusal::Change(error)) => return Err(error),
                    Err(Refusal::Undecodable) => unreachable!("there are no values"),
                }
            } else {
                let Some(visitor) = progress.state.visitor().or(ended) else { return Ok(None) };
                let Ok(values) = visitor.view.values() else {
                    // An event reports it. Signing in is the way out of such a row.
                    drop(self.undecodable(progress));
                    return Ok(None);
                };
                let has_row = ended.is_none() && progress.state.missing_row().is_none();
                let row = has_row.then(|| (visitor.record.id, visitor.view.version()));
                ((*values).clone(), row)
            }
        };
        values.retain(|key, _| wanted.keep.covers(key));
        values.extend(wanted.values.clone());
        Ok(Some((sign_in_data(values, self.service.config.max_data_bytes)?, row)))
    }

    /// Whether the stored session with this id is this one.
    async fn is_stored(&self, record: &Record, now: OffsetDateTime) -> Result<bool> {
        let found = self.stored_row(record, now).await.map_err(|error| self.service.failed(error))?;
        Ok(found.is_some())
    }

    /// The stored row of this session, by its id and its token.
    pub(super) async fn stored_row(
        &self,
        record: &Record,
        now: OffsetDateTime,
    ) -> Result<Option<Arc<Record>>, StoreError> {
        let token = [TokenRef { shard: record.user_id.shard(), id: record.id }];
        let found = self.service.store.load(&token, now).await?;
        Ok(found.into_iter().find(|found| found.id == record.id && found.token_hash == record.token_hash))
    }

    /// Takes over the session that the store has made if its cookie can still be sent. Returns
    /// whether it can.
    fn signed_in(&self, record: &Arc<Record>, token: SessionToken, keep: &Keep) -> bool {
        let mut progress = self.lock();
        progress.also_named.clear();
        if progress.head_sent || self.order.now() == Now::Abandoned {
            // The session that it replaced has ended all the same.
            if let Some(id) = progress.state.held().map(|held| held.record.id) {
                progress.advance(Transition::FindEnded(id));
            }
            return false;
        }
        progress.open_sign_in = None;
        let visitor = progress.state.take_visitor();
        if let Some((left, _)) = visitor.as_deref() {
            progress.move_taken(left.record.id, record.id, |key| keep.covers(key));
        }
        progress.unfetched_sign_in = Some(Unfetched { record: Arc::clone(record), visitor });
        progress.presented = None;
        progress.advance(Transition::SignIn { record: Arc::clone(record), token });
        true
    }

    /// Ends a session whose sign-in was given up after it was done and before its caller had the
    /// outcome.
    pub(super) async fn end_unfetched_sign_in(&self, is_abandoned: bool) {
        let record = {
            let mut progress = self.lock();
            let Some(unfetched) = progress.unfetched_sign_in.take().filter(|_| is_abandoned) else { return };
            let Unfetched { record, visitor } = unfetched;
            progress.open_sign_in = Some(Arc::clone(&record));
            if let Some((left, _)) = visitor.as_deref() {
                progress.move_taken(record.id, left.record.id, |_| true);
            }
            progress.advance(Transition::UndoSignIn(record.id, visitor));
            record
        };
        // An event has reported a failure, and the sign-in stays open.
        drop(self.settle_sign_in(&record).await);
    }

    /// Makes sure that a sign-in which was given up, or whose outcome is unknown, leaves no
    /// session.
    ///
    /// That its row isn't there now proves nothing, as its statement may still be on its way. So
    /// the id is taken by a row that has expired already, which the clean-up will delete. If the id
    /// is taken before that, the sign-in was stored, and its session is ended.
    pub(super) async fn settle_sign_in(&self, record: &Arc<Record>) -> Result<()> {
        let service = &self.service;
        let expired = Arc::new(Record { expires_at: record.created_at, ..(**record).clone() });
        let now = service.now();
        let settled = match service.store.create(&expired, &[], NonZeroU32::MAX, now).await {
            Ok(Created::Inserted { .. }) => Ok(()),
            Ok(Created::Changed(_)) => Err(unnamed()),
            Ok(Created::Taken) => service.store.end(&record.user_id, record.id, None, now).await.map(drop),
            Err(error) => Err(error),
        };
        settled.map_err(|error| service.failed(error))?;
        self.lock().open_sign_in = None;
        Ok(())
    }
}

pub(super) fn unnamed() -> StoreError {
    StoreError::not_applied("the store compared a version that was not named")
}
