//! An adapter written by hand from the core's guide, for plain functions on hyper; and the same
//! with each mistake that the guide warns of, which the suite must notice.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use conformance_tests::adapter::{Adapter, Server};
use conformance_tests::app::App;
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode};
use session_axum::ConnectInfo;
use session_core::adapter::{Headers, HeadersMut, ResponseHead, Scope, ScopeGuard};
use session_core::{CookieSession, CookieSessionService, Result};

use super::http1::{self, Around, Body, Handler};

/// The adapter, and what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ByHand {
    AsItIs,
    /// Tells nobody that the handler has returned.
    DropsTheCommit,
    /// Commits as if every response were a 200.
    CommitsEveryStatus,
    /// Commits only where the extraction succeeded.
    SkipsTheCommitOfAnOutage,
    /// Looks at one `Cookie` header.
    ReadsOneCookieHeader,
    /// Writes its lines over the handler's.
    OverwritesHeaders,
    /// Changes the status of a response that can't stand, and leaves the rest.
    KeepsTheBody,
    /// Changes the status and the body of such a response, and drops its head.
    DropsTheHead,
    /// Begins anew at each extraction but the first.
    BeginsAtEachExtraction,
    /// Begins anew at each layer.
    ForgetsTheOuterLayer,
    /// Asks no policy.
    AdmitsEverything,
    /// Loads the session of every request.
    LoadsAlways,
    /// Knows no peer.
    ForgetsThePeer,
    /// Removes every cookie under which it finds no session.
    ClearsUnknownTokens,
}

impl Adapter for ByHand {
    fn name(&self) -> &'static str {
        if *self == Self::AsItIs { "by-hand" } else { "broken" }
    }

    async fn serve(&self, app: App) -> Server {
        http1::serve(*self, app).await
    }
}

impl Around for ByHand {
    fn around(self, service: &CookieSessionService, handler: Handler) -> Handler {
        let service = service.clone();
        Arc::new(move |request| {
            let (service, handler) = (service.clone(), Arc::clone(&handler));
            Box::pin(async move { self.with_session(&service, request, handler).await })
        })
    }

    async fn session(self, parts: &Parts) -> Result<Option<CookieSession>> {
        let Some(Layered { scope, service, extracted }) = parts.extensions.get() else { return Ok(None) };
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
        match self {
            Self::BeginsAtEachExtraction => {
                let again = (!lock(extracted).is_empty()).then(|| service.begin(None));
                let scope = again.as_ref().map_or(scope, ScopeGuard::scope).clone();
                // Kept, so that nothing else is wrong with it.
                lock(extracted).push(again);
                self.load(&scope, &parts.headers, peer).await.map(Some)
            }
            _ => self.load(scope, &parts.headers, peer).await.map(Some),
        }
    }
}

/// What the layer puts into a request's extensions; all but the scope is there for a mistake.
#[derive(Clone)]
struct Layered {
    scope: Scope,
    service: CookieSessionService,
    /// One for each extraction so far.
    extracted: Arc<Mutex<Vec<Option<ScopeGuard>>>>,
}

fn lock(extracted: &Mutex<Vec<Option<ScopeGuard>>>) -> MutexGuard<'_, Vec<Option<ScopeGuard>>> {
    extracted.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ByHand {
    async fn with_session(
        self,
        service: &CookieSessionService,
        mut request: Request<Bytes>,
        handler: Handler,
    ) -> Response<Body> {
        let outer = request.extensions().get::<Layered>().map(|outer| outer.scope.clone());
        let guard = service.begin(outer.as_ref().filter(|_| self != Self::ForgetsTheOuterLayer));
        if self != Self::AdmitsEverything
            && let Some(answer) = guard.admit(&request)
        {
            return answer.into_response();
        }
        let scope = guard.scope().clone();
        request.extensions_mut().insert(Layered {
            scope: scope.clone(),
            service: service.clone(),
            extracted: Arc::default(),
        });
        let headers = request.headers().clone();
        if self == Self::LoadsAlways {
            drop(self.load(&scope, &headers, None).await);
        }
        let mut response = handler(request).await;
        if self == Self::DropsTheCommit
            || (self == Self::SkipsTheCommitOfAnOutage && self.load(&scope, &headers, None).await.is_err())
        {
            return response;
        }
        let status = if self == Self::CommitsEveryStatus { 200 } else { response.status().as_u16() };
        let verdict = guard.commit(status).await;
        let untouched = verdict.is_untouched();
        verdict.apply(&mut Outgoing(self, &mut response));
        if self == Self::ClearsUnknownTokens
            && !untouched
            && headers.contains_key("cookie")
            && !response.headers().contains_key("set-cookie")
            && self.load(&scope, &headers, None).await.is_ok_and(|session| !session.is_authenticated())
        {
            let removal = "__Host-session=; Path=/; Secure; HttpOnly; Max-Age=0";
            response.headers_mut().append_line("set-cookie", Cow::Borrowed(removal), true);
        }
        response
    }

    async fn load(self, scope: &Scope, headers: &HeaderMap, peer: Option<IpAddr>) -> Result<CookieSession> {
        scope.load(scope.read(&Lines(self, headers), peer.filter(|_| self != Self::ForgetsThePeer))).await
    }
}

/// A request's header lines.
struct Lines<'a>(ByHand, &'a HeaderMap);

impl Headers for Lines<'_> {
    fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let one = self.0 == ByHand::ReadsOneCookieHeader;
        self.1.lines(name).take(if one { 1 } else { usize::MAX })
    }
}

struct Outgoing<'a>(ByHand, &'a mut Response<Body>);

impl ResponseHead for Outgoing<'_> {
    type Headers<'a>
        = LinesMut<'a>
    where
        Self: 'a;

    fn headers(&mut self) -> LinesMut<'_> {
        LinesMut(self.0, self.1.headers_mut())
    }

    fn replace(&mut self, status: u16) {
        match self.0 {
            ByHand::KeepsTheBody => *self.1.status_mut() = StatusCode::from_u16(status).expect("a status"),
            ByHand::DropsTheHead => {
                self.1.headers_mut().clear();
                self.1.replace(status);
            }
            _ => self.1.replace(status),
        }
    }
}

/// A response's header lines.
struct LinesMut<'a>(ByHand, &'a mut HeaderMap);

impl Headers for LinesMut<'_> {
    fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.1.lines(name)
    }
}

impl HeadersMut for LinesMut<'_> {
    fn retain_lines(&mut self, keep: impl Fn(&str, &[u8]) -> bool) {
        self.1.retain_lines(keep);
    }

    fn append_line(&mut self, name: &'static str, value: Cow<'static, str>, sensitive: bool) {
        if self.0 == ByHand::OverwritesHeaders {
            self.1.remove(name);
        }
        self.1.append_line(name, value, sensitive);
    }
}
