//! An app's program, started for one test on a port and a database of its own.

use std::ops::Deref;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use app_tests::Program;
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

/// A program on its database.
pub(crate) struct Running {
    program: Program,
    cookies: Cookies,
    _database: Database,
}

impl App {
    /// The app on the other framework, whose program is built beside this one's if the whole
    /// workspace is.
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
        command.env_clear();
        match database {
            Database::File(folder) => command.env("DATABASE_URL", folder.path().join("sessions.db")),
            // Nodes that share a server share a key.
            Database::Server { url } => command.env("DATABASE_URL", url).env("SESSION_KEY", KEY),
        };
        if cookies == Cookies::Secure {
            command.env("COOKIES", "secure");
        }
        let program = Program::start(self.name, &mut command);
        Running { program, cookies, _database: database.clone() }
    }
}

impl Running {
    /// A browser without windows, for tests over HTTP.
    pub(crate) fn browser(&self) -> Browser {
        self.program.browser(self.cookies.name())
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
}

impl Deref for Running {
    type Target = Program;

    fn deref(&self) -> &Program {
        &self.program
    }
}
