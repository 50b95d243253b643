//! The results as Markdown and pictures.

use std::fmt::Write as _;

use crate::chart::{self, Bar};
use crate::databases::run;
use crate::figures::short;
use crate::oneshot::Added;
use crate::shapes::Table;
use crate::throughput::{Asked, Kind, Measured};
use crate::{Options, Outcome};

/// What it was measured on and how.
fn head(options: &Options) -> Outcome<String> {
    let processor = run("grep -m1 'model name' /proc/cpuinfo | cut -d: -f2")?;
    let cores = run("nproc")?;
    Ok(format!(
        "{}, commit {}; {cores} cores of {processor}, {} of memory, {} on {}; {}, {}, {}, {}, {}; {} rounds of {} s in turns, medians; pools of \
         {} connections to database servers, to SQLite as many as each library opens by itself; durability at the defaults of \
         PostgreSQL and MariaDB, SQLite with a write-ahead log and `synchronous={}`, Redis without persistence.\n\n",
        run("date +%Y-%m-%d")?,
        run("git rev-parse --short HEAD || echo unknown")?,
        run("awk '/MemTotal/ { printf \"%.0f GB\", $2 / 1e6 }' /proc/meminfo")?,
        run("uname -sr")?,
        run(&format!("df --output=fstype {} | tail -1", std::env::temp_dir().display()))?,
        run("rustc --version")?,
        run("psql --version")?,
        run("mariadb --version | cut -d, -f1")?,
        run("redis-server --version | cut -d' ' -f1-3")?,
        run("wrk -v 2>&1 | head -1 | cut -d' ' -f1-2")?,
        options.rounds,
        options.seconds,
        options.connections,
        std::env::var("SYNCHRONOUS").unwrap_or_else(|_| "full".to_owned()),
    ))
}

/// Which versions the lock files name, next to which the runner is started.
pub fn versions() -> Outcome<String> {
    const WORKSPACES: [(&str, &[&str]); 6] = [
        ("ours", &["axum", "actix-web", "sqlx", "libsqlite3-sys"]),
        ("tower-sessions", &["tower-sessions"]),
        ("tower-sessions-sqlx", &["tower-sessions", "tower-sessions-sqlx-store", "sqlx", "libsqlite3-sys"]),
        ("axum-session", &["axum_session", "axum_session_sqlx"]),
        ("modo", &["modo-rs", "libsql"]),
        ("actix-session", &["actix-session"]),
    ];
    let mut all = Vec::new();
    for (workspace, packages) in WORKSPACES {
        let lock = std::fs::read_to_string(format!("{workspace}/Cargo.lock"))
            .map_err(|error| format!("start it in `peers`: {workspace}/Cargo.lock: {error}"))?;
        let version = |package: &&str| {
            let (_, rest) = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?;
            Some(format!("{package} {}", rest.split('"').next()?))
        };
        all.push(format!("`{workspace}`: {}", packages.iter().filter_map(version).collect::<Vec<_>>().join(", ")));
    }
    Ok(format!("{}.\n\n", all.join("; ")))
}

pub fn throughput(options: &Options, versions: &str, all: &[Measured<'_>]) -> Outcome<()> {
    let mut text = head(options)?;
    text.push_str(versions);
    text.push_str(
        "`wrk -t1 -c32` with 64 cookies in turn, on the same cores. Requests a second as a share of what the same framework serves \
         without sessions in the same round; in brackets the CPU time of the server's process for each request, in µs (that of database \
         servers isn't in it).\n\n",
    );
    text.push_str("| | session unused | read | write | forged cookie | read, 1 connection | sign-in |\n|---|---|---|---|---|---|---|\n");
    for measured in all {
        let cell = |kind| match measured.share(all, kind) {
            share if share.is_nan() => String::new(),
            share => format!("{share:.2} ({})", short(measured.median(kind, |run| run.cpu_micros))),
        };
        let kinds = [Kind::Unused, Kind::Read, Kind::Write, Kind::Forged, Kind::ReadAlone, Kind::SignIn];
        writeln!(text, "| {} | {} |", measured.case.name, kinds.map(cell).join(" | "))?;
    }
    text.push_str("\nRequests a second, medians:\n\n| | session unused | read | write | forged cookie | read, 1 connection | sign-in |\n|---|---|---|---|---|---|---|\n");
    for measured in all {
        let cell = |kind| match measured.median(kind, |run| run.requests_per_second) {
            rate if rate.is_nan() => String::new(),
            rate => format!("{rate:.0}"),
        };
        let kinds = [Kind::Unused, Kind::Read, Kind::Write, Kind::Forged, Kind::ReadAlone, Kind::SignIn];
        writeln!(text, "| {} | {} |", measured.case.name, kinds.map(cell).join(" | "))?;
    }
    text.push_str("\nResponses of 400 and more, in per cent of all, which the figures above leave out:\n\n| | session unused | read | write | read, 1 connection | sign-in |\n|---|---|---|---|---|---|\n");
    for measured in all {
        let kinds = [Kind::Unused, Kind::Read, Kind::Write, Kind::ReadAlone, Kind::SignIn];
        if kinds.iter().any(|kind| measured.errors(*kind).is_some()) {
            let cell = |kind| measured.errors(kind).map_or(String::new(), |errors| short(errors * 100.0));
            writeln!(text, "| {} | {} |", measured.case.name, kinds.map(cell).join(" | "))?;
        }
    }
    text.push_str(
        "\nWhat one request asks of a database server: statements as it counts them, `BEGIN` and `COMMIT` too, and in brackets round trips at \
         the wire, those after the response too:\n\n| | read | write | sign-in |\n|---|---|---|---|\n",
    );
    for measured in all {
        if let Some(asked) = measured.asked {
            let cell = |asked: Asked| {
                let statements = asked.statements.map_or("—".to_owned(), |statements| format!("{statements:.1}"));
                format!("{statements} ({:.1})", asked.round_trips)
            };
            writeln!(text, "| {} | {} |", measured.case.name, asked.map(cell).join(" | "))?;
        }
    }
    text.push_str("\nBeside each other, in the same rounds:\n\n| | to | read | write | read, 1 connection | sign-in |\n|---|---|---|---|---|---|\n");
    for (ours, other) in [
        ("ours, Axum, memory", "tower-sessions, memory"),
        ("ours, Axum, SQLite", "tower-sessions, SQLite"),
        ("ours, Axum, SQLite", "tower-sessions, SQLite, 1 connection"),
        ("ours, Axum, SQLite, the app's pool", "tower-sessions, SQLite"),
        ("ours, Axum, SQLite", "modo, SQLite"),
        ("ours, Axum, SQLite", "one SELECT, SQLite, sqlx"),
        ("ours, Axum, SQLite", "by hand, SQLite, inline"),
        ("ours, Axum, PostgreSQL", "tower-sessions, PostgreSQL"),
        ("ours, Axum, PostgreSQL, the app's pool", "tower-sessions, PostgreSQL"),
        ("ours, Axum, PostgreSQL", "one SELECT, PostgreSQL, sqlx"),
        ("ours, Actix, memory", "actix-session, cookie"),
        ("ours, Actix, PostgreSQL", "actix-session, Redis"),
        ("ours, Actix, Redis", "actix-session, Redis"),
        ("ours, Axum, Redis", "tower-sessions, Redis"),
    ] {
        let find = |name: &str| all.iter().find(|measured| measured.case.name == name);
        if let (Some(first), Some(second)) = (find(ours), find(other)) {
            let cell = |kind| match first.times(second, kind) {
                times if times.is_nan() => String::new(),
                times => format!("{times:.2} ×"),
            };
            let cells = [Kind::Read, Kind::Write, Kind::ReadAlone, Kind::SignIn].map(cell).join(" | ");
            writeln!(text, "| {ours} | {other} | {cells} |")?;
        }
    }
    let bars = |kind| {
        let bar = |measured: &Measured<'_>| Bar {
            name: measured.case.name.to_owned(),
            value: measured.share(all, kind),
            is_ours: measured.case.is_ours,
        };
        all.iter().filter(|measured| !measured.case.is_variant()).map(bar).collect()
    };
    let panels = [("session unused", Kind::Unused), ("read", Kind::Read), ("write", Kind::Write)];
    chart::shares(&options.out.join("throughput.svg"), &panels.map(|(title, kind)| (title, bars(kind))))?;
    write(options, "throughput.md", &text)
}

pub fn probes(options: &Options, rows: &[[String; 7]]) -> Outcome<()> {
    let mut text =
        format!("{}, commit {}\n\n", run("date +%Y-%m-%d")?, run("git rev-parse --short HEAD || echo unknown")?);
    text.push_str(
        "| | keys lost: two requests at once | the same, 5 ms between reading and setting | signed in again after a sign-out that a slow \
         write crosses | signed out by a slow write that crosses a rotation | signed out by a read that comes after a rotation | store \
         outage: the response to who is signed in |\n|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        writeln!(text, "| {} |", row.join(" | "))?;
    }
    write(options, "probes.md", &text)
}

pub fn shapes(options: &Options, tables: &[Table]) -> Outcome<()> {
    let mut text = head(options)?;
    for (title, steps, lines) in tables {
        writeln!(text, "{title}:\n\n| | {} |\n|---|{}", steps.join(" | "), "---|".repeat(steps.len()))?;
        for line in lines {
            let values: Vec<_> = line.values.iter().map(|value| short(*value)).collect();
            writeln!(text, "| {} | {} |", line.name, values.join(" | "))?;
        }
        text.push('\n');
    }
    write(options, "shapes.md", &text)
}

pub fn oneshot(options: &Options, rows: &[(&str, Added)]) -> Outcome<()> {
    let mut text = format!(
        "{}, rustc {}: what one request costs in process more than the same one without sessions, medians of {} runs of 21 alternating \
         rounds of 2,000 requests. Allocations, and in brackets µs.\n\n| | session unused | read | write |\n|---|---|---|---|\n",
        run("date +%Y-%m-%d")?,
        run("rustc --version | cut -d' ' -f2")?,
        options.rounds,
    );
    for (name, added) in rows {
        let cells = added.map(|(allocations, nanos)| format!("{allocations:.0} ({:.2})", nanos / 1000.0));
        writeln!(text, "| {name} | {} |", cells.join(" | "))?;
    }
    write(options, "oneshot.md", &text)
}

fn write(options: &Options, name: &str, text: &str) -> Outcome<()> {
    println!("{text}");
    Ok(std::fs::write(options.out.join(name), text)?)
}
