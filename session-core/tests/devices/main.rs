//! The library's rules for devices, held against a public corpus of `User-Agent`s: see the README
//! beside this file. A disagreement that isn't listed fails, and so does one that is listed and has
//! gone.

use std::sync::LazyLock;

use session_core::Device;

use disagreements::{Disagreement, OF_BROWSERS, OF_SYSTEMS};
use families::{BROWSERS, Family, OF_NO_NAME, SYSTEMS};

mod disagreements;
mod families;

/// Lines of a browser family, a system family and an agent.
const CORPUS: &str = include_str!("corpus.tsv");

struct Agent {
    browser: &'static str,
    system: &'static str,
    text: &'static str,
    named: Device,
}

static AGENTS: LazyLock<Vec<Agent>> = LazyLock::new(|| {
    let agent = |line: &'static str| {
        let mut columns = line.splitn(3, '\t');
        let mut next = || columns.next().expect("three columns");
        let (browser, system, text) = (next(), next(), next());
        Agent { browser, system, text, named: Device::parse(text) }
    };
    CORPUS.lines().map(agent).collect()
});

/// What our names are for a family of the corpus; none if our table doesn't know it.
fn ours(families: &[Family], theirs: &str) -> Option<&'static [&'static str]> {
    families.iter().find(|(_, known)| known.contains(&theirs)).map(|(ours, _)| *ours)
}

/// Compares what both say of each agent of a family that our table knows.
#[track_caller]
fn agrees(families: &[Family], listed: &[Disagreement], of: impl Fn(&Agent) -> (&str, &str)) {
    let (mut total, mut agreed, mut unlisted) = (0, 0, Vec::new());
    let mut seen = vec![0; listed.len()];
    for agent in &*AGENTS {
        let (theirs, named) = of(agent);
        let Some(ours) = ours(families, theirs) else { continue };
        total += 1;
        if ours.contains(&named) {
            agreed += 1;
            continue;
        }
        let is_this = |it: &Disagreement| (it.0, it.1) == (theirs, named) && agent.text.contains(it.2);
        match listed.iter().position(is_this) {
            Some(place) => seen[place] += 1,
            None => unlisted.push(format!("{theirs:?}, we say {named:?}: {}", agent.text)),
        }
    }
    assert!(unlisted.is_empty(), "not listed: {unlisted:#?}");
    let stale: Vec<_> = listed.iter().zip(&seen).filter(|(_, seen)| **seen == 0).map(|(it, _)| it).collect();
    assert!(stale.is_empty(), "we agree on these by now: {stale:#?}");
    assert!(listed.iter().all(|it| !it.3.is_empty()), "each has a reason");
    assert!(total >= 3000 && agreed * 100 >= total * 95, "{agreed} of {total}");
}

#[test]
fn browsers_have_the_corpuss_families() {
    agrees(BROWSERS, OF_BROWSERS, |agent| (agent.browser, &agent.named.browser));
}

#[test]
fn systems_have_the_corpuss_families() {
    agrees(SYSTEMS, OF_SYSTEMS, |agent| (agent.system, &agent.named.os));
}

/// Or what the table learns would be compared with nothing.
#[test]
fn all_families_that_we_name_are_compared() {
    for agent in &*AGENTS {
        let Device { browser, os, .. } = &agent.named;
        let is_listed = |families: &[Family], ours: &str| families.iter().any(|(names, _)| names.contains(&ours));
        assert!(browser.is_empty() || OF_NO_NAME.contains(&&**browser) || is_listed(BROWSERS, browser), "{browser}");
        assert!(os.is_empty() || OF_NO_NAME.contains(&&**os) || is_listed(SYSTEMS, os), "{os}");
    }
}

#[test]
fn all_have_a_name_and_a_known_kind() {
    let kinds = ["", "desktop", "mobile", "tablet", "tv", "console", "watch", "headset", "app", "script", "bot"];
    for agent in &*AGENTS {
        let Device { name, kind, os, browser, .. } = &agent.named;
        assert!(kinds.contains(&&**kind), "{kind}: {}", agent.text);
        assert!(!name.is_empty() || (os.is_empty() && browser.is_empty()), "{}", agent.text);
        assert!(!name.starts_with(" on ") && !name.ends_with(" on "), "{name}");
    }
}
