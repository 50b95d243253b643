//! The same facts as JSON.

use actix_web::web::Json;
use serde_json::{Value, json};
use session_actix::{CookieSession, Result, Session};

/// `{"session": …}`, with `null` for who isn't signed in.
pub(crate) async fn session(session: Option<Session>) -> Json<Value> {
    Json(json!({ "session": session }))
}

/// The user's sessions; 401 for who isn't signed in.
pub(crate) async fn devices(session: CookieSession) -> Result<Json<Vec<Session>>> {
    Ok(Json(session.list_my_sessions().await?))
}
