//! ROT-6, ROT-7, ROT-9, ROT-10: rotations from one browser on two nodes, given up, tried again,
//! with answers lost on both ways and statements that land late. Whichever token the browser ends
//! up with, it is signed in.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use session_core::{CookieSessionService, Event, KeyRing, ManualClock, SessionConfig, SigningKey};

use super::unsteady::{Sky, Unsteady, Weather};
use super::{Answer, Jar, Random, dropped_after, on_one_thread, request, respond, sign_in};
use crate::world::{Rows, StoreKind};

const STEPS: usize = 12;

pub(super) async fn schedules(kind: Arc<dyn StoreKind>, seeds: Range<u64>) {
    on_one_thread(async move || {
        let rows = kind.fresh().await;
        let by_hand = Nodes::on(&rows, seeds.start, false).await;
        let by_the_way = Nodes::on(&rows, seeds.start, true).await;
        for seed in seeds {
            one(if seed % 2 == 0 { &by_hand } else { &by_the_way }, seed).await;
        }
    })
    .await;
}

/// Two nodes on the same rows. Where tokens are rotated by the way too, reads rotate them, and
/// their answers are lost.
struct Nodes {
    services: [CookieSessionService; 2],
    clock: Arc<ManualClock>,
    sky: Arc<Sky>,
}

impl Nodes {
    async fn on(rows: &Rows, seed: u64, by_the_way: bool) -> Self {
        let (clock, sky) = (Arc::new(ManualClock::default()), Sky::new(seed, Weather::Fair));
        let keys = KeyRing::new(SigningKey::from_bytes(&[42; 32]).expect("32 bytes"));
        let mut services = Vec::new();
        for _ in 0..2 {
            let store = Unsteady::new(rows.open().await, Arc::clone(&sky));
            let config = SessionConfig::builder();
            let config = if by_the_way { config.rotate_every(Duration::from_secs(120)) } else { config };
            let config = config.build(keys.clone()).expect("it goes together");
            let service = CookieSessionService::new(store, config).with_clock(Arc::clone(&clock));
            services.push(service.with_observer(|event| {
                assert!(!matches!(event, Event::TokenReused { .. }), "there is one browser: {event:?}");
            }));
        }
        Self { services: services.try_into().expect("two"), clock, sky }
    }
}

async fn one(nodes: &Nodes, seed: u64) {
    let mut random = Random::seeded(seed);
    let user = format!("user {seed}");
    nodes.sky.set(Weather::Fair);
    let mut jar = sign_in(&nodes.services[0], &user).await;
    let mut steps = Vec::new();
    // A rotation's answer that is still on its way to the browser.
    let mut late = None;
    for _ in 0..STEPS {
        nodes.clock.advance(Duration::from_secs([0, 1, 30, 59, 60, 61, 3600][random.below(7)]));
        nodes.sky.set(if random.once_in(2) { Weather::Rough } else { Weather::Fair });
        let service = &nodes.services[random.below(2)];
        match random.below(8) {
            // A page that was open sends a few reads.
            0 | 1 => {
                steps.push("reads".to_owned());
                read(service, &jar, &user, seed, &steps).await;
            }
            2 => {
                steps.push("statements land".to_owned());
                nodes.sky.land().await;
            }
            3 => {
                if let Some(answer) = late.take() {
                    steps.push("the late answer arrives".to_owned());
                    jar.keep(&answer);
                }
            }
            _ => {
                // No answer comes later than the next rotation.
                if let Some(answer) = late.take().filter(|_| random.once_in(2)) {
                    steps.push("the late answer arrives".to_owned());
                    jar.keep(&answer);
                }
                let answer = rotate(service, &jar, &mut random, &mut steps).await;
                match random.below(3) {
                    0 => steps.push("its answer is lost".to_owned()),
                    1 => {
                        steps.push("its answer is late".to_owned());
                        late = Some(answer);
                    }
                    _ => jar.keep(&answer),
                }
            }
        }
        nodes.sky.set(Weather::Fair);
        for service in &nodes.services {
            steps.push("is signed in".to_owned());
            read(service, &jar, &user, seed, &steps).await;
            steps.pop();
        }
    }
    nodes.sky.land().await;
    for service in &nodes.services {
        steps.push("in the end".to_owned());
        read(service, &jar, &user, seed, &steps).await;
    }
    nodes.services[0].revoke_all(&user).await.expect("the store works");
}

/// A request that rotates one to three times, gives some of them up, and is answered.
async fn rotate(service: &CookieSessionService, jar: &Jar, random: &mut Random, steps: &mut Vec<String>) -> Answer {
    let (guard, session) = request(service, jar).await.expect("reads work");
    let times = 1 + random.below(3);
    for _ in 0..times {
        let polls = if random.once_in(2) { 1 + random.below(8) } else { usize::MAX };
        let outcome = dropped_after(polls, session.rotate()).await;
        steps.push(match &outcome {
            Some(Ok(())) => "rotates".to_owned(),
            Some(Err(error)) => format!("rotates: {}", error.status()),
            None => format!("rotates, given up after {polls}"),
        });
        assert!(!matches!(outcome, Some(Err(error)) if error.status() == 401), "signed out: {steps:?}");
    }
    if random.once_in(6) {
        // The client hangs up: the handler's future is dropped.
        steps.push("the client hangs up".to_owned());
        return Answer::Nothing;
    }
    let status = [200, 200, 200, 500][random.below(4)];
    respond(&guard, status).await.1
}

async fn read(service: &CookieSessionService, jar: &Jar, user: &str, seed: u64, steps: &[String]) {
    let (guard, session) = request(service, jar).await.expect("reads work");
    assert_eq!(session.user_id().as_deref(), Some(user), "seed {seed}: signed out after {steps:?}");
    // A response that an open page drops, or whose tab is closed.
    drop(respond(&guard, 200).await);
}
