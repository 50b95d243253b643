//! What the store really holds, read around the library and around its faults.

use std::sync::Arc;

use serde_json::Value;
use session_core::store::Checked;
use session_core::{Clock, Record, UserId};

use crate::world::World;

/// The user's live rows.
pub(crate) async fn rows(world: &World, user: &str) -> Vec<Arc<Record>> {
    let user = UserId::parse(user).expect("a valid user id");
    match world.store.list(&user, None, world.clock.now()).await.expect("the store without faults works") {
        Checked::Live(rows) => rows,
        Checked::CallerGone => panic!("a list without a caller asks for none"),
    }
}

/// The data of the user's only session.
pub(crate) async fn data(world: &World, user: &str) -> Value {
    let rows = rows(world, user).await;
    assert_eq!(rows.len(), 1, "one session of {user}");
    serde_json::from_str(rows[0].data.text()).expect("stored data is JSON")
}

/// The message of an operation that failed.
pub(crate) fn message(result: &Value) -> String {
    result["error"]["message"].as_str().unwrap_or_else(|| panic!("an error, not {result}")).to_owned()
}
