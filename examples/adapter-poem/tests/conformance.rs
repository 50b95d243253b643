//! Proves the adapter: the suite's routes in Poem, and the suite on them.

use std::process::ExitCode;

use adapter_poem::{CookieSession, CookieSessionService, Result, Session};
use conformance_tests::adapter::{Adapter, Server};
use conformance_tests::app::{App, AppResponse};
use conformance_tests::sqlite::Sqlite;
use conformance_tests::suite::Suite;
use conformance_tests::world::Memory;
use futures_util::stream;
use poem::http::StatusCode;
use poem::listener::TcpAcceptor;
use poem::web::Data;
use poem::{Body, Endpoint, EndpointExt, FromRequest, IntoResponse, Request, Response, Route, handler};
use tokio::net::TcpListener;

fn main() -> ExitCode {
    Suite::new().store(Memory).store(Sqlite).adapter(Poem).run()
}

struct Poem;

impl Adapter for Poem {
    fn name(&self) -> &'static str {
        "poem"
    }

    /// Poem runs each request as a task of its own.
    fn drops_on_hang_up(&self) -> bool {
        false
    }

    async fn serve(&self, app: App) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("a bound address");
        let acceptor = TcpAcceptor::from_tokio(listener).expect("a listener that listens");
        let server = tokio::spawn(poem::Server::new_with_acceptor(acceptor).run(routes(app)));
        Server::new(addr, move || server.abort())
    }
}

fn routes(app: App) -> impl Endpoint {
    let service = CookieSessionService::from(app.service.clone());
    let second = CookieSessionService::from(app.second.clone());
    let layered = Route::new()
        .at("/do", run)
        .at("/plain", plain)
        .at("/optional", optional)
        .at("/result", result)
        .at("/session", read_only)
        .at("/optional-session", optional_read_only)
        .at("/twice", run.around(mark))
        .at("/nested", run.with(service.middleware()).around(mark))
        .at("/two-services", run.with(second.middleware()).around(mark))
        .at("/stream", stream_rest)
        .with(service.middleware());
    let unlayered = Route::new().at("/do", run).at("/optional", optional);
    Route::new().nest("/", layered).nest("/unlayered", unlayered).data(app)
}

#[handler]
async fn run(app: Data<&App>, session: CookieSession, body: Vec<u8>) -> Result<Response> {
    Ok(answer(app.run(session.as_core(), &body).await?))
}

#[handler]
fn plain() -> &'static str {
    "plain"
}

#[handler]
fn optional(session: Option<CookieSession>) -> Response {
    answer(App::optional(session.as_ref().map(CookieSession::as_core)))
}

#[handler]
fn result(_session: poem::Result<CookieSession>) -> &'static str {
    "handled"
}

#[handler]
fn read_only(session: Session) -> Response {
    answer(App::json(&session))
}

#[handler]
fn optional_read_only(session: Option<Session>) -> Response {
    answer(App::json(&session))
}

#[handler]
async fn stream_rest(app: Data<&App>, session: CookieSession, body: Vec<u8>) -> Result<Response> {
    let app = app.0.clone();
    let (head, script) = app.run_head(session.as_core(), &body).await?;
    let rest = async move { Ok::<_, std::io::Error>(app.run_rest(session.as_core(), script).await) };
    let mut response = answer(head);
    response.set_body(Body::from_bytes_stream(stream::once(rest)));
    Ok(response)
}

async fn mark<E: Endpoint>(inner: std::sync::Arc<E>, request: Request) -> poem::Result<Response> {
    App::mark(CookieSession::from_request_without_body(&request).await?.as_core());
    inner.call(request).await.map(IntoResponse::into_response)
}

fn answer(response: AppResponse) -> Response {
    let mut builder =
        Response::builder().status(StatusCode::from_u16(response.status).expect("a script asks for valid heads"));
    for (name, value) in response.headers {
        builder = builder.header(name, value);
    }
    builder.body(response.body)
}
