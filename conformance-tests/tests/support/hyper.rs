//! Plain hyper 1, with the tower layer around its services.

use std::convert::Infallible;
use std::sync::Arc;

use conformance_tests::adapter::{Adapter, Server};
use conformance_tests::app::App;
use http::request::Parts;
use http_body_util::BodyExt;
use session_core::{CookieSession, CookieSessionService, Result};
use tower::{Layer, ServiceExt, service_fn};

use super::http1::{self, Around, Handler};

/// The tower layer on plain hyper.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hyper;

impl Adapter for Hyper {
    fn name(&self) -> &'static str {
        "hyper"
    }

    async fn serve(&self, app: App) -> Server {
        http1::serve(*self, app).await
    }
}

impl Around for Hyper {
    fn around(self, service: &CookieSessionService, handler: Handler) -> Handler {
        let layer = session_axum::CookieSessionLayer::new(service.clone()).unboxed();
        Arc::new(move |request| {
            let handler = Arc::clone(&handler);
            let inner = service_fn(move |request| {
                let response = handler(request);
                async move { Ok::<_, Infallible>(response.await) }
            });
            let response = layer.layer(inner).oneshot(request);
            Box::pin(async move {
                let Ok(response) = response.await;
                response.map(BodyExt::boxed_unsync)
            })
        })
    }

    async fn session(self, parts: &Parts) -> Result<Option<CookieSession>> {
        let session = session_axum::CookieSession::of(parts).await.map_err(|error| error.kind().clone())?;
        Ok(session.map(|session| (*session).clone()))
    }
}
