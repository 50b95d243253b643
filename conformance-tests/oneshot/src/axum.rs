//! The apps of Axum, called as tower services.

use std::convert::Infallible;
use std::hint::black_box;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::header::SET_COOKIE;
use http::{Request, Response};
use session_axum::{CookieSession, CookieSessionLayer, CookieSessionServiceExt};
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceExt};

use crate::{App, Apps, USER_AGENT};

pub(crate) struct AxumApp(BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>);

impl App for AxumApp {
    type Request = (Request<Body>, BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>);

    fn request(&self, path: &str, cookie: Option<&str>) -> Self::Request {
        let request = Request::get(path).header("user-agent", USER_AGENT);
        let request = match cookie {
            Some(cookie) => request.header("cookie", cookie),
            None => request,
        };
        (request.body(Body::empty()).expect("a valid request"), self.0.clone())
    }

    async fn call(&self, (request, app): Self::Request) {
        drop(black_box(app.oneshot(request).await));
    }

    async fn set_cookie(&self, (request, app): Self::Request) -> Option<String> {
        let Ok(response) = app.oneshot(request).await;
        response.headers().get(SET_COOKIE)?.to_str().ok().map(str::to_owned)
    }
}

pub(crate) fn apps() -> Apps<AxumApp> {
    let (counted, faults) = crate::counted();
    let around = |service: session_core::CookieSessionService| AxumApp::of(layer(service).layer(routes()));
    Apps {
        framework: "axum",
        bare: AxumApp::of(routes()),
        around: around(crate::sessions()),
        inside: Some((
            AxumApp::of(routes().layer(tower::layer::util::Identity::new())),
            AxumApp::of(routes().layer(layer(crate::sessions()))),
        )),
        counted: around(counted),
        faults,
    }
}

fn layer(service: session_core::CookieSessionService) -> CookieSessionLayer {
    service.layer()
}

impl AxumApp {
    fn of<S>(app: S) -> Self
    where
        S: tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        Self(BoxCloneSyncService::new(app))
    }
}

fn routes() -> Router {
    Router::new()
        .route("/plain", get(async || "plain"))
        .route(
            "/read",
            get(async |session: CookieSession| {
                black_box(session.get::<String>("theme").expect("a string or nothing"));
                "plain"
            }),
        )
        .route(
            "/write",
            get(async |session: CookieSession| {
                session.set("theme", &"dark").expect("small");
                "plain"
            }),
        )
        .route(
            "/sign-in",
            get(async |session: CookieSession| {
                session
                    .authenticate_with("ada", serde_json::json!({"theme": "light"}))
                    .await
                    .expect("a store that works");
                "plain"
            }),
        )
}
