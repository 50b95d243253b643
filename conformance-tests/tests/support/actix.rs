//! The Actix adapter under test.

use std::convert::Infallible;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{self, Bytes, Data};
use actix_web::{HttpResponse, HttpResponseBuilder, HttpServer, rt};
use conformance_tests::adapter::{Adapter, Server};
use conformance_tests::app::{App, AppResponse};
use session_actix::{CookieSession, CookieSessionService, Result, Session};

/// The adapter.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Actix {
    /// On a server as Actix starts it: a handler runs on when the client hangs up.
    AsItIs,
    /// On a server that drops the handler then.
    DropsOnHangUp,
}

impl Adapter for Actix {
    fn name(&self) -> &'static str {
        match self {
            Self::AsItIs => "actix",
            Self::DropsOnHangUp => "actix-dropping",
        }
    }

    fn drops_on_hang_up(&self) -> bool {
        matches!(self, Self::DropsOnHangUp)
    }

    /// On a thread of its own, whose end is the server's.
    async fn serve(&self, app: App) -> Server {
        let half_closed = !self.drops_on_hang_up();
        let (started, handle) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            rt::System::new().block_on(async move {
                let server = HttpServer::new(move || actix_web::App::new().configure(|routes| configure(routes, &app)));
                let server = server
                    .workers(2)
                    .h1_allow_half_closed(half_closed)
                    .disable_signals()
                    .shutdown_timeout(0)
                    .bind("127.0.0.1:0")
                    .expect("a free port");
                let addr = server.addrs()[0];
                let server = server.run();
                started.send((addr, server.handle())).expect("the trial waits");
                server.await.expect("a server that runs to its end");
            });
        });
        let (addr, handle) = handle.await.expect("the server starts");
        // The message is sent by the call; nobody waits for the answer.
        Server::new(addr, move || drop(handle.stop(false)))
    }
}

fn configure(routes: &mut web::ServiceConfig, app: &App) {
    let service = CookieSessionService::from(app.service.clone());
    let second = CookieSessionService::from(app.second.clone());
    let on = web::resource::<&str>;
    let unlayered = web::scope("/unlayered").service(on("/do").to(run)).service(on("/optional").to(optional));
    let layered = web::scope("")
        .service(on("/do").to(run))
        .service(on("/plain").to(async || "plain"))
        .service(on("/optional").to(optional))
        .service(on("/result").to(async |_: Result<CookieSession>| "handled"))
        .service(on("/session").to(async |session: Session| answer(App::json(&session))))
        .service(on("/optional-session").to(async |session: Option<Session>| answer(App::json(&session))))
        .service(on("/twice").wrap(from_fn(mark)).to(run))
        .service(on("/nested").wrap(service.middleware()).wrap(from_fn(mark)).to(run))
        .service(on("/two-services").wrap(second.middleware()).wrap(from_fn(mark)).to(run))
        .service(on("/stream").to(stream))
        .wrap(service.middleware());
    routes.app_data(Data::new(app.clone())).service(unlayered).service(layered);
}

async fn run(app: Data<App>, session: CookieSession, body: Bytes) -> Result<HttpResponse> {
    Ok(answer(app.run(session.as_core(), &body).await?))
}

async fn optional(session: Option<CookieSession>) -> HttpResponse {
    answer(App::optional(session.as_ref().map(CookieSession::as_core)))
}

async fn stream(app: Data<App>, session: CookieSession, body: Bytes) -> Result<HttpResponse> {
    let (head, script) = app.run_head(session.as_core(), &body).await?;
    let mut response = builder(&head);
    let rest = async move { Ok::<_, Infallible>(Bytes::from(app.run_rest(session.as_core(), script).await)) };
    Ok(response.streaming(futures_util::stream::once(rest)))
}

async fn mark(
    session: CookieSession,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> actix_web::Result<ServiceResponse<impl MessageBody>> {
    App::mark(session.as_core());
    next.call(request).await
}

fn answer(response: AppResponse) -> HttpResponse {
    builder(&response).body(response.body)
}

fn builder(response: &AppResponse) -> HttpResponseBuilder {
    let mut builder =
        HttpResponse::build(StatusCode::from_u16(response.status).expect("a script asks for valid heads"));
    for (name, value) in &response.headers {
        builder.append_header((name.as_str(), value.as_str()));
    }
    builder
}
