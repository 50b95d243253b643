//! OUT-5, AUTH-7, DATA-10: up to three tasks on one request's handle, each of which may give its
//! operations up at any await, and a commit after them or in between. Whatever they did, no session
//! is left that no browser holds, and no cookie of an ended one is sent.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use session_core::{CookieSession, CookieSessionService, Error, KeyRing, SessionConfig, SigningKey};

use super::unsteady::{Sky, Unsteady, Weather};
use super::{Answer, Jar, Random, dropped_after, on_one_thread, request, respond, sign_in};
use crate::world::StoreKind;

pub(super) async fn rounds(kind: Arc<dyn StoreKind>, seeds: Range<u64>) {
    on_one_thread(async move || {
        let rows = kind.fresh().await;
        let sky = Sky::new(seeds.start, Weather::Fair);
        let keys = KeyRing::new(SigningKey::from_bytes(&[42; 32]).expect("32 bytes"));
        let config = SessionConfig::builder().build(keys).expect("the defaults");
        let service = CookieSessionService::new(Unsteady::new(rows.open().await, Arc::clone(&sky)), config);
        for seed in seeds {
            Round::new(&service, seed).await.run().await;
        }
    })
    .await;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    SignIn,
    Rotate,
    RotateStrict,
    Logout,
    LogoutAll,
    LogoutOther,
    RevokeAll,
    Save,
    Reload,
    List,
}

impl Op {
    const ALL: [Self; 14] = [
        Self::SignIn,
        Self::SignIn,
        Self::SignIn,
        Self::Rotate,
        Self::Rotate,
        Self::RotateStrict,
        Self::Logout,
        Self::Logout,
        Self::LogoutAll,
        Self::LogoutOther,
        Self::RevokeAll,
        Self::Save,
        Self::Reload,
        Self::List,
    ];

    /// Whether it may end the browser's own session.
    const fn signs_out(self) -> bool {
        matches!(self, Self::Logout | Self::LogoutAll | Self::RevokeAll)
    }

    /// Whether it may end the user's other session.
    const fn ends_others(self) -> bool {
        matches!(self, Self::LogoutAll | Self::LogoutOther | Self::RevokeAll)
    }

    async fn run(self, session: &CookieSession, user: &str) -> Result<(), Error> {
        match self {
            Self::SignIn => session.authenticate(user).await,
            Self::Rotate => session.rotate().await,
            Self::RotateStrict => session.rotate_strict().await,
            Self::Logout => session.logout().await,
            Self::LogoutAll => session.logout_all().await,
            Self::LogoutOther => session.logout_other().await,
            Self::RevokeAll => session.revoke_all(user).await,
            Self::Save => {
                session.set("key", &1)?;
                session.save().await
            }
            Self::Reload => session.reload().await,
            Self::List => session.list_my_sessions().await.map(drop),
        }
    }
}

/// What became of an operation, in the order in which they returned. None for one that was given
/// up.
type Log = Rc<RefCell<Vec<(Op, Option<Result<(), u16>>)>>>;

struct Round<'a> {
    service: &'a CookieSessionService,
    seed: u64,
    user: String,
    random: Random,
    /// Another device of the user.
    other: Jar,
}

impl<'a> Round<'a> {
    async fn new(service: &'a CookieSessionService, seed: u64) -> Self {
        let user = format!("user {seed}");
        let other = sign_in(service, &user).await;
        Self { service, seed, user, random: Random::seeded(seed), other }
    }

    async fn run(mut self) {
        // A visitor, or somebody who is signed in.
        let mut jar = if self.random.once_in(3) { Jar::default() } else { sign_in(self.service, &self.user).await };
        let before = jar.clone();
        let (guard, session) = request(self.service, &jar).await.expect("the store works");
        let log = Log::default();
        let tasks: Vec<_> = (0..=self.random.below(3)).map(|_| self.task(&session, &log)).collect();
        let is_overtaken = self.random.once_in(3);
        if !is_overtaken {
            for task in tasks {
                task.await.expect("no panic");
            }
            // What was given up has been settled when this returns.
            if self.random.once_in(2) {
                session.list("nobody").await.expect("the store works");
            }
            let shown = session.user_id();
            let (status, answer) = respond(&guard, 200).await;
            self.check_answer(&log, &before, shown.as_deref(), status, &answer);
            jar.keep(&answer);
        } else {
            for _ in 0..self.random.below(6) {
                tokio::task::yield_now().await;
            }
            let answer = respond(&guard, 200).await.1;
            jar.keep(&answer);
            for task in tasks {
                task.await.expect("no panic");
            }
        }
        drop(guard);
        session.list("nobody").await.expect("the store works");
        self.check_rows(&log, &jar).await;
        self.service.revoke_all(&self.user).await.expect("the store works");
    }

    /// One to three operations, some of which are given up.
    fn task(&mut self, session: &CookieSession, log: &Log) -> tokio::task::JoinHandle<()> {
        let mut ops = Vec::new();
        for _ in 0..=self.random.below(3) {
            let op = *self.random.of(&Op::ALL).expect("there are some");
            let polls = if self.random.once_in(3) { 1 + self.random.below(12) } else { usize::MAX };
            ops.push((op, polls));
        }
        let (session, user, log) = (session.clone(), self.user.clone(), Rc::clone(log));
        tokio::task::spawn_local(async move {
            for (op, polls) in ops {
                let outcome = dropped_after(polls, op.run(&session, &user)).await;
                log.borrow_mut().push((op, outcome.map(|result| result.map_err(|error| error.status()))));
            }
        })
    }

    /// The last operation that returned decides, unless one that was given up may have come after
    /// it.
    fn check_answer(&self, log: &Log, before: &Jar, shown: Option<&str>, status: u16, answer: &Answer) {
        let log = log.borrow();
        let told = || format!("seed {}: {answer:?} after {log:?}", self.seed);
        assert_eq!(status, 200, "{}", told());
        let decides = |op: Op| op.signs_out() || matches!(op, Op::SignIn);
        let given_up = log.iter().any(|(op, outcome)| outcome.is_none() && decides(*op));
        let given_up = given_up || log.iter().any(|(op, outcome)| outcome.is_none() && *op == Op::RotateStrict);
        let last = log.iter().rev().find(|(op, outcome)| *outcome == Some(Ok(())) && decides(*op));
        match last {
            Some((Op::SignIn, _)) if !given_up => {
                assert!(matches!(answer, Answer::Sends(_)) && shown == Some(&*self.user), "{}", told());
            }
            // Ending a session that isn't this request's own is no sign-out of it.
            Some((Op::Logout | Op::LogoutAll, _)) if !given_up => {
                let expected = if before.0.is_some() { Answer::Removes } else { Answer::Nothing };
                assert!(*answer == expected && shown.is_none(), "{}", told());
            }
            _ => {}
        }
    }

    /// Every live row is one that a browser holds, and every browser that was sent a cookie holds a
    /// live one.
    async fn check_rows(&self, log: &Log, jar: &Jar) {
        let log = log.borrow().clone();
        let told = |what: &str| format!("seed {}: {what} after {log:?}", self.seed);
        let mut held = Vec::new();
        for jar in [jar, &self.other] {
            let (guard, session) = request(self.service, jar).await.expect("the store works");
            held.push(session.current().map(|current| current.id));
            drop(respond(&guard, 200).await);
        }
        let [own, other] = &held[..] else { unreachable!() };
        let listed = self.service.list(&self.user).await.expect("the store works");
        for session in &listed {
            assert!(held.iter().flatten().any(|id| *id == session.id), "{}", told("a session that no browser holds"));
        }
        let signs_out = log.iter().any(|(op, _)| op.signs_out());
        // A strict rotation that was given up, or whose cookie couldn't follow, is a sign-out.
        let strict = log.iter().any(|(op, outcome)| *op == Op::RotateStrict && *outcome != Some(Ok(())));
        let replaced = log.iter().any(|(op, outcome)| *op == Op::SignIn && *outcome != Some(Ok(())));
        if jar.0.is_some() && !signs_out && !strict && !replaced {
            assert!(own.is_some(), "{}", told("a cookie of a session that has ended"));
        }
        if !log.iter().any(|(op, _)| op.ends_others()) {
            assert!(other.is_some(), "{}", told("another device was signed out"));
        }
    }
}
