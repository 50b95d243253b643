//! In process: what each library adds to one request of its framework.

use std::collections::BTreeMap;
use std::process::Command;

use crate::databases::output;
use crate::figures::median;
use crate::{Options, Outcome};

const PROGRAMS: [(&str, &str); 5] = [
    ("ours, Axum, memory", "ours-axum-oneshot"),
    ("tower-sessions, memory", "tower-sessions-oneshot"),
    ("axum_session, memory", "axum-session-oneshot"),
    ("ours, Actix, memory", "ours-actix-oneshot"),
    ("actix-session, cookie", "actix-session-oneshot"),
];

pub const PATHS: [&str; 3] = ["/plain", "/read", "/write"];

/// Allocations and nanoseconds of each path.
pub type Added = [(f64, f64); 3];

/// What each of the programs adds.
pub fn measure(options: &Options) -> Outcome<Vec<(&'static str, Added)>> {
    let mut all: BTreeMap<(&str, &str), Vec<(f64, f64)>> = BTreeMap::new();
    for round in 1..=options.rounds {
        for (name, program) in PROGRAMS {
            let printed = output(&mut Command::new(options.servers.join(program)))?;
            for path in PATHS {
                let line = printed.lines().find_map(|line| line.strip_prefix(path));
                let fields =
                    line.unwrap_or_default().split_whitespace().map(str::parse).collect::<Result<Vec<f64>, _>>()?;
                let [allocations, nanos] = fields[..] else { return Err(format!("{program} says {printed}").into()) };
                all.entry((name, path)).or_default().push((allocations, nanos));
            }
        }
        eprintln!("round {round} of {}", options.rounds);
    }
    let rows = PROGRAMS
        .iter()
        .map(|(name, _)| {
            let of = |path| {
                let (allocations, nanos): (Vec<f64>, Vec<f64>) = all[&(*name, path)].iter().copied().unzip();
                (median(&allocations), median(&nanos))
            };
            (*name, PATHS.map(of))
        })
        .collect();
    Ok(rows)
}
