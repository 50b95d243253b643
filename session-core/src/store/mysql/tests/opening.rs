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
    let settings = "SELECT @@sql_mode, @@character_set_client, @@character_set_results";
    let row = sqlx::raw_sql(settings).fetch_one(&mut *conn).await.unwrap();
    let texts: [String; 3] = std::array::from_fn(|column| row.get(column));
    assert_eq!(texts, ["STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION", "utf8mb4", "utf8mb4"]);
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
