//! The Axum adapter under test.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::any;
use conformance_tests::adapter::{Adapter, Server};
use conformance_tests::app::{App, AppResponse};
use session_axum::{CookieSession, CookieSessionService, Result, Session};

/// The adapter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Axum;

impl Adapter for Axum {
    fn name(&self) -> &'static str {
        "axum"
    }

    async fn serve(&self, app: App) -> Server {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("a bound address");
        let service = router(app).into_make_service_with_connect_info::<SocketAddr>();
        let server = tokio::spawn(async move { axum::serve(listener, service).await });
        Server::new(addr, move || server.abort())
    }
}

fn router(app: App) -> Router {
    let service = CookieSessionService::from(app.service.clone());
    let second = CookieSessionService::from(app.second.clone());
    let layered = Router::new()
        .route("/do", any(run))
        .route("/plain", any(async || "plain"))
        .route("/optional", any(optional))
        .route("/result", any(async |_: Result<CookieSession>| "handled"))
        .route("/session", any(async |session: Session| answer(App::json(&session))))
        .route("/optional-session", any(async |session: Option<Session>| answer(App::json(&session))))
        .route("/twice", any(run).layer(from_fn(mark)))
        .route("/nested", any(run).layer(service.layer()).layer(from_fn(mark)))
        .route("/two-services", any(run).layer(second.layer()).layer(from_fn(mark)))
        .route("/stream", any(stream))
        .layer(service.layer());
    let unlayered = Router::new().route("/unlayered/do", any(run)).route("/unlayered/optional", any(optional));
    layered.merge(unlayered).with_state(app)
}

async fn run(State(app): State<App>, session: CookieSession, body: Bytes) -> Result<Response> {
    Ok(answer(app.run(session.as_core(), &body).await?))
}

async fn optional(session: Option<CookieSession>) -> Response {
    answer(App::optional(session.as_ref().map(CookieSession::as_core)))
}

async fn stream(State(app): State<App>, session: CookieSession, body: Bytes) -> Result<Response> {
    let (head, script) = app.run_head(session.as_core(), &body).await?;
    let rest = async move { Ok::<_, Infallible>(app.run_rest(session.as_core(), script).await) };
    let (head, _) = answer(head).into_parts();
    Ok(Response::from_parts(head, Body::from_stream(futures_util::stream::once(rest))))
}

async fn mark(session: CookieSession, request: Request, next: Next) -> Response {
    App::mark(session.as_core());
    next.run(request).await
}

fn answer(response: AppResponse) -> Response {
    let mut builder = Response::builder().status(response.status);
    for (name, value) in response.headers {
        builder = builder.header(name, value);
    }
    builder.body(response.body.into()).expect("a script asks for valid heads")
}
