//! How the cost grows: with connections, with the size of a session's data, with the number of cookies, and of sessions.

use std::path::Path;

use reqwest::Client;

use crate::cases::Case;
use crate::chart::{self, Line};
use crate::databases::Databases;
use crate::figures::median;
use crate::load::{self, Load, Run};
use crate::server::{Server, ask};
use crate::throughput::sign_in;
use crate::{Options, Outcome, growth};

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
    Shape {
        name: "cookies",
        title: "by other cookies in the request, a read",
        path: "/read",
        steps: &[0, 1, 10, 50, 100],
    },
    // The last, as the sessions keep their data.
    Shape { name: "data", title: "by bytes of data, a read", path: "/read", steps: &[0, 1024, 4096, 16_384, 65_000] },
];

/// One line of a chart: the runs at each step.
type Runs<'a> = (&'a str, Vec<Vec<Run>>);

/// A chart's title, steps and lines.
pub type Table = (String, Vec<String>, Vec<Line>);

pub async fn measure(
    options: &Options,
    folder: &Path,
    databases: &Databases,
    running: &[(&Case, &Server)],
) -> Outcome<Vec<Table>> {
    let client = Client::new();
    let ours: Vec<_> = running.iter().filter(|(case, _)| case.server == "ours-axum" && !case.is_variant()).collect();
    let mut cookies = Vec::new();
    for (case, server) in &ours {
        cookies.push(sign_in(&client, case, server).await?);
    }
    let mut tables = Vec::new();
    for shape in &SHAPES {
        let mut lines: Vec<Runs<'_>> = ours.iter().map(|(case, _)| (case.name, Vec::new())).collect();
        for step in shape.steps {
            let mut runs = vec![Vec::new(); ours.len()];
            if shape.name == "data" {
                for ((_, server), cookies) in ours.iter().zip(&cookies) {
                    store_bytes(&client, server, cookies, *step).await?;
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
                line.1.push(runs);
            }
        }
        let steps: Vec<_> = shape.steps.iter().map(u32::to_string).collect();
        tables.extend(draw(options, shape.name, shape.title, &steps, &lines)?);
        eprintln!("{} done", shape.title);
    }
    for (number, (case, server)) in running.iter().enumerate().filter(|(_, (case, _))| growth::is_measured(case)) {
        let [reads, writes] = growth::measure(options, folder, databases, number, server).await?;
        let steps: Vec<_> = growth::SESSIONS.iter().map(u32::to_string).collect();
        let lines = [("a read", reads), ("a write", writes)];
        tables.extend(draw(options, "sessions", &format!("by sessions, {}", case.name), &steps, &lines)?);
    }
    Ok(tables)
}

/// Draws what each line served, and how long the slowest hundredth took.
fn draw(options: &Options, name: &str, title: &str, steps: &[String], lines: &[Runs<'_>]) -> Outcome<[Table; 2]> {
    let draw = |what: &str, suffix: &str, of: fn(&Run) -> f64| {
        let at_step = |runs: &Vec<Run>| median(&runs.iter().map(of).collect::<Vec<_>>());
        let drawn: Vec<_> = lines
            .iter()
            .map(|(name, runs)| Line { name: (*name).to_owned(), values: runs.iter().map(at_step).collect() })
            .collect();
        let title = format!("{what} {title}");
        chart::lines(&options.out.join(format!("{name}{suffix}.svg")), &title, steps, &drawn)?;
        Outcome::Ok((title, steps.to_vec(), drawn))
    };
    Ok([
        draw("requests a second", "", |run| run.requests_per_second)?,
        draw("p99 in ms", "-p99", |run| run.p99_millis)?,
    ])
}

/// Gives each session so many bytes of data.
async fn store_bytes(client: &Client, server: &Server, cookies: &[String], bytes: u32) -> Outcome<()> {
    for cookie in cookies {
        let stored = ask(client, &format!("{}/data?bytes={bytes}", server.url), Some(cookie)).await?;
        if stored.status != 200 {
            return Err(format!("{bytes} bytes: {}", stored.status).into());
        }
    }
    Ok(())
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
