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

/// A role of a test's own, which isn't the owner of the tables.
async fn role(schema: &Schema, with: &str) -> String {
    let role = format!("{}_role", schema.name);
    schema.run(&format!("DROP ROLE IF EXISTS {role}; CREATE ROLE {role} {with}")).await;
    let tables = "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN";
    schema.run(&format!("GRANT USAGE ON SCHEMA {0} TO {role}; GRANT {tables} SCHEMA {0} TO {role}", schema.name)).await;
    role
}

async fn refused(schema: &Schema, role: &str) -> ServerOpenError {
    let pool = schema.pool(1, schema.options.clone().options([("role", role)])).await;
    PostgresStore::new(pool).migrate().await.unwrap_err()
}

#[tokio::test]
async fn each_right_that_requests_need_is_asked_for_at_the_start() {
    let Some(schema) = Schema::new().await else { return };
    schema.store(1).await;
    let role = role(&schema, "").await;
    for table in ["cookie_session", "cookie_session_user"] {
        for right in ["SELECT", "INSERT", "UPDATE", "DELETE"] {
            schema.run(&format!("REVOKE {right} ON {table} FROM {role}")).await;
            let error = refused(&schema, &role).await;
            assert!(matches!(error, ServerOpenError::MissingRights { .. }), "{right} on {table}: {error:?}");
            schema.run(&format!("GRANT {right} ON {table} TO {role}")).await;
        }
    }
    let pool = schema.pool(1, schema.options.clone().options([("role", &role)])).await;
    PostgresStore::new(pool).migrate().await.unwrap();
    schema.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    schema.end().await;
}

#[tokio::test]
async fn tables_that_do_not_keep_sessions_are_refused() {
    let Some(schema) = Schema::new().await else { return };
    schema.store(1).await;
    let role = role(&schema, "").await;
    let nothing = "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'";
    schema.run(nothing).await;
    let on = |event: &str| {
        format!("CREATE TRIGGER t BEFORE {event} ON cookie_session FOR EACH ROW EXECUTE FUNCTION nothing()")
    };
    let no_trigger = "DROP TRIGGER t ON cookie_session";
    for (spoil, mend, says) in [
        ("ALTER TABLE cookie_session ENABLE ROW LEVEL SECURITY", "", "row-level security"),
        ("CREATE POLICY p ON cookie_session USING (FALSE) WITH CHECK (TRUE)", "", "isn't found"),
        ("ALTER TABLE cookie_session DISABLE ROW LEVEL SECURITY", "DROP POLICY p ON cookie_session", ""),
        (&on("INSERT"), no_trigger, "isn't found"),
        (&on("UPDATE"), no_trigger, "changes nothing"),
        (&on("DELETE"), no_trigger, "changes nothing"),
        (
            "ALTER TABLE cookie_session ADD COLUMN tenant TEXT NOT NULL",
            "ALTER TABLE cookie_session DROP COLUMN tenant",
            "undo",
        ),
        (
            "ALTER TABLE cookie_session RENAME COLUMN successor TO x",
            "ALTER TABLE cookie_session RENAME COLUMN x TO successor",
            "undo",
        ),
        ("ALTER TABLE cookie_session_user RENAME TO x", "ALTER TABLE x RENAME TO cookie_session_user", "undo"),
        ("ALTER TABLE cookie_session_schema RENAME TO x", "", "refuses"),
    ] {
        schema.run(spoil).await;
        if !says.is_empty() {
            let is_owner = spoil.contains("cookie_session_schema");
            let error = refused(&schema, if is_owner { "none" } else { &role }).await;
            assert!(
                matches!(error, ServerOpenError::AlteredTables { .. } | ServerOpenError::SpoiledTables { .. })
                    && error.to_string().contains(says),
                "{spoil}: {error:?}"
            );
        }
        schema.run(mend).await;
    }
    schema.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    schema.end().await;
}

#[tokio::test]
async fn temporary_tables_are_refused_and_unlogged_ones_are_a_warning() {
    let Some(schema) = Schema::new().await else { return };
    let options = schema.options.clone().options([("search_path", format!("pg_temp,{}", schema.name))]);
    let error = PostgresStore::new(schema.pool(1, options).await).migrate().await.unwrap_err();
    assert!(error.to_string().contains("`pg_temp`"), "{error}");
    schema.store(1).await;
    schema.run("ALTER TABLE cookie_session SET UNLOGGED").await;
    let own = schema.own();
    let opening = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        logged(|| drop(runtime.block_on(own.open()).unwrap()))
    });
    let log = opening.await.unwrap();
    assert!(log.contains("WARN") && log.contains("SET LOGGED"), "{log}");
    schema.end().await;
}

#[tokio::test]
async fn a_limit_of_connections_is_named_and_so_is_what_refuses_them() {
    let Some(schema) = Schema::new().await else { return };
    let role = role(&schema, "LOGIN CONNECTION LIMIT 0").await;
    let mut url = url::Url::parse(&<Postgres as TestServer>::url(&schema.server, &schema.name)).unwrap();
    url.set_username(&role).unwrap();
    let brief = |url: &url::Url| PostgresOptions::new(url.as_str()).acquire_timeout(Duration::from_millis(200));
    let error = brief(&url).open().await.unwrap_err();
    assert!(matches!(error, ServerOpenError::TooManyConnections { .. }), "{error:?}");
    assert!(error.to_string().contains("53300"), "{error}");
    // A port on which nothing listens.
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    url.set_port(Some(free)).unwrap();
    let error = brief(&url).open().await.unwrap_err();
    assert!(matches!(error, ServerOpenError::NoServer { .. }) && error.to_string().contains("refused"), "{error:?}");
    schema.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    schema.end().await;
}
