//! Signing keys as text: base64, as people copy it and as tools pass it on. What changes nothing
//! about a key is read over; anything else is refused by its place, and never shown.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use zeroize::Zeroizing;

use super::mistaken::{is_invisible, is_path, meaning, no_secret};
use super::{KeyRing, MIN_KEY_BYTES, SigningKey};
use crate::error::KeyError;

/// What some frameworks write before a key.
const PREFIX: &str = "base64:";

/// The key that a text holds.
pub(super) fn read(text: &str) -> Result<SigningKey, KeyError> {
    let key = unwrapped(text);
    // Where the key begins in the text, in bytes.
    let start = key.as_ptr().addr() - text.as_ptr().addr();
    let refuse = |at: usize, what| {
        let place = text[..start + at].chars().count() + 1;
        Err(KeyError::NotBase64 { place, what })
    };
    if key.is_empty() {
        return Err(KeyError::Empty);
    }
    if let Some(at) = key.find("-----") {
        return refuse(at, "a line of PEM");
    }
    if is_path(key) {
        return Err(KeyError::NoSecret { what: "the path of a file, and not what the file holds" });
    }
    let mut digits = Zeroizing::new(Vec::with_capacity(key.len()));
    // Which of the two alphabets it is in, once that shows.
    let mut is_url_safe = None;
    let mut padding = None;
    let mut padded = 0;
    for (at, character) in key.char_indices() {
        let url_safe = match character {
            '-' | '_' => Some(true),
            '+' | '/' => Some(false),
            _ => None,
        };
        match character {
            ' ' | '\t' | '\r' | '\n' => {}
            '=' => {
                padding = padding.or(Some(at));
                padded += 1;
            }
            'A'..='Z' | 'a'..='z' | '0'..='9' | '-' | '_' | '+' | '/' => {
                if let Some(at) = padding {
                    return refuse(at, "a `=` that isn't at its end, so perhaps a name before the key, or two keys");
                }
                if url_safe.is_some() && is_url_safe.is_some() && url_safe != is_url_safe {
                    return refuse(at, "a character of the other alphabet (`-` and `_`, or `+` and `/`, but not both)");
                }
                is_url_safe = is_url_safe.or(url_safe);
                digits.push(match character {
                    '-' => b'+',
                    '_' => b'/',
                    digit => u8::try_from(digit).expect("matched as ASCII"),
                });
            }
            wrong => return refuse(at, meaning(wrong)),
        }
    }
    // Four characters are three bytes.
    let bytes = digits.len() * 3 / 4;
    if bytes < MIN_KEY_BYTES {
        return Err(KeyError::ShortText { characters: digits.len() + padded, bytes });
    }
    if let Some(what) = no_secret(key, &digits) {
        return Err(KeyError::NoSecret { what });
    }
    if let Some(at) = padding
        && (padded > 2 || (digits.len() + padded) % 4 != 0)
    {
        return refuse(at, "a `=` too many, or characters before it are missing");
    }
    let Ok(bytes) = STANDARD_NO_PAD.decode(&*digits).map(Zeroizing::new) else {
        return refuse(padding.unwrap_or(key.len()), "its end, before which characters are missing or wrong");
    };
    SigningKey::from_bytes(&bytes)
}

/// The key without what stands around it: blanks, what can't be seen, one pair of quotes, and
/// `base64:`.
fn unwrapped(text: &str) -> &str {
    let around = |character: char| character.is_whitespace() || is_invisible(character);
    let text = text.trim_matches(around);
    let inside = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    let text = inside('"').or_else(|| inside('\'')).unwrap_or(text).trim_matches(around);
    let has_prefix = text.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX));
    if has_prefix { text[PREFIX.len()..].trim_start() } else { text }
}

/// Reads the key as base64 text, as [`SigningKey::from_base64`] does. Mind that some formats quote
/// the line at fault in their own errors, as TOML's does.
impl<'de> Deserialize<'de> for SigningKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Given::of(Value::deserialize(deserializer)?).read().map_err(D::Error::custom)
    }
}

/// Reads `{ signing = "<base64>", verify_only = ["<base64>", …] }`. From the environment
/// `verify_only` may be one text with commas between the keys.
impl<'de> Deserialize<'de> for KeyRing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)?;
        let signing = Given::of(written.signing).read();
        let mut keys = Self::new(signing.map_err(|error| D::Error::custom(format_args!("`signing`: {error}")))?);
        for (at, given) in Given::all_of(written.verify_only).iter().enumerate() {
            let added = given.read().and_then(|key| keys.verify_with(key));
            keys = added.map_err(|error| D::Error::custom(format_args!("`verify_only`, key {}: {error}", at + 1)))?;
        }
        Ok(keys)
    }
}

/// The keys of a ring as they are written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    signing: Value,
    #[serde(default)]
    verify_only: Value,
}

/// The text of a key. None: it isn't text, and serde's own message would show what it is.
struct Given(Option<Zeroizing<String>>);

impl Given {
    fn of(value: Value) -> Self {
        match value {
            Value::String(text) => Self(Some(Zeroizing::new(text))),
            _ => Self(None),
        }
    }

    fn all_of(value: Value) -> Vec<Self> {
        match value {
            Value::Null => Vec::new(),
            Value::Array(values) => values.into_iter().map(Self::of).collect(),
            Value::String(text) => {
                let text = Zeroizing::new(text);
                let whole = text.trim();
                let inside = |quote: char| whole.strip_prefix(quote)?.strip_suffix(quote);
                let text = inside('"').or_else(|| inside('\'')).unwrap_or(whole);
                if let Ok(Value::Array(values)) = serde_json::from_str(text) {
                    return values.into_iter().map(Self::of).collect();
                }
                let parts = text.split(',').filter(|part| !part.trim().is_empty());
                parts.map(|part| Self(Some(Zeroizing::new(part.to_owned())))).collect()
            }
            other => vec![Self::of(other)],
        }
    }

    fn read(&self) -> Result<SigningKey, KeyError> {
        read(self.0.as_ref().ok_or(KeyError::NotText)?)
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// 48 bytes, in the alphabet of each kind.
    const BYTES: [u8; 48] = *b"\xfb\xef\xbe\xff this is no secret, but it is long enough \x01\x02";

    fn is_same(text: &str, bytes: &[u8]) -> bool {
        let key = read(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        key.is_same(&SigningKey::from_bytes(bytes).unwrap())
    }

    #[test]
    fn what_tools_make_of_a_key_is_the_same_key() {
        let key = STANDARD.encode(BYTES);
        assert!(key.contains('+') && key.contains('/'));
        let (first, second) = key.split_at(40);
        for text in [
            key.clone(),
            format!("{key}\n"),
            format!("{key}\r\n"),
            format!("  {key}\t"),
            // `openssl rand -base64 64` breaks its lines, and a folded block of YAML makes blanks
            // of the breaks.
            format!("{first}\n{second}\n"),
            format!("{first}\r\n{second}\r\n"),
            format!("{first} {second}"),
            // `docker --env-file` keeps quotes.
            format!("\"{key}\""),
            format!("'{key}'"),
            format!("\"{first}\n{second}\n\""),
            format!("base64:{key}"),
            format!("\"base64:{key}\""),
            format!("BASE64: {key}"),
            format!("\u{feff}{key}"),
            format!("\u{200b}{key}\u{2060}\u{feff}\n"),
            format!("\u{a0}'\u{200d}{key}'\u{ad}"),
            format!("\u{feff}\"base64:{key}\"\r\n"),
            key.replace('+', "-").replace('/', "_"),
        ] {
            assert!(is_same(&text, &BYTES), "{text:?}");
        }
    }

    #[test]
    fn padding_may_be_left_out() {
        for length in [46, 47, 48] {
            let bytes = &BYTES[..length];
            for text in [STANDARD.encode(bytes), URL_SAFE.encode(bytes), URL_SAFE_NO_PAD.encode(bytes)] {
                assert!(is_same(&text, bytes) && is_same(text.trim_end_matches('='), bytes), "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_base64_is_refused_by_its_place() {
        let key = STANDARD.encode(&BYTES[..46]);
        assert!(key.ends_with("=="));
        let at = |place: usize, character: char| {
            let mut characters: Vec<char> = key.chars().collect();
            characters[place - 1] = character;
            String::from_iter(characters)
        };
        let digits = key.trim_end_matches('=');
        for (text, place, says) in [
            (at(17, '!'), 17, "doesn't have"),
            (at(1, '.'), 1, "doesn't have"),
            (at(20, '\u{200b}'), 20, "can't be seen"),
            (at(20, '\u{feff}'), 20, "can't be seen"),
            (at(21, 'é'), 21, "ASCII"),
            (format!("{key}\0"), 65, "control"),
            (format!("“{key}”"), 1, "word processors"),
            (format!("{key},{key}"), 65, "`verify_with`"),
            (format!("{key} {key}"), 63, "two keys"),
            (format!("SESSION_KEY={key}"), 12, "a name before the key"),
            (format!("export SESSION_KEY={key}"), 19, "a name before the key"),
            (format!("SESSION_KEY: {key}"), 12, "a name before the key"),
            ("vault:secret/data/app#session_key".to_owned(), 6, "where it is kept"),
            (format!("{key} # of 2026"), 66, "a comment"),
            (key.replace('=', "%3D"), 63, "percent-encoded"),
            ("{{ session_key }}".to_owned(), 1, "a placeholder"),
            ("<a long key of your own goes here, please>".to_owned(), 1, "a placeholder"),
            (format!("[{}]", ["1"; 32].join(",")), 1, "a list"),
            (format!("{key}\\n"), 65, "an escape"),
            (at(9, '\u{7}'), 9, "control"),
            (at(30, '='), 30, "its end"),
            (at(30, '_'), 30, "alphabet"),
            (format!("\"{key}"), 1, "quotation mark"),
            (format!("{key}'"), 65, "quotation mark"),
            (format!("\"{}\"", at(17, '!')), 18, "doesn't have"),
            (format!("\u{feff}'base64:{}'", at(17, '!')), 26, "doesn't have"),
            ("$(openssl rand -base64 32)".to_owned(), 1, "no shell has replaced"),
            ("${SESSION_KEY}".to_owned(), 1, "no shell has replaced"),
            (format!("-----BEGIN KEY-----\n{digits}"), 1, "PEM"),
            // A character of it is missing, or one is changed.
            (format!("{}=", &digits[1..]), 62, "missing"),
            (format!("{digits}==="), 63, "too many"),
            (format!("{digits}="), 63, "too many"),
            (digits[..61].to_owned(), 62, "missing"),
            (format!("{}B", &digits[..61]), 63, "wrong"),
        ] {
            let error = read(&text).expect_err(&text);
            let KeyError::NotBase64 { place: found, what } = &error else { panic!("{text:?}: {error}") };
            assert!(*found == place && what.contains(says), "{text:?}: {error}");
            let message = error.to_string();
            assert!(message.contains(&place.to_string()) && message.contains("openssl rand -base64 32"), "{message}");
        }
    }

    #[test]
    fn text_that_is_too_short_says_what_was_taken_for_what() {
        for (text, characters, bytes) in [
            ("abcdefghijklmnopqrstuvwxyz012345", "32", "24"),
            ("changeme", "8", "6"),
            ("AQEBAQE=", "8", "5"),
            ("secret", "6", "4"),
        ] {
            let message = read(text).unwrap_err().to_string();
            for part in
                [format!("{characters} characters"), format!("{bytes} bytes"), "base64".into(), "from_bytes".into()]
            {
                assert!(message.contains(&part), "{message}");
            }
        }
        for text in ["", " \n", "\u{feff}", "\"\"", "base64:"] {
            assert_eq!(read(text).unwrap_err(), KeyError::Empty, "{text:?}");
        }
    }

    #[test]
    fn a_key_of_zeros_is_refused() {
        assert_eq!(read(&STANDARD.encode([0; 32])).unwrap_err(), KeyError::Zeros);
    }

    #[test]
    fn a_ring_is_read_from_lists_and_from_text() {
        let keys = ["AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=", "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="];
        let signing = STANDARD.encode(BYTES);
        for (verify_only, count) in [
            (json!(keys), 2),
            (json!(keys.join(",")), 2),
            (json!(format!(" {} , {},", keys[0], keys[1])), 2),
            (json!(format!("\"{}\"", keys.join(","))), 2),
            (json!(format!("[\"{}\", \"{}\"]", keys[0], keys[1])), 2),
            (json!(keys[0]), 1),
            (json!(format!("'{}'", keys[0])), 1),
            (json!(""), 0),
            (json!([]), 0),
            (Value::Null, 0),
        ] {
            let ring: KeyRing =
                serde_json::from_value(json!({"signing": signing, "verify_only": verify_only})).unwrap();
            assert_eq!(ring.verify_only_count(), count, "{verify_only}");
        }
        assert!(serde_json::from_value::<KeyRing>(json!({"signing": signing})).is_ok());
    }

    #[test]
    fn a_ring_that_is_refused_says_which_key_and_why() {
        let (good, other) = (STANDARD.encode(BYTES), STANDARD.encode([7; 32]));
        for (ring, says) in [
            (json!({"signing": null}), ["`signing`", "not text"]),
            (json!({"signing": 1234567}), ["`signing`", "not text"]),
            (json!({"signing": "1234567"}), ["`signing`", "7 characters"]),
            (json!({"signing": "123456!"}), ["`signing`", "character 7"]),
            (json!({"signing": good, "verify_only": [other, "123456!"]}), ["`verify_only`, key 2", "character 7"]),
            (
                json!({"signing": good, "verify_only": format!("{other},{good}")}),
                ["`verify_only`, key 2", "leave it out"],
            ),
            (json!({"signing": good, "verify_only": 1234567}), ["`verify_only`, key 1", "not text"]),
            (json!({"verify_only": [good]}), ["`signing`", "missing"]),
            (json!({"signing": good, "verify": []}), ["`verify`", "`verify_only`"]),
        ] {
            let error = serde_json::from_value::<KeyRing>(ring.clone()).unwrap_err().to_string();
            assert!(says.iter().all(|part| error.contains(part)), "{ring}: {error}");
            assert!(!error.contains("123456"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_error_shows_the_key(start in "[A-Za-z0-9]{4,60}", wrong in "[^A-Za-z0-9+/=_$`'\"\\s-]", end in "[A-Za-z0-9]{4,60}") {
            let text = format!("{start}{wrong}{end}");
            let error = read(&text).unwrap_err();
            let fixed = format!("{FIXED}{}", meaning(wrong.chars().next().unwrap()));
            for shown in [error.to_string(), format!("{error:?}")] {
                let windows = start.as_bytes().windows(4).chain(end.as_bytes().windows(4));
                for part in windows.map(|part| str::from_utf8(part).unwrap()) {
                    prop_assert!(!shown.contains(part) || fixed.contains(part), "{shown}");
                }
            }
        }

        #[test]
        fn any_text_is_no_panic(text in ".{0,80}") {
            drop(read(&text));
        }
    }

    /// What messages hold in any case.
    const FIXED: &str = "the key is not base64: character 123456789 is a character that base64 doesn't have make one with openssl rand -base64 32 that isn't ASCII a control";
}
