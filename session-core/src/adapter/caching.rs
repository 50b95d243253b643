//! What the response to a request that used its session says to caches (RFC 9111, and RFC 9213 for
//! headers that only some of them read). Not here: which responses those are, see `verdict`.

use std::borrow::Cow;

use super::HeadersMut;

/// Adds `Cookie` to `Vary`, unless it, or `*`, is there (RFC 9110 12.5.5).
pub(super) fn vary_by_cookie(head: &mut impl HeadersMut) {
    let (mut merged, mut is_there, mut is_text) = (String::new(), false, true);
    for value in head.lines("vary") {
        is_there = true;
        for name in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if name == b"*" || name.eq_ignore_ascii_case(b"cookie") {
                return;
            }
            match str::from_utf8(name) {
                // A sender makes no list with empty elements (RFC 9110 5.6.1).
                Ok("") => {}
                Ok(name) => {
                    merged.push_str(name);
                    merged.push_str(", ");
                }
                Err(_) => is_text = false,
            }
        }
    }
    if is_there && is_text {
        merged.push_str("Cookie");
        head.retain_lines(|name, _| name != "vary");
        head.append_line("vary", Cow::Owned(merged), false);
    } else {
        // What is no text stays as it is, and ours gets a line of its own.
        head.append_line("vary", Cow::Borrowed("Cookie"), false);
    }
}

/// Keeps the response out of all caches, unless the handler has kept it out of shared ones: for
/// what carries a cookie, or a failure.
pub(super) fn forbid_storing(head: &mut impl HeadersMut) {
    restrict(head, "no-store", |_| Cow::Borrowed("no-store"));
}

/// Keeps the response out of shared caches: for what may show a session. What the handler says to
/// the browser's own cache stays.
pub(super) fn forbid_sharing(head: &mut impl HeadersMut) {
    restrict(head, "private", |own| {
        let mut merged = String::from("private");
        let own = own.iter().filter(|directive| !is_for_shared_caches(directive));
        for directive in own.filter_map(|directive| str::from_utf8(directive).ok()) {
            merged.push_str(", ");
            merged.push_str(directive);
        }
        Cow::Owned(merged)
    });
}

/// Adds `directive` where the handler says nothing, or what `instead` makes of its directives
/// unless they keep the response out of shared caches already.
fn restrict(head: &mut impl HeadersMut, directive: &'static str, instead: impl Fn(&[&[u8]]) -> Cow<'static, str>) {
    remove_targeted(head);
    if head.lines("cache-control").next().is_none() {
        head.append_line("cache-control", Cow::Borrowed(directive), false);
        return;
    }
    // Several lines are read as one.
    let value = head.lines("cache-control").collect::<Vec<_>>().join(&b","[..]);
    let own = directives(&value);
    if !own.as_ref().is_some_and(|own| forbids_sharing(own)) {
        head.retain_lines(|name, _| name != "cache-control");
        head.append_line("cache-control", instead(&own.unwrap_or_default()), false);
    }
}

/// Removes what caches in front of the site read in place of `Cache-Control`.
fn remove_targeted(head: &mut impl HeadersMut) {
    head.retain_lines(|name, _| {
        !(name.ends_with("-cache-control") || matches!(name, "surrogate-control" | "edge-control" | "x-accel-expires"))
    });
}

/// The directives between the commas outside of quoted strings. None if a quoted string doesn't
/// end: caches differ in what they make of that.
fn directives(value: &[u8]) -> Option<Vec<&[u8]>> {
    let (mut found, mut start) = (Vec::new(), 0);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, byte) in value.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b',' if !is_quoted => {
                found.push(&value[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(&value[start..]);
    let found = found.into_iter().map(<[u8]>::trim_ascii).filter(|directive| !directive.is_empty());
    (!is_quoted).then(|| found.collect())
}

/// Whether the directives keep a response out of shared caches. `private` with the names of headers
/// keeps out only these, and where there is `must-understand` a cache may ignore `no-store` (RFC
/// 9111 5.2.2).
fn forbids_sharing(directives: &[&[u8]]) -> bool {
    let has = |name: &str| directives.iter().any(|directive| directive.eq_ignore_ascii_case(name.as_bytes()));
    has("private") || (has("no-store") && !has("must-understand"))
}

/// Whether a directive contradicts `private`, or weakens it.
fn is_for_shared_caches(directive: &[u8]) -> bool {
    let name = directive.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii_end();
    [&b"public"[..], b"s-maxage", b"private"].iter().any(|shared| name.eq_ignore_ascii_case(shared))
}

#[cfg(all(test, feature = "http"))]
mod tests {
    use http::{HeaderMap, HeaderValue};

    use super::*;
    use crate::adapter::Headers;

    fn head(name: &'static str, lines: &[&[u8]]) -> HeaderMap {
        let lines = lines.iter().map(|line| HeaderValue::from_bytes(line).unwrap());
        lines.map(|line| (http::HeaderName::from_static(name), line)).collect()
    }

    fn lines(head: &HeaderMap, name: &'static str) -> Vec<Vec<u8>> {
        head.lines(name).map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn what_is_no_text_stays_byte_for_byte_beside_our_vary() {
        let mut both = head("vary", &[b"Accept", b"\xff, Origin"]);
        vary_by_cookie(&mut both);
        assert_eq!(lines(&both, "vary"), [&b"Accept"[..], b"\xff, Origin", b"Cookie"]);
    }

    #[test]
    fn what_is_no_directive_is_left_out() {
        for (before, after) in [
            (&b"max-age=60, \xff, no-cache"[..], &b"private, max-age=60, no-cache"[..]),
            (b"max-age=60, x=\"private", b"private"),
            (b", ,", b"private"),
            (br#"x="\", private, \"", max-age=1"#, br#"private, x="\", private, \"", max-age=1"#),
        ] {
            let mut one = head("cache-control", &[before]);
            forbid_sharing(&mut one);
            assert_eq!(lines(&one, "cache-control"), [after], "{:?}", before.escape_ascii().to_string());
        }
    }
}
