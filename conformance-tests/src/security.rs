//! That what the security pages name exists: clauses of the contract, and trials of this suite.

use std::collections::BTreeSet;

use crate::contract::CLAUSES;

/// The page with the tables, in the docs of the core.
const PAGE: &str = include_str!("../../session-core/src/security.md");
/// The page that is read first.
const THREATS: &str = include_str!("../../SECURITY.md");
/// What was measured of other libraries.
const PROBES: &str = include_str!("../peers/results/probes.md");

/// The requirements of ASVS 5.0 that the page has a row for: all of V7 and V3.3, and some more.
const REQUIREMENTS: [&str; 28] = [
    "7.1.1", "7.1.2", "7.1.3", "7.2.1", "7.2.2", "7.2.3", "7.2.4", "7.3.1", "7.3.2", "7.4.1", "7.4.2", "7.4.3",
    "7.4.4", "7.4.5", "7.5.1", "7.5.2", "7.5.3", "7.6.1", "7.6.2", "3.3.1", "3.3.2", "3.3.3", "3.3.4", "3.3.5",
    "14.2.1", "14.3.1", "14.3.2", "16.2.5",
];

/// A row of the table of ASVS.
struct Row<'a> {
    requirement: &'a str,
    level: &'a str,
    met: &'a str,
    how: &'a str,
    clauses: Vec<&'a str>,
    tests: Vec<&'a str>,
}

/// The rows of the table of ASVS, in their order.
fn rows(page: &str) -> Vec<Row<'_>> {
    let lines = page
        .lines()
        .filter(|line| line.strip_prefix("| ").is_some_and(|line| line.starts_with(|c: char| c.is_ascii_digit())));
    let rows = lines.map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [what, level, met, how, clauses, tests] = cells[..] else { panic!("six cells: {line}") };
        let requirement = what.split(' ').next().expect("a number");
        let clauses = clauses.split(", ").filter(|clause| !clause.is_empty()).collect();
        // Every second part stands between two backquotes.
        Row { requirement, level, met, how, clauses, tests: tests.split('`').skip(1).step_by(2).collect() }
    });
    rows.collect()
}

/// What is wrong with a row.
fn faults(row: &Row<'_>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut check = |is_right: bool, what: String| {
        if !is_right {
            faults.push(format!("{}: {what}", row.requirement));
        }
    };
    check(["1", "2", "3"].contains(&row.level), format!("level {:?}", row.level));
    check(["Yes", "App", "Not yet"].contains(&row.met), format!("met {:?}", row.met));
    check(row.how.ends_with('.'), "it doesn't say how".to_owned());
    check(row.met == "Not yet" || !row.tests.is_empty(), "no test".to_owned());
    for clause in &row.clauses {
        check(CLAUSES.iter().any(|known| known.id == *clause), format!("no clause {clause:?}"));
    }
    for test in &row.tests {
        let (clause, name) = test.split_once('/').unwrap_or((test, ""));
        let is_known = crate::scenarios::all().any(|known| (known.clause, known.name) == (clause, name));
        check(is_known, format!("no trial {test:?}"));
        check(row.clauses.contains(&clause), format!("{test:?} is of no clause of the row"));
    }
    faults
}

/// The clauses that a text names, existing or not: a group of the contract, and a number.
fn named(text: &str) -> BTreeSet<&str> {
    let groups: BTreeSet<_> = CLAUSES.iter().filter_map(|clause| clause.id.split('-').next()).collect();
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words.filter(|word| word.split_once('-').is_some_and(|(group, _)| groups.contains(group))).collect()
}

#[test]
fn every_requirement_has_a_row_whose_clauses_and_trials_exist() {
    let rows = rows(PAGE);
    assert_eq!(rows.iter().map(|row| row.requirement).collect::<Vec<_>>(), REQUIREMENTS);
    let faults: Vec<_> = rows.iter().flat_map(faults).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn every_clause_that_the_security_pages_name_exists() {
    let known: BTreeSet<_> = CLAUSES.iter().map(|clause| &*clause.id).collect();
    let named: BTreeSet<_> = [PAGE, THREATS].into_iter().flat_map(named).collect();
    assert!(named.len() > 30, "{named:?}");
    assert_eq!(named.difference(&known).collect::<Vec<_>>(), [] as [&&str; 0]);
}

#[test]
fn what_is_said_of_other_libraries_was_measured() {
    let probe = |library: &str| {
        let line = PROBES.lines().find(|line| line.starts_with(&format!("| {library} |")));
        let cells = line.unwrap_or_else(|| panic!("no {library}")).trim_matches('|').split('|').map(str::trim);
        cells.skip(1).collect::<Vec<_>>()
    };
    let all = "200 of 200";
    for library in ["tower-sessions, memory", "tower-sessions, SQLite", "tower-sessions, PostgreSQL"] {
        assert_eq!((probe(library)[2], probe(library)[4]), (all, all), "{library}");
    }
    for library in ["actix-session, cookie", "actix-session, Redis"] {
        assert_eq!(probe(library)[2], all, "{library}");
    }
    for library in ["axum_session, memory", "axum_session, SQLite behind a cache", "modo, SQLite"] {
        assert_eq!((probe(library)[3], probe(library)[4]), (all, all), "{library}");
    }
    assert_eq!(probe("modo, SQLite")[5], "200, signed out");
    let ours: Vec<_> = PROBES.lines().filter(|line| line.starts_with("| ours")).collect();
    assert!(ours.len() == 8 && ours.iter().all(|line| line.matches("| 0 of 200").count() == 5), "{ours:#?}");
}

#[test]
fn a_wrong_row_is_seen() {
    let right = "| 7.2.1 x | 1 | Yes | So. | AUTH-1 | `AUTH-1/every sign-in has a new id and a new token` |";
    assert!(faults(&rows(right)[0]).is_empty());
    for (from, to) in [
        ("| 1 |", "| 4 |"),
        ("Yes", "Perhaps"),
        ("So.", ""),
        ("| AUTH-1 |", "| AUTH-1, AUTH-99 |"),
        ("new token`", "token`"),
        ("| AUTH-1 |", "| AUTH-2 |"),
        ("`AUTH-1/every sign-in has a new id and a new token`", ""),
    ] {
        assert_eq!(faults(&rows(&right.replace(from, to))[0]).len(), 1, "{from} to {to}");
    }
    assert_eq!(named("SHA-256, AUTH-99 and (COOK-1)."), BTreeSet::from(["AUTH-99", "COOK-1"]));
}
