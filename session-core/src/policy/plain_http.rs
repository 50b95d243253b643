//! Whether a browser has the application open over plain `http://`, where it keeps no `Secure`
//! cookie and says nothing. Not here: what makes a cookie `Secure`, see `transport::cookie`.

use std::sync::atomic::{AtomicBool, Ordering};

use super::origin::{Authority, Origin};

/// A warning that is given once.
#[derive(Debug, Default)]
pub(crate) struct PlainHttpNotice {
    has_said: AtomicBool,
}

impl PlainHttpNotice {
    /// Looks at a request that came without the cookie of this name, which is `Secure`. `line` is
    /// the first line of a header.
    pub(crate) fn look_at<'a>(&self, cookie: &str, line: impl Fn(&'static str) -> Option<&'a [u8]>) {
        if self.has_said.load(Ordering::Relaxed) {
            return;
        }
        let text = |name| line(name).and_then(|line| str::from_utf8(line).ok());
        let Some(origin) = text("origin") else { return };
        if drops_secure_cookies(origin, text("host"), text("user-agent"))
            && !self.has_said.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                "a browser has a page of this application open at `{origin}`, and drops the cookie {cookie:?} there, as that \
                 is `Secure`: a sign-in or a visitor's value is gone with the next request. Serve it over HTTPS, or for \
                 development call `insecure_development_cookies()`"
            );
        }
    }
}

/// Whether the page is of the host that was asked for, and over HTTP. On the browser's own machine
/// only WebKit drops the cookie.
fn drops_secure_cookies(origin: &str, host: Option<&str>, user_agent: Option<&str>) -> bool {
    let Ok(page) = Origin::parse(origin) else { return false };
    let is_own = host.and_then(|host| Authority::parse(host).ok()).is_some_and(|host| page.is_of(&host));
    let is_webkit = || user_agent.is_some_and(|agent| agent.contains("AppleWebKit/") && !agent.contains("Chrome/"));
    is_own && page.is_plain_http() && (!page.is_loopback() || is_webkit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::logged;

    const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0";
    const CHROME: &str =
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";
    const SAFARI: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15";

    #[test]
    fn a_page_over_plain_http_drops_the_cookie_unless_its_browser_trusts_its_own_machine() {
        for (origin, host, agent, drops) in [
            ("http://192.168.1.5:3000", "192.168.1.5:3000", FIREFOX, true),
            ("http://shop.example", "shop.example", CHROME, true),
            ("http://[fd00::1]:3000", "[fd00::1]:3000", CHROME, true),
            ("https://shop.example", "shop.example", CHROME, false),
            ("http://other.example", "shop.example", CHROME, false),
            ("null", "shop.example", CHROME, false),
            ("http://localhost:3000", "localhost:3000", CHROME, false),
            ("http://shop.localhost:3000", "shop.localhost:3000", FIREFOX, false),
            ("http://127.0.0.1:3000", "127.0.0.1:3000", FIREFOX, false),
            ("http://[::1]:3000", "[::1]:3000", FIREFOX, false),
            ("http://localhost:3000", "localhost:3000", SAFARI, true),
        ] {
            assert_eq!(drops_secure_cookies(origin, Some(host), Some(agent)), drops, "{origin} {host} {agent}");
        }
        assert!(!drops_secure_cookies("http://shop.example", None, None));
    }

    #[test]
    fn it_is_said_once_and_names_what_to_do() {
        let notice = PlainHttpNotice::default();
        let lines = |name| match name {
            "origin" => Some(&b"http://192.168.1.5:3000"[..]),
            "host" => Some(&b"192.168.1.5:3000"[..]),
            _ => None,
        };
        let log = logged(|| (0..2).for_each(|_| notice.look_at("__Host-session", lines)));
        assert!(log.contains("WARN") && log.contains("`insecure_development_cookies()`"), "{log}");
        assert!(log.contains("`http://192.168.1.5:3000`") && log.lines().count() == 1, "{log}");
    }
}
