//! The apps of Actix, called as its services.

use std::hint::black_box;

use actix_http::Request;
use actix_web::body::BoxBody;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::header::SET_COOKIE;
use actix_web::test::{TestRequest, init_service};
use actix_web::{Error, web};
use session_actix::{CookieSession, CookieSessionMiddleware, CookieSessionServiceExt};

use crate::{App, Apps, USER_AGENT};

/// The service itself, with nothing around it that the framework doesn't have.
pub(crate) enum ActixApp<B, S> {
    Bare(B),
    Sessions(S),
}

impl<B, S, X> App for ActixApp<B, S>
where
    B: Service<Request, Response = ServiceResponse<BoxBody>, Error = Error>,
    S: Service<Request, Response = ServiceResponse<X>, Error = Error>,
{
    type Request = Request;

    fn request(&self, path: &str, cookie: Option<&str>) -> Request {
        let request = TestRequest::get().uri(path).insert_header(("user-agent", USER_AGENT));
        match cookie {
            Some(cookie) => request.insert_header(("cookie", cookie)),
            None => request,
        }
        .to_request()
    }

    async fn call(&self, request: Request) {
        match self {
            Self::Bare(app) => drop(black_box(app.call(request).await)),
            Self::Sessions(app) => drop(black_box(app.call(request).await)),
        }
    }

    async fn set_cookie(&self, request: Request) -> Option<String> {
        let Self::Sessions(app) = self else { return None };
        let response = app.call(request).await.expect("an answer");
        response.headers().get(SET_COOKIE)?.to_str().ok().map(str::to_owned)
    }
}

pub(crate) async fn apps() -> Apps<impl App> {
    let (counted, faults) = crate::counted();
    let app = || actix_web::App::new().configure(routes);
    Apps {
        framework: "actix",
        bare: ActixApp::Bare(init_service(app()).await),
        around: ActixApp::Sessions(init_service(app().wrap(middleware(crate::sessions()))).await),
        inside: None,
        counted: ActixApp::Sessions(init_service(app().wrap(middleware(counted))).await),
        faults,
    }
}

fn middleware(service: session_core::CookieSessionService) -> CookieSessionMiddleware {
    service.middleware()
}

fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/plain", web::get().to(async || "plain"))
        .route(
            "/read",
            web::get().to(async |session: CookieSession| {
                black_box(session.get::<String>("theme").expect("a string or nothing"));
                "plain"
            }),
        )
        .route(
            "/write",
            web::get().to(async |session: CookieSession| {
                session.set("theme", &"dark").expect("small");
                "plain"
            }),
        )
        .route(
            "/sign-in",
            web::get().to(async |session: CookieSession| {
                session
                    .authenticate_with("ada", serde_json::json!({"theme": "light"}))
                    .await
                    .expect("a store that works");
                "plain"
            }),
        );
}
