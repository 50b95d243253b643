//! The rules of the first release, which name the fingerprint in a session's row. They never
//! change: releases that run on one store compare fingerprints, and each can read these. They are
//! version 1, which isn't written. Fingerprints of other rules begin with their version and a
//! colon. Not here: today's rules, see `user_agent`.

/// OS family and browser family, such as `Linux/Firefox`; `other` for what these rules don't know.
pub(super) fn fingerprint(user_agent: &str) -> String {
    let (os, browser) = families(user_agent);
    format!("{os}/{browser}")
}

/// Whether a fingerprint can be compared with those of these rules, and is another one.
pub(super) fn is_other(fingerprint: &str, user_agent: &str) -> bool {
    let is_of_these = !fingerprint.contains(':');
    fingerprint.split_once('/').is_some_and(|stored| is_of_these && stored != families(user_agent))
}

/// The order of the tables counts: Edge's header names Chrome too, Chrome's names Safari, and
/// Android's names Linux.
fn families(user_agent: &str) -> (&'static str, &'static str) {
    const OS: [(&str, &str); 9] = [
        ("Windows", "Windows"),
        ("iPhone", "iOS"),
        ("iPad", "iPadOS"),
        ("Android", "Android"),
        ("CrOS", "ChromeOS"),
        ("Mac OS X", "macOS"),
        ("Macintosh", "macOS"),
        ("Linux", "Linux"),
        ("FreeBSD", "FreeBSD"),
    ];
    const BROWSER: [(&str, &str); 14] = [
        ("EdgA/", "Edge"),
        ("EdgiOS/", "Edge"),
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("SamsungBrowser/", "Samsung Internet"),
        ("Vivaldi/", "Vivaldi"),
        ("FxiOS/", "Firefox"),
        ("Firefox/", "Firefox"),
        ("CriOS/", "Chrome"),
        ("HeadlessChrome/", "Chrome"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
        ("Wget/", "Wget"),
    ];
    let first = |table: &[(&str, &'static str)]| {
        table.iter().find(|(mark, _)| user_agent.contains(mark)).map_or("other", |(_, family)| *family)
    };
    (first(&OS), first(&BROWSER))
}
