//! What can go wrong, by kind, and the status that each kind has as a response. Not here: what is
//! refused at the start, see `start`.

mod start;

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::model::session_id::SessionId;
use crate::model::token::NoRandomness;
pub use crate::model::user_id::UserIdError;
pub use start::{ConfigError, KeyError};

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a session operation.
///
/// Keys and ids are escaped where they appear; values, tokens and keys of the ring never appear,
/// unless a value's own `Serialize` fails with an error that quotes it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no active session, or it ended meanwhile. 401.
    #[error("no active session: sign in first")]
    NotAuthenticated,
    /// A request has no [`CsrfToken`](crate::CsrfToken) of its session, or none at all. 403.
    #[error("the request's CSRF token is missing, or is of another session: send that of its own pages")]
    CsrfToken,
    /// No session of that user has that id. 404.
    #[error("no session of this user has that id")]
    UnknownSession,
    /// The user id can't be one. 400.
    #[error(transparent)]
    UserId(#[from] UserIdError),
    /// The data or value can't be kept. 400, or 413 if it is too large, or 500 if it can't be
    /// written as JSON.
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
    /// A function given to `update` called `set`, `remove_key` or `update` of the very session it
    /// was run for. 500.
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
    #[error(
        "no session layer around this handler or middleware: add `{layer}` to the app, after its routes, and further out \
         than guards and other middleware that use the session"
    )]
    NoLayer {
        /// What to add.
        layer: &'static str,
    },
    /// Other requests changed the session's data at each of a hundred tries to store this one's
    /// changes: none is stored. 503.
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
            Self::CsrfToken => 403,
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

    /// This error as a response. The body is short and fixed for each status, so what is the
    /// program's fault or its machine's, such as a missing layer or a value of another type, is
    /// written to `tracing` here, with its key and reason. A failure of the store isn't: an
    /// [`Event`](crate::Event) has reported it.
    pub fn as_response(&self) -> ErrorResponse {
        self.trace();
        self.response()
    }

    const fn response(&self) -> ErrorResponse {
        let status = self.status();
        let body = match status {
            400 => "bad request\n",
            401 => "not signed in\n",
            403 => "forbidden\n",
            404 => "not found\n",
            413 => "too large\n",
            503 => "try again later\n",
            _ => "internal error\n",
        };
        let headers = ERROR_HEADERS.split_at(if status == 503 { 3 } else { 2 }).0;
        ErrorResponse { status, headers, body }
    }

    /// Writes to `tracing` what no event reports: each 500 but a row that can't be understood.
    pub(crate) fn trace(&self) {
        if self.status() == 500 && !matches!(self, Self::Store(_)) {
            match self.source() {
                Some(reason) => tracing::error!("{self}: {reason}"),
                None => tracing::error!("{self}"),
            }
        }
    }
}

/// The error as a response, which is logged unless it was.
#[doc(hidden)]
pub fn as_response(error: &Error, is_logged: &AtomicBool) -> ErrorResponse {
    if is_logged.swap(true, Ordering::Relaxed) { error.response() } else { error.as_response() }
}

/// In every 503: after that time, in seconds, another try may succeed.
pub(crate) const RETRY_AFTER: (&str, &str) = ("retry-after", "1");

/// Those of a 503. Any other error has all but the last.
const ERROR_HEADERS: [(&str, &str); 3] =
    [("cache-control", "no-store"), ("content-type", "text/plain; charset=utf-8"), RETRY_AFTER];

/// An error as a response, for adapters: see [`Error::as_response`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorResponse {
    /// The HTTP status.
    pub status: u16,
    /// Names, in lower case, and values.
    pub headers: &'static [(&'static str, &'static str)],
    /// Plain text.
    pub body: &'static str,
}

/// For frameworks on version 1 of the `http` crate.
#[cfg(feature = "http")]
impl<B: From<&'static str>> From<ErrorResponse> for http::Response<B> {
    fn from(error: ErrorResponse) -> Self {
        let mut response = Self::new(B::from(error.body));
        *response.status_mut() = http::StatusCode::from_u16(error.status).expect("the statuses above are HTTP's");
        for &(name, value) in error.headers {
            let name = http::HeaderName::from_static(name);
            response.headers_mut().insert(name, http::HeaderValue::from_static(value));
        }
        response
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
    #[error("the value for {key:?} can't be written as JSON")]
    Unencodable {
        /// The key.
        key: String,
        /// What serde says.
        source: EncodeError,
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

/// Why a value can't be written as JSON, in serde's words: those of the value's own `Serialize`,
/// perhaps, which may quote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.escape_debug())]
pub struct EncodeError(Arc<str>);

impl EncodeError {
    pub(crate) fn of(error: &serde_json::Error) -> Self {
        Self(error.to_string().into())
    }
}

/// What a database says, in one line: its text may hold what a client sent, which must not look
/// like lines of a log, or like what a terminal does.
fn one_line(error: &dyn StdError) -> String {
    let is_odd = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut line = String::new();
    for c in error.to_string().chars() {
        if is_odd(c) { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

/// How a store failed. `Debug` shows the same as `Display`: a driver's own `Debug` may quote rows.
/// Both are one line.
#[derive(Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// It failed, and certainly nothing changed.
    #[error("the session store failed, and nothing was changed: {}", one_line(&**.0))]
    NotApplied(#[source] Arc<dyn StdError + Send + Sync>),
    /// It failed, and it is unknown whether the change was made.
    #[error("the session store failed, and it is unknown whether the change was made: {}", one_line(&**.0))]
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

    /// A failure after which it is unknown whether the change was made.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::logged;

    #[test]
    fn a_fault_of_the_program_is_logged_once_with_its_reason() {
        let key = || "k".to_owned();
        for (error, says) in [
            (
                Error::NoLayer { layer: "SomeLayer" },
                "`SomeLayer` to the app, after its routes, and further out than guards and other middleware",
            ),
            (Error::WrongType { key: key(), expected: "u64" }, "u64"),
            (Error::UpdatePanicked { key: key() }, "panicked"),
            (Error::UpdateChangesSession { key: key() }, "compute"),
            (Error::HeadSent, "head"),
            (Error::NoRandomness, "random"),
            (
                DataError::Unencodable { key: key(), source: EncodeError("a year\nis over".into()) }.into(),
                "a year\\nis over",
            ),
        ] {
            let log = logged(|| assert_eq!(error.as_response().status, 500));
            assert!(log.contains("ERROR") && log.contains(says) && log.lines().count() == 1, "{log}");
        }
    }

    #[test]
    fn what_is_the_requests_fault_or_reported_by_an_event_is_not_logged() {
        for error in [
            Error::NotAuthenticated,
            Error::CsrfToken,
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
            assert_eq!(logged(|| assert_ne!(error.as_response().body, "")), "", "{error}");
        }
    }
}
