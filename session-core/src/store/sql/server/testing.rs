//! The tests that all database servers share, and a database on the server for each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::pool::PoolOptions;
use sqlx::{Connection, Pool};

use super::{Server, ServerOpenError, ServerOptions, ServerStore};
use crate::model::data::Data;
use crate::model::record::Record;
use crate::model::token::{SealedToken, TokenHash};
use crate::store::sql::connection::lease::acquire;
use crate::store::sql::testing::{
    LIMIT, NOW, SilentProxy, a_batch_leaves_large_data_out, caller, dropped_after_its_runtime, dropped_anywhere,
    each_of_many_gets_its_own, other_runtimes_may_end, record, shows_no_row, the_row_of_the_first_schema_lives_on,
    token,
};
use crate::store::{Activity, NewData, Rotation, SessionStore, StoreError, Update, Updated};

mod opening;

pub(in crate::store) use opening::*;

pub(in crate::store) type Options<D> = <<D as sqlx::Database>::Connection as Connection>::Options;

/// What a test needs of a server.
pub(in crate::store) trait TestServer: Server {
    /// The variable that names a server, and the local one.
    const SERVER: (&'static str, &'static str);
    /// URLs that aren't of this server.
    const OTHER_URLS: [&'static str; 4];
    /// SQL that makes a connection read-only.
    const READ_ONLY: &'static str;
    /// The indexes of `cookie_session`.
    const INDEXES: [&'static str; 3];

    /// SQL that makes a database or schema of that name.
    fn make(name: &str) -> String;

    /// SQL that removes it.
    fn remove(name: &str) -> String;

    /// For connections that use it.
    fn within(options: Options<Self>, name: &str) -> Options<Self>;

    /// A URL of it.
    fn url(server: &str, name: &str) -> String;

    /// Host and port.
    fn address(options: &Options<Self>) -> String;

    /// For connections through that local port.
    fn through(options: Options<Self>, port: u16) -> Options<Self>;

    /// With another database, and with another user.
    fn elsewhere(options: Options<Self>, database: &str) -> Options<Self>;

    fn run(conn: &mut Self::Connection, sql: &str) -> impl Future<Output = ()> + Send;

    /// Ends the other connections to the database, and returns how many there were.
    fn end_others(conn: &mut Self::Connection, name: &str) -> impl Future<Output = usize> + Send;

    /// The tables as the first schema had them, with a row.
    fn first_schema() -> String;

    /// The number that a query returns.
    fn count(conn: &mut Self::Connection, sql: &str) -> impl Future<Output = i64> + Send;

    /// SQL that sets the connection's time zone.
    fn zone(zone: &str) -> String;

    fn indexes(conn: &mut Self::Connection) -> impl Future<Output = Vec<String>> + Send;
}

/// A schema, or a database, of a test's own.
pub(in crate::store) struct TestDatabase<D: TestServer> {
    pub(in crate::store) server: String,
    pub(in crate::store) options: Options<D>,
    pub(in crate::store) name: String,
}

impl<D: TestServer> TestDatabase<D> {
    /// None if there is no server, which is printed, or fails if all stores must be tested.
    pub(in crate::store) async fn new() -> Option<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let (variable, local) = D::SERVER;
        let server = std::env::var(variable).unwrap_or_else(|_| local.to_owned());
        let options: Options<D> = server.parse().unwrap_or_else(|_| panic!("{variable} is a URL"));
        let mut conn = match D::Connection::connect_with(&options).await {
            Ok(conn) => conn,
            Err(error) => {
                let what = D::NAMES.server;
                assert!(std::env::var("SESSION_TEST_REQUIRE").is_err(), "no {what} server: {error}");
                println!("not tested: no {what} server: {error}");
                return None;
            }
        };
        let name = format!("unit_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        D::run(&mut conn, &D::make(&name)).await;
        Some(Self { server, options: D::within(options, &name), name })
    }

    pub(in crate::store) async fn conn(&self) -> D::Connection {
        D::Connection::connect_with(&self.options).await.unwrap()
    }

    pub(in crate::store) async fn run(&self, sql: &str) {
        D::run(&mut self.conn().await, sql).await;
    }

    pub(in crate::store) async fn pool(&self, connections: u32, options: Options<D>) -> Pool<D> {
        let pool = PoolOptions::<D>::new().max_connections(connections).test_before_acquire(false);
        pool.acquire_timeout(Duration::from_secs(2)).connect_with(options).await.unwrap()
    }

    /// A store on a pool of the test's own.
    pub(in crate::store) async fn store(&self, connections: u32) -> ServerStore<D> {
        let store = ServerStore::new(self.pool(connections, self.options.clone()).await);
        store.migrate().await.unwrap();
        store
    }

    /// Options for a store that opens its own connections.
    pub(in crate::store) fn own(&self) -> ServerOptions<D> {
        ServerOptions::new(D::url(&self.server, &self.name))
    }

    pub(in crate::store) async fn end(self) {
        self.run(&D::remove(&self.name)).await;
    }
}

/// The tests of [`TestServer`] `$server`.
macro_rules! server_tests {
    ($server:ty: $($name:ident)*) => {
        $(#[tokio::test]
        async fn $name() {
            let Some(database) = $crate::store::sql::server::testing::TestDatabase::<$server>::new().await else { return };
            $crate::store::sql::server::testing::$name(&database).await;
            database.end().await;
        })*
    };
    ($server:ty) => {
        $crate::store::sql::server::testing::server_tests! { $server:
            what_cannot_be_opened_says_why_and_shows_no_password
            a_url_that_would_be_misread_names_what_to_write
            parameters_without_effect_are_one_warning
            a_url_that_wants_encryption_names_the_drivers_feature
            what_the_driver_says_of_encryption_is_explained
            an_ipv6_address_is_one
            a_read_only_connection_is_refused_with_and_without_tables
            a_runtime_that_ends_takes_no_connection_of_an_opened_store_with_it
            a_store_outlives_the_runtime_that_opened_it
            twenty_nodes_may_migrate_at_once
            a_newer_schema_is_refused_unless_this_release_may_share_it
            without_tables_it_says_to_migrate
            tables_of_the_first_schema_migrate_and_their_sessions_live_on
            connections_that_died_in_the_pool_cost_no_read_and_no_sign_in
            a_pool_full_of_dead_connections_costs_no_read
            a_server_that_accepts_and_never_answers_is_waited_for_no_longer_than_set
            a_pool_without_a_free_connection_is_a_bounded_wait
            what_is_acknowledged_after_a_dropped_operation_is_committed
            what_is_dropped_after_its_runtime_panics_nowhere
            a_connection_that_is_opened_in_vain_does_not_lie_in_the_pool
            each_of_many_requests_at_once_gets_its_own
            data_is_sent_once
            large_data_is_left_out_of_a_batch
            what_a_database_says_of_a_row_is_not_shown
        }
    };
}
pub(in crate::store) use server_tests;

pub(in crate::store) async fn a_runtime_that_ends_takes_no_connection_of_an_opened_store_with_it<D: TestServer>(
    database: &TestDatabase<D>,
) {
    other_runtimes_may_end(&database.own().open().await.unwrap()).await;
}

pub(in crate::store) async fn a_store_outlives_the_runtime_that_opened_it<D: TestServer>(database: &TestDatabase<D>) {
    let options = database.own();
    let opening = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(options.open()).unwrap()
    });
    let (store, new) = (opening.await.unwrap(), record(1, "ada"));
    store.create(&new, &[], LIMIT, NOW).await.unwrap();
    assert!(!store.load(&token(&new), NOW).await.unwrap().is_empty());
}

pub(in crate::store) async fn twenty_nodes_may_migrate_at_once<D: TestServer>(database: &TestDatabase<D>) {
    for round in 0..5 {
        let nodes: Vec<_> = (0..20)
            .map(|_| {
                let options = database.options.clone();
                tokio::spawn(async move {
                    let mut conn = D::Connection::connect_with(&options).await.unwrap();
                    D::migrate(&mut conn).await
                })
            })
            .collect();
        for node in nodes {
            let outcome = node.await.unwrap();
            assert!(outcome.is_ok(), "round {round}: {outcome:?}");
        }
        let store = database.store(1).await;
        assert!(store.load(&token(&record(1, "ada")), NOW).await.unwrap().is_empty());
        database.run("DROP TABLE cookie_session, cookie_session_user, cookie_session_schema").await;
    }
}

pub(in crate::store) async fn a_newer_schema_is_refused_unless_this_release_may_share_it<D: TestServer>(
    database: &TestDatabase<D>,
) {
    let store = database.store(1).await;
    let set = async |version: i64, oldest: i64| {
        let sql = format!("UPDATE cookie_session_schema SET version = {version}, oldest_reader = {oldest}");
        database.run(&sql).await;
    };
    set(99, 99).await;
    let error = store.migrate().await.unwrap_err();
    assert!(matches!(error, ServerOpenError::NewerSchema { found: 99, known: 3 }), "{error:?}");
    set(99, 1).await;
    store.migrate().await.expect("a neighbouring release may share it");
}

pub(in crate::store) async fn without_tables_it_says_to_migrate<D: TestServer>(database: &TestDatabase<D>) {
    let store = ServerStore::new(database.pool(1, database.options.clone()).await);
    let new = record(1, "ada");
    let error = store.create(&new, &[], LIMIT, NOW).await.unwrap_err().to_string();
    assert!(error.contains(D::NAMES.migrate) && error.contains("nothing was changed"), "{error}");
    let error = store.load(&token(&new), NOW).await.unwrap_err().to_string();
    assert!(error.contains(D::NAMES.migrate), "{error}");
}

pub(in crate::store) async fn tables_of_the_first_schema_migrate_and_their_sessions_live_on<D: TestServer>(
    database: &TestDatabase<D>,
) {
    database.run(&D::first_schema()).await;
    the_row_of_the_first_schema_lives_on(&database.store(4).await).await;
    assert_eq!(D::indexes(&mut database.conn().await).await, D::INDEXES);
}

pub(in crate::store) async fn connections_that_died_in_the_pool_cost_no_read_and_no_sign_in<D: TestServer>(
    database: &TestDatabase<D>,
) {
    let store = database.store(4).await;
    let new = record(1, "ada");
    store.create(&new, &[], LIMIT, NOW).await.unwrap();
    for round in 2..12 {
        // As when the server was restarted in between.
        let ended = D::end_others(&mut database.conn().await, &database.name).await;
        assert!(ended > 0, "there were connections to end");
        let found = store.load(&token(&new), NOW).await.unwrap();
        assert_eq!(found.first().map(|row| row.id), Some(new.id), "{round}");
        store.create(&record(round, "alan"), &[], LIMIT, NOW).await.unwrap();
    }
}

pub(in crate::store) async fn a_pool_full_of_dead_connections_costs_no_read<D: TestServer>(database: &TestDatabase<D>) {
    let new = record(1, "ada");
    database.store(1).await.create(&new, &[], LIMIT, NOW).await.unwrap();
    let pool = PoolOptions::<D>::new().max_connections(30).min_connections(30).test_before_acquire(false);
    let store = ServerStore::new(pool.connect_with(database.options.clone()).await.unwrap());
    while store.pool.num_idle() < 30 {
        tokio::task::yield_now().await;
    }
    assert!(D::end_others(&mut database.conn().await, &database.name).await >= 30);
    assert!(!store.load(&token(&new), NOW).await.unwrap().is_empty());
}

pub(in crate::store) async fn a_server_that_accepts_and_never_answers_is_waited_for_no_longer_than_set<D>(
    database: &TestDatabase<D>,
) where
    D: TestServer,
{
    let direct = database.store(1).await;
    let proxy = SilentProxy::start(D::address(&database.options)).await;
    let through = D::through(database.options.clone(), proxy.port);
    let store = ServerStore::new(database.pool(2, through).await);
    let (new, by) = (record(1, "ada"), caller(&record(1, "ada")));
    store.create(&new, &[], LIMIT, NOW).await.unwrap();

    proxy.keep_silent(true);
    let hasty = store.clone().query_timeout(Duration::from_millis(200));
    let update = Update { data: Some(NewData::new(0, Data::from_text("{}"))), ..Update::default() };
    for _ in 0..3 {
        let read = hasty.load(&token(&new), NOW).await.unwrap_err();
        assert!(matches!(read, StoreError::NotApplied(_)), "{read:?}");
        let other = hasty.create(&record(2, "alan"), &[], LIMIT, NOW).await.unwrap_err();
        assert!(matches!(other, StoreError::NotApplied(_) | StoreError::Unknown(_)), "{other:?}");
        let write = hasty.update(&by, &update, NOW).await.unwrap_err();
        assert!(matches!(write, StoreError::NotApplied(_) | StoreError::Unknown(_)), "{write:?}");
    }
    proxy.keep_silent(false);
    assert_eq!(store.load(&token(&new), NOW).await.unwrap(), direct.load(&token(&new), NOW).await.unwrap());
    assert!(direct.list(&by.user_id, None, NOW).await.is_ok());
}

pub(in crate::store) async fn a_pool_without_a_free_connection_is_a_bounded_wait<D: TestServer>(
    database: &TestDatabase<D>,
) {
    database.store(1).await;
    let pool = PoolOptions::<D>::new().max_connections(1).acquire_timeout(Duration::from_millis(200));
    let store = ServerStore::new(pool.connect_with(database.options.clone()).await.unwrap());
    let held = store.pool.acquire().await.unwrap();
    let new = record(1, "ada");
    let refused = store.create(&new, &[], LIMIT, NOW).await.unwrap_err();
    assert!(matches!(refused, StoreError::NotApplied(_)), "{refused:?}");
    assert!(refused.to_string().contains("`open` makes a pool of its own"), "{refused}");
    assert!(matches!(store.load(&token(&new), NOW).await.unwrap_err(), StoreError::NotApplied(_)));
    drop(held);
    store.create(&new, &[], LIMIT, NOW).await.unwrap();
}

pub(in crate::store) async fn what_is_acknowledged_after_a_dropped_operation_is_committed<D: TestServer>(
    database: &TestDatabase<D>,
) {
    let other = database.store(1).await;
    dropped_anywhere(&database.store(1).await, &other).await;
    database.run("DELETE FROM cookie_session").await;
    dropped_anywhere(&database.own().max_connections(1).open().await.unwrap(), &other).await;
}

pub(in crate::store) async fn what_is_dropped_after_its_runtime_panics_nowhere<D: TestServer>(
    database: &TestDatabase<D>,
) {
    database.store(1).await.create(&record(1, "ada"), &[], LIMIT, NOW).await.unwrap();
    let (own, options) = (database.own(), database.options.clone());
    // Where a runtime catches a panic, only the hook knows.
    let panics = Arc::new(AtomicU64::new(0));
    let (thread_name, hook) = (format!("{} without a runtime", D::NAMES.store), std::panic::take_hook());
    let (watched, counted) = (thread_name.clone(), Arc::clone(&panics));
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().name() == Some(&watched) {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        hook(panic);
    }));
    let thread = std::thread::Builder::new().name(thread_name).spawn(move || {
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let own = runtime().block_on(own.open()).unwrap();
        let pool = async { PoolOptions::new().test_before_acquire(false).connect_lazy_with(options) };
        let direct = ServerStore::new(runtime().block_on(pool));
        for store in [own, direct] {
            dropped_after_its_runtime(&store, runtime);
        }
    });
    let joined = tokio::task::spawn_blocking(|| thread.unwrap().join()).await.unwrap();
    assert!(joined.is_ok() && panics.load(Ordering::SeqCst) == 0, "no panic");
}

pub(in crate::store) async fn a_connection_that_is_opened_in_vain_does_not_lie_in_the_pool<D: TestServer>(
    database: &TestDatabase<D>,
) {
    let store = database.own().max_connections(1).open().await.unwrap();
    let lease = || acquire(store.leases.as_ref(), &store.pool, false, Duration::MAX);
    lease().await.unwrap().close();
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let (mut opening, before) = (Box::pin(lease()), tasks());
    std::future::poll_fn(|context| {
        assert!(opening.as_mut().poll(context).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    while tasks() > before {
        tokio::task::yield_now().await;
    }
    // Given up when it is open.
    drop(opening);
    while store.pool.size() > 0 {
        assert_eq!(store.pool.num_idle(), 0, "nobody would know when the server was heard on it");
        tokio::task::yield_now().await;
    }
}

pub(in crate::store) async fn each_of_many_requests_at_once_gets_its_own<D: TestServer>(database: &TestDatabase<D>) {
    for options in [database.own(), database.own().max_connections(1)] {
        each_of_many_gets_its_own(&options.open().await.unwrap()).await;
        database.run("DELETE FROM cookie_session").await;
    }
}

pub(in crate::store) async fn large_data_is_left_out_of_a_batch<D: TestServer>(database: &TestDatabase<D>) {
    a_batch_leaves_large_data_out(&database.own().open().await.unwrap()).await;
}

pub(in crate::store) async fn data_is_sent_once<D: TestServer>(database: &TestDatabase<D>) {
    const SIZE: usize = 1 << 20;
    let text = format!(r#"{{"long":"{}"}}"#, "x".repeat(SIZE));
    database.store(1).await;
    let proxy = SilentProxy::start(D::address(&database.options)).await;
    let store = ServerStore::new(database.pool(1, D::through(database.options.clone(), proxy.port)).await);
    let mut row = (*record(1, "ada")).clone();
    row.data = Data::from_text(text.as_str());
    proxy.said();
    let sent_once = |what: &str| {
        let said = proxy.said();
        assert!((text.len()..=text.len() / 10 * 11).contains(&said), "{what}: {said} bytes for {}", text.len());
    };
    store.create(&Arc::new(row.clone()), &[], LIMIT, NOW).await.unwrap();
    sent_once("a sign-in");
    let activity = Activity { at: NOW, expires_at: row.expires_at, unless_after: NOW };
    let to = [2, 3].map(|byte| TokenHash::from_slice(&[byte; 32]).unwrap());
    let rotation = Rotation { to: to[0], successor: SealedToken::from_slice(&[4; 32]) };
    for (what, update) in [
        ("data", Update::default()),
        ("data and activity", Update { activity: Some(activity), ..Update::default() }),
        ("data and a token that was presented", Update { seen: true, ..Update::default() }),
        ("data and a rotation", Update { rotation: Some(rotation), ..Update::default() }),
        (
            "data and a strict rotation",
            Update { rotation: Some(Rotation { to: to[1], successor: None }), ..Update::default() },
        ),
    ] {
        let data = NewData::new(row.version, row.data.clone());
        row.version = data.becomes;
        let update = Update { data: Some(data), ..update };
        let applied = store.update(&caller(&row), &update, NOW).await.unwrap();
        assert!(matches!(applied, Updated::Done { .. }), "{what}: {applied:?}");
        sent_once(what);
        row.token_hash = update.rotation.map_or(row.token_hash, |rotation| rotation.to);
    }
    let stored = store.load(&token(&row), NOW).await.unwrap();
    assert_eq!((stored[0].version, stored[0].data.text().len()), (row.version, text.len()));
}

pub(in crate::store) async fn what_a_database_says_of_a_row_is_not_shown<D: TestServer>(database: &TestDatabase<D>) {
    let store = database.store(1).await;
    database.run("ALTER TABLE cookie_session ADD CONSTRAINT no_agent CHECK (user_agent <> 'agent')").await;
    let data = Data::from_text(r#"{"secret":"in the data"}"#);
    let new = Arc::new(Record { data, ..(*record(1, "ada")).clone() });
    let error = store.create(&new, &[], LIMIT, NOW).await.unwrap_err();
    shows_no_row(&error);
}
