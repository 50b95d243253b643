//! What the session layer adds to one request in process: allocations and time, beside the same router without it.
//!
//! `cargo bench -p conformance-tests --bench oneshot`. Allocation counts repeat exactly and fail the run when they pass
//! the budget; times are medians of alternating rounds, to be read as a difference, on a machine that may be busy.

use std::hint::black_box;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use http::{Request, Response};
use session_axum::{CookieSession, CookieSessionService, KeyRing, MemoryStore, SessionConfig, SigningKey};
use tokio::runtime::Runtime;
use tower::{Layer, ServiceExt};

const ROUNDS: usize = 31;
const REQUESTS: u32 = 4000;

type App = tower::util::BoxCloneSyncService<Request<Body>, Response<Body>, std::convert::Infallible>;

struct Row {
    name: &'static str,
    app: App,
    bare: &'static str,
    path: &'static str,
    cookie: Option<String>,
    /// Most allocations it may add to the bare router.
    budget: u64,
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32]).expect("32 bytes"));
    let config = SessionConfig::builder().build(keys).expect("the defaults are valid");
    let service = CookieSessionService::new(MemoryStore::new(), config);

    let around = App::new(service.layer().layer(routes()));
    let inside = App::new(routes().layer(service.layer()));
    let bare = App::new(routes());
    let empty = App::new(routes().layer(tower::layer::util::Identity::new()));

    let response = runtime.block_on(around.clone().oneshot(request("/sign-in", None))).expect("infallible");
    let cookie = response.headers()["set-cookie"].to_str().expect("text").split(';').next().map(str::to_owned);
    let forged = cookie.as_ref().map(|cookie| format!("{}A", &cookie[..cookie.len() - 1]));

    let row = |name, app: &App, bare, path, cookie: &Option<String>, budget| Row {
        name,
        app: app.clone(),
        bare,
        path,
        cookie: cookie.clone(),
        budget,
    };
    let rows = [
        row("unused, layer around the router", &around, "bare", "/plain", &cookie, 3),
        row("unused, through Router::layer", &inside, "empty", "/plain", &cookie, 3),
        row("anonymous read", &around, "bare", "/read", &None, 20),
        row("forged cookie", &around, "bare", "/read", &forged, 20),
        row("read a value", &around, "bare", "/read", &cookie, 20),
        row("read, through Router::layer", &inside, "empty", "/read", &cookie, 20),
        row("write a value", &around, "bare", "/write", &cookie, 40),
    ];

    println!("{ROUNDS} alternating rounds of {REQUESTS} requests, medians; memory store");
    println!(
        "{:34} {:>11} {:>11} {:>8} {:>10} {:>10} {:>8}",
        "", "bare allocs", "with", "added", "bare ns", "with ns", "added"
    );
    let mut failed = false;
    for row in rows {
        let bare = if row.bare == "bare" { bare.clone() } else { empty.clone() };
        // The bare router serves a handler that does the same without a session.
        let bare_allocations = allocations(&runtime, &bare, "/plain", row.cookie.as_deref());
        let allocations = allocations(&runtime, &row.app, row.path, row.cookie.as_deref());
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            without.push(time(&runtime, &bare, "/plain", row.cookie.as_deref()));
            with.push(time(&runtime, &row.app, row.path, row.cookie.as_deref()));
        }
        let (without, with) = (median(without), median(with));
        let added = allocations.saturating_sub(bare_allocations);
        println!(
            "{:34} {bare_allocations:>11} {allocations:>11} {added:>8} {without:>10} {with:>10} {:>8}",
            row.name,
            i128::from(with) - i128::from(without)
        );
        if added > row.budget {
            println!("  over the budget of {} allocations", row.budget);
            failed = true;
        }
    }
    if failed {
        std::process::exit(1);
    }
}

fn routes() -> Router {
    Router::new()
        .route("/plain", get(async || "plain"))
        .route(
            "/read",
            get(async |session: CookieSession| {
                black_box(session.get::<String>("theme").expect("a string or nothing"));
                "plain"
            }),
        )
        .route(
            "/write",
            get(async |session: CookieSession| {
                session.set("theme", &"dark").expect("small");
                "plain"
            }),
        )
        .route(
            "/sign-in",
            get(async |session: CookieSession| {
                session.authenticate("ada").await.expect("the memory store works");
                session.set("theme", &"light").expect("small");
            }),
        )
        .route("/unused", post(async || ()))
}

fn request(path: &str, cookie: Option<&str>) -> Request<Body> {
    let request = Request::get(path).header("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Firefox/130.0");
    let request = match cookie {
        Some(cookie) => request.header("cookie", cookie),
        None => request,
    };
    request.body(Body::empty()).expect("a valid request")
}

fn allocations(runtime: &Runtime, app: &App, path: &str, cookie: Option<&str>) -> u64 {
    runtime.block_on(app.clone().oneshot(request(path, cookie))).expect("warm");
    let measured = (request(path, cookie), app.clone());
    allocation_counter::measure(move || {
        let (request, app) = measured;
        drop(black_box(runtime.block_on(app.oneshot(request))));
    })
    .count_total
}

fn time(runtime: &Runtime, app: &App, path: &str, cookie: Option<&str>) -> u64 {
    let requests: Vec<_> = (0..REQUESTS).map(|_| (request(path, cookie), app.clone())).collect();
    runtime.block_on(async {
        let start = Instant::now();
        for (request, app) in requests {
            drop(black_box(app.oneshot(request).await));
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
