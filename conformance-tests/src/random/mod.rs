//! Random schedules on the core, without HTTP: rotations whose answers get lost, and several tasks
//! on one handle whose futures are dropped anywhere. Each schedule follows from its seed, which a
//! failure prints. Not here: what requests do one after the other, see `model`.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Response;
use http::header::{COOKIE, HeaderMap, HeaderValue, SET_COOKIE};
use libtest_mimic::Trial;
use session_core::adapter::ScopeGuard;
use session_core::{CookieSession, CookieSessionService};

use crate::trial::proves;
use crate::world::StoreKind;
use thefts::STEPS;

mod flash;
mod handles;
mod rotations;
mod thefts;
mod unsteady;
mod visitors;

/// The trials for one kind of store.
pub(crate) fn mount(store: &Arc<dyn StoreKind>) -> Vec<Trial> {
    let mut trials = Vec::new();
    // Split, so that the parts run at once and none of them takes long.
    let (parts, rounds, schedules, visits, messages, thefts) = match store.name() {
        "memory" => (4, 25_000, 5_000, 2_500, 2_500, 250),
        "postgres" | "mysql" => (4, 500, 250, 50, 50, 5),
        _ => (1, 500, 500, 200, 200, 20),
    };
    for part in 0..parts {
        let (from, kind) = (part * rounds, Arc::clone(store));
        let name = format!("{rounds} rounds of several tasks on one handle from seed {from}");
        trials.push(proves("core", store.name(), &["OUT-5", "AUTH-7", "DATA-10"], &name, move || {
            handles::rounds(kind, from..from + rounds)
        }));
        let (from, kind) = (part * schedules, Arc::clone(store));
        let name = format!("{schedules} schedules of rotations from seed {from}");
        trials.push(proves("core", store.name(), &["ROT-7", "ROT-6", "ROT-9", "ROT-10"], &name, move || {
            rotations::schedules(kind, from..from + schedules)
        }));
        let (from, kind) = (part * thefts, Arc::clone(store));
        let name = format!("{} requests with a stolen cookie or their own from seed {from}", thefts * STEPS);
        trials.push(proves("core", store.name(), &["ROT-10", "ROT-9", "ROT-6"], &name, move || {
            thefts::schedules(kind, from..from + thefts)
        }));
        let (from, kind) = (part * visits, Arc::clone(store));
        let name = format!("{visits} rounds of a visitor's requests from seed {from}");
        trials.push(proves("core", store.name(), &["VISIT-6", "VISIT-5", "VISIT-8", "DATA-6"], &name, move || {
            visitors::rounds(kind, from..from + visits)
        }));
        let (from, kind) = (part * messages, Arc::clone(store));
        let name = format!("{messages} rounds of messages for the next page from seed {from}");
        trials.push(proves("core", store.name(), &["FLASH-2", "FLASH-3", "DATA-10"], &name, move || {
            flash::rounds(kind, from..from + messages)
        }));
    }
    trials
}

/// Runs it on a thread of its own, so that a schedule follows from its seed as far as the store
/// lets it.
async fn on_one_thread(schedules: impl AsyncFnOnce() + Send + 'static) {
    let outcome = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        tokio::task::LocalSet::new().block_on(&runtime, schedules());
    });
    if let Err(error) = outcome.await {
        std::panic::resume_unwind(error.into_panic());
    }
}

/// SplitMix64: the same numbers on every machine.
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        usize::try_from(bits % bound as u64).expect("below a usize")
    }

    pub(crate) fn of<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        if choices.is_empty() { None } else { Some(&choices[self.below(choices.len())]) }
    }

    /// True once in so many.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// What a browser keeps: the session's cookie.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Jar(Option<String>);

/// What a response does with the cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Nothing,
    Removes,
    Sends(String),
}

impl Jar {
    fn keep(&mut self, answer: &Answer) {
        match answer {
            Answer::Nothing => {}
            Answer::Removes => self.0 = None,
            Answer::Sends(cookie) => self.0 = Some(cookie.clone()),
        }
    }
}

/// Extracts the session of a request with this jar.
async fn request(
    service: &CookieSessionService,
    jar: &Jar,
) -> Result<(ScopeGuard, CookieSession), session_core::Error> {
    let mut head = HeaderMap::new();
    if let Some(cookie) = &jar.0 {
        head.insert(COOKIE, HeaderValue::try_from(cookie).expect("a cookie"));
    }
    let guard = service.begin(None);
    let scope = guard.scope();
    let session = scope.load(scope.read(&head, None)).await?;
    Ok((guard, session))
}

/// Commits under the handler's status.
async fn respond(guard: &ScopeGuard, status: u16) -> (u16, Answer) {
    let mut response = Response::builder().status(status).body(()).expect("a status");
    guard.commit(status).await.apply(&mut response);
    let lines: Vec<_> = response.headers().get_all(SET_COOKIE).iter().collect();
    assert!(lines.len() <= 1, "one Set-Cookie at most");
    let answer = match lines.first().map(|line| line.to_str().expect("text")) {
        None => Answer::Nothing,
        Some(line) if line.contains("Max-Age=0") => Answer::Removes,
        Some(line) => Answer::Sends(line.split(';').next().expect("a first part").to_owned()),
    };
    (response.status().as_u16(), answer)
}

/// Signs a new browser in.
async fn sign_in(service: &CookieSessionService, user: &str) -> Jar {
    let mut jar = Jar::default();
    let (guard, session) = request(service, &jar).await.expect("the store works");
    session.authenticate(user).await.expect("the store works");
    jar.keep(&respond(&guard, 200).await.1);
    jar
}

/// A future that is dropped after so many polls, if it isn't ready by then: none.
struct Dropped<F> {
    future: Option<Pin<Box<F>>>,
    polls: usize,
}

fn dropped_after<F: Future>(polls: usize, future: F) -> Dropped<F> {
    Dropped { future: Some(Box::pin(future)), polls }
}

impl<F: Future> Future for Dropped<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            self.future = None;
            return Poll::Ready(None);
        }
        self.polls -= 1;
        let future = self.future.as_mut().expect("not polled after it was ready");
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => {
                if self.polls == 0 {
                    cx.waker().wake_by_ref();
                }
                Poll::Pending
            }
        }
    }
}
