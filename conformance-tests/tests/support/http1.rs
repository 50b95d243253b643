//! The shared routes on hyper, with no framework: for what puts a session around a plain function.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use conformance_tests::BoxFuture;
use conformance_tests::adapter::Server;
use conformance_tests::app::{App, AppResponse, NotLoaded};
use futures_util::stream;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use session_core::adapter::{check, load_user};
use session_core::{Answer, CookieSession, CookieSessionService, CsrfToken, Error, Flash, Result};
use tokio::net::TcpListener;

pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;
pub(crate) type Handler = Arc<dyn Fn(Request<Bytes>) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// How sessions get around a handler, and to it.
pub(crate) trait Around: Copy + Send + Sync + 'static {
    /// `handler` inside a layer of `service`.
    fn around(self, service: &CookieSessionService, handler: Handler) -> Handler;

    /// The session of a request; none without a layer.
    fn session(self, parts: &Parts) -> impl Future<Output = Result<Option<CookieSession>>> + Send;
}

/// Serves the shared routes until the server is dropped.
pub(crate) async fn serve(around: impl Around, app: App) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("a bound address");
    let layered = around.around(&app.service, handler(around, &app, route));
    let unlayered = handler(around, &app, route);
    let server = tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            let (layered, unlayered) = (Arc::clone(&layered), Arc::clone(&unlayered));
            let answer = move |request: Request<Incoming>| {
                let handler = if request.uri().path().starts_with("/unlayered/") { &unlayered } else { &layered };
                let handler = Arc::clone(handler);
                async move { Ok::<_, hyper::Error>(handler(whole(request, peer).await?).await) }
            };
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
        }
    });
    Server::new(addr, move || server.abort())
}

/// A request with all of its body, and the peer's address.
async fn whole(request: Request<Incoming>, peer: SocketAddr) -> hyper::Result<Request<Bytes>> {
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(session_axum::ConnectInfo(peer));
    Ok(Request::from_parts(parts, body.collect().await?.to_bytes()))
}

/// The handler that runs `with`, as a value.
fn handler<A: Around, F>(around: A, app: &App, with: fn(A, App, Request<Bytes>) -> F) -> Handler
where
    F: Future<Output = Result<Response<Body>>> + Send + 'static,
{
    let app = app.clone();
    Arc::new(move |request| {
        let response = with(around, app.clone(), request);
        Box::pin(
            async move { response.await.unwrap_or_else(|error| Response::<&str>::from(error.as_response()).map(full)) },
        )
    })
}

async fn route<A: Around>(around: A, app: App, request: Request<Bytes>) -> Result<Response<Body>> {
    let path = request.uri().path().trim_start_matches("/unlayered").to_owned();
    let (parts, body) = request.into_parts();
    match path.as_str() {
        "/plain" => Ok(text("plain")),
        "/optional" => Ok(answer(App::optional(around.session(&parts).await?.as_ref()))),
        "/result" => {
            // What a handler does that takes a failed extraction for its own to deal with.
            let _outcome = around.session(&parts).await;
            Ok(text("handled"))
        }
        "/session" => Ok(answer(App::json(&session(around, &parts).await?.signed_in()?))),
        "/flash" => Ok(answer(App::flash(&Flash::of(&session(around, &parts).await?)).await?)),
        "/optional-session" => Ok(answer(App::json(&session(around, &parts).await?.snapshot()?))),
        "/csrf" => Ok(answer(App::csrf(&CsrfToken::of(&session(around, &parts).await?)?, &body)?)),
        "/stream" => {
            let session = session(around, &parts).await?;
            let (head, script) = app.run_head(&session, &body).await?;
            let rest = async move { Ok(Frame::data(Bytes::from(app.run_rest(&session, script).await))) };
            Ok(answer(head).map(|_| BodyExt::boxed_unsync(StreamBody::new(stream::once(rest)))))
        }
        "/twice" => {
            App::mark(&session(around, &parts).await?);
            run(around, app, Request::from_parts(parts, body)).await
        }
        "/nested" => {
            App::mark(&session(around, &parts).await?);
            let inner = around.around(&app.service, handler(around, &app, run));
            Ok(inner(Request::from_parts(parts, body)).await)
        }
        "/guarded" => guarded(around, app, Request::from_parts(parts, body), App::check).await,
        "/members" => guarded(around, app, Request::from_parts(parts, body), App::members).await,
        "/admins" | "/sign-in" | "/area/admins" => {
            guarded(around, app, Request::from_parts(parts, body), App::admins).await
        }
        "/user" => user(&app, &session(around, &parts).await?).await,
        "/optional-user" => optional_user(&app, &session(around, &parts).await?).await,
        "/two-services" => {
            App::mark(&session(around, &parts).await?);
            let inner = around.around(&app.second, handler(around, &app, run));
            Ok(inner(Request::from_parts(parts, body)).await)
        }
        _ => run(around, app, Request::from_parts(parts, body)).await,
    }
}

async fn guarded<A: Around>(
    around: A,
    app: App,
    request: Request<Bytes>,
    asks: fn(&CookieSession, &session_core::Incoming<'_>) -> Result<(), Answer>,
) -> Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    let loaded = session(around, &parts).await;
    let request = Request::from_parts(parts, body);
    match check(loaded, &request, &asks) {
        Ok(_) => run(around, app, request).await,
        Err(answer) => {
            let text = answer.body();
            Ok(answer.into_response::<Response<Body>>().map(|_| full(text)))
        }
    }
}

async fn user(app: &App, session: &CookieSession) -> Result<Response<Body>> {
    let load = async || app.load_user(&session.user_id().unwrap_or_default()).await;
    let (one, two) = tokio::join!(load_user(session, load()), load_user(session, load()));
    match (one, two) {
        (Ok(Some(one)), Ok(Some(two))) => Ok(answer(app.users(&[Some(&one), Some(&two)]))),
        (Ok(_), Ok(_)) => Err(Error::NotAuthenticated),
        (Err(NotLoaded), _) | (_, Err(NotLoaded)) => {
            Ok(Response::builder().status(NotLoaded::STATUS).body(full("")).expect("a status"))
        }
    }
}

async fn optional_user(app: &App, session: &CookieSession) -> Result<Response<Body>> {
    let user = load_user(session, app.load_user(&session.user_id().unwrap_or_default())).await;
    Ok(answer(app.users(&[user.expect("it can be loaded").as_deref()])))
}

async fn run<A: Around>(around: A, app: App, request: Request<Bytes>) -> Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    Ok(answer(app.run(&session(around, &parts).await?, &body).await?))
}

async fn session(around: impl Around, parts: &Parts) -> Result<CookieSession> {
    around.session(parts).await?.ok_or(Error::NoLayer { layer: "a layer" })
}

fn answer(response: AppResponse) -> Response<Body> {
    let mut builder = Response::builder().status(response.status);
    for (name, value) in response.headers {
        builder = builder.header(name, value);
    }
    builder.body(full(response.body)).expect("a script asks for valid heads")
}

fn text(text: &'static str) -> Response<Body> {
    Response::new(full(text))
}

fn full(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).boxed_unsync()
}
