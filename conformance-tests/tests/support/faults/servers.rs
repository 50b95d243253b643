//! Database servers of a trial's own, each in a folder and on a port of its own: started, killed,
//! started again. Not here: calling the programs, see `programs`.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use tempfile::TempDir;
use tokio::sync::oneshot;

use super::client::Client;
use super::disk::SmallDisk;
use super::programs::{Kind, Programs};

/// A server that stops when it is dropped.
pub(crate) struct Server {
    programs: Programs,
    data: PathBuf,
    port: u16,
    process: Mutex<Option<Process>>,
    /// Before the folder in which it is mounted.
    disk: Option<SmallDisk>,
    folder: TempDir,
}

struct Process {
    child: Child,
    /// Ends when the last process of the server has: the last lines that it said.
    reader: JoinHandle<Vec<String>>,
}

/// What of a server is on a small disk.
#[derive(Debug, Clone, Copy)]
pub(crate) enum OnDisk {
    Nothing,
    /// All but PostgreSQL's write-ahead log.
    Tables,
    /// That log alone.
    Log,
    Everything,
}

impl Server {
    /// A server that answers, with an empty database for sessions.
    pub(crate) async fn start_new(programs: Programs) -> Self {
        Self::start_on(programs, OnDisk::Nothing, 0).await
    }

    /// The same, with its files on a disk of so many megabytes.
    pub(crate) async fn start_on(programs: Programs, on_disk: OnDisk, megabytes: u32) -> Self {
        let made = tokio::task::spawn_blocking(move || Self::make(programs, on_disk, megabytes));
        let server = made.await.expect("a new server");
        server.start().await.expect("a new server starts");
        let mut client = Client::connect(&server.admin_url()).await.expect("a server that answers");
        if server.kind() == Kind::MariaDb {
            // Without the rights of an administrator, as an app should be.
            client.run("CREATE DATABASE sessions").await.expect("a database");
            client.run("CREATE USER app@'127.0.0.1'").await.expect("a user");
            client.run("GRANT ALL ON sessions.* TO app@'127.0.0.1'").await.expect("its rights");
        }
        server
    }

    fn make(programs: Programs, on_disk: OnDisk, megabytes: u32) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        programs.give(folder.path());
        let disk = match on_disk {
            OnDisk::Nothing => None,
            OnDisk::Tables | OnDisk::Log | OnDisk::Everything => {
                let disk = SmallDisk::mount(&folder.path().join("disk"), megabytes).expect("a small disk");
                programs.give(disk.path());
                Some(disk)
            }
        };
        let small = disk.as_ref().map_or(folder.path(), SmallDisk::path);
        let (data, log) = match on_disk {
            OnDisk::Nothing | OnDisk::Everything => (small.join("data"), None),
            OnDisk::Tables => (small.join("data"), Some(folder.path().join("log"))),
            OnDisk::Log => (folder.path().join("data"), Some(small.join("log"))),
        };
        programs.make(&data, log.as_deref(), folder.path());
        // Free now; the server has it before anybody else asks.
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port();
        Self { programs, data, port, process: Mutex::default(), disk, folder }
    }

    /// Starts it, and returns when it takes connections.
    ///
    /// # Errors
    /// The last lines that it said before it ended.
    pub(crate) async fn start(&self) -> Result<(), String> {
        let mut command = self.programs.serve(&self.data, self.folder.path(), self.port);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("a program that is there");
        let stderr = child.stderr.take().expect("piped");
        let (tell, ready) = oneshot::channel();
        let reader = std::thread::spawn(move || {
            let mut tell = Some(tell);
            let mut last = VecDeque::new();
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let ready = ["ready to accept connections", "ready for connections"];
                if ready.iter().any(|words| line.contains(words))
                    && let Some(tell) = tell.take()
                {
                    // Whoever waited may be gone.
                    tell.send(()).unwrap_or_default();
                }
                last.push_back(line);
                if last.len() > 20 {
                    last.pop_front();
                }
            }
            last.into()
        });
        *self.process() = Some(Process { child, reader });
        match ready.await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.gone().await.join("\n")),
        }
    }

    /// Kills it, as the kernel does when memory runs out.
    pub(crate) async fn kill(&self) {
        let killed = self.process().as_mut().expect("a server that runs").child.kill();
        killed.expect("a process of our own");
        self.gone().await;
    }

    /// Waits until all of its processes have ended: the last lines that it said.
    pub(crate) async fn gone(&self) -> Vec<String> {
        let process = self.process().take();
        let Some(Process { mut child, reader }) = process else { return Vec::new() };
        let waited = tokio::task::spawn_blocking(move || {
            child.wait().expect("a process of our own");
            reader.join().expect("it only reads")
        });
        waited.await.expect("it only waits")
    }

    /// Whether its first process runs.
    pub(crate) fn runs(&self) -> bool {
        let mut process = self.process();
        process.as_mut().is_some_and(|process| process.child.try_wait().expect("a process of our own").is_none())
    }

    pub(crate) const fn kind(&self) -> Kind {
        self.programs.kind
    }

    /// As the app connects.
    pub(crate) fn url(&self) -> String {
        match self.kind() {
            Kind::Postgres => self.admin_url(),
            Kind::MariaDb => format!("mysql://app@127.0.0.1:{}/sessions", self.port),
        }
    }

    /// As its administrator connects.
    pub(crate) fn admin_url(&self) -> String {
        match self.kind() {
            Kind::Postgres => format!("postgres://postgres@127.0.0.1:{}/postgres", self.port),
            Kind::MariaDb => format!("mysql://root@127.0.0.1:{}/mysql", self.port),
        }
    }

    /// The small disk that it was made on.
    pub(crate) fn disk(&self) -> &Path {
        self.disk.as_ref().expect("made on a small disk").path()
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(mut process) = self.process().take() else { return };
        let asked =
            self.programs.stop(&self.data).is_some_and(|mut stop| stop.status().is_ok_and(|left| left.success()));
        if !asked {
            // It may have ended by itself.
            process.child.kill().unwrap_or_default();
        }
        let status = process.child.wait();
        assert!(status.is_ok() || std::thread::panicking(), "{status:?}");
        let joined = process.reader.join();
        assert!(joined.is_ok() || std::thread::panicking());
    }
}
