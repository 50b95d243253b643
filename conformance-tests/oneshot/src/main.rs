//! What sessions add to one request in process, on each framework: allocations, instructions, store calls and time, beside the
//! same app without them. The frameworks share one list of rows; `budgets.toml` says what each may cost.
//!
//! `cargo run --release -p oneshot`. Counts repeat, and fail the run when they pass the budget; instructions
//! are counted where valgrind is installed. Times are medians of alternating rounds, to be read as a difference, on a machine
//! that may be busy.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use conformance_tests::faulty::{Faults, FaultyStore};
use session_core::{CookieSessionService, KeyRing, MemoryStore, SessionConfig, SigningKey};
use tokio::runtime::Runtime;

use crate::budgets::Budgets;

mod actix;
mod axum;
mod budgets;
mod instructions;

const ROUNDS: usize = 31;
const REQUESTS: u32 = 4000;
const USER_AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0";

/// An app of a framework, with the routes `/plain`, `/read`, `/write` and `/sign-in`.
trait App {
    type Request;

    fn request(&self, path: &str, cookie: Option<&str>) -> Self::Request;

    /// Answers, and drops the answer.
    async fn call(&self, request: Self::Request);

    /// Answers, and gives the `Set-Cookie` line.
    async fn set_cookie(&self, request: Self::Request) -> Option<String>;
}

/// The apps of one framework.
struct Apps<A> {
    framework: &'static str,
    bare: A,
    /// The sessions around all of it.
    around: A,
    /// The same, where the framework puts a layer inside its routes, beside an empty layer there.
    inside: Option<(A, A)>,
    /// As `around`, over a store that counts what it is asked.
    counted: A,
    faults: Arc<Faults>,
}

/// A request, and what it asks of the store, whatever the framework.
struct Row {
    name: &'static str,
    path: &'static str,
    cookie: Cookie,
    store_calls: u64,
}

#[derive(Clone, Copy)]
enum Cookie {
    None,
    Forged,
    Live,
}

const fn row(name: &'static str, path: &'static str, cookie: Cookie, store_calls: u64) -> Row {
    Row { name, path, cookie, store_calls }
}

const ROWS: [Row; 6] = [
    row("session unused", "/plain", Cookie::Live, 0),
    row("anonymous read", "/read", Cookie::None, 0),
    row("forged cookie", "/read", Cookie::Forged, 0),
    row("read a value", "/read", Cookie::Live, 1),
    row("write a value", "/write", Cookie::Live, 2),
    row("sign in", "/sign-in", Cookie::None, 1),
];

/// A service over a store in memory.
fn sessions() -> CookieSessionService {
    over(MemoryStore::new())
}

/// The same over a store that counts.
fn counted() -> (CookieSessionService, Arc<Faults>) {
    let faults = Arc::new(Faults::default());
    (over(FaultyStore::new(Arc::new(MemoryStore::new()), Arc::clone(&faults))), faults)
}

fn over(store: impl session_core::SessionStore) -> CookieSessionService {
    let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32]).expect("32 bytes"));
    CookieSessionService::new(store, SessionConfig::builder().build(keys).expect("the defaults are valid"))
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let args: Vec<String> = std::env::args().collect();
    // As it runs itself, to be counted.
    if let [_, run, framework, row, app, requests] = &args[..]
        && run == "run"
    {
        let requests = requests.parse().expect("a number");
        match framework.as_str() {
            "axum" => ask(&runtime, &axum::apps(), row, app, requests),
            _ => ask(&runtime, &runtime.block_on(actix::apps()), row, app, requests),
        }
        return ExitCode::SUCCESS;
    }
    println!("{ROUNDS} alternating rounds of {REQUESTS} requests, medians; memory store");
    println!(
        "{:44} {:>8} {:>8} {:>8} {:>8} {:>9} {:>9} {:>8}",
        "", "allocs", "with", "added", "calls", "bare ns", "with ns", "added"
    );
    let budgets = Budgets::read();
    let mut kept = measure(&runtime, &axum::apps(), &budgets);
    kept &= measure(&runtime, &runtime.block_on(actix::apps()), &budgets);
    kept &= count_instructions(&budgets);
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Asks for a row, many times.
fn ask<A: App>(runtime: &Runtime, apps: &Apps<A>, row: &str, app: &str, requests: u64) {
    let row = ROWS.iter().find(|other| other.name == row).expect("a row");
    let cookie = row.cookie.of(&sign_in(runtime, &apps.around));
    let (app, path) = if app == "bare" { (&apps.bare, "/plain") } else { (&apps.around, row.path) };
    for _ in 0..requests {
        runtime.block_on(app.call(app.request(path, cookie.as_deref())));
    }
}

/// Counts every row's instructions: whether all keep to their budgets.
fn count_instructions(budgets: &Budgets) -> bool {
    if !instructions::can_be_counted() {
        println!("instructions not counted: no valgrind");
        return std::env::var("SESSION_TEST_REQUIRE").is_err();
    }
    println!("{:44} {:>9} {:>9} {:>9}", "instructions", "bare", "with", "added");
    let mut kept = true;
    for framework in ["axum", "actix"] {
        for row in &ROWS {
            let (bare, with) = (
                instructions::of_one(framework, row.name, "bare"),
                instructions::of_one(framework, row.name, "around"),
            );
            let added = with.saturating_sub(bare);
            println!("{:44} {bare:>9} {with:>9} {added:>9}", format!("{framework}: {}", row.name));
            kept &= budgets.of(framework, row.name).keeps_instructions(added);
        }
    }
    kept
}

/// Measures every row: whether all keep to their budgets.
fn measure<A: App>(runtime: &Runtime, apps: &Apps<A>, budgets: &Budgets) -> bool {
    let mut kept = true;
    let live = sign_in(runtime, &apps.around);
    let counted = sign_in(runtime, &apps.counted);
    for row in &ROWS {
        let calls = {
            apps.faults.reset_counts();
            let cookie = row.cookie.of(&counted);
            runtime.block_on(apps.counted.call(apps.counted.request(row.path, cookie.as_deref())));
            apps.faults.total()
        };
        let cookie = row.cookie.of(&live);
        let added = compare(runtime, apps.framework, row, &apps.bare, &apps.around, cookie.as_deref(), calls);
        kept &= budgets.of(apps.framework, row.name).keeps_allocations(added);
        if calls != row.store_calls {
            println!("  not the {} store calls that it takes", row.store_calls);
            kept = false;
        }
        if let Some((empty, inside)) = &apps.inside
            && matches!(row.path, "/plain" | "/read")
            && matches!(row.cookie, Cookie::Live)
        {
            let cookie = row.cookie.of(&sign_in(runtime, inside));
            let framework = format!("{}, inside the routes", apps.framework);
            let added = compare(runtime, &framework, row, empty, inside, cookie.as_deref(), calls);
            kept &= budgets.of(&framework, row.name).keeps_allocations(added);
        }
    }
    kept
}

/// Prints what a row costs: the allocations that are added.
fn compare<A: App>(
    runtime: &Runtime,
    framework: &str,
    row: &Row,
    bare: &A,
    with: &A,
    cookie: Option<&str>,
    calls: u64,
) -> u64 {
    // The bare app serves a handler that does the same without a session.
    let without = allocations(runtime, bare, "/plain", cookie);
    let allocations = allocations(runtime, with, row.path, cookie);
    let (mut bare_ns, mut with_ns) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare_ns.push(time(runtime, bare, "/plain", cookie));
        with_ns.push(time(runtime, with, row.path, cookie));
    }
    let (bare_ns, with_ns) = (median(bare_ns), median(with_ns));
    let added = allocations.saturating_sub(without);
    println!(
        "{:44} {without:>8} {allocations:>8} {added:>8} {calls:>8} {bare_ns:>9} {with_ns:>9} {:>8}",
        format!("{framework}: {}", row.name),
        i128::from(with_ns) - i128::from(bare_ns)
    );
    added
}

impl Cookie {
    /// The header's value, from that of a live session.
    fn of(self, live: &str) -> Option<String> {
        match self {
            Self::None => None,
            Self::Forged => {
                // In the signature, and not at its end, whose last bits no value has set.
                let (head, tail) = live.split_at(live.len() - 8);
                let other = if tail.starts_with('A') { "B" } else { "A" };
                Some(format!("{head}{other}{}", &tail[1..]))
            }
            Self::Live => Some(live.to_owned()),
        }
    }
}

fn sign_in<A: App>(runtime: &Runtime, app: &A) -> String {
    let line = runtime.block_on(app.set_cookie(app.request("/sign-in", None))).expect("a cookie");
    line.split(';').next().expect("a first part").to_owned()
}

fn allocations<A: App>(runtime: &Runtime, app: &A, path: &str, cookie: Option<&str>) -> u64 {
    // Warm: what a framework keeps for a next request is there.
    for _ in 0..3 {
        runtime.block_on(app.call(app.request(path, cookie)));
    }
    let request = app.request(path, cookie);
    allocation_counter::measure(move || runtime.block_on(app.call(request))).count_total
}

fn time<A: App>(runtime: &Runtime, app: &A, path: &str, cookie: Option<&str>) -> u64 {
    let requests: Vec<_> = (0..REQUESTS).map(|_| app.request(path, cookie)).collect();
    runtime.block_on(async {
        let start = Instant::now();
        for request in requests {
            app.call(request).await;
        }
        nanos(start.elapsed())
    })
}

fn nanos(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_nanos() / u128::from(REQUESTS)).unwrap_or(u64::MAX)
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}
