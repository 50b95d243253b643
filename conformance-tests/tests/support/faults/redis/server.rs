//! A Redis server of a trial's own, in a folder and on a port of its own.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use session_core::redis::aio::MultiplexedConnection;
use session_core::redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue, RedisResult};
use tempfile::TempDir;

/// The server's program.
///
/// # Errors
/// That it is missing.
pub(crate) fn find_program() -> Result<PathBuf, String> {
    let folders = ["/usr/local/bin", "/usr/bin"].map(PathBuf::from);
    let mut all = folders.iter().map(|folder| folder.join("redis-server"));
    all.find(|path| path.is_file()).ok_or_else(|| "there is no `redis-server` on this machine".to_owned())
}

/// A server that is killed when this is dropped.
pub(super) struct RedisServer {
    pub(super) port: u16,
    folder: TempDir,
    args: Vec<String>,
    process: Mutex<Option<Child>>,
}

impl RedisServer {
    /// One that answers, with these arguments.
    pub(super) async fn start_new(args: &[&str]) -> Self {
        let server = Self::new(args);
        server.start().await;
        server
    }

    fn new(args: &[&str]) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        // Free now; the server has it before anything else asks.
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port();
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        Self { port, folder, args, process: Mutex::default() }
    }

    /// A Sentinel that watches the primary at this port, by the name `sessions`.
    pub(super) async fn start_sentinel(primary: u16) -> Self {
        let sentinel = Self::new(&["--sentinel"]);
        let lines = [
            format!("sentinel monitor sessions 127.0.0.1 {primary} 1"),
            "sentinel down-after-milliseconds sessions 1000".to_owned(),
            "sentinel failover-timeout sessions 3000".to_owned(),
        ];
        std::fs::write(sentinel.folder.path().join("sentinel.conf"), lines.join("\n")).expect("a folder of our own");
        sentinel.start().await;
        sentinel
    }

    /// Starts it, and returns when it answers.
    pub(super) async fn start(&self) {
        let mut command = Command::new(find_program().expect("looked for before"));
        if self.args == ["--sentinel"] {
            command.arg(self.folder.path().join("sentinel.conf"));
        }
        command.args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--daemonize", "no"]);
        if self.args != ["--sentinel"] {
            command.args(["--save", ""]);
        }
        command.arg("--dir").arg(self.folder.path()).args(&self.args);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("a program that is there");
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
        // Refused until it listens.
        while tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// Kills it, as the kernel does when memory runs out.
    pub(super) fn kill(&self) {
        let Some(mut child) = self.process.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        child.kill().expect("a process of our own");
        child.wait().expect("a process of our own");
    }

    /// Whether it wasn't killed.
    pub(super) fn runs(&self) -> bool {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// The command by which another server gets to know it.
    pub(super) fn meet(&self) -> String {
        let bus = self.args.iter().skip_while(|arg| *arg != "--cluster-port").nth(1).expect("a server of a cluster");
        format!("CLUSTER MEET 127.0.0.1 {} {bus}", self.port)
    }

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A connection of an administrator.
    pub(super) async fn admin(&self) -> Admin {
        Admin(connected(&self.url()).await)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A plain connection, which waits for an answer as long as it takes.
pub(super) async fn connected(url: &str) -> MultiplexedConnection {
    let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
    let client = Client::open(url).expect("a URL");
    client.get_multiplexed_async_connection_with_config(&config).await.expect("a server that answers")
}

/// A plain client.
pub(super) struct Admin(MultiplexedConnection);

impl Admin {
    /// Runs a command that is words.
    pub(super) async fn run(&mut self, words: &str) {
        self.ask::<()>(words).await.expect("an administrator");
    }

    pub(super) async fn ask<T: FromRedisValue>(&mut self, words: &str) -> RedisResult<T> {
        let mut command = Cmd::new();
        command.arg(words.split_whitespace().collect::<Vec<_>>());
        command.query_async(&mut self.0).await
    }

    /// Waits until this primary has a replica that has all of it.
    pub(super) async fn replica_is_in_step(&mut self) {
        loop {
            let info: String = self.ask("INFO replication").await.expect("an answer");
            let number = |name: &str| {
                let digits = info.split_once(name)?.1.split(|other: char| !other.is_ascii_digit()).next()?;
                digits.parse::<u64>().ok()
            };
            if info.contains("state=online") && number(",offset=") >= number("master_repl_offset:") {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// Moves keys to the server at this port.
    pub(super) async fn migrate(&mut self, port: u16, keys: &[Vec<u8>]) {
        let mut command = Cmd::new();
        command.arg("MIGRATE").arg("127.0.0.1").arg(port).arg("").arg(0).arg(5000).arg("KEYS").arg(keys);
        command.exec_async(&mut self.0).await.expect("an administrator");
    }
}
