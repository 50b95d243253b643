//! What can go wrong, by kind, and the status that each kind has as a response.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::model::session_id::SessionId;
use crate::model::token::NoRandomness;
pub use crate::model::user_id::UserIdError;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a session operation.
///
/// Keys and ids are escaped where they appear; values, tokens and keys of the ring never appear, unless a value's own
/// `Serialize` fails with an error that quotes it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no active session, or it ended meanwhile. 401.
    #[error("no active session: sign in first")]
    NotAuthenticated,
    /// No session of that user has that id. 404.
    #[error("no session of this user has that id")]
    UnknownSession,
    /// The user id can't be one. 400.
    #[error(transparent)]
    UserId(#[from] UserIdError),
    /// The data or value can't be kept. 400, or 413 if it is too large, or 500 if it can't be written as JSON.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The stored value under a key isn't of the type that was asked for. 500.
    #[error("the value under {key:?} is not a {expected}; it stays as it is")]
    WrongType {
        /// The key.
        key: String,
        /// The name of the Rust type that was asked for.
        expected: &'static str,
    },
    /// A function given to `update` panicked when it was run again on newer data. 500.
    #[error("the update of {key:?} panicked on replay; nothing of this request was stored")]
    UpdatePanicked {
        /// The key.
        key: String,
    },
    /// A function given to `update` called `set`, `remove_key` or `update` of the very session it was run for. 500.
    #[error(
        "the update of {key:?} changes its own session, and nothing of it is kept: let its function only compute, and call `set` after it"
    )]
    UpdateChangesSession {
        /// The key that is updated.
        key: String,
    },
    /// The response head has left, so no cookie can follow. 500.
    #[error("the response head was already sent: sign in or rotate before responding")]
    HeadSent,
    /// The operating system gave no random bytes. 500.
    #[error("the operating system's random generator failed")]
    NoRandomness,
    /// The request passed no session layer. 500.
    #[error("no session layer around this handler: add `{layer}` to the app")]
    NoLayer {
        /// What to add.
        layer: &'static str,
    },
    /// Other requests changed the session's data at each of a hundred tries to store this one's changes: none is stored. 503.
    #[error("other requests changed the session's data at every try: nothing of this one's was stored")]
    Contention,
    /// The store failed, or holds a row that can't be understood. 503, or 500 for such a row.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<NoRandomness> for Error {
    fn from(_: NoRandomness) -> Self {
        Self::NoRandomness
    }
}

impl Error {
    /// The HTTP status of this error as a response.
    pub const fn status(&self) -> u16 {
        match self {
            Self::NotAuthenticated => 401,
            Self::UnknownSession => 404,
            Self::UserId(_) => 400,
            Self::Data(DataError::TooLarge { .. }) => 413,
            Self::Data(DataError::NotAnObject | DataError::TooDeep { .. }) => 400,
            Self::Contention | Self::Store(StoreError::NotApplied(_) | StoreError::Unknown(_)) => 503,
            Self::Store(StoreError::Corrupt { .. })
            | Self::Data(DataError::Unencodable { .. })
            | Self::WrongType { .. }
            | Self::UpdatePanicked { .. }
            | Self::UpdateChangesSession { .. }
            | Self::HeadSent
            | Self::NoRandomness
            | Self::NoLayer { .. } => 500,
        }
    }

    /// The headers of this error as a response.
    pub const HEADERS: [(&str, &str); 2] =
        [("cache-control", "no-store"), ("content-type", "text/plain; charset=utf-8")];

    /// This error as a response, for frameworks on version 1 of the `http` crate.
    #[cfg(feature = "http")]
    pub fn response<B: From<&'static str>>(&self) -> http::Response<B> {
        self.trace_program_fault();
        let mut response = http::Response::new(B::from(self.body()));
        *response.status_mut() = http::StatusCode::from_u16(self.status()).expect("a status of the list below");
        for (name, value) in Self::HEADERS {
            let name = http::HeaderName::from_static(name);
            response.headers_mut().insert(name, http::HeaderValue::from_static(value));
        }
        response
    }

    /// Writes to `tracing` what is the program's fault or its machine's, such as a missing layer or a value that can't be
    /// written as JSON: all that is a 500 but a row that can't be understood, of which an [`Event`](crate::Event) has told.
    /// For adapters, where the error becomes a response, whose fixed body tells nobody.
    pub fn trace_program_fault(&self) {
        if self.status() == 500 && !matches!(self, Self::Store(_)) {
            tracing::error!("{self}");
        }
    }

    /// The body of this error as a response: plain text, one for each status.
    pub const fn body(&self) -> &'static str {
        match self.status() {
            400 => "bad request\n",
            401 => "not signed in\n",
            404 => "not found\n",
            413 => "too large\n",
            503 => "try again later\n",
            _ => "internal error\n",
        }
    }
}

/// Why data or a value is refused. What was stored stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// Session data at sign-in is a JSON object.
    #[error("session data must be a JSON object")]
    NotAnObject,
    /// The value's `Serialize` failed, or JSON has no number for a float in it. 500.
    #[error("the value for {key:?} can't be written as JSON: {reason:?}")]
    Unencodable {
        /// The key.
        key: String,
        /// What serde says.
        reason: String,
    },
    /// The value is nested over 100 deep.
    #[error("the value for {key:?} is nested over 100 deep")]
    TooDeep {
        /// The key.
        key: String,
    },
    /// The session's data would pass the configured size.
    #[error("with {key:?} the session's data would be over {limit} bytes")]
    TooLarge {
        /// The key.
        key: String,
        /// The limit in bytes of JSON.
        limit: usize,
    },
}

/// Why a key or a key ring is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The key has too few bytes.
    #[error("the key has {bytes} bytes and needs at least 32: make one with `openssl rand -base64 32`")]
    TooShort {
        /// How many it has.
        bytes: usize,
    },
    /// The text isn't base64.
    #[error("the key is not base64: make one with `openssl rand -base64 32`")]
    NotBase64,
    /// The ring is full.
    #[error("at most 8 keys can verify only: drop those retired for longer than the absolute timeout")]
    TooMany,
}

/// How a store failed. `Debug` shows the same as `Display`: a driver's own `Debug` may quote rows.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It failed, and certainly nothing changed.
    #[error("the session store failed, and nothing was changed: {0}")]
    NotApplied(#[source] Arc<dyn StdError + Send + Sync>),
    /// It failed, and nobody knows whether the change was made.
    #[error("the session store failed, and it is unknown whether the change was made: {0}")]
    Unknown(#[source] Arc<dyn StdError + Send + Sync>),
    /// A row exists that can't be understood.
    #[error("the stored session {} can't be read: {what}", id.map_or_else(|| "(unknown id)".to_owned(), |id| id.to_string()))]
    Corrupt {
        /// The row's id, where that can be read.
        id: Option<SessionId>,
        /// Which part of the row, without its content.
        what: &'static str,
    },
}

impl StoreError {
    /// A failure after which certainly nothing changed.
    pub fn not_applied(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::NotApplied(Arc::from(source.into()))
    }

    /// A failure after which nobody knows.
    pub fn unknown(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Unknown(Arc::from(source.into()))
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::NotApplied(_) => "NotApplied",
            Self::Unknown(_) => "Unknown",
            Self::Corrupt { .. } => "Corrupt",
        };
        write!(f, "{name}({self})")
    }
}

/// Why a configuration is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
    #[error("`idle_timeout` is longer than `absolute_timeout`: shorten the one or lengthen the other")]
    IdleOverAbsolute,
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::logged;

    #[test]
    fn a_fault_of_the_program_is_logged_once_with_its_reason() {
        let key = || "k".to_owned();
        for (error, says) in [
            (Error::NoLayer { layer: "SomeLayer" }, "SomeLayer"),
            (Error::WrongType { key: key(), expected: "u64" }, "u64"),
            (Error::UpdatePanicked { key: key() }, "panicked"),
            (Error::UpdateChangesSession { key: key() }, "compute"),
            (Error::HeadSent, "head"),
            (Error::NoRandomness, "random"),
            (DataError::Unencodable { key: key(), reason: "NaN is not a JSON number".into() }.into(), "NaN"),
        ] {
            let log = logged(|| error.trace_program_fault());
            assert!(log.contains("ERROR") && log.contains(says) && log.lines().count() == 1, "{log}");
            #[cfg(feature = "http")]
            assert_eq!(logged(|| drop(error.response::<&str>())).lines().count(), 1);
        }
    }

    #[test]
    fn what_is_the_requests_fault_or_told_by_an_event_is_not_logged() {
        for error in [
            Error::NotAuthenticated,
            Error::UnknownSession,
            UserIdError::Empty.into(),
            DataError::NotAnObject.into(),
            DataError::TooDeep { key: "k".to_owned() }.into(),
            DataError::TooLarge { key: "k".to_owned(), limit: 1 }.into(),
            Error::Contention,
            StoreError::not_applied("down").into(),
            StoreError::unknown("down").into(),
            StoreError::Corrupt { id: None, what: "data" }.into(),
        ] {
            assert_eq!(logged(|| error.trace_program_fault()), "", "{error}");
        }
    }
}
