//! Whose access token it is: `{"sub": …}`, as in OpenID Connect.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::Provider;

/// `GET /userinfo`, with the token of RFC 6750 section 2.1.
pub(crate) async fn whose(State(provider): State<Arc<Provider>>, headers: HeaderMap) -> Response {
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|value| value.strip_prefix("Bearer "));
    let user = token.and_then(|token| provider.issued().tokens.find(token).cloned());
    match user {
        Some(user) => Json(json!({ "sub": user })).into_response(),
        None => (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Bearer error=\"invalid_token\"")]).into_response(),
    }
}
