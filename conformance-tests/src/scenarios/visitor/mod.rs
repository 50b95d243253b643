//! VISIT and FLASH: visitors, who have values without having signed in, and messages for the next
//! page.

use std::time::Duration;

use serde_json::Value;
use session_core::{Record, SessionConfigBuilder, SessionId, UserId, Visitors};

use crate::browser::Browser;
use crate::scenario::Scenario;
use crate::scenarios::support::sessions::text;
use crate::scenarios::support::stored::rows;
use crate::world::World;

pub mod crossing;
pub mod expiry;
pub mod failures;
pub mod flash;
pub mod sign_in;
pub mod stranger;
pub mod unstored;
pub mod values;

/// The scenarios of each file.
pub const SCENARIOS: &[&[Scenario]] = &[
    values::SCENARIOS,
    stranger::SCENARIOS,
    expiry::SCENARIOS,
    sign_in::SCENARIOS,
    crossing::SCENARIOS,
    failures::SCENARIOS,
    unstored::SCENARIOS,
    flash::SCENARIOS,
];

/// With visitors, at their defaults.
fn on(config: SessionConfigBuilder) -> SessionConfigBuilder {
    config.visitors(Visitors::new())
}

/// A world with visitors.
async fn with_visitors(world: &World) -> World {
    world.with_config(on).await
}

/// A browser whose visitor has `key`.
async fn visitor(world: &World, key: &str, value: impl Into<Value>) -> Browser {
    let mut browser = world.browser();
    let reply = browser.run(serde_json::json!([{"op": "set", "key": key, "value": value.into()}])).await;
    assert_eq!((reply.status, reply.error_status(0)), (200, None), "{reply:?}");
    assert!(reply.sends_cookie(), "the first value sends the cookie");
    browser
}

/// The id of the browser's visitor.
async fn visitor_id(browser: &mut Browser) -> String {
    text(&browser.run(serde_json::json!([{"op": "visitor_id"}])).await.result(0))
}

/// The visitor's live row, if there is one.
async fn row_of(world: &World, visitor: &str) -> Option<std::sync::Arc<Record>> {
    let id: SessionId = visitor.parse().expect("an id");
    let user = UserId::parse(&format!("~visitor:{id}")).expect("a valid user id");
    let mut rows = rows(world, user.as_str()).await;
    assert!(rows.len() <= 1, "a visitor has one session");
    rows.pop()
}

const HOUR: Duration = Duration::from_secs(3600);
