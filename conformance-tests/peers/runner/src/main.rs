//! Measures this project's sessions beside those of other crates, all in one run and in turns, and writes tables and charts.
//! `peers/run` builds the servers and starts it.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use reqwest::Client;

use crate::cases::{CASES, Case, Place};
use crate::databases::Databases;
use crate::server::Server;

mod cases;
mod chart;
mod databases;
mod figures;
mod growth;
mod load;
mod oneshot;
mod probes;
mod report;
mod server;
mod shapes;
mod throughput;
mod trips;

pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// What the command line asks for.
pub struct Options {
    /// Where the servers are.
    servers: PathBuf,
    /// Where the results go.
    out: PathBuf,
    rounds: usize,
    /// Of each run of the load generator.
    seconds: u32,
    /// Rounds of the probes.
    probes: u32,
    /// Connections of each pool to a database server.
    connections: u32,
    /// Only cases whose names have this, and what they are compared with.
    only: Option<String>,
    /// What to do: `load`, `oneshot`, `probes`, `shapes`.
    parts: Vec<String>,
}

/// How long a browser waits in an outage.
const PATIENCE: Duration = Duration::from_secs(60);

const USAGE: &str =
    "run [load] [oneshot] [probes] [shapes] [--rounds 5] [--seconds 2] [--probes 200] [--connections 16] [--only TEXT]";

#[tokio::main]
async fn main() -> ExitCode {
    let done = match options() {
        Ok(options) => measure(&options).await,
        Err(error) => Err(error),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> Outcome<Options> {
    let mut args = std::env::args().skip(1);
    let servers = PathBuf::from(args.next().ok_or(USAGE)?);
    let out = PathBuf::from(args.next().ok_or(USAGE)?);
    let mut options =
        Options { servers, out, rounds: 5, seconds: 2, probes: 200, connections: 16, only: None, parts: Vec::new() };
    while let Some(arg) = args.next() {
        if matches!(&*arg, "load" | "oneshot" | "probes" | "shapes") {
            options.parts.push(arg);
            continue;
        }
        let value = args.next().ok_or(USAGE)?;
        match &*arg {
            "--rounds" => options.rounds = value.parse()?,
            "--seconds" => options.seconds = value.parse()?,
            "--probes" => options.probes = value.parse()?,
            "--connections" => options.connections = value.parse()?,
            "--only" => options.only = Some(value),
            _ => return Err(USAGE.into()),
        }
    }
    if options.only.is_some() {
        // The whole's results stay as they are.
        options.out.push("partial");
    }
    if options.parts.is_empty() {
        options.parts = ["load", "oneshot", "probes", "shapes"].map(str::to_owned).to_vec();
    }
    Ok(options)
}

async fn measure(options: &Options) -> Outcome<()> {
    std::fs::create_dir_all(&options.out)?;
    for part in &options.parts {
        if part == "oneshot" {
            report::oneshot(options, &oneshot::measure(options)?)?;
            continue;
        }
        // Each with servers and databases of its own.
        let folder = tempfile::Builder::new().prefix("peers").tempdir()?;
        databases::run(&format!("chmod 755 {}", folder.path().display()))?;
        let cases: Vec<&Case> = CASES.iter().filter(|case| options.wants(case)).collect();
        let places: Vec<Place> = cases.iter().map(|case| case.place).collect();
        let mut databases = Databases::start(folder.path(), &places).await?;
        let mut servers = Vec::new();
        for (number, case) in cases.iter().enumerate() {
            let store = databases.make(case.place, number)?;
            servers.push(Server::start(&options.servers, case.server, &store, case.connections(options.connections))?);
        }
        let running: Vec<_> = cases.into_iter().zip(&servers).collect();
        match part.as_str() {
            "load" => {
                let versions = report::versions()?;
                let all = throughput::measure(options, folder.path(), &databases, &running).await?;
                report::throughput(options, &versions, &all)?;
            }
            "probes" => probe(options, &mut databases, &running).await?,
            _ => {
                let tables = shapes::measure(options, folder.path(), &databases, &running).await?;
                report::shapes(options, &tables)?;
            }
        }
    }
    Ok(())
}

impl Options {
    fn wants(&self, case: &Case) -> bool {
        let is = |case: &Case, text: &str| {
            let is_name = CASES.iter().any(|case| case.name == text);
            case.name == text || (!is_name && case.name.contains(text))
        };
        let wanted = |case: &Case| self.only.as_deref().is_none_or(|only| only.split('|').any(|text| is(case, text)));
        wanted(case) || CASES.iter().any(|other| other.bare == case.name && wanted(other))
    }
}

async fn probe(options: &Options, databases: &mut Databases, running: &[(&Case, &Server)]) -> Outcome<()> {
    let client = Client::builder().timeout(PATIENCE).build()?;
    let mut rows = Vec::new();
    for (number, (case, server)) in running.iter().enumerate() {
        if !case.has_sessions() || case.is_variant() {
            continue;
        }
        eprintln!("probing {}", case.name);
        let probed = probes::probe(&server.url, options.probes).await?;
        let browser = probes::signed_in(&client, &server.url, "outage").await?;
        rows.push((number, *case, *server, probed, browser));
    }
    let mut lines = Vec::new();
    for (number, case, server, probed, mut browser) in rows {
        let outage = if case.has_no_store() {
            "—".to_owned()
        } else {
            databases.fail(case.place, number)?;
            let start = Instant::now();
            let answer = match browser.get(&client, &format!("{}/keys", server.url)).await {
                Err(_) => "none".to_owned(),
                Ok(response) => match (response.status, response.body.as_str(), &browser.cookie) {
                    (200, "out", None) => "200, signed out, cookie removed".to_owned(),
                    (200, "out", Some(_)) => "200, signed out".to_owned(),
                    (200, _, _) => "200, from its cache".to_owned(),
                    (status, _, None) => format!("{status}, cookie removed"),
                    (status, _, Some(_)) => status.to_string(),
                },
            };
            match start.elapsed().as_secs() {
                0 => answer,
                seconds => format!("{answer}, after {seconds} s"),
            }
        };
        let of = |count: u32| format!("{count} of {}", probed.rounds);
        let [lost, lost_later] = probed.lost.map(of);
        let (revived, [wiped, wiped_late]) = (of(probed.revived), probed.wiped.map(of));
        lines.push([case.name.to_owned(), lost, lost_later, revived, wiped, wiped_late, outage]);
    }
    report::probes(options, &lines)
}
