//! Two operating-system processes on one SQLite file: this binary starts itself twice, and counts.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;

use conformance_tests::world::{Rows, World};
use conformance_tests::{sqlite, suite};
use libtest_mimic::Trial;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tempfile::TempDir;

use super::axum::Axum;

/// Holds the [`Task`] of a process that isn't to run the suite.
const TASK: &str = "SESSION_TEST_WORKER";
const WORKERS: u32 = 2;

/// What one process does.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    file: PathBuf,
    cookie: String,
    worker: u32,
}

/// This process's task, if it was started to do one.
pub(crate) fn task() -> Option<Task> {
    let task = std::env::var(TASK).ok()?;
    Some(serde_json::from_str(&task).expect("a task as its parent wrote it"))
}

/// Does a task: says when it is ready, waits for a line, and says how many of its requests were a
/// 503.
pub(crate) fn work(task: &Task) -> ExitCode {
    let (file, cookie, worker) = (task.file.clone(), task.cookie.clone(), task.worker);
    let outcome = suite::run(async move {
        let world = world(&file).await;
        let mut browser = world.browser();
        browser.set_cookie(cookie);
        say("ready");
        tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()))
            .await
            .expect("a line")
            .expect("a line");
        let mut refused = 0;
        for round in 0..world.rounds {
            let reply = browser
                .run(json!([
                    {"op": "increment", "key": "n"},
                    {"op": "set", "key": format!("{worker}:{round}"), "value": round},
                ]))
                .await;
            match reply.status {
                200 => assert_eq!((reply.error_status(0), reply.error_status(1)), (None, None)),
                503 => refused += 1,
                other => panic!("round {round}: {other}"),
            }
        }
        say(&refused.to_string());
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("worker {worker}: {}", failed.message().unwrap_or("failed"));
            ExitCode::FAILURE
        }
    }
}

/// The trials that start processes.
pub(crate) fn trials() -> Vec<Trial> {
    let behaviour = "different keys and increments all take effect";
    vec![suite::proves("processes", "sqlite", &["DATA-4", "DATA-5"], behaviour, all_take_effect)]
}

async fn all_take_effect() {
    let folder = TempDir::new().expect("a temporary folder");
    let file = folder.path().join("sessions.db");
    let world = world(&file).await;
    let mut browser = world.browser();
    browser.sign_in("ada").await;
    let cookie = browser.cookie().expect("signed in");
    let started: Vec<_> = (0..WORKERS)
        .map(|worker| Worker::start(&Task { file: file.clone(), cookie: cookie.clone(), worker }))
        .collect();
    let refused = tokio::task::spawn_blocking(move || {
        let mut workers = started;
        workers.iter_mut().for_each(|worker| assert_eq!(worker.hear(), "ready"));
        workers.iter_mut().for_each(Worker::go);
        workers.into_iter().map(Worker::finish).sum::<usize>()
    })
    .await
    .expect("both processes succeed");

    let done = WORKERS as usize * world.rounds - refused;
    assert!(refused * 10 < done, "{refused} of {} were refused", done + refused);
    let reply = browser.run(json!([{"op": "current"}])).await;
    let data = reply.result(0)["data"].as_object().cloned().expect("still signed in");
    // A 503 may have been stored, where its outcome was unknown; whatever was stored was stored
    // whole.
    let counted = usize::try_from(data["n"].as_u64().expect("a count")).expect("a small one");
    assert_eq!(counted, data.len() - 1, "as many increments as keys of their own");
    assert!((done..=done + refused).contains(&counted), "{counted} counted, {done} answered, {refused} refused");
}

/// A server of this process over `file`.
async fn world(file: &Path) -> World {
    let file = file.to_owned();
    let rows = Rows::new(move || {
        let file = file.clone();
        async move { sqlite::open(&file).await }
    });
    World::new(Arc::new(Axum), rows).await
}

/// One line to the parent, at once, past the capture of a test's output.
fn say(line: &str) {
    let mut out = std::io::stdout();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("the parent listens");
}

struct Worker {
    process: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Worker {
    fn start(task: &Task) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("the path of this binary"))
            .env(TASK, serde_json::to_string(task).expect("a task can be written"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this binary starts");
        let lines = BufReader::new(process.stdout.take().expect("piped"));
        Self { process, lines }
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    fn go(&mut self) {
        let mut input = self.process.stdin.take().expect("piped, and taken once");
        writeln!(input, "go").expect("the process listens");
    }

    fn finish(mut self) -> usize {
        let refused = self.hear();
        let status = self.process.wait().expect("the process ends");
        assert!(status.success(), "{status}, having said {refused:?}");
        refused.parse().expect("a count")
    }
}
