//! What a text is that is no key, so that its error can say what to change. Not here: how a key is
//! read, see `text`.

use super::MIN_KEY_BYTES;

/// How paths of files begin, and random keys once in a hundred million.
const PATHS: [&str; 10] = ["/run/", "/etc/", "/var/", "/mnt/", "/opt/", "/home/", "/root/", "/srv/", "/tmp/", "/usr/"];
/// Hexadecimal digits of the shortest key.
const HEX_DIGITS: usize = 2 * MIN_KEY_BYTES;

/// What a character that base64 doesn't have is, and perhaps means.
pub(super) const fn meaning(wrong: char) -> &'static str {
    match wrong {
        '$' => "a `$`, so perhaps a command or a variable that no shell has replaced",
        '"' | '\'' | '`' => "a quotation mark without its pair",
        '“' | '”' | '„' | '‘' | '’' | '«' | '»' => "a quotation mark as word processors make them",
        ',' => "a comma, so perhaps two keys: those that only verify are for `verify_with`",
        ':' => "a colon, so perhaps a name before the key, or the place where it is kept",
        '#' => "a `#`, so perhaps a comment",
        '%' => "a `%`, so perhaps it is percent-encoded, or a variable that no shell has replaced",
        '[' | '{' | '<' => "a bracket, so perhaps a placeholder that nothing has filled in, or a list",
        '\\' => "a backslash, so perhaps an escape that nothing has read",
        wrong if is_invisible(wrong) => "a character that can't be seen, such as a zero-width space",
        wrong if wrong.is_ascii_control() => "a control character",
        wrong if !wrong.is_ascii() => "a character that isn't ASCII",
        _ => "a character that base64 doesn't have",
    }
}

/// Some editors begin files with U+FEFF, and web pages have the others between what is copied.
pub(super) const fn is_invisible(character: char) -> bool {
    matches!(character, '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{ad}')
}

/// What a text of base64's digits is, if no random generator has made it. Each of these is less
/// likely of a random key than one in a hundred million.
pub(super) fn no_secret(key: &str, digits: &[u8]) -> Option<&'static str> {
    let hex = digits.strip_prefix(b"0x").unwrap_or(digits);
    if digits.iter().all(|digit| *digit == b'A') {
        // Zeros, which have an error of their own.
        None
    } else if digits.iter().all(|digit| *digit == digits[0]) {
        Some("one character over and over, which is no secret")
    } else if hex.iter().all(u8::is_ascii_hexdigit) && (hex.len() != digits.len() || !is_long_hex(hex)) {
        Some("hexadecimal, and not base64 of at least 32 bytes")
    } else if are_words(key) {
        Some("words or a placeholder, which are no secret")
    } else {
        None
    }
}

/// Whether letters are all of one case, as in words, and not as in a random key or in hexadecimal.
fn are_words(key: &str) -> bool {
    let any = |is: fn(&u8) -> bool| key.as_bytes().iter().any(is);
    let is_parted = key.contains(['_', '-']);
    match (any(u8::is_ascii_uppercase), any(u8::is_ascii_lowercase), any(u8::is_ascii_digit)) {
        (false, _, false) => true,
        (false, _, true) => (is_parted || key.contains(' ')) && any(|byte| matches!(byte, b'g'..=b'z')),
        (true, false, false) => is_parted,
        (true, _, _) => false,
    }
}

/// Whether hexadecimal digits hold enough, and are base64 as they stand.
fn is_long_hex(digits: &[u8]) -> bool {
    digits.len() >= HEX_DIGITS && digits.len().is_multiple_of(4)
}

/// Whether this is where a key may be, as containers mount it.
pub(super) fn is_path(key: &str) -> bool {
    PATHS.iter().any(|path| key.starts_with(path))
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    use crate::error::KeyError;
    use crate::keys::text::read;

    #[test]
    fn what_no_generator_makes_is_refused_as_what_it_is() {
        let hex = "0123456789abcdef".repeat(4);
        for (text, says) in [
            ("/run/secrets/the_signing_key_of_this_application", "path of a file"),
            ("/run/secrets/session/signing/keys/of/this/app/one", "path of a file"),
            ("/etc/app/key", "path of a file"),
            (&"x".repeat(64), "over and over"),
            (&"0".repeat(64), "over and over"),
            ("replace_this_with_a_random_key_of_your_own_please", "a placeholder"),
            ("CHANGE-ME-CHANGE-ME-CHANGE-ME-CHANGE-ME-CHANGE-ME", "a placeholder"),
            ("correct horse battery staple correct horse battery staple", "words"),
            ("a text of 64 characters that are words and could be read as base64", "words"),
            ("my-super-secret-session-key-number-1-of-production", "words"),
            (&hex[..62], "hexadecimal"),
            (&format!("{hex}ab"), "hexadecimal"),
            (&hex[..48].to_uppercase(), "hexadecimal"),
            (&format!("0x{hex}"), "hexadecimal"),
        ] {
            let error = read(text).expect_err(text);
            let message = error.to_string();
            assert!(matches!(error, KeyError::NoSecret { .. }) && message.contains(says), "{text:?}: {message}");
            assert!(message.contains("openssl rand -base64 32") && !message.contains(&text[..8]), "{message}");
        }
        let spaced = hex.replace("cdef", "cdef ");
        let uuids = "123e4567-e89b-12d3-a456-426614174000".repeat(2);
        for text in [&hex, &hex.to_uppercase(), &spaced, &uuids, "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="] {
            assert!(read(text).is_ok(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_random_key_is_read(bytes in proptest::collection::vec(any::<u8>(), 32..100), is_wrapped: bool) {
            prop_assume!(bytes.iter().any(|byte| *byte != bytes[0]));
            let hex: String = bytes[..bytes.len() & !1].iter().map(|byte| format!("{byte:02x}")).collect();
            for text in [STANDARD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes), hex] {
                let text = if is_wrapped { format!("\u{feff}'base64:{text}'\r\n") } else { text };
                prop_assert!(read(&text).is_ok(), "{text}");
            }
        }
    }
}
