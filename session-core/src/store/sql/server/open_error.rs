//! Why a database server can't be used, and what to do about it.

use sqlx::error::Error as SqlxError;

use super::{ErrorKind, Server};
use crate::store::sql::driver::DriverError;
use crate::store::sql::migrations::MigrateError;

/// Why a database server can't be used for sessions. Nothing of it shows the URL's password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerOpenError {
    /// It is no URL of this server. It isn't repeated here, because it may hold a password.
    #[error("this is no {server} URL: write `{example}`")]
    Url {
        /// The server's name.
        server: &'static str,
        /// How a URL looks.
        example: &'static str,
    },
    /// Nobody answers.
    #[error("no {server} server answers: check host and port of the URL, and that the server runs")]
    NoServer {
        /// The server's name.
        server: &'static str,
        /// What happened.
        source: DriverError,
    },
    /// User or password are wrong.
    #[error(
        "the {server} server refuses this user: check user and password of the URL, and from where the user may connect"
    )]
    Refused {
        /// The server's name.
        server: &'static str,
        /// What the server said.
        source: DriverError,
    },
    /// The database isn't there.
    #[error("the {server} server has no such database: create it, or correct the URL")]
    NoDatabase {
        /// The server's name.
        server: &'static str,
        /// What the server said.
        source: DriverError,
    },
    /// The user may not make or use the tables.
    #[error(
        "this user may not make the session tables: grant CREATE, or migrate as another user and grant SELECT, INSERT, UPDATE \
         and DELETE on cookie_session, cookie_session_user and cookie_session_schema"
    )]
    MissingRights {
        /// What the server said.
        source: DriverError,
    },
    /// A newer release changed the tables in a way that this one doesn't understand.
    #[error("the session tables are of version {found}, this release knows {known}: use a newer release")]
    NewerSchema {
        /// The version in the database.
        found: i64,
        /// The newest version that this release knows.
        known: i64,
    },
    /// Anything else that the server has to say.
    #[error("can't use the {server} database for sessions: {source}")]
    Other {
        /// The server's name.
        server: &'static str,
        /// What the server said.
        source: DriverError,
    },
}

impl ServerOpenError {
    pub(in crate::store) fn url<D: Server>() -> Self {
        Self::Url { server: D::NAMES.server, example: D::NAMES.url }
    }

    pub(in crate::store) fn of<D: Server>(error: MigrateError) -> Self {
        let server = D::NAMES.server;
        let source = match error {
            MigrateError::Newer { found, known } => return Self::NewerSchema { found, known },
            MigrateError::Sqlx(source) => source,
        };
        let kind = D::classify(&source);
        let is_unreachable = matches!(source, SqlxError::Io(_) | SqlxError::PoolTimedOut);
        let source = source.into();
        match kind {
            ErrorKind::Refused => Self::Refused { server, source },
            ErrorKind::NoDatabase => Self::NoDatabase { server, source },
            ErrorKind::MissingRights => Self::MissingRights { source },
            _ if is_unreachable => Self::NoServer { server, source },
            _ => Self::Other { server, source },
        }
    }
}
