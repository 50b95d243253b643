//! The settings of an example app, from environment variables.
//! Leaves opening the database, the listener and the key's file to others.

use std::ffi::OsString;
use std::fmt;
use std::net::{AddrParseError, SocketAddr};
use std::path::PathBuf;

use thiserror::Error;
use zeroize::Zeroizing;

const DEFAULT_ADDR: &str = "127.0.0.1:3000";
const DEFAULT_DATABASE: &str = "sqlite://sessions.db";

/// What an app reads at start. A variable that is set to nothing counts as not set.
#[derive(Clone)]
pub struct Settings {
    /// `ADDR`: where to listen; `127.0.0.1:3000` by default.
    pub addr: SocketAddr,
    /// `DATABASE_URL`: an SQLite file, `sessions.db` in the working folder by default, or a database on a server of PostgreSQL,
    /// MySQL or MariaDB.
    pub database_url: String,
    /// Which cookies to send.
    pub cookies: CookieMode,
    pub(crate) session_key: Option<Zeroizing<String>>,
}

/// A kind of database server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseServer {
    /// MySQL or MariaDB.
    MySql,
    /// PostgreSQL.
    Postgres,
}

impl DatabaseServer {
    fn of(url: &str) -> Option<Self> {
        match url.split_once("://")?.0 {
            "mysql" | "mariadb" => Some(Self::MySql),
            "postgres" | "postgresql" => Some(Self::Postgres),
            _ => None,
        }
    }
}

/// Which cookies an app sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CookieMode {
    /// `Secure` ones with the `__Host-` prefix, which browsers only keep from `https://`, some also from `localhost`.
    Secure,
    /// Ones that work over plain `http://`: only when the app listens on a loopback address.
    InsecureDevelopment,
}

/// A variable that can't be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// Not an address with a port.
    #[error("ADDR is `{given}`: write an IP address and a port, such as {DEFAULT_ADDR} or [::1]:3000")]
    Addr {
        /// What was given.
        given: String,
        /// Why it is none.
        source: AddrParseError,
    },
    /// Another database.
    #[error(
        "DATABASE_URL names no database that this app knows: write a SQLite file's path, a URL such as {DEFAULT_DATABASE}, \
         postgres://user:password@host/database, or mysql://user:password@host/database"
    )]
    Database,
    /// Not a known word.
    #[error("COOKIES is `{given}`: write `secure`, or unset it to allow plain http:// on a loopback ADDR")]
    Cookies {
        /// What was given.
        given: String,
    },
    /// Bytes that are no text.
    #[error("{name} is not valid UTF-8: set it to plain text or unset it")]
    NotUnicode {
        /// The variable.
        name: &'static str,
    },
}

impl Settings {
    /// Reads the environment of this process.
    ///
    /// # Errors
    /// [`SettingsError`] for the first variable that can't be used.
    pub fn from_env() -> Result<Self, SettingsError> {
        Self::from_lookup(|name| std::env::var_os(name))
    }

    /// Reads variables from anywhere.
    ///
    /// # Errors
    /// [`SettingsError`] for the first variable that can't be used.
    ///
    /// ```
    /// use devices_pages::{CookieMode, Settings};
    ///
    /// let settings = Settings::from_lookup(|_| None)?;
    /// assert_eq!(settings.addr.to_string(), "127.0.0.1:3000");
    /// assert_eq!(settings.cookies, CookieMode::InsecureDevelopment);
    /// # Ok::<(), devices_pages::SettingsError>(())
    /// ```
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self, SettingsError> {
        let text = |name| match lookup(name).map(OsString::into_string) {
            Some(Ok(text)) if text.is_empty() => Ok(None),
            Some(Ok(text)) => Ok(Some(text)),
            Some(Err(_)) => Err(SettingsError::NotUnicode { name }),
            None => Ok(None),
        };
        let given = text("ADDR")?.unwrap_or_else(|| DEFAULT_ADDR.to_owned());
        // The one name worth knowing: resolving others could listen somewhere unexpected.
        let numeric = given.replacen("localhost:", "127.0.0.1:", 1);
        let addr: SocketAddr = numeric.parse().map_err(|source| SettingsError::Addr { given, source })?;

        let database_url = text("DATABASE_URL")?.unwrap_or_else(|| DEFAULT_DATABASE.to_owned());
        let is_file = database_url.starts_with("sqlite:") || !database_url.contains("://");
        if !is_file && DatabaseServer::of(&database_url).is_none() {
            return Err(SettingsError::Database);
        }

        let cookies = match text("COOKIES")?.as_deref() {
            Some("secure") => CookieMode::Secure,
            None if addr.ip().to_canonical().is_loopback() => CookieMode::InsecureDevelopment,
            None => CookieMode::Secure,
            Some(given) => return Err(SettingsError::Cookies { given: given.to_owned() }),
        };
        Ok(Self { addr, database_url, cookies, session_key: text("SESSION_KEY")?.map(Zeroizing::new) })
    }

    /// The kind of server that the database is on, which several nodes can share.
    pub fn database_server(&self) -> Option<DatabaseServer> {
        DatabaseServer::of(&self.database_url)
    }

    /// The database's file, or `None` for a database in memory or on a server.
    pub fn database_file(&self) -> Option<PathBuf> {
        if self.database_server().is_some() {
            return None;
        }
        let Some(rest) = self.database_url.strip_prefix("sqlite:") else {
            return Some(PathBuf::from(&self.database_url)).filter(|path| path.as_os_str() != ":memory:");
        };
        let rest = rest.strip_prefix("//").unwrap_or(rest);
        let (path, options) = rest.split_once('?').unwrap_or((rest, ""));
        let in_memory = path == ":memory:" || options.split('&').any(|option| option == "mode=memory");
        (!in_memory).then(|| PathBuf::from(percent_decoded(path)))
    }
}

/// The database's URL may hold a password, and the key is one: neither is shown.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("addr", &self.addr).field("cookies", &self.cookies).finish_non_exhaustive()
    }
}

/// A URL's path as the file's name: `%20` is a space. What decodes to no text stays as it is.
fn percent_decoded(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = path.get(at..at + 3).and_then(|three| three.strip_prefix('%'));
        let byte = escape.filter(|two| two.bytes().all(|b| b.is_ascii_hexdigit()));
        match byte.map(|two| u8::from_str_radix(two, 16)) {
            Some(Ok(byte)) => {
                decoded.push(byte);
                at += 3;
            }
            Some(Err(_)) | None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        Settings::from_lookup(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        })
    }

    fn message(variables: &[(&str, &str)]) -> String {
        settings(variables).unwrap_err().to_string()
    }

    #[test]
    fn nothing_set_means_the_defaults() {
        for variables in [&[][..], &[("ADDR", ""), ("DATABASE_URL", ""), ("COOKIES", ""), ("SESSION_KEY", "")]] {
            let settings = settings(variables).unwrap();
            assert_eq!(settings.addr, "127.0.0.1:3000".parse().unwrap());
            assert_eq!(settings.database_url, "sqlite://sessions.db");
            assert_eq!(settings.cookies, CookieMode::InsecureDevelopment);
            assert!(settings.session_key.is_none());
        }
    }

    #[test]
    fn insecure_cookies_only_on_loopback_and_unless_refused() {
        for (addr, mode) in [
            ("127.0.0.1:1", CookieMode::InsecureDevelopment),
            ("127.9.9.9:1", CookieMode::InsecureDevelopment),
            ("[::1]:1", CookieMode::InsecureDevelopment),
            ("[::ffff:127.0.0.1]:1", CookieMode::InsecureDevelopment),
            ("localhost:1", CookieMode::InsecureDevelopment),
            ("0.0.0.0:1", CookieMode::Secure),
            ("[::]:1", CookieMode::Secure),
            ("192.168.1.2:1", CookieMode::Secure),
        ] {
            assert_eq!(settings(&[("ADDR", addr)]).unwrap().cookies, mode, "{addr}");
            assert_eq!(settings(&[("ADDR", addr), ("COOKIES", "secure")]).unwrap().cookies, CookieMode::Secure);
        }
    }

    #[test]
    fn what_cannot_be_used_is_named_with_a_way_out() {
        for addr in ["3000", "127.0.0.1", "example.com:80", "127.0.0.1:99999", "evil.localhost:1"] {
            let message = message(&[("ADDR", addr)]);
            assert!(message.contains(addr) && message.contains("127.0.0.1:3000"), "{message}");
        }
        assert!(message(&[("COOKIES", "insecure")]).contains("write `secure`"));
        let message = message(&[("DATABASE_URL", "redis://me:hunter2@host/db")]);
        assert!(message.contains("sqlite://sessions.db") && !message.contains("hunter2"), "{message}");
    }

    #[cfg(unix)]
    #[test]
    fn bytes_that_are_no_text_are_refused_by_name() {
        use std::os::unix::ffi::OsStringExt;
        let lookup = |name: &str| (name == "SESSION_KEY").then(|| OsString::from_vec(vec![0xff]));
        assert!(Settings::from_lookup(lookup).unwrap_err().to_string().contains("SESSION_KEY"));
    }

    #[test]
    fn the_database_file_of_every_spelling() {
        for (url, file) in [
            ("sqlite://sessions.db", Some("sessions.db")),
            ("sqlite:sessions.db", Some("sessions.db")),
            ("sqlite:///var/lib/app/s.db?mode=rwc", Some("/var/lib/app/s.db")),
            ("sqlite://my%20data/s%C3%A9.db", Some("my data/sé.db")),
            ("sqlite://100%.db", Some("100%.db")),
            ("sqlite://%é%ff.db", Some("%é%ff.db")),
            ("data/sessions.db", Some("data/sessions.db")),
            ("sqlite::memory:", None),
            ("sqlite://:memory:", None),
            ("sqlite://x?cache=shared&mode=memory", None),
            (":memory:", None),
        ] {
            let found = settings(&[("DATABASE_URL", url)]).unwrap().database_file();
            assert_eq!(found, file.map(PathBuf::from), "{url}");
        }
    }

    #[test]
    fn the_key_is_not_in_debug_output() {
        let settings = settings(&[("SESSION_KEY", "c2VjcmV0"), ("DATABASE_URL", "sqlite://hidden")]).unwrap();
        let debug = format!("{settings:?}");
        assert!(!debug.contains("c2VjcmV0") && !debug.contains("hidden"), "{debug}");
    }
}
