//! A Redis server of a trial's own, in a folder and on a port of its own.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use session_core::redis::aio::MultiplexedConnection;
use session_core::redis::{Client, Cmd, FromRedisValue, RedisResult};
use tempfile::TempDir;

/// The server's program.
///
/// # Errors
/// That it is missing.
pub(super) fn find_program() -> Result<PathBuf, String> {
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
        let folder = TempDir::new().expect("a temporary folder");
        // Free now; the server has it before anything else asks.
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port();
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        let server = Self { port, folder, args, process: Mutex::default() };
        server.start().await;
        server
    }

    /// Starts it, and returns when it answers.
    pub(super) async fn start(&self) {
        let mut command = Command::new(find_program().expect("looked for before"));
        command.args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--daemonize", "no", "--save", ""]);
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

    pub(super) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A connection of an administrator.
    pub(super) async fn admin(&self) -> Admin {
        let client = Client::open(self.url()).expect("a URL");
        Admin(client.get_multiplexed_async_connection().await.expect("a server that answers"))
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
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
}
