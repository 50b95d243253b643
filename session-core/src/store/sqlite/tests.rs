//! What only this store has: errors on opening, migrations from many processes, and the plans of its statements.

use std::error::Error;

use sqlx::Row;

use super::*;

type Outcome = Result<(), Box<dyn Error>>;

fn path(folder: &tempfile::TempDir, name: &str) -> String {
    folder.path().join(name).display().to_string()
}

#[tokio::test]
async fn a_missing_folder_is_named() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = path(&folder, "no/such/sessions.db");
    let error = SqliteStore::open(&file).await.unwrap_err();
    assert!(matches!(error, SqliteOpenError::MissingFolder { .. }) && error.to_string().contains(&file), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_read_only_file_is_named() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = path(&folder, "sessions.db");
    SqliteStore::open(&file).await?.pool.close().await;
    let mut permissions = std::fs::metadata(&file)?.permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&file, permissions)?;
    let error = SqliteStore::open(&file).await.unwrap_err();
    assert!(matches!(error, SqliteOpenError::ReadOnly { .. }) && error.to_string().contains(&file), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named_and_left_alone() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = path(&folder, "letter.txt");
    let letter = "Dear Ada, ".repeat(200);
    std::fs::write(&file, &letter)?;
    let error = SqliteStore::open(&file).await.unwrap_err();
    assert!(matches!(error, SqliteOpenError::NotADatabase { .. }) && error.to_string().contains(&file), "{error}");
    assert_eq!(std::fs::read_to_string(&file)?, letter);
    Ok(())
}

#[tokio::test]
async fn a_newer_schema_is_refused_only_if_it_says_so() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = path(&folder, "sessions.db");
    let store = SqliteStore::open(&file).await?;
    sqlx::query("UPDATE cookie_session_schema SET version = 7").execute(&store.pool).await?;
    store.migrate().await?;
    sqlx::query("UPDATE cookie_session_schema SET oldest_reader = 6").execute(&store.pool).await?;
    let error = SqliteStore::open(&file).await.unwrap_err();
    assert!(matches!(error, SqliteOpenError::NewerSchema { found: 7, known: 1, .. }), "{error}");
    assert!(error.to_string().contains(&file), "{error}");
    Ok(())
}

#[tokio::test]
async fn another_databases_url_is_refused() {
    for url in ["postgres://localhost/app", ""] {
        let error = SqliteStore::open(url).await.unwrap_err();
        assert!(matches!(error, SqliteOpenError::Url { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_pool_without_tables_says_to_migrate() -> Outcome {
    let store = SqliteStore::new(SqlitePool::connect("sqlite::memory:").await?);
    let user = UserId::parse("ada")?;
    let error = store.list(&user, None, OffsetDateTime::UNIX_EPOCH).await.unwrap_err();
    assert!(error.to_string().contains("migrate()"), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_may_open_one_new_file_at_once() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = path(&folder, "sessions.db");
    let opening: Vec<_> = (0..20)
        .map(|_| {
            let file = file.clone();
            tokio::spawn(async move { SqliteStore::open(&file).await })
        })
        .collect();
    for store in opening {
        store.await??;
    }
    Ok(())
}

#[tokio::test]
async fn the_file_is_opened_for_durability() -> Outcome {
    const FULL: i64 = 2;
    let folder = tempfile::tempdir()?;
    let store = SqliteStore::open(&path(&folder, "sessions.db")).await?;
    let mode: String = sqlx::query("PRAGMA journal_mode").fetch_one(&store.pool).await?.try_get(0)?;
    let synchronous: i64 = sqlx::query("PRAGMA synchronous").fetch_one(&store.pool).await?.try_get(0)?;
    assert_eq!((mode.as_str(), synchronous), ("wal", FULL));
    Ok(())
}

#[tokio::test]
async fn every_statement_searches_an_index() -> Outcome {
    let store = SqliteStore::open(":memory:").await?;
    for statement in sql::ALL {
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
        let mut plan = Vec::new();
        for row in sqlx::query(explain).fetch_all(&store.pool).await? {
            plan.push(row.try_get::<String, _>("detail")?);
        }
        assert!(plan.iter().any(|step| step.starts_with("SEARCH")), "{statement}: {plan:?}");
        assert!(!plan.iter().any(|step| step.starts_with("SCAN cookie_session")), "{statement}: {plan:?}");
    }
    Ok(())
}
