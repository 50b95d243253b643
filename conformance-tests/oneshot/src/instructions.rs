//! Instructions of one request, which repeat whatever else the machine does: this program runs itself under valgrind, with few
//! requests and with more, and takes the difference.

use std::process::Command;

/// Requests of the shorter run, which are there to warm up, and of the longer one.
const REQUESTS: [u64; 2] = [200, 600];

/// Whether valgrind is here.
pub(crate) fn can_be_counted() -> bool {
    Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Of one request of a row, to the bare app or to the one with sessions.
pub(crate) fn of_one(framework: &str, row: &str, app: &str) -> u64 {
    let [few, many] = REQUESTS.map(|requests| of_all(framework, row, app, requests));
    (many - few) / (REQUESTS[1] - REQUESTS[0])
}

fn of_all(framework: &str, row: &str, app: &str, requests: u64) -> u64 {
    let program = std::env::current_exe().expect("this program is a file");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["run", framework, row, app, &requests.to_string()])
        .output()
        .expect("valgrind runs");
    let said = String::from_utf8_lossy(&output.stderr);
    let counted = said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    counted.unwrap_or_else(|| panic!("valgrind counts: {said}"))
}
