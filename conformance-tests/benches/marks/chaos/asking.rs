//! Asking the nodes, and what their answers must say.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use session_core::{CookieSessionService, Error};

use super::nodes::{Node, PATIENCE};
use super::request::{Answer, Op, Wait, request};
use super::told::{Fate, Known};

/// How much longer than its patience an operation may take: a second where the store's runtime has just ended or is idle, and what a busy
/// machine adds.
const LATE: Duration = Duration::from_millis(1500);

/// What all workers of a round share.
pub(super) struct Shared {
    pub(super) nodes: [Node; 2],
    /// Numbers to append, and the values of keys.
    pub(super) next: AtomicU64,
    /// Sessions that were made by workers.
    pub(super) made: Mutex<Vec<Arc<Known>>>,
    /// No more is asked.
    pub(super) is_over: AtomicBool,
    /// How often what happened.
    counts: Mutex<BTreeMap<&'static str, u64>>,
    /// The longest that a call of one statement took, and a request.
    longest: Mutex<[Duration; 2]>,
    wrong: Mutex<Vec<String>>,
}

/// Where and how to ask: the node, which of its runtimes, and how long the caller waits.
#[derive(Clone, Copy)]
pub(super) struct Way {
    pub(super) node: usize,
    pub(super) place: usize,
    pub(super) wait: Wait,
}

impl Way {
    /// Until the end, in the first runtime of a node.
    pub(super) const fn to_the_end(node: usize) -> Self {
        Self { node, place: 0, wait: Wait::ToTheEnd }
    }
}

pub(super) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(nodes: [Node; 2]) -> Self {
        Self {
            nodes,
            next: AtomicU64::new(1),
            made: Mutex::default(),
            is_over: AtomicBool::default(),
            counts: Mutex::default(),
            longest: Mutex::default(),
            wrong: Mutex::default(),
        }
    }

    pub(super) fn wrong(&self, what: impl Into<String>) {
        lock(&self.wrong).push(what.into());
    }

    pub(super) fn take_wrong(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.wrong))
    }

    pub(super) fn count(&self, what: &'static str, times: u64) {
        *lock(&self.counts).entry(what).or_default() += times;
    }

    pub(super) fn summary(&self) -> String {
        let counts: Vec<_> = lock(&self.counts).iter().map(|(what, times)| format!("{times} {what}")).collect();
        let [call, request] = *lock(&self.longest);
        format!("{}; the longest call took {call:.1?}, the longest request {request:.1?}", counts.join(", "))
    }

    /// Does this on a node. None if the caller gave up, or the runtime ended.
    async fn on<T, F>(&self, way: Way, work: impl FnOnce(CookieSessionService) -> F) -> Option<(T, Duration)>
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let node = &self.nodes[way.node];
        let (start, work) = (Instant::now(), work(node.service.clone()));
        let done = node.runtime(way.place).spawn(async move { way.wait.of(work).await }).await;
        let done = done.unwrap_or_else(|error| {
            if error.is_panic() {
                self.wrong(format!("a request panicked: {error}"));
            }
            None
        });
        if done.is_none() {
            self.count("given up", 1);
        }
        Some((done?, start.elapsed()))
    }

    /// A call of one statement. None if nothing was answered.
    async fn call<T, F>(&self, way: Way, work: impl FnOnce(CookieSessionService) -> F) -> Option<Result<T, Error>>
    where
        F: Future<Output = Result<T, Error>> + Send + 'static,
        T: Send + 'static,
    {
        let (result, took) = self.on(way, work).await?;
        let mut longest = lock(&self.longest);
        longest[0] = longest[0].max(took);
        drop(longest);
        if took > PATIENCE + LATE {
            self.wrong(format!("a call took {took:.1?}"));
        }
        self.count(if result.is_ok() { "done" } else { "refused" }, 1);
        Some(result)
    }

    async fn request(&self, way: Way, cookie: Option<String>, op: Op) -> Option<Answer> {
        let shown = format!("{op:?}");
        let (answer, took) = self.on(way, |service| request(service, cookie, op)).await?;
        let mut longest = lock(&self.longest);
        longest[1] = longest[1].max(took);
        drop(longest);
        self.count(if answer.status == 200 { "done" } else { "refused" }, 1);
        // Looking up and storing, each of which may ask twice.
        if took > PATIENCE * 4 + LATE {
            self.wrong(format!("{shown} took {took:.1?}"));
        }
        if !matches!(answer.status, 200 | 401 | 503) {
            self.wrong(format!("{shown}: {answer:?}"));
        }
        Some(answer)
    }

    /// A session of its own, if its cookie arrives.
    pub(super) async fn sign_in(&self, way: Way, user: &str) -> Option<Arc<Known>> {
        let answer = self.request(way, None, Op::SignIn(user.to_owned())).await?;
        let known = Arc::new(Known::new(user.to_owned(), answer.id?, answer.cookie?));
        lock(&self.made).push(Arc::clone(&known));
        Some(known)
    }

    /// One request with the session's cookie.
    pub(super) async fn ask(&self, way: Way, known: &Known, op: Op) {
        let _token = known.tokens.read().await;
        let before = known.before();
        match &op {
            Op::Append(number) => known.appends(*number),
            Op::Set { key, value, .. } => known.sets(key, *value),
            Op::Logout => known.may_end(),
            Op::SignIn(_) | Op::Read | Op::Rotate | Op::LogoutOther => {}
        }
        let Some(answer) = self.request(way, Some(known.cookie()), op.clone()).await else { return };
        if let Some(cookie) = answer.cookie {
            known.sent(cookie);
        }
        if answer.status == 503 {
            return;
        }
        if answer.id.is_none() || answer.status == 401 {
            if known.fate() == Fate::Lives {
                self.wrong(format!("{op:?}: {} of {} lives, and {} was answered", known.id, known.user, answer.status));
            }
        } else if before.fate == Fate::Ended {
            self.wrong(format!("{op:?}: {} of {} was signed out, and still lives", known.id, known.user));
        }
        let is_done = answer.status == 200 && answer.id.is_some();
        match op {
            Op::Append(number) if is_done => known.appended(number),
            Op::Set { key, value, .. } if is_done => known.set(&key, value),
            Op::Logout if answer.status == 200 => known.ended(),
            Op::Read if is_done => {
                let found = answer.read.unwrap_or_default();
                known.wrong_numbers(&before, &found).into_iter().for_each(|what| self.wrong(format!("read: {what}")));
            }
            _ => {}
        }
    }

    /// Signs out all others of its user: whether that was answered. It may land later otherwise, and end those that are made by then.
    pub(super) async fn end_others(&self, way: Way, known: &Known, others: &[Arc<Known>]) -> bool {
        others.iter().for_each(|other| other.may_end());
        let answer = self.request(way, Some(known.cookie()), Op::LogoutOther).await;
        let Some(answer) = answer.filter(|answer| answer.status != 503) else { return false };
        if answer.status == 200 {
            others.iter().for_each(|other| other.ended());
        } else if known.fate() == Fate::Lives {
            self.wrong(format!("{} of {} lives, and {} was answered", known.id, known.user, answer.status));
        }
        true
    }

    pub(super) async fn revoke(&self, way: Way, known: &Known) {
        known.may_end();
        let (user, id) = (known.user.clone(), known.id.clone());
        let revoke = |service: CookieSessionService| async move { service.revoke_by_id(&user, &id).await };
        match self.call(way, revoke).await {
            Some(Ok(()) | Err(Error::UnknownSession)) => known.ended(),
            Some(Err(error)) if error.status() != 503 => self.wrong(format!("a revocation: {error}")),
            _ => {}
        }
    }

    /// A list of the user's sessions: those that live, and none that was signed out.
    pub(super) async fn list(&self, way: Way, user: &str) {
        let of_user = || lock(&self.made).iter().filter(|known| known.user == user).cloned().collect::<Vec<_>>();
        let before: Vec<_> = of_user().into_iter().map(|known| (known.fate(), known)).collect();
        let user = user.to_owned();
        let Some(Ok(found)) = self.call(way, |service| async move { service.list(&user).await }).await else { return };
        for (fate, known) in before {
            let is_there = found.iter().any(|session| session.id == known.id);
            if is_there && fate == Fate::Ended || !is_there && known.fate() == Fate::Lives {
                self.wrong(format!("listed is {is_there}: {} of {}: {fate:?}", known.id, known.user));
            }
        }
    }
}
