//! All connections that lay idle die without a word, under a load of as many browsers (FLT-7).

use std::sync::Arc;
use std::time::{Duration, Instant};

use conformance_tests::browser::Browser;
use conformance_tests::world::{Rows, World};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::counted::ask;
use crate::support::axum::Axum;
use crate::support::faults::pool::opened_through;
use crate::support::faults::servers::Server;

const BROWSERS: usize = 32;
/// How long the load goes on.
const LOAD: Duration = Duration::from_secs(3);
const ALLOWED: Duration = Duration::from_millis(1500);

pub(crate) async fn forgotten_under_load(server: &Server) {
    let (store, proxy) = opened_through(&server.url(), 32).await;
    let world = World::new(Arc::new(Axum), Rows::shared(store)).await;
    let mut browsers = Vec::new();
    for number in 0..BROWSERS {
        let mut browser = world.browser();
        browser.sign_in(&format!("user {number}")).await;
        browsers.push(browser);
    }
    let name = server.kind().name();
    println!("{name}, {BROWSERS} browsers: {}", load(&browsers).await);
    for idle in [1200, 1200, 6000, 6000] {
        sleep(Duration::from_millis(idle)).await;
        proxy.forget();
        let figures = load(&browsers).await;
        println!("{name}, connections that lay {idle} ms forgotten: {figures}");
        assert!(figures.refused == 0 && figures.longest <= ALLOWED, "no 503, and nothing over {ALLOWED:?}");
    }
    let asked = load_with(&browsers, async {
        sleep(LOAD / 3).await;
        proxy.forget();
    });
    println!("{name}, connections in use forgotten too (no mark): {}", asked.await);
}

struct Figures {
    answered: usize,
    refused: usize,
    median: Duration,
    longest: Duration,
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { answered, refused, median, longest } = self;
        write!(f, "{answered} answered, {refused} times 503, median {median:.1?}, longest {longest:.0?}")
    }
}

async fn load(browsers: &[Browser]) -> Figures {
    load_with(browsers, async {}).await
}

/// Each browser reads, writes and asks for the end of its other sessions, in turns, while `fault` is done.
async fn load_with(browsers: &[Browser], fault: impl Future<Output = ()>) -> Figures {
    let mut tasks = JoinSet::new();
    for (number, browser) in browsers.iter().enumerate() {
        let mut browser = browser.clone();
        let mut conn = browser.connect().await;
        tasks.spawn(async move {
            let ops = [
                json!({"op": "get", "key": "n"}),
                json!({"op": "set", "key": "n", "value": 1}),
                json!({"op": "increment", "key": "m"}),
                json!({"op": "logout_other"}),
            ];
            let (mut took, mut refused) = (Vec::new(), 0);
            let start = Instant::now();
            for turn in number.. {
                if start.elapsed() >= LOAD {
                    break;
                }
                let (status, time) = ask(&mut conn, &mut browser, ops[turn % ops.len()].clone()).await;
                refused += usize::from(status != 200);
                took.push(time);
            }
            (took, refused)
        });
    }
    fault.await;
    let (mut took, mut refused) = (Vec::new(), 0);
    for (some, of_these) in tasks.join_all().await {
        took.extend(some);
        refused += of_these;
    }
    took.sort_unstable();
    Figures { answered: took.len(), refused, median: took[took.len() / 2], longest: took[took.len() - 1] }
}
