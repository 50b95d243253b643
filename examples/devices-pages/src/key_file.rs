//! A signing key that is made once and kept in a file beside the database, so that sign-ins survive a restart.
//! On Unix it is for its owner only, and refused if others can read or write it.
//! Leaves it to `signing_key` to decide whether the file is used at all.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand::TryRng;
use rand::rngs::SysRng;
use thiserror::Error;
use zeroize::Zeroizing;

const KEY_BYTES: usize = 32;
/// Far more than any key is long; a file beyond that is something else.
const MAX_FILE_BYTES: u64 = 4096;
/// How long to wait for another process that has created the file but not yet written it.
const READ_ATTEMPTS: u32 = 20;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(50);

/// Where a key is kept, as one line of base64.
#[derive(Debug, Clone)]
pub struct KeyFile(PathBuf);

/// A key file that can't be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// It can't be read, made or written.
    #[error("cannot use the signing key's file {path}: mend its folder or rights, or set SESSION_KEY instead")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// It has no content.
    #[error("the signing key's file {path} is empty: delete it to have a new one made (that signs everyone out)")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Others can read or write it.
    #[error(
        "the signing key's file {path} is open to others, its mode is {mode:04o}: `chmod 600 {path}`, \
         or delete it if they may have used it (a new one is made, and everyone signed out)"
    )]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The operating system has no random bytes.
    #[error("the operating system gives no random bytes for a signing key: set SESSION_KEY instead")]
    Random {
        /// What it says.
        source: rand::rngs::SysError,
    },
}

impl KeyFile {
    /// The file that belongs to a database: `sessions.db.session-key` for `sessions.db`.
    pub fn beside(database: &Path) -> Self {
        let mut name = OsString::from(database);
        name.push(".session-key");
        Self(PathBuf::from(name))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The base64 text, and whether this call made it.
    ///
    /// Safe when several processes start at once: one of them makes the file, the others read what it wrote.
    ///
    /// # Errors
    /// [`KeyFileError`] when the file can neither be read nor made, or when others can read or write it.
    pub fn read_or_create(&self) -> Result<(Zeroizing<String>, bool), KeyFileError> {
        match File::open(&self.0) {
            Ok(_) => return Ok((self.read()?, false)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(self.io(error)),
        }
        match create_private(&self.0) {
            Ok(file) => Ok((self.fill(file)?, true)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok((self.read()?, false)),
            Err(error) => Err(self.io(error)),
        }
    }

    fn fill(&self, mut file: File) -> Result<Zeroizing<String>, KeyFileError> {
        let written = random_text().and_then(|text| {
            let line = Zeroizing::new(format!("{}\n", *text));
            file.write_all(line.as_bytes()).and_then(|()| file.sync_all()).map_err(|error| self.io(error))?;
            Ok(text)
        });
        if written.is_err() {
            // Ours alone and useless: left behind, it would stop the next start as well.
            if let Err(error) = std::fs::remove_file(&self.0) {
                return Err(self.io(error));
            }
        }
        written
    }

    /// Waits for the end of the line that another process may still be writing. A file without one, which someone
    /// made by hand, is taken as it is in the end.
    fn read(&self) -> Result<Zeroizing<String>, KeyFileError> {
        let mut text = Zeroizing::new(String::new());
        for attempt in 0..READ_ATTEMPTS {
            if attempt > 0 {
                thread::sleep(BETWEEN_ATTEMPTS);
            }
            text.clear();
            let file = File::open(&self.0).map_err(|error| self.io(error))?;
            self.check_private(&file)?;
            file.take(MAX_FILE_BYTES).read_to_string(&mut text).map_err(|error| self.io(error))?;
            if text.ends_with('\n') {
                break;
            }
        }
        if text.trim().is_empty() {
            return Err(KeyFileError::Empty { path: self.0.clone() });
        }
        Ok(Zeroizing::new(text.trim().to_owned()))
    }

    #[cfg(unix)]
    fn check_private(&self, file: &File) -> Result<(), KeyFileError> {
        use std::os::unix::fs::PermissionsExt;
        let mode = file.metadata().map_err(|error| self.io(error))?.permissions().mode() & 0o7777;
        if mode & 0o077 == 0 { Ok(()) } else { Err(KeyFileError::OpenToOthers { path: self.0.clone(), mode }) }
    }

    /// Its rights are those of its folder.
    #[cfg(not(unix))]
    fn check_private(&self, _: &File) -> Result<(), KeyFileError> {
        Ok(())
    }

    fn io(&self, source: io::Error) -> KeyFileError {
        KeyFileError::Io { path: self.0.clone(), source }
    }
}

/// A fresh key as base64 text.
pub(crate) fn random_text() -> Result<Zeroizing<String>, KeyFileError> {
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    SysRng.try_fill_bytes(&mut *bytes).map_err(|source| KeyFileError::Random { source })?;
    Ok(Zeroizing::new(STANDARD.encode(*bytes)))
}

/// Fails if the file exists, and is for its owner only from the first moment.
fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Barrier;

    use super::*;

    fn key_file() -> (tempfile::TempDir, KeyFile) {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::beside(&folder.path().join("sessions.db"));
        (folder, file)
    }

    fn by_hand(file: &KeyFile, text: &str) {
        create_private(file.path()).unwrap().write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn it_is_beside_the_database() {
        assert_eq!(KeyFile::beside(Path::new("data/s.db")).path(), Path::new("data/s.db.session-key"));
    }

    #[test]
    fn it_is_made_once_and_then_read() {
        let (_folder, file) = key_file();
        let (text, created) = file.read_or_create().unwrap();
        assert!(created);
        assert_eq!(STANDARD.decode(text.as_bytes()).unwrap().len(), KEY_BYTES);
        assert_eq!(file.read_or_create().unwrap(), (text, false));
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_can_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let (_folder, file) = key_file();
        file.read_or_create().unwrap();
        assert_eq!(fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[cfg(unix)]
    #[test]
    fn one_that_others_can_use_is_refused_with_its_mode_and_the_mend() {
        use std::os::unix::fs::PermissionsExt;
        let (_folder, file) = key_file();
        let (text, _) = file.read_or_create().unwrap();
        let with = |mode| {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
            file.read_or_create()
        };
        for mode in [0o644, 0o640, 0o604, 0o620, 0o601] {
            let error = with(mode).unwrap_err();
            assert!(
                matches!(&error, KeyFileError::OpenToOthers { path, mode: found } if path == file.path() && *found == mode)
            );
            let mend = format!("`chmod 600 {}`", file.path().display());
            let message = error.to_string();
            assert!(message.contains(&mend) && message.contains(&format!(" 0{mode:o}:")), "{message}");
            assert!(!message.contains(text.as_str()), "{message}");
        }
        for mode in [0o600, 0o400] {
            assert_eq!(with(mode).unwrap(), (text.clone(), false));
        }
    }

    #[test]
    fn of_many_that_start_at_once_one_makes_it_and_all_agree() {
        for _ in 0..20 {
            let (_folder, file) = key_file();
            let barrier = Barrier::new(8);
            let results: Vec<_> = thread::scope(|scope| {
                let start = || {
                    barrier.wait();
                    file.read_or_create().unwrap()
                };
                let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(results.iter().filter(|(_, created)| *created).count(), 1);
            assert!(results.iter().all(|(text, _)| *text == results[0].0));
        }
    }

    #[test]
    fn a_reader_waits_for_the_one_that_writes() {
        let (_folder, file) = key_file();
        let mut writer = create_private(file.path()).unwrap();
        let text = thread::scope(|scope| {
            let reader = scope.spawn(|| file.read_or_create().unwrap().0);
            writer.write_all(b"half").unwrap();
            thread::sleep(BETWEEN_ATTEMPTS);
            writer.write_all(b"whole\n").unwrap();
            reader.join().unwrap()
        });
        assert_eq!(*text, "halfwhole");
    }

    #[test]
    fn a_line_made_by_hand_needs_no_end() {
        let (_folder, file) = key_file();
        by_hand(&file, "by hand");
        assert_eq!(*file.read_or_create().unwrap().0, "by hand");
    }

    #[test]
    fn an_empty_file_says_what_to_do() {
        let (_folder, file) = key_file();
        by_hand(&file, "");
        let message = file.read_or_create().unwrap_err().to_string();
        assert!(message.contains("delete it") && message.contains("sessions.db.session-key"), "{message}");
    }

    #[test]
    fn a_missing_folder_names_the_file() {
        let file = KeyFile::beside(Path::new("/nonexistent/s.db"));
        let message = file.read_or_create().unwrap_err().to_string();
        assert!(message.contains("/nonexistent/s.db.session-key") && message.contains("SESSION_KEY"), "{message}");
    }
}
