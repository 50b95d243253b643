//! Axum's apps, called as tower services, with the layer of the sessions around all of the router.

use std::convert::Infallible;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use axum::routing::get;
use tower::{Service, ServiceExt};

use super::common;
use super::oneshot::{self, AGENT, App};

pub struct AxumApp<S>(S);

impl<S, B> App for AxumApp<S>
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone,
{
    type Request = Request<Body>;

    fn request(&self, path: &str, cookie: Option<&str>) -> Request<Body> {
        let request = Request::get(path).header("user-agent", AGENT);
        let request = match cookie {
            Some(cookie) => request.header("cookie", cookie),
            None => request,
        };
        request.body(Body::empty()).expect("a valid request")
    }

    async fn call(&self, request: Request<Body>) -> Vec<String> {
        let Ok(response) = self.0.clone().oneshot(request).await;
        let lines = response.headers().get_all("set-cookie");
        lines.into_iter().filter_map(|line| line.to_str().ok()).map(str::to_owned).collect()
    }
}

/// Measures an app that `make` makes.
pub fn measure<S, B>(make: impl AsyncFnOnce() -> S)
where
    S: Service<Request<Body>, Response = Response<B>, Error = Infallible> + Clone,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let with = runtime.block_on(make());
    let bare = Router::new().route("/plain", get(async || "plain")).route("/read", get(async || "plain")).route(
        "/write",
        get(async || {
            std::hint::black_box(common::next_theme());
            "plain"
        }),
    );
    oneshot::measure(&runtime, &AxumApp(bare), &AxumApp(with));
}
