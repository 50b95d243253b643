//! One store in several async runtimes, which end one after the other.

use std::sync::Arc;

use session_core::store::{Caller, Update, Updated};
use session_core::{ClientInfo, Data, Record, SessionId, SessionStore, TokenHash, UserId};

use super::server::RedisServer;
use super::{PATIENCE, opened_on};

/// How many runtimes, of which four are there at a time.
const RUNTIMES: usize = 40;

pub(super) async fn that_end() {
    let server = RedisServer::start_new(&[]).await;
    let store = opened_on(&server, PATIENCE).await;
    let queue = Arc::new(tokio::sync::Semaphore::new(4));
    let works = (0..RUNTIMES).map(|number| {
        let (store, queue) = (Arc::clone(&store), Arc::clone(&queue));
        async move {
            let _turn = queue.acquire().await.expect("never closed");
            let thread = tokio::task::spawn_blocking(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                runtime.block_on(work(&*store, number));
            });
            thread.await.expect("a runtime whose requests are all answered");
        }
    });
    futures_util::future::join_all(works).await;
    work(&*store, RUNTIMES).await;
}

/// A sign-in, a read and a write.
async fn work(store: &dyn SessionStore, number: usize) {
    let now = time::macros::datetime!(2030-01-01 0:00 UTC);
    let row = Arc::new(Record {
        id: SessionId::from_bytes((number as u128).to_be_bytes()),
        user_id: UserId::parse(&format!("user {number}")).expect("a user id"),
        token_hash: TokenHash::from_slice(&[7; 32]).expect("32 bytes"),
        previous_token_hash: None,
        token_issued_at: now,
        token_seen: false,
        successor: None,
        strict_rotated_at: None,
        client: Arc::new(ClientInfo::default()),
        data: Data::from_text("{}"),
        version: 0,
        persistent: true,
        created_at: now,
        authenticated_at: now,
        last_active_at: now,
        expires_at: now + time::Duration::HOUR,
        absolute_expires_at: now + time::Duration::DAY,
    });
    store.create(&row, &[], std::num::NonZeroU32::MIN, now).await.expect("a sign-in");
    let caller = Caller {
        user_id: row.user_id.clone(),
        id: row.id,
        token: row.token_hash,
        grace: std::time::Duration::from_secs(60),
    };
    let updated = store.update(&caller, &Update { seen: true, ..Update::default() }, now).await.expect("a write");
    assert!(matches!(updated, Updated::Done { .. }), "{updated:?}");
}
