//! A Redis server of these trials' own, with a database for each of them.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

/// More than there are trials.
const DATABASES: usize = 1000;

/// A server that ends when this is dropped.
pub(super) struct Redis {
    child: Child,
    port: u16,
    next: AtomicUsize,
    _folder: TempDir,
}

/// The server's program.
///
/// # Errors
/// That it is missing.
pub(super) fn find_program() -> Result<PathBuf, String> {
    let mut all = ["/usr/local/bin", "/usr/bin"].into_iter().map(|folder| PathBuf::from(folder).join("redis-server"));
    all.find(|path| path.is_file()).ok_or_else(|| "there is no `redis-server` on this machine".to_owned())
}

impl Redis {
    /// Starts one, and returns when it listens.
    pub(super) fn start(program: PathBuf) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let port =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port").local_addr().expect("bound").port();
        let mut command = Command::new(program);
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--databases"]);
        command.arg(DATABASES.to_string()).arg("--dir").arg(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("a program that is there");
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            std::thread::yield_now();
        }
        Self { child, port, next: AtomicUsize::new(0), _folder: folder }
    }

    /// The URL of a database that no other trial has.
    pub(super) fn database(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        assert!(number < DATABASES, "a database for each trial");
        format!("redis://127.0.0.1:{}/{number}", self.port)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().unwrap_or_default();
        let status = self.child.wait();
        assert!(status.is_ok() || std::thread::panicking(), "{status:?}");
    }
}
