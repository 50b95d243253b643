//! What is stored in Redis, read by the documented layout of rows without the library in between.

use session_core::UserId;
use session_core::redis::aio::MultiplexedConnection;
use session_core::redis::{Cmd, FromRedisValue};

use super::super::client::{Inspect, Stored, written};
use super::server::connected;

/// A client that looks at the keys of one prefix.
pub(super) struct RedisRows {
    connection: MultiplexedConnection,
    prefix: String,
}

impl RedisRows {
    pub(super) async fn connect(url: &str, prefix: &str) -> Self {
        Self { connection: connected(url).await, prefix: prefix.to_owned() }
    }

    pub(super) async fn ask<T: FromRedisValue>(&mut self, command: &str, key: &[u8], args: &[&str]) -> T {
        let mut asked = Cmd::new();
        asked.arg(command).arg(key).arg(args);
        asked.query_async(&mut self.connection).await.expect("an answer")
    }

    /// All keys of a kind that end so.
    pub(super) async fn keys(&mut self, kind: char, end: &[u8]) -> Vec<Vec<u8>> {
        let (mut place, mut found) = (0u64, Vec::new());
        loop {
            let mut scan = Cmd::new();
            scan.arg("SCAN").arg(place).arg("MATCH").arg(format!("{}*", self.prefix)).arg("COUNT").arg(1000);
            let (next, keys): (u64, Vec<Vec<u8>>) = scan.query_async(&mut self.connection).await.expect("an answer");
            let marked = [&b"}"[..], kind.to_string().as_bytes(), end].concat();
            found.extend(keys.into_iter().filter(|key| match end {
                [] => key.windows(2).any(|two| two == &marked[..2]),
                _ => key.ends_with(&marked),
            }));
            if next == 0 {
                return found;
            }
            place = next;
        }
    }
}

impl Inspect for RedisRows {
    async fn sessions(&mut self, user: &str) -> Vec<Stored> {
        let user = UserId::parse(user).expect("a user id");
        let Some(index) = self.keys('u', user.as_str().as_bytes()).await.pop() else { return Vec::new() };
        let ids: Vec<Vec<u8>> = self.ask("ZRANGE", &index, &["0", "-1"]).await;
        let mut sessions = Vec::new();
        for id in ids {
            let start = &index[..index.len() - user.as_str().len() - 1];
            let row: Vec<u8> = self.ask("GET", &[start, b"s", &id].concat(), &[]).await;
            let number = |at: usize| u64::from_be_bytes(row[at..at + 8].try_into().expect("eight bytes"));
            let data_at = u32::from_be_bytes(row[166..170].try_into().expect("four bytes")) as usize;
            sessions.push(Stored {
                id: written(&id),
                token: row[2..34].to_vec(),
                data: serde_json::from_slice(&row[data_at..]).expect("JSON"),
                last_active: (number(125) ^ (1 << 63)).cast_signed(),
            });
        }
        sessions.sort_by(|one, other| one.id.cmp(&other.id));
        sessions
    }
}
