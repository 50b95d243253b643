//! Whether a request was sent by a page of another origin (cross-site request forgery): decided by
//! the headers that browsers add and no script can forge. Not here: the answer and its event, see
//! `ScopeGuard::admit`.

use serde::{Deserialize, Deserializer};

use crate::error::ConfigError;
use crate::policy::answer::Incoming;
use crate::policy::origin::{Authority, Origin};
use crate::setting::{settings, texts};

const SITE: &str = "sec-fetch-site";
const ORIGIN: &str = "origin";
/// The longest origin that a refusal names, in bytes. A name in the DNS has at most 253.
const MOST_ORIGIN: usize = 300;

/// What a service refuses as cross-origin, given to
/// [`refuse_cross_origin`](crate::SessionConfigBuilder::refuse_cross_origin).
///
/// **Judged** are requests that may change something: all methods but `GET`, `HEAD`, `OPTIONS` and
/// `TRACE` (RFC 9110 9.2.1), and the opening handshake of a WebSocket. That is a GET, but a page of
/// any site can send it with the user's cookies (RFC 6455 10.2, ASVS 5.0 4.4.2).
///
/// **Rules**, of which the first that applies decides:
///
/// | request | |
/// |---|---|
/// | `Origin` is `null`, or stands there more than once | refused |
/// | `Sec-Fetch-Site` is `same-origin` or `none` | passes |
/// | `Sec-Fetch-Site` is `same-site` or `cross-site` | passes if the `Origin` is listed |
/// | `Sec-Fetch-Site` is anything else, or stands there more than once | refused |
/// | an `Origin` and no `Sec-Fetch-Site` | passes if it is the host's own, or listed |
/// | neither | passes: no browser sends that, so no user was tricked into it |
///
/// An `Origin` is the host's own if host and port are those that the request asked for: the
/// target's in HTTP/2, otherwise those of the only `Host` line. Case and a default port make no
/// difference. Its scheme is `http` or `https`, but isn't compared: behind a proxy that ends TLS
/// an application can't know its own. Where both the target and `Host` name a host, and not the
/// same one, no origin is its own.
///
/// A refusal is an empty 403 and [`Event::CrossOriginRefused`](crate::Event), before the session is
/// loaded (ASVS 5.0 3.5.1).
///
/// **For deployments.** A proxy must pass on `Host` and `Origin` as they are. Otherwise requests
/// without `Sec-Fetch-Site` are refused: those of older browsers, and all over plain `http://`.
/// Pages must not be sent under `Referrer-Policy: no-referrer`, as browsers then send `Origin:
/// null` with the page's own forms: use `same-origin`. A GET must change nothing.
///
/// ```
/// use session_core::{Answer, CookieSessionService, CrossOrigin, MemoryStore};
/// # use session_core::{KeyRing, SessionConfig, SigningKey};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32])?);
/// let rules = CrossOrigin::new().allow_origin("https://admin.example.com")?.exempt("/webhooks/")?;
/// let config = SessionConfig::builder().refuse_cross_origin(rules).build(keys)?;
/// let service = CookieSessionService::new(MemoryStore::new(), config);
///
/// # #[cfg(feature = "http")] {
/// let post = |path: &str, origin: &str| {
///     let request = http::Request::post(path).header("host", "example.com");
///     service.begin(None).admit(&request.header("origin", origin).body(()).unwrap())
/// };
/// assert_eq!(post("/transfer", "https://example.com"), None);
/// assert_eq!(post("/transfer", "https://admin.example.com"), None);
/// assert_eq!(post("/transfer", "https://evil.example"), Some(Answer::new(403)));
/// assert_eq!(post("/webhooks/paid", "https://evil.example"), None);
/// # }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct CrossOrigin {
    listed: Vec<Origin<'static>>,
    exempt: Vec<ExemptPath>,
}

impl CrossOrigin {
    /// No other origin is listed, and no path is exempt.
    pub const fn new() -> Self {
        Self { listed: Vec::new(), exempt: Vec::new() }
    }

    /// Lists another origin whose pages may send requests: scheme, host and port, as in
    /// `https://admin.example.com`.
    ///
    /// # Errors
    /// [`ConfigError::Origin`] if it isn't one origin.
    pub fn allow_origin(mut self, origin: &str) -> Result<Self, ConfigError> {
        match Origin::parse(origin) {
            Ok(parsed) => self.listed.push(parsed.into_owned()),
            Err(reason) => return Err(ConfigError::Origin { origin: origin.to_owned(), reason }),
        }
        Ok(self)
    }

    /// Passes all requests for a path: with a slash at its end for all that is below it
    /// (`/webhooks/`), otherwise for itself only (`/webhooks`). Requests for an exempt path have no
    /// protection here, so their handlers must not trust the session's cookie.
    ///
    /// It is compared with the path of the target that the client asked for, byte by byte: inside a
    /// nested router or a scope too it is the whole path. A target in which a decoder or a proxy
    /// could find another path isn't exempt: one with `%`, `\`, `;`, an empty segment, or a segment
    /// of dots. Actix routes on the decoded path, Axum on the one that was sent.
    ///
    /// # Errors
    /// [`ConfigError::ExemptPath`] if no request's path could match it, or if all would.
    pub fn exempt(mut self, path: &str) -> Result<Self, ConfigError> {
        match ExemptPath::parse(path) {
            Ok(parsed) => self.exempt.push(parsed),
            Err(reason) => return Err(ConfigError::ExemptPath { path: path.to_owned(), reason }),
        }
        Ok(self)
    }

    /// Whether the request may pass.
    pub(crate) fn judge(&self, request: &Incoming<'_>) -> Result<(), Refusal> {
        if is_safe(request) || self.is_exempt(request.path()) {
            return Ok(());
        }
        let origin = match only_line(request, ORIGIN) {
            Line::Absent => None,
            Line::Only(b"null") => {
                let reason = "it is null, as of a sandboxed frame. If your own pages send it, give them `Referrer-Policy: same-origin`";
                return Err(Refusal { header: ORIGIN, reason, origin: None });
            }
            Line::Only(value) => Some(str::from_utf8(value).unwrap_or_default()),
            Line::Repeated => {
                return Err(Refusal {
                    header: ORIGIN,
                    reason: "it is there more than once: let proxies pass it on as it is",
                    origin: None,
                });
            }
        };
        match only_line(request, SITE) {
            Line::Only(b"same-origin" | b"none") => Ok(()),
            Line::Only(b"same-site" | b"cross-site") if origin.is_some_and(|origin| self.is_listed(origin)) => Ok(()),
            Line::Only(b"same-site" | b"cross-site") => {
                let reason = "a page of another origin sent it. If that is yours, list it with `allow_origin`";
                Err(Refusal::of(SITE, reason, origin))
            }
            Line::Only(_) | Line::Repeated => {
                Err(Refusal::of(SITE, "browsers send no such value: let proxies pass it on as it is", origin))
            }
            Line::Absent => match origin {
                None => Ok(()),
                Some(origin) if self.is_listed(origin) || is_own(request, origin) => Ok(()),
                Some(origin) => {
                    let reason = "it isn't the origin of the request's host. If it is yours, let proxies pass on `Host`, or list it with `allow_origin`";
                    Err(Refusal::of(ORIGIN, reason, Some(origin)))
                }
            },
        }
    }

    fn is_listed(&self, origin: &str) -> bool {
        !self.listed.is_empty()
            && Origin::parse(origin).is_ok_and(|origin| self.listed.iter().any(|listed| origin.is_same(listed)))
    }

    fn is_exempt(&self, path: &str) -> bool {
        !self.exempt.is_empty() && is_plain(path) && self.exempt.iter().any(|exempt| exempt.matches(path))
    }
}

/// What [`CrossOrigin`] is read from.
#[derive(Default)]
struct Rules {
    allow_origins: Vec<String>,
    exempt: Vec<String>,
}

settings!(Rules {
    allow_origins: |given| texts(given, "https://admin.example.com"),
    exempt: |given| texts(given, "/webhooks/"),
});

/// Reads `{ allow_origins = ["https://…", …], exempt = ["/…", …] }`, each of which can be left out,
/// or be one text with commas.
impl<'de> Deserialize<'de> for CrossOrigin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let rules = Rules::deserialize(deserializer)?;
        let listed = rules.allow_origins.iter().try_fold(Self::new(), |all, origin| all.allow_origin(origin));
        let all = listed.and_then(|all| rules.exempt.iter().try_fold(all, |all, path| all.exempt(path)));
        all.map_err(serde::de::Error::custom)
    }
}

/// Why a request was refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The header at fault, in lower case.
    pub(crate) header: &'static str,
    /// What is wrong with it, and what to do if the sender is one's own.
    pub(crate) reason: &'static str,
    /// The sender, if its origin is one that can be listed.
    pub(crate) origin: Option<String>,
}

impl Refusal {
    fn of(header: &'static str, reason: &'static str, origin: Option<&str>) -> Self {
        let origin = origin.filter(|text| text.len() <= MOST_ORIGIN && Origin::parse(text).is_ok());
        Self { header, reason, origin: origin.map(str::to_owned) }
    }
}

/// A path that is exempt, or the beginning of such paths if it ends with a slash.
#[derive(Debug, Clone)]
struct ExemptPath(Box<str>);

impl ExemptPath {
    fn parse(path: &str) -> Result<Self, &'static str> {
        if !path.starts_with('/') {
            return Err("a path begins with a slash");
        }
        if path == "/" {
            return Err("it would exempt everything: leave out `refuse_cross_origin` instead");
        }
        if path.contains(['?', '#', '*', '{', '}']) || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(
                "it is compared as it is: leave out queries and patterns, and end it with a slash for all below it",
            );
        }
        if !is_plain(path) {
            return Err("it has `%`, `\\`, `;`, an empty segment or a segment of dots, and no such path is exempt");
        }
        Ok(Self(path.into()))
    }

    fn matches(&self, path: &str) -> bool {
        if self.0.ends_with('/') { path.starts_with(&*self.0) } else { path == &*self.0 }
    }
}

/// Whether every router and every proxy reads this path alike.
fn is_plain(path: &str) -> bool {
    !path.contains(['%', '\\', ';'])
        && !path.contains("//")
        && !path.split('/').any(|segment| segment == "." || segment == "..")
}

/// Whether the method changes nothing by definition (RFC 9110 9.2.1), and no WebSocket is opened.
fn is_safe(request: &Incoming<'_>) -> bool {
    // A WebSocket in HTTP/2 is a CONNECT (RFC 8441).
    matches!(request.method(), "GET" | "HEAD" | "OPTIONS" | "TRACE") && !opens_websocket(request)
}

fn opens_websocket(request: &Incoming<'_>) -> bool {
    let mut opens = false;
    request.lines.visit("upgrade", &mut |line| {
        opens = line.split(|byte| *byte == b',').any(|protocol| {
            let name = protocol.split(|byte| *byte == b'/').next().unwrap_or_default();
            name.trim_ascii().eq_ignore_ascii_case(b"websocket")
        });
        !opens
    });
    opens
}

/// Whether `origin` is that of the host that the request asked for.
fn is_own(request: &Incoming<'_>, origin: &str) -> bool {
    own_host(request).is_some_and(|host| Origin::parse(origin).is_ok_and(|origin| origin.is_of(&host)))
}

/// The host that the request asked for, if it names one and no other.
fn own_host<'a>(request: &Incoming<'a>) -> Option<Authority<'a>> {
    let target = match request.authority {
        Some(authority) => Some(Authority::parse(authority).ok()?),
        None => None,
    };
    let host = match only_line(request, "host") {
        Line::Only(host) => Some(Authority::parse(str::from_utf8(host).ok()?).ok()?),
        Line::Absent => None,
        Line::Repeated => return None,
    };
    match (target, host) {
        (Some(target), Some(host)) if !target.is_same(&host) => None,
        (target, host) => target.or(host),
    }
}

/// The lines of a header that should stand there once.
enum Line<'a> {
    Absent,
    Only(&'a [u8]),
    Repeated,
}

fn only_line<'a>(request: &Incoming<'a>, name: &'a str) -> Line<'a> {
    let mut found = Line::Absent;
    request.lines.visit(name, &mut |line| {
        let is_first = matches!(found, Line::Absent);
        found = if is_first { Line::Only(line) } else { Line::Repeated };
        is_first
    });
    found
}

#[cfg(test)]
mod tests;
