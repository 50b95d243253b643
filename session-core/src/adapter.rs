//! What binds the core to a web framework: the way of one request through begin, load and commit, and the macro that
//! gives each adapter its own types with all methods. Adapters decide nothing.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::client::{self, Client};
use crate::cookie::Found;
use crate::cookie_session::CookieSession;
use crate::error::{Error, Result};
use crate::event::Event;
use crate::request::Stored;
use crate::service::Inner;
use crate::state::CookieAction;

mod types;

/// Header lines, read by name.
pub trait Headers {
    /// The values of all lines of the header `name` (lower case), in order.
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]>;
}

/// The head of a request, as far as the core looks at it.
pub trait RequestHead: Headers {
    /// The address of the peer, where the server knows it.
    fn peer(&self) -> Option<IpAddr>;
}

/// The head of a response that the core completes.
pub trait ResponseHead: Headers {
    /// Removes all lines of a header.
    fn remove(&mut self, name: &'static str);
    /// Adds a line. A `sensitive` one must not show in logs or be kept by header compression.
    fn append(&mut self, name: &'static str, value: Cow<'static, str>, sensitive: bool);
    /// Makes it an empty response of this status: no body, no header.
    fn replace(&mut self, status: u16);
}

/// One request inside a layer. The adapter keeps one clone and puts another into the request's extensions.
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

impl Scope {
    pub(crate) fn new(service: &Arc<Inner>, outer: Option<&Self>) -> Self {
        let mut around = outer;
        while let Some(scope) = around {
            if Arc::ptr_eq(&scope.session.0.service, service) {
                return Self { session: scope.session.clone(), commits: false, outer: outer.cloned().map(Arc::new) };
            }
            around = scope.outer.as_deref();
        }
        Self { session: CookieSession::unloaded(service), commits: true, outer: outer.cloned().map(Arc::new) }
    }

    /// Reads what the session needs from the request and verifies the cookie: no I/O.
    pub fn read(&self, head: &impl RequestHead) -> Facts {
        if self.session.0.loaded.initialized() {
            return Facts { found: Found::default(), client: Client::default() };
        }
        let config = &self.session.0.service.config;
        let forwarded = head.values(&config.forwarding_header);
        Facts {
            found: config.cookie.find(&config.keys, head.values("cookie")),
            client: Client {
                ip: client::address(head.peer(), &config.trusted_proxies, &config.forwarding_header, forwarded),
                user_agent: head.values("user-agent").next().map(client::clean).unwrap_or_default(),
            },
        }
    }

    /// Looks the session up, once a request, in one store call or none.
    ///
    /// # Errors
    /// [`Error::Store`], the same at every extraction of the request.
    pub fn load(&self, facts: Facts) -> impl Future<Output = Result<CookieSession>> + Send + 'static + use<> {
        let session = self.session.clone();
        async move {
            let request = &session.0;
            match request.loaded.get_or_init(|| request.load(facts.found, facts.client)).await {
                Ok(()) => Ok(session),
                Err(error) => Err(Error::Store(error.clone())),
            }
        }
    }

    /// Ends the handler's part: stores what is pending, unless the response is a 5xx. The response head may leave when
    /// the verdict was applied to it. A request that never used its session is ready at once.
    pub fn commit(&self, status: u16) -> Commit {
        let request = &self.session.0;
        if !self.commits {
            return Commit(Step::Done(Verdict::UNTOUCHED));
        }
        request.close_head();
        match request.loaded.get() {
            None => Commit(Step::Done(Verdict::UNTOUCHED)),
            Some(Err(error)) => {
                let failed = Error::Store(error.clone()).status();
                Commit(Step::Done(Verdict::of(self, status, Some(failed).filter(|failed| *failed != status))))
            }
            Some(Ok(())) => {
                let mut progress = request.lock();
                let now = request.service.now();
                let lost = progress.lost;
                let unanswered = progress.attempt.is_some();
                let idle = progress.state.active_mut().is_none_or(|active| {
                    if status >= 500 || lost.is_some() {
                        active.view.discard();
                    }
                    let record = &active.record;
                    let due = request.service.config.expiry.due(now, record.last_active_at, record.absolute_expires_at);
                    !active.view.has_changes() && due.is_none()
                });
                drop(progress);
                if idle && !unanswered {
                    return Commit(Step::Done(Verdict::of(self, status, lost)));
                }
                let scope = self.clone();
                Commit(Step::Storing(Box::pin(async move {
                    scope.session.0.settle().await;
                    let failed = commit_changes(&scope.session).await;
                    Verdict::of(&scope, status, failed.or(lost))
                })))
            }
        }
    }
}

impl Scope {
    /// Ends the request without a response that passes the layer: the handler failed, or its future was dropped. What is
    /// pending is never stored, and what goes on in other tasks can't send a cookie any more. After a commit it changes
    /// nothing.
    pub fn close(&self) {
        if self.commits {
            self.session.0.close_head();
        }
    }
}

/// The status that the response must have instead, if changes couldn't be stored.
async fn commit_changes(session: &CookieSession) -> Option<u16> {
    let request = &session.0;
    match request.store_changes(false).await {
        Ok(Stored::Done | Stored::Ended) => None,
        Err(failure) => match (failure.only_activity, failure.error) {
            (Some(id), Error::Store(error)) => {
                request.service.tell(&Event::ActivityNotRecorded { id, error });
                None
            }
            (_, error) => Some(error.status()),
        },
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("commits", &self.commits).finish_non_exhaustive()
    }
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facts").field("candidates", &self.found.tokens.len()).finish_non_exhaustive()
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

/// What a commit means for the response head.
#[must_use = "the response must be told"]
pub struct Verdict(Option<Completion>);

struct Completion {
    session: CookieSession,
    replace: Option<u16>,
    set_cookie: Option<String>,
}

impl Verdict {
    const UNTOUCHED: Self = Self(None);

    fn of(scope: &Scope, status: u16, failed: Option<u16>) -> Self {
        let session = &scope.session;
        let request = &session.0;
        let config = &request.service.config;
        let progress = request.lock();
        let set_cookie = match progress.state.cookie(progress.carried) {
            CookieAction::LeaveAlone => None,
            CookieAction::Send { token, record } => {
                let value = config.keys.sign(&config.cookie.name, token);
                let left = record.absolute_expires_at - request.service.now();
                // Where the session has expired during this request nothing is left, and zero would remove the cookie.
                let left = Duration::try_from(left).ok().filter(|left| !left.is_zero());
                left.map(|left| config.cookie.issue(&value, record.persistent.then_some(left)))
            }
            CookieAction::Remove => Some(config.cookie.remove()),
        };
        let undecodable =
            progress.undecodable.is_some() && progress.undecodable == progress.state.active().map(|a| a.record.id);
        let load_failed = matches!(request.loaded.get(), Some(Err(_)));
        let replace =
            failed.or(undecodable.then_some(500)).filter(|wanted| *wanted != status && (status < 500 || load_failed));
        drop(progress);
        if let Some(line) = &set_cookie {
            // What this service has done stays done, should one further out replace the response.
            let mut around = scope.outer.as_deref();
            while let Some(outer) = around {
                outer.session.0.lock().inner_cookies.push(line.clone());
                around = outer.outer.as_deref();
            }
        }
        Self(Some(Completion { session: session.clone(), replace, set_cookie }))
    }

    /// Completes the response head: status, `Set-Cookie`, `Vary`, `Cache-Control`.
    pub fn apply(self, head: &mut impl ResponseHead) {
        let Some(Completion { session, replace, set_cookie }) = self.0 else { return };
        if let Some(status) = replace {
            head.replace(status);
            for line in std::mem::take(&mut session.0.lock().inner_cookies) {
                head.append("set-cookie", Cow::Owned(line), true);
            }
        }
        vary_by_cookie(head);
        if replace.is_some() || (set_cookie.is_some() && !is_uncacheable(head)) {
            head.remove("cache-control");
            head.append("cache-control", Cow::Borrowed("no-store"), false);
        }
        if let Some(set_cookie) = set_cookie {
            let rules = &session.0.service.config.cookie;
            if head.values("set-cookie").any(|value| rules.is_ours(value)) {
                let others: Vec<String> = head
                    .values("set-cookie")
                    .filter(|value| !rules.is_ours(value))
                    .map(|value| String::from_utf8_lossy(value).into_owned())
                    .collect();
                head.remove("set-cookie");
                for other in others {
                    head.append("set-cookie", Cow::Owned(other), true);
                }
            }
            head.append("set-cookie", Cow::Owned(set_cookie), true);
        }
    }
}

impl fmt::Debug for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let replace = self.0.as_ref().and_then(|completion| completion.replace);
        f.debug_struct("Verdict").field("replace", &replace).finish_non_exhaustive()
    }
}

/// Adds `Cookie` to `Vary`, unless it, or `*`, is there (RFC 9110 12.5.5).
fn vary_by_cookie(head: &mut impl ResponseHead) {
    let mut merged = String::new();
    for value in head.values("vary") {
        for name in value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
            if name == b"*" || name.eq_ignore_ascii_case(b"cookie") {
                return;
            }
            merged.push_str(&String::from_utf8_lossy(name));
            merged.push_str(", ");
        }
    }
    if merged.is_empty() {
        head.append("vary", Cow::Borrowed("Cookie"), false);
    } else {
        merged.push_str("Cookie");
        head.remove("vary");
        head.append("vary", Cow::Owned(merged), false);
    }
}

/// Whether the handler's own `Cache-Control` keeps the response out of shared caches (RFC 9111 5.2.2).
fn is_uncacheable(head: &impl Headers) -> bool {
    head.values("cache-control")
        .flat_map(|value| value.split(|b| *b == b','))
        .map(<[u8]>::trim_ascii)
        .any(|directive| directive.eq_ignore_ascii_case(b"no-store") || directive.eq_ignore_ascii_case(b"private"))
}
