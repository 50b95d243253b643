//! What a commit means for the response: another status, our cookie, and what caches may do. Not
//! here: the headers that caches read, see `caching`, and the framework's header maps, which the
//! adapter knows.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrayvec::ArrayVec;

use super::caching::{forbid_sharing, forbid_storing, vary_by_cookie};
use super::{Headers, HeadersMut, ResponseHead, Scope};
use crate::error::RETRY_AFTER;
use crate::request::state::CookieAction;
use crate::transport::cookie::CookieRules;

/// What a commit means for the response head.
#[must_use = "the response must be told"]
pub struct Verdict(Option<Completion>);

struct Completion {
    replace: Option<u16>,
    cookies: Cookies,
    /// Whether the request had a live session, which the response may show.
    is_live: bool,
    /// The lines that layers of other services further in have sent. A response that replaces
    /// theirs has to send them again.
    inner_cookies: Vec<String>,
}

/// The cookies of one response, each by its own rules.
type Cookies = ArrayVec<SentCookie, MAX_COOKIES>;

/// The session's, and those of features.
const MAX_COOKIES: usize = 2;

/// A `Set-Cookie` line. It replaces the handler's own lines for the cookie of these rules.
struct SentCookie {
    rules: Arc<CookieRules>,
    line: String,
}

impl Verdict {
    pub(super) const UNTOUCHED: Self = Self(None);

    pub(super) fn of(scope: &Scope, status: u16, failed: Option<u16>) -> Self {
        let session = &scope.session;
        let request = &session.0;
        let config = &request.service.config;
        let mut progress = request.lock();
        let line = match progress.state.cookie(progress.carried) {
            CookieAction::LeaveAlone => None,
            CookieAction::Send { token, record } => {
                let value = config.cookie_keys.sign(token);
                let left = record.absolute_expires_at - request.service.now();
                // Where the session has expired during this request nothing is left, and zero would
                // remove the cookie.
                let left = Duration::try_from(left).ok().filter(|left| !left.is_zero());
                left.map(|left| config.cookie.issue(value.as_str(), record.persistent.then_some(left)))
            }
            CookieAction::Remove => Some(config.cookie.remove()),
        };
        let undecodable =
            progress.undecodable.is_some() && progress.undecodable == progress.state.active().map(|a| a.record.id);
        let load_failed = matches!(request.loaded.get(), Some(Err(_)));
        let replace =
            failed.or(undecodable.then_some(500)).filter(|wanted| *wanted != status && (status < 500 || load_failed));
        let inner_cookies = std::mem::take(&mut progress.inner_cookies);
        let is_live = progress.state.held().is_some();
        drop(progress);
        let cookies: Cookies =
            line.map(|line| SentCookie { rules: Arc::clone(&config.cookie), line }).into_iter().collect();
        for cookie in &cookies {
            // What this service has done stays done, should one further out replace the response.
            let mut around = scope.outer.as_deref();
            while let Some(outer) = around {
                outer.session.0.lock().inner_cookies.push(cookie.line.clone());
                around = outer.outer.as_deref();
            }
        }
        Self(Some(Completion { replace, cookies, is_live, inner_cookies }))
    }

    /// Whether there is nothing to complete: the request never used its session.
    pub const fn is_untouched(&self) -> bool {
        self.0.is_none()
    }

    /// Completes the response: status, `Set-Cookie`, `Vary`, `Cache-Control`. Where a framework
    /// builds a response anew from its error each time, it is done to each.
    pub fn apply(&self, response: &mut impl ResponseHead) {
        let Some(Completion { replace, cookies, is_live, inner_cookies }) = &self.0 else { return };
        if let Some(status) = *replace {
            response.replace(status);
        }
        let mut head = response.headers();
        if let Some(status) = *replace {
            head.retain_lines(|name, _| outlives_its_response(name));
            for line in inner_cookies {
                head.append_line("set-cookie", Cow::Owned(line.clone()), true);
            }
            if status == 503 {
                head.append_line(RETRY_AFTER.0, Cow::Borrowed(RETRY_AFTER.1), false);
            }
        }
        vary_by_cookie(&mut head);
        if replace.is_some() || !cookies.is_empty() {
            forbid_storing(&mut head);
        } else if *is_live {
            forbid_sharing(&mut head);
        }
        set_cookies(&mut head, cookies);
    }
}

/// Whether a header stays where its response is replaced, because it says nothing of what the
/// handler did: what lets another origin's page see the response, what holds for the whole site,
/// and what names the request in logs and traces.
fn outlives_its_response(name: &str) -> bool {
    name.starts_with("access-control-")
        || matches!(
            name,
            "cross-origin-resource-policy"
                | "timing-allow-origin"
                | "strict-transport-security"
                | "x-request-id"
                | "x-correlation-id"
                | "traceparent"
                | "tracestate"
                | "traceresponse"
        )
}

/// Adds the cookies, in place of those of their names.
fn set_cookies(head: &mut impl HeadersMut, cookies: &[SentCookie]) {
    let is_ours = |value: &[u8]| cookies.iter().any(|cookie| cookie.rules.is_ours(value));
    if head.lines("set-cookie").any(is_ours) {
        head.retain_lines(|name, value| name != "set-cookie" || !is_ours(value));
    }
    for cookie in cookies {
        head.append_line("set-cookie", Cow::Owned(cookie.line.clone()), true);
    }
}

impl fmt::Debug for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let replace = self.0.as_ref().and_then(|completion| completion.replace);
        f.debug_struct("Verdict").field("replace", &replace).finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "http"))]
mod tests {
    use super::*;
    use crate::transport::cookie::SameSite;

    fn rules(name: &str, path: &str) -> Arc<CookieRules> {
        Arc::new(CookieRules {
            name: name.to_owned(),
            path: path.to_owned(),
            domain: None,
            secure: true,
            same_site: SameSite::Lax,
            partitioned: false,
        })
    }

    #[test]
    fn each_cookie_of_a_response_follows_its_own_rules() {
        let (one, two) = (rules("__Host-one", "/"), rules("__Secure-two", "/two"));
        let verdict = Verdict(Some(Completion {
            replace: None,
            cookies: [
                SentCookie { line: one.issue("1", None), rules: one },
                SentCookie { line: two.remove(), rules: two },
            ]
            .into_iter()
            .collect(),
            is_live: true,
            inner_cookies: Vec::new(),
        }));
        let mut response = http::Response::new(());
        for line in ["theirs=1", "__Host-one=theirs", "__Secure-two=theirs; Path=/two", "__Host-one2=theirs"] {
            response.headers_mut().append("set-cookie", line.parse().unwrap());
        }
        verdict.apply(&mut response);
        let lines: Vec<_> =
            response.headers().get_all("set-cookie").iter().map(|line| line.to_str().unwrap()).collect();
        assert_eq!(lines[..2], ["theirs=1", "__Host-one2=theirs"]);
        assert_eq!(lines[2], "__Host-one=1; HttpOnly; SameSite=Lax; Secure; Path=/");
        assert!(
            lines[3].starts_with("__Secure-two=; HttpOnly; SameSite=Lax; Secure; Path=/two; Max-Age=0"),
            "{lines:?}"
        );
        assert_eq!(lines.len(), 4);
        assert_eq!(response.headers()["cache-control"], "no-store");
    }
}
