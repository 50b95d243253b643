//! What binds the core to a web framework: what an adapter calls for each request (begin, load and
//! commit), and the macro that gives each adapter its own types with all methods. Adapters decide
//! nothing. The [`guide`] shows how to write one.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::client::Client;
use crate::error::{Error, Result};
use crate::request::handle::CookieSession;
use crate::service::{CookieSessionService, Shared};
use crate::transport::cookie::CookieMatches;

mod caching;
pub(crate) mod csrf;
pub(crate) mod flash;
#[cfg(any(doc, doctest))]
pub mod guide;
mod head;
mod maybe_ready;
mod opening;
pub(crate) mod require_sign_in;
mod types;
mod user;
mod verdict;

pub use head::{Headers, HeadersMut, RequestHead, ResponseHead};
pub use maybe_ready::MaybeReady;
pub use opening::{Check, FromSession, check};
pub use require_sign_in::Permission;
pub use user::load_user;
pub use verdict::Verdict;

/// One request inside a layer, for the layer to hold until the response is there. If it is dropped
/// before that, because the handler's future was dropped, panicked or failed without a response, it
/// closes the request: what is pending is never stored, and what goes on in other tasks can't send
/// a cookie any more.
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
    found: CookieMatches,
    client: Client,
}

impl CookieSessionService {
    /// Begins a request inside the layer, for adapters: nothing is copied, parsed or read. `outer`
    /// is the scope of a layer further out, if there is one.
    pub fn begin(&self, outer: Option<&Scope>) -> ScopeGuard {
        ScopeGuard::new(&self.0, outer)
    }
}

impl Scope {
    fn new(service: &Arc<Shared>, outer: Option<&Self>) -> Self {
        let mut around = outer;
        while let Some(scope) = around {
            if Arc::ptr_eq(&scope.session.0.service, service) {
                return Self { session: scope.session.clone(), commits: false, outer: outer.cloned().map(Arc::new) };
            }
            around = scope.outer.as_deref();
        }
        Self { session: CookieSession::unloaded(service), commits: true, outer: outer.cloned().map(Arc::new) }
    }

    /// Reads what the session needs from the request's headers and verifies the cookie: no I/O.
    /// `peer` is the address that the connection is from, where the server knows it.
    pub fn read(&self, headers: &impl Headers, peer: Option<IpAddr>) -> Facts {
        if self.session.0.loaded.initialized() {
            return Facts { found: CookieMatches::default(), client: Client::default() };
        }
        let config = &self.session.0.service.config;
        let address = match &config.proxies {
            None => peer.map(|ip| ip.to_canonical()),
            Some(proxies) => proxies.address(peer, || headers.lines(proxies.header())),
        };
        let found = config.cookie.find(&config.cookie_keys, headers.lines("cookie"));
        if let Some(notice) = config.plain_http.as_ref().filter(|_| !found.present) {
            notice.look_at(config.cookie_name(), |name| headers.lines(name).next());
        }
        Facts { found, client: Client::new(address, headers.lines("user-agent").next().unwrap_or_default()) }
    }

    /// Looks the session up, once a request, in one store call or none. Ready at once, without a
    /// box, where the store needn't be asked.
    ///
    /// The future gives [`Error::Store`] if the store failed, the same at every extraction of the
    /// request.
    pub fn load(&self, facts: Facts) -> MaybeReady<Result<CookieSession>> {
        let request = &self.session.0;
        request.note_facts(facts.found.present, facts.client);
        if facts.found.is_empty() {
            // Refused where the look-up is done or under way, which is as good.
            drop(request.loaded.set(Ok(())));
        }
        let session = self.session.clone();
        if let Some(outcome) = request.loaded.get() {
            return MaybeReady::ready(outcome.clone().map(|()| session).map_err(Error::Store));
        }
        MaybeReady::waiting(async move {
            let request = &session.0;
            let outcome = request.loaded.get_or_init(|| request.load(facts.found)).await.clone();
            outcome.map(|()| session).map_err(Error::Store)
        })
    }
}

impl ScopeGuard {
    pub(crate) fn new(service: &Arc<Shared>, outer: Option<&Scope>) -> Self {
        Self(Scope::new(service, outer))
    }

    /// What the layer puts a clone of into the request's extensions.
    pub const fn scope(&self) -> &Scope {
        &self.0
    }

    /// Whether this layer has anything to commit: it is the outermost of its service, and something
    /// inside asked for the session. Otherwise the status doesn't matter, and no response need be
    /// made just to know it.
    pub fn is_used(&self) -> bool {
        self.0.commits && self.0.session.0.loaded.initialized()
    }

    /// Ends the handler's part: stores what is pending, unless the response is a 5xx. The response
    /// head may leave when the verdict was applied to it. For a request that never used its session
    /// the verdict is ready at once.
    pub fn commit(&self, status: u16) -> MaybeReady<Verdict> {
        let scope = &self.0;
        let request = &scope.session.0;
        if !scope.commits {
            return MaybeReady::ready(Verdict::UNTOUCHED);
        }
        match request.loaded.get() {
            None => {
                request.close();
                MaybeReady::ready(Verdict::UNTOUCHED)
            }
            Some(Err(error)) => {
                request.close();
                let failed = Error::Store(error.clone()).status();
                MaybeReady::ready(Verdict::of(scope, status, Some(failed).filter(|failed| *failed != status)))
            }
            Some(Ok(())) => match request.commit_at_once(status) {
                Some(failed) => MaybeReady::ready(Verdict::of(scope, status, failed)),
                None => {
                    let scope = scope.clone();
                    MaybeReady::waiting(async move {
                        let failed = Arc::clone(&scope.session.0).commit(status).await;
                        Verdict::of(&scope, status, failed)
                    })
                }
            },
        }
    }
}

impl Drop for ScopeGuard {
    fn drop(&mut self) {
        if self.0.commits {
            self.0.session.0.abandon();
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
