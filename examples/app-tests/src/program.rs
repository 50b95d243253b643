//! An app's program, started for one test.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use conformance_tests::adapter::Server;
use conformance_tests::browser::Browser;

/// A program that runs until it is dropped, or stopped.
#[derive(Debug)]
pub struct Program {
    /// Where it listens.
    pub addr: SocketAddr,
    process: Mutex<Child>,
    server: Arc<Server>,
}

impl Program {
    /// Starts a program on a port that the system chooses, and returns when it has printed
    /// `name is at http://…`. Its errors are printed: they explain a test that fails.
    ///
    /// # Panics
    /// If it doesn't start.
    pub fn start(name: &str, command: &mut Command) -> Self {
        let command = command.env("ADDR", "127.0.0.1:0").env("NO_COLOR", "1");
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the program starts");
        let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let start = format!("{name} is at http://");
        let addr = lines.find_map(|line| line.ok()?.strip_prefix(&start).map(|addr| addr.parse().expect("an address")));
        // What else it prints is read too, so that it isn't held up.
        let errors = lines.map_while(Result::ok).filter(|line| line.contains("ERROR"));
        std::thread::spawn(move || errors.for_each(|line| eprintln!("{addr:?}: {line}")));
        let addr = addr.expect("the program prints where it listens");
        Self { addr, process: Mutex::new(process), server: Arc::new(Server::new(addr, || ())) }
    }

    /// A browser without windows, for tests over HTTP. `cookie` is the name of the session's.
    pub fn browser(&self, cookie: &str) -> Browser {
        Browser::new(Arc::clone(&self.server), cookie)
    }

    /// Sends SIGTERM, as a service manager does.
    ///
    /// # Panics
    /// If there is no `kill` on this machine.
    pub fn ask_to_stop(&self) {
        let id = self.process.lock().unwrap_or_else(PoisonError::into_inner).id();
        assert!(Command::new("kill").arg(id.to_string()).status().expect("`kill` is there").success());
    }

    /// Waits until it has ended, and returns whether it ended without a signal and an error.
    ///
    /// # Panics
    /// If it can't be waited for.
    pub fn ended_well(&self) -> bool {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).wait().expect("it ends").success()
    }

    /// Sends SIGKILL, which it can't notice, and returns when it is gone. It may have ended before.
    ///
    /// # Panics
    /// If it can't be waited for.
    pub fn kill(&self) {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        if process.kill().is_ok() {
            process.wait().expect("a process that was killed ends");
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}
