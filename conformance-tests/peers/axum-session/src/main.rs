//! Axum with axum_session: in memory alone, or in SQLite behind its process cache. At its defaults, without signed cookies.

use std::fmt::Debug;
use std::str::FromStr;

use axum::Router;
use axum::extract::Query;
use axum::routing::get;
use axum_session::{DatabasePool, Session, SessionConfig, SessionLayer, SessionNullPool, SessionStore};
use axum_session_sqlx::SessionSqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

#[path = "../../common.rs"]
mod common;
use common::{Data, KEYS, Login, Set};

#[tokio::main]
async fn main() {
    let store = common::store();
    let config = SessionConfig::default().with_table_name("sessions");
    match store.split_once(':') {
        Some(("sqlite", path)) => {
            let synchronous =
                if common::waits_for_the_disk() { SqliteSynchronous::Full } else { SqliteSynchronous::Normal };
            let options = SqliteConnectOptions::from_str(path).expect("a path").create_if_missing(true);
            let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(synchronous);
            let pool = SqlitePoolOptions::new().max_connections(common::connections().unwrap_or(10));
            let pool = pool.connect_with(options).await.expect("a file");
            serve::<SessionSqlitePool>(Some(SessionSqlitePool::from(pool)), config).await;
        }
        _ => serve::<SessionNullPool>(None, config).await,
    }
}

async fn serve<P>(pool: Option<P>, config: SessionConfig)
where
    P: DatabasePool + Clone + Debug + Send + Sync + 'static,
{
    let store = SessionStore::<P>::new(pool, config).await.expect("a store");
    let routes = Router::new()
        .route("/plain", get(async || "plain"))
        .route("/read", get(read::<P>))
        .route("/write", get(write::<P>))
        .route("/login", get(login::<P>))
        .route("/logout", get(logout::<P>))
        .route("/rotate", get(rotate::<P>))
        .route("/set", get(set::<P>))
        .route("/keys", get(keys_there::<P>))
        .route("/data", get(data::<P>))
        .layer(SessionLayer::new(store));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    common::listening(listener.local_addr().expect("an address"));
    axum::serve(listener, routes).await.expect("it serves");
}

trait Pool: DatabasePool + Clone + Debug + Send + Sync + 'static {}
impl<P: DatabasePool + Clone + Debug + Send + Sync + 'static> Pool for P {}

async fn read<P: Pool>(session: Session<P>) -> &'static str {
    let theme: Option<String> = session.get("theme");
    std::hint::black_box(theme);
    "plain"
}

async fn write<P: Pool>(session: Session<P>) -> &'static str {
    session.set("theme", common::next_theme());
    "plain"
}

async fn login<P: Pool>(session: Session<P>, Query(login): Query<Login>) -> &'static str {
    session.renew();
    session.set("user", login.user);
    session.set("theme", "light");
    "plain"
}

async fn logout<P: Pool>(session: Session<P>) -> &'static str {
    session.destroy();
    "plain"
}

async fn rotate<P: Pool>(session: Session<P>) -> &'static str {
    session.renew();
    "plain"
}

async fn set<P: Pool>(session: Session<P>, Query(set): Query<Set>) -> &'static str {
    let theme: Option<String> = session.get("theme");
    std::hint::black_box(theme);
    set.wait_before().await;
    session.set(&set.key, "1");
    set.wait_after().await;
    "plain"
}

async fn keys_there<P: Pool>(session: Session<P>) -> String {
    if session.get::<String>("user").is_none() {
        return "out".to_owned();
    }
    KEYS.into_iter().filter(|key| session.get::<String>(key).is_some()).collect::<Vec<_>>().join(",")
}

async fn data<P: Pool>(session: Session<P>, Query(data): Query<Data>) -> &'static str {
    session.set("blob", "x".repeat(data.bytes));
    "plain"
}
