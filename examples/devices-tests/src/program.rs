//! An app's program, started for one test on a port and a database of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use conformance_tests::adapter::Server;
use conformance_tests::browser::Browser;
use tempfile::TempDir;

/// An app under test.
#[derive(Debug, Clone, Copy)]
pub struct App {
    /// Its name.
    pub name: &'static str,
    /// The path of its program.
    pub program: &'static str,
}

/// A key of tests.
const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

/// Which cookies the app is told to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cookies {
    /// Those of development, over plain HTTP.
    Plain,
    /// `COOKIES=secure`.
    Secure,
}

impl Cookies {
    /// The name of the session's cookie.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "session",
            Self::Secure => "__Host-session",
        }
    }
}

/// A database, which outlives the programs that use it.
#[derive(Clone)]
pub(crate) enum Database {
    /// A file in a folder of its own.
    File(Arc<TempDir>),
    /// On a server.
    Server { url: String },
}

impl Database {
    pub(crate) fn file() -> Self {
        Self::File(Arc::new(tempfile::tempdir().expect("a temporary folder")))
    }
}

/// A program that runs until it is dropped, or told to stop.
pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    process: Arc<Mutex<Child>>,
    server: Arc<Server>,
    cookies: Cookies,
    _database: Database,
}

impl App {
    /// Starts the program, and returns when it listens.
    pub(crate) fn start(self, cookies: Cookies, database: &Database) -> Running {
        let mut command = Command::new(self.program);
        command.env_clear().env("ADDR", "127.0.0.1:0");
        match database {
            Database::File(folder) => command.env("DATABASE_URL", folder.path().join("sessions.db")),
            // Nodes that share a server share a key.
            Database::Server { url } => command.env("DATABASE_URL", url).env("SESSION_KEY", KEY),
        };
        if cookies == Cookies::Secure {
            command.env("COOKIES", "secure");
        }
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the program starts");
        let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let start = format!("{} is at http://", self.name);
        let addr = lines.find_map(|line| line.ok()?.strip_prefix(&start).map(|addr| addr.parse().expect("an address")));
        // What else it says is read too, so that it can go on saying it.
        std::thread::spawn(move || lines.for_each(drop));
        let process = Arc::new(Mutex::new(process));
        let killed = Arc::clone(&process);
        let kill = move || {
            let mut process = killed.lock().unwrap_or_else(PoisonError::into_inner);
            // It may have ended by itself.
            if process.kill().is_ok() {
                process.wait().expect("a process that was killed ends");
            }
        };
        let addr = addr.expect("the program says where it listens");
        let server = Arc::new(Server::new(addr, kill));
        Running { addr, process, server, cookies, _database: database.clone() }
    }
}

impl Running {
    /// A browser without windows, for tests over HTTP.
    pub(crate) fn browser(&self) -> Browser {
        Browser::new(Arc::clone(&self.server), self.cookies.name())
    }

    /// Asks it to stop, as a service manager does, and returns whether it ended well.
    pub(crate) fn stop(self) -> bool {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = Command::new("kill").arg(process.id().to_string()).status().expect("`kill` is there");
        asked.success() && process.wait().expect("it ends").success()
    }
}
