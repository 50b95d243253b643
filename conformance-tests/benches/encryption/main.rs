//! What encrypting a session's data costs: the time of a look-up and of a write, and the text that is stored, beside the same without
//! it, on the store in memory, which costs least by itself.
//!
//! `cargo bench -p conformance-tests --bench encryption`. Medians of 31 alternating rounds.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use session_core::store::databases::Encrypted;
use session_core::store::{Caller, NewData, SessionStore, Update};
use session_core::{ClientInfo, Data, MemoryStore, Record, SessionId, SigningKey, TokenHash, TokenRef, UserId};
use time::OffsetDateTime;

const ROUNDS: usize = 31;
const CALLS: u32 = 200;
const LIMIT: NonZeroU32 = NonZeroU32::MIN;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    println!(
        "{:>9} {:>9} {:>13} {:>13} {:>13} {:>13}",
        "data", "stored", "read ns", "encrypted", "write ns", "encrypted"
    );
    for length in [2, 1 << 10, 16 << 10, 64 << 10, 1 << 20] {
        runtime.block_on(size(length));
    }
}

/// The figures of data of this length.
async fn size(length: usize) {
    let row = row(&format!("{{{}}}", " ".repeat(length - 2)));
    let key = SigningKey::from_bytes(&[7; 32]).expect("32 bytes");
    let under = Arc::new(MemoryStore::new());
    let stores: [Arc<dyn SessionStore>; 2] =
        [Arc::new(MemoryStore::new()), Arc::new(Encrypted::new(Arc::clone(&under), key))];
    for store in &stores {
        store.create(&row, &[], LIMIT, row.created_at).await.expect("memory");
    }
    let session = [TokenRef { shard: row.user_id.shard(), id: row.id }];
    let stored = under.load(&session, row.created_at).await.expect("memory")[0].data.text().len();

    let (mut reads, mut writes) = ([const { Vec::new() }; 2], [const { Vec::new() }; 2]);
    for _ in 0..ROUNDS {
        for (at, store) in stores.iter().enumerate() {
            let started = Instant::now();
            for _ in 0..CALLS {
                let found = store.load(&session, row.created_at).await.expect("memory");
                assert_eq!(found[0].data.text().len(), length);
            }
            reads[at].push(started.elapsed() / CALLS);
            let started = Instant::now();
            for _ in 0..CALLS {
                write(&**store, &row, &session).await;
            }
            writes[at].push(started.elapsed() / CALLS);
        }
    }
    let [read, sealed_read] = reads.map(median);
    let [write, sealed_write] = writes.map(median);
    println!("{length:>9} {stored:>9} {read:>13} {sealed_read:>13} {write:>13} {sealed_write:>13}");
}

/// Stores the row's data once more.
async fn write(store: &dyn SessionStore, row: &Record, session: &[TokenRef]) {
    let now = row.created_at;
    let version = store.load(session, now).await.expect("memory")[0].version;
    let caller = Caller { user_id: row.user_id.clone(), id: row.id, token: row.token_hash, grace: Duration::ZERO };
    let data = Some(NewData::new(version, row.data.clone()));
    store.update(&caller, &Update { data, ..Update::default() }, now).await.expect("memory");
}

fn median(mut times: Vec<Duration>) -> u128 {
    times.sort_unstable();
    times[times.len() / 2].as_nanos()
}

fn row(text: &str) -> Arc<Record> {
    let now = OffsetDateTime::UNIX_EPOCH;
    let ends = now + Duration::from_secs(3600);
    Arc::new(Record {
        id: SessionId::from_bytes([1; 16]),
        user_id: UserId::parse("ada").expect("an id"),
        token_hash: TokenHash::from_slice(&[1; 32]).expect("32 bytes"),
        previous_token_hash: None,
        token_issued_at: now,
        token_seen: true,
        successor: None,
        strict_rotated_at: None,
        client: Arc::new(ClientInfo::default()),
        data: Data::from_text(text),
        version: 0,
        persistent: true,
        created_at: now,
        authenticated_at: now,
        last_active_at: now,
        expires_at: ends,
        absolute_expires_at: ends,
    })
}
