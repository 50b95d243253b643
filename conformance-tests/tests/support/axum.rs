//! The Axum adapter under test.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use conformance_tests::adapter::{Adapter, Server};
use conformance_tests::app::{self, App, AppResponse, NotLoaded, SIGN_IN_PAGE};
use session_axum::{
    CookieSession, CookieSessionServiceExt, CsrfToken, CurrentUser, Error, Flash, LoadUser, RequireSignIn, Result,
    Session, guard,
};

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

/// The same over HTTP/2, which `axum::serve` tells apart by the first bytes of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AxumOverHttp2;

impl Adapter for AxumOverHttp2 {
    fn name(&self) -> &'static str {
        "axum-h2"
    }

    async fn serve(&self, app: App) -> Server {
        Axum.serve(app).await.over_http2()
    }
}

fn router(app: App) -> Router {
    let service = app.service.clone();
    let second = app.second.clone();
    let admins = RequireSignIn::or_redirect(SIGN_IN_PAGE)
        .check(|session| App::is_welcome(&session.user_id))
        .check(|session| App::is_admin(&session.user_id));
    let layered = Router::new()
        .route("/do", any(run))
        .route("/plain", any(async || "plain"))
        .route("/optional", any(optional))
        .route("/result", any(async |_: Result<CookieSession>| "handled"))
        .route("/session", any(async |session: Session| answer(App::json(&session))))
        .route("/flash", any(flash))
        .route("/optional-session", any(async |session: Option<Session>| answer(App::json(&session))))
        .route("/twice", any(run).layer(from_fn(mark)))
        .route("/nested", any(run).layer(service.layer()).layer(from_fn(mark)))
        .route("/two-services", any(run).layer(second.layer()).layer(from_fn(mark)))
        .route("/guarded", any(run).layer(guard(App::check)))
        .route("/members", any(run).layer(RequireSignIn::new()))
        .route("/admins", any(run).layer(admins.clone()))
        .route("/sign-in", any(run).layer(admins.clone()))
        .nest("/area", Router::new().route("/admins", any(run)).route_layer(admins))
        .route("/user", any(user))
        .route("/optional-user", any(optional_user))
        .route("/csrf", any(csrf))
        .route("/stream", any(stream))
        .layer(service.layer());
    let within = Router::new().nest("/within", Router::new().route("/do", any(run)).layer(service.layer()));
    let unlayered = Router::new().route("/unlayered/do", any(run)).route("/unlayered/optional", any(optional));
    layered.merge(within).merge(unlayered).with_state(app)
}

async fn run(State(app): State<App>, session: CookieSession, body: Bytes) -> Result<Response> {
    Ok(answer(app.run(&session, &body).await?))
}

async fn optional(session: Option<CookieSession>) -> Response {
    answer(App::optional(session.as_deref()))
}

async fn flash(flash: Flash) -> Result<Response> {
    Ok(answer(App::flash(&flash).await?))
}

async fn csrf(token: CsrfToken, body: Bytes) -> Result<Response> {
    Ok(answer(App::csrf(&token, &body)?))
}

async fn stream(State(app): State<App>, session: CookieSession, body: Bytes) -> Result<Response> {
    let (head, script) = app.run_head(&session, &body).await?;
    let rest = async move { Ok::<_, Infallible>(app.run_rest(&session, script).await) };
    let (head, _) = answer(head).into_parts();
    Ok(Response::from_parts(head, Body::from_stream(futures_util::stream::once(rest))))
}

struct User(app::User);

impl LoadUser for User {
    type State = App;
    type Error = UserError;

    async fn load(session: &Session, app: &App) -> Result<Option<Self>, UserError> {
        Ok(app.load_user(&session.user_id).await.map_err(UserError::NotLoaded)?.map(Self))
    }
}

enum UserError {
    Session(Error),
    NotLoaded(NotLoaded),
}

impl From<Error> for UserError {
    fn from(error: Error) -> Self {
        Self::Session(error)
    }
}

impl IntoResponse for UserError {
    fn into_response(self) -> Response {
        match self {
            Self::Session(error) => error.into_response(),
            Self::NotLoaded(NotLoaded) => {
                Response::builder().status(NotLoaded::STATUS).body(Body::empty()).expect("a status")
            }
        }
    }
}

async fn user(State(app): State<App>, one: CurrentUser<User>, two: CurrentUser<User>) -> Response {
    answer(app.users(&[Some(&one.0.0), Some(&two.0.0)]))
}

async fn optional_user(State(app): State<App>, user: Option<CurrentUser<User>>) -> Response {
    answer(app.users(&[user.as_ref().map(|user| &user.0.0)]))
}

async fn mark(session: CookieSession, request: Request, next: Next) -> Response {
    App::mark(&session);
    next.run(request).await
}

fn answer(response: AppResponse) -> Response {
    let mut builder = Response::builder().status(response.status);
    for (name, value) in response.headers {
        builder = builder.header(name, value);
    }
    builder.body(response.body.into()).expect("a script asks for valid heads")
}
