//! What binds the core to a web framework: the way of one request through begin, load and commit, and the macro that
//! gives each adapter its own types with all methods. Adapters decide nothing. The [`guide`] shows how to write one.

use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::client::{self, Client};
use crate::error::{Error, Result};
use crate::request::handle::CookieSession;
use crate::service::{CookieSessionService, Inner};
use crate::transport::cookie::Found;

#[cfg(any(doc, doctest))]
pub mod guide;
mod head;
mod types;
mod verdict;

pub use head::{Headers, HeadersMut, ResponseHead};
pub use verdict::Verdict;

/// One request inside a layer, for the layer to hold until the response is there. Dropped before that, because the
/// handler's future was dropped, panicked or failed without a response, it closes the request: what is pending is never
/// stored, and what goes on in other tasks can't send a cookie any more.
#[must_use = "dropping it closes the request"]
pub struct ScopeGuard(Scope);

/// One request inside a layer, for extractors to find in the request's extensions.
#[derive(Clone)]
pub struct Scope {
    session: CookieSession,
    /// Whether this layer commits, or one further out of the same service.
    commits: bool,
    outer: Option<Arc<Self>>,
}

/// What a request says of its session, copied and verified, on its way to [`Scope::load`].
pub struct Facts {
    found: Found,
    client: Client,
}

impl CookieSessionService {
    /// Begins a request inside the layer, for adapters: nothing is copied, parsed or read. `outer` is the scope of a
    /// layer further out, if there is one.
    pub fn begin(&self, outer: Option<&Scope>) -> ScopeGuard {
        ScopeGuard::new(&self.0, outer)
    }
}

impl Scope {
    fn new(service: &Arc<Inner>, outer: Option<&Self>) -> Self {
        let mut around = outer;
        while let Some(scope) = around {
            if Arc::ptr_eq(&scope.session.0.service, service) {
                return Self { session: scope.session.clone(), commits: false, outer: outer.cloned().map(Arc::new) };
            }
            around = scope.outer.as_deref();
        }
        Self { session: CookieSession::unloaded(service), commits: true, outer: outer.cloned().map(Arc::new) }
    }

    /// Reads what the session needs from the request's headers and verifies the cookie: no I/O. `peer` is the address
    /// of whoever connected, where the server knows it.
    pub fn read(&self, headers: &impl Headers, peer: Option<IpAddr>) -> Facts {
        if self.session.0.loaded.initialized() {
            return Facts { found: Found::default(), client: Client::default() };
        }
        let config = &self.session.0.service.config;
        let forwarded = || headers.lines(&config.forwarding_header);
        Facts {
            found: config.cookie.find(&config.cookie_keys, headers.lines("cookie")),
            client: Client::new(
                client::address(peer, &config.trusted_proxies, &config.forwarding_header, forwarded),
                headers.lines("user-agent").next().unwrap_or_default(),
            ),
        }
    }

    /// Looks the session up, once a request, in one store call or none.
    ///
    /// # Errors
    /// [`Error::Store`], the same at every extraction of the request.
    pub fn load(&self, facts: Facts) -> impl Future<Output = Result<CookieSession>> + Send + 'static + use<> {
        self.session.0.meet(facts.found.any, facts.client);
        self.look_up(facts.found)
    }

    /// As [`load`](Self::load), for frameworks whose extractors have a future with a name. It is boxed only if the store
    /// has to be asked.
    pub fn load_boxed(&self, facts: Facts) -> Load {
        let request = &self.session.0;
        request.meet(facts.found.any, facts.client);
        if facts.found.is_empty() {
            // Refused where the look-up is done or under way, which is as good.
            drop(request.loaded.set(Ok(())));
        }
        Load(match request.loaded.get() {
            Some(outcome) => {
                let session = self.session.clone();
                Loading::Done(Some(outcome.clone().map(|()| session).map_err(Error::Store)))
            }
            None => Loading::Asking(Box::pin(self.look_up(facts.found))),
        })
    }

    fn look_up(&self, found: Found) -> impl Future<Output = Result<CookieSession>> + Send + 'static + use<> {
        let session = self.session.clone();
        async move {
            let request = &session.0;
            let outcome = request.loaded.get_or_init(|| request.load(found)).await.clone();
            outcome.map(|()| session).map_err(Error::Store)
        }
    }
}

impl ScopeGuard {
    pub(crate) fn new(service: &Arc<Inner>, outer: Option<&Scope>) -> Self {
        Self(Scope::new(service, outer))
    }

    /// What the layer puts a clone of into the request's extensions.
    pub const fn scope(&self) -> &Scope {
        &self.0
    }

    /// Whether this layer has anything to commit: it is the outermost of its service, and something inside asked for the
    /// session. Else the status doesn't matter, and no response need be made to know it.
    pub fn is_used(&self) -> bool {
        self.0.commits && self.0.session.0.loaded.initialized()
    }

    /// Ends the handler's part: stores what is pending, unless the response is a 5xx. The response head may leave when
    /// the verdict was applied to it. A request that never used its session is ready at once.
    pub fn commit(&self, status: u16) -> Commit {
        let scope = &self.0;
        let request = &scope.session.0;
        if !scope.commits {
            return Commit(Step::Done(Verdict::UNTOUCHED));
        }
        match request.loaded.get() {
            None => {
                request.close();
                Commit(Step::Done(Verdict::UNTOUCHED))
            }
            Some(Err(error)) => {
                request.close();
                let failed = Error::Store(error.clone()).status();
                Commit(Step::Done(Verdict::of(scope, status, Some(failed).filter(|failed| *failed != status))))
            }
            Some(Ok(())) => match request.commit_at_once(status) {
                Some(failed) => Commit(Step::Done(Verdict::of(scope, status, failed))),
                None => {
                    let scope = scope.clone();
                    Commit(Step::Storing(Box::pin(async move {
                        let failed = Arc::clone(&scope.session.0).commit(status).await;
                        Verdict::of(&scope, status, failed)
                    })))
                }
            },
        }
    }
}

impl Drop for ScopeGuard {
    fn drop(&mut self) {
        if self.0.commits {
            self.0.session.0.give_up();
        }
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("commits", &self.commits).finish_non_exhaustive()
    }
}

impl fmt::Debug for ScopeGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ScopeGuard").field(&self.0).finish()
    }
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facts").field("candidates", &self.found.sessions().len()).finish_non_exhaustive()
    }
}

/// The future of an extraction, from [`Scope::load_boxed`].
#[must_use = "nothing is loaded unless it is polled"]
pub struct Load(Loading);

enum Loading {
    /// Taken when it is polled.
    Done(Option<Result<CookieSession>>),
    Asking(Pin<Box<dyn Future<Output = Result<CookieSession>> + Send>>),
}

impl Future for Load {
    type Output = Result<CookieSession>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Loading::Done(outcome) => Poll::Ready(outcome.take().expect("not polled after it was ready")),
            Loading::Asking(asking) => asking.as_mut().poll(cx),
        }
    }
}

impl fmt::Debug for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Load")
    }
}

/// The future of a commit.
#[must_use = "nothing is stored unless it is polled"]
pub struct Commit(Step);

enum Step {
    Done(Verdict),
    Storing(Pin<Box<dyn Future<Output = Verdict> + Send>>),
}

impl Future for Commit {
    type Output = Verdict;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Verdict> {
        match &mut self.0 {
            Step::Done(verdict) => Poll::Ready(std::mem::replace(verdict, Verdict::UNTOUCHED)),
            Step::Storing(storing) => storing.as_mut().poll(cx),
        }
    }
}

impl fmt::Debug for Commit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Commit")
    }
}
