//! FLASH-1, FLASH-2, FLASH-3, DATA-10: several requests of one browser at once, on two nodes, that
//! add messages and take them, beside sign-ins, sign-outs and rotations. Operations, handlers and
//! commits are given up anywhere, answers get lost, and statements land late. No message is shown
//! twice. One that was acknowledged is shown once or waits, unless its session has ended or the
//! store has failed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Map, Value};
use session_core::store::SessionStore;
use session_core::{
    CookieSessionService, CsrfToken, Event, Flash, FlashLevel, FlashMessage, KeyRing, SessionConfig, SigningKey,
    Visitors,
};
use time::OffsetDateTime;

use super::unsteady::{Sky, Unsteady, Weather};
use super::{Jar, Random, dropped_after, on_one_thread, request, respond};
use crate::world::StoreKind;
use course::{Begins, Course, End, Known, Op, Report, id_of, run};

mod course;

pub(super) async fn rounds(kind: Arc<dyn StoreKind>, seeds: Range<u64>) {
    on_one_thread(async move || {
        let rows = kind.fresh().await;
        let stores = [rows.open().await, rows.open().await];
        let keys = KeyRing::new(SigningKey::from_bytes(&[42; 32]).expect("32 bytes"));
        let config = || SessionConfig::builder().visitors(Visitors::new()).build(keys.clone()).expect("the defaults");
        for seed in seeds {
            let sky = Sky::new(seed, Weather::Fair);
            let has_failed = Arc::new(AtomicBool::new(false));
            let node = |store| {
                let failed = Arc::clone(&has_failed);
                let note = move |event: &Event| {
                    if matches!(event, Event::StoreFailed { .. } | Event::Contention { .. }) {
                        failed.store(true, Ordering::SeqCst);
                    }
                };
                let store = Unsteady::new(Arc::clone(store), Arc::clone(&sky));
                CookieSessionService::new(store, config()).with_observer(note)
            };
            let nodes = [node(&stores[0]), node(&stores[1])];
            let (store, random) = (Arc::clone(&stores[0]), Random::seeded(seed));
            Round { nodes, store, sky, seed, random, has_failed }.run().await;
        }
    })
    .await;
}

const MESSAGES: [Op; 11] = [
    Op::Push,
    Op::Push,
    Op::Push,
    Op::Take,
    Op::Take,
    Op::Take,
    Op::TakeTwice,
    Op::Mark,
    Op::Token,
    Op::Save,
    Op::Reload,
];
const TOKENS: [Op; 7] = [Op::Push, Op::Take, Op::Take, Op::Token, Op::Keep, Op::Rotate, Op::Mark];
const ALL: [Op; 8] = [Op::Push, Op::Take, Op::Save, Op::RotateStrict, Op::Keep, Op::SignIn, Op::Logout, Op::TakeTwice];

struct Round {
    nodes: [CookieSessionService; 2],
    store: Arc<dyn SessionStore>,
    sky: Arc<Sky>,
    seed: u64,
    random: Random,
    has_failed: Arc<AtomicBool>,
}

impl Round {
    async fn run(mut self) {
        let user = format!("user {}", self.seed);
        let mut jar = Jar::default();
        let begins = [Begins::Stranger, Begins::Visitor, Begins::Visitor, Begins::User][self.random.below(4)];
        let mut first = Vec::new();
        if begins != Begins::Stranger {
            let (guard, session) = request(&self.nodes[0], &jar).await.expect("the store works");
            if begins == Begins::User {
                session.authenticate(&user).await.expect("the store works");
            }
            session.set("begun", &1).expect("a value");
            for number in 0..self.random.below(3) {
                let name = format!("first.{number}");
                Flash::of(&session).push(FlashLevel::Info, &name).expect("a message");
                first.push((name, Known::Stored));
            }
            let (status, answer) = respond(&guard, 200).await;
            assert_eq!(status, 200, "seed {}: the store works", self.seed);
            jar.keep(&answer);
        }
        self.sky.set([Weather::Fair, Weather::Fair, Weather::Rough, Weather::Stormy][self.random.below(4)]);
        let choices: &'static [Op] = match self.random.below(4) {
            0 => &TOKENS,
            1 => &ALL,
            _ => &MESSAGES,
        };
        let reports = Rc::new(RefCell::new(Vec::new()));
        let count = 1 + self.random.below(3);
        let tasks: Vec<_> = (0..count).map(|number| self.task(number, choices, &jar, &user, &reports)).collect();
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
        self.check(begins, &first, &reports).await;
    }

    fn task(
        &mut self,
        number: usize,
        choices: &'static [Op],
        jar: &Jar,
        user: &str,
        reports: &Rc<RefCell<Vec<Report>>>,
    ) -> tokio::task::JoinHandle<()> {
        let node = self.nodes[self.random.below(2)].clone();
        let mut ops = Vec::new();
        for _ in 0..=self.random.below(5) {
            let mut polls = || if self.random.once_in(4) { 1 + self.random.below(10) } else { usize::MAX };
            let polls = [polls(), polls()];
            ops.push((*self.random.of(choices).expect("there are some"), polls));
        }
        let end = match self.random.below(10) {
            0 => End::Dropped,
            1 | 2 => End::Status(500),
            3 => End::CommitDropped(1 + self.random.below(12)),
            4 => End::Status(303),
            _ => End::Status(200),
        };
        let fails_late = self.random.once_in(6);
        let pause = self.random.below(12);
        let (jar, user, reports) = (jar.clone(), user.to_owned(), Rc::clone(reports));
        tokio::task::spawn_local(async move {
            for _ in 0..pause {
                tokio::task::yield_now().await;
            }
            // Where connections are cut a look-up may fail.
            let Ok((guard, session)) = request(&node, &jar).await else { return };
            let is_stranger = !session.is_authenticated() && session.visitor_id().is_none();
            let mut course = Course { is_stranger, ..Course::default() };
            for (at, (op, polls)) in ops.into_iter().enumerate() {
                let name = format!("{number}.{at}");
                let done = if op == Op::Token {
                    course.token(&session)
                } else {
                    run(op, &session, &user, &name, polls, &mut course.taken).await
                };
                course.note(op, done, name);
            }
            let answer = match end {
                End::Status(status) => Some(respond(&guard, status).await),
                End::Dropped => None,
                End::CommitDropped(polls) => {
                    let status = if fails_late { 500 } else { 200 };
                    dropped_after(polls, respond(&guard, status)).await
                }
            };
            let mut jar = jar;
            let status = answer.map(|(status, answer)| {
                jar.keep(&answer);
                status
            });
            drop(guard);
            // What was given up, or goes on after the response, is done when this returns.
            for _ in 0..2 {
                drop(session.list("nobody").await);
            }
            reports.borrow_mut().push(course.report(end, status, jar));
        })
    }

    async fn check(&self, begins: Begins, first: &[(String, Known)], reports: &[Report]) {
        let told = |what: &str| format!("seed {}: {what} after {begins:?}, {reports:#?}", self.seed);
        let rows = self.live_rows().await;
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        for name in rows.iter().flat_map(waiting) {
            *seen.entry(name).or_default() += 1;
        }
        for report in reports {
            for taken in &report.taken {
                let in_order = |of: &str| {
                    let own: Vec<_> = taken.iter().filter(|name| name.starts_with(of)).collect();
                    own.is_sorted()
                };
                assert!(["first.", "0.", "1.", "2."].iter().all(|of| in_order(of)), "{}", told("another order"));
            }
            for name in report.taken.iter().flatten().filter(|_| report.is_shown()) {
                *seen.entry(name.clone()).or_default() += 1;
            }
        }
        let keeps: usize = reports.iter().map(|report| report.count(Op::Keep)).sum();
        let destroys = reports.iter().any(|report| report.destroys(begins)) || keeps > 1;
        for (name, times) in &seen {
            // Of two sign-ins of one visitor at once each takes along what it knows of it.
            let is_copied = keeps > 1 || (keeps > 0 && destroys);
            assert!(*times <= 1 || is_copied, "{}: {name}", told("a message that is shown twice"));
        }
        let gives_back = reports.iter().filter(|report| report.gives_back()).count();
        // A visitor who has signed in elsewhere has no row to put something back into.
        let is_beyond = gives_back > 0 && keeps > 0 && reports.len() > 1;
        let is_excused = destroys || is_beyond || self.has_failed.load(Ordering::SeqCst);
        for (name, known) in first.iter().chain(reports.iter().flat_map(|report| &report.pushed)) {
            let times = seen.get(name).copied().unwrap_or_default();
            match known {
                Known::Stored => assert!(times == 1 || is_excused, "{}: {name}", told("a message that is lost")),
                Known::Dropped => assert_eq!(times, 0, "{}: {name}", told("a message that came back")),
                Known::Pending | Known::Taken | Known::Unknown => {}
            }
        }
        for report in reports.iter().filter(|report| report.is_shown()) {
            let (guard, session) = request(&self.nodes[1], &report.jar).await.expect("the store works");
            let id = id_of(&session);
            for (text, of) in reports.iter().flat_map(|report| &report.tokens) {
                let is_verified = CsrfToken::of(&session).and_then(|token| token.verify(text)).is_ok();
                assert_eq!(is_verified, id.as_ref() == Some(of), "{}: {id:?} {of}", told("a token of another session"));
            }
            let is_live = |(_, of): &(String, String)| id.as_ref() == Some(of) || destroys || keeps > 0;
            let is_valid = report.tokens.iter().all(is_live);
            assert!(is_valid, "{}: {id:?}", told("a token that the next request can't use"));
            drop(respond(&guard, 200).await);
        }
        let stored: Vec<String> = rows.iter().flat_map(|row| row.keys().cloned()).collect();
        for (name, known) in reports.iter().flat_map(|report| &report.marks) {
            match known {
                Known::Stored if !destroys => {
                    assert!(stored.contains(name), "{}: {name}", told("a value that is gone"));
                }
                Known::Dropped => assert!(!stored.contains(name), "{}: {name}", told("a value that was dropped")),
                _ => {}
            }
        }
    }

    /// The values of the rows of this round that are live.
    async fn live_rows(&self) -> Vec<Map<String, Value>> {
        let mut rows = Vec::new();
        for created in self.sky.created() {
            for row in self.store.load(&[created], OffsetDateTime::now_utc()).await.expect("the store works").iter() {
                rows.push(serde_json::from_str(row.data.text()).expect("stored values"));
            }
        }
        rows
    }
}

fn waiting(row: &Map<String, Value>) -> Vec<String> {
    let messages: Vec<FlashMessage> =
        row.get("~flash").map(|all| serde_json::from_value(all.clone()).expect("messages")).unwrap_or_default();
    messages.into_iter().map(|message| message.text).collect()
}
