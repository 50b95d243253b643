//! A Redis server, with a prefix of keys for each trial. With the feature `redis`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use session_core::redis::{Client, Cmd, RedisResult};
use session_core::{RedisOptions, SessionStore};

use crate::BoxFuture;
use crate::runs;
use crate::world::{PATIENCE, Rows, StoreKind};

/// Names the server of the tests.
const URL: &str = "SESSION_TEST_REDIS";
/// Where it is looked for otherwise.
const LOCAL: &str = "redis://127.0.0.1:6379";

/// The store in Redis.
#[derive(Debug, Clone)]
pub struct Redis {
    url: Arc<str>,
    /// What the keys of this run begin with.
    run: Arc<str>,
}

impl Redis {
    /// The server that `SESSION_TEST_REDIS` names, else the one on this machine's standard port.
    ///
    /// # Errors
    /// Why there is none.
    ///
    /// # Panics
    /// Inside a runtime.
    pub fn find() -> Result<Self, String> {
        Self::at(&std::env::var(URL).unwrap_or_else(|_| LOCAL.to_owned()))
    }

    /// The server at this URL.
    ///
    /// # Errors
    /// Why there is none.
    ///
    /// # Panics
    /// Inside a runtime.
    pub fn at(url: &str) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        match runtime.block_on(async { tokio::time::timeout(Duration::from_secs(10), clean(url)).await }) {
            Ok(Ok(())) => Ok(Self { url: url.into(), run: runs::name().into() }),
            Ok(Err(error)) => Err(format!("no Redis server to test with (set {URL}): {error}")),
            Err(_) => Err(format!("the Redis server does not answer (set {URL} to another)")),
        }
    }

    /// The server's URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What the keys of one trial begin with.
    pub fn prefix(&self) -> String {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        format!("{}:{}:", self.run, NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Deletes the keys of runs that are over.
async fn clean(url: &str) -> RedisResult<()> {
    let mut connection = Client::open(url)?.get_multiplexed_async_connection().await?;
    let mut place = 0;
    loop {
        let mut scan = Cmd::new();
        scan.arg("SCAN").arg(place).arg("MATCH").arg("session_test_*").arg("COUNT").arg(1000);
        let (next, keys): (u64, Vec<Vec<u8>>) = scan.query_async(&mut connection).await?;
        for key in keys.iter().filter(|key| runs::is_over(&String::from_utf8_lossy(key))) {
            let mut delete = Cmd::new();
            delete.arg("UNLINK").arg(key).exec_async(&mut connection).await?;
        }
        if next == 0 {
            return Ok(());
        }
        place = next;
    }
}

impl StoreKind for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn fresh(&self) -> BoxFuture<'static, Rows> {
        let (url, prefix) = (Arc::clone(&self.url), self.prefix());
        Box::pin(std::future::ready(Rows::new(move || {
            let (url, prefix) = (Arc::clone(&url), prefix.clone());
            async move { open(&url, &prefix).await }
        })))
    }
}

/// One more handle on the rows of a prefix.
///
/// # Panics
/// If it can't be opened.
pub async fn open(url: &str, prefix: &str) -> Arc<dyn SessionStore> {
    let options = RedisOptions::new(url).key_prefix(prefix).query_timeout(PATIENCE).acquire_timeout(PATIENCE);
    Arc::new(options.open().await.expect("a server that is fit for sessions"))
}
