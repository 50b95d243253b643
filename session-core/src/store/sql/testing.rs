//! What the tests of the SQL stores share.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use time::OffsetDateTime;
use time::macros::datetime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::session::{Data, Record, SessionId, UserId};
use crate::store::{Caller, NewData, SessionStore, Update};
use crate::token::{TokenHash, TokenRef};

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
        ip_address: "192.0.2.1".to_owned(),
        user_agent: "agent".to_owned(),
        device_name: "Firefox on Linux".to_owned(),
        device_type: "desktop".to_owned(),
        fingerprint: "linux/firefox".to_owned(),
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
    Caller { user_id: record.user_id.clone(), id: record.id, token: record.token_hash }
}

pub(in crate::store) fn token(record: &Record) -> [TokenRef; 1] {
    [TokenRef { shard: record.user_id.shard(), hash: record.token_hash }]
}

/// Uses `store` from runtimes that end, as those of Actix's workers do, and each time goes on to use it from this one.
pub(in crate::store) async fn other_runtimes_may_end(store: &(impl SessionStore + Clone + 'static)) {
    let (new, other) = (record(1, "ada"), store.clone());
    store.create(&new, None, LIMIT, NOW).await.unwrap();
    let data = NewData { based_on: 0, data: Data::from_text("{}") };
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
        let write = || store.apply(&by, &update, NOW);
        let writes = tokio::join!(write(), write(), write(), write());
        for outcome in [writes.0, writes.1, writes.2, writes.3] {
            assert!(outcome.is_ok(), "round {round}: {outcome:?}");
        }
    }
}

/// Drops sign-ins, writes and reads of `store`, which has one connection, after each number of polls up to some dozens: what is
/// acknowledged after that, `other` must see.
pub(in crate::store) async fn dropped_anywhere(store: &impl SessionStore, other: &impl SessionStore) {
    let new = record(1, "ada");
    store.create(&new, None, LIMIT, NOW).await.unwrap();
    let (by, mut version) = (caller(&new), 0);
    for polls in 0..60 {
        let dropped = record(2, "alan");
        let tokens = token(&new);
        let alan = dropped.user_id.clone();
        let operations: [std::pin::Pin<Box<dyn Future<Output = ()> + Send + '_>>; 3] = [
            Box::pin(async { drop(store.create(&dropped, None, LIMIT, NOW).await) }),
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
            let update = Update { data: Some(NewData { based_on: version, data }), ..Update::default() };
            store.apply(&by, &update, NOW).await.unwrap();
            version += 1;
            let seen = other.load(&token(&new), NOW).await.unwrap().expect("live");
            assert_eq!(seen.version, version, "dropped after {polls} polls: what was acknowledged is there for others");
        }
        other.end_all(&alan, None, None, NOW).await.unwrap();
    }
}

/// Ready after so many turns of the runtime.
async fn after(turns: usize) {
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
}

/// Passes on what clients and a server say, until it is told to keep silent: then it goes on accepting, and nobody is answered.
pub(in crate::store) struct SilentProxy {
    pub(in crate::store) port: u16,
    silent: Arc<AtomicBool>,
}

impl SilentProxy {
    pub(in crate::store) async fn start(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let silent = Arc::new(AtomicBool::new(false));
        let silenced = Arc::clone(&silent);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = TcpStream::connect(&server).await.unwrap().into_split();
                tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
                let silent = Arc::clone(&silenced);
                tokio::spawn(async move {
                    let mut said = [0; 16 * 1024];
                    while let Ok(length @ 1..) = from_client.read(&mut said).await {
                        if silent.load(Ordering::SeqCst) {
                            std::future::pending::<()>().await;
                        }
                        to_server.write_all(&said[..length]).await.unwrap();
                    }
                });
            }
        });
        Self { port, silent }
    }

    pub(in crate::store) fn keep_silent(&self, silent: bool) {
        self.silent.store(silent, Ordering::SeqCst);
    }
}
