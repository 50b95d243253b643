//! What an error of the server or its driver means, and how it is shown.

use std::fmt;

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// What an error means for the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The server refused it for now, and changed nothing.
    Refused,
    /// No connection could be opened, so nothing was sent.
    Unreachable,
    /// The connection ended. The command may have been carried out.
    Lost,
    /// It was refused, or can't be sent, and another attempt would fail too. Nothing changed.
    Final,
}

/// What scripts answer where a value isn't a session's row.
pub(super) const NO_ROW: &str = "SESSIONROW";

/// Scripts check all that can fail before they change anything, so what the server answers with an
/// error has changed nothing.
pub(super) fn meaning(error: &RedisError) -> Meaning {
    match error.kind() {
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ReadOnly
            | ServerErrorKind::Moved
            | ServerErrorKind::Ask,
        ) => Meaning::Refused,
        ErrorKind::Extension if error.code() == Some("BUSY") => Meaning::Refused,
        // A script met a key that is on its way to another server, before it changed anything.
        _ if error.to_string().contains("non local key") => Meaning::Refused,
        ErrorKind::Io if error.is_connection_refusal() => Meaning::Unreachable,
        ErrorKind::Io | ErrorKind::Parse => Meaning::Lost,
        _ => Meaning::Final,
    }
}

/// Whether a value isn't a session's row, or a key isn't of its type.
pub(super) fn is_unreadable(error: &RedisError) -> bool {
    error.code().is_some_and(|code| code == NO_ROW || code == "WRONGTYPE")
}

/// Whether the user may not run a command, itself or in a script.
pub(super) fn is_missing_right(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm)
        || error.to_string().contains("The user executing the script can't")
}

/// What the server or the driver reported, without what it quotes of a command. `Debug` shows the
/// same as `Display`.
pub struct RedisFailure(RedisError);

impl RedisFailure {
    pub(super) const fn error(&self) -> &RedisError {
        &self.0
    }
}

impl From<RedisError> for RedisFailure {
    fn from(error: RedisError) -> Self {
        Self(error)
    }
}

impl fmt::Display for RedisFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        // A server that doesn't know a command quotes its arguments.
        let shown = text
            .split_once("with args beginning with")
            .map_or(&*text, |(before, _)| before.trim_end_matches([',', ' ']));
        f.write_str(shown)
    }
}

impl fmt::Debug for RedisFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for RedisFailure {}

#[cfg(test)]
mod tests {
    use redis::make_extension_error;

    use super::*;

    #[test]
    fn a_command_that_the_server_quotes_is_not_shown() {
        let quoted = "unknown command `GETRANGE`, with args beginning with: `session:{1}s` `hunter2`";
        let error = make_extension_error("ERR".to_owned(), Some(quoted.to_owned()));
        for shown in [RedisFailure::from(error.clone()).to_string(), format!("{:?}", RedisFailure::from(error))] {
            assert!(shown.contains("unknown command `GETRANGE`") && !shown.contains("hunter2"), "{shown}");
        }
    }

    #[test]
    fn what_may_have_been_done_is_told_from_what_was_not() {
        let extension = |code: &str| meaning(&make_extension_error(code.to_owned(), None));
        assert_eq!(extension("BUSY"), Meaning::Refused);
        assert_eq!([extension("OOM"), extension(NO_ROW), extension("MISCONF")], [Meaning::Final; 3]);
        let io = |kind| meaning(&std::io::Error::from(kind).into());
        assert_eq!(io(std::io::ErrorKind::ConnectionRefused), Meaning::Unreachable);
        assert_eq!([io(std::io::ErrorKind::BrokenPipe), io(std::io::ErrorKind::TimedOut)], [Meaning::Lost; 2]);
    }
}
