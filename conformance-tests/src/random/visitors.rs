//! VISIT-5, VISIT-6, VISIT-8: several requests of one browser at once, on two nodes, that store
//! values before, while and after one of them signs in. Operations and commits are given up
//! anywhere, answers get lost, and statements land late. What was reported as stored is there once,
//! no row is left that no browser was sent a cookie of, and no cookie of an ended row is sent.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use serde_json::Value;
use session_core::store::SessionStore;
use session_core::{CookieSession, CookieSessionService, KeyRing, Record, SessionConfig, SignIn, SigningKey, Visitors};
use time::OffsetDateTime;

use super::unsteady::{Sky, Unsteady, Weather};
use super::{Answer, Jar, Random, dropped_after, on_one_thread, request, respond};
use crate::world::StoreKind;

pub(super) async fn rounds(kind: Arc<dyn StoreKind>, seeds: Range<u64>) {
    on_one_thread(async move || {
        let rows = kind.fresh().await;
        let stores = [rows.open().await, rows.open().await];
        let keys = KeyRing::new(SigningKey::from_bytes(&[42; 32]).expect("32 bytes"));
        let config = || SessionConfig::builder().visitors(Visitors::new()).build(keys.clone()).expect("the defaults");
        for seed in seeds {
            let sky = Sky::new(seed, Weather::Fair);
            let node = |store| CookieSessionService::new(Unsteady::new(Arc::clone(store), Arc::clone(&sky)), config());
            let nodes = [node(&stores[0]), node(&stores[1])];
            let round = Round { nodes, store: Arc::clone(&stores[0]), sky, seed, random: Random::seeded(seed) };
            round.run().await;
        }
    })
    .await;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    /// Counts up, and sets a mark of its own in the same request.
    Mark,
    /// Sets a value and removes it again.
    Nothing,
    Save,
    Reload,
    Keep,
    SignIn,
    Logout,
}

const VALUES: [Op; 8] = [Op::Mark, Op::Mark, Op::Mark, Op::Save, Op::Reload, Op::Keep, Op::Keep, Op::Nothing];
const ALL: [Op; 8] = [Op::Mark, Op::Mark, Op::Save, Op::Reload, Op::Keep, Op::SignIn, Op::Logout, Op::Nothing];

/// How the handler of a request ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Status(u16),
    /// The handler is dropped.
    Dropped,
    /// The commit is dropped after so many polls.
    CommitDropped(usize),
}

/// What became of a request. Operations that were given up have no outcome.
#[derive(Debug)]
struct Report {
    ops: Vec<(Op, Option<Result<(), u16>>)>,
    #[expect(dead_code, reason = "shown where a round fails")]
    end: End,
    answer: Option<(u16, Answer)>,
    /// The marks that were set, and what is known of each.
    marks: Vec<(String, Known)>,
    /// Whether values that others have stored may be gone with it.
    destroys: bool,
}

impl Report {
    /// Whether its session may end after its response, which doesn't wait for what was given up.
    fn may_end_late(&self) -> bool {
        self.ops.iter().any(|(op, done)| matches!(op, Op::Keep | Op::SignIn | Op::Logout) && *done != Some(Ok(())))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// In memory only.
    Pending,
    /// Stored or not.
    Unknown,
    Stored,
    /// Dropped for good, and nothing was asked to store it.
    Dropped,
}

struct Round {
    nodes: [CookieSessionService; 2],
    store: Arc<dyn SessionStore>,
    sky: Arc<Sky>,
    seed: u64,
    random: Random,
}

impl Round {
    async fn run(mut self) {
        let user = format!("user {}", self.seed);
        let (mut jar, mut marks) = (Jar::default(), Vec::new());
        let begins = self.random.below(4);
        if begins > 0 {
            let (guard, session) = request(&self.nodes[0], &jar).await.expect("the store works");
            if begins == 1 {
                session.authenticate(&user).await.expect("the store works");
            }
            mark(&session, "first").expect("a value");
            jar.keep(&respond(&guard, 200).await.1);
            marks.push(("first".to_owned(), Known::Stored));
        }
        self.sky.set([Weather::Fair, Weather::Rough, Weather::Stormy][self.random.below(3)]);
        let choices = if self.random.once_in(3) { ALL } else { VALUES };
        let reports = Rc::new(RefCell::new(Vec::new()));
        let count = 1 + self.random.below(3);
        let tasks: Vec<_> =
            (0..count).map(|number| self.task(number, &choices, &jar, begins == 1, &user, &reports)).collect();
        if self.random.once_in(2) {
            for _ in 0..self.random.below(20) {
                tokio::task::yield_now().await;
            }
            self.sky.land().await;
        }
        for task in tasks {
            task.await.expect("no panic");
        }
        self.sky.land().await;
        self.sky.set(Weather::Fair);
        let reports = Rc::try_unwrap(reports).expect("the tasks are done").into_inner();
        self.check(&jar, &marks, &reports).await;
    }

    fn task(
        &mut self,
        number: usize,
        choices: &[Op],
        jar: &Jar,
        is_user: bool,
        user: &str,
        reports: &Rc<RefCell<Vec<Report>>>,
    ) -> tokio::task::JoinHandle<()> {
        let node = self.nodes[self.random.below(2)].clone();
        let mut ops = Vec::new();
        for _ in 0..=self.random.below(5) {
            let polls = if self.random.once_in(5) { 1 + self.random.below(12) } else { usize::MAX };
            ops.push((*self.random.of(choices).expect("there are some"), polls));
        }
        let end = match self.random.below(8) {
            0 => End::Dropped,
            1 => End::Status(500),
            2 => End::CommitDropped(1 + self.random.below(12)),
            _ => End::Status(200),
        };
        let pause = self.random.below(12);
        let (jar, user, reports) = (jar.clone(), user.to_owned(), Rc::clone(reports));
        tokio::task::spawn_local(async move {
            for _ in 0..pause {
                tokio::task::yield_now().await;
            }
            let (guard, session) = request(&node, &jar).await.expect("look-ups work");
            let is_stranger = !session.is_authenticated() && session.visitor_id().is_none();
            let mut course = Course::new(is_user);
            for (at, (op, polls)) in ops.into_iter().enumerate() {
                let name = format!("{number}.{at}");
                let outcome = dropped_after(polls, run(op, &session, &user, &name)).await;
                course.note(op, outcome.map(|done| done.map_err(|error| error.status())), name);
            }
            let answer = match end {
                End::Status(status) => Some(respond(&guard, status).await),
                End::Dropped => None,
                End::CommitDropped(polls) => dropped_after(polls, respond(&guard, 200)).await,
            };
            drop(guard);
            // What was given up is done when this returns. It fails where a sign-in stays open.
            drop(session.list("nobody").await);
            if answer.is_none() && is_stranger {
                // The row of a visitor who was sent no cookie ends.
                course.turn(Known::Stored, Known::Unknown);
            }
            reports.borrow_mut().push(course.report(end, answer));
        })
    }

    async fn check(&self, jar: &Jar, first: &[(String, Known)], reports: &[Report]) {
        let told = |what: &str| format!("seed {}: {what} after {reports:?}", self.seed);
        let rows = self.live_rows().await;
        for row in &rows {
            let values = marks_of(row);
            assert_eq!(values.0, values.1.len() as u64, "{}: {values:?}", told("an increment that counts twice"));
        }
        let stored: BTreeSet<String> = rows.iter().flat_map(|row| marks_of(row).1).collect();
        let destroys = reports.iter().any(|report| report.destroys);
        for (name, known) in first.iter().chain(reports.iter().flat_map(|report| &report.marks)) {
            match known {
                Known::Stored if !destroys => {
                    assert!(stored.contains(name), "{}: {name}", told("a value that is gone"));
                }
                Known::Dropped => assert!(!stored.contains(name), "{}: {name}", told("a value that came back")),
                _ => {}
            }
        }

        let mut sent = Vec::new();
        for report in reports {
            if let Some((_, Answer::Sends(cookie))) = &report.answer {
                let held = self.row_of(&Jar(Some(cookie.clone()))).await;
                assert!(held.is_some() || report.may_end_late(), "{}", told("a cookie of a row that has ended"));
                sent.extend(held);
            }
            let signs_out = report.ops.contains(&(Op::Logout, Some(Ok(()))));
            if signs_out {
                assert_eq!(self.row_of(jar).await, None, "{}", told("a sign-out that is lost"));
            }
        }
        sent.extend(self.row_of(jar).await);
        let lost = self.sky.lost();
        // A response that was lost, or never came.
        let is_excused = |row: &Record| {
            let silent = reports.iter().filter(|report| report.answer.is_none());
            let made: BTreeSet<_> = silent.flat_map(|report| &report.marks).map(|(name, _)| name.clone()).collect();
            lost.contains(&row.id) || marks_of(row).1.iter().any(|mark| made.contains(mark))
        };
        for row in &rows {
            let id = row.id.to_string();
            let is_visitor = row.user_id.is_visitor();
            let silent = !is_visitor && reports.iter().any(|report| report.answer.is_none());
            assert!(sent.contains(&id) || silent || is_excused(row), "{}: {row:?}", told("a row without a browser"));
        }
    }

    /// The rows of this round that are live.
    async fn live_rows(&self) -> Vec<Arc<Record>> {
        let mut rows = Vec::new();
        for created in self.sky.created() {
            rows.extend(self.store.load(&[created], OffsetDateTime::now_utc()).await.expect("the store works"));
        }
        rows
    }

    /// The id of the row whose cookie this is, if it is live.
    async fn row_of(&self, jar: &Jar) -> Option<String> {
        let (guard, session) = request(&self.nodes[0], jar).await.expect("the store works");
        let id = session.current().map(|current| current.id).or_else(|| session.visitor_id());
        drop(respond(&guard, 200).await);
        id
    }
}

async fn run(op: Op, session: &CookieSession, user: &str, name: &str) -> session_core::Result<()> {
    match op {
        Op::Mark => mark(session, name),
        Op::Nothing => {
            session.set("nothing", &1)?;
            session.remove_key("nothing");
            Ok(())
        }
        Op::Save => session.save().await,
        Op::Reload => session.reload().await,
        Op::Keep => session.authenticate_opts(user, SignIn::new().keep_all()).await,
        Op::SignIn => session.authenticate(user).await,
        Op::Logout => session.logout().await,
    }
}

fn mark(session: &CookieSession, name: &str) -> session_core::Result<()> {
    session.set(name, &1)?;
    session.update("n", |n: Option<u64>| n.unwrap_or(0) + 1)
}

/// The count of a row's increments, and their marks.
fn marks_of(row: &Record) -> (u64, Vec<String>) {
    let mut values: serde_json::Map<String, Value> = serde_json::from_str(row.data.text()).expect("stored values");
    let count = values.remove("n").map_or(0, |n| n.as_u64().expect("a count"));
    (count, values.into_iter().map(|(name, _)| name).collect())
}

/// What is known of a request's marks as its operations return.
struct Course {
    ops: Vec<(Op, Option<Result<(), u16>>)>,
    marks: Vec<(String, Known)>,
    /// Whether it holds a user's session, which is never taken along.
    is_user: bool,
    /// Whether a sign-in may have ended the visitor without having been repeated since.
    is_uncertain: bool,
    destroys: bool,
}

impl Course {
    const fn new(is_user: bool) -> Self {
        Self { ops: Vec::new(), marks: Vec::new(), is_user, is_uncertain: false, destroys: false }
    }

    fn turn(&mut self, from: Known, to: Known) {
        for (_, known) in self.marks.iter_mut().filter(|(_, known)| *known == from) {
            *known = to;
        }
    }

    fn note(&mut self, op: Op, outcome: Option<Result<(), u16>>, name: String) {
        self.ops.push((op, outcome));
        match (op, outcome) {
            (Op::Mark, Some(Ok(()))) => self.marks.push((name, Known::Pending)),
            (Op::Mark | Op::Nothing, _) => {}
            (Op::Save, Some(Ok(()))) => self.turn(Known::Pending, Known::Stored),
            // Refused, given up, or lost for good among the changes of others (DATA-16).
            (Op::Save, _) | (Op::Reload, Some(Err(503))) => self.turn(Known::Pending, Known::Unknown),
            (Op::Reload, _) => {}
            (Op::Keep, outcome) => {
                self.destroys |= self.is_user;
                if outcome == Some(Ok(())) {
                    self.turn(Known::Pending, Known::Stored);
                    (self.is_user, self.is_uncertain) = (true, false);
                } else {
                    self.is_uncertain = true;
                }
            }
            (Op::SignIn | Op::Logout, _) => {
                self.destroys = true;
                self.turn(Known::Pending, Known::Unknown);
            }
        }
    }

    fn report(mut self, end: End, answer: Option<(u16, Answer)>) -> Report {
        let is_asked = |(op, _): &(Op, _)| !matches!(op, Op::Mark | Op::Nothing);
        let becomes = match answer {
            Some((200, _)) if end == End::Status(200) => Known::Stored,
            _ if end == End::Status(500) && !self.ops.iter().any(is_asked) => Known::Dropped,
            _ if end == End::Dropped && !self.ops.iter().any(is_asked) => Known::Dropped,
            _ => Known::Unknown,
        };
        self.turn(Known::Pending, becomes);
        let destroys = self.destroys || self.is_uncertain;
        Report { ops: self.ops, end, answer, marks: self.marks, destroys }
    }
}
