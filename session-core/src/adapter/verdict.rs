//! What a commit means for the response: another status, our cookie, `Vary` and `Cache-Control`. Leaves to the adapter where
//! header lines are kept.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use super::{Headers, HeadersMut, ResponseHead, Scope};
use crate::request::handle::CookieSession;
use crate::request::state::CookieAction;

/// What a commit means for the response head.
#[must_use = "the response must be told"]
pub struct Verdict(Option<Completion>);

struct Completion {
    session: CookieSession,
    replace: Option<u16>,
    set_cookie: Option<String>,
    /// What layers of other services further in have sent, to go with a response that replaces theirs.
    inner_cookies: Vec<String>,
}

impl Verdict {
    pub(super) const UNTOUCHED: Self = Self(None);

    pub(super) fn of(scope: &Scope, status: u16, failed: Option<u16>) -> Self {
        let session = &scope.session;
        let request = &session.0;
        let config = &request.service.config;
        let mut progress = request.lock();
        let set_cookie = match progress.state.cookie(progress.carried) {
            CookieAction::LeaveAlone => None,
            CookieAction::Send { token, record } => {
                let value = config.cookie_keys.sign(token);
                let left = record.absolute_expires_at - request.service.now();
                // Where the session has expired during this request nothing is left, and zero would remove the cookie.
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
        drop(progress);
        if let Some(line) = &set_cookie {
            // What this service has done stays done, should one further out replace the response.
            let mut around = scope.outer.as_deref();
            while let Some(outer) = around {
                outer.session.0.lock().inner_cookies.push(line.clone());
                around = outer.outer.as_deref();
            }
        }
        Self(Some(Completion { session: session.clone(), replace, set_cookie, inner_cookies }))
    }

    /// Whether there is nothing to complete: the request never used its session.
    pub const fn is_untouched(&self) -> bool {
        self.0.is_none()
    }

    /// Completes the response: status, `Set-Cookie`, `Vary`, `Cache-Control`. Where a framework builds a response anew from
    /// its error each time, it is done to each.
    pub fn apply(&self, response: &mut impl ResponseHead) {
        let Some(Completion { session, replace, set_cookie, inner_cookies }) = &self.0 else { return };
        if let Some(status) = *replace {
            response.replace(status);
        }
        let mut head = response.headers();
        if replace.is_some() {
            for line in inner_cookies {
                head.append_line("set-cookie", Cow::Owned(line.clone()), true);
            }
        }
        vary_by_cookie(&mut head);
        if replace.is_some() || (set_cookie.is_some() && !is_uncacheable(&head)) {
            head.remove_lines("cache-control");
            head.append_line("cache-control", Cow::Borrowed("no-store"), false);
        }
        if let Some(set_cookie) = set_cookie {
            let rules = &session.0.service.config.cookie;
            if head.lines("set-cookie").any(|value| rules.is_ours(value)) {
                let others: Vec<String> = head
                    .lines("set-cookie")
                    .filter(|value| !rules.is_ours(value))
                    .map(|value| String::from_utf8_lossy(value).into_owned())
                    .collect();
                head.remove_lines("set-cookie");
                for other in others {
                    head.append_line("set-cookie", Cow::Owned(other), true);
                }
            }
            head.append_line("set-cookie", Cow::Owned(set_cookie.clone()), true);
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
fn vary_by_cookie(head: &mut impl HeadersMut) {
    let mut merged = String::new();
    for value in head.lines("vary") {
        for name in value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
            if name == b"*" || name.eq_ignore_ascii_case(b"cookie") {
                return;
            }
            merged.push_str(&String::from_utf8_lossy(name));
            merged.push_str(", ");
        }
    }
    if merged.is_empty() {
        head.append_line("vary", Cow::Borrowed("Cookie"), false);
    } else {
        merged.push_str("Cookie");
        head.remove_lines("vary");
        head.append_line("vary", Cow::Owned(merged), false);
    }
}

/// Whether the handler's own `Cache-Control` keeps the response out of shared caches (RFC 9111 5.2.2).
fn is_uncacheable(head: &impl Headers) -> bool {
    head.lines("cache-control")
        .flat_map(|value| value.split(|b| *b == b','))
        .map(<[u8]>::trim_ascii)
        .any(|directive| directive.eq_ignore_ascii_case(b"no-store") || directive.eq_ignore_ascii_case(b"private"))
}
