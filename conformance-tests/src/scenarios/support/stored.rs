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

/// Puts ada's only row back as another release might have written it.
pub(crate) async fn rewritten(world: &World, change: impl FnOnce(&mut Record)) {
    let row = rows(world, "ada").await.remove(0);
    let now = world.clock.now();
    let ended = world.store.end(&row.user_id, row.id, None, now).await.unwrap();
    assert_eq!(ended, Checked::Live(true));
    let mut record = (*row).clone();
    change(&mut record);
    let limit = 10.try_into().unwrap();
    world.store.create(&Arc::new(record), &[], limit, now).await.unwrap();
}

/// The message of an operation that failed.
pub(crate) fn message(result: &Value) -> String {
    result["error"]["message"].as_str().unwrap_or_else(|| panic!("an error, not {result}")).to_owned()
}
