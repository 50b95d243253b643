//! What all servers share: their arguments, what requests ask for, and the line that says where they listen.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Where sessions are kept: the only argument.
pub fn store() -> String {
    std::env::args().nth(1).expect("which store: none, memory, cookie, sqlite:PATH, postgres://…, mysql://…, redis://…")
}

/// Connections of a pool, if the environment says how many.
#[allow(dead_code)]
pub fn connections() -> Option<u32> {
    std::env::var("CONNECTIONS").ok().map(|text| text.parse().expect("CONNECTIONS is a number"))
}

/// Whether SQLite waits for the disk at each write, as it does unless the environment says otherwise.
#[allow(dead_code)]
pub fn waits_for_the_disk() -> bool {
    std::env::var("SYNCHRONOUS").as_deref() != Ok("normal")
}

pub fn listening(at: SocketAddr) {
    println!("listening {at}");
    std::io::stdout().flush().expect("standard output");
}

/// Text that differs from one request to the next, so that nobody can leave out the write.
pub fn next_theme() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{:04x}", NEXT.fetch_add(1, Ordering::Relaxed) & 0xffff)
}

#[derive(serde::Deserialize)]
pub struct Login {
    pub user: String,
}

/// Sets a key, some milliseconds after the session was read, and answers some after that.
#[derive(serde::Deserialize)]
pub struct Set {
    pub key: String,
    before: u64,
    after: u64,
}

impl Set {
    pub async fn wait_before(&self) {
        wait(self.before).await;
    }

    pub async fn wait_after(&self) {
        wait(self.after).await;
    }
}

async fn wait(milliseconds: u64) {
    if milliseconds > 0 {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }
}

/// A value of that many bytes.
#[derive(serde::Deserialize)]
pub struct Data {
    pub bytes: usize,
}

/// The keys that requests set, for who asks which are there.
pub const KEYS: [&str; 4] = ["a", "b", "c", "d"];
