//! Proves the adapter: the suite's routes in Poem, and the suite on them.

use std::process::ExitCode;

use adapter_poem::{CookieSession, CookieSessionMiddleware, CsrfToken, Error, Flash, Result, Session, guard};
use conformance_tests::adapter::{Adapter, Server};
use conformance_tests::app::{App, AppResponse, NotLoaded};
use conformance_tests::suite::Suite;
use futures_util::stream;
use poem::http::StatusCode;
use poem::listener::TcpAcceptor;
use poem::web::Data;
use poem::{Body, Endpoint, EndpointExt, FromRequest, IntoResponse, Request, Response, Route, handler};
use session_core::adapter::load_user;
use tokio::net::TcpListener;

fn main() -> ExitCode {
    Suite::new().adapter(Poem).run()
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
    let middleware = CookieSessionMiddleware::new(app.service.clone());
    let second = app.second.clone();
    let area = run.around(async |inner, request| guard(inner, request, App::admins).await);
    let area = Route::new().at("/admins", area);
    let layered = Route::new()
        .at("/do", run)
        .at("/plain", plain)
        .at("/optional", optional)
        .at("/result", result)
        .at("/session", read_only)
        .at("/optional-session", optional_read_only)
        .at("/twice", run.around(mark))
        .at("/nested", run.with(middleware.clone()).around(mark))
        .at("/two-services", run.with(CookieSessionMiddleware::new(second)).around(mark))
        .at("/flash", flash)
        .at("/guarded", run.around(async |inner, request| guard(inner, request, App::check).await))
        .at("/members", run.around(async |inner, request| guard(inner, request, App::members).await))
        .at("/admins", run.around(async |inner, request| guard(inner, request, App::admins).await))
        .at("/sign-in", run.around(async |inner, request| guard(inner, request, App::admins).await))
        .nest("/area", area)
        .at("/user", user)
        .at("/optional-user", optional_user)
        .at("/csrf", csrf)
        .at("/stream", stream_rest)
        .with(middleware);
    let within = Route::new().at("/do", run).with(CookieSessionMiddleware::new(app.service.clone()));
    let unlayered = Route::new().at("/do", run).at("/optional", optional);
    Route::new().nest("/", layered).nest("/within", within).nest("/unlayered", unlayered).data(app)
}

#[handler]
async fn run(app: Data<&App>, session: CookieSession, body: Vec<u8>) -> Result<Response> {
    Ok(answer(app.run(&session, &body).await?))
}

#[handler]
fn plain() -> &'static str {
    "plain"
}

#[handler]
fn optional(session: Option<CookieSession>) -> Response {
    answer(App::optional(session.as_deref()))
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
async fn flash(flash: Flash) -> Result<Response> {
    Ok(answer(App::flash(&flash).await?))
}

#[handler]
async fn user(app: Data<&App>, session: CookieSession) -> poem::Result<Response> {
    let load = async || app.load_user(&session.user_id().unwrap_or_default()).await;
    let (one, two) = tokio::join!(load_user(&session, load()), load_user(&session, load()));
    match (one, two) {
        (Ok(Some(one)), Ok(Some(two))) => Ok(answer(app.users(&[Some(&one), Some(&two)]))),
        (Ok(_), Ok(_)) => Err(Error::from(session_core::Error::NotAuthenticated).into()),
        (Err(NotLoaded), _) | (_, Err(NotLoaded)) => {
            Ok(StatusCode::from_u16(NotLoaded::STATUS).expect("a status").into())
        }
    }
}

#[handler]
async fn optional_user(app: Data<&App>, session: CookieSession) -> Response {
    let loaded = load_user(&session, app.load_user(&session.user_id().unwrap_or_default())).await;
    answer(app.users(&[loaded.expect("it can be loaded").as_deref()]))
}

#[handler]
fn csrf(token: CsrfToken, body: Vec<u8>) -> Result<Response> {
    Ok(answer(App::csrf(&token, &body)?))
}

#[handler]
async fn stream_rest(app: Data<&App>, session: CookieSession, body: Vec<u8>) -> Result<Response> {
    let app = app.0.clone();
    let (head, script) = app.run_head(&session, &body).await?;
    let rest = async move { Ok::<_, std::io::Error>(app.run_rest(&session, script).await) };
    let mut response = answer(head);
    response.set_body(Body::from_bytes_stream(stream::once(rest)));
    Ok(response)
}

async fn mark<E: Endpoint>(inner: std::sync::Arc<E>, request: Request) -> poem::Result<Response> {
    App::mark(&*CookieSession::from_request_without_body(&request).await?);
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
