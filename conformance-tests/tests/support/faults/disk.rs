//! A small disk in memory, which is soon full.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system of a few megabytes, until it is dropped.
pub(super) struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Whether this process may make one.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn is_possible() -> Result<(), String> {
        let folder = tempfile::TempDir::new().map_err(|error| error.to_string())?;
        Self::mount(&folder.path().join("disk"), 1).map(drop)
    }

    /// Mounts one at a path that isn't there yet.
    ///
    /// # Errors
    /// Why it can't be.
    pub(super) fn mount(path: &Path, megabytes: u32) -> Result<Self, String> {
        fs::create_dir(path).map_err(|error| error.to_string())?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"]).arg(path);
        let mounted = mount.output().map_err(|error| format!("no `mount`: {error}"))?;
        if mounted.status.success() {
            Ok(Self(path.to_owned()))
        } else {
            Err(String::from_utf8_lossy(&mounted.stderr).trim().to_owned())
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: what still uses it goes on until it ends.
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking(), "the disk stays");
    }
}

/// A file that takes all the space that a disk has left, until it is dropped.
pub(super) struct Filler(PathBuf);

impl Filler {
    pub(super) fn fill(disk: &Path) -> Self {
        let path = disk.join("filler");
        let mut file = File::create(&path).expect("a new file");
        let mut size = 1 << 20;
        while size > 0 {
            match file.write(&vec![0; size]) {
                Ok(written) if written > 0 => {}
                Ok(_) => size /= 2,
                Err(error) if error.kind() == ErrorKind::StorageFull => size /= 2,
                Err(error) => panic!("a disk that is written to until it is full: {error}"),
            }
        }
        Self(path)
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        fs::remove_file(&self.0).expect("its own file");
    }
}
