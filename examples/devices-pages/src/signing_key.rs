//! Where the signing key comes from: `SESSION_KEY`, else a file beside the SQLite file, so that
//! sign-ins survive a restart. It is made once. On Unix it is for its owner only, and refused if
//! others can read or write it.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand::TryRng;
use rand::rngs::SysRng;
use session_core::SigningKey;
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use crate::settings::{Database, Settings, Unusable};

/// Far more than any key is long; a file beyond that is something else.
const MAX_FILE_BYTES: u64 = 4096;

impl Settings {
    /// The key that signs the cookies, and a notice that says where it is from: `SESSION_KEY`
    /// (base64 of at least 32 bytes), else the file beside the database, which is made if it isn't
    /// there.
    ///
    /// # Errors
    /// [`Unusable`] if there is none and none can be made, or if others can read or write its file.
    pub fn signing_key(&self) -> Result<(SigningKey, String), Unusable> {
        let key = |text: &str, or: String| SigningKey::from_base64(text).map_err(|error| Unusable::because(or, error));
        if let Some(text) = &self.session_key {
            let help = "set it to the output of `openssl rand -base64 32`, or unset it";
            let key = key(text, format!("SESSION_KEY is no signing key: {help}"))?;
            return Ok((key, "cookies are signed with SESSION_KEY".to_owned()));
        }
        let database = match &self.database {
            Database::File(path) => path,
            Database::Memory => {
                let text = random_key().map_err(|error| Unusable::because("cannot make a signing key", error))?;
                let notice = "cookies are signed with a key that ends with this process, as its database does";
                return Ok((key(&text, "a fresh signing key isn't one".to_owned())?, notice.to_owned()));
            }
            Database::Postgres(_) | Database::MySql(_) | Database::Redis(_) => {
                return Err(Unusable::new(
                    "with a database server SESSION_KEY must be set, to the same on every node: \
                     make it once with `openssl rand -base64 32`",
                ));
            }
        };
        let path = beside(database);
        let shown = path.display();
        let io = |error| {
            let help = "mend its folder or rights, or set SESSION_KEY instead";
            Unusable::because(format!("cannot use the signing key's file {shown}: {help}"), error)
        };
        let is_new = make(&path).map_err(io)?;
        let file = File::open(&path).map_err(io)?;
        check_private(&file, &path)?;
        let mut text = Zeroizing::new(String::new());
        file.take(MAX_FILE_BYTES).read_to_string(&mut text).map_err(io)?;
        let help = "delete it to have a new one made (that signs everyone out)";
        let key = key(&text, format!("{shown} holds no signing key: {help}"))?;
        let notice = if is_new {
            let advice = "keep that file secret, or set SESSION_KEY instead";
            format!("made a key to sign cookies and kept it in {shown}: {advice}")
        } else {
            format!("cookies are signed with the key in {shown}")
        };
        Ok((key, notice))
    }
}

/// `sessions.db.session-key` for `sessions.db`.
fn beside(database: &Path) -> PathBuf {
    let mut name = OsString::from(database);
    name.push(".session-key");
    name.into()
}

/// Makes the file if there is none: whether it did. It appears with its content, and is for its
/// owner only as a temporary file is; so of several processes that start at once one makes it, and
/// the others read the whole of it.
fn make(path: &Path) -> io::Result<bool> {
    if path.try_exists()? {
        return Ok(false);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(random_key()?.as_bytes())?;
    file.write_all(b"\n")?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(true),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error.error),
    }
}

/// A fresh key as base64 text.
fn random_key() -> io::Result<Zeroizing<String>> {
    let mut bytes = Zeroizing::new([0; 32]);
    SysRng.try_fill_bytes(&mut *bytes).map_err(io::Error::other)?;
    Ok(Zeroizing::new(STANDARD.encode(*bytes)))
}

#[cfg(unix)]
fn check_private(file: &File, path: &Path) -> Result<(), Unusable> {
    use std::os::unix::fs::PermissionsExt;
    let shown = path.display();
    let metadata = file.metadata();
    let mode = metadata.map_err(|error| Unusable::because(format!("cannot use {shown}"), error))?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(Unusable::new(format!(
        "the signing key's file {shown} is open to others, its mode is {:04o}: `chmod 600 {shown}`, \
         or delete it if they may have used it (a new one is made, and everyone signed out)",
        mode & 0o7777
    )))
}

/// Its rights are those of its folder.
#[cfg(not(unix))]
fn check_private(_: &File, _: &Path) -> Result<(), Unusable> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Barrier;
    use std::thread;

    use tempfile::TempDir;

    use super::*;

    const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

    /// The notice, or the message of what can't be used.
    fn load(database: &str, key: &str) -> Result<String, String> {
        let settings = Settings::from_lookup(|name| match name {
            "DATABASE_URL" => Some(OsString::from(database)),
            "SESSION_KEY" => Some(OsString::from(key)),
            _ => None,
        });
        let loaded = settings.and_then(|settings| settings.signing_key());
        loaded.map(|(_, notice)| notice).map_err(|error| error.to_string())
    }

    /// A folder, the path of a database in it, and that of its key.
    fn folder() -> (TempDir, String, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("sessions.db");
        let key = folder.path().join("sessions.db.session-key");
        (folder, database.to_str().unwrap().to_owned(), key)
    }

    #[test]
    fn the_variable_comes_first_and_touches_no_file() {
        let (folder, database, _) = folder();
        assert!(load(&database, KEY).unwrap().ends_with("SESSION_KEY"));
        assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn else_the_file_is_made_once() {
        let (folder, database, key) = folder();
        assert!(load(&database, "").unwrap().starts_with("made a key"));
        let made = fs::read(&key).unwrap();
        assert!(load(&format!("sqlite://{database}"), "").unwrap().starts_with("cookies are signed with the key in"));
        assert_eq!((fs::read(&key).unwrap(), folder.path().read_dir().unwrap().count()), (made, 1));
    }

    #[test]
    fn nodes_that_share_a_server_must_be_given_their_key() {
        for url in ["postgres://app@db/app", "mysql://app@db/app", "redis://db"] {
            assert!(load(url, "").unwrap_err().contains("SESSION_KEY must be set"));
            load(url, KEY).unwrap();
        }
    }

    #[test]
    fn a_database_in_memory_has_no_key_file() {
        assert!(load(":memory:", "").unwrap().contains("ends with this process"));
    }

    #[test]
    fn a_bad_key_is_refused_with_a_way_out_and_is_not_shown() {
        for bad in ["hunter2", "c2hvcnQ=", "not base64 at all!!"] {
            let message = load(":memory:", bad).unwrap_err();
            assert!(message.contains("SESSION_KEY") && message.contains("openssl rand"), "{message}");
            assert!(!message.contains(bad), "{message}");
        }
    }

    #[test]
    fn a_file_that_holds_no_key_is_named() {
        for text in ["", "too short\n", "\u{fffd}"] {
            let (_folder, database, key) = folder();
            load(&database, "").unwrap();
            // It stays its owner's only.
            fs::write(key, text).unwrap();
            let message = load(&database, "").unwrap_err();
            assert!(message.contains("sessions.db.session-key") && message.contains("delete it"), "{message}");
        }
        let message = load("/nonexistent/s.db", "").unwrap_err();
        assert!(message.contains("/nonexistent/s.db.session-key") && message.contains("SESSION_KEY"), "{message}");
    }

    #[cfg(unix)]
    #[test]
    fn it_is_its_owners_only_and_refused_if_it_is_not() {
        use std::os::unix::fs::PermissionsExt;
        let (_folder, database, key) = folder();
        load(&database, "").unwrap();
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o7777, 0o600);
        for mode in [0o644, 0o640, 0o604, 0o620, 0o602, 0o610] {
            fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
            let message = load(&database, "").unwrap_err();
            assert!(message.contains(&format!("{mode:04o}")) && message.contains("chmod 600"), "{message}");
            let text = fs::read_to_string(&key).unwrap();
            assert!(!message.contains(text.trim()), "{message}");
        }
        for mode in [0o600, 0o400] {
            fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
            load(&database, "").unwrap();
        }
    }

    #[test]
    fn of_many_that_start_at_once_one_makes_it_and_all_can_use_it() {
        for _ in 0..20 {
            let (_folder, database, _) = folder();
            let barrier = Barrier::new(8);
            let notices: Vec<_> = thread::scope(|scope| {
                let start = || {
                    barrier.wait();
                    load(&database, "").unwrap()
                };
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(notices.iter().filter(|notice| notice.starts_with("made a key")).count(), 1);
        }
    }
}
