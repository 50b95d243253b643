//! What sessions cost a Redis server: bytes of memory for each, and its own time for each command.
//! Starts a server of its own: `cargo bench -p conformance-tests --bench redis`.

use std::num::NonZeroU32;
use std::process::{Command, Stdio};
use std::sync::Arc;

use futures_util::future::join_all;
use session_core::redis::aio::MultiplexedConnection;
use session_core::redis::{AsyncConnectionConfig, Client, Cmd};
use session_core::store::{Activity, Caller, NewData, Update};
use session_core::{ClientInfo, Data, Record, RedisOptions, SessionId, SessionStore, TokenHash, TokenRef, UserId};
use time::OffsetDateTime;

const SESSIONS: u128 = 100_000;
const AT_ONCE: usize = 64;

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port();
    let mut server = Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--dir"])
        .arg(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server");
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::yield_now();
    }
    let url = format!("redis://127.0.0.1:{port}");
    let client = Client::open(&*url).expect("a URL");
    // Deleting everything takes longer than the driver waits by itself.
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let mut admin = client.get_multiplexed_async_connection_with_config(&config).await.expect("a server");
    for (name, data) in [("empty", "{}".to_owned()), ("1 KiB", format!("{{\"k\":\"{}\"}}", "x".repeat(1016)))] {
        ask(&mut admin, &["FLUSHALL"]).await;
        ask(&mut admin, &["CONFIG", "RESETSTAT"]).await;
        let store = RedisOptions::new(&*url).open().await.expect("a server");
        let before = number(&ask(&mut admin, &["INFO", "memory"]).await, "used_memory:");
        let rows: Vec<_> = (0..SESSIONS).map(|number| row(number, &data)).collect();
        let many = NonZeroU32::new(100).expect("not zero");
        for some in rows.chunks(AT_ONCE) {
            for created in join_all(some.iter().map(|row| store.create(row, &[], many, row.created_at))).await {
                created.expect("a sign-in");
            }
        }
        let after = number(&ask(&mut admin, &["INFO", "memory"]).await, "used_memory:");
        println!("{name}: {} bytes of memory for each of {SESSIONS} sessions", (after - before) / SESSIONS as u64);
        for some in rows[..10_000].chunks(AT_ONCE) {
            for row in some {
                let token = TokenRef { shard: row.user_id.shard(), id: row.id };
                store.load(&[token], row.created_at).await.expect("a look-up");
            }
        }
        stats(&mut admin, &format!("{name}: after sign-ins and look-ups")).await;
        ask(&mut admin, &["CONFIG", "RESETSTAT"]).await;
        for row in &rows[..10_000] {
            let caller = Caller {
                user_id: row.user_id.clone(),
                id: row.id,
                token: row.token_hash,
                grace: std::time::Duration::from_secs(60),
            };
            let at = row.created_at + time::Duration::MINUTE;
            let update = Update {
                data: Some(NewData::new(0, Data::from_text(data.clone()))),
                activity: Some(Activity { at, expires_at: at + time::Duration::HOUR, unless_after: at }),
                ..Update::default()
            };
            store.update(&caller, &update, at).await.expect("a write");
        }
        stats(&mut admin, &format!("{name}: after writes")).await;
    }
    server.kill().expect("a process of our own");
    server.wait().expect("a process of our own");
}

fn row(number: u128, data: &str) -> Arc<Record> {
    let now = OffsetDateTime::now_utc().replace_nanosecond(0).expect("a time");
    Arc::new(Record {
        id: SessionId::from_bytes((number.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_0C63_25D2_BD4B)).to_be_bytes()),
        user_id: UserId::parse(&format!("user-{number:08}")).expect("a user id"),
        token_hash: TokenHash::from_slice(&[7; 32]).expect("32 bytes"),
        previous_token_hash: None,
        token_issued_at: now,
        token_seen: false,
        successor: None,
        strict_rotated_at: None,
        client: Arc::new(ClientInfo {
            ip_address: "203.0.113.77".to_owned(),
            user_agent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36".to_owned(),
            device_name: "Chrome on Windows".to_owned(),
            device_type: "desktop".to_owned(),
            fingerprint: "Windows/Chrome".to_owned(),
        }),
        data: Data::from_text(data.to_owned()),
        version: 0,
        persistent: true,
        created_at: now,
        authenticated_at: now,
        last_active_at: now,
        expires_at: now + time::Duration::HOUR,
        absolute_expires_at: now + time::Duration::DAY,
    })
}

async fn ask(admin: &mut MultiplexedConnection, words: &[&str]) -> String {
    let mut command = Cmd::new();
    command.arg(words).query_async(admin).await.expect("an administrator")
}

fn number(info: &str, name: &str) -> u64 {
    let line = info.lines().find_map(|line| line.strip_prefix(name)).expect("a number that it says");
    line.trim().parse().expect("a number")
}

async fn stats(admin: &mut MultiplexedConnection, what: &str) {
    let info = ask(admin, &["INFO", "commandstats"]).await;
    for line in info.lines().filter(|line| line.starts_with("cmdstat_evalsha") || line.starts_with("cmdstat_get:")) {
        println!("{what}: {line}");
    }
}
