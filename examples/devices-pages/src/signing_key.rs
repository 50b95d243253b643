//! Where the signing key comes from: `SESSION_KEY`, else the file beside the database, which must be its owner's only.

use std::fmt;
use std::path::PathBuf;

use session_core::{KeyError, SigningKey};
use thiserror::Error;

use crate::key_file::random_text;
use crate::{KeyFile, KeyFileError, Settings};

/// The key, and a notice for whoever starts the app.
#[derive(Debug, Clone)]
pub struct LoadedKey {
    /// Signs the cookies.
    pub key: SigningKey,
    /// Where it came from; its `Display` is the notice.
    pub source: KeySource,
}

/// Where a signing key came from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeySource {
    /// `SESSION_KEY`.
    Environment,
    /// A file that was there.
    File(PathBuf),
    /// A file that this start made.
    NewFile(PathBuf),
    /// Nowhere: the database is in memory, and the key ends with it.
    Memory,
}

/// A signing key that can't be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SigningKeyError {
    /// `SESSION_KEY` holds no key.
    #[error("SESSION_KEY is no signing key: set it to the output of `openssl rand -base64 32`, or unset it")]
    Environment {
        /// Why not.
        source: KeyError,
    },
    /// The file holds something else.
    #[error("{path} holds no signing key: delete it to have a new one made (that signs everyone out)")]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: KeyError,
    },
    /// The file can't be read or made.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// There is none, and several nodes must have the same.
    #[error(
        "with a database server SESSION_KEY must be set, to the same on every node: make it once with `openssl rand -base64 32`"
    )]
    Missing,
    /// A fresh key isn't one.
    #[error("cannot use a fresh signing key")]
    Fresh {
        /// Why not.
        source: KeyError,
    },
}

impl Settings {
    /// The key that signs the cookies: from `SESSION_KEY` (base64 of at least 32 bytes), else from the file beside
    /// the database, which is made if it isn't there, and refused if others can read or write it (on Unix).
    ///
    /// # Errors
    /// [`SigningKeyError`] when there is none and none can be made.
    pub fn signing_key(&self) -> Result<LoadedKey, SigningKeyError> {
        if let Some(text) = &self.session_key {
            let key = SigningKey::from_base64(text).map_err(|source| SigningKeyError::Environment { source })?;
            return Ok(LoadedKey { key, source: KeySource::Environment });
        }
        if self.database_server().is_some() {
            return Err(SigningKeyError::Missing);
        }
        let Some(database) = self.database_file() else {
            let key = SigningKey::from_base64(&random_text()?).map_err(|source| SigningKeyError::Fresh { source })?;
            return Ok(LoadedKey { key, source: KeySource::Memory });
        };
        let file = KeyFile::beside(&database);
        let (text, is_new) = file.read_or_create()?;
        let path = file.path().to_owned();
        match SigningKey::from_base64(&text) {
            Ok(key) if is_new => Ok(LoadedKey { key, source: KeySource::NewFile(path) }),
            Ok(key) => Ok(LoadedKey { key, source: KeySource::File(path) }),
            Err(source) => Err(SigningKeyError::File { path, source }),
        }
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => write!(f, "cookies are signed with SESSION_KEY"),
            Self::File(path) => write!(f, "cookies are signed with the key in {}", path.display()),
            Self::NewFile(path) => {
                write!(f, "made a key to sign cookies and kept it in {}: ", path.display())?;
                write!(f, "keep that file secret, or set SESSION_KEY instead")
            }
            Self::Memory => {
                write!(f, "cookies are signed with a key that ends with this process, as its database does")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

    fn load(database: &str, key: &str) -> Result<LoadedKey, SigningKeyError> {
        Settings::from_lookup(|name| match name {
            "DATABASE_URL" => Some(OsString::from(database)),
            "SESSION_KEY" => Some(OsString::from(key)),
            _ => None,
        })
        .unwrap()
        .signing_key()
    }

    #[test]
    fn the_variable_comes_first_and_touches_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("s.db");
        assert_eq!(load(database.to_str().unwrap(), KEY).unwrap().source, KeySource::Environment);
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn else_the_file_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("s.db");
        let file = KeyFile::beside(&database).path().to_owned();
        let url = format!("sqlite://{}?mode=rwc", database.display());
        assert_eq!(load(&url, "").unwrap().source, KeySource::NewFile(file.clone()));
        assert_eq!(load(&url, "").unwrap().source, KeySource::File(file));
    }

    #[test]
    fn nodes_that_share_a_server_must_be_given_their_key() {
        for url in ["postgres://app@db/app", "postgresql://app@db/app", "mysql://app@db/app", "mariadb://app@db/app"] {
            assert!(load(url, "").unwrap_err().to_string().contains("SESSION_KEY must be set"));
            assert_eq!(load(url, KEY).unwrap().source, KeySource::Environment);
        }
    }

    #[test]
    fn a_database_in_memory_has_no_key_file() {
        assert_eq!(load("sqlite::memory:", "").unwrap().source, KeySource::Memory);
    }

    #[test]
    fn a_bad_key_is_refused_with_a_way_out_and_is_not_shown() {
        for bad in ["hunter2", "c2hvcnQ=", "not base64 at all!!"] {
            let message = load("sqlite::memory:", bad).unwrap_err().to_string();
            assert!(message.contains("SESSION_KEY") && message.contains("openssl rand"), "{message}");
            assert!(!message.contains(bad), "{message}");
        }
    }

    #[test]
    fn a_file_that_holds_no_key_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("s.db");
        load(database.to_str().unwrap(), "").unwrap();
        // Stays its owner's only.
        std::fs::write(KeyFile::beside(&database).path(), "too short\n").unwrap();
        let message = load(database.to_str().unwrap(), "").unwrap_err().to_string();
        assert!(message.contains("s.db.session-key") && message.contains("delete it"), "{message}");
    }
}
