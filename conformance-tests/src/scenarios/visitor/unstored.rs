//! VISIT-10: values for which there is no place.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;
use tracing::Level;

use super::on;
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::in_process::extracted;
use crate::scenarios::support::logged::logged;
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("VISIT-10", "a value that isn't stored is a warning that names the switch, once", warned_once),
    scenario!("VISIT-10", "where values are stored nothing is said", silent_where_stored),
];

/// What `run` logs of what isn't stored.
fn of_unstored(run: impl FnOnce()) -> Vec<(Level, String)> {
    logged(run).into_iter().filter(|(_, text)| text.contains("not stored")).collect()
}

/// A key that no other trial of this process has.
fn key() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("unstored {}", NEXT.fetch_add(1, Ordering::Relaxed))
}

async fn warned_once(world: World) {
    for updates in [false, true] {
        let key = key();
        let mut levels = Vec::new();
        for _ in 0..3 {
            let (_guard, session) = extracted(&world, &world.browser()).await;
            let logged = of_unstored(|| {
                let done = if updates {
                    session.update(&key, |n: Option<u64>| n.unwrap_or(0))
                } else {
                    session.set(&key, "s3cret")
                };
                done.expect("it succeeds, as ever");
            });
            assert_eq!(logged.len(), 1, "{logged:?}");
            assert!(logged[0].1.contains(&key) && !logged[0].1.contains("s3cret"), "{logged:?}");
            if logged[0].0 == Level::WARN {
                assert!(logged[0].1.contains("visitors(Visitors::new())"), "{logged:?}");
            }
            levels.push(logged[0].0);
        }
        assert_eq!(levels, [Level::WARN, Level::DEBUG, Level::DEBUG]);
    }
}

async fn silent_where_stored(world: World) {
    let visitors = world.with_config(on).await;
    let (_guard, session) = extracted(&visitors, &visitors.browser()).await;
    assert!(of_unstored(|| session.set(&key(), "s3cret").expect("it is stored")).is_empty());
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let (_guard, session) = extracted(&world, &browser).await;
    assert!(of_unstored(|| session.set(&key(), "s3cret").expect("it is stored")).is_empty());
    let reply = browser.run(json!([{"op": "visitor_id"}])).await;
    assert_eq!(reply.result(0), json!(null));
}
