//! What all clones of one request's handle share, and the one look-up. Not here: decisions (see
//! `state`, `policy` and `values`), and what changes the row or its token (see the other files of
//! this folder). While a request waits for the store it holds no lock, only its permit and perhaps
//! a place in the session's write queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrayvec::ArrayVec;
use time::OffsetDateTime;
use tokio::sync::OnceCell;

use crate::client::Client;
use crate::config::{FingerprintChange, TokenReuse};
use crate::error::{Error, Result, StoreError};
use crate::model::record::Record;
use crate::model::session_id::SessionId;
use crate::model::standing::Standing;
use crate::model::token::{SessionToken, TokenHash, TokenRef};
use crate::observe::event::Event;
use crate::policy::rotation::{self, Admission};
use crate::request::loaded_users::LoadedUsers;
use crate::request::state::{Active, State, Transition, VisitorRow};
use crate::service::Shared;
use crate::store::{MAX_LOADED, SessionKey};
use crate::transport::cookie::CookieMatches;
use operation::Order;
use rotate::{NextToken, OpenStrict};
use sign_in::Unfetched;
use taking::PutBack;

mod commit;
pub(crate) mod handle;
pub(crate) mod loaded_users;
mod operation;
mod reload;
mod rotate;
mod sign_in;
mod sign_out;
pub(crate) mod state;
mod storing;
mod taking;
mod visiting;

pub(crate) use operation::Permit;
pub(crate) use sign_in::Wanted;
pub(crate) use storing::{Failure, Stored};

/// What all clones of one request's handle share.
pub(crate) struct Request {
    pub(crate) service: Arc<Shared>,
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
    /// Whether `carried` and `client` are known.
    has_facts: bool,
    /// Whether the request had a cookie of our name, good or bad.
    pub(crate) carried: bool,
    pub(crate) client: Client,
    /// The token of the session that the request came with, until its commit: its successor is
    /// sealed to it.
    presented: Option<SessionToken>,
    /// The other live sessions that the request's cookies named, by any of their tokens, whether it
    /// still counts or not.
    also_named: Vec<SessionKey>,
    /// What the commit is to replace it by.
    to_rotate: Option<NextToken>,
    /// Changes are on their way to the store.
    in_flight: bool,
    /// Changes were lost with this status: the response can't claim success.
    pub(crate) failed_status: Option<u16>,
    /// A session whose data was read and can't be understood.
    pub(crate) undecodable: Option<SessionId>,
    /// A sign-in whose outcome isn't known.
    open_sign_in: Option<Arc<Record>>,
    /// A sign-in that is done, and whose caller doesn't know yet.
    unfetched_sign_in: Option<Unfetched>,
    /// Whether a token of the request is dead while its session lives on.
    has_dead_token: bool,
    /// A strict rotation whose outcome isn't known.
    open_strict: Option<Box<OpenStrict>>,
    /// Whether a task tries to settle them.
    is_settling: bool,
    extras: Option<Box<Extras>>,
    /// The cookies that layers of other services further in have sent.
    pub(crate) inner_cookies: Vec<String>,
}

/// What few requests need.
#[derive(Default)]
pub(crate) struct Extras {
    /// The application's users, where handlers ask for them.
    pub(crate) users: LoadedUsers,
    /// What was taken out to be shown, until the response is known to show it.
    taken: Vec<taking::Taken>,
    /// The visitor whom a sign-in of this request was to end. If that was given up, its values are
    /// still there for the next one.
    leaving: Option<SessionId>,
}

type Named = ArrayVec<SessionKey, MAX_LOADED>;

impl Request {
    pub(crate) fn new(service: Arc<Shared>) -> Self {
        Self {
            service,
            loaded: OnceCell::new(),
            committed: AtomicBool::new(false),
            order: Order::default(),
            progress: Mutex::new(Progress {
                state: State::Anonymous,
                head_sent: false,
                has_facts: false,
                carried: false,
                client: Client::default(),
                presented: None,
                to_rotate: None,
                also_named: Vec::new(),
                in_flight: false,
                failed_status: None,
                undecodable: None,
                open_sign_in: None,
                unfetched_sign_in: None,
                has_dead_token: false,
                open_strict: None,
                is_settling: false,
                extras: None,
                inner_cookies: Vec::new(),
            }),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Progress> {
        // Nothing panics between two consistent states.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what the request says of itself, at its first extraction.
    pub(crate) fn note_facts(&self, carried: bool, client: Client) {
        let mut progress = self.lock();
        if !std::mem::replace(&mut progress.has_facts, true) {
            progress.carried = carried;
            progress.client = client;
        }
    }

    /// The one look-up of a request.
    pub(crate) async fn load(&self, found: CookieMatches) -> Result<(), StoreError> {
        let sessions = found.sessions();
        if sessions.is_empty() {
            return Ok(());
        }
        self.look_up(found, &sessions).await.inspect_err(|error| drop(self.service.failed(error.clone())))
    }

    async fn look_up(&self, mut found: CookieMatches, sessions: &[TokenRef]) -> Result<(), StoreError> {
        let service = &self.service;
        let now = service.now();
        let grace = service.config.rotation_grace;
        let (mut also_named, mut chosen, mut visitor) = (Vec::new(), None, None);
        let (mut has_dead_token, mut reused) = (false, ArrayVec::<_, MAX_LOADED>::new());
        for record in service.store.load(sessions, now).await? {
            // A row that wasn't asked for is ignored, or a sign-out would end it too.
            if !sessions.iter().any(|session| session.id == record.id) {
                continue;
            }
            let best = best_of(&found, &record, now, grace);
            if best.is_none() && rotation::is_reuse(&record, now, grace) {
                reused.push(Arc::clone(&record));
            }
            let best = best.filter(|_| chosen.is_none());
            let key = |record: &Record| SessionKey { user_id: record.user_id.clone(), id: record.id };
            match best {
                // A user who is signed in counts before a visitor.
                Some(best) if record.user_id.is_visitor() => {
                    if service.config.visitors.is_some() && visitor.is_none() {
                        visitor = Some(Active::of(record, best.hash, now));
                    } else {
                        also_named.push(key(&record));
                    }
                }
                Some(best) => chosen = Some((record, best)),
                None => {
                    has_dead_token |= chosen.is_none();
                    also_named.push(key(&record));
                }
            }
        }
        for record in reused {
            self.found_reuse(&record, now).await?;
        }
        if chosen.is_some() {
            also_named.extend(visitor.take().map(|visitor| visitor.key()));
        }
        let Some((record, Presented { standing, hash, index })) = chosen else {
            let mut progress = self.lock();
            progress.also_named = also_named;
            progress.has_dead_token = has_dead_token;
            if let Some(visitor) = visitor {
                progress.state = State::Visitor(visitor, VisitorRow::Found);
            }
            return Ok(());
        };
        let change = service.config.on_fingerprint_change;
        let is_same = || self.lock().client.is_as_recorded(&record.client, &service.device_rules);
        if change != FingerprintChange::Ignore && !is_same() {
            let ended = change == FingerprintChange::End;
            if ended {
                service.store.end(&record.user_id, record.id, None, now).await?;
            }
            let is_new = service.changed_clients.is_new(record.id, self.lock().client.user_agent());
            if is_new {
                service.emit(&Event::FingerprintChanged { id: record.id, ended });
            }
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
            progress.advance(Transition::SendAgain(successor));
        }
        Ok(())
    }

    /// Does what is configured where a token of this session was presented long after it was
    /// replaced.
    #[cold]
    async fn found_reuse(&self, record: &Record, now: OffsetDateTime) -> Result<(), StoreError> {
        let service = &self.service;
        let ended = service.config.on_token_reuse == TokenReuse::End;
        if ended {
            service.store.end(&record.user_id, record.id, None, now).await?;
        }
        let client = self.lock().client.clone();
        if service.reused_tokens.is_new(record.id, client.user_agent()) {
            service.emit(&Event::TokenReused {
                id: record.id,
                user_id: record.user_id.clone(),
                signed_in: Arc::clone(&record.client),
                presented: client.info(&service.device_rules),
                ended,
            });
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

    /// The response leaves, and there was nothing to commit.
    pub(crate) fn close(&self) {
        self.lock().close_head();
        self.committed();
    }

    fn committed(&self) {
        self.committed.store(true, Ordering::Release);
    }

    /// The layer is gone. Without a commit before, no response has reported what is pending, and
    /// none will.
    pub(crate) fn abandon(self: &Arc<Self>) {
        let is_committed = self.committed.load(Ordering::Acquire);
        let mut progress = self.lock();
        progress.close_head();
        if is_committed {
            return;
        }
        progress.state.discard();
        progress.discard_added();
        if let Some(made) = progress.state.made() {
            drop(progress);
            let request = Arc::clone(self);
            // No browser will ever hold its token. What can't be ended now expires.
            self.run_unawaited(async move { request.end_made(&made).await });
            return;
        }
        let Some(active) = progress.state.active() else { return };
        let is_first_seen = active.is_first_seen;
        let has_taken = progress.has_taken();
        drop(progress);
        if has_taken {
            let request = Arc::clone(self);
            // An event reports a failure. It records the activity too.
            self.run_unawaited(async move { drop(request.put_back(PutBack::All).await) });
        }
        // That the token was presented must not depend on a client that waits for the answer: the
        // one before it would live on.
        if is_first_seen {
            self.run_unawaited(Arc::clone(self).record_activity());
        }
    }

    /// Notes that the session isn't live any more, or its token is dead.
    pub(crate) fn found_ended(&self, id: SessionId) -> Error {
        self.lock().advance(Transition::FindEnded(id));
        Error::NotAuthenticated
    }

    /// Notes, once, that the active session's data can't be understood.
    pub(crate) fn undecodable(&self, mut progress: MutexGuard<'_, Progress>) -> Error {
        let id = progress.state.active().map(|active| active.record.id);
        let first = std::mem::replace(&mut progress.undecodable, id) != id;
        drop(progress);
        if first {
            self.service.emit(&Event::Corrupt { id, what: "data" });
        }
        StoreError::Corrupt { id, what: "data" }.into()
    }
}

impl Progress {
    pub(crate) fn extras(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    /// The caller of the operation under way has its outcome.
    fn fetched(&mut self) {
        self.unfetched_sign_in = None;
        self.taken_is_fetched();
    }

    fn leaving(&self) -> Option<SessionId> {
        self.extras.as_ref().and_then(|extras| extras.leaving)
    }

    pub(crate) fn advance(&mut self, did: Transition) {
        let state = std::mem::replace(&mut self.state, State::Anonymous);
        self.state = state.next(did);
    }

    /// From now on no cookie can follow.
    pub(crate) fn close_head(&mut self) {
        self.head_sent = true;
        self.presented = None;
    }

    /// Whether a visitor can begin here. Not where the browser may hold a better cookie, which the
    /// visitor's would replace: that of a sign-in which ended the request's session, or of a
    /// rotation since which the request's token is dead.
    const fn can_visit(&self) -> bool {
        match self.state {
            State::Anonymous => !self.has_dead_token,
            State::SignedOut => true,
            State::Carried(_) | State::Issued(..) | State::Ended(_) | State::Visitor(..) => false,
        }
    }

    const fn has_open(&self) -> bool {
        self.open_sign_in.is_some() || self.open_strict.is_some()
    }

    fn check_head(&self) -> Result<()> {
        if self.head_sent { Err(Error::HeadSent) } else { Ok(()) }
    }

    /// The sessions that a sign-out or sign-in ends: those that the request's cookies named, and
    /// last the one that it holds.
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
fn best_of(found: &CookieMatches, record: &Record, now: OffsetDateTime, grace: Duration) -> Option<Presented> {
    let tokens = found.tokens().enumerate().filter(|(_, token)| token.id() == record.id);
    let presented = tokens.map(|(index, token)| {
        let hash = token.hash();
        Presented { standing: Standing::of(&hash, record, now, grace), hash, index }
    });
    presented.min_by_key(|presented| presented.standing).filter(|presented| presented.standing != Standing::Dead)
}

/// Reports what was set after the response and never saved, as nothing else would.
impl Drop for Request {
    fn drop(&mut self) {
        let progress = self.progress.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(active) = progress.state.active().filter(|active| progress.head_sent && active.view.has_changes()) {
            self.service.emit(&Event::ChangesNotSaved { id: active.record.id });
        }
    }
}
