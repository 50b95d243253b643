//! Why a Redis server can't be used, and what to do about it.

use std::fmt;

use redis::{ErrorKind, ServerErrorKind};

use super::error::{RedisFailure, is_missing_right};

/// The commands that the store's connections, scripts and look-ups send, as `ACL SETUSER` takes
/// them.
const COMMANDS: &str = "+get +set +getrange +setrange +exists +del +pexpire +pttl +zadd +zcard +zcount +zrange \
                        +zrangebyscore +zrem +zscore +eval +evalsha +time +info +config|get +hello +select \
                        +ping +asking +cluster|slots +wait";

/// Why a Redis server can't be used for sessions. Nothing in it shows the URL's password. `Debug`
/// shows the same as `Display`, because that is what an error that leaves `main` is printed as.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum RedisOpenError {
    /// The URL can't be used. It isn't repeated here, because it may hold a password.
    #[error("the Redis URL can't be used: {fault}; it looks like `redis://user:password@host:6379/0`")]
    Url {
        /// What is wrong with it.
        fault: RedisUrlFault,
    },
    /// The prefix of the keys has braces, which would decide where keys lie in a cluster.
    #[error("the prefix of the keys has a `{{` or `}}`: take one without, such as `session:`")]
    Prefix,
    /// No server answers.
    #[error(
        "no Redis server answers: check host and port of the URL, that the server runs, and if it takes only encrypted \
         connections, write `rediss://` ({source})"
    )]
    NoServer {
        /// What happened.
        source: RedisFailure,
    },
    /// The user or the password is missing or wrong.
    #[error(
        "the Redis server refuses this user: check user and password of the URL (there `%` is written as `%25`, `#` as `%23`, \
         `/` as `%2F`, `?` as `%3F`); for the user `default` the URL begins with `redis://:password@` ({source})"
    )]
    Refused {
        /// What the server said.
        source: RedisFailure,
    },
    /// The user may not run the store's commands, or not on its keys.
    #[error(
        "this user may not run what sessions need: let an administrator run `ACL SETUSER {user} ~{prefix}* {}`, and repeat it in \
         the server's ACL file ({source})",
        COMMANDS
    )]
    MissingRights {
        /// The URL's user.
        user: String,
        /// What the keys begin with.
        prefix: String,
        /// What the server said.
        source: RedisFailure,
    },
    /// The server is a replica, or read-only for another reason.
    #[error("this Redis server is a replica, so no session could be stored: connect to the primary ({source})")]
    Replica {
        /// What the server said.
        source: RedisFailure,
    },
    /// The server is part of a cluster, and was opened as one server.
    #[error(
        "this Redis server is part of a cluster, where each server has only some of the keys: open it by \
         `RedisOptions::cluster` with the URLs of several of its servers"
    )]
    Cluster,
    /// The server isn't part of a cluster, and was opened as one.
    #[error("this Redis server is not part of a cluster: open it by `RedisOptions::new`")]
    NoCluster,
    /// Some slots have no server.
    #[error("no server of this Redis cluster has the slot {slot}: look at `CLUSTER INFO` and `CLUSTER SLOTS` ({said})")]
    SlotsMissing {
        /// The first of them.
        slot: u16,
        /// What happened when it was looked for.
        said: String,
    },
    /// The server is older than 7.0.
    #[error("this Redis server's version is {version}, and sessions need 7.0 or newer: upgrade it")]
    TooOld {
        /// Its version.
        version: String,
    },
    /// The server may evict keys.
    #[error(
        "this Redis server may drop sessions when its memory is full, and with them what it knows of sign-outs: its \
         `maxmemory-policy` is `{policy}`. Set `maxmemory-policy noeviction`, or take another server than that of a cache"
    )]
    Evicts {
        /// Its policy.
        policy: String,
    },
    /// There is no such database.
    #[error("the Redis server has no database of this number: correct the end of the URL ({source})")]
    NoDatabase {
        /// What the server said.
        source: RedisFailure,
    },
    /// The server is full.
    #[error("the Redis server's memory is full, so no session could be stored: raise its `maxmemory` ({source})")]
    Full {
        /// What the server said.
        source: RedisFailure,
    },
    /// It failed in another way.
    #[error("the Redis server can't be used: {source}")]
    Other {
        /// What happened.
        source: RedisFailure,
    },
}

/// What is wrong with a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RedisUrlFault {
    /// It begins otherwise.
    #[error("it doesn't begin with `redis://`, `rediss://` or `redis+unix://`")]
    Scheme,
    /// It names several hosts.
    #[error(
        "it names several hosts: name the primary, or a DNS name or proxy that leads to whichever server is the primary"
    )]
    SeveralHosts,
    /// It ends in the middle of user or password.
    #[error(
        "in the user and the password `#`, `/`, `?` and `%` are written as `%23`, `%2F`, `%3F` and `%25`, and there is no other `#`"
    )]
    Password,
    /// What follows the host isn't a database's number.
    #[error("what follows the host and the `/` is the number of a database, such as 0")]
    Database,
    /// It asks for TLS, which the driver was built without.
    #[error(
        "it asks for TLS, so add `redis = {{ version = \"1\", default-features = false, features = [\"tokio-rustls-comp\"] }}` to \
         your Cargo.toml, and make rustls's provider of cryptography the process's default"
    )]
    NoTls,
    /// It names a database of a cluster, which has one only.
    #[error("a cluster has the database 0 only: leave the number out")]
    ClusterDatabase,
    /// There is no URL at all.
    #[error("there is none: name at least one server")]
    None,
    /// Anything else.
    #[error("it isn't a URL, or has no host")]
    Syntax,
}

impl RedisOpenError {
    /// What an error says of the server. User and prefix are those of the store.
    pub(super) fn of(source: RedisFailure, user: &str, prefix: &str) -> Self {
        let error = source.error();
        let text = error.to_string();
        match error.kind() {
            ErrorKind::AuthenticationFailed => Self::Refused { source },
            _ if is_missing_right(error) => {
                Self::MissingRights { user: user.to_owned(), prefix: prefix.to_owned(), source }
            }
            ErrorKind::Server(ServerErrorKind::ReadOnly) => Self::Replica { source },
            ErrorKind::Server(ServerErrorKind::CrossSlot | ServerErrorKind::Moved) => Self::Cluster,
            _ if ["NOAUTH", "WRONGPASS"].into_iter().any(|code| text.contains(code)) => Self::Refused { source },
            _ if error.code() == Some("OOM") => Self::Full { source },
            _ if text.contains("DB index is out of range") || text.contains("SELECT is not allowed") => {
                Self::NoDatabase { source }
            }
            ErrorKind::Io => Self::NoServer { source },
            _ => Self::Other { source },
        }
    }
}

impl fmt::Debug for RedisOpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
