//! What a session library adds to one request in process: allocations, and nanoseconds. Each way of an app is measured beside the same
//! app without sessions, in turns; `peers-runner` reads what this prints.

use std::time::Instant;

use tokio::runtime::Runtime;

const ROUNDS: usize = 21;
const REQUESTS: u64 = 2000;
/// For counting allocations, which differ from one request to the next where hash tables grow.
const COUNTED: u64 = 200;
pub const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0";

/// An app with the routes of all servers.
pub trait App {
    type Request;

    fn request(&self, path: &str, cookie: Option<&str>) -> Self::Request;

    /// Answers: the `Set-Cookie` lines of the response.
    async fn call(&self, request: Self::Request) -> Vec<String>;
}

/// Prints a line for each row: its path, allocations, nanoseconds.
pub fn measure(runtime: &Runtime, bare: &impl App, with: &impl App) {
    let lines = runtime.block_on(with.call(with.request("/login?user=ada", None)));
    let kept = lines.iter().filter(|line| !line.to_ascii_lowercase().contains("max-age=0"));
    let cookie = kept.filter_map(|line| line.split(';').next()).collect::<Vec<_>>().join("; ");
    assert!(!cookie.is_empty(), "a sign-in sends a cookie");
    let cookie = cookie.as_str();
    for path in ["/plain", "/read", "/write"] {
        // The routes of the bare app do the same without a session.
        let without = allocations(runtime, bare, path, cookie);
        let allocations = allocations(runtime, with, path, cookie) - without;
        let (mut bare_nanos, mut nanos) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            bare_nanos.push(time(runtime, bare, path, cookie));
            nanos.push(time(runtime, with, path, cookie));
        }
        println!("{path} {allocations:.1} {:.0}", median(nanos) - median(bare_nanos));
    }
}

fn allocations<A: App>(runtime: &Runtime, app: &A, path: &str, cookie: &str) -> f64 {
    time(runtime, app, path, cookie);
    let requests: Vec<_> = (0..COUNTED).map(|_| app.request(path, Some(cookie))).collect();
    let counted = allocation_counter::measure(|| {
        runtime.block_on(async {
            for request in requests {
                drop(std::hint::black_box(app.call(request).await));
            }
        });
    });
    counted.count_total as f64 / COUNTED as f64
}

/// Nanoseconds of one request.
fn time<A: App>(runtime: &Runtime, app: &A, path: &str, cookie: &str) -> f64 {
    let requests: Vec<_> = (0..REQUESTS).map(|_| app.request(path, Some(cookie))).collect();
    runtime.block_on(async {
        let start = Instant::now();
        for request in requests {
            drop(std::hint::black_box(app.call(request).await));
        }
        start.elapsed().as_nanos() as f64 / REQUESTS as f64
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
