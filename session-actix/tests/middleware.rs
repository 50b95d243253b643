//! The middleware beside others, and around what is Actix's own: scopes, resources, middleware errors, streamed bodies. What
//! HTTP shows of the session itself is the conformance suite's.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::SystemTime;

use actix_web::body::{BoxBody, MessageBody, to_bytes};
use actix_web::dev::{Service, ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_ENCODING, SET_COOKIE, VARY};
use actix_web::middleware::{
    Compress, Condition, DefaultHeaders, ErrorHandlerResponse, ErrorHandlers, Logger, Next, NormalizePath, from_fn,
};
use actix_web::test::{TestRequest, call_service, init_service, try_call_service};
use actix_web::web::{self, Bytes};
use actix_web::{App, FromRequest, HttpRequest, HttpResponse, ResponseError, error};
use conformance_tests::faulty::{Fault, Faults, FaultyStore, OpKind};
use session_actix::session_core::UserId;
use session_actix::session_core::store::{Checked, SessionStore};
use session_actix::{
    CookieSession, CookieSessionService, CookieSessionServiceExt, KeyRing, MemoryStore, Result, Session, SessionConfig,
    SigningKey,
};

fn service() -> CookieSessionService {
    named("__Host-session")
}

/// What the store holds as the data of ada's only session.
async fn stored(store: &MemoryStore) -> String {
    let ada = UserId::parse("ada").unwrap();
    match store.list(&ada, None, SystemTime::now().into()).await.unwrap() {
        Checked::Live(rows) if rows.len() == 1 => rows[0].data.text().to_owned(),
        other => panic!("one session, not {other:?}"),
    }
}

fn named(cookie: &str) -> CookieSessionService {
    let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32]).unwrap());
    CookieSessionService::new(MemoryStore::new(), SessionConfig::builder().cookie_name(cookie).build(keys).unwrap())
}

async fn sign_in(session: CookieSession) -> Result<&'static str> {
    session.authenticate("ada").await?;
    session.set("theme", &"dark")?;
    Ok("welcome")
}

async fn theme(session: CookieSession) -> Result<String> {
    Ok(session.get("theme")?.unwrap_or_default())
}

fn cookie<B>(response: &ServiceResponse<B>) -> Option<String> {
    let line = response.headers().get(SET_COOKIE)?.to_str().unwrap();
    line.split(';').next().map(str::to_owned)
}

/// Signs in at `path` and reads the theme at `then` with the cookie of that.
macro_rules! signs_in_and_reads {
    ($app:expr, $path:literal, $then:literal) => {
        let app = init_service($app).await;
        let response = call_service(&app, TestRequest::post().uri($path).to_request()).await;
        assert_eq!(response.status(), StatusCode::OK);
        let cookie = cookie(&response).expect("a cookie");
        let response =
            call_service(&app, TestRequest::get().uri($then).insert_header(("cookie", cookie)).to_request()).await;
        assert!(response.headers().get_all(VARY).any(|line| line.to_str().unwrap().contains("Cookie")));
        assert_eq!(to_bytes(response.into_body()).await.ok().expect("a body"), "dark");
    };
}

#[actix_web::test]
async fn it_wraps_apps_scopes_and_resources() {
    let routes = |config: &mut web::ServiceConfig| {
        config.route("/in", web::post().to(sign_in)).route("/theme", web::get().to(theme));
    };
    signs_in_and_reads!(App::new().wrap(service().middleware()).configure(routes), "/in", "/theme");

    let scope = web::scope("/a").wrap(service().middleware()).configure(routes);
    signs_in_and_reads!(App::new().service(scope), "/a/in", "/a/theme");

    let service = service();
    let on = |path, route| web::resource::<&str>(path).wrap(service.middleware()).route(route);
    let app = App::new().service(on("/in", web::post().to(sign_in))).service(on("/theme", web::get().to(theme)));
    signs_in_and_reads!(app, "/in", "/theme");
}

#[actix_web::test]
async fn it_stands_beside_other_middleware_in_any_order() {
    fn handlers<B: 'static>() -> ErrorHandlers<B> {
        ErrorHandlers::new().handler(StatusCode::NOT_FOUND, |response: ServiceResponse<B>| {
            Ok(ErrorHandlerResponse::Response(response.map_into_left_body()))
        })
    }
    macro_rules! routes {
        ($app:expr) => {
            $app.route("/in", web::post().to(sign_in)).route("/theme", web::get().to(theme))
        };
    }
    let app = App::new()
        .wrap(Compress::default())
        .wrap(Logger::default())
        .wrap(handlers())
        .wrap(DefaultHeaders::new().add(("x-frame-options", "DENY")))
        .wrap(NormalizePath::trim())
        .wrap(service().middleware());
    signs_in_and_reads!(routes!(app), "/in/", "/theme/");

    let app = App::new()
        .wrap(service().middleware())
        .wrap(Compress::default())
        .wrap(Logger::default())
        .wrap(handlers())
        .wrap(DefaultHeaders::new().add(("x-frame-options", "DENY")))
        .wrap(NormalizePath::trim());
    signs_in_and_reads!(routes!(app), "/in/", "/theme/");

    signs_in_and_reads!(routes!(App::new().wrap(Condition::new(true, service().middleware()))), "/in", "/theme");
}

#[actix_web::test]
async fn a_streamed_body_passes_through_compressed_or_not() {
    async fn stream(session: CookieSession) -> HttpResponse {
        let user = session.user_id().unwrap_or_default();
        let pieces = (0..1000).map(move |n| Ok::<_, Infallible>(Bytes::from(format!("{n}{user},"))));
        HttpResponse::Ok().streaming(futures_util::stream::iter(pieces))
    }
    let app = App::new().route("/", web::get().to(stream)).wrap(service().middleware()).wrap(Compress::default());
    let app = init_service(app).await;
    let plain = call_service(&app, TestRequest::get().uri("/").to_request()).await;
    let whole: String = (0..1000).map(|n| format!("{n},")).collect();
    assert_eq!(to_bytes(plain.into_body()).await.unwrap(), whole);
    let request = TestRequest::get().uri("/").insert_header(("accept-encoding", "gzip")).to_request();
    let packed = call_service(&app, request).await;
    assert_eq!(packed.headers().get(CONTENT_ENCODING).unwrap(), "gzip");
    assert!(to_bytes(packed.into_body()).await.unwrap().starts_with(&[0x1f, 0x8b]));
}

/// An error of the application's own middleware.
#[derive(Debug)]
struct Refused(StatusCode);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("refused by the middleware")
    }
}

impl ResponseError for Refused {
    fn status_code(&self) -> StatusCode {
        self.0
    }
}

/// Runs the handler, and ends in an error all the same.
async fn refuse(request: ServiceRequest, next: Next<impl MessageBody>) -> actix_web::Result<ServiceResponse> {
    let status = request.headers().get("x-status").unwrap().to_str().unwrap().parse().unwrap();
    drop(next.call(request).await?);
    Err(Refused(StatusCode::from_u16(status).unwrap()).into())
}

#[actix_web::test]
async fn the_error_of_a_middleware_inside_is_a_response_like_any_other() {
    let store = Arc::new(MemoryStore::new());
    let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32]).unwrap());
    let service = CookieSessionService::new(Arc::clone(&store), SessionConfig::builder().build(keys).unwrap());
    let app = App::new()
        .route("/in", web::post().to(sign_in))
        .route("/plain", web::post().to(async || "plain"))
        .wrap(from_fn(refuse))
        .wrap(service.middleware());
    let app = init_service(app).await;
    for (status, data) in [(403, r#"{"theme":"dark"}"#), (500, "{}")] {
        let request = TestRequest::post().uri("/in").insert_header(("x-status", status.to_string()));
        let error = try_call_service(&app, request.to_request()).await.map(drop).unwrap_err();
        assert!(error.as_error::<Refused>().is_some(), "its type stays, for whoever is further out");
        for _ in 0..2 {
            let response = error.error_response();
            assert_eq!(response.status(), status);
            assert_eq!(response.headers().get_all(SET_COOKIE).count(), 1, "a sign-in that is done stays done");
            assert_eq!(response.headers().get(VARY).unwrap(), "Cookie");
            assert_eq!(to_bytes(response.into_body()).await.unwrap(), "refused by the middleware");
        }
        assert_eq!(stored(&store).await, data, "{status}");
        service.revoke_all("ada").await.unwrap();
    }
    let request = TestRequest::post().uri("/plain").insert_header(("x-status", "403")).to_request();
    let error = try_call_service(&app, request).await.map(drop).unwrap_err();
    assert!(error.error_response().headers().get(VARY).is_none(), "the session was never used");
}

#[actix_web::test]
async fn the_error_of_a_middleware_claims_nothing_that_is_not_stored() {
    let faults = Arc::new(Faults::default());
    let store = FaultyStore::new(Arc::new(MemoryStore::new()), Arc::clone(&faults));
    let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32]).unwrap());
    let service = CookieSessionService::new(store, SessionConfig::builder().build(keys).unwrap());
    let app = App::new().route("/in", web::post().to(sign_in)).wrap(from_fn(refuse)).wrap(service.middleware());
    let app = init_service(app).await;
    faults.fail(OpKind::Update, Fault::NotApplied);
    let request = TestRequest::post().uri("/in").insert_header(("x-status", "403")).to_request();
    let error = try_call_service(&app, request).await.map(drop).unwrap_err();
    let response = error.error_response();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers().get_all(SET_COOKIE).count(), 1, "the sign-in is stored");
    assert_eq!(response.headers().get("cache-control").unwrap(), "no-store");
    assert!(to_bytes(response.into_body()).await.unwrap().is_empty());
}

/// As middleware that turns visitors away does: the response is ready made, and Actix can take it once.
async fn send_away(request: ServiceRequest, next: Next<impl MessageBody>) -> actix_web::Result<ServiceResponse> {
    if request.headers().contains_key("x-use-the-session") {
        CookieSession::extract(request.request()).await?;
    }
    drop(next.call(request).await?);
    let to_login = HttpResponse::SeeOther().insert_header(("location", "/login")).body("this way");
    Err(error::InternalError::from_response("nobody is signed in", to_login).into())
}

#[actix_web::test]
async fn the_ready_made_response_of_an_error_stays_what_it_is() {
    let (inner, outer) = (service(), named("__Host-outer"));
    let app = App::new().route("/", web::get().to(async || "home")).wrap(from_fn(send_away));
    let app = init_service(app.wrap(inner.middleware()).wrap(inner.middleware()).wrap(outer.middleware())).await;
    for uses in [false, true] {
        let request = TestRequest::get().uri("/");
        let request = if uses { request.insert_header(("x-use-the-session", "1")) } else { request };
        let error = try_call_service(&app, request.to_request()).await.map(drop).unwrap_err();
        let response = error.error_response();
        assert_eq!((response.status(), response.headers().contains_key(VARY)), (StatusCode::SEE_OTHER, uses));
        assert_eq!(response.headers().get("location").unwrap(), "/login");
        assert_eq!(to_bytes(response.into_body()).await.unwrap(), "this way");
    }
}

#[actix_web::test]
#[expect(clippy::await_holding_refcell_ref, reason = "an application may do that")]
async fn what_borrows_the_extensions_is_not_in_the_way() {
    let (send, received) = std::sync::mpsc::channel();
    let audit = move |request: HttpRequest, session: CookieSession| {
        let (ended, end) = tokio::sync::oneshot::channel::<()>();
        send.send(ended).unwrap();
        // As an audit log does: it still looks at the request when the response is there.
        actix_web::rt::spawn(async move {
            let info = request.connection_info();
            end.await.unwrap();
            drop(info);
        });
        async move {
            actix_web::rt::task::yield_now().await;
            session.set("audited", &true).map(|()| "done")
        }
    };
    let (outer, inner) = (named("__Host-outer"), service());
    let routes = App::new().route("/", web::get().to(audit));
    let app = init_service(routes.wrap(inner.middleware()).wrap(outer.middleware())).await;
    let response = call_service(&app, TestRequest::get().uri("/").to_request()).await;
    assert_eq!(response.status(), StatusCode::OK);
    received.recv().unwrap().send(()).unwrap();
}

#[actix_web::test]
async fn a_middleware_further_out_has_its_own_session_again() {
    let (outer, inner) = (named("__Host-outer"), named("__Host-inner"));
    let users = from_fn(async |request: ServiceRequest, next: Next<_>| {
        let response = next.call(request).await?;
        let session = CookieSession::extract(response.request()).await?;
        let user = session.user_id().unwrap_or_default();
        let (request, response) = response.into_parts();
        let mut response = response.map_into_boxed_body();
        response.headers_mut().insert("x-user".try_into().unwrap(), user.parse().unwrap());
        Ok(ServiceResponse::new(request, response))
    });
    let both = from_fn(async |session: CookieSession, request: ServiceRequest, next: Next<_>| {
        session.authenticate("outside").await?;
        next.call(request).await
    });
    let app = App::new()
        .route(
            "/",
            web::get().to(async |session: CookieSession| {
                session.authenticate("inside").await.unwrap();
                session.user_id()
            }),
        )
        .wrap(inner.middleware())
        .wrap(users)
        .wrap(both)
        .wrap(outer.middleware())
        .wrap_fn(|request, service| {
            let response = service.call(request);
            async move {
                let response = response.await?;
                let left = CookieSession::extract(response.request()).await?;
                assert_eq!(left.user_id().as_deref(), Some("outside"), "what outlives the layer finds its session");
                assert_eq!(left.rotate().await.unwrap_err().status(), 500, "which can send no cookie any more");
                Ok(response)
            }
        });
    let app = init_service(app).await;
    let response = call_service(&app, TestRequest::get().uri("/").to_request()).await;
    assert_eq!(response.headers().get("x-user").unwrap(), "outside");
    assert_eq!(response.headers().get_all(SET_COOKIE).count(), 2);
    assert_eq!(to_bytes(response.into_body()).await.unwrap(), "inside");
}

#[actix_web::test]
async fn a_middleware_further_out_has_its_own_session_again_where_no_response_came_back() {
    /// Signs in, and ends in an error or never.
    async fn fails(
        session: CookieSession,
        request: ServiceRequest,
        _: Next<BoxBody>,
    ) -> actix_web::Result<ServiceResponse> {
        session.authenticate("inside").await?;
        match request.headers().contains_key("x-hangs") {
            true => std::future::pending().await,
            false => Err(Refused(StatusCode::FORBIDDEN).into()),
        }
    }
    let (outer, middle, inner) = (named("__Host-outer"), named("__Host-middle"), named("__Host-inner"));
    for header in ["x-fails", "x-hangs"] {
        let page = web::resource("/").to(async || "never").wrap(from_fn(fails));
        let page = page.wrap(inner.middleware()).wrap(middle.middleware()).wrap_fn(|request, service| {
            let asked = request.request().clone();
            let mut response = Box::pin(service.call(request));
            async move {
                // Without a response where it is dropped, after it has run as far as it can.
                std::future::poll_fn(|cx| {
                    assert!(!matches!(response.as_mut().poll(cx), Poll::Ready(Ok(_))));
                    Poll::Ready(())
                })
                .await;
                drop(response);
                let session = CookieSession::extract(&asked).await?;
                let user = session.user_id().unwrap_or_default();
                Ok(ServiceResponse::new(asked, HttpResponse::Ok().body(user)))
            }
        });
        let app = init_service(App::new().service(page.wrap(outer.middleware()))).await;
        let cookie = outer.issue("outside").await.unwrap();
        let request = TestRequest::get().uri("/").insert_header(("cookie", cookie)).insert_header((header, "1"));
        let response = call_service(&app, request.to_request()).await;
        assert_eq!(to_bytes(response.into_body()).await.ok().unwrap(), "outside", "{header}");
    }
}

#[actix_web::test]
async fn what_a_500_hides_is_logged_once_such_as_a_missing_middleware() {
    static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
    struct Lines;
    impl log::Log for Lines {
        fn enabled(&self, _: &log::Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &log::Record<'_>) {
            if record.level() == log::Level::Error {
                LINES.lock().unwrap().push(record.args().to_string());
            }
        }
        fn flush(&self) {}
    }
    log::set_logger(&Lines).unwrap();
    log::set_max_level(log::LevelFilter::Trace);

    let app = App::new()
        .route("/optional", web::get().to(async |session: Option<CookieSession>| format!("{}", session.is_some())))
        .route("/session", web::get().to(async |session: Option<Session>| format!("{}", session.is_some())))
        .route("/", web::get().to(theme));
    let app = init_service(app).await;
    for path in ["/optional", "/session"] {
        let response = call_service(&app, TestRequest::get().uri(path).to_request()).await;
        assert_eq!(to_bytes(response.into_body()).await.unwrap(), "false");
    }
    assert!(LINES.lock().unwrap().is_empty(), "who asks for an option has been answered");
    let response = call_service(&app, TestRequest::get().uri("/").to_request()).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(to_bytes(response.into_body()).await.unwrap(), "internal error\n");
    {
        let lines = LINES.lock().unwrap();
        assert!(lines.len() == 1 && lines[0].contains(".wrap(service.middleware())"), "{lines:?}");
    }

    // An error of a middleware is asked for its response more than once.
    async fn wrong_type(
        session: CookieSession,
        request: ServiceRequest,
        next: Next<impl MessageBody>,
    ) -> actix_web::Result<ServiceResponse<impl MessageBody>> {
        session.authenticate("ada").await?;
        session.set("theme", "dark")?;
        session.get::<u64>("theme")?;
        next.call(request).await
    }
    let app = App::new().route("/", web::get().to(theme)).wrap(from_fn(wrong_type)).wrap(service().middleware());
    let app = init_service(app).await;
    let error = try_call_service(&app, TestRequest::get().uri("/").to_request()).await.unwrap_err();
    assert_eq!(error.error_response().status(), StatusCode::INTERNAL_SERVER_ERROR);
    let lines = LINES.lock().unwrap();
    assert!(
        lines.len() == 2 && lines[1].contains("theme") && lines[1].contains("u64"),
        "once, with key and reason: {lines:?}"
    );
}

#[actix_web::test]
async fn errors_are_responses_and_mix_with_the_applications_own() {
    async fn own(session: CookieSession) -> actix_web::Result<&'static str> {
        session.set("theme", &"dark").map_err(error::ErrorBadRequest)?;
        session.rotate().await?;
        Ok("rotated")
    }
    let app = init_service(App::new().route("/", web::get().to(own)).wrap(service().middleware())).await;
    let response = call_service(&app, TestRequest::get().uri("/").to_request()).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(response.headers().get("cache-control").unwrap(), "no-store");
    assert_eq!(to_bytes(response.into_body()).await.unwrap(), "not signed in\n");
}
