//! What the tests of the SQL stores share.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use time::OffsetDateTime;
use time::macros::datetime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::Backend;
use super::batch::{Found, look_up};
use super::dialect::{MAX_BATCH, MAX_BATCH_BYTES};
use crate::model::data::Data;
use crate::model::record::{ClientInfo, Record};
use crate::model::session_id::SessionId;
use crate::model::token::{SealedToken, TokenHash, TokenRef};
use crate::model::user_id::UserId;
use crate::store::{Activity, Caller, Checked, NewData, Rotation, SessionStore, StoreError, Update, Updated};

pub(in crate::store) const NOW: OffsetDateTime = datetime!(2030-01-01 0:00:00.123456 UTC);
pub(in crate::store) const LIMIT: NonZeroU32 = NonZeroU32::new(2).unwrap();

pub(in crate::store) fn record(byte: u8, user: &str) -> Arc<Record> {
    Arc::new(Record {
        id: SessionId::from_bytes([byte; 16]),
        user_id: UserId::parse(user).unwrap(),
        token_hash: TokenHash::from_slice(&[byte; 32]).unwrap(),
        previous_token_hash: None,
        token_issued_at: NOW,
        token_seen: false,
        successor: None,
        strict_rotated_at: None,
        client: Arc::new(ClientInfo {
            ip_address: "192.0.2.1".to_owned(),
            user_agent: "agent".to_owned(),
            device_name: "Firefox on Linux".to_owned(),
            device_type: "desktop".to_owned(),
            fingerprint: "linux/firefox".to_owned(),
        }),
        data: Data::from_text("{}"),
        version: 0,
        persistent: true,
        created_at: NOW,
        authenticated_at: NOW,
        last_active_at: NOW,
        expires_at: NOW + time::Duration::HOUR,
        absolute_expires_at: NOW + time::Duration::DAY,
    })
}

pub(in crate::store) fn caller(record: &Record) -> Caller {
    Caller { user_id: record.user_id.clone(), id: record.id, token: record.token_hash, grace: Duration::from_secs(60) }
}

pub(in crate::store) fn token(record: &Record) -> [TokenRef; 1] {
    [TokenRef { shard: record.user_id.shard(), id: record.id }]
}

/// Uses `store` from runtimes that end, like those of Actix's workers, and from this one after
/// each.
#[cfg_attr(
    not(any(feature = "mysql", feature = "postgres")),
    allow(dead_code, reason = "only servers are tested by it")
)]
pub(in crate::store) async fn other_runtimes_may_end(store: &(impl SessionStore + Clone + 'static)) {
    let (new, other) = (record(1, "ada"), store.clone());
    store.create(&new, &[], LIMIT, NOW).await.unwrap();
    let data = NewData::new(0, Data::from_text("{}"));
    let (by, update) = (caller(&new), Update { data: Some(data), ..Update::default() });
    for round in 0..5 {
        let (there, tokens) = (other.clone(), token(&new));
        let worker = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            // At once, so that they need more connections than there are.
            let read = || there.load(&tokens, NOW);
            let reads = runtime.block_on(async { tokio::join!(read(), read(), read(), read()) });
            assert!(reads.0.is_ok() && reads.1.is_ok() && reads.2.is_ok() && reads.3.is_ok());
        });
        worker.await.unwrap();
        let write = || store.update(&by, &update, NOW);
        let writes = tokio::join!(write(), write(), write(), write());
        for outcome in [writes.0, writes.1, writes.2, writes.3] {
            assert!(outcome.is_ok(), "round {round}: {outcome:?}");
        }
    }
}

/// Drops sign-ins, writes and reads of `store`, which has one connection, after each number of
/// polls up to some dozens. What is acknowledged after that must be visible to `other`.
pub(in crate::store) async fn dropped_anywhere(store: &impl SessionStore, other: &impl SessionStore) {
    let new = record(1, "ada");
    store.create(&new, &[], LIMIT, NOW).await.unwrap();
    let (by, mut version) = (caller(&new), 0);
    for polls in 0..60 {
        let dropped = record(2, "alan");
        let tokens = token(&new);
        let alan = dropped.user_id.clone();
        let operations: [std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>>; 3] = [
            Box::pin(async { drop(store.create(&dropped, &[], LIMIT, NOW).await) }),
            Box::pin(async { drop(store.load(&tokens, NOW).await) }),
            Box::pin(async { drop(store.end_all(&alan, None, None, NOW).await) }),
        ];
        for operation in operations {
            tokio::select! {
                biased;
                () = operation => {}
                () = after(polls) => {}
            }
            let data = Data::from_text(format!(r#"{{"n":{version}}}"#));
            let update = Update { data: Some(NewData::new(version, data)), ..Update::default() };
            version = update.data.as_ref().unwrap().becomes;
            store.update(&by, &update, NOW).await.unwrap();
            let seen = other.load(&token(&new), NOW).await.unwrap();
            assert_eq!(
                seen[0].version, version,
                "dropped after {polls} polls: what was acknowledged is there for others"
            );
        }
        other.end_all(&alan, None, None, NOW).await.unwrap();
    }
}

/// Drops operations of `store` outside of any runtime, after each number of polls in one that has
/// ended by then.
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(in crate::store) fn dropped_after_its_runtime(
    store: &impl SessionStore,
    runtime: impl Fn() -> tokio::runtime::Runtime,
) {
    let (new, row) = (record(2, "alan"), record(1, "ada"));
    let (by, tokens) = (caller(&row), token(&row));
    for polls in 0..20 {
        let update = Update { data: Some(NewData::new(0, Data::from_text("{}"))), ..Update::default() };
        let operations: [std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>>; 4] = [
            Box::pin(async { drop(store.create(&new, &[], LIMIT, NOW).await) }),
            Box::pin(async { drop(store.load(&tokens, NOW).await) }),
            Box::pin(async { drop(store.update(&by, &update, NOW).await) }),
            Box::pin(async { drop(store.list(&row.user_id, None, NOW).await) }),
        ];
        for mut operation in operations {
            runtime().block_on(async {
                // So that there is a connection of this runtime.
                assert!(!store.load(&tokens, NOW).await.unwrap().is_empty());
                tokio::select! {
                    biased;
                    () = &mut operation => {}
                    () = after(polls) => {}
                }
            });
        }
    }
}

/// Looks up many sessions of `store` at once, which batches them: each request gets its own.
pub(in crate::store) async fn each_of_many_gets_its_own(store: &(impl SessionStore + Clone)) {
    const SESSIONS: u8 = 100;
    const BECOMES: i64 = 1 << 32;
    let mut records: Vec<_> = (0..SESSIONS).map(|byte| record(byte, &format!("user {byte}"))).collect();
    for expiring in &mut records[90..] {
        Arc::make_mut(expiring).expires_at = NOW + time::Duration::SECOND;
    }
    for new in &records {
        store.create(new, &[], LIMIT, NOW).await.unwrap();
    }
    let unknown = record(SESSIONS, "nobody");
    let mut reads = JoinSet::new();
    for new in records.iter().cloned().chain([unknown]) {
        // At the same time as requests whose clock says that some have expired.
        for seconds in 0..=1 {
            let (store, new, now) = (store.clone(), Arc::clone(&new), NOW + time::Duration::seconds(seconds));
            reads.spawn(async move {
                let loaded = store.load(&token(&new), now).await.unwrap();
                let expected = (new.id.as_bytes()[0] < SESSIONS && new.is_live(now)).then_some(new);
                assert_eq!(loaded.into_iter().next(), expected, "{now}");
            });
        }
    }
    while let Some(read) = reads.join_next().await {
        read.unwrap();
    }

    store.end(&records[1].user_id, records[1].id, None, NOW).await.unwrap();
    let mut writes = JoinSet::new();
    for new in &records {
        for kind in [Kind::Data, Kind::Activity, Kind::OldVersion, Kind::WrongToken, Kind::WrongUser] {
            let (store, mut by, byte) = (store.clone(), caller(new), new.id.as_bytes()[0]);
            let (mut update, mut now) = (Update::default(), NOW);
            let data = || {
                Some(NewData {
                    becomes: BECOMES,
                    ..NewData::new(0, Data::from_text(format!(r#"{{"n":"\u0000{byte}"}}"#)))
                })
            };
            match kind {
                Kind::Data => update.data = data(),
                Kind::OldVersion => update.data = data().map(|data| NewData::new(7, data.data)),
                Kind::WrongToken => (update.data, by.token) = (data(), TokenHash::from_slice(&[200; 32]).unwrap()),
                Kind::WrongUser => (update.data, by.user_id) = (data(), UserId::parse("nobody").unwrap()),
                Kind::Activity => {
                    now += time::Duration::seconds(1);
                    let expires_at = NOW + time::Duration::hours(2) + time::Duration::seconds(byte.into());
                    update.activity = Some(Activity { at: now, expires_at, unless_after: NOW });
                }
            }
            writes.spawn(async move { (byte, kind, store.update(&by, &update, now).await.unwrap()) });
        }
    }
    while let Some(write) = writes.join_next().await {
        let (byte, kind, applied) = write.unwrap();
        match (kind, applied) {
            (Kind::WrongToken | Kind::WrongUser, applied) => {
                assert!(matches!(applied, Updated::Gone), "{byte}: {applied:?}")
            }
            (_, applied) if byte == 1 => assert!(matches!(applied, Updated::Gone), "{applied:?}"),
            // Expired by the clock of this request.
            (Kind::Activity, applied) if byte >= 90 => assert!(matches!(applied, Updated::Gone), "{byte}: {applied:?}"),
            (Kind::Activity, Updated::Done { expires_at, .. }) => {
                assert_eq!(expires_at, NOW + time::Duration::hours(2) + time::Duration::seconds(byte.into()));
            }
            (Kind::Data, Updated::Done { .. }) => {}
            (Kind::OldVersion, Updated::Conflict(row)) => assert_eq!(row.id.as_bytes()[0], byte),
            (_, applied) => panic!("{byte}: {applied:?}"),
        }
    }
    for new in records {
        let byte = new.id.as_bytes()[0];
        let now = store.load(&token(&new), NOW).await.unwrap();
        let data = now.first().map(|row| (row.version, row.data.text().to_owned()));
        assert_eq!(data, (byte != 1).then(|| (BECOMES, format!(r#"{{"n":"\u0000{byte}"}}"#))));
    }
}

/// Looks up sessions of all sizes in one statement, which answers with the data of those that are
/// small enough for a batch.
pub(in crate::store) async fn a_batch_leaves_large_data_out(store: &impl Backend) {
    const MOST_OF_EACH: usize = MAX_BATCH_BYTES / MAX_BATCH;
    let sizes = [2, MOST_OF_EACH - 1, MOST_OF_EACH, MOST_OF_EACH + 1, 300_000];
    let mut rows = Vec::new();
    for (number, size) in sizes.into_iter().enumerate() {
        let data = Data::from_text("ä".repeat(size / 2) + if size % 2 == 1 { "x" } else { "" });
        let row = record(u8::try_from(number).unwrap(), &format!("user {number}"));
        rows.push(Arc::new(Record { data, ..(*row).clone() }));
    }
    for row in &rows {
        store.create(row, &[], LIMIT, NOW).await.unwrap();
    }
    let found = look_up(store, rows.iter().map(|row| row.id), NOW).await.unwrap();
    for (row, size) in rows.iter().zip(sizes) {
        match &found[&row.id] {
            Found::Large(bytes) => assert!(size > MOST_OF_EACH && *bytes == size, "{size}: {bytes}"),
            found => {
                assert!(size <= MOST_OF_EACH, "{size}");
                assert_eq!(found.record().unwrap(), *row);
            }
        }
    }
    // All of them in one call, as a request's cookies may name them.
    let tokens = [4, 2, 3].map(|number| token(&rows[number])[0]);
    let loaded = store.load(&tokens, NOW).await.unwrap();
    assert_eq!(loaded[..], [4, 2, 3].map(|number| Arc::clone(&rows[number])));
    // They expire as others do.
    let later = NOW + time::Duration::HOUR;
    assert!(store.load(&tokens, later).await.unwrap().is_empty());
}

/// How a session is changed.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Data,
    Activity,
    OldVersion,
    WrongToken,
    WrongUser,
}

/// Ready after so many turns of the runtime.
async fn after(turns: usize) {
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
}

/// Forwards between clients and a server, and counts the bytes, until it is made silent: then it
/// still accepts connections, and answers nothing.
#[cfg_attr(
    not(any(feature = "mysql", feature = "postgres")),
    allow(dead_code, reason = "only servers are tested by it")
)]
pub(in crate::store) struct SilentProxy {
    pub(in crate::store) port: u16,
    silent: Arc<AtomicBool>,
    /// Bytes that the clients have sent.
    said: Arc<AtomicUsize>,
}

#[cfg_attr(
    not(any(feature = "mysql", feature = "postgres")),
    allow(dead_code, reason = "only servers are tested by it")
)]
impl SilentProxy {
    pub(in crate::store) async fn start(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let silent = Arc::new(AtomicBool::new(false));
        let said = Arc::<AtomicUsize>::default();
        let (silenced, counted) = (Arc::clone(&silent), Arc::clone(&said));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = TcpStream::connect(&server).await.unwrap().into_split();
                tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
                let (silent, count) = (Arc::clone(&silenced), Arc::clone(&counted));
                tokio::spawn(async move {
                    let mut said = [0; 16 * 1024];
                    while let Ok(length @ 1..) = from_client.read(&mut said).await {
                        count.fetch_add(length, Ordering::SeqCst);
                        if silent.load(Ordering::SeqCst) {
                            std::future::pending::<()>().await;
                        }
                        to_server.write_all(&said[..length]).await.unwrap();
                    }
                });
            }
        });
        Self { port, silent, said }
    }

    /// Bytes that the clients have sent since the last call.
    pub(in crate::store) fn said(&self) -> usize {
        self.said.swap(0, Ordering::SeqCst)
    }

    pub(in crate::store) fn keep_silent(&self, silent: bool) {
        self.silent.store(silent, Ordering::SeqCst);
    }
}

/// A live row of ada's as the first schema had it, whose token was replaced.
pub(in crate::store) const ROW_OF_THE_FIRST_SCHEMA: &str = "INSERT INTO cookie_session VALUES ( \
     X'01010101010101010101010101010101', \
     X'0202020202020202020202020202020202020202020202020202020202020202', \
     X'0101010101010101010101010101010101010101010101010101010101010101', \
     1893456000123456, FALSE, 'ada', '192.0.2.1', 'agent', 'Firefox on Linux', 'desktop', 'linux/firefox', '{\"a\":1}', 3, TRUE, \
     1893456000123456, 1893456000123456, 1893456000123456, 1893459600123456, 1893542400123456)";

/// Reads, rotates and lists it.
pub(in crate::store) async fn the_row_of_the_first_schema_lives_on(store: &impl SessionStore) {
    let old = record(1, "ada");
    let rows = store.load(&token(&old), NOW).await.unwrap();
    let expected = Record {
        token_hash: TokenHash::from_slice(&[2; 32]).unwrap(),
        previous_token_hash: Some(old.token_hash),
        data: Data::from_text(r#"{"a":1}"#),
        version: 3,
        ..(*old).clone()
    };
    assert_eq!(*rows[0], expected);
    let to = TokenHash::from_slice(&[3; 32]).unwrap();
    let rotation = Some(Rotation { to, successor: SealedToken::from_slice(&[4; 32]) });
    let by = caller(&expected);
    store.update(&by, &Update { rotation, ..Update::default() }, NOW).await.unwrap();
    match store.list(&old.user_id, Some(&by), NOW).await.unwrap() {
        Checked::Live(rows) => {
            assert_eq!((rows[0].token_hash, rows[0].successor), (to, SealedToken::from_slice(&[4; 32])))
        }
        Checked::CallerGone => panic!("its token was replaced just now"),
    }
    store.create(&record(9, "alan"), &[], LIMIT, NOW).await.unwrap();
}

/// No form of the error shows anything of the refused row.
pub(in crate::store) fn shows_no_row(error: &StoreError) {
    let mut shown = format!("{error} {error:?} {:?}", crate::Error::from(error.clone()));
    shown += &format!("{:?}", crate::Event::StoreFailed { error: error.clone() });
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        shown += &format!(" {error} {error:?}");
        source = error.source();
    }
    for secret in ["in the data", "secret", "\\x01", "0101", "\u{1}\u{1}", "Failing row", "192.0.2.1"] {
        assert!(!shown.contains(secret), "{secret:?} in {shown}");
    }
}
