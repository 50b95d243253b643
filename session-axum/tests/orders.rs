//! The layer among those of tower-http, around each and inside each: handlers' responses pass, and
//! so do those of a commit that failed and of a guard.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::routing::{get, post};
use http::header::{AUTHORIZATION, SET_COOKIE};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use session_axum::testing::FailingStore;
use session_axum::{
    CookieSession, CookieSessionService, CookieSessionServiceExt, KeyRing, MemoryStore, RequireSignIn, Result, Session,
    SessionConfig, SigningKey,
};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_http::add_extension::AddExtensionLayer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::cors::CorsLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::map_response_body::MapResponseBodyLayer;
use tower_http::metrics::InFlightRequestsLayer;
use tower_http::normalize_path::NormalizePathLayer;
use tower_http::propagate_header::PropagateHeaderLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::sensitive_headers::SetSensitiveHeadersLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::{RequestBodyTimeoutLayer, ResponseBodyTimeoutLayer, TimeoutLayer};
use tower_http::trace::TraceLayer;
use tower_http::validate_request::ValidateRequestHeaderLayer;

struct Site {
    sessions: CookieSessionService,
    store: FailingStore,
}

impl Site {
    fn new() -> Self {
        let store = FailingStore::new(MemoryStore::new());
        let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32]).unwrap());
        let sessions = CookieSessionService::new(store.clone(), SessionConfig::builder().build(keys).unwrap());
        Self { sessions, store }
    }

    /// Signs in, reads, and writes while the store fails.
    async fn works<S, B>(&self, order: &str, app: S)
    where
        S: Service<Request<Body>, Response = Response<B>, Error: std::fmt::Debug> + Clone,
        B: HttpBody<Data = Bytes>,
    {
        let ask = async |method: Method, path: &str, cookie: &str| {
            let request = Request::builder().method(method).uri(path).header("cookie", cookie);
            let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            let (head, body) = response.into_parts();
            (head, body.collect().await.ok().expect("a body").to_bytes())
        };
        let (head, _) = ask(Method::POST, "/sign-in", "").await;
        assert_eq!(head.status, StatusCode::OK, "{order}");
        let line = head.headers[SET_COOKIE].to_str().unwrap();
        let cookie = line.split(';').next().unwrap();
        let (head, body) = ask(Method::GET, "/theme", cookie).await;
        assert_eq!((head.status, body), (StatusCode::OK, "dark".into()), "{order}");
        assert_eq!(head.headers["cache-control"], "private", "{order}");
        self.store.fail_writes();
        let (head, body) = ask(Method::POST, "/theme", cookie).await;
        self.store.recover();
        assert_eq!((head.status, body), (StatusCode::SERVICE_UNAVAILABLE, Bytes::new()), "{order}");
        assert_eq!(head.headers["retry-after"], "1", "{order}");
        let (head, body) = ask(Method::GET, "/theme", cookie).await;
        assert_eq!((head.status, body), (StatusCode::OK, "dark".into()), "{order}");
    }

    /// A guard turns away who isn't signed in.
    async fn guards<S, B>(&self, app: S)
    where
        S: Service<Request<Body>, Response = Response<B>, Error: std::fmt::Debug>,
        B: HttpBody<Data = Bytes>,
    {
        let response = app.oneshot(Request::get("/theme").body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(response.into_body().collect().await.ok().expect("a body").to_bytes(), "not signed in\n");
    }
}

fn routes() -> Router {
    async fn sign_in(session: CookieSession) -> Result<&'static str> {
        session.authenticate("ada").await?;
        session.set("theme", "dark")?;
        Ok("welcome")
    }
    async fn theme(session: Session) -> String {
        session.data["theme"].as_str().unwrap_or_default().to_owned()
    }
    async fn set_theme(session: CookieSession) -> Result<&'static str> {
        session.set("theme", "light")?;
        Ok("stored")
    }
    Router::new().route("/sign-in", post(sign_in)).route("/theme", get(theme).post(set_theme))
}

/// A test for each layer, which is made anew for each order.
macro_rules! orders {
    ($($name:ident: $layer:expr;)+) => {$(
        #[tokio::test]
        async fn $name() {
            let site = Site::new();
            let (boxed, unboxed) = (site.sessions.layer(), site.sessions.layer().unboxed());
            let inside = ServiceBuilder::new().layer($layer).layer(boxed.clone());
            site.works("inside", inside.service(routes())).await;
            let around = ServiceBuilder::new().layer(boxed.clone()).layer($layer);
            site.works("around", around.service(routes())).await;
            let inside = ServiceBuilder::new().layer($layer).layer(unboxed.clone());
            site.works("inside, unboxed", inside.service(routes())).await;
            let around = ServiceBuilder::new().layer(unboxed).layer($layer);
            site.works("around, unboxed", around.service(routes())).await;
            let around = ServiceBuilder::new().layer(boxed.clone()).layer($layer);
            site.works("around, in a router", routes().layer(around)).await;
            let guarded = ServiceBuilder::new().layer(boxed).layer(RequireSignIn::new()).layer($layer);
            site.guards(guarded.service(routes())).await;
        }
    )+};
}

const MINUTE: Duration = Duration::from_secs(60);

orders! {
    tracing: TraceLayer::new_for_http();
    timeouts: TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, MINUTE);
    timeouts_of_the_requests_body: RequestBodyTimeoutLayer::new(MINUTE);
    timeouts_of_the_responses_body: ResponseBodyTimeoutLayer::new(MINUTE);
    counting_requests_in_flight: InFlightRequestsLayer::pair().0;
    compression: CompressionLayer::new();
    catching_panics: CatchPanicLayer::new();
    setting_request_ids: SetRequestIdLayer::x_request_id(MakeRequestUuid);
    propagating_request_ids: PropagateRequestIdLayer::x_request_id();
    cors: CorsLayer::permissive();
    normalizing_paths: NormalizePathLayer::trim_trailing_slash();
    limits_of_the_requests_body: RequestBodyLimitLayer::new(1000);
    mapping_the_responses_body: MapResponseBodyLayer::new(UnsyncBoxBody::new);
    adding_extensions: AddExtensionLayer::new("a value");
    propagating_headers: PropagateHeaderLayer::new(HeaderName::from_static("x-client"));
    sensitive_headers: SetSensitiveHeadersLayer::new([AUTHORIZATION]);
    setting_headers: SetResponseHeaderLayer::overriding(
        HeaderName::from_static("x-frame-options"),
        HeaderValue::from_static("DENY"),
    );
    validating_headers: ValidateRequestHeaderLayer::accept("text/plain");
}

#[tokio::test]
async fn it_stands_in_the_middle_of_a_whole_stack_and_its_503_keeps_what_that_adds() {
    let site = Site::new();
    let app = ServiceBuilder::new()
        .layer(CatchPanicLayer::new())
        .layer(TraceLayer::new_for_http())
        .layer(InFlightRequestsLayer::pair().0)
        .layer(RequestBodyTimeoutLayer::new(MINUTE))
        .layer(site.sessions.layer())
        .layer(CompressionLayer::new())
        .layer(ResponseBodyTimeoutLayer::new(MINUTE))
        .layer(TraceLayer::new_for_http())
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(CorsLayer::permissive())
        .service(routes());
    site.works("in the middle", app.clone()).await;
    let cookie = site.sessions.issue("ada").await.unwrap();
    site.store.fail_writes();
    let request = Request::post("/theme").header("cookie", cookie).header("x-request-id", "of the client");
    let response = app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    assert_eq!(response.headers()["x-request-id"], "of the client");
}
