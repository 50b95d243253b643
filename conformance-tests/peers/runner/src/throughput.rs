//! Requests a second, beside the same framework without sessions, in turns.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use reqwest::Client;

use crate::cases::{Case, Place};
use crate::databases::Databases;
use crate::figures::median;
use crate::load::{self, Load, Run};
use crate::server::{Server, ask};
use crate::trips::Proxy;
use crate::{Options, Outcome, probes};

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
            Self::ReadAlone => is_bare || !case.has_no_store(),
            Self::SignIn => is_bare || (case.has_sessions() && case.place == Place::Postgres),
        }
    }
}

/// All runs of one case.
pub struct Measured<'a> {
    pub case: &'a Case,
    pub runs: BTreeMap<Kind, Vec<Run>>,
    /// Statements and round trips for a read, a write and a sign-in, where there is a database server.
    pub asked: Option<[Asked; 3]>,
}

/// What the database was asked for one request.
#[derive(Clone, Copy, Default)]
pub struct Asked {
    /// As the database counts them, where it does.
    pub statements: Option<f64>,
    pub round_trips: f64,
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

    /// Error responses of all runs, as a share of all; none if there weren't any.
    pub fn errors(&self, kind: Kind) -> Option<f64> {
        let runs = self.runs.get(&kind)?;
        let errors = runs.iter().map(|run| run.errors).sum::<f64>() / runs.len() as f64;
        (errors > 0.0).then_some(errors)
    }

    pub fn median(&self, kind: Kind, of: fn(&Run) -> f64) -> f64 {
        median(&self.runs.get(&kind).into_iter().flatten().map(of).collect::<Vec<_>>())
    }
}

pub async fn measure<'a>(
    options: &Options,
    folder: &Path,
    databases: &Databases,
    running: &[(&'a Case, &Server)],
) -> Outcome<Vec<Measured<'a>>> {
    let client = Client::new();
    let mut all = Vec::new();
    let mut cookies = Vec::new();
    for (number, (case, server)) in running.iter().enumerate() {
        cookies.push(sign_in(&client, case, server).await?);
        let asked = asked(options, databases, number, case, server).await?;
        all.push(Measured { case, runs: BTreeMap::new(), asked });
    }
    // The first round warms up what an application has warm.
    for round in 0..=options.rounds {
        for kind in KINDS {
            let mut turns: Vec<_> = running.iter().enumerate().filter(|(_, (case, _))| kind.is_for(case)).collect();
            // So that no case always comes after the same one.
            if round % 2 == 1 {
                turns.reverse();
            }
            for (index, (case, server)) in turns {
                let cookies = match kind {
                    Kind::SignIn => Vec::new(),
                    Kind::Forged => cookies[index].iter().map(|cookie| forged(cookie)).collect(),
                    _ => cookies[index].clone(),
                };
                let seconds = if round == 0 { 1 } else { options.seconds };
                let load = Load { path: kind.path(), cookies: &cookies, connections: kind.connections(), seconds };
                let run = if case.is_ours { load::run } else { load::run_counting_errors };
                let run = run(server, folder, &load).map_err(|error| format!("{}: {error}", case.name))?;
                if round > 0 {
                    all[index].runs.entry(kind).or_default().push(run);
                }
            }
        }
        eprintln!("round {round} of {}", options.rounds);
    }
    for ((case, server), cookies) in running.iter().zip(&cookies).filter(|((case, _), _)| case.has_sessions()) {
        for cookie in cookies {
            if ask(&client, &format!("{}/keys", server.url), Some(cookie)).await?.body == "out" {
                return Err(format!("{}: a session was lost under load", case.name).into());
            }
        }
    }
    Ok(all)
}

/// Cookies of 64 sessions.
pub async fn sign_in(client: &Client, case: &Case, server: &Server) -> Outcome<Vec<String>> {
    if case.place == Place::None {
        return Ok((0..64).map(|user| format!("id={user:068}")).collect());
    }
    sign_in_users(client, server, 0..64).await.map_err(|error| format!("{}: {error}", case.name).into())
}

pub async fn sign_in_users(client: &Client, server: &Server, users: Range<u32>) -> Outcome<Vec<String>> {
    let mut cookies = Vec::new();
    for user in users {
        let browser = probes::signed_in(client, &server.url, &format!("user{user}")).await?;
        cookies.push(browser.cookie.expect("there is one after a sign-in"));
    }
    Ok(cookies)
}

/// With another last character.
fn forged(cookie: &str) -> String {
    let (value, last) = cookie.split_at(cookie.len() - 1);
    format!("{value}{}", if last == "A" { "Q" } else { "A" })
}

/// Counts what a server of its own on the same database asks, behind a proxy.
async fn asked(
    options: &Options,
    databases: &Databases,
    number: usize,
    case: &Case,
    server: &Server,
) -> Outcome<Option<[Asked; 3]>> {
    const REQUESTS: u32 = 20;
    let Some(address) = Databases::address(case.place).filter(|_| case.has_sessions()) else { return Ok(None) };
    let proxy = Proxy::before(address).await?;
    let store = server.store.replace(&address.port().to_string(), &proxy.port.to_string());
    let server = Server::start(&options.servers, case.server, &store, case.connections(options.connections))?;
    let client = Client::new();
    let mut counted = [Asked::default(); 3];
    for (kind, path) in ["/read", "/write", "/login"].into_iter().enumerate() {
        let cookie = probes::signed_in(&client, &server.url, "counted").await?.cookie;
        // Statements are prepared at their first use.
        for request in 0..REQUESTS {
            once(&client, &server, path, cookie.as_deref(), request).await?;
        }
        settle().await;
        let (statements, trips) = (databases.statements(case.place, number)?, proxy.trips());
        for request in REQUESTS..2 * REQUESTS {
            once(&client, &server, path, cookie.as_deref(), request).await?;
            settle().await;
        }
        // MariaDB counts the question of how many there were.
        let own = u64::from(case.place == Place::MariaDb);
        let asked = databases.statements(case.place, number)?.zip(statements);
        counted[kind] = Asked {
            statements: asked.map(|(after, before)| (after - before - own) as f64 / f64::from(REQUESTS)),
            round_trips: (proxy.trips() - trips) as f64 / f64::from(REQUESTS),
        };
    }
    Ok(Some(counted))
}

async fn once(client: &Client, server: &Server, path: &str, cookie: Option<&str>, request: u32) -> Outcome<()> {
    let (url, cookie) = match path {
        "/login" => (format!("{}/login?user=counted{request}", server.url), None),
        path => (format!("{}{path}", server.url), cookie),
    };
    ask(client, &url, cookie).await.map(drop)
}

/// What a server asks after its response has left counts too.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(10)).await;
}
