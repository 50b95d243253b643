//! The Actix adapter under test.

use std::convert::Infallible;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{self, Bytes, Data};
use actix_web::{HttpResponse, HttpResponseBuilder, HttpServer, ResponseError, rt};
use conformance_tests::adapter::{Adapter, Server};
use conformance_tests::app::{self, App, AppResponse, NotLoaded, SIGN_IN_PAGE};
use session_actix::{
    CookieSession, CookieSessionServiceExt, CsrfToken, CurrentUser, Error, Flash, LoadUser, RequireSignIn, Result,
    Session, guard,
};

/// The adapter.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Actix {
    /// On a server as Actix starts it: a handler runs on when the client hangs up.
    AsItIs,
    /// On a server that drops the handler then.
    DropsOnHangUp,
    /// On a server that speaks HTTP/2 too, without TLS.
    OverHttp2,
}

impl Adapter for Actix {
    fn name(&self) -> &'static str {
        match self {
            Self::AsItIs => "actix",
            Self::DropsOnHangUp => "actix-dropping",
            Self::OverHttp2 => "actix-h2",
        }
    }

    fn drops_on_hang_up(&self) -> bool {
        matches!(self, Self::DropsOnHangUp)
    }

    /// On a thread of its own, whose end is the server's.
    async fn serve(&self, app: App) -> Server {
        let (half_closed, is_http2) = (!self.drops_on_hang_up(), matches!(self, Self::OverHttp2));
        let (started, handle) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            rt::System::new().block_on(async move {
                let server = HttpServer::new(move || actix_web::App::new().configure(|routes| configure(routes, &app)));
                let server = server.workers(2).h1_allow_half_closed(half_closed).disable_signals().shutdown_timeout(0);
                let any = "127.0.0.1:0";
                let server = if is_http2 { server.bind_auto_h2c(any) } else { server.bind(any) };
                let server = server.expect("a free port");
                let addr = server.addrs()[0];
                let server = server.run();
                started.send((addr, server.handle())).expect("the trial waits");
                server.await.expect("a server that runs to its end");
            });
        });
        let (addr, handle) = handle.await.expect("the server starts");
        // The message is sent by the call; nobody waits for the answer.
        let server = Server::new(addr, move || drop(handle.stop(false)));
        if is_http2 { server.over_http2() } else { server }
    }
}

fn configure(routes: &mut web::ServiceConfig, app: &App) {
    let service = app.service.clone();
    let second = app.second.clone();
    let on = web::resource::<&str>;
    let admins = RequireSignIn::or_redirect(SIGN_IN_PAGE)
        .check(|session| App::is_welcome(&session.user_id))
        .check(|session| App::is_admin(&session.user_id));
    let unlayered = web::scope("/unlayered").service(on("/do").to(run)).service(on("/optional").to(optional));
    let within = web::scope("/within").service(on("/do").to(run)).wrap(service.middleware());
    let layered = web::scope("")
        .service(on("/do").to(run))
        .service(on("/plain").to(async || "plain"))
        .service(on("/optional").to(optional))
        .service(on("/result").to(async |_: Result<CookieSession>| "handled"))
        .service(on("/session").to(async |session: Session| answer(App::json(&session))))
        .service(on("/flash").to(flash))
        .service(on("/optional-session").to(async |session: Option<Session>| answer(App::json(&session))))
        .service(on("/twice").wrap(from_fn(mark)).to(run))
        .service(on("/nested").wrap(service.middleware()).wrap(from_fn(mark)).to(run))
        .service(on("/two-services").wrap(second.middleware()).wrap(from_fn(mark)).to(run))
        .service(on("/guarded").wrap(guard(App::check)).to(run))
        .service(on("/members").wrap(RequireSignIn::new()).to(run))
        .service(on("/admins").wrap(admins.clone()).to(run))
        .service(on("/sign-in").wrap(admins.clone()).to(run))
        .service(web::scope("/area").wrap(admins).route("/admins", web::to(run)))
        .service(on("/user").to(user))
        .service(on("/optional-user").to(optional_user))
        .service(on("/csrf").to(csrf))
        .service(on("/stream").to(stream))
        .wrap(service.middleware());
    routes.app_data(Data::new(app.clone())).service(unlayered).service(within).service(layered);
}

async fn run(app: Data<App>, session: CookieSession, body: Bytes) -> Result<HttpResponse> {
    Ok(answer(app.run(&session, &body).await?))
}

async fn optional(session: Option<CookieSession>) -> HttpResponse {
    answer(App::optional(session.as_deref()))
}

async fn flash(flash: Flash) -> Result<HttpResponse> {
    Ok(answer(App::flash(&flash).await?))
}

async fn csrf(token: CsrfToken, body: Bytes) -> Result<HttpResponse> {
    Ok(answer(App::csrf(&token, &body)?))
}

async fn stream(app: Data<App>, session: CookieSession, body: Bytes) -> Result<HttpResponse> {
    let (head, script) = app.run_head(&session, &body).await?;
    let mut response = builder(&head);
    let rest = async move { Ok::<_, Infallible>(Bytes::from(app.run_rest(&session, script).await)) };
    Ok(response.streaming(futures_util::stream::once(rest)))
}

struct User(app::User);

impl LoadUser for User {
    type State = App;
    type Error = UserError;

    async fn load(session: &Session, app: &App) -> Result<Option<Self>, UserError> {
        Ok(app.load_user(&session.user_id).await.map_err(UserError::NotLoaded)?.map(Self))
    }
}

#[derive(Debug)]
enum UserError {
    Session(Error),
    NotLoaded(NotLoaded),
}

impl From<Error> for UserError {
    fn from(error: Error) -> Self {
        Self::Session(error)
    }
}

impl std::fmt::Display for UserError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no user")
    }
}

impl ResponseError for UserError {
    fn error_response(&self) -> HttpResponse {
        match self {
            Self::Session(error) => error.error_response(),
            Self::NotLoaded(NotLoaded) => HttpResponse::new(StatusCode::from_u16(NotLoaded::STATUS).expect("a status")),
        }
    }
}

async fn user(app: Data<App>, one: CurrentUser<User>, two: CurrentUser<User>) -> HttpResponse {
    answer(app.users(&[Some(&one.0.0), Some(&two.0.0)]))
}

async fn optional_user(app: Data<App>, user: Option<CurrentUser<User>>) -> HttpResponse {
    answer(app.users(&[user.as_ref().map(|user| &user.0.0)]))
}

async fn mark(
    session: CookieSession,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> actix_web::Result<ServiceResponse<impl MessageBody>> {
    App::mark(&session);
    next.call(request).await
}

fn answer(response: AppResponse) -> HttpResponse {
    builder(&response).body(response.body)
}

fn builder(response: &AppResponse) -> HttpResponseBuilder {
    let mut builder =
        HttpResponse::build(StatusCode::from_u16(response.status).expect("a script asks for valid heads"));
    for (name, value) in &response.headers {
        builder.append_header((name.as_str(), value.as_slice()));
    }
    builder
}
