//! What every store must do, asked of the store itself: the rules in `session_core::store`. Not
//! here: HTTP, see the scenarios.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use session_core::store::{
    Activity, Caller, Checked, Created, NewData, Replaced, Rotation, SessionKey, SessionStore, StoreError, Update,
    Updated,
};
use session_core::{ClientInfo, Data, Record, SealedToken, SessionId, TokenHash, TokenRef, UserId};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use crate::BoxFuture;
use crate::world::Rows;

mod ending;
mod forgetting;
mod identity;
mod races;
mod reading;
mod rotating;
mod server_time;
mod signing_in;
mod writing;

/// One rule of the store, proved on the store itself. A panic is a failure.
#[derive(Debug, Clone, Copy)]
pub struct StoreScenario {
    /// Which operation or rule.
    pub rule: &'static str,
    /// What it shows, in words.
    pub name: &'static str,
    /// Runs it on rows of its own.
    pub run: fn(Fixture) -> BoxFuture<'static, ()>,
}

/// A [`StoreScenario`] of a rule, a name and an `async fn(Fixture)`.
macro_rules! rule {
    ($rule:literal, $name:literal, $run:expr $(,)?) => {
        $crate::store_suite::StoreScenario {
            rule: $rule,
            name: $name,
            run: |fixture| ::std::boxed::Box::pin($run(fixture)),
        }
    };
}
use rule;

/// All rules.
pub fn all() -> impl Iterator<Item = StoreScenario> {
    let rules = [
        reading::RULES,
        writing::RULES,
        identity::RULES,
        rotating::RULES,
        signing_in::RULES,
        ending::RULES,
        races::RULES,
        forgetting::RULES,
        server_time::RULES,
    ];
    rules.into_iter().flatten().copied()
}

/// The time at which most of it happens.
const NOW: OffsetDateTime = datetime!(2030-01-01 0:00 UTC);

/// The smallest step of time that a store keeps.
const TICK: Duration = Duration::MICROSECOND;

/// What a sign-in gives that keeps to the limit.
const NONE_EVICTED: Created = Created::Inserted { evicted: Vec::new() };

/// The grace of these callers.
const GRACE: std::time::Duration = std::time::Duration::from_secs(60);

/// A limit that nothing reaches.
const MANY: NonZeroU32 = NonZeroU32::new(1000).expect("not zero");

/// Two handles on fresh rows.
#[derive(Debug, Clone)]
pub struct Fixture {
    /// One handle.
    pub store: Arc<dyn SessionStore>,
    /// Another handle on the same rows, as another node has.
    pub other: Arc<dyn SessionStore>,
    _rows: Rows,
}

impl Fixture {
    /// Two handles on `rows`.
    pub async fn new(rows: Rows) -> Self {
        Self { store: rows.open().await, other: rows.open().await, _rows: rows }
    }

    /// The handle of this number, in turns.
    fn handle(&self, number: usize) -> Arc<dyn SessionStore> {
        Arc::clone(if number.is_multiple_of(2) { &self.store } else { &self.other })
    }

    /// Inserts a row of `user`, an hour long.
    async fn signed_in(&self, user: &str) -> Arc<Record> {
        self.insert(record(user)).await
    }

    async fn insert(&self, record: Record) -> Arc<Record> {
        let record = Arc::new(record);
        let created = self.store.create(&record, &[], MANY, record.created_at).await.expect("create");
        assert_eq!(created, NONE_EVICTED);
        record
    }

    /// The row of this id, as the other handle sees it.
    async fn stored(&self, record: &Record, now: OffsetDateTime) -> Option<Arc<Record>> {
        self.other.load(&[token(record)], now).await.expect("load").into_iter().next()
    }

    async fn update(&self, caller: &Caller, update: Update, now: OffsetDateTime) -> Updated {
        self.store.update(caller, &update, now).await.expect("update")
    }

    async fn listed(&self, user: &str, now: OffsetDateTime) -> Vec<SessionId> {
        live(self.other.list(&id_of(user), None, now).await).iter().map(|record| record.id).collect()
    }
}

/// The result of an operation whose caller is live, or that names none.
fn live<T>(result: Result<Checked<T>, StoreError>) -> T {
    match result.expect("the store works") {
        Checked::Live(value) => value,
        Checked::CallerGone => panic!("the caller is live"),
    }
}

fn is_gone<T>(result: Result<Checked<T>, StoreError>) -> bool {
    matches!(result.expect("the store works"), Checked::CallerGone)
}

fn id_of(user: &str) -> UserId {
    UserId::parse(user).expect("a valid user id")
}

fn hash() -> TokenHash {
    let mut bytes = [7; 32];
    bytes[8..16].copy_from_slice(&next().to_be_bytes());
    TokenHash::from_slice(&bytes).expect("32 bytes")
}

fn next() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A row of `user` that was made at [`NOW`] and expires an hour later. Each is newer by id than the
/// one before.
fn record(user: &str) -> Record {
    let mut id = [0x70; 16];
    id[8..].copy_from_slice(&next().to_be_bytes());
    Record {
        id: SessionId::from_bytes(id),
        user_id: id_of(user),
        token_hash: hash(),
        previous_token_hash: None,
        token_issued_at: NOW,
        token_seen: false,
        successor: None,
        strict_rotated_at: None,
        client: Arc::new(ClientInfo {
            ip_address: "192.0.2.7".to_owned(),
            user_agent: "Mozilla/5.0".to_owned(),
            device_name: "Firefox on Linux".to_owned(),
            device_type: "desktop".to_owned(),
            fingerprint: "linux firefox".to_owned(),
        }),
        data: Data::from_text("{}"),
        version: 0,
        persistent: true,
        created_at: NOW,
        authenticated_at: NOW,
        last_active_at: NOW,
        expires_at: NOW + Duration::HOUR,
        absolute_expires_at: NOW + Duration::DAY,
    }
}

fn token(record: &Record) -> TokenRef {
    TokenRef { shard: record.user_id.shard(), id: record.id }
}

fn caller(record: &Record) -> Caller {
    Caller { user_id: record.user_id.clone(), id: record.id, token: record.token_hash, grace: GRACE }
}

fn key(record: &Record) -> Replaced {
    SessionKey { user_id: record.user_id.clone(), id: record.id }.into()
}

fn new_data(based_on: i64, text: &str) -> Update {
    Update { data: Some(NewData::new(based_on, Data::from_text(text))), ..Update::default() }
}

/// The version that a row gets by this update.
fn becomes(update: &Update) -> i64 {
    update.data.as_ref().expect("it has data").becomes
}

/// The ids that a sign-in evicted.
fn evicted(created: Created) -> Vec<SessionId> {
    match created {
        Created::Inserted { evicted } => evicted,
        Created::Taken => panic!("there was no row of this id"),
        Created::Changed(_) => panic!("no version was named"),
    }
}

fn rotation(to: TokenHash) -> Update {
    Update { rotation: Some(Rotation { to, successor: Some(sealed(to)) }), ..Update::default() }
}

fn strict_rotation(to: TokenHash) -> Update {
    Update { rotation: Some(Rotation { to, successor: None }), ..Update::default() }
}

/// Some bytes for a row to keep, that belong to this token.
fn sealed(to: TokenHash) -> SealedToken {
    SealedToken::from_slice(&to.as_bytes().map(|byte| !byte)).expect("32 bytes")
}

const SEEN: Update = Update { data: None, activity: None, rotation: None, seen: true };

fn activity(at: OffsetDateTime, expires_at: OffsetDateTime, unless_after: OffsetDateTime) -> Update {
    Update { activity: Some(Activity { at, expires_at, unless_after }), ..Update::default() }
}
