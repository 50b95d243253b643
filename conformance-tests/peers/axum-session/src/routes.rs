//! The routes on axum_session.

use std::fmt::Debug;

use axum::Router;
use axum::extract::Query;
use axum::routing::get;
use axum_session::{DatabasePool, Session, SessionConfig, SessionLayer, SessionStore};

use super::common::{self, Data, KEYS, Login, Set};

pub async fn layer<P: Pool>(pool: Option<P>) -> SessionLayer<P> {
    let config = SessionConfig::default().with_table_name("sessions");
    SessionLayer::new(SessionStore::<P>::new(pool, config).await.expect("a store"))
}

pub fn routes<P: Pool>() -> Router {
    Router::new()
        .route("/plain", get(async || "plain"))
        .route("/read", get(read::<P>))
        .route("/write", get(write::<P>))
        .route("/login", get(login::<P>))
        .route("/logout", get(logout::<P>))
        .route("/rotate", get(rotate::<P>))
        .route("/set", get(set::<P>))
        .route("/keys", get(keys_there::<P>))
        .route("/data", get(data::<P>))
}

pub trait Pool: DatabasePool + Clone + Debug + Send + Sync + 'static {}
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
