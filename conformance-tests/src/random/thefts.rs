//! ROT-9, ROT-10: a cookie in one browser or in two, while tokens are rotated by the way. A model
//! of the tokens, made from the contract alone, says who is signed in and which use is a reuse.
//! With one browser that keeps what it stored there is no alarm, whatever gets lost; with two there
//! is one at the first use that doesn't follow the other's rotation.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use session_core::{CookieSessionService, Event, KeyRing, ManualClock, SessionConfig, SigningKey};

use super::{Answer, Jar, Random, on_one_thread, respond, sign_in};
use crate::world::StoreKind;
use http::header::{COOKIE, HeaderMap, HeaderValue, USER_AGENT};

/// Requests of one schedule.
pub(super) const STEPS: u64 = 100;
const EVERY: Duration = Duration::from_mins(10);
const GRACE: Duration = Duration::from_secs(60);

pub(super) async fn schedules(kind: Arc<dyn StoreKind>, seeds: Range<u64>) {
    on_one_thread(async move || {
        let rows = kind.fresh().await;
        let (clock, alarms) = (Arc::new(ManualClock::default()), Arc::new(AtomicUsize::new(0)));
        let keys = KeyRing::new(SigningKey::from_bytes(&[42; 32]).expect("32 bytes"));
        let mut nodes = Vec::new();
        for _ in 0..2 {
            let config = SessionConfig::builder().rotate_every(EVERY).build(keys.clone()).expect("it goes together");
            let alarms = Arc::clone(&alarms);
            let service = CookieSessionService::new(rows.open().await, config).with_clock(Arc::clone(&clock));
            nodes.push(service.with_observer(move |event| {
                if matches!(event, Event::TokenReused { .. }) {
                    alarms.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
        let sky = Sky { nodes, clock, alarms };
        let mut thefts = 0;
        for seed in seeds {
            thefts += one(&sky, seed).await;
        }
        println!("{thefts} thefts noticed");
    })
    .await;
}

struct Sky {
    nodes: Vec<CookieSessionService>,
    clock: Arc<ManualClock>,
    alarms: Arc<AtomicUsize>,
}

/// The session's tokens as the contract has them, oldest first, and how old the last one is.
struct Tokens {
    /// The cookies of the tokens, by their number.
    known: Vec<String>,
    /// Whether the last token was presented.
    seen: bool,
    /// How long ago the last one was made.
    age: Duration,
}

/// What a token counts for.
#[derive(Debug, PartialEq, Eq)]
enum Expected {
    Current,
    Superseded { sends: bool },
    Dead { alarm: bool },
}

impl Tokens {
    fn number_of(&self, cookie: &str) -> usize {
        self.known.iter().position(|known| known == cookie).expect("a cookie that was sent")
    }

    fn expected(&self, number: usize) -> Expected {
        let last = self.known.len() - 1;
        let is_late = self.age >= GRACE;
        match last - number {
            0 => Expected::Current,
            1 if !self.seen => Expected::Superseded { sends: is_late },
            1 if !is_late => Expected::Superseded { sends: false },
            _ => Expected::Dead { alarm: is_late },
        }
    }
}

/// One session. Returns whether a theft was noticed.
async fn one(sky: &Sky, seed: u64) -> usize {
    let mut random = Random::seeded(seed);
    let user = format!("user {seed}");
    let is_stolen = random.once_in(2);
    let mut jars = vec![sign_in(&sky.nodes[0], &user).await];
    let first = jars[0].0.clone().expect("a cookie");
    let mut tokens = Tokens { known: vec![first], seen: true, age: Duration::ZERO };
    let (mut steps, mut thefts) = (Vec::new(), 0);
    // Answers on their way, each to a browser. None comes later than the next rotation.
    let mut late: Vec<(usize, Answer)> = Vec::new();
    for step in 0..STEPS {
        if is_stolen && step == STEPS / 4 {
            steps.push("stolen".to_owned());
            let copy = jars[0].clone();
            jars.push(copy);
        }
        let pause = [0, 1, 30, 60, 61, 599, 600, 601, 86_400][random.below(9)];
        sky.clock.advance(Duration::from_secs(pause));
        tokens.age += Duration::from_secs(pause);
        if random.once_in(2) && !late.is_empty() {
            let (browser, answer) = late.remove(random.below(late.len()));
            jars[browser].keep(&answer);
            steps.push(format!("{browser} receives an answer"));
        }
        let browser = random.below(jars.len());
        let cookie = jars[browser].0.clone().expect("no sign-out");
        let number = tokens.number_of(&cookie);
        let expected = tokens.expected(number);
        steps.push(format!("{pause} s, {browser} presents {number} of {}: {expected:?}", tokens.known.len()));
        let told = || format!("seed {seed}: {steps:#?}");
        let before = sky.alarms.load(Ordering::Relaxed);
        let (signed_in, answer) = ask(&sky.nodes[random.below(2)], &jars[browser], step, &user).await;
        let alarms = sky.alarms.load(Ordering::Relaxed) - before;

        match expected {
            Expected::Current => {
                let rotates = tokens.seen && tokens.age >= EVERY;
                tokens.seen = true;
                let Answer::Sends(cookie) = &answer else {
                    assert!(signed_in && alarms == 0 && !rotates, "{}", told());
                    continue;
                };
                assert!(signed_in && alarms == 0 && rotates, "{}", told());
                tokens.known.push(cookie.clone());
                (tokens.seen, tokens.age) = (false, Duration::ZERO);
                // An answer of before the rotation is either lost or has arrived.
                late.clear();
            }
            Expected::Superseded { sends } => {
                assert!(signed_in && alarms == 0, "{}", told());
                let last = tokens.known.last().expect("the first one").clone();
                let expected = if sends { Answer::Sends(last) } else { Answer::Nothing };
                assert_eq!(answer, expected, "{}", told());
            }
            Expected::Dead { alarm } => {
                assert!(!signed_in && answer == Answer::Nothing, "{}", told());
                assert_eq!(alarms, usize::from(alarm), "{}", told());
                assert!(is_stolen, "{}", told());
                if alarm {
                    thefts = 1;
                    break;
                }
            }
        }
        match random.below(4) {
            0 => steps.push("its answer is lost".to_owned()),
            1 => late.push((browser, answer)),
            _ => jars[browser].keep(&answer),
        }
    }
    sky.nodes[0].revoke_all(&user).await.expect("the store works");
    thefts
}

/// A request of a client that no other step has. Whether it is signed in, and its answer.
async fn ask(service: &CookieSessionService, jar: &Jar, step: u64, user: &str) -> (bool, Answer) {
    let mut head = HeaderMap::new();
    head.insert(COOKIE, HeaderValue::try_from(jar.0.as_deref().expect("a cookie")).expect("a cookie"));
    head.insert(USER_AGENT, HeaderValue::try_from(format!("step/{step}")).expect("text"));
    let guard = service.begin(None);
    let scope = guard.scope();
    let session = scope.load(scope.read(&head, None)).await.expect("the store works");
    let signed_in = session.user_id().is_some_and(|id| id == user);
    (signed_in, respond(&guard, 200).await.1)
}
