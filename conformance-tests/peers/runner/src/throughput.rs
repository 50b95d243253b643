//! Requests a second, beside the same framework without sessions, in turns.

use std::collections::BTreeMap;
use std::path::Path;

use reqwest::Client;

use crate::cases::{Case, Place};
use crate::databases::Databases;
use crate::figures::median;
use crate::load::{self, Load, Run};
use crate::server::{Server, ask};
use crate::{Options, Outcome, probes, report};

/// What is asked for, with which cookie, over how many connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Unused,
    Read,
    Write,
    Forged,
    ReadAlone,
    SignIn,
}

pub const KINDS: [Kind; 6] = [Kind::Unused, Kind::Read, Kind::Write, Kind::Forged, Kind::ReadAlone, Kind::SignIn];

impl Kind {
    fn path(self) -> &'static str {
        match self {
            Self::Unused => "/plain",
            Self::Write => "/write",
            Self::Read | Self::Forged | Self::ReadAlone => "/read",
            Self::SignIn => "/login",
        }
    }

    fn connections(self) -> u32 {
        if self == Self::ReadAlone { 1 } else { 32 }
    }

    fn is_for(self, case: &Case) -> bool {
        let is_bare = case.place == Place::None;
        match self {
            Self::Unused | Self::Read | Self::Write => case.has(self.path()),
            Self::Forged => is_bare || case.is_ours,
            Self::ReadAlone => is_bare || !matches!(case.place, Place::Memory | Place::Cookie),
            Self::SignIn => is_bare || (case.has_sessions() && case.place == Place::Postgres),
        }
    }
}

/// All runs of one case.
pub struct Measured<'a> {
    pub case: &'a Case,
    pub runs: BTreeMap<Kind, Vec<Run>>,
    /// Statements for a read, a write and a sign-in, where the database counts them.
    pub statements: Option<[f64; 3]>,
}

impl Measured<'_> {
    /// Of what the bare framework served in the same round: the median.
    pub fn share(&self, all: &[Self], kind: Kind) -> f64 {
        let Some(bare) = all.iter().find(|other| other.case.name == self.case.bare) else { return f64::NAN };
        self.times(bare, kind)
    }

    /// Times what another case served in the same round: the median.
    pub fn times(&self, other: &Self, kind: Kind) -> f64 {
        let (Some(ours), Some(others)) = (self.runs.get(&kind), other.runs.get(&kind)) else { return f64::NAN };
        let times = ours.iter().zip(others).map(|(ours, other)| ours.requests_per_second / other.requests_per_second);
        median(&times.collect::<Vec<_>>())
    }

    pub fn median(&self, kind: Kind, of: fn(&Run) -> f64) -> f64 {
        median(&self.runs.get(&kind).into_iter().flatten().map(of).collect::<Vec<_>>())
    }
}

pub async fn measure(
    options: &Options,
    folder: &Path,
    databases: &Databases,
    running: &[(&Case, &Server)],
) -> Outcome<()> {
    let client = Client::new();
    let mut all = Vec::new();
    let mut cookies = Vec::new();
    for (number, (case, server)) in running.iter().enumerate() {
        cookies.push(sign_in(&client, case, server).await?);
        let statements = statements(&client, databases, number, case, server).await?;
        all.push(Measured { case, runs: BTreeMap::new(), statements });
    }
    // The first round warms up what an application has warm.
    for round in 0..=options.rounds {
        for kind in KINDS {
            for (index, (case, server)) in running.iter().enumerate().filter(|(_, (case, _))| kind.is_for(case)) {
                let cookies = match kind {
                    Kind::SignIn => Vec::new(),
                    Kind::Forged => cookies[index].iter().map(|cookie| forged(cookie)).collect(),
                    _ => cookies[index].clone(),
                };
                let seconds = if round == 0 { 1 } else { options.seconds };
                let load = Load { path: kind.path(), cookies: &cookies, connections: kind.connections(), seconds };
                let run = load::run(server, folder, &load).map_err(|error| format!("{}: {error}", case.name))?;
                if round > 0 {
                    all[index].runs.entry(kind).or_default().push(run);
                }
            }
        }
        eprintln!("round {round} of {}", options.rounds);
    }
    report::throughput(options, &all)
}

/// Cookies of 64 sessions.
pub async fn sign_in(client: &Client, case: &Case, server: &Server) -> Outcome<Vec<String>> {
    let mut cookies = Vec::new();
    for user in 0..64 {
        if case.place == Place::None {
            cookies.push(format!("id={user:068}"));
        } else {
            let browser = probes::signed_in(client, &server.url, &format!("user{user}")).await;
            let browser = browser.map_err(|error| format!("{}: {error}", case.name))?;
            cookies.push(browser.cookie.expect("there is one after a sign-in"));
        }
    }
    Ok(cookies)
}

/// With another last character.
fn forged(cookie: &str) -> String {
    let (value, last) = cookie.split_at(cookie.len() - 1);
    format!("{value}{}", if last == "A" { "Q" } else { "A" })
}

async fn statements(
    client: &Client,
    databases: &Databases,
    number: usize,
    case: &Case,
    server: &Server,
) -> Outcome<Option<[f64; 3]>> {
    const REQUESTS: u32 = 20;
    if !case.has_sessions() || databases.statements(case.place, number)?.is_none() {
        return Ok(None);
    }
    let mut counted = [0.0; 3];
    for (kind, path) in ["/read", "/write", "/login"].into_iter().enumerate() {
        let cookie = probes::signed_in(client, &server.url, "counted").await?.cookie;
        let before = databases.statements(case.place, number)?;
        for request in 0..REQUESTS {
            let (url, cookie) = match path {
                "/login" => (format!("{}/login?user=counted{request}", server.url), None),
                path => (format!("{}{path}", server.url), cookie.as_deref()),
            };
            ask(client, &url, cookie).await?;
        }
        let after = databases.statements(case.place, number)?;
        // MariaDB counts the question of how many there were.
        let own = u64::from(case.place == Place::MariaDb);
        let taken = after.zip(before).map_or(0, |(after, before)| after - before - own);
        counted[kind] = taken as f64 / f64::from(REQUESTS);
    }
    Ok(Some(counted))
}
