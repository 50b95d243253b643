//! What each server can serve: requests a second, and what each costs its process.

use std::path::Path;
use std::process::Command;

use crate::Outcome;
use crate::databases::output;
use crate::server::{AGENT, Server};

/// One run of the load generator.
#[derive(Clone, Copy)]
pub struct Run {
    /// Without those that were answered with an error.
    pub requests_per_second: f64,
    /// Responses with a status of 400 or more, as a share of all.
    pub errors: f64,
    /// Of the server's process, for each request.
    pub cpu_micros: f64,
    /// 99 of 100 responses took less.
    pub p99_millis: f64,
}

/// How it is loaded.
#[derive(Clone)]
pub struct Load<'a> {
    pub path: &'a str,
    /// Rotated over the requests; with none, each asks for another user's sign-in.
    pub cookies: &'a [String],
    pub connections: u32,
    pub seconds: u32,
}

/// Loads a server that must answer no error.
pub fn run(server: &Server, folder: &Path, load: &Load<'_>) -> Outcome<Run> {
    let run = run_counting_errors(server, folder, load)?;
    if run.errors > 0.0 {
        return Err(format!("{}: {:.4} of the responses are errors", load.path, run.errors).into());
    }
    Ok(run)
}

/// Loads a server.
pub fn run_counting_errors(server: &Server, folder: &Path, load: &Load<'_>) -> Outcome<Run> {
    let script = folder.join("requests.lua");
    std::fs::write(&script, requests(load))?;
    let before = server.ticks()?;
    let printed = output(Command::new("wrk").args([
        "-t1",
        &format!("-c{}", load.connections),
        &format!("-d{}s", load.seconds),
        "-s",
        &script.display().to_string(),
        &server.url,
    ]))?;
    let ticks = server.ticks()? - before;
    if printed.contains("Socket errors") {
        return Err(format!("{}: {printed}", load.path).into());
    }
    let found = |name: &str| printed.lines().find_map(|line| line.trim().strip_prefix(name));
    let field = |name: &str| -> Outcome<f64> {
        Ok(found(name).ok_or_else(|| format!("no {name} in {printed}"))?.trim().parse()?)
    };
    let requests = field("requests:")?;
    let errors = found("Non-2xx or 3xx responses:").map_or(Ok(0.0), |count| count.trim().parse::<f64>())? / requests;
    Ok(Run {
        requests_per_second: field("Requests/sec:")? * (1.0 - errors),
        errors,
        cpu_micros: ticks as f64 * 10_000.0 / requests,
        p99_millis: field("p99:")? / 1000.0,
    })
}

/// The load generator's script, which makes all requests before the clock starts.
fn requests(load: &Load<'_>) -> String {
    let cookies = load.cookies.iter().map(|cookie| format!("{cookie:?}")).collect::<Vec<_>>().join(", ");
    let path = load.path;
    let make = if load.cookies.is_empty() {
        format!(
            "for i = 1, 20000 do made[i] = wrk.format('GET', '{path}?user=' .. math.random(1, 1000000000), agent) end"
        )
    } else {
        format!(
            "for i, cookie in ipairs({{{cookies}}}) do
  agent['Cookie'] = cookie
  made[i] = wrk.format('GET', '{path}', agent)
end"
        )
    };
    format!(
        "local made, next = {{}}, 0
init = function(args)
  local agent = {{['User-Agent'] = '{AGENT}'}}
  math.randomseed(os.time())
  {make}
end
request = function()
  next = next % #made + 1
  return made[next]
end
done = function(summary, latency, requests)
  print('requests: ' .. summary.requests)
  print('p99: ' .. latency:percentile(99))
end
"
    )
}
