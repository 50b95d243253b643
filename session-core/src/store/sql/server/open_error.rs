//! Why a database server can't be used, and what to do about it.

use std::fmt;

use sqlx::error::Error as SqlxError;

use super::server_url::UrlFault;
use super::{ErrorKind, Server, Unfit};
use crate::store::sql::driver::DriverError;
use crate::store::sql::migrations::MigrateError;

/// Why a database server can't be used for sessions. Nothing in it shows the URL's password.
/// `Debug` shows the same as `Display`, because that is what an error that leaves `main` is printed
/// as.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ServerOpenError {
    /// The URL can't be used. It isn't repeated here, because it may hold a password.
    #[error("the {server} URL can't be used: {fault}; it looks like `{example}`")]
    Url {
        /// The server's name.
        server: &'static str,
        /// An example of a URL.
        example: &'static str,
        /// What is wrong with it.
        fault: UrlFault,
    },
    /// No server answers.
    #[error("no {server} server answers: check host and port of the URL, and that the server runs ({source})")]
    NoServer {
        /// The server's name.
        server: &'static str,
        /// What happened.
        source: DriverError,
    },
    /// The user or the password is wrong.
    #[error(
        "the {server} server refuses this user: check user and password of the URL (there `%` is written as `%25`, `#` as `%23`, \
         `/` as `%2F`, `?` as `%3F`), and from where the user may connect; if only encrypted, add `sqlx = {{ version = \"0.9\", \
         default-features = false, features = [\"tls-rustls\"] }}` to your Cargo.toml, and `{tls}` to the URL ({source})"
    )]
    Refused {
        /// The server's name.
        server: &'static str,
        /// The URL's parameter that asks for encryption.
        tls: &'static str,
        /// What the server said.
        source: DriverError,
    },
    /// The server, the user's rights or the URL demand encryption, which the driver was built
    /// without, or which the URL doesn't ask for.
    #[error(
        "connections to this {server} server have to be encrypted: add `sqlx = {{ version = \"0.9\", default-features = false, \
         features = [\"tls-rustls\"] }}` to your Cargo.toml, and `{tls}` to the URL ({source})"
    )]
    NeedsTls {
        /// The server's name.
        server: &'static str,
        /// The URL's parameter that asks for encryption.
        tls: &'static str,
        /// What the server or the driver said.
        source: DriverError,
    },
    /// The URL asks for encryption, and the server offers none.
    #[error("the URL asks for encryption, which this {server} server doesn't offer: set up TLS there ({source})")]
    NoTls {
        /// The server's name.
        server: &'static str,
        /// What the driver said.
        source: DriverError,
    },
    /// The user's way to authenticate needs an encrypted password, for which the driver was built
    /// without.
    #[error(
        "this {server} user's password has to be encrypted: add `sqlx = {{ version = \"0.9\", default-features = false, \
         features = [\"tls-rustls\"] }}` to your Cargo.toml, or \"mysql-rsa\" without TLS ({source})"
    )]
    NeedsRsa {
        /// The server's name.
        server: &'static str,
        /// What the driver said.
        source: DriverError,
    },
    /// The database doesn't exist, or the connection names none.
    #[error(
        "the {server} server has no such database, or the connection names none: create it, or correct the URL ({source})"
    )]
    NoDatabase {
        /// The server's name.
        server: &'static str,
        /// What the server said.
        source: DriverError,
    },
    /// There is no schema for the tables.
    #[error(
        "no schema of the connection's `search_path` exists, or this user may not use any: create it, grant USAGE and CREATE on \
         it, or correct the `search_path` ({source})"
    )]
    NoSchema {
        /// What the server said.
        source: DriverError,
    },
    /// The server, its database or this user has as many connections as it may have.
    #[error(
        "the {server} server takes no more connections of this user: lower the nodes' `max_connections`, or raise the limit of \
         the server, the database or the user ({source})"
    )]
    TooManyConnections {
        /// The server's name.
        server: &'static str,
        /// What the server said.
        source: DriverError,
    },
    /// What answers isn't a server of this kind.
    #[error("what answers there isn't a {server} server: check host and port of the URL ({source})")]
    AnotherServer {
        /// The server's name.
        server: &'static str,
        /// What the driver said.
        source: DriverError,
    },
    /// The user may not use the database, or not make or use the tables.
    #[error(
        "this user may not use the database, or not make or use the session tables: grant CREATE, or migrate as another user and grant SELECT, INSERT, UPDATE \
         and DELETE on cookie_session, cookie_session_user and cookie_session_schema ({source})"
    )]
    MissingRights {
        /// What the server said.
        source: DriverError,
    },
    /// The server, or the connection, is read-only.
    #[error(
        "this {server} server is read-only, so no session could be stored: connect to the primary, and not to a replica; if this \
         is the primary, end its read-only mode ({source})"
    )]
    ReadOnly {
        /// The server's name.
        server: &'static str,
        /// What the server said.
        source: DriverError,
    },
    /// The database can't hold every text.
    #[error(
        "the database's encoding is {encoding}, which can't hold every text, such as an emoji: create another with `CREATE \
         DATABASE … ENCODING 'UTF8' TEMPLATE template0`"
    )]
    Encoding {
        /// The encoding, as the server calls it.
        encoding: String,
    },
    /// A setting of the connections doesn't fit.
    #[error("the connections to the {server} server have {fault}")]
    Setting {
        /// The server's name.
        server: &'static str,
        /// Which setting, and what to set.
        fault: &'static str,
    },
    /// A pooler refuses the settings that the store's connections begin with.
    #[error(
        "a pooler, such as PgBouncer, refuses the settings of this connection: call `transaction_pooling()` on `PostgresOptions`, \
         and take `options` out of the URL, or on a pool of your own `extra_float_digits(None)` on its options ({source})"
    )]
    Pooler {
        /// What the pooler said.
        source: DriverError,
    },
    /// A pooler has no transactions.
    #[error(
        "a pooler, such as PgBouncer, ends each transaction after one statement, so no change could be made whole: set its \
         `pool_mode` to `transaction`, and call `transaction_pooling()` on `PostgresOptions` or the store ({source})"
    )]
    StatementPooling {
        /// What the pooler said.
        source: DriverError,
    },
    /// A rehearsal of requests, which is undone, failed: the tables refuse what this release's
    /// tables take.
    #[error(
        "the session tables aren't as this release makes them, or something on them refuses sessions, such as row-level \
         security, a trigger or a constraint: undo what was changed, or drop all three, which signs every user out ({source})"
    )]
    AlteredTables {
        /// What the server said.
        source: DriverError,
    },
    /// A rehearsal of requests, which is undone, came to something else: the tables don't keep
    /// sessions.
    #[error("the session tables don't keep sessions: {fault}")]
    SpoiledTables {
        /// What is wrong with them.
        fault: &'static str,
    },
    /// A newer release changed the tables in a way that this one doesn't understand.
    #[error("the session tables are of version {found}, this release knows {known}: use a newer release")]
    NewerSchema {
        /// The version in the database.
        found: i64,
        /// The newest version that this release knows.
        known: i64,
    },
    /// Anything else that the server reports.
    #[error("can't use the {server} database for sessions: {source}")]
    Other {
        /// The server's name.
        server: &'static str,
        /// What the server said.
        source: DriverError,
    },
}

impl fmt::Debug for ServerOpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl ServerOpenError {
    pub(in crate::store) fn url<D: Server>(fault: UrlFault) -> Self {
        Self::Url { server: D::NAMES.server, example: D::NAMES.url, fault }
    }

    pub(in crate::store) fn of<D: Server>(error: MigrateError<Unfit>) -> Self {
        let server = D::NAMES.server;
        let source = match error {
            MigrateError::Newer { found, known } => return Self::NewerSchema { found, known },
            MigrateError::Unfit(Unfit::Encoding(encoding)) => return Self::Encoding { encoding },
            MigrateError::Unfit(Unfit::Setting(fault)) => return Self::Setting { server, fault },
            MigrateError::Spoiled(fault) => return Self::SpoiledTables { fault },
            // What was refused at any other place too has a better reason than the tables.
            MigrateError::Altered(source)
                if matches!(D::classify(&source), ErrorKind::Other | ErrorKind::NotMigrated) =>
            {
                return Self::AlteredTables { source: source.into() };
            }
            MigrateError::Altered(source) | MigrateError::Sqlx(source) => source,
        };
        let kind = D::classify(&source);
        let is_unreachable = matches!(source, SqlxError::Io(_) | SqlxError::PoolTimedOut);
        let is_another = matches!(source, SqlxError::Protocol(_));
        let tls = Encryption::of(&source);
        let source = source.into();
        match (kind, tls) {
            (ErrorKind::NeedsTls, _) | (_, Some(Encryption::NotBuilt)) => {
                Self::NeedsTls { server, tls: D::NAMES.tls, source }
            }
            (_, Some(Encryption::NotOffered)) => Self::NoTls { server, source },
            (_, Some(Encryption::OfPassword)) => Self::NeedsRsa { server, source },
            (ErrorKind::Refused, None) => Self::Refused { server, tls: D::NAMES.tls, source },
            (ErrorKind::NoDatabase, None) => Self::NoDatabase { server, source },
            (ErrorKind::NoSchema, None) => Self::NoSchema { source },
            (ErrorKind::MissingRights, None) => Self::MissingRights { source },
            (ErrorKind::ReadOnly, None) => Self::ReadOnly { server, source },
            (ErrorKind::TooMany, None) => Self::TooManyConnections { server, source },
            (ErrorKind::PoolerRefuses, None) => Self::Pooler { source },
            (ErrorKind::PoolsStatements, None) => Self::StatementPooling { source },
            (ErrorKind::RowSecurity | ErrorKind::NotMigrated, None) => Self::AlteredTables { source },
            (_, None) if is_unreachable => Self::NoServer { server, source },
            (_, None) if is_another => Self::AnotherServer { server, source },
            (_, None) => Self::Other { server, source },
        }
    }
}

/// What the driver lacks, or misses at the server, to encrypt. It has no codes for these errors,
/// only texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encryption {
    NotBuilt,
    NotOffered,
    OfPassword,
}

impl Encryption {
    fn of(error: &SqlxError) -> Option<Self> {
        match error {
            SqlxError::Tls(reason) => {
                let reason = reason.to_string();
                if reason.contains("without TLS support") {
                    Some(Self::NotBuilt)
                } else if reason.contains("server does not support TLS") {
                    Some(Self::NotOffered)
                } else {
                    None
                }
            }
            SqlxError::Configuration(reason) if reason.to_string().contains("mysql-rsa") => Some(Self::OfPassword),
            _ => None,
        }
    }
}
