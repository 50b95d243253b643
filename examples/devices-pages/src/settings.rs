//! The settings of an example app, from environment variables. Not here: the signing key's file,
//! see `signing_key`.

use std::error::Error;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use zeroize::Zeroizing;

const DEFAULT_ADDR: &str = "127.0.0.1:3000";

/// What an app reads at start. A variable that is set to nothing counts as not set.
pub struct Settings {
    /// `ADDR`: where to listen; `127.0.0.1:3000` by default.
    pub addr: SocketAddr,
    /// `DATABASE_URL`: `sessions.db` in the working folder by default.
    pub database: Database,
    /// Whether cookies work over plain `http://`: if the app listens on a loopback address, and
    /// `COOKIES` isn't `secure`.
    pub insecure_cookies: bool,
    pub(crate) session_key: Option<Zeroizing<String>>,
}

/// Where the sessions are.
pub enum Database {
    /// In this SQLite file.
    File(PathBuf),
    /// In SQLite's memory, until the app ends.
    Memory,
    /// On the PostgreSQL server at this URL.
    Postgres(String),
    /// On the MySQL or MariaDB server at this URL.
    MySql(String),
    /// On the Redis server at this URL; of a cluster, at these URLs.
    Redis(Vec<String>),
}

/// A setting or a file that can't be used, with what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Unusable {
    what: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Unusable {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), source: None }
    }

    pub(crate) fn because(what: impl Into<String>, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { what: what.into(), source: Some(source.into()) }
    }
}

impl Settings {
    /// Reads the environment of this process.
    ///
    /// # Errors
    /// [`Unusable`] for the first variable that can't be used.
    pub fn from_env() -> Result<Self, Unusable> {
        Self::from_lookup(|name| std::env::var_os(name))
    }

    pub(crate) fn from_lookup(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self, Unusable> {
        let text = |name| match lookup(name).map(OsString::into_string).transpose() {
            Ok(text) => Ok(text.filter(|text| !text.is_empty())),
            Err(_) => Err(Unusable::new(format!("{name} is not valid UTF-8: set it to plain text or unset it"))),
        };
        let given = text("ADDR")?.unwrap_or_else(|| DEFAULT_ADDR.to_owned());
        // The one name worth knowing: resolving others could listen somewhere unexpected.
        let addr: SocketAddr = given.replacen("localhost:", "127.0.0.1:", 1).parse().map_err(|error| {
            let help = format!("write an IP address and a port, such as {DEFAULT_ADDR} or [::1]:3000");
            Unusable::because(format!("ADDR is `{given}`: {help}"), error)
        })?;
        let insecure_cookies = match text("COOKIES")?.as_deref() {
            None => addr.ip().to_canonical().is_loopback(),
            Some("secure") => false,
            Some(given) => {
                let help = "write `secure`, or unset it to allow plain http:// on a loopback ADDR";
                return Err(Unusable::new(format!("COOKIES is `{given}`: {help}")));
            }
        };
        Ok(Self {
            addr,
            database: Database::parse(text("DATABASE_URL")?.unwrap_or_else(|| "sessions.db".to_owned()))?,
            insecure_cookies,
            session_key: text("SESSION_KEY")?.map(Zeroizing::new),
        })
    }
}

impl Database {
    fn parse(given: String) -> Result<Self, Unusable> {
        let path = given.strip_prefix("sqlite:").map(|rest| rest.strip_prefix("//").unwrap_or(rest));
        match (path, given.split_once("://").map(|(scheme, _)| scheme)) {
            (_, Some("postgres" | "postgresql")) => Ok(Self::Postgres(given)),
            (_, Some("mysql" | "mariadb")) => Ok(Self::MySql(given)),
            (_, Some("redis" | "rediss" | "redis+unix")) => {
                Ok(Self::Redis(given.split_whitespace().map(str::to_owned).collect()))
            }
            (Some(":memory:"), _) => Ok(Self::Memory),
            // An option, or an escape that stands for another character: neither is a part of the
            // file's name.
            (Some(path), _) if !path.is_empty() && !path.contains(['?', '%']) => Ok(Self::File(path.into())),
            (None, None) if given == ":memory:" => Ok(Self::Memory),
            (None, None) => Ok(Self::File(given.into())),
            _ => Err(Unusable::new(
                "DATABASE_URL names no database that this app knows: write a SQLite file's path such as sessions.db, \
                 or a URL such as postgres://user:password@host/database, mysql://user:password@host/database or \
                 redis://user:password@host",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<Settings, Unusable> {
        Settings::from_lookup(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        })
    }

    fn message(variables: &[(&str, &str)]) -> String {
        settings(variables).err().expect("it can't be used").to_string()
    }

    #[test]
    fn nothing_set_means_the_defaults() {
        for variables in [&[][..], &[("ADDR", ""), ("DATABASE_URL", ""), ("COOKIES", ""), ("SESSION_KEY", "")]] {
            let settings = settings(variables).unwrap();
            assert_eq!(settings.addr, DEFAULT_ADDR.parse().unwrap());
            assert!(matches!(settings.database, Database::File(path) if path == *"sessions.db"));
            assert!(settings.insecure_cookies && settings.session_key.is_none());
        }
    }

    #[test]
    fn insecure_cookies_only_on_loopback_and_unless_refused() {
        for (addr, insecure) in [
            ("127.9.9.9:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("localhost:1", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("192.168.1.2:1", false),
        ] {
            assert_eq!(settings(&[("ADDR", addr)]).unwrap().insecure_cookies, insecure, "{addr}");
            assert!(!settings(&[("ADDR", addr), ("COOKIES", "secure")]).unwrap().insecure_cookies, "{addr}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_named_with_a_way_out() {
        for addr in ["3000", "127.0.0.1", "example.com:80", "127.0.0.1:99999", "evil.localhost:1"] {
            let message = message(&[("ADDR", addr)]);
            assert!(message.contains(addr) && message.contains(DEFAULT_ADDR), "{message}");
        }
        assert!(message(&[("COOKIES", "insecure")]).contains("write `secure`"));
        for url in ["mongodb://me:hunter2@host/db", "sqlite://", "sqlite://a.db?mode=hunter2", "sqlite://hunter2%20.db"]
        {
            let message = message(&[("DATABASE_URL", url)]);
            assert!(message.contains("such as sessions.db") && !message.contains("hunter2"), "{message}");
        }
        #[cfg(unix)]
        {
            let bytes =
                |name: &str| (name == "SESSION_KEY").then(|| std::os::unix::ffi::OsStringExt::from_vec(vec![0xff]));
            assert!(Settings::from_lookup(bytes).err().unwrap().to_string().contains("SESSION_KEY"));
        }
    }

    #[test]
    fn each_spelling_of_a_database() {
        let parse = |url: &str| settings(&[("DATABASE_URL", url)]).unwrap().database;
        for (url, file) in [
            ("data/sessions.db", "data/sessions.db"),
            ("100%?.db", "100%?.db"),
            ("sqlite:sessions.db", "sessions.db"),
            ("sqlite://sessions.db", "sessions.db"),
            ("sqlite:///var/lib/app/s.db", "/var/lib/app/s.db"),
        ] {
            assert!(matches!(parse(url), Database::File(path) if path == *file), "{url}");
        }
        for url in [":memory:", "sqlite::memory:", "sqlite://:memory:"] {
            assert!(matches!(parse(url), Database::Memory), "{url}");
        }
        for scheme in ["postgres", "postgresql"] {
            assert!(matches!(parse(&format!("{scheme}://app@db/app")), Database::Postgres(_)), "{scheme}");
        }
        for (urls, count) in [("redis://:secret@db", 1), ("redis+unix:///run/redis", 1), ("redis://a redis://b", 2)] {
            assert!(matches!(parse(urls), Database::Redis(urls) if urls.len() == count), "{urls}");
        }
        for scheme in ["mysql", "mariadb"] {
            assert!(matches!(parse(&format!("{scheme}://app@db/app")), Database::MySql(_)), "{scheme}");
        }
    }
}
