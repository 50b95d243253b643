//! How the cost grows: with connections, with the size of a session's data, and with the number of cookies.

use std::path::Path;

use reqwest::Client;

use crate::cases::{Case, Place};
use crate::chart::{self, Line};
use crate::figures::median;
use crate::load::{self, Load, Run};
use crate::server::{Server, ask};
use crate::throughput::sign_in;
use crate::{Options, Outcome, report};

/// What grows, and in which steps.
struct Shape {
    name: &'static str,
    title: &'static str,
    path: &'static str,
    steps: &'static [u32],
}

const SHAPES: [Shape; 4] = [
    Shape {
        name: "connections",
        title: "by connections, a read",
        path: "/read",
        steps: &[1, 4, 16, 32, 64, 128, 256, 512],
    },
    Shape {
        name: "connections-write",
        title: "by connections, a write",
        path: "/write",
        steps: &[1, 4, 16, 32, 64, 128, 256, 512],
    },
    Shape { name: "data", title: "by bytes of data, a read", path: "/read", steps: &[0, 1024, 4096, 16_384, 60_000] },
    Shape {
        name: "cookies",
        title: "by other cookies in the request, a read",
        path: "/read",
        steps: &[0, 1, 10, 50, 100],
    },
];

pub async fn measure(options: &Options, folder: &Path, running: &[(&Case, &Server)]) -> Outcome<()> {
    let client = Client::new();
    let ours: Vec<_> = running.iter().filter(|(case, _)| case.is_ours && case.server == "ours-axum").collect();
    let mut cookies = Vec::new();
    for (case, server) in &ours {
        cookies.push(sign_in(&client, case, server).await?);
    }
    let mut tables = Vec::new();
    for shape in &SHAPES {
        let mut lines: Vec<(&str, Vec<Run>)> = ours.iter().map(|(case, _)| (case.name, Vec::new())).collect();
        for step in shape.steps {
            let mut runs = vec![Vec::new(); ours.len()];
            for (index, (_, server)) in ours.iter().enumerate() {
                if shape.name == "data" {
                    for cookie in &cookies[index] {
                        let stored = ask(&client, &format!("{}/data?bytes={step}", server.url), Some(cookie)).await?;
                        if stored.status != 200 {
                            return Err(format!("{} bytes: {}", step, stored.status).into());
                        }
                    }
                }
            }
            for _ in 0..options.rounds {
                for (index, (_, server)) in ours.iter().enumerate() {
                    let sent: Vec<_> = cookies[index].iter().map(|cookie| beside(cookie, shape, *step)).collect();
                    let connections = if shape.name.starts_with("connections") { *step } else { 32 };
                    let load = Load { path: shape.path, cookies: &sent, connections, seconds: options.seconds };
                    runs[index].push(load::run(server, folder, &load)?);
                }
            }
            for (line, runs) in lines.iter_mut().zip(runs) {
                let of = |of: fn(&Run) -> f64| median(&runs.iter().map(of).collect::<Vec<_>>());
                line.1.push(Run {
                    requests_per_second: of(|run| run.requests_per_second),
                    cpu_micros: of(|run| run.cpu_micros),
                    p99_millis: of(|run| run.p99_millis),
                });
            }
        }
        let steps: Vec<_> = shape.steps.iter().map(u32::to_string).collect();
        for (what, of) in [
            ("requests a second", (|run| run.requests_per_second) as fn(&Run) -> f64),
            ("p99 in ms", |run| run.p99_millis),
        ] {
            let drawn: Vec<_> = lines
                .iter()
                .map(|(name, runs)| Line { name: (*name).to_owned(), values: runs.iter().map(of).collect() })
                .collect();
            let suffix = if what.starts_with("p99") { "-p99" } else { "" };
            let file = options.out.join(format!("{}{suffix}.svg", shape.name));
            chart::lines(&file, &format!("{what} {}", shape.title), &steps, &drawn)?;
            tables.push((format!("{what} {}", shape.title), steps.clone(), drawn));
        }
        eprintln!("{} done", shape.title);
    }
    debug_assert!(ours.iter().all(|(case, _)| case.place != Place::None));
    report::shapes(options, &tables)
}

/// The request's cookies: the session's, among others if these are what grows.
fn beside(cookie: &str, shape: &Shape, step: u32) -> String {
    if shape.name != "cookies" {
        return cookie.to_owned();
    }
    let others = (0..step).map(|number| format!("other_{number}=0123456789abcdef"));
    let mut all: Vec<_> = others.collect();
    all.insert(all.len() / 2, cookie.to_owned());
    all.join("; ")
}
