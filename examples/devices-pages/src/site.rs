//! What every app does at start: settings, database, signing key, sessions, accounts. Not here: the
//! server, which is the app's.

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use session_core::{
    CleanupTask, CookieSessionService, CrossOrigin, KeyRing, MySqlStore, PostgresStore, RedisOptions, SessionConfig,
    SessionStore, SqliteStore,
};

use crate::{Accounts, Database, Settings};

/// How often to delete the rows of long-expired sessions.
const CLEANUP_EVERY: Duration = Duration::from_secs(60 * 60);

/// How long requests may take to end once an app is told to stop.
pub const DRAIN: Duration = Duration::from_secs(10);

/// The largest body of a request, in bytes: the longest form, a username and a password of full
/// length with every byte escaped, is a quarter of it.
pub const MAX_BODY_BYTES: usize = 16 * 1024;

/// What an app serves.
pub struct Site {
    /// What it was started with.
    pub settings: Settings,
    /// Its sessions, for the app's adapter.
    pub sessions: CookieSessionService,
    /// Who can sign in.
    pub accounts: Arc<Accounts>,
    /// Deletes expired sessions until it is stopped.
    pub cleanup: CleanupTask,
}

impl Site {
    /// Opens everything that the environment variables name, and says on the standard output where
    /// the key is.
    ///
    /// # Errors
    /// What can't be used, with what to do about it.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn open() -> Result<Self, Box<dyn Error>> {
        let settings = Settings::from_env()?;
        let store: Arc<dyn SessionStore> = match &settings.database {
            Database::File(path) => Arc::new(SqliteStore::open(path.to_str().ok_or("a path in UTF-8")?).await?),
            Database::Memory => Arc::new(SqliteStore::open(":memory:").await?),
            Database::Postgres(url) => Arc::new(PostgresStore::open(url).await?),
            Database::MySql(url) => Arc::new(MySqlStore::open(url).await?),
            Database::Redis(urls) => Arc::new(match &urls[..] {
                [url] => RedisOptions::new(url).open().await?,
                urls => RedisOptions::cluster(urls).open().await?,
            }),
        };
        let (key, notice) = settings.signing_key()?;
        println!("{notice}");
        let mut config = SessionConfig::builder().refuse_cross_origin(CrossOrigin::new());
        if settings.insecure_cookies {
            config = config.insecure_development_cookies();
        }
        let sessions = CookieSessionService::new(store, config.build(KeyRing::new(key))?);
        let cleanup = sessions.spawn_cleanup(CLEANUP_EVERY);
        let accounts = tokio::task::spawn_blocking(Accounts::demo).await??;
        Ok(Self { settings, sessions, accounts: Arc::new(accounts), cleanup })
    }

    /// Says where the app listens. Tests and people look for the address.
    pub fn announce(&self, app: &str, addr: std::net::SocketAddr) {
        println!("{app} is at http://{addr}");
        if !self.settings.addr.ip().to_canonical().is_loopback() {
            println!("its cookies need https://, so put a proxy that ends TLS in front of it");
        }
    }

    /// That the app can't listen where it was told to.
    pub fn cannot_listen(&self, error: &std::io::Error) -> String {
        format!("cannot listen on {} ({error}): set ADDR to a free one", self.settings.addr)
    }
}

/// What `main` returns: success, or the failure with all its causes on the standard error.
pub fn exit(app: &str, outcome: Result<(), Box<dyn Error>>) -> ExitCode {
    let Err(error) = outcome else { return ExitCode::SUCCESS };
    eprintln!("{app}: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  because {error}");
        cause = error.source();
    }
    ExitCode::FAILURE
}
