//! The HTTP client, with bounds of time and size. It follows no redirects, so the provider can't
//! have it ask another server. Over the internet it would need TLS.

use std::pin::Pin;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::{self, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use oauth2::{AsyncHttpClient, HttpRequest, HttpResponse};
use tokio::time::{error::Elapsed, timeout};

const TIMEOUT: Duration = Duration::from_secs(10);
const MAX_BYTES: usize = 64 * 1024;

pub(crate) struct HttpClient(legacy::Client<HttpConnector, Full<Body>>);

type Body = std::io::Cursor<Vec<u8>>;

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// No connection, or it broke.
    #[error("the request failed")]
    Request(#[from] legacy::Error),
    /// The answer broke off, or is larger than 64 KiB.
    #[error("the answer can't be read")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It took more than 10 seconds.
    #[error("no answer in time")]
    Timeout(#[from] Elapsed),
}

impl HttpClient {
    pub(crate) fn new() -> Self {
        Self(legacy::Client::builder(TokioExecutor::new()).build_http())
    }

    pub(crate) async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        timeout(TIMEOUT, async {
            let (head, body) = self.0.request(request.map(|body| Full::new(Body::new(body)))).await?.into_parts();
            let body = Limited::new(body, MAX_BYTES).collect().await.map_err(HttpError::Body)?;
            Ok(HttpResponse::from_parts(head, body.to_bytes().into()))
        })
        .await?
    }
}

impl<'c> AsyncHttpClient<'c> for HttpClient {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}
