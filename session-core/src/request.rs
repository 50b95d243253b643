//! What all clones of one request's handle share, and its way to the store: the one look-up, and storing what changed.
//! Leaves decisions to `state` and `data`; no lock is held while it waits, but the turn and a place in the session's queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

use crate::client::Client;
use crate::config::FingerprintChange;
use crate::data::Pending;
use crate::error::{Error, Result, StoreError};
use crate::event::Event;
use crate::service::Inner;
use crate::session::SessionId;
use crate::state::{Active, Did, State};
use crate::store::{Activity, Applied, Update};
use crate::token::{SessionToken, TokenRef};

/// What all clones of one request's handle share.
pub(crate) struct Request {
    pub(crate) service: Arc<Inner>,
    /// The one look-up of this request, kept with its failure.
    pub(crate) loaded: OnceCell<Result<(), StoreError>>,
    /// Whether the response head has left, or never will.
    head_sent: AtomicBool,
    /// Whether a commit has run to its end: what is set after it is the handler's own to save.
    committed: AtomicBool,
    /// Held by what changes the session's row or token: one at a time within a request, so that each starts from what the
    /// one before has done.
    pub(crate) turn: tokio::sync::Mutex<()>,
    progress: Mutex<Progress>,
}

pub(crate) struct Progress {
    pub(crate) state: State,
    /// Whether the next two are known.
    met: bool,
    /// Whether the request had a cookie of our name, good or bad.
    pub(crate) carried: bool,
    pub(crate) client: Client,
    /// Changes were lost with this status: the response can't claim success.
    pub(crate) lost: Option<u16>,
    /// A session whose data was read and can't be understood.
    pub(crate) undecodable: Option<SessionId>,
    /// A sign-in or rotation that the store hasn't answered: it may be under way, or its future was dropped.
    pub(crate) attempt: Option<Attempt>,
    /// The cookies that layers of other services further in have sent.
    pub(crate) inner_cookies: Vec<String>,
}

/// A token that the store was asked to make valid.
pub(crate) struct Attempt {
    pub(crate) token: SessionToken,
    /// The session that is rotated; none for a sign-in.
    pub(crate) rotates: Option<SessionId>,
}

/// What came of storing a request's changes.
pub(crate) enum Stored {
    Done,
    Ended,
}

/// Storing failed.
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// The session, if only its activity was to be recorded.
    pub(crate) only_activity: Option<SessionId>,
}

/// Tries at storing changes before the store counts as too busy: each lost try means that another request's succeeded.
const MAX_TRIES: usize = 100;

impl Request {
    pub(crate) fn new(service: Arc<Inner>) -> Self {
        Self {
            service,
            loaded: OnceCell::new(),
            head_sent: AtomicBool::new(false),
            committed: AtomicBool::new(false),
            turn: tokio::sync::Mutex::const_new(()),
            progress: Mutex::new(Progress {
                state: State::Anonymous,
                met: false,
                carried: false,
                client: Client::default(),
                lost: None,
                undecodable: None,
                attempt: None,
                inner_cookies: Vec::new(),
            }),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Progress> {
        // Nothing panics between two consistent states.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what the request says of itself, at its first extraction.
    pub(crate) fn meet(&self, carried: bool, client: Client) {
        let mut progress = self.lock();
        if !std::mem::replace(&mut progress.met, true) {
            progress.carried = carried;
            progress.client = client;
        }
    }

    /// The one look-up of a request.
    pub(crate) async fn load(&self, tokens: &[TokenRef]) -> Result<(), StoreError> {
        let state = self.look_up(tokens).await.inspect_err(|error| drop(self.service.failed(error.clone())))?;
        self.lock().state = state;
        Ok(())
    }

    async fn look_up(&self, tokens: &[TokenRef]) -> Result<State, StoreError> {
        if tokens.is_empty() {
            return Ok(State::Anonymous);
        }
        let service = &self.service;
        let now = service.now();
        let Some(record) = service.store.load(tokens, now).await? else { return Ok(State::Anonymous) };
        let change = service.config.on_fingerprint_change;
        let is_same = || self.lock().client.is_as_recorded(&record.client);
        if change != FingerprintChange::Ignore && !is_same() {
            let ended = change == FingerprintChange::End;
            if ended {
                service.store.end(&record.user_id, record.id, None, now).await?;
            }
            service.tell(&Event::FingerprintChanged { id: record.id, ended });
            if ended {
                return Ok(State::SignedOut);
            }
        }
        Ok(State::Carried(Active::of(record, now)))
    }

    /// Stores what this request changed, with its activity if that is due by now. `always` asks the store in any case.
    pub(crate) async fn store_changes(&self, always: bool) -> Result<Stored, Failure> {
        let service = &self.service;
        let _turn = self.turn.lock().await;
        let (caller, last_active_at, absolute_expires_at, pending) = {
            let mut progress = self.lock();
            let Some(active) = progress.state.active_mut() else {
                let ended = matches!(progress.state, State::Ended);
                return Ok(if ended { Stored::Ended } else { Stored::Done });
            };
            let (caller, pending) = (active.caller(), active.view.take());
            let record = &active.record;
            (caller, record.last_active_at, record.absolute_expires_at, pending)
        };
        let id = caller.id;
        let mut taken = Taken { request: self, id, pending };
        // Not for `save`, whose future the application may leave unfinished: nobody should wait for that.
        let queues = !always && taken.pending.is_some();
        let mut place = if queues { service.turns.behind_others(id).await } else { None };
        for _ in 0..MAX_TRIES {
            let now = service.now();
            let activity = service.config.expiry.due(now, last_active_at, absolute_expires_at);
            let data = taken.pending.as_ref().map(Pending::to_store);
            if data.is_none() && activity.is_none() && !always {
                return Ok(Stored::Done);
            }
            let update = Update { data, activity, rotate_to: None };
            match service.store.apply(&caller, &update, now).await {
                Ok(Applied::Done { expires_at, .. }) => {
                    return taken.stored(activity.map(|activity| (activity, expires_at)));
                }
                Ok(Applied::Gone) => {
                    let had_changes = taken.pending.take().is_some();
                    self.advance(Did::FindEnded(id));
                    if had_changes {
                        service.tell(&Event::DataDropped { id });
                    }
                    return Ok(Stored::Ended);
                }
                Ok(Applied::Conflict(fresh)) => {
                    let Some(pending) = &mut taken.pending else {
                        return Err(taken.failed(service.failed(conflict_without_data())));
                    };
                    match pending.rebase(&fresh.data, fresh.version, service.config.max_data_bytes) {
                        Ok(Ok(())) if queues && place.is_none() => place = service.turns.queue(id).await,
                        Ok(Ok(())) => tokio::task::yield_now().await,
                        Ok(Err(error)) => return Err(taken.failed(error)),
                        Err(_) => {
                            let corrupt = StoreError::Corrupt { id: Some(id), what: "data" };
                            return Err(taken.failed(service.failed(corrupt)));
                        }
                    }
                }
                Err(error) => {
                    if let Some(place) = &place {
                        place.give_up();
                    }
                    return Err(taken.refused(error));
                }
            }
        }
        let busy = StoreError::not_applied("other requests changed the session's data at every try");
        Err(taken.refused(busy))
    }

    /// Looks whether a sign-in or rotation whose future was dropped took place.
    pub(crate) async fn settle(&self) {
        let Some(Attempt { token, rotates }) = self.lock().attempt.take() else { return };
        match (self.service.store.load(&[token.lookup()], self.service.now()).await, rotates) {
            (Ok(Some(record)), None) => self.advance(Did::SignIn { record, token }),
            (Ok(Some(record)), Some(id)) => {
                let (at, expires_at) = (record.last_active_at, record.expires_at);
                self.advance(Did::Rotate { id, token, at, expires_at });
            }
            (Ok(None), _) => {}
            (Err(error), _) => drop(self.service.failed(error)),
        }
    }

    /// Notes that changes are lost, and why.
    fn lose(&self, id: SessionId, status: u16) {
        let mut progress = self.lock();
        progress.lost = Some(status);
        if let Some(active) = progress.state.still(id) {
            active.view.discard();
        }
    }

    /// From now on no cookie can follow.
    pub(crate) fn close_head(&self) {
        self.head_sent.store(true, Ordering::Release);
    }

    pub(crate) fn committed(&self) {
        self.committed.store(true, Ordering::Release);
    }

    /// The layer is gone. Without a commit before, no response has told of what is pending, and none will.
    pub(crate) fn give_up(&self) {
        self.close_head();
        if !self.committed.load(Ordering::Acquire)
            && let Some(active) = self.lock().state.active_mut()
        {
            active.view.discard();
        }
    }

    pub(crate) fn check_head(&self) -> Result<()> {
        if self.head_sent.load(Ordering::Acquire) { Err(Error::HeadSent) } else { Ok(()) }
    }

    pub(crate) fn advance(&self, did: Did) {
        let mut progress = self.lock();
        let state = std::mem::replace(&mut progress.state, State::Anonymous);
        progress.state = state.next(did);
    }

    /// Notes, once, that the active session's data can't be understood.
    pub(crate) fn undecodable(&self, mut progress: MutexGuard<'_, Progress>) -> Error {
        let id = progress.state.active().map(|active| active.record.id);
        let first = std::mem::replace(&mut progress.undecodable, id) != id;
        drop(progress);
        if first {
            self.service.tell(&Event::Corrupt { id, what: "data" });
        }
        StoreError::Corrupt { id, what: "data" }.into()
    }
}

/// Changes that were taken to be stored. Dropped without a word from the store, they count as lost.
struct Taken<'a> {
    request: &'a Request,
    id: SessionId,
    pending: Option<Pending>,
}

impl Taken<'_> {
    fn stored(mut self, activity: Option<(Activity, time::OffsetDateTime)>) -> Result<Stored, Failure> {
        let pending = self.pending.take();
        if let Some((activity, expires_at)) = activity
            && let Some(active) = self.request.lock().state.still(self.id)
        {
            active.recorded(activity, expires_at);
        }
        let Some(pending) = pending else { return Ok(Stored::Done) };
        loop {
            let later = self.request.lock().state.still(self.id).and_then(|active| active.view.later(&pending));
            // Without the lock: this runs the application's functions.
            let later = later.map(|later| pending.with(&later)).transpose().map_err(|error| {
                self.request.lose(self.id, error.status());
                Failure { error, only_activity: None }
            })?;
            let mut progress = self.request.lock();
            let Some(active) = progress.state.still(self.id) else { return Ok(Stored::Done) };
            if active.view.stored(&pending, later) {
                return Ok(Stored::Done);
            }
        }
    }

    /// The store failed: what certainly isn't stored stays pending, the rest is lost.
    fn refused(mut self, error: StoreError) -> Failure {
        let only_activity = self.pending.is_none().then_some(self.id);
        if matches!(error, StoreError::NotApplied(_))
            && let Some(pending) = self.pending.take()
            && let Some(active) = self.request.lock().state.still(self.id)
        {
            active.view.not_stored(pending);
        }
        let error = match only_activity {
            Some(_) => error.into(),
            None => self.request.service.failed(error),
        };
        Failure { error, only_activity }
    }

    /// The changes can't be made: none of them is stored.
    fn failed(mut self, error: Error) -> Failure {
        self.lose(error.status());
        Failure { error, only_activity: None }
    }

    fn lose(&mut self, status: u16) {
        if self.pending.take().is_some() {
            self.request.lose(self.id, status);
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.lose(503);
    }
}

pub(crate) fn conflict_without_data() -> StoreError {
    StoreError::not_applied("the store reported a conflict for a change without data")
}
