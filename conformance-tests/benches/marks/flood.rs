//! How far one user's flood of changes reaches (FLT-6): another user's reads beside it, against beside as many reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use conformance_tests::browser::Browser;
use conformance_tests::world::{Rows, World};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::counted::ask;
use crate::support::axum::Axum;
use crate::support::faults::pool::opened;
use crate::support::faults::servers::Server;

const FLOOD: usize = 500;
const CONNECTIONS: u32 = 16;
const ROUNDS: usize = 4;
const EACH: Duration = Duration::from_secs(4);

pub(crate) async fn one_users_flood(server: &Server) {
    let world = World::new(Arc::new(Axum), Rows::shared(opened(&server.url(), CONNECTIONS).await)).await;
    let [mut ada, mut bob] = [world.browser(), world.browser()];
    ada.sign_in("ada").await;
    bob.sign_in("bob").await;
    let read = json!({"op": "get", "key": "n"});
    let floods = [
        ("logout_other", json!({"op": "logout_other"})),
        ("revoke of an unknown id", json!({"op": "revoke", "id": "018f0000-0000-7000-8000-000000000000"})),
        ("set", json!({"op": "set", "key": "n", "value": 1})),
    ];
    for (name, flood) in floods {
        let (mut beside_reads, mut beside_flood) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            beside_reads.push(beside(&ada, &read, &bob).await);
            beside_flood.push(beside(&ada, &flood, &bob).await);
        }
        let [(reads, _), (changes, rate)] = [median_of(&mut beside_reads), median_of(&mut beside_flood)];
        println!(
            "{}, {FLOOD} connections of one user, {name} ({rate:.0} a second): another's read takes {changes:.1?} beside them, {reads:.1?} \
             beside as many reads: {:.2} times (medians of {ROUNDS} rounds)",
            server.kind().name(),
            changes.as_secs_f64() / reads.as_secs_f64(),
        );
    }
}

/// The median time of bob's reads beside ada's flood, and how many of hers were answered a second.
async fn beside(ada: &Browser, flood: &Value, bob: &Browser) -> (Duration, f64) {
    let over = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for _ in 0..FLOOD {
        let (mut browser, over, op) = (ada.clone(), Arc::clone(&over), flood.clone());
        let mut conn = browser.connect().await;
        tasks.spawn(async move {
            let mut answered = 0;
            while !over.load(Ordering::Relaxed) {
                let (status, _) = ask(&mut conn, &mut browser, op.clone()).await;
                assert!([200, 404].contains(&status), "{status}");
                answered += 1;
            }
            answered
        });
    }
    let (mut bob, op) = (bob.clone(), json!({"op": "get", "key": "n"}));
    let mut conn = bob.connect().await;
    let (mut took, start) = (Vec::new(), Instant::now());
    while start.elapsed() < EACH {
        let (status, time) = ask(&mut conn, &mut bob, op.clone()).await;
        assert_eq!(status, 200);
        took.push(time);
    }
    let elapsed = start.elapsed();
    over.store(true, Ordering::Relaxed);
    let answered: u64 = tasks.join_all().await.into_iter().sum();
    took.sort_unstable();
    (took[took.len() / 2], answered as f64 / elapsed.as_secs_f64())
}

fn median_of(rounds: &mut [(Duration, f64)]) -> (Duration, f64) {
    rounds.sort_by_key(|(median, _)| *median);
    rounds[rounds.len() / 2]
}
