//! Tests of opening files and databases in memory.

use std::path::Path;

use super::*;

#[tokio::test]
async fn an_opened_file_waits_for_the_disk_unless_set_otherwise() {
    let folder = TempDir::new().unwrap();
    let pragma = async |store: &SqliteStore, sql| -> String {
        sqlx::query(sql).fetch_one(&mut **store.connection().await.unwrap()).await.unwrap().get_unchecked(0)
    };
    let store = SqliteStore::open(&file(&folder)).await.unwrap();
    assert_eq!(pragma(&store, "PRAGMA synchronous").await, "2");
    assert_eq!(pragma(&store, "PRAGMA journal_mode").await, "wal");
    let relaxed = SqliteOptions::new(file(&folder)).synchronous_normal_may_lose_writes_on_power_cut();
    assert_eq!(pragma(&relaxed.open().await.unwrap(), "PRAGMA synchronous").await, "1");
}

#[tokio::test]
async fn what_cannot_be_opened_says_why_and_names_the_file() {
    let folder = TempDir::new().unwrap();

    let inside = folder.path().join("missing/sessions.db");
    let error = SqliteStore::open(inside.to_str().unwrap()).await.unwrap_err();
    assert!(matches!(&error, SqliteOpenError::MissingFolder { path } if *path == inside), "{error:?}");
    assert!(error.to_string().contains("sessions.db"));
    assert_eq!(format!("{error:?}"), error.to_string(), "as it leaves `main`");

    let text = folder.path().join("text");
    std::fs::write(&text, "not a database, but long enough to have a header of 100 bytes\n".repeat(20)).unwrap();
    let error = SqliteStore::open(text.to_str().unwrap()).await.unwrap_err();
    assert!(matches!(&error, SqliteOpenError::NotADatabase { path } if *path == text), "{error:?}");

    let error = SqliteStore::open(folder.path().to_str().unwrap()).await.unwrap_err();
    assert!(matches!(&error, SqliteOpenError::NotADatabase { path } if path == folder.path()), "{error:?}");

    drop(SqliteStore::open(&file(&folder)).await.unwrap());
    let error = SqliteStore::open(&format!("sqlite:{}?mode=ro", file(&folder))).await.unwrap_err();
    assert!(matches!(&error, SqliteOpenError::ReadOnly { path } if path == Path::new(&file(&folder))), "{error:?}");

    for nowhere in ["", "sqlite:", "mysql:x", "jdbc:sqlite:x", "sqlite3:x", "postgres://ada:lovelace@localhost/app"] {
        let error = SqliteStore::open(nowhere).await.unwrap_err();
        assert!(matches!(error, SqliteOpenError::Location(_)), "{nowhere}: {error:?}");
        assert!(!Path::new(nowhere).exists() && !error.to_string().contains("lovelace"));
    }
    let error = SqliteStore::open("sqlite:a.db?no=such").await.unwrap_err();
    assert!(matches!(error, SqliteOpenError::Other { .. }), "{error:?}");
}

#[tokio::test]
async fn a_file_that_is_marked_read_only_is_left_alone_even_by_root() {
    let folder = TempDir::new().unwrap();
    SqliteStore::open(&file(&folder)).await.unwrap().pool.close().await;
    let mut permissions = std::fs::metadata(file(&folder)).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(file(&folder), permissions).unwrap();
    let error = SqliteStore::open(&file(&folder)).await.unwrap_err();
    assert!(matches!(error, SqliteOpenError::ReadOnly { .. }), "{error:?}");
}

/// The modes of a database and of the two files that SQLite keeps next to it.
#[cfg(unix)]
fn modes(path: &str) -> [u32; 3] {
    use std::os::unix::fs::PermissionsExt;
    ["", "-wal", "-shm"].map(|end| std::fs::metadata(format!("{path}{end}")).unwrap().permissions().mode() & 0o777)
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_is_created_and_those_next_to_it_are_for_their_owner_only() {
    let folder = TempDir::new().unwrap();
    for (name, query) in [("a.db", ""), ("b.db", "?mode=rwc"), ("c d%.db", "?cache=private&mode=rwc")] {
        let path = folder.path().join(name).to_str().unwrap().to_owned();
        let url = format!("sqlite:{}{query}", path.replace('%', "%25").replace(' ', "%20"));
        let store = SqliteStore::open(&url).await.unwrap();
        assert_eq!(modes(&path), [0o600; 3], "{url}");
        store.create(&record(1, "{}"), &[], LIMIT, NOW).await.unwrap();
        let again = SqliteStore::open(&path).await.unwrap();
        assert!(!again.load(&token(&record(1, "{}")), NOW).await.unwrap().is_empty());
    }
    let path = folder.path().join("target.db").to_str().unwrap().to_owned();
    for (link, to) in [("link.db", "further.db"), ("further.db", "target.db")] {
        std::os::unix::fs::symlink(to, folder.path().join(link)).unwrap();
    }
    let _store = SqliteStore::open(folder.path().join("link.db").to_str().unwrap()).await.unwrap();
    assert_eq!(modes(&path), [0o600; 3], "where a link leads");
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_is_there_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    for given in [0o644, 0o660] {
        let path = folder.path().join(format!("{given:o}.db")).to_str().unwrap().to_owned();
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(given)).unwrap();
        let store = SqliteStore::open(&path).await.unwrap();
        assert_eq!(modes(&path), [given; 3]);
        store.pool.close().await;
        let _store = SqliteStore::open(&path).await.unwrap();
        assert_eq!(modes(&path), [given; 3], "opened again");
    }
}

#[tokio::test]
async fn no_file_is_made_where_none_is_asked_for() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder);
    for query in ["?mode=rw", "?mode=ro", "?mode=rwc&mode=ro"] {
        let error = SqliteStore::open(&format!("sqlite:{path}{query}")).await.unwrap_err();
        assert!(matches!(error, SqliteOpenError::NoAccess { .. }), "{query}: {error:?}");
    }
    let _store = SqliteStore::open(&format!("sqlite:{path}?mode=memory")).await.unwrap();
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
    let uri = "file:no-file-is-made?mode=memory";
    let _store = SqliteStore::open(uri).await.unwrap();
    assert!(!Path::new(uri).exists() && !Path::new("no-file-is-made").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_may_open_one_new_file_at_once() {
    for _ in 0..10 {
        let folder = TempDir::new().unwrap();
        let opening: Vec<_> = (0..8)
            .map(|_| {
                let path = file(&folder);
                tokio::spawn(async move { SqliteStore::open(&path).await })
            })
            .collect();
        for open in opening {
            open.await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn a_database_in_memory_lives_as_long_as_its_store() {
    for location in [":memory:", "sqlite::memory:", "sqlite://:memory:", "file::memory:", "file:a?mode=memory"] {
        let store = SqliteStore::open(location).await.unwrap();
        let new = record(1, "{}");
        store.create(&new, &[], LIMIT, NOW).await.unwrap();
        // A refused sign-in doesn't close the one connection, and the database with it.
        assert_eq!(store.create(&new, &[], LIMIT, NOW).await.unwrap(), crate::store::Created::Taken);
        let (a, b) = (token(&new), token(&new));
        let (a, b) = tokio::join!(store.load(&a, NOW), store.load(&b, NOW));
        assert!(!a.unwrap().is_empty() && !b.unwrap().is_empty());
        assert!(SqliteStore::open(location).await.unwrap().load(&token(&new), NOW).await.unwrap().is_empty());
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_was_replaced_or_removed_serves_nothing_until_it_is_back() {
    let folder = TempDir::new().unwrap();
    let (path, aside) = (file(&folder), folder.path().join("aside.db"));
    let opened = SqliteStore::open(&path).await.unwrap();
    let watched = OpenedFile::at(Path::new(&path), None).unwrap().look_always();
    let store = SqliteStore { file: Some(Arc::new(watched)), ..opened.clone() };
    let new = record(1, "{}");
    store.create(&new, &[], LIMIT, NOW).await.unwrap();
    for put in [None, Some(&b""[..])] {
        std::fs::rename(&path, &aside).unwrap();
        if let Some(bytes) = put {
            std::fs::write(&path, bytes).unwrap();
        }
        // As it was opened: writes look at once, and reads only now and then.
        for error in [
            opened.create(&record(2, "{}"), &[], LIMIT, NOW).await.unwrap_err(),
            opened.purge_expired(NOW, LIMIT).await.unwrap_err(),
            store.load(&token(&new), NOW).await.unwrap_err(),
        ] {
            assert!(matches!(error, StoreError::NotApplied(_)), "{error:?}");
            let says = error.to_string();
            assert!(says.contains("replaced or removed") && says.contains("restart") && says.contains(&path), "{says}");
        }
        std::fs::rename(&aside, &path).unwrap();
        assert!(!store.load(&token(&new), NOW).await.unwrap().is_empty());
    }
    assert!(store.load(&token(&record(2, "{}")), NOW).await.unwrap().is_empty(), "nothing was stored meanwhile");
    opened.create(&record(2, "{}"), &[], LIMIT, NOW).await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn a_write_ahead_log_that_was_removed_serves_nothing_until_it_is_back() {
    let folder = TempDir::new().unwrap();
    let path = file(&folder);
    let aside = TempDir::new().unwrap();
    let store = SqliteStore::open(&path).await.unwrap();
    let new = record(1, "{}");
    store.create(&new, &[], LIMIT, NOW).await.unwrap();
    for end in ["-wal", "-shm"] {
        std::fs::rename(format!("{path}{end}"), aside.path().join(end)).unwrap();
    }
    let error = store.create(&record(2, "{}"), &[], LIMIT, NOW).await.unwrap_err();
    assert!(error.to_string().contains("-wal") && error.to_string().contains("replaced or removed"), "{error}");
    for end in ["-wal", "-shm"] {
        std::fs::rename(aside.path().join(end), format!("{path}{end}")).unwrap();
    }
    store.create(&record(2, "{}"), &[], LIMIT, NOW).await.unwrap();
    assert!(!store.load(&token(&new), NOW).await.unwrap().is_empty());
}

#[tokio::test]
async fn tables_that_do_not_keep_sessions_are_refused() {
    let on = |event: &str| format!("CREATE TRIGGER t BEFORE {event} ON cookie_session BEGIN SELECT raise(ignore); END");
    for (spoil, says) in [
        (&*on("INSERT"), "isn't found"),
        (&on("UPDATE"), "changes nothing"),
        (&on("DELETE"), "changes nothing"),
        ("ALTER TABLE cookie_session RENAME TO x", "undo"),
        ("ALTER TABLE cookie_session_schema RENAME TO x", "undo"),
        ("ALTER TABLE cookie_session DROP COLUMN successor", "undo"),
    ] {
        let folder = TempDir::new().unwrap();
        let store = SqliteStore::open(&file(&folder)).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(spoil)).execute(&mut **store.connection().await.unwrap()).await.unwrap();
        let error = SqliteStore::open(&file(&folder)).await.unwrap_err();
        assert!(
            matches!(error, SqliteOpenError::AlteredTables { .. } | SqliteOpenError::SpoiledTables { .. })
                && error.to_string().contains(says),
            "{spoil}: {error:?}"
        );
    }
}

#[tokio::test]
async fn a_file_that_is_damaged_or_locked_says_what_to_do() {
    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(&file(&folder)).await.unwrap();
    sqlx::raw_sql("BEGIN EXCLUSIVE").execute(&mut **store.connection().await.unwrap()).await.unwrap();
    let brief = SqliteOptions::new(file(&folder)).busy_timeout(Duration::ZERO);
    let error = brief.open().await.unwrap_err();
    assert!(matches!(error, SqliteOpenError::Locked { .. }) && error.to_string().contains("end its"), "{error:?}");

    let folder = TempDir::new().unwrap();
    let store = SqliteStore::open(&file(&folder)).await.unwrap();
    let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
    sqlx::raw_sql(checkpoint).execute(&mut **store.connection().await.unwrap()).await.unwrap();
    let copy = folder.path().join("copy.db");
    let mut bytes = std::fs::read(file(&folder)).unwrap();
    bytes[4096..].fill(7);
    std::fs::write(&copy, bytes).unwrap();
    let error = SqliteStore::open(copy.to_str().unwrap()).await.unwrap_err();
    assert!(matches!(error, SqliteOpenError::Damaged { .. }) && error.to_string().contains("backup"), "{error:?}");
}
