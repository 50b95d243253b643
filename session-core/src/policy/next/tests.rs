//! That no text leads elsewhere, as judged by the `url` crate, which parses as browsers do.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rand::TryRng;
use rand::rngs::SysRng;
use url::Url;

use super::*;

/// Known ways out of a site, from the lists that testers use.
const LEADS_ELSEWHERE: &[&str] = &[
    "",
    " ",
    "evil.example",
    "https://evil.example",
    "HTTPS://evil.example/",
    "https:evil.example",
    "https:/evil.example",
    "https:///evil.example",
    "http://site.example@evil.example/",
    "//evil.example",
    "///evil.example",
    "////evil.example",
    "//evil.example@site.example",
    "//site.example@evil.example",
    "//evil%2eexample",
    r"/\evil.example",
    r"/\/evil.example",
    r"\/evil.example",
    r"\\evil.example",
    r"\\\evil.example",
    r"/a\..\..\evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r/evil.example",
    "\t//evil.example",
    " //evil.example",
    "\0//evil.example",
    "/\0/evil.example",
    "/a\r\nSet-Cookie: a=b",
    "/\u{7f}",
    "/.//evil.example",
    "/..//evil.example",
    "/a/..//evil.example",
    "/%2e//evil.example",
    "/%2E%2e//evil.example",
    "/.%2e//evil.example",
    "/./\\evil.example",
    "javascript:alert(1)",
    "java\tscript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:msgbox(1)",
    "blob:https://evil.example/",
    "?//evil.example",
    "#//evil.example",
    "@evil.example",
    ".evil.example",
    ":443",
    "／／evil.example",
    "\u{feff}//evil.example",
];

/// What is harmless although it looks odd.
const STAYS: &[(&str, &str)] = &[
    ("/", "/"),
    ("/a/b?c=d&e=//f#g", "/a/b?c=d&e=//f#g"),
    ("/a//b", "/a//b"),
    ("/&sol;evil.example", "/%26sol;evil.example"),
    ("/&#47;evil.example?a=1&b=2", "/%26#47;evil.example?a=1&b=2"),
    ("/@evil.example", "/@evil.example"),
    ("/:443", "/:443"),
    ("/%09/evil.example", "/%09/evil.example"),
    ("/%2F/evil.example", "/%2F/evil.example"),
    ("/%5cevil.example", "/%5cevil.example"),
    ("/https://evil.example", "/https://evil.example"),
    ("/...", "/..."),
    ("/a?b=../..", "/a?b=../.."),
    ("/café au lait", "/caf%C3%A9%20au%20lait"),
    ("/\"'<>`", "/%22%27%3C%3E%60"),
    ("/\u{2028}", "/%E2%80%A8"),
];

fn site() -> Url {
    Url::parse("https://site.example/a/b?c#d").unwrap()
}

/// Fails unless the text is refused or leads to this site, by one step and by two.
fn check(text: &str) -> Result<bool, String> {
    let Some(next) = Next::parse(text) else { return Ok(false) };
    let written = next.as_str();
    let target = site().join(written).map_err(|error| format!("{written:?}: {error}"))?;
    if target.origin() != site().origin() || !target.username().is_empty() || target.password().is_some() {
        return Err(format!("{text:?} leads to {target}"));
    }
    // What a page or a server makes of the target's path must not lead elsewhere either.
    let again = site().join(target.path()).map_err(|error| format!("{target}: {error}"))?;
    if again.origin() != site().origin() {
        return Err(format!("the path of {target} leads to {again}"));
    }
    if !written.bytes().all(|byte| byte.is_ascii_graphic()) || http::HeaderValue::from_str(written).is_err() {
        return Err(format!("{written:?} can't stand in a header"));
    }
    if written.len() > MAX_NEXT_BYTES || Next::parse(written).as_ref() != Some(&next) {
        return Err(format!("{written:?} isn't what it is read as"));
    }
    // The page to sign in gets it back as it was.
    for page in ["/sign-in", "/sign-in?lang=de", "/sign-in?", "/sign-in#top"] {
        let page = site().join(&next.added_to(page)).map_err(|error| error.to_string())?;
        let given: Vec<_> = page.query_pairs().filter(|(name, _)| name == "next").collect();
        if page.path() != "/sign-in" || given.len() != 1 || given[0].1 != written {
            return Err(format!("{text:?} is given as {page}"));
        }
    }
    Ok(true)
}

#[test]
fn known_ways_out_are_refused() {
    for text in LEADS_ELSEWHERE {
        assert_eq!(check(text), Ok(false), "{text:?}");
        assert_eq!(text.parse::<Next>(), Err(NextError));
    }
}

#[test]
fn odd_paths_on_this_site_are_kept() {
    for (text, kept) in STAYS {
        assert_eq!(check(text), Ok(true), "{text:?}");
        assert_eq!(Next::parse(text).unwrap().as_str(), *kept);
    }
    let long = format!("/{}", "a".repeat(MAX_NEXT_BYTES));
    assert_eq!((Next::parse(&long), Next::parse(&long[..MAX_NEXT_BYTES]).is_some()), (None, true));
    assert_eq!(Next::parse(&"/é".repeat(MAX_NEXT_BYTES / 4)), None, "as it is sent");
}

/// Texts of pieces that parsers treat differently, and the known ways out with bytes changed.
fn nasty() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(
            &[
                "/",
                "//",
                "\\",
                ".",
                "..",
                "%2e",
                "%2F",
                "%5c",
                "%00",
                "%09",
                "\t",
                "\n",
                "\r",
                "\0",
                " ",
                "@",
                ":",
                "?",
                "#",
                ";",
                "&",
                "=",
                "https:",
                "http:",
                "javascript:",
                "evil.example",
                "site.example",
                "[::1]",
                "\u{a0}",
                "\u{ff0f}",
                "\u{2044}",
                "\u{feff}",
                "\u{2028}",
                "\u{ad}",
                "%",
                "'",
                "\"",
            ][..]
        )
        .prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
    ];
    let pieces = prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat());
    let changed = (prop::sample::select(LEADS_ELSEWHERE), any::<prop::sample::Index>(), any::<char>()).prop_map(
        |(text, at, letter)| {
            let mut letters: Vec<char> = text.chars().collect();
            let at = at.index(letters.len() + 1);
            letters.insert(at, letter);
            letters.into_iter().collect()
        },
    );
    let bytes =
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    prop_oneof![pieces, changed, bytes]
}

#[test]
fn no_bytes_lead_elsewhere() {
    let seed = match std::env::var("SESSION_TEST_SEED") {
        Ok(text) => text.parse().expect("SESSION_TEST_SEED is a number"),
        Err(_) => SysRng.try_next_u64().expect("random bytes"),
    };
    println!("SESSION_TEST_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&u64::to_le_bytes(seed));
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config = Config { cases: 20_000, failure_persistence: None, ..Config::default() };
    let kept = std::cell::Cell::new(0);
    let with_slash = (nasty(), any::<bool>()).prop_map(|(text, slash)| if slash { format!("/{text}") } else { text });
    let outcome = TestRunner::new_with_rng(config, rng).run(&with_slash, |text| {
        let is_kept = check(&text).map_err(TestCaseError::fail)?;
        kept.set(kept.get() + u32::from(is_kept));
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("SESSION_TEST_SEED={seed}: {failure}"));
    assert!(kept.get() > 2000, "only {} of them were taken at all", kept.get());
}

#[test]
fn as_a_field_it_takes_everything() {
    let read = |json: &str| serde_json::from_str::<Next>(json).unwrap().to_string();
    for json in ["null", "true", "-1", "1", "1.5", "[1, [2]]", r#"{"a": {"b": 1}}"#, r#""//evil.example""#] {
        assert_eq!(read(json), "/", "{json}");
    }
    assert_eq!(read(r#""/a?b""#), "/a?b");
    assert_eq!(serde_json::to_string(&Next::parse("/a").unwrap()).unwrap(), r#""/a""#);
}

#[test]
#[should_panic(expected = "not a path on this site")]
fn a_fallback_is_a_path_too() {
    drop(Next::parse("/a").unwrap().or("https://evil.example"));
}
