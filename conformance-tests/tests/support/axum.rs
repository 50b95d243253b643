//! The Axum adapter under test, and the same with something broken in it.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::any;
use conformance_tests::adapter::{Adapter, Server};
use conformance_tests::app::{App, AppResponse};
use session_axum::{CookieSession, CookieSessionService, Result, Session};

/// The adapter, as it is or broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Axum {
    AsItIs,
    /// Never stores what a handler set.
    DropsTheCommit,
    /// Removes every cookie under which it finds no session.
    ClearsUnknownTokens,
}

impl Adapter for Axum {
    fn name(&self) -> &'static str {
        match self {
            Self::AsItIs => "axum",
            Self::DropsTheCommit | Self::ClearsUnknownTokens => "broken axum",
        }
    }

    async fn serve(&self, app: App) -> Server {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("a bound address");
        let service = self.router(app).into_make_service_with_connect_info::<SocketAddr>();
        let server = tokio::spawn(async move { axum::serve(listener, service).await });
        Server::new(addr, move || server.abort())
    }
}

impl Axum {
    fn router(self, app: App) -> Router {
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
            .route("/nested", any(run).layer(service.layer()))
            .route("/two-services", any(run).layer(second.layer()))
            .route("/stream", any(stream));
        let layered = match self {
            Self::AsItIs => layered.layer(service.layer()),
            Self::DropsTheCommit => layered.layer(from_fn(fail)).layer(service.layer()).layer(from_fn(succeed)),
            Self::ClearsUnknownTokens => layered.layer(from_fn(clear_unknown)).layer(service.layer()),
        };
        let unlayered = Router::new().route("/unlayered/do", any(run)).route("/unlayered/optional", any(optional));
        layered.merge(unlayered).with_state(app)
    }
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

/// Has the layer take a good response for a failed one, so that it stores nothing.
async fn fail(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let status = std::mem::replace(response.status_mut(), StatusCode::INTERNAL_SERVER_ERROR);
    response.extensions_mut().insert(status);
    response
}

async fn succeed(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Some(status) = response.extensions_mut().remove::<StatusCode>() {
        *response.status_mut() = status;
    }
    response
}

async fn clear_unknown(session: CookieSession, request: Request, next: Next) -> Response {
    let carried = request.headers().contains_key(COOKIE);
    let known = session.is_authenticated();
    let mut response = next.run(request).await;
    if carried && !known {
        let removal = HeaderValue::from_static("__Host-session=; Path=/; Secure; HttpOnly; Max-Age=0");
        response.headers_mut().append(SET_COOKIE, removal);
    }
    response
}
