//! The routes, and the layers around them.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{StatusCode, header};
use axum::middleware::from_fn;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get, post};
use devices_pages::assets::{self, Asset};
use devices_pages::{Accounts, MAX_BODY_BYTES, pages};
use session_axum::{CookieSession, CookieSessionLayer, Result};

use crate::visitor::visitor;
use crate::{api, default_headers, devices, preferences, sign_in};

/// The whole app. The default headers are outermost, so that what the session layer refuses has them
/// too. They are inside that layer as well, as where it finds no `Cache-Control` it says `private`.
pub(crate) fn router(accounts: Arc<Accounts>, sessions: CookieSessionLayer) -> Router {
    Router::new()
        .route("/", get(devices::home))
        .route("/login", get(sign_in::page).post(sign_in::sign_in))
        .route("/logout", post(sign_in::sign_out))
        .route("/logout-others", post(sign_in::sign_out_others))
        .route("/logout-all", post(sign_in::sign_out_everywhere))
        .route("/devices", get(devices::list))
        .route("/devices/{id}/revoke", post(devices::revoke))
        .route("/rotate", post(devices::rotate))
        .route("/theme", post(preferences::pick_theme))
        .route("/visits", post(preferences::count_visit))
        .route("/visits/reset", post(preferences::start_over))
        .route("/api/session", get(api::session))
        .route("/api/devices", get(api::devices))
        .route(assets::STYLE.path, file(assets::STYLE))
        .route(assets::ICON.path, file(assets::ICON))
        .fallback(not_found)
        .with_state(accounts)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(from_fn(default_headers::add))
        .layer(sessions)
        .layer(from_fn(default_headers::add))
}

async fn not_found(session: CookieSession) -> Result<impl IntoResponse> {
    Ok((StatusCode::NOT_FOUND, pages::not_found(visitor(&session)?.as_ref())))
}

fn file<S: Clone + Send + Sync + 'static>(asset: Asset) -> MethodRouter<S> {
    let headers = [(header::CONTENT_TYPE, asset.content_type), (header::CACHE_CONTROL, asset.cache_control)];
    get(move || async move { (headers, asset.body) })
}
