//! What all clones of one request's handle share, and the one look-up.
//! Not here: decisions (see `state`, `policy` and `values`), and what changes the row or its token (the files below). No lock is
//! held while it waits, but the request's permit and a place in the session's queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrayvec::ArrayVec;
use time::OffsetDateTime;
use tokio::sync::OnceCell;

use crate::client::Client;
use crate::config::FingerprintChange;
use crate::error::{Error, Result, StoreError};
use crate::model::record::Record;
use crate::model::session_id::SessionId;
use crate::model::standing::Standing;
use crate::model::token::{SessionToken, TokenHash, TokenRef};
use crate::observe::event::Event;
use crate::policy::rotation::{self, Admission};
use crate::request::state::{Active, Did, State};
use crate::service::Inner;
use crate::store::{MAX_LOADED, SessionKey};
use crate::transport::cookie::Found;
use operation::Order;
use rotate::OpenStrict;

mod commit;
pub(crate) mod handle;
mod operation;
mod reload;
mod rotate;
mod sign_in;
mod sign_out;
pub(crate) mod state;
mod storing;

pub(crate) use operation::Permit;
pub(crate) use sign_in::Wanted;
pub(crate) use storing::{Failure, Stored};

/// What all clones of one request's handle share.
pub(crate) struct Request {
    pub(crate) service: Arc<Inner>,
    /// The one look-up of this request, kept with its failure.
    pub(crate) loaded: OnceCell<Result<(), StoreError>>,
    /// Whether a commit has run to its end: what is set after it is the handler's own to save.
    committed: AtomicBool,
    /// One operation at a time, so that each starts from what the one before has done.
    order: Order,
    progress: Mutex<Progress>,
}

pub(crate) struct Progress {
    pub(crate) state: State,
    /// Whether the response head has left, or never will.
    head_sent: bool,
    /// Whether the next two are known.
    met: bool,
    /// Whether the request had a cookie of our name, good or bad.
    pub(crate) carried: bool,
    pub(crate) client: Client,
    /// The token of the session that the request came with, until its commit: its successor is sealed to it.
    presented: Option<SessionToken>,
    /// The live sessions that the request's cookies named besides the one that it came with, by whichever of their tokens.
    also_named: Vec<SessionKey>,
    /// Changes are on their way to the store.
    in_flight: bool,
    /// Changes were lost with this status: the response can't claim success.
    pub(crate) lost: Option<u16>,
    /// A session whose data was read and can't be understood.
    pub(crate) undecodable: Option<SessionId>,
    /// A sign-in whose outcome isn't known.
    open_sign_in: Option<Arc<Record>>,
    /// A sign-in that is done, and whose caller doesn't know yet.
    unfetched_sign_in: Option<Arc<Record>>,
    /// A strict rotation whose outcome isn't known.
    open_strict: Option<Box<OpenStrict>>,
    /// Whether a task tries to settle them.
    is_settling: bool,
    /// The cookies that layers of other services further in have sent.
    pub(crate) inner_cookies: Vec<String>,
}

type Named = ArrayVec<SessionKey, MAX_LOADED>;

impl Request {
    pub(crate) fn new(service: Arc<Inner>) -> Self {
        Self {
            service,
            loaded: OnceCell::new(),
            committed: AtomicBool::new(false),
            order: Order::default(),
            progress: Mutex::new(Progress {
                state: State::Anonymous,
                head_sent: false,
                met: false,
                carried: false,
                client: Client::default(),
                presented: None,
                also_named: Vec::new(),
                in_flight: false,
                lost: None,
                undecodable: None,
                open_sign_in: None,
                unfetched_sign_in: None,
                open_strict: None,
                is_settling: false,
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
    pub(crate) async fn load(&self, found: Found) -> Result<(), StoreError> {
        let sessions = found.sessions();
        if sessions.is_empty() {
            return Ok(());
        }
        self.look_up(found, &sessions).await.inspect_err(|error| drop(self.service.failed(error.clone())))
    }

    async fn look_up(&self, mut found: Found, sessions: &[TokenRef]) -> Result<(), StoreError> {
        let service = &self.service;
        let now = service.now();
        let grace = service.config.rotation_grace;
        let (mut also_named, mut chosen) = (Vec::new(), None);
        for record in service.store.load(sessions, now).await? {
            // A store that gives more than it was asked for gives it to no one.
            if !sessions.iter().any(|session| session.id == record.id) {
                continue;
            }
            let best = if chosen.is_some() { None } else { best_of(&found, &record, now, grace) };
            match best {
                Some(best) => chosen = Some((record, best)),
                None => also_named.push(SessionKey { user_id: record.user_id.clone(), id: record.id }),
            }
        }
        let Some((record, Presented { standing, hash, index })) = chosen else {
            self.lock().also_named = also_named;
            return Ok(());
        };
        let change = service.config.on_fingerprint_change;
        let is_same = || self.lock().client.is_as_recorded(&record.client);
        if change != FingerprintChange::Ignore && !is_same() {
            let ended = change == FingerprintChange::End;
            if ended {
                service.store.end(&record.user_id, record.id, None, now).await?;
            }
            service.tell(&Event::FingerprintChanged { id: record.id, ended });
            if ended {
                let mut progress = self.lock();
                (progress.state, progress.also_named) = (State::SignedOut, also_named);
                return Ok(());
            }
        }
        let token = found.take(index);
        let admission = standing.admission();
        let successor = match admission {
            Admission::SignedInAndSent => rotation::successor(&token, &record),
            Admission::SignedIn | Admission::SignedInAndSeen | Admission::Anonymous => None,
        };
        let mut active = Active::of(rotation::lowered(record, standing), hash, now);
        active.is_first_seen = admission == Admission::SignedInAndSeen;
        let mut progress = self.lock();
        progress.state = State::Carried(active);
        progress.also_named = also_named;
        progress.presented = Some(token);
        if let Some(successor) = successor {
            progress.advance(Did::SendAgain(successor));
        }
        Ok(())
    }

    /// Whether something is to be settled before anything else asks the store.
    pub(crate) fn has_open(&self) -> bool {
        self.lock().has_open()
    }

    /// Settles what earlier operations left open.
    ///
    /// # Errors
    /// 503 where the store can't say: it stays open.
    pub(crate) async fn settle(&self) -> Result<()> {
        let open = self.lock().open_sign_in.clone();
        if let Some(record) = open {
            self.settle_sign_in(&record).await?;
        }
        let (open, is_late) = {
            let progress = self.lock();
            (progress.open_strict.clone(), progress.head_sent)
        };
        match open {
            None => {}
            Some(open) if is_late => self.forget_strict(&open).await?,
            Some(open) => match self.finish_strict(*open).await {
                // The session has ended, or no cookie can follow: it is settled all the same.
                Ok(()) | Err(Error::NotAuthenticated | Error::HeadSent) => {}
                Err(error) => return Err(error),
            },
        }
        Ok(())
    }

    /// The response goes out, and there was nothing to commit.
    pub(crate) fn close(&self) {
        self.lock().close_head();
        self.committed();
    }

    fn committed(&self) {
        self.committed.store(true, Ordering::Release);
    }

    /// The layer is gone. Without a commit before, no response has told of what is pending, and none will.
    pub(crate) fn give_up(self: &Arc<Self>) {
        let is_committed = self.committed.load(Ordering::Acquire);
        let mut progress = self.lock();
        progress.close_head();
        if is_committed {
            return;
        }
        let Some(active) = progress.state.active_mut() else { return };
        active.view.discard();
        let is_first_seen = active.is_first_seen;
        drop(progress);
        // That the token was presented must not depend on a client that waits for the answer: the one before it would live on.
        if is_first_seen {
            self.run_unawaited(Arc::clone(self).record_activity());
        }
    }

    /// Notes that the session isn't live any more, or its token is dead.
    pub(crate) fn found_ended(&self, id: SessionId) -> Error {
        self.lock().advance(Did::FindEnded(id));
        Error::NotAuthenticated
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

impl Progress {
    pub(crate) fn advance(&mut self, did: Did) {
        let state = std::mem::replace(&mut self.state, State::Anonymous);
        self.state = state.next(did);
    }

    /// From now on no cookie can follow.
    pub(crate) fn close_head(&mut self) {
        self.head_sent = true;
        self.presented = None;
    }

    const fn has_open(&self) -> bool {
        self.open_sign_in.is_some() || self.open_strict.is_some()
    }

    fn check_head(&self) -> Result<()> {
        if self.head_sent { Err(Error::HeadSent) } else { Ok(()) }
    }

    /// The sessions that a sign-out or sign-in ends: those that the request's cookies named, and last the one that it holds.
    fn named(&self) -> Named {
        let held = self.state.held().map(Active::key);
        let others = self.also_named.iter().filter(|key| held.as_ref().is_none_or(|held| held.id != key.id)).cloned();
        let mut all: Named = others.take(MAX_LOADED - usize::from(held.is_some())).collect();
        all.extend(held);
        all
    }
}

/// A token that a request came with.
struct Presented {
    standing: Standing,
    hash: TokenHash,
    /// Its place among those that were found.
    index: usize,
}

/// The token of this session that counts most, if one counts.
fn best_of(found: &Found, record: &Record, now: OffsetDateTime, grace: Duration) -> Option<Presented> {
    let tokens = found.tokens().enumerate().filter(|(_, token)| token.id() == record.id);
    let presented = tokens.map(|(index, token)| {
        let hash = token.hash();
        Presented { standing: Standing::of(&hash, record, now, grace), hash, index }
    });
    presented.min_by_key(|presented| presented.standing).filter(|presented| presented.standing != Standing::Dead)
}

/// What was set after the response, and that no `save` has stored, is lost without any other word.
impl Drop for Request {
    fn drop(&mut self) {
        let progress = self.progress.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(active) = progress.state.active().filter(|active| progress.head_sent && active.view.has_changes()) {
            self.service.tell(&Event::ChangesNotSaved { id: active.record.id });
        }
    }
}
