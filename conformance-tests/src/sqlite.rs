//! SQLite files, each in a folder of its own that goes with its last handle. With the feature
//! `sqlite`.

use std::path::Path;
use std::sync::Arc;

use session_core::{SessionStore, SqliteStore};
use tempfile::TempDir;

use crate::BoxFuture;
use crate::world::{Rows, StoreKind};

/// The store in an SQLite file.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sqlite;

impl StoreKind for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn fresh(&self) -> BoxFuture<'static, Rows> {
        let folder = Arc::new(TempDir::new().expect("a temporary folder"));
        Box::pin(std::future::ready(Rows::new(move || {
            let folder = Arc::clone(&folder);
            async move { open(&folder.path().join("sessions.db")).await }
        })))
    }
}

/// One more handle on the rows of a file.
///
/// # Panics
/// If the file can't be opened.
pub async fn open(file: &Path) -> Arc<dyn SessionStore> {
    let file = file.to_str().expect("a path in UTF-8");
    Arc::new(SqliteStore::open(file).await.expect("an SQLite file that opens"))
}
