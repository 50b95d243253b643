//! What is particular to PostgreSQL: opening, migrating, plans, round trips, and connections that die. The store's behaviour
//! as such is the shared suite's to test. Runs on the server that `SESSION_TEST_POSTGRES` names, else on the local one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::session::Data;
use crate::store::sql::statements::Statement;
use crate::store::sql::testing::{
    LIMIT, NOW, caller, dropped_anywhere, each_of_many_gets_its_own, other_runtimes_may_end, record, token,
};
use crate::store::{Activity, Applied, NewData, SessionKey, SessionStore, StoreError, Update};

mod waits;

/// A schema of a test's own.
struct Schema {
    url: String,
    options: PgConnectOptions,
    name: String,
}

impl Schema {
    /// None, said in a line, where no server is; which fails if all must be tested.
    async fn new() -> Option<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let url = std::env::var("SESSION_TEST_POSTGRES");
        let url = url.unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/postgres".to_owned());
        let options: PgConnectOptions = url.parse().expect("SESSION_TEST_POSTGRES is a URL");
        let mut conn = match PgConnection::connect_with(&options).await {
            Ok(conn) => conn,
            Err(error) => {
                assert!(std::env::var("SESSION_TEST_REQUIRE").is_err(), "no PostgreSQL server: {error}");
                println!("not tested: no PostgreSQL server: {error}");
                return None;
            }
        };
        let name = format!("unit_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        run(&mut conn, &format!("DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name}")).await;
        Some(Self { url, options: options.options([("search_path", &name)]).application_name(&name), name })
    }

    async fn pool(&self, options: PgConnectOptions) -> PgPool {
        PgPoolOptions::new().max_connections(4).test_before_acquire(false).connect_with(options).await.unwrap()
    }

    fn server(&self) -> String {
        format!("{}:{}", self.options.get_host(), self.options.get_port())
    }

    async fn store(&self) -> PostgresStore {
        let store = PostgresStore::new(self.pool(self.options.clone()).await);
        store.migrate().await.unwrap();
        store
    }

    /// Options for a store that opens its own connections.
    fn own(&self) -> PostgresOptions {
        let separator = if self.url.contains('?') { '&' } else { '?' };
        PostgresOptions::new(format!("{}{separator}options=-csearch_path%3D{}", self.url, self.name))
    }

    async fn end(self) {
        let mut conn = PgConnection::connect_with(&self.options).await.unwrap();
        run(&mut conn, &format!("DROP SCHEMA {} CASCADE", self.name)).await;
    }
}

async fn run(conn: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_opened_says_why_and_shows_no_password() {
    for nowhere in ["", "sessions.db", "mysql://ada:lovelace@localhost/app", "postgres://ada:lovelace@host:port/app"] {
        let error = PostgresStore::open(nowhere).await.unwrap_err();
        assert!(matches!(error, ServerOpenError::Url { .. }), "{error:?}");
        assert!(!error.to_string().contains("lovelace"));
    }
    let nobody = PostgresOptions::new("postgres://ada:lovelace@127.0.0.1:1/app");
    let error = nobody.patience(std::time::Duration::from_millis(300)).open().await.unwrap_err();
    assert!(matches!(error, ServerOpenError::NoServer { .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("lovelace"));

    let Some(schema) = Schema::new().await else { return };
    let missing = schema.options.clone().database("no_such_database");
    let error = PgPoolOptions::new().connect_with(missing).await.unwrap_err();
    assert!(matches!(ServerOpenError::of::<PostgresStore>(error.into()), ServerOpenError::NoDatabase { .. }));

    let mut conn = PgConnection::connect_with(&schema.options).await.unwrap();
    let role = format!("{}_reader", schema.name);
    run(&mut conn, &format!("CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {} TO {role}", schema.name)).await;
    let reader = PostgresStore::new(schema.pool(schema.options.clone().username(&role)).await);
    let error = reader.migrate().await.unwrap_err();
    assert!(matches!(error, ServerOpenError::MissingRights { .. }), "{error:?}");

    schema.store().await;
    let grant = "GRANT SELECT, INSERT, UPDATE, DELETE ON cookie_session, cookie_session_user, cookie_session_schema TO";
    run(&mut conn, &format!("{grant} {role}")).await;
    reader.migrate().await.expect("where the tables are there, no right to make them is needed");
    let new = record(1, "ada");
    reader.create(&new, &[], LIMIT, NOW).await.unwrap();
    assert_eq!(reader.load(&token(&new), NOW).await.unwrap().first().map(|row| &**row), Some(&*new));
    run(&mut conn, &format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    schema.end().await;
}

#[tokio::test]
async fn a_runtime_that_ends_takes_no_connection_of_an_opened_store_with_it() {
    let Some(schema) = Schema::new().await else { return };
    let store = schema.own().open().await.unwrap();
    other_runtimes_may_end(&store).await;
    drop(store);
    schema.end().await;
}

#[tokio::test]
async fn twenty_nodes_may_migrate_at_once() {
    let Some(schema) = Schema::new().await else { return };
    for round in 0..5 {
        let nodes: Vec<_> = (0..20)
            .map(|_| {
                let options = schema.options.clone();
                tokio::spawn(async move {
                    let mut conn = PgConnection::connect_with(&options).await.unwrap();
                    schema::migrate(&mut conn).await
                })
            })
            .collect();
        for node in nodes {
            let outcome = node.await.unwrap();
            assert!(outcome.is_ok(), "round {round}: {outcome:?}");
        }
        let store = schema.store().await;
        assert!(store.load(&token(&record(1, "ada")), NOW).await.unwrap().is_empty());
        let drop = "DROP TABLE cookie_session, cookie_session_user, cookie_session_schema";
        run(&mut PgConnection::connect_with(&schema.options).await.unwrap(), drop).await;
    }
    schema.end().await;
}

#[tokio::test]
async fn a_newer_schema_is_refused_unless_this_release_may_share_it() {
    let Some(schema) = Schema::new().await else { return };
    let store = schema.store().await;
    let set = async |version: i64, oldest: i64| {
        let sql = format!("UPDATE cookie_session_schema SET version = {version}, oldest_reader = {oldest}");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&store.pool).await.unwrap();
    };
    set(99, 99).await;
    let error = store.migrate().await.unwrap_err();
    assert!(matches!(error, ServerOpenError::NewerSchema { found: 99, known: 2 }), "{error:?}");
    set(99, 1).await;
    store.migrate().await.expect("a neighbouring release may share it");
    schema.end().await;
}

#[tokio::test]
async fn without_tables_it_says_to_migrate() {
    let Some(schema) = Schema::new().await else { return };
    let store = PostgresStore::new(schema.pool(schema.options.clone()).await);
    let new = record(1, "ada");
    let error = store.create(&new, &[], LIMIT, NOW).await.unwrap_err().to_string();
    assert!(error.contains("PostgresStore::migrate") && error.contains("nothing was changed"), "{error}");
    let error = store.load(&token(&new), NOW).await.unwrap_err().to_string();
    assert!(error.contains("PostgresStore::migrate"), "{error}");
    schema.end().await;
}

#[tokio::test]
async fn every_statement_finds_its_rows_by_an_index() {
    let Some(schema) = Schema::new().await else { return };
    let store = schema.store().await;
    let mut conn = store.pool.acquire().await.unwrap();
    // Enough rows that the planner has a choice.
    let fill = "INSERT INTO cookie_session (id, token_hash, previous_token_hash, token_issued_at, token_seen, user_id, \
         ip_address, user_agent, device_name, device_type, fingerprint, data, version, persistent, created_at, authenticated_at, \
         last_active_at, expires_at, absolute_expires_at) SELECT decode(md5(n::text), 'hex'), sha256(n::text::bytea), \
         CASE WHEN n % 5 = 0 THEN sha256((-n)::text::bytea) END, 0, false, 'user ' || n / 5, '', '', '', '', '', '{}', 0, \
         true, 0, 0, n, n, n FROM generate_series(1, 20000) AS n; ANALYZE cookie_session";
    run(&mut conn, fill).await;
    for sql in PostgresStore::statements().searches().map(Statement::text) {
        // As sqlx declares them: of the user's statements, the look-ups, the clean-up, and the caller's own.
        let caller = "bytea, text, bytea, bigint, bigint, text, bigint, bigint, bigint, bigint";
        let most = (1..).take_while(|number| sql.contains(&format!("${number}"))).count();
        let types = match sql {
            _ if sql.contains("OFFSET") => format!("text, bigint, bytea, bigint{}", ", bytea, text".repeat(3)),
            _ if sql.contains("LIMIT $2") => "bigint, bigint".to_owned(),
            _ if sql.contains("user_id = $1") => "text, bigint, bytea, bytea, text, bytea, bigint".to_owned(),
            _ if sql.contains("expires_at > $1") => format!("bigint{}", ", bytea".repeat(most - 1)),
            _ if sql.contains("VALUES") => vec![format!("{caller}, boolean"); most / 11].join(", "),
            _ if sql.contains("$11 AND") => format!("{caller}, boolean"),
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

/// What a client has asked for.
#[derive(Default)]
struct Counts {
    statements: AtomicUsize,
    round_trips: AtomicUsize,
}

/// Passes on what a client and the server say, until it is told to keep silent, and counts what the client has asked for.
async fn proxy(server: String) -> (u16, Arc<Counts>, Arc<AtomicBool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::<Counts>::default();
    let counted = Arc::clone(&count);
    let silent = Arc::new(AtomicBool::new(false));
    let silenced = Arc::clone(&silent);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = TcpStream::connect(&server).await.unwrap().into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
            let (count, silent) = (Arc::clone(&counted), Arc::clone(&silenced));
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
                    if silent.load(Ordering::SeqCst) {
                        // It accepts, and never answers.
                        std::future::pending::<()>().await;
                    }
                    // A refused request for TLS is followed by another first message.
                    started |= body.get(..4) != Some(&80_877_103_u32.to_be_bytes()[..]);
                    to_server.write_all(head).await.unwrap();
                    to_server.write_all(&body).await.unwrap();
                }
            });
        }
    });
    (port, count, silent)
}

#[tokio::test]
async fn each_operation_takes_few_statements() {
    let Some(schema) = Schema::new().await else { return };
    schema.store().await;
    let (port, count, _) = proxy(schema.server()).await;
    let options = schema.options.clone().host("127.0.0.1").port(port);
    let counted = Schema { url: options.to_url_lossy().to_string(), options, name: schema.name.clone() };
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
        let data = NewData { based_on: 0, data: Data::from_text(r#"{"a":1}"#) };
        let at = NOW + time::Duration::MINUTE;
        let activity = Activity { at, expires_at: at + time::Duration::HOUR, unless_after: NOW };
        let update = Update { data: Some(data), activity: Some(activity), ..Update::default() };
        counted("a write", 1, Box::pin(async { drop(store.apply(&by, &update, NOW).await.unwrap()) })).await;
        let replaced = SessionKey { user_id: first.user_id.clone(), id: first.id };
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
    let Some(schema) = Schema::new().await else { return };
    let store = schema.store().await;
    let row = record(1, "ada");
    store.create(&row, &[], LIMIT, NOW).await.unwrap();
    for second in 1..=WRITES {
        let later = time::Duration::seconds(second);
        let activity = Activity { at: NOW + later, expires_at: row.expires_at + later, unless_after: NOW + later };
        let data = Some(NewData { based_on: second - 1, data: Data::from_text(r#"{"a":1}"#) });
        let update = Update { activity: Some(activity), data, ..Update::default() };
        let applied = store.apply(&caller(&row), &update, NOW).await.unwrap();
        assert!(matches!(applied, Applied::Done { .. }), "{applied:?}");
    }
    // A connection counts its changes for all to see at its end.
    store.pool.close().await;
    let mut conn = PgConnection::connect_with(&schema.options).await.unwrap();
    let counted = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables \
         WHERE schemaname = current_schema AND relname = 'cookie_session'";
    let beside = loop {
        let row = sqlx::query(counted).fetch_one(&mut conn).await.unwrap();
        if row.get::<i64, _>(0) == WRITES {
            break row.get::<i64, _>(1);
        }
    };
    assert!(beside >= WRITES - 1, "{beside} of {WRITES}; one may have crossed into the next slot");
    schema.end().await;
}

type StoreOperation<'a> = std::pin::Pin<Box<dyn Future<Output = ()> + 'a>>;

#[tokio::test]
async fn connections_that_died_in_the_pool_cost_no_read_and_no_sign_in() {
    let Some(schema) = Schema::new().await else { return };
    let store = schema.store().await;
    let new = record(1, "ada");
    store.create(&new, &[], LIMIT, NOW).await.unwrap();
    for round in 2..12 {
        // As when the server was restarted in between.
        let mut conn = PgConnection::connect_with(&schema.options).await.unwrap();
        let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE pid <> pg_backend_pid() AND application_name = $1";
        let ended = sqlx::query(others).bind(&schema.name).fetch_all(&mut conn).await.unwrap();
        assert!(!ended.is_empty(), "there were connections to end");
        assert_eq!(
            store.load(&token(&new), NOW).await.unwrap().first().map(|row| &**row).map(|row| row.id),
            Some(new.id),
            "{round}"
        );
        let other = record(round, "alan");
        store.create(&other, &[], LIMIT, NOW).await.unwrap();
        drop(other);
    }
    schema.end().await;
}

#[tokio::test]
async fn a_server_that_accepts_and_never_answers_is_waited_for_no_longer_than_told() {
    let Some(schema) = Schema::new().await else { return };
    let direct = schema.store().await;
    let (port, _, silent) = proxy(schema.server()).await;
    let pool = PgPoolOptions::new().max_connections(2).acquire_timeout(Duration::from_secs(1));
    let pool = pool.connect_with(schema.options.clone().host("127.0.0.1").port(port)).await.unwrap();
    let store = PostgresStore::new(pool);
    let (new, by) = (record(1, "ada"), caller(&record(1, "ada")));
    store.create(&new, &[], LIMIT, NOW).await.unwrap();

    silent.store(true, Ordering::SeqCst);
    let hasty = store.clone().answer_within(Duration::from_millis(200));
    let update = Update { data: Some(NewData { based_on: 0, data: Data::from_text("{}") }), ..Update::default() };
    for _ in 0..3 {
        let read = hasty.load(&token(&new), NOW).await.unwrap_err();
        assert!(matches!(read, StoreError::NotApplied(_)), "{read:?}");
        let other = hasty.create(&record(2, "alan"), &[], LIMIT, NOW).await.unwrap_err();
        assert!(matches!(other, StoreError::NotApplied(_) | StoreError::Unknown(_)), "{other:?}");
        let write = hasty.apply(&by, &update, NOW).await.unwrap_err();
        assert!(matches!(write, StoreError::NotApplied(_) | StoreError::Unknown(_)), "{write:?}");
    }
    silent.store(false, Ordering::SeqCst);
    assert_eq!(store.load(&token(&new), NOW).await.unwrap(), direct.load(&token(&new), NOW).await.unwrap());
    assert!(direct.list(&by.user_id, None, NOW).await.is_ok());
    schema.end().await;
}

#[tokio::test]
async fn a_pool_without_a_free_connection_is_a_bounded_wait() {
    let Some(schema) = Schema::new().await else { return };
    schema.store().await;
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(Duration::from_millis(200));
    let store = PostgresStore::new(pool.connect_with(schema.options.clone()).await.unwrap());
    let held = store.pool.acquire().await.unwrap();
    let new = record(1, "ada");
    let refused = store.create(&new, &[], LIMIT, NOW).await.unwrap_err();
    assert!(matches!(refused, StoreError::NotApplied(_)), "{refused:?}");
    assert!(matches!(store.load(&token(&new), NOW).await.unwrap_err(), StoreError::NotApplied(_)));
    drop(held);
    store.create(&new, &[], LIMIT, NOW).await.unwrap();
    schema.end().await;
}

#[tokio::test]
async fn what_is_acknowledged_after_a_dropped_operation_is_committed() {
    let Some(schema) = Schema::new().await else { return };
    let other = schema.store().await;
    let pool = PgPoolOptions::new().max_connections(1).test_before_acquire(false);
    let store = PostgresStore::new(pool.connect_with(schema.options.clone()).await.unwrap());
    dropped_anywhere(&store, &other).await;
    sqlx::raw_sql("TRUNCATE cookie_session").execute(&other.pool).await.unwrap();
    dropped_anywhere(&schema.own().max_connections(1).open().await.unwrap(), &other).await;
    schema.end().await;
}

#[tokio::test]
async fn each_of_many_requests_at_once_gets_its_own() {
    let Some(schema) = Schema::new().await else { return };
    for options in [schema.own(), schema.own().max_connections(1), schema.own().transaction_pooling()] {
        let store = options.open().await.unwrap();
        each_of_many_gets_its_own(&store).await;
        sqlx::raw_sql("TRUNCATE cookie_session").execute(&store.pool).await.unwrap();
    }
    schema.end().await;
}

#[tokio::test]
async fn tables_of_the_first_schema_migrate_and_their_sessions_live_on() {
    let Some(schema) = Schema::new().await else { return };
    let mut conn = PgConnection::connect_with(&schema.options).await.unwrap();
    run(&mut conn, &schema::first()).await;
    run(&mut conn, &crate::store::sql::testing::ROW_OF_THE_FIRST_SCHEMA.replace("X'", "'\\x")).await;
    let store = schema.store().await;
    crate::store::sql::testing::the_row_of_the_first_schema_lives_on(&store).await;
    let indexes: Vec<String> = sqlx::query_scalar(
        "SELECT indexname::text FROM pg_indexes WHERE schemaname = current_schema() AND tablename = 'cookie_session' ORDER BY 1",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    assert_eq!(indexes, ["cookie_session_expires_slot", "cookie_session_pkey", "cookie_session_user_id"]);
    schema.end().await;
}

#[tokio::test]
async fn what_a_database_says_of_a_row_is_not_shown() {
    let Some(schema) = Schema::new().await else { return };
    let store = schema.store().await;
    let mut conn = PgConnection::connect_with(&schema.options).await.unwrap();
    run(&mut conn, "ALTER TABLE cookie_session ADD CONSTRAINT no_agent CHECK (user_agent <> 'agent')").await;
    let new = Arc::new(crate::session::Record {
        data: Data::from_text(r#"{"secret":"in the data"}"#),
        ..(*record(1, "ada")).clone()
    });
    let error = store.create(&new, &[], LIMIT, NOW).await.unwrap_err();
    crate::store::sql::testing::shows_no_row(&error);
    assert!(error.to_string().contains("no_agent"), "{error}");
    schema.end().await;
}
