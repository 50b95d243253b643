//! An app's program, started for one test on a port and a database of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
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
    process: Mutex<Child>,
    server: Arc<Server>,
    cookies: Cookies,
    _database: Database,
}

impl App {
    /// The app on the other framework, whose program is built beside this one's if the whole workspace is.
    pub(crate) fn other(self) -> Result<Self, String> {
        let name = if self.name == "devices-axum" { "devices-actix" } else { "devices-axum" };
        let program = Path::new(self.program).with_file_name(name);
        if !program.is_file() {
            return Err(format!(
                "nodes of both frameworks: there is no {}; `cargo build -p {name}`",
                program.display()
            ));
        }
        // Once a run.
        Ok(Self { name, program: program.to_str().ok_or("a path in UTF-8")?.to_owned().leak() })
    }

    /// Starts the program, and returns when it listens.
    pub(crate) fn start(self, cookies: Cookies, database: &Database) -> Running {
        let mut command = Command::new(self.program);
        command.env_clear().env("ADDR", "127.0.0.1:0").env("NO_COLOR", "1");
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
        // What else it says is read too, so that it can go on saying it. An error explains a trial that fails.
        let errors = lines.map_while(Result::ok).filter(|line| line.contains("ERROR"));
        std::thread::spawn(move || errors.for_each(|line| eprintln!("{addr:?}: {line}")));
        let addr = addr.expect("the program says where it listens");
        let server = Arc::new(Server::new(addr, || ()));
        Running { addr, process: Mutex::new(process), server, cookies, _database: database.clone() }
    }
}

impl Running {
    /// A browser without windows, for tests over HTTP.
    pub(crate) fn browser(&self) -> Browser {
        Browser::new(Arc::clone(&self.server), self.cookies.name())
    }

    /// A browser that has this cookie.
    pub(crate) fn tab(&self, cookie: &str) -> Browser {
        let mut tab = self.browser();
        tab.set_cookie(cookie);
        tab
    }

    /// Asks it to stop, as a service manager does, and returns whether it ended well.
    pub(crate) fn stop(&self) -> bool {
        self.ask_to_stop();
        self.ended_well()
    }

    /// Sends SIGTERM.
    pub(crate) fn ask_to_stop(&self) {
        let id = self.process.lock().unwrap_or_else(PoisonError::into_inner).id();
        assert!(Command::new("kill").arg(id.to_string()).status().expect("`kill` is there").success());
    }

    /// Waits until it has ended, and returns whether it did by itself and without an error.
    pub(crate) fn ended_well(&self) -> bool {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).wait().expect("it ends").success()
    }

    /// Sends SIGKILL, which it can't notice, and returns when it is gone. It may have ended by itself.
    pub(crate) fn kill(&self) {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        if process.kill().is_ok() {
            process.wait().expect("a process that was killed ends");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}
