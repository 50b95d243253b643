//! What forms hold: CSRF tokens, and the path to go to after the sign-in.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use session_core::{CsrfToken, Next};
use url::Url;

use super::{attack, request, runtime, service, shared, with_cookie};

/// A text of what URLs are made of, and of what browsers read as such.
fn target() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        select(
            &[
                "/",
                "//",
                "\\",
                "..",
                ".",
                "%2e",
                "%2E%2e",
                "%2f",
                "%5c",
                "?",
                "#",
                "@",
                ":",
                "https:",
                "javascript:",
                "\t",
                "\n",
                "\r",
                "\0",
                " ",
                "evil.example",
                "a",
                "&",
                "next=",
                "=",
                "%",
                "%0a",
                "\u{2028}",
                "\u{ff0f}",
                "\u{fe0f}",
            ][..]
        )
        .prop_map(str::to_owned),
        "\\PC{0,8}",
        any::<String>(),
        "[/\\\\.%0-9a-f]{0,30}",
    ];
    (any::<bool>(), vec(piece, 0..10))
        .prop_map(|(rooted, pieces)| format!("{}{}", if rooted { "/" } else { "" }, pieces.concat()))
}

#[test]
fn paths_to_go_to() {
    let base = Url::parse("https://app.example/sign-in").expect("a URL");
    attack("paths to go to", target(), |text| {
        // As a field of a form.
        let field = serde_json::from_value::<Next>(serde_json::json!(text)).expect("it refuses no request");
        let Some(next) = Next::parse(&text) else {
            prop_assert_eq!(field.as_str(), "/");
            return Ok(());
        };
        prop_assert_eq!(field.as_str(), next.as_str());
        prop_assert!(http::HeaderValue::from_str(next.as_str()).is_ok());
        let url = base.join(next.as_str()).expect("a URL");
        prop_assert_eq!(url.origin(), base.origin());
        prop_assert!(url.path().starts_with('/') && !url.path().starts_with("//"), "{}", url.path());
        // Through the sign-in page's address, and back.
        let page = base.join(&next.added_to("/sign-in?a=b#c")).expect("a URL");
        let sent: Vec<_> = page.query_pairs().filter(|(name, _)| name == "next").collect();
        prop_assert_eq!(sent.len(), 1);
        prop_assert_eq!(&*sent[0].1, next.as_str());
        prop_assert_eq!(Next::parse(&sent[0].1).map(|next| next.as_str().to_owned()), Some(next.as_str().to_owned()));
        Ok(())
    });
}

/// The signature in a token's text: the mask changes with each extraction, and anyone can put
/// another one on.
fn unmasked(text: &[u8]) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok().filter(|bytes| bytes.len() == 32)?;
    let (pad, masked) = bytes.split_at(16);
    Some(pad.iter().zip(masked).map(|(one, other)| one ^ other).collect())
}

#[test]
fn csrf_tokens() {
    let runtime = runtime();
    let (own, other) = runtime.block_on(async {
        let service = service();
        let mut tokens = Vec::new();
        for user in ["ada", "alan"] {
            let cookie = service.issue(user).await.expect("signed in");
            let (_, session) = request(&service, &with_cookie(&cookie)).await;
            tokens.push(CsrfToken::of(&session.expect("signed in")).expect("a token"));
        }
        let other = shared(tokens.pop().expect("two"));
        (shared(tokens.pop().expect("two")), other)
    });
    let changes = vec((any::<Index>(), any::<u8>(), 0..4u8), 0..5);
    let sent = (any::<bool>(), any::<Index>(), changes);
    attack("CSRF tokens", sent, |(spliced, at, changes)| {
        let mut text = own.as_str().as_bytes().to_vec();
        if spliced {
            let at = at.index(text.len() + 1);
            text = [&text[..at], &other.as_str().as_bytes()[at..]].concat();
        }
        for (at, byte, kind) in changes {
            match kind {
                0 => text.insert(at.index(text.len() + 1), byte),
                1 if !text.is_empty() => drop(text.remove(at.index(text.len()))),
                2 if !text.is_empty() => {
                    let at = at.index(text.len());
                    text[at] ^= byte;
                }
                _ => text.truncate(at.index(text.len() + 1)),
            }
        }
        let is_of = |token: &CsrfToken| unmasked(&text) == unmasked(token.as_str().as_bytes());
        prop_assert_eq!(own.verify(&text).is_ok(), is_of(&own));
        prop_assert_eq!(other.verify(&text).is_ok(), is_of(&other));
        if let Ok(field) = str::from_utf8(&text) {
            prop_assert_eq!(own.verify_either(None::<&str>, Some(field)).is_ok(), is_of(&own));
        }
        Ok(())
    });
}
