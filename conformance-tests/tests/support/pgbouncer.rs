//! PgBouncer in transaction mode before the PostgreSQL server of the tests: where no statement that
//! was prepared in one transaction is there in the next, and consecutive ones run on different
//! connections.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use conformance_tests::BoxFuture;
use conformance_tests::postgres::Postgres;
use conformance_tests::world::{PATIENCE, Rows, StoreKind};
use session_core::{PostgresOptions, SessionStore};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;

const PROGRAM: &str = "/usr/sbin/pgbouncer";
/// How many trials there may be. Each has a name of its own in the pooler's file, because there
/// alone a name can be given its schema.
const TRIALS: usize = 2000;

/// The store behind PgBouncer.
#[derive(Debug, Clone)]
pub(crate) struct PgBouncer {
    pooler: Arc<Pooler>,
}

/// A process of the pooler.
#[derive(Debug)]
struct Pooler {
    process: Child,
    port: u16,
    database: PgConnectOptions,
    next: AtomicUsize,
    _folder: TempDir,
}

impl PgBouncer {
    /// A pooler before a server.
    pub(crate) fn before(server: Postgres) -> Result<Self, String> {
        if !Path::new(PROGRAM).exists() {
            return Err(format!("there is no {PROGRAM}: `apt-get install pgbouncer` brings it"));
        }
        Ok(Self { pooler: Arc::new(Pooler::start(server.database())) })
    }
}

impl PgBouncer {
    /// The URL of a schema that no other trial uses.
    pub(crate) async fn url(&self) -> String {
        self.pooler.url().await
    }
}

impl Pooler {
    async fn url(&self) -> String {
        let trial = self.next.fetch_add(1, Ordering::Relaxed);
        assert!(trial < TRIALS, "more trials than names");
        let mut conn = PgConnection::connect_with(&self.database).await.expect("the run's database");
        let create = format!("CREATE SCHEMA pooled_{trial}");
        sqlx::query(AssertSqlSafe(create)).execute(&mut conn).await.expect("a schema of its own");
        conn.close().await.expect("a connection that closes");
        format!("postgres://anybody@127.0.0.1:{}/pooled_{trial}", self.port)
    }

    fn start(database: PgConnectOptions) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port();
        let (host, server, user) = (database.get_host(), database.get_port(), database.get_username());
        let name = database.get_database().expect("the run's database");
        // Few connections for many clients, so that they do change hands, and none kept for trials
        // that are over.
        let mut file = format!(
            "[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n\
             default_pool_size = 3\nserver_idle_timeout = 1\nmax_client_conn = 1000\nlogfile = {}\n[databases]\n",
            folder.path().join("log").display()
        );
        for trial in 0..TRIALS {
            file.push_str(&format!(
                "pooled_{trial} = host={host} port={server} dbname={name} user={user} \
                 connect_query='SET search_path = pooled_{trial}'\n"
            ));
        }
        let ini = folder.path().join("pgbouncer.ini");
        fs::write(&ini, file).expect("a file that can be written");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("its own folder");
        // It refuses to be root.
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", PROGRAM]);
            command
        } else {
            Command::new(PROGRAM)
        };
        let process = command.arg(&ini).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let process = process.expect("the pooler starts");
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::yield_now();
        }
        Self { process, port, database, next: AtomicUsize::new(0), _folder: folder }
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        // It may have ended by itself.
        if self.process.kill().is_ok() {
            drop(self.process.wait());
        }
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("`id`");
    id.stdout.trim_ascii() == b"0"
}

impl StoreKind for PgBouncer {
    fn name(&self) -> &'static str {
        "pgbouncer"
    }

    fn fresh(&self) -> BoxFuture<'static, Rows> {
        let pooler = Arc::clone(&self.pooler);
        Box::pin(async move {
            let url = pooler.url().await;
            Rows::new(move || {
                // The pooler runs as long as the rows are used.
                let (url, _pooler) = (url.clone(), Arc::clone(&pooler));
                async move {
                    let options = PostgresOptions::new(url).max_connections(8).transaction_pooling();
                    let options = options.query_timeout(PATIENCE).acquire_timeout(PATIENCE);
                    Arc::new(options.open().await.expect("a database that opens")) as Arc<dyn SessionStore>
                }
            })
        })
    }
}
