//! A PostgreSQL server that is killed with SIGKILL under load and started again, several times: nothing acknowledged is lost,
//! nothing that ended comes back, and service goes on by itself. The server is the trial's own, on a port of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use conformance_tests::world::{Rows, World};
use conformance_tests::{postgres, suite};
use libtest_mimic::Trial;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;

use super::axum::Axum;

/// How often the server is killed.
const CRASHES: usize = 3;
/// Browsers that write all the time, each with a session of its own.
const WRITERS: usize = 8;
/// Requests that each writer must have had answered between two crashes.
const BETWEEN: u64 = 15;

/// The trials, where PostgreSQL's own programs are.
pub(crate) fn trials() -> Vec<Trial> {
    match programs() {
        Some(programs) => {
            let name = "axum × postgres · FLT-1, DATA-6 · a server killed under load loses and revives nothing";
            vec![Trial::test(name, move || suite::run(killed_under_load(programs)))]
        }
        None => {
            suite::untested("a killed PostgreSQL server: there is no `initdb` below /usr/lib/postgresql".to_owned())
                .into_iter()
                .collect()
        }
    }
}

/// The folder of the newest `initdb`.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut folders: Vec<_> = versions.filter_map(|version| Some(version.ok()?.path().join("bin"))).collect();
    folders.retain(|folder| folder.join("initdb").is_file());
    folders.sort();
    folders.pop()
}

/// A server in a folder of its own.
struct Server {
    programs: PathBuf,
    folder: TempDir,
    port: u16,
}

impl Server {
    fn new(programs: PathBuf) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        // Free now; the server has it before anybody else asks.
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port();
        let server = Self { programs, folder, port };
        if is_root() {
            // Which the server refuses to be.
            let owned = Command::new("chown").arg("postgres").arg(server.folder.path()).status().expect("`chown`");
            assert!(owned.success());
        }
        assert!(server.run("initdb", &["-A", "trust", "-U", "postgres"]), "a new cluster");
        server.start();
        server
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts it, and returns when it answers.
    fn start(&self) {
        let folder = self.folder.path().display();
        let options = format!("-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}", self.port);
        let log = self.folder.path().join("log");
        let log = log.to_str().expect("a path in UTF-8");
        // What the killed server left is in the way until the last of its processes has noticed.
        while !self.run("pg_ctl", &["-w", "-l", log, "-o", &options, "start"]) {
            std::thread::yield_now();
        }
    }

    /// Kills it, as the kernel does when memory runs out.
    fn kill(&self) {
        let pid = fs::read_to_string(self.data().join("postmaster.pid")).expect("a server that runs");
        let pid = pid.lines().next().expect("its first line");
        assert!(Command::new("kill").args(["-9", pid]).status().expect("`kill`").success());
    }

    fn run(&self, program: &str, arguments: &[&str]) -> bool {
        let program = self.programs.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.arg("-D").arg(self.data()).args(arguments).current_dir(self.folder.path());
        let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.expect("PostgreSQL's programs run").success()
    }

    fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if Path::new(&self.data().join("postmaster.pid")).exists() {
            self.run("pg_ctl", &["-m", "immediate", "stop"]);
        }
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("`id`");
    id.stdout.trim_ascii() == b"0"
}

/// What one writer has been told.
#[derive(Debug, Clone, Default)]
struct Told {
    /// Numbers of the requests that were acknowledged.
    stored: Vec<u64>,
    /// How many were a 503.
    refused: u64,
}

async fn killed_under_load(programs: PathBuf) {
    let server = tokio::task::spawn_blocking(|| Arc::new(Server::new(programs))).await.expect("a server");
    let url = server.url();
    let rows = Rows::new(move || {
        let url = url.clone();
        async move { postgres::open(&url).await }
    });
    let world = World::new(Arc::new(Axum), rows).await;

    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let mut browser = world.browser();
        browser.sign_in(&format!("writer {writer}")).await;
        let (tell, told) = watch::channel(Told::default());
        let (mut tab, stop) = (browser.clone(), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            for number in 0.. {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let script =
                    json!([{"op": "increment", "key": "n"}, {"op": "set", "key": number.to_string(), "value": 1}]);
                let reply = tab.run(script).await;
                tell.send_modify(|told| match reply.status {
                    200 => {
                        assert!(reply.error_status(0).is_none() && reply.error_status(1).is_none(), "{reply:?}");
                        told.stored.push(number);
                    }
                    503 => told.refused += 1,
                    status => panic!("writer {writer}: {status}"),
                });
            }
        });
        writers.push((browser, told, task));
    }

    let mut ended = Vec::new();
    let mut pauses = Vec::new();
    for crash in 0..CRASHES {
        for (_, told, _) in &mut writers {
            let before = told.borrow().stored.len() as u64;
            told.wait_for(|told| told.stored.len() as u64 >= before + BETWEEN).await.expect("a writer that runs");
        }
        // Signed out just before, and as far as anybody was told, for ever.
        let mut browser = world.browser();
        browser.sign_in(&format!("gone {crash}")).await;
        let cookie = browser.cookie().expect("signed in");
        let reply = browser.run(json!([{"op": "logout"}])).await;
        assert_eq!((reply.status, reply.error_status(0)), (200, None));
        ended.push(cookie);

        let refused: Vec<_> = writers.iter().map(|(_, told, _)| told.borrow().refused).collect();
        let killed = Arc::clone(&server);
        tokio::task::spawn_blocking(move || killed.kill()).await.expect("killed");
        for ((_, told, _), before) in writers.iter_mut().zip(refused) {
            told.wait_for(|told| told.refused > before).await.expect("a writer that runs");
        }
        let started = Arc::clone(&server);
        tokio::task::spawn_blocking(move || started.start()).await.expect("started");
        let back = Instant::now();
        let (_, told, _) = &mut writers[0];
        let before = told.borrow().stored.len();
        told.wait_for(|told| told.stored.len() > before).await.expect("a writer that runs");
        pauses.push(back.elapsed());
    }
    stop.store(true, Ordering::SeqCst);

    let (mut stored, mut refused) = (0, 0);
    for (writer, (mut browser, told, task)) in writers.into_iter().enumerate() {
        task.await.expect("a writer that ends well");
        let told = told.borrow().clone();
        let reply = browser.run(json!([{"op": "current"}])).await;
        let data: Value = reply.result(0)["data"].clone();
        for number in &told.stored {
            assert_eq!(data[number.to_string()], json!(1), "writer {writer}: {number} was acknowledged");
        }
        let counted = data["n"].as_u64().expect("a count");
        let acknowledged = told.stored.len() as u64;
        // What was a 503 may have been stored, whole and once.
        assert!(
            (acknowledged..=acknowledged + told.refused).contains(&counted),
            "writer {writer}: {counted}, {told:?}"
        );
        assert_eq!(counted, data.as_object().expect("an object").len() as u64 - 1, "as many increments as keys");
        stored += acknowledged;
        refused += told.refused;
    }
    for cookie in ended {
        let mut browser = world.browser();
        browser.set_cookie(cookie);
        let reply = browser.run(json!([{"op": "user_id"}])).await;
        assert_eq!((reply.status, reply.result(0)), (200, json!(null)), "signed out stays signed out");
    }
    println!(
        "{CRASHES} crashes: {stored} writes acknowledged, none lost; {refused} refused; served again {pauses:?} after"
    );
}
