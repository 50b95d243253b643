//! Which connections are refused, for what they would do to sessions.

use super::*;
use crate::store::sql::server::UrlFault;

/// Why a pool is refused on whose connections `first` was run.
async fn refused(database: &Database, first: &'static str) -> String {
    let pool = MySqlPoolOptions::new().max_connections(1).after_connect(move |conn, _| {
        Box::pin(async move {
            execute(conn, first).await;
            Ok(())
        })
    });
    let store = MySqlStore::new(pool.connect_with(database.options.clone()).await.unwrap());
    let error = store.migrate().await.unwrap_err();
    assert!(matches!(error, ServerOpenError::Setting { .. }), "{error:?}");
    error.to_string()
}

#[tokio::test]
async fn a_pool_whose_settings_would_spoil_sessions_is_refused() {
    let Some(database) = Database::new().await else { return };
    for (first, says) in [
        ("SET autocommit = 0", "autocommit"),
        ("SET sql_mode = CONCAT(@@sql_mode, ',EMPTY_STRING_IS_NULL')", "`EMPTY_STRING_IS_NULL`"),
        ("SET NAMES latin1", "`utf8mb4`"),
        ("SET NAMES utf8mb3", "`utf8mb4`"),
        ("SET completion_type = 'CHAIN'", "`completion_type`"),
        ("SET completion_type = 'RELEASE'", "`completion_type`"),
        ("SET sql_safe_updates = 1", "`sql_safe_updates`"),
        ("SET sql_select_limit = 1", "`sql_select_limit`"),
        ("SET sql_select_limit = 0", "`sql_select_limit`"),
    ] {
        for has_tables in [false, true] {
            let error = refused(&database, first).await;
            assert!(error.contains(says), "{error}");
            if !has_tables {
                database.store(1).await;
            }
        }
        database.run("DROP TABLE cookie_session, cookie_session_user, cookie_session_schema").await;
    }
    database.end().await;
}

#[tokio::test]
async fn an_opened_store_has_a_mode_and_a_character_set_of_its_own() {
    let Some(database) = Database::new().await else { return };
    let url = format!("{}?charset=latin1", MySql::url(&database.server, &database.name));
    let store = MySqlStore::open(&url).await.unwrap();
    let mut conn = store.pool.acquire().await.unwrap();
    let settings = "SELECT @@sql_mode, @@character_set_client, @@character_set_results, CAST(@@sql_select_limit AS char), \
         CAST(@@sql_big_selects + 0 AS char)";
    let row = sqlx::raw_sql(settings).fetch_one(&mut *conn).await.unwrap();
    let texts: [String; 5] = std::array::from_fn(|column| row.get(column));
    let mode = "STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION";
    assert_eq!(texts, [mode, "utf8mb4", "utf8mb4", "18446744073709551615", "1"]);
    drop(conn);
    let client = crate::model::record::ClientInfo { user_agent: "\u{1f600}".to_owned(), ..Default::default() };
    let new = Arc::new(crate::model::record::Record { client: Arc::new(client), ..(*record(1, "ada")).clone() });
    store.create(&new, &[], LIMIT, NOW).await.unwrap();
    assert_eq!(store.load(&token(&new), NOW).await.unwrap()[..], [new]);
    database.end().await;
}

#[tokio::test]
async fn a_connection_without_a_database_says_so() {
    let Some(database) = Database::new().await else { return };
    let error = MySqlStore::open(&database.server).await.unwrap_err();
    assert!(matches!(error, ServerOpenError::Url { fault: UrlFault::NoDatabase, .. }), "{error:?}");
    let server: MySqlConnectOptions = database.server.parse().unwrap();
    let store = MySqlStore::new(database.pool(1, server).await);
    let error = store.migrate().await.unwrap_err();
    assert!(matches!(error, ServerOpenError::NoDatabase { .. }), "{error:?}");
    database.end().await;
}

#[tokio::test]
async fn tables_that_do_not_keep_sessions_are_refused() {
    let Some(database) = Database::new().await else { return };
    let user_id = "ALTER TABLE cookie_session MODIFY user_id";
    for (spoil, says) in [
        ("ALTER TABLE cookie_session ENGINE = MyISAM", "ENGINE = InnoDB"),
        ("ALTER TABLE cookie_session_user ENGINE = MEMORY", "ENGINE = InnoDB"),
        ("ALTER TABLE cookie_session CONVERT TO CHARACTER SET latin1", "undo"),
        (&format!("{user_id} VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci NOT NULL"), "`user_id`"),
        ("ALTER TABLE cookie_session ADD COLUMN tenant INT NOT NULL", "undo"),
        ("ALTER TABLE cookie_session DROP COLUMN successor", "undo"),
        ("ALTER TABLE cookie_session DROP KEY cookie_session_user_id", "undo"),
        ("RENAME TABLE cookie_session_user TO x", "undo"),
        ("CREATE TRIGGER t BEFORE INSERT ON cookie_session FOR EACH ROW SET NEW.expires_at = 0", "another one"),
        ("CREATE TRIGGER t BEFORE INSERT ON cookie_session FOR EACH ROW SIGNAL SQLSTATE '45000'", "a trigger"),
    ] {
        database.store(1).await;
        database.run(spoil).await;
        let error = database.own().open().await.unwrap_err();
        assert!(
            matches!(error, ServerOpenError::AlteredTables { .. } | ServerOpenError::SpoiledTables { .. })
                && error.to_string().contains(says),
            "{spoil}: {error:?}"
        );
        database.run("DROP TABLE IF EXISTS cookie_session, cookie_session_user, cookie_session_schema, x").await;
    }
    database.end().await;
}

#[tokio::test]
async fn a_rehearsal_leaves_nothing() {
    let Some(database) = Database::new().await else { return };
    database.store(1).await;
    let mut conn = database.conn().await;
    for table in ["cookie_session", "cookie_session_user"] {
        assert_eq!(MySql::count(&mut conn, &format!("SELECT count(*) FROM {table}")).await, 0);
    }
    database.end().await;
}
