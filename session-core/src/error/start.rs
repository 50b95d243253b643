//! What is refused at the start: keys and settings.

use std::fmt;

/// Why a key or a key ring is refused. No message shows any of a key. `Debug` shows the same as
/// `Display`, because that is what an error that leaves `main` is printed as.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The key has too few bytes.
    #[error("the key has {bytes} bytes and needs at least 32: make one with `openssl rand -base64 32`")]
    TooShort {
        /// How many it has.
        bytes: usize,
    },
    /// The key is given as text, and makes too few bytes.
    #[error(
        "the key's {characters} characters are read as base64, so they make {bytes} bytes, and it needs at least 32 bytes: make one with `openssl rand -base64 32`, or pass bytes as they are to `SigningKey::from_bytes`"
    )]
    ShortText {
        /// How many characters of base64 it has.
        characters: usize,
        /// How many bytes they make.
        bytes: usize,
    },
    /// The text isn't base64.
    #[error("the key is not base64: at character {place} is {what}. Make a key with `openssl rand -base64 32`")]
    NotBase64 {
        /// The first character at fault, counted from 1.
        place: usize,
        /// What it is, without showing it.
        what: &'static str,
    },
    /// The text is empty.
    #[error("the key is empty: make one with `openssl rand -base64 32`")]
    Empty,
    /// It isn't text, or not in UTF-8.
    #[error(
        "the key is not text: write it as `openssl rand -base64 32` prints it, in quotes where the format has them"
    )]
    NotText,
    /// All bytes of the key are zero.
    #[error("the key is all zeros, so it is no secret: make one with `openssl rand -base64 32`")]
    Zeros,
    /// The text could be read as base64, but no random generator has made it.
    #[error("the key is {what}: make one with `openssl rand -base64 32`")]
    NoSecret {
        /// What it is, without showing it.
        what: &'static str,
    },
    /// The ring is full.
    #[error("at most 8 keys can verify only: drop those retired for longer than the absolute timeout")]
    TooMany,
    /// The ring has the key already, to sign or to verify.
    #[error("the ring has this key already, and what signs verifies too: leave it out, or pass the key that was meant")]
    Repeated,
    /// An environment variable holds something else than a key.
    #[error("the environment variable `{variable}` holds no signing key: {source}")]
    Variable {
        /// Its name.
        variable: String,
        /// What is wrong with it.
        source: Box<Self>,
    },
    /// No environment variable can have that name.
    #[error("that is not the name of an environment variable: pass a name such as `SESSION_KEY`, and not the key")]
    VariableName,
    /// The operating system gave no random bytes.
    #[error("the operating system's random generator failed")]
    NoRandomness,
}

impl fmt::Debug for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a configuration is refused. `Debug` shows the same as `Display`, because that is what an
/// error that leaves `main` is printed as.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A setting is zero that can't be.
    #[error("`{setting}` can't be zero")]
    Zero {
        /// Which.
        setting: &'static str,
    },
    /// A setting is beyond its range.
    #[error("`{setting}` can be at most {most}")]
    TooLarge {
        /// Which.
        setting: &'static str,
        /// Its highest value, in words.
        most: &'static str,
    },
    /// A setting is below its range.
    #[error("`{setting}` must be at least {least}")]
    TooSmall {
        /// Which.
        setting: &'static str,
        /// Its lowest value, in words.
        least: &'static str,
    },
    /// The idle timeout is longer than the absolute one.
    #[error(
        "`{of}idle_timeout` is longer than `{of}absolute_timeout`, which is 30 days unless it is set: shorten the one or lengthen the other"
    )]
    IdleOverAbsolute {
        /// `visitors.` for those of visitors, else empty.
        of: &'static str,
    },
    /// Activity would be recorded too seldom to keep a session alive.
    #[error(
        "`touch_interval` is over half of `idle_timeout`, which would sign active users out: shorten the one, lengthen the other, or leave `touch_interval` out"
    )]
    TouchOverHalfIdle,
    /// The cookie's settings don't go together.
    #[error("cookie {name:?}: {reason}")]
    Cookie {
        /// The cookie's name.
        name: String,
        /// What to change.
        reason: &'static str,
    },
    /// The settings for trusted proxies don't go together.
    #[error("{0}")]
    Proxies(&'static str),
    /// What is listed as a trusted proxy is no network, or one in which no proxy can be.
    #[error("network {network:?}: {reason}")]
    Network {
        /// What was given.
        network: String,
        /// What to change.
        reason: &'static str,
    },
    /// What is listed as an origin isn't one.
    #[error("origin {origin:?}: {reason}")]
    Origin {
        /// What was given.
        origin: String,
        /// What to change.
        reason: &'static str,
    },
    /// A path can't be exempt from the refusal of cross-origin requests.
    #[error("exempt path {path:?}: {reason}")]
    ExemptPath {
        /// What was given.
        path: String,
        /// What to change.
        reason: &'static str,
    },
}

impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
