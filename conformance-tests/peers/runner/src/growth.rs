//! How the cost grows with the number of sessions in a table of PostgreSQL.

use std::path::Path;

use reqwest::Client;

use crate::cases::{Case, Place};
use crate::databases::Databases;
use crate::load::{self, Load, Run};
use crate::server::Server;
use crate::throughput::sign_in_users;
use crate::{Options, Outcome};

pub const SESSIONS: [u32; 4] = [10_000, 100_000, 1_000_000, 5_000_000];

/// Signed in before each size: requests ask for as many of them, of every age.
const SIGNED_IN: u32 = 1000;

/// Runs of reads and of writes at each size.
pub async fn measure(
    options: &Options,
    folder: &Path,
    databases: &Databases,
    number: usize,
    server: &Server,
) -> Outcome<[Vec<Vec<Run>>; 2]> {
    let client = Client::new();
    let mut all = [Vec::new(), Vec::new()];
    let (mut cookies, mut filled) = (Vec::new(), 0);
    for (step, sessions) in (0..).zip(SESSIONS) {
        let users = step * SIGNED_IN..(step + 1) * SIGNED_IN;
        cookies.extend(sign_in_users(&client, server, users).await?);
        let wanted = sessions - u32::try_from(cookies.len())?;
        databases.fill(number, filled, wanted)?;
        filled = wanted;
        let asked_for: Vec<_> = cookies.iter().step_by(step as usize + 1).cloned().collect();
        for (runs, path) in all.iter_mut().zip(["/read", "/write"]) {
            let load = Load { path, cookies: &asked_for, connections: 32, seconds: options.seconds };
            // One to warm up.
            load::run(server, folder, &load)?;
            runs.push((0..options.rounds).map(|_| load::run(server, folder, &load)).collect::<Outcome<_>>()?);
        }
        eprintln!("{sessions} sessions done");
    }
    Ok(all)
}

/// Which of the running servers it is measured on.
pub fn is_measured(case: &Case) -> bool {
    case.server == "ours-axum" && case.place == Place::Postgres
}
