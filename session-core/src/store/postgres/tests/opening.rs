//! Which databases are refused, and what a pooler in transaction mode does to prepared statements.

use super::*;
use crate::config::tests::logged;
use crate::store::StoreError;

/// A database of a test's own, in another encoding.
struct Encoded {
    schema: Schema,
    options: PgConnectOptions,
    name: String,
}

impl Encoded {
    async fn new(encoding: &str) -> Option<Self> {
        let schema = Schema::new().await?;
        let name = format!("{}_{}", schema.name, encoding.to_lowercase());
        let make = "TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'";
        schema.run(&format!("DROP DATABASE IF EXISTS {name}")).await;
        schema.run(&format!("CREATE DATABASE {name} ENCODING '{encoding}' {make}")).await;
        let options = schema.options.clone().options([("search_path", "public")]).database(&name);
        Some(Self { schema, options, name })
    }

    fn own(&self) -> PostgresOptions {
        PostgresOptions::new(self.options.to_url_lossy())
    }

    async fn end(self) {
        self.schema.run(&format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
        self.schema.end().await;
    }
}

#[tokio::test]
async fn a_database_that_can_not_hold_every_text_is_refused() {
    for encoding in ["LATIN1", "EUC_JP"] {
        let Some(database) = Encoded::new(encoding).await else { return };
        let store = PostgresStore::new(database.schema.pool(1, database.options.clone()).await);
        for error in [database.own().open().await.unwrap_err(), store.migrate().await.unwrap_err()] {
            assert!(matches!(&error, ServerOpenError::Encoding { encoding: named } if named == encoding), "{error:?}");
            assert!(error.to_string().contains("ENCODING 'UTF8' TEMPLATE template0"), "{error}");
        }
        database.end().await;
    }
}

#[tokio::test]
async fn a_search_path_that_leads_nowhere_is_named() {
    let Some(schema) = Schema::new().await else { return };
    let url = <Postgres as TestServer>::url(&schema.server, "no_such_schema");
    let error = PostgresOptions::new(url).open().await.unwrap_err();
    assert!(matches!(error, ServerOpenError::NoSchema { .. }), "{error:?}");
    assert!(error.to_string().contains("`search_path`"), "{error}");
    schema.end().await;
}

#[tokio::test]
async fn what_speaks_another_protocol_is_named() {
    use tokio::io::AsyncWriteExt;

    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("postgres://ada@{}/app", listener.local_addr().unwrap());
    // A message that no PostgreSQL server begins with, as MariaDB's greeting looks like one.
    let other = tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            drop(stream.write_all(&[b'd', 0, 0, 0, 4]).await);
            connections.push(stream);
        }
    });
    let error = PostgresOptions::new(url).acquire_timeout(Duration::from_secs(60)).open().await.unwrap_err();
    assert!(matches!(error, ServerOpenError::AnotherServer { .. }), "{error:?}");
    assert!(error.to_string().contains("isn't a PostgreSQL server: check host and port"), "{error}");
    other.abort();
}

#[tokio::test]
async fn a_database_that_checks_no_text_is_a_warning_and_keeps_every_text() {
    let Some(database) = Encoded::new("SQL_ASCII").await else { return };
    let own = database.own();
    let opening = tokio::task::spawn_blocking(move || {
        let mut store = None;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let log = logged(|| store = Some(runtime.block_on(own.open()).unwrap()));
        (log, store.unwrap())
    });
    let (log, store) = opening.await.unwrap();
    assert_eq!((log.lines().count(), log.contains("WARN"), log.contains("SQL_ASCII")), (1, true, true), "{log}");
    let data = Data::from_text("{\"\u{1f600}\":\"\u{df}\"}");
    let new = Arc::new(crate::model::record::Record { data, ..(*record(1, "ada")).clone() });
    store.create(&new, &[], LIMIT, NOW).await.unwrap();
    assert_eq!(store.load(&token(&new), NOW).await.unwrap()[..], [new]);
    drop(store);
    database.end().await;
}

#[tokio::test]
async fn a_statement_that_was_prepared_elsewhere_names_the_poolers_setting() {
    let Some(schema) = Schema::new().await else { return };
    // What a pooler does that gives the same client another connection of the server: a statement
    // isn't there, is another one, or is there already.
    for (code, after_use, does) in [
        ("26000", true, "DEALLOCATE ALL"),
        ("08P01", true, "DEALLOCATE ALL; PREPARE sqlx_s_1 AS SELECT 1"),
        ("42P05", false, "PREPARE sqlx_s_1 AS SELECT 1"),
    ] {
        let store = schema.store(1).await;
        let new = record(1, "ada");
        if after_use {
            store.load(&token(&new), NOW).await.unwrap();
        }
        run(&mut store.pool.acquire().await.unwrap(), does).await;
        let error = store.load(&token(&new), NOW).await.unwrap_err();
        assert!(matches!(error, StoreError::NotApplied(_)), "{code}: {error:?}");
        let says = error.to_string();
        assert!(says.contains("transaction_pooling()") && says.contains(code), "{code}: {says}");
        // The next connection is a new one.
        store.load(&token(&new), NOW).await.unwrap();
    }
    schema.end().await;
}
