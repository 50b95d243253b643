//! What is timed: the operations of the store's trait, as a request or an administrator asks for them, on sessions and users in
//! no order. Each turn leaves as many sessions as it found.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use session_core::store::{Activity, Caller, Checked, Created, NewData, SessionStore, Update, Updated};
use session_core::{Data, Record, SessionId, TokenHash};
use sha2::{Digest, Sha256};

use crate::sessions::{NOW, Pick, Sessions, user};

/// The operations, in the order of [`Samples`].
pub(crate) const OPERATIONS: [&str; 5] = ["read", "write", "list", "sign in", "revoke all"];

/// How long each operation took.
pub(crate) type Samples = [Vec<Duration>; OPERATIONS.len()];

/// Reads and writes of a turn; half as many of the others.
const REQUESTS: usize = 50;
const LIMIT: NonZeroU32 = NonZeroU32::new(10).expect("not zero");
const MANY: NonZeroU32 = NonZeroU32::new(1000).expect("not zero");

/// A store of some size, and what comes next on it.
pub(crate) struct Subject {
    pub(crate) store: Arc<dyn SessionStore>,
    pub(crate) sessions: Sessions,
    pick: Pick,
    /// Counts the writes and sign-ins.
    made: u64,
}

impl Subject {
    pub(crate) fn new(store: Arc<dyn SessionStore>, sessions: Sessions) -> Self {
        Self { store, sessions, pick: Pick::default(), made: 0 }
    }

    /// One turn of each operation.
    pub(crate) async fn turn(&mut self) -> Samples {
        let mut samples = Samples::default();
        let [reads, writes, lists, sign_ins, revocations] = &mut samples;
        for _ in 0..REQUESTS {
            let token = self.sessions.token(self.pick.below(self.sessions.count));
            let rows = timed(reads, self.store.load(&token, NOW)).await;
            let row = rows.first().expect("the session is there");
            let (caller, update) = self.write_to(row);
            let applied = timed(writes, self.store.update(&caller, &update, NOW)).await;
            assert!(matches!(applied, Updated::Done { .. }), "{applied:?}");
        }
        for _ in 0..REQUESTS / 2 {
            let user = user(self.pick.below(self.sessions.users()));
            let Checked::Live(rows) = timed(lists, self.store.list(&user, None, NOW)).await else { unreachable!() };
            let new = self.new_session(&rows[0]);
            let created = timed(sign_ins, self.store.create(&new, &[], LIMIT, NOW)).await;
            assert!(matches!(created, Created::Inserted { .. }), "a sign-in of its own");
            let ended = timed(revocations, self.store.end_all(&user, None, None, NOW)).await;
            let Checked::Live(ended) = ended else { unreachable!() };
            assert_eq!(ended.len(), (rows.len() + 1).min(10), "what was listed, and the new one");
            for row in &rows {
                let back = self.store.create(row, &[], MANY, NOW).await.expect("a store that works");
                assert_eq!(back, Created::Inserted { evicted: Vec::new() }, "back as it was");
            }
        }
        samples
    }

    /// What a request with new data and due activity stores.
    fn write_to(&mut self, row: &Record) -> (Caller, Update) {
        self.made += 1;
        let caller =
            Caller { user_id: row.user_id.clone(), id: row.id, token: row.token_hash, grace: Duration::from_mins(1) };
        let text = format!(
            r#"{{"theme":"light","locale":"en-GB","seen":{},"cart":"{}"}}"#,
            self.made,
            "0123456789abcdef".repeat(2)
        );
        // Always later than before, so that no write is spared an index.
        let activity = Activity {
            at: row.last_active_at + time::Duration::MILLISECOND,
            expires_at: row.expires_at + time::Duration::MILLISECOND,
            unless_after: row.last_active_at,
        };
        let data = NewData::new(row.version, Data::from_text(text));
        (caller, Update { data: Some(data), activity: Some(activity), ..Update::default() })
    }

    /// A sign-in now, from the same browser as `like`.
    fn new_session(&mut self, like: &Record) -> Arc<Record> {
        self.made += 1;
        let hash: [u8; 32] = Sha256::digest(format!("sign-in {}", self.made)).into();
        let mut id: [u8; 16] = hash[..16].try_into().expect("16 bytes");
        // Its first six bytes are the time: at the end of the table's key, as those of a real sign-in are.
        let millis = u64::try_from(NOW.unix_timestamp_nanos() / 1_000_000).expect("after 1970") + self.made;
        id[..6].copy_from_slice(&millis.to_be_bytes()[2..]);
        Arc::new(Record {
            id: SessionId::from_bytes(id),
            token_hash: TokenHash::from_slice(&hash).expect("32 bytes"),
            previous_token_hash: None,
            successor: None,
            strict_rotated_at: None,
            token_issued_at: NOW,
            version: 0,
            created_at: NOW,
            authenticated_at: NOW,
            last_active_at: NOW,
            expires_at: NOW + time::Duration::days(15),
            absolute_expires_at: NOW + time::Duration::days(30),
            ..like.clone()
        })
    }
}

/// The outcome of one operation, whose time goes to the samples.
pub(crate) async fn timed<T>(
    samples: &mut Vec<Duration>,
    operation: impl Future<Output = Result<T, session_core::StoreError>>,
) -> T {
    let start = Instant::now();
    let outcome = operation.await;
    samples.push(start.elapsed());
    outcome.expect("a store that works")
}
