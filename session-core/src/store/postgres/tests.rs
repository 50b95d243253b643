//! Tests of what only PostgreSQL has: rights, query plans, round trips, and waits for locks. Not
//! here: what all servers have in common, see `sql::server::testing`. They run on the server that
//! `SESSION_TEST_POSTGRES` names, or on the local one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, ConnectOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::model::data::Data;
use crate::store::sql::dialect::Statement;
use crate::store::sql::server::ServerOpenError;
use crate::store::sql::server::testing::{TestDatabase, TestServer, server_tests};
use crate::store::sql::testing::{
    LIMIT, NOW, ROW_OF_THE_FIRST_SCHEMA, caller, each_of_many_gets_its_own, record, token,
};
use crate::store::sql::users::tests::user_tests;
use crate::store::{Activity, NewData, Replaced, SessionKey, SessionStore, Update, Updated};

mod opening;
mod waits;

server_tests!(Postgres);

impl TestServer for Postgres {
    const SERVER: (&'static str, &'static str) =
        ("SESSION_TEST_POSTGRES", "postgres://postgres@127.0.0.1:5432/postgres");
    const OTHER_URLS: [&'static str; 4] =
        ["", "sessions.db", "mysql://ada:lovelace@localhost/app", "postgres://ada:lovelace@host:port/app"];
    const READ_ONLY: &'static str = "SET default_transaction_read_only = on";
    const INDEXES: [&'static str; 3] = ["cookie_session_expires_slot", "cookie_session_pkey", "cookie_session_user_id"];

    fn make(name: &str) -> String {
        format!("DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}")
    }

    fn remove(name: &str) -> String {
        format!("DROP SCHEMA {name} CASCADE")
    }

    fn within(options: PgConnectOptions, name: &str) -> PgConnectOptions {
        options.options([("search_path", name)]).application_name(name)
    }

    fn url(server: &str, name: &str) -> String {
        let separator = if server.contains('?') { '&' } else { '?' };
        format!("{server}{separator}options=-csearch_path%3D{name}&application_name={name}")
    }

    fn address(options: &PgConnectOptions) -> String {
        format!("{}:{}", options.get_host(), options.get_port())
    }

    fn through(options: PgConnectOptions, port: u16) -> PgConnectOptions {
        options.host("127.0.0.1").port(port)
    }

    fn elsewhere(options: PgConnectOptions, database: &str) -> PgConnectOptions {
        options.database(database)
    }

    async fn run(conn: &mut PgConnection, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await.unwrap();
    }

    async fn end_others(conn: &mut PgConnection, name: &str) -> usize {
        let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE pid <> pg_backend_pid() AND application_name = $1";
        sqlx::query(others).bind(name).fetch_all(conn).await.unwrap().len()
    }

    fn first_schema() -> String {
        schema::first() + ";" + &ROW_OF_THE_FIRST_SCHEMA.replace("X'", "'\\x")
    }

    async fn count(conn: &mut PgConnection, sql: &str) -> i64 {
        sqlx::raw_sql(AssertSqlSafe(sql)).fetch_one(conn).await.unwrap().get(0)
    }

    fn zone(zone: &str) -> String {
        format!("SET TIME ZONE '{zone}'")
    }

    async fn indexes(conn: &mut PgConnection) -> Vec<String> {
        let indexes = "SELECT indexname::text FROM pg_indexes \
             WHERE schemaname = current_schema() AND tablename = 'cookie_session' ORDER BY 1";
        sqlx::query_scalar(indexes).fetch_all(conn).await.unwrap()
    }
}

type Schema = TestDatabase<Postgres>;

async fn run(conn: &mut PgConnection, sql: &str) {
    Postgres::run(conn, sql).await;
}

#[tokio::test]
async fn where_the_tables_are_there_no_right_to_make_them_is_needed() {
    let Some(schema) = Schema::new().await else { return };
    let mut conn = schema.conn().await;
    let role = format!("{}_reader", schema.name);
    run(&mut conn, &format!("CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {} TO {role}", schema.name)).await;
    let reader = PostgresStore::new(schema.pool(4, schema.options.clone().username(&role)).await);
    let error = reader.migrate().await.unwrap_err();
    assert!(matches!(error, ServerOpenError::MissingRights { .. }), "{error:?}");

    schema.store(4).await;
    let grant = "GRANT SELECT, INSERT, UPDATE, DELETE ON cookie_session, cookie_session_user, cookie_session_schema TO";
    run(&mut conn, &format!("{grant} {role}")).await;
    reader.migrate().await.unwrap();
    let new = record(1, "ada");
    reader.create(&new, &[], LIMIT, NOW).await.unwrap();
    assert_eq!(reader.load(&token(&new), NOW).await.unwrap().first().map(|row| &**row), Some(&*new));
    run(&mut conn, &format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    schema.end().await;
}

#[tokio::test]
async fn every_statement_finds_its_rows_by_an_index() {
    let Some(schema) = Schema::new().await else { return };
    let store = schema.store(4).await;
    let mut conn = store.pool.acquire().await.unwrap();
    // Enough rows that the planner has a choice.
    let fill = "INSERT INTO cookie_session (id, token_hash, previous_token_hash, token_issued_at, token_seen, user_id, \
         ip_address, user_agent, device_name, device_type, fingerprint, data, version, persistent, created_at, authenticated_at, \
         last_active_at, expires_at, absolute_expires_at) SELECT decode(md5(n::text), 'hex'), sha256(n::text::bytea), \
         CASE WHEN n % 5 = 0 THEN sha256((-n)::text::bytea) END, 0, false, 'user ' || n / 5, '', '', '', '', '', '{}', 0, \
         true, 0, 0, n, n, n FROM generate_series(1, 20000) AS n; INSERT INTO cookie_session_user (user_id) \
         SELECT 'user ' || n FROM generate_series(1, 20000) AS n; ANALYZE cookie_session, cookie_session_user";
    run(&mut conn, fill).await;
    for sql in Postgres::statements().searches().map(Statement::text) {
        // As sqlx declares them. Of the statements about users, these are the look-ups, the
        // clean-up, and the caller's own.
        let caller = "bytea, text, bytea, bigint, bigint, text, bigint, bigint, bigint, bigint, bigint";
        let most = (1..).take_while(|number| sql.contains(&format!("${number}"))).count();
        let types = match sql {
            _ if sql.contains("looked_at") => "text, bigint, bigint".to_owned(),
            _ if sql.contains("idle_since") => format!("bigint{}", ", text".repeat(most - 1)),
            _ if sql.contains("cookie_session_user") => vec!["text"; most].join(", "),
            _ if sql.contains("OFFSET") => format!("text, bigint, bytea, bigint{}", ", bytea, text".repeat(3)),
            _ if sql.contains("LIMIT $2") => "bigint, bigint".to_owned(),
            _ if sql.contains("user_id = $1") => "text, bigint, bytea, bytea, text, bytea, bigint".to_owned(),
            _ if sql.contains("expires_at > $1") => format!("bigint{}", ", bytea".repeat(most - 1)),
            _ if sql.contains("VALUES") => vec![format!("{caller}, boolean"); most / 12].join(", "),
            _ if sql.contains("$12 AND") => format!("{caller}, boolean"),
            _ => format!("{caller}, bytea, bytea"),
        };
        run(&mut conn, &format!("SET plan_cache_mode = force_generic_plan; PREPARE plan ({types}) AS {sql}")).await;
        let nulls = vec!["NULL"; types.split(',').count()].join(", ");
        let explain = format!("EXPLAIN EXECUTE plan({nulls})");
        let plan = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut *conn).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|step| step.get(0)).collect();
        assert!(plan.iter().any(|step| step.contains("Index")), "{sql}: {plan:#?}");
        assert!(!plan.iter().any(|step| step.contains("Seq Scan on cookie_session")), "{sql}: {plan:#?}");
        run(&mut conn, "DEALLOCATE plan").await;
    }
    drop(conn);
    schema.end().await;
}

user_tests!(Postgres);

/// What a client has sent.
#[derive(Default)]
struct Counts {
    statements: AtomicUsize,
    round_trips: AtomicUsize,
}

/// Forwards between a client and the server, and counts what the client has sent.
async fn proxy(server: String) -> (u16, Arc<Counts>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::<Counts>::default();
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = TcpStream::connect(&server).await.unwrap().into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
            let count = Arc::clone(&counted);
            tokio::spawn(async move {
                // The first message has no type.
                let mut started = false;
                loop {
                    let mut head = [0; 5];
                    let head = if started { &mut head[..] } else { &mut head[1..] };
                    if from_client.read_exact(head).await.is_err() {
                        return;
                    }
                    let kind = if started { head[0] } else { 0 };
                    let length = &head[head.len() - 4..];
                    let length = u32::from_be_bytes(length.try_into().unwrap()) as usize - 4;
                    let mut body = vec![0; length];
                    from_client.read_exact(&mut body).await.unwrap();
                    // A simple query, or an execution of a prepared one.
                    if matches!(kind, b'Q' | b'E') {
                        count.statements.fetch_add(1, Ordering::SeqCst);
                    }
                    // The former, or the end of the latter: the server answers.
                    if matches!(kind, b'Q' | b'S') {
                        count.round_trips.fetch_add(1, Ordering::SeqCst);
                    }
                    // A refused request for TLS is followed by another first message.
                    started |= body.get(..4) != Some(&80_877_103_u32.to_be_bytes()[..]);
                    to_server.write_all(head).await.unwrap();
                    to_server.write_all(&body).await.unwrap();
                }
            });
        }
    });
    (port, count)
}

#[tokio::test]
async fn each_operation_takes_few_statements() {
    let Some(schema) = Schema::new().await else { return };
    schema.store(4).await;
    let (port, count) = proxy(Postgres::address(&schema.options)).await;
    let options = schema.options.clone().host("127.0.0.1").port(port);
    let counted = Schema { server: options.to_url_lossy().to_string(), options, name: schema.name.clone() };
    let store = counted.own().max_connections(1).open().await.unwrap();
    // The second time everything is prepared.
    for (user, ids, is_prepared) in [("alan", [1, 2, 3], false), ("ada", [4, 5, 6], true)] {
        let counted = async |what: &str, most: usize, operation: StoreOperation<'_>| {
            let before = [&count.statements, &count.round_trips].map(|count| count.load(Ordering::SeqCst));
            operation.await;
            let after = [&count.statements, &count.round_trips].map(|count| count.load(Ordering::SeqCst));
            let [statements, trips] = [after[0] - before[0], after[1] - before[1]];
            if is_prepared {
                assert!((1..=most).contains(&statements), "{what}: {statements} statements, not {most}");
                assert!(trips <= statements, "{what}: {trips} round trips for {statements} statements");
            }
        };
        let [first, second, third] = ids.map(|id| record(id, user));
        store.create(&first, &[], LIMIT, NOW).await.unwrap();
        store.create(&second, &[], LIMIT, NOW).await.unwrap();
        let (one, by) = (token(&first), caller(&first));
        counted("a read", 1, Box::pin(async { drop(store.load(&one, NOW).await.unwrap()) })).await;
        let data = NewData::new(0, Data::from_text(r#"{"a":1}"#));
        let at = NOW + time::Duration::MINUTE;
        let activity = Activity { at, expires_at: at + time::Duration::HOUR, unless_after: NOW };
        let update = Update { data: Some(data), activity: Some(activity), ..Update::default() };
        counted("a write", 1, Box::pin(async { drop(store.update(&by, &update, NOW).await.unwrap()) })).await;
        let replaced = Replaced::from(SessionKey { user_id: first.user_id.clone(), id: first.id });
        let sign_in = async { drop(store.create(&third, std::slice::from_ref(&replaced), LIMIT, NOW).await.unwrap()) };
        counted("a sign-in, with BEGIN and COMMIT", 4, Box::pin(sign_in)).await;
        let list = async { drop(store.list(&third.user_id, None, NOW).await.unwrap()) };
        counted("a list", 1, Box::pin(list)).await;
        let end = async { drop(store.end_all(&third.user_id, None, None, NOW).await.unwrap()) };
        counted("a sign-out everywhere", 1, Box::pin(end)).await;
    }
    schema.end().await;
}

#[tokio::test]
async fn recording_activity_leaves_the_indexes_alone() {
    const WRITES: i64 = 50;
    // Those of the migration's rehearsal, which the server counts too.
    const REHEARSED: i64 = 2;
    let Some(schema) = Schema::new().await else { return };
    let store = schema.store(4).await;
    let row = record(1, "ada");
    store.create(&row, &[], LIMIT, NOW).await.unwrap();
    let mut version = 0;
    for second in 1..=WRITES {
        let later = time::Duration::seconds(second);
        let activity = Activity { at: NOW + later, expires_at: row.expires_at + later, unless_after: NOW + later };
        let data = NewData::new(version, Data::from_text(r#"{"a":1}"#));
        version = data.becomes;
        let update = Update { activity: Some(activity), data: Some(data), ..Update::default() };
        let applied = store.update(&caller(&row), &update, NOW).await.unwrap();
        assert!(matches!(applied, Updated::Done { .. }), "{applied:?}");
    }
    // A connection reports its counts only when it ends.
    store.pool.close().await;
    let mut conn = PgConnection::connect_with(&schema.options).await.unwrap();
    let counted = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables \
         WHERE schemaname = current_schema AND relname = 'cookie_session'";
    let beside = loop {
        let row = sqlx::query(counted).fetch_one(&mut conn).await.unwrap();
        if row.get::<i64, _>(0) == WRITES + REHEARSED {
            break row.get::<i64, _>(1);
        }
    };
    assert!(
        beside >= WRITES + REHEARSED - 1,
        "{beside} of {WRITES} and {REHEARSED}; one may have crossed into the next slot"
    );
    schema.end().await;
}

type StoreOperation<'a> = std::pin::Pin<Box<dyn Future<Output = ()> + 'a>>;

#[tokio::test]
async fn each_of_many_requests_at_once_gets_its_own_through_a_pooler() {
    let Some(schema) = Schema::new().await else { return };
    each_of_many_gets_its_own(&schema.own().transaction_pooling().open().await.unwrap()).await;
    schema.end().await;
}
