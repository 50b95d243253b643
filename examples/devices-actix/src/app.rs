//! The routes. The middleware around them is in `main`.

use actix_web::error::{InternalError, UrlencodedError};
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::web::{self, Data, FormConfig, ServiceConfig};
use actix_web::{Error, HttpRequest, HttpResponse, Resource, Responder, guard};
use devices_pages::assets::{self, Asset};
use devices_pages::{Accounts, MAX_BODY_BYTES, pages};
use session_actix::{CookieSession, Result};

use crate::visitor::visitor;
use crate::{api, devices, preferences, sign_in};

pub(crate) fn routes(config: &mut ServiceConfig, accounts: Data<Accounts>) {
    config
        .app_data(accounts)
        .app_data(FormConfig::default().limit(MAX_BODY_BYTES).error_handler(refused_form))
        .service(page("/").route(read().to(devices::home)))
        .service(page("/login").route(read().to(sign_in::page)).post(sign_in::sign_in))
        .service(page("/logout").post(sign_in::sign_out))
        .service(page("/logout-others").post(sign_in::sign_out_others))
        .service(page("/logout-all").post(sign_in::sign_out_everywhere))
        .service(page("/devices").route(read().to(devices::list)))
        .service(page("/devices/{id}/revoke").post(devices::revoke))
        .service(page("/rotate").post(devices::rotate))
        .service(page("/theme").post(preferences::pick_theme))
        .service(page("/visits").post(preferences::count_visit))
        .service(page("/visits/reset").post(preferences::start_over))
        .service(page("/api/session").route(read().to(api::session)))
        .service(page("/api/devices").route(read().to(api::devices)))
        .service(file(assets::STYLE))
        .service(file(assets::ICON))
        .default_service(web::to(not_found));
}

fn page(path: &str) -> Resource {
    web::resource(path)
}

/// GET, and HEAD as its answer without the body.
fn read() -> actix_web::Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

async fn not_found(session: CookieSession) -> Result<impl Responder> {
    Ok(pages::not_found(visitor(&session)?.as_ref()).customize().with_status(StatusCode::NOT_FOUND))
}

fn file(asset: Asset) -> Resource {
    page(asset.path).route(read().to(move || async move {
        HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, asset.content_type))
            .insert_header((CACHE_CONTROL, asset.cache_control))
            .body(asset.body)
    }))
}

/// A form with missing or wrong fields is a 422; what Actix calls it otherwise stands.
fn refused_form(error: UrlencodedError, _: &HttpRequest) -> Error {
    match error {
        UrlencodedError::Parse(_) => InternalError::new(error, StatusCode::UNPROCESSABLE_ENTITY).into(),
        error => error.into(),
    }
}
