//! Actix's apps, called as its services.

use actix_http::Request;
use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::test::{TestRequest, init_service};
use actix_web::web::get;
use actix_web::{App as ActixApp, Error};

use super::common;
use super::oneshot::{self, AGENT, App};

struct Called<S>(S);

impl<S, B> App for Called<S>
where
    S: Service<Request, Response = ServiceResponse<B>, Error = Error>,
{
    type Request = Request;

    fn request(&self, path: &str, cookie: Option<&str>) -> Request {
        let request = TestRequest::get().uri(path).insert_header(("user-agent", AGENT));
        match cookie {
            Some(cookie) => request.insert_header(("cookie", cookie)),
            None => request,
        }
        .to_request()
    }

    async fn call(&self, request: Request) -> Vec<String> {
        let response = self.0.call(request).await.expect("an answer");
        let lines = response.headers().get_all("set-cookie");
        lines.filter_map(|line| line.to_str().ok()).map(str::to_owned).collect()
    }
}

/// Measures an app that `make` makes.
pub fn measure<S, B>(make: impl AsyncFnOnce() -> S)
where
    S: Service<Request, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let with = runtime.block_on(make());
    let bare =
        ActixApp::new().route("/plain", get().to(async || "plain")).route("/read", get().to(async || "plain")).route(
            "/write",
            get().to(async || {
                std::hint::black_box(common::next_theme());
                "plain"
            }),
        );
    let bare = runtime.block_on(init_service(bare));
    oneshot::measure(&runtime, &Called(bare), &Called(with));
}
