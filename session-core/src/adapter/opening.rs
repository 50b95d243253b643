//! The two places where a request can be answered without its handler: `admit`, before anything is
//! loaded, and `check`, after the look-up. Also what handlers extract.

use super::{Headers, HeadersMut, RequestHead, ResponseHead, ScopeGuard};
use crate::error::{Error, RETRY_AFTER, Result};
use crate::observe::event::Event;
use crate::policy::answer::{Answer, HeaderLines, Incoming};
use crate::policy::cross_origin::Refusal;
use crate::request::handle::CookieSession;

impl<H: Headers> HeaderLines for H {
    fn visit<'a>(&'a self, name: &'a str, each: &mut dyn FnMut(&'a [u8]) -> bool) {
        self.lines(name).all(each);
    }
}

fn incoming(request: &impl RequestHead) -> Incoming<'_> {
    Incoming {
        method: request.method(),
        path_and_query: request.path_and_query(),
        authority: request.authority(),
        lines: request,
    }
}

impl ScopeGuard {
    /// Asks whether the request is cross-origin where the configuration refuses such, and then the
    /// application's policy, if it has one. None if both admit the request to its handler,
    /// otherwise what to answer instead. Nothing is loaded. Where layers of one service are inside
    /// each other, only the outermost one asks.
    pub fn admit(&self, request: &impl RequestHead) -> Option<Answer> {
        if !self.0.commits {
            return None;
        }
        let service = &self.0.session.0.service;
        if let Some(rules) = &service.config.cross_origin
            && let Err(Refusal { header, reason, origin }) = rules.judge(&incoming(request))
        {
            service.emit(&Event::CrossOriginRefused { header, reason, origin });
            return Some(Answer::new(403));
        }
        let admission = service.admission.as_ref()?;
        admission(&incoming(request)).err()
    }
}

/// A type that handlers can extract because it is made from the request's session. In each adapter
/// that takes one line, `extract!(…)`.
pub trait FromSession: Sized {
    /// Makes it from the session as this request sees it.
    ///
    /// # Errors
    /// [`Error::NotAuthenticated`] if it needs a sign-in and there is none: an `Option` of it is
    /// then none. Any other error refuses the request, also where an `Option` was asked for.
    fn from_session(session: CookieSession) -> Result<Self>;

    /// The same for an `Option`.
    ///
    /// # Errors
    /// As [`from_session`](Self::from_session), except [`Error::NotAuthenticated`].
    fn from_session_if_any(session: CookieSession) -> Result<Option<Self>> {
        match Self::from_session(session) {
            Ok(made) => Ok(Some(made)),
            Err(Error::NotAuthenticated) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Asks `check`, what a guard asks, about the session that was loaded.
///
/// # Errors
/// The answer to give in place of the handler's: what `check` returned, or the look-up's error.
pub fn check(
    loaded: Result<CookieSession>,
    request: &impl RequestHead,
    check: &impl Check,
) -> Result<CookieSession, Answer> {
    let session = loaded.map_err(|error| Answer::from(&error))?;
    check.ask(&session, &incoming(request))?;
    Ok(session)
}

/// What a guard asks about the session before a handler: a function, or
/// [`RequireSignIn`](crate::RequireSignIn).
pub trait Check {
    /// Asks about the session of a request, after its look-up.
    ///
    /// # Errors
    /// The answer to give in place of the handler's.
    fn ask(&self, session: &CookieSession, request: &Incoming<'_>) -> Result<(), Answer>;
}

impl<F> Check for F
where
    F: Fn(&CookieSession, &Incoming<'_>) -> Result<(), Answer>,
{
    fn ask(&self, session: &CookieSession, request: &Incoming<'_>) -> Result<(), Answer> {
        self(session, request)
    }
}

/// An answer with the status and the body of the error, which is logged if it is the program's
/// fault.
impl From<&Error> for Answer {
    fn from(error: &Error) -> Self {
        let response = error.as_response();
        let answer = Self::new(response.status).text(response.body);
        if response.status == 503 { answer.header(RETRY_AFTER.0, RETRY_AFTER.1) } else { answer }
    }
}

impl Answer {
    /// The answer as a response, for frameworks whose responses have a `Default`.
    pub fn into_response<R: ResponseHead + Default>(self) -> R {
        let mut response = R::default();
        self.apply(&mut response);
        response
    }

    /// Replaces the response by this answer.
    pub fn apply(&self, response: &mut impl ResponseHead) {
        response.replace(self.status());
        let mut head = response.headers();
        head.retain_lines(|_, _| false);
        head.append_line("cache-control", "no-store".into(), false);
        for (name, value) in self.headers() {
            head.append_line(name, value.to_owned().into(), false);
        }
        drop(head);
        if !self.body().is_empty() {
            response.set_text(self.body());
        }
    }
}

#[cfg(all(test, feature = "http"))]
mod tests {
    use crate::config::tests::logged;
    use crate::{CookieSessionService, CrossOrigin, KeyRing, MemoryStore, SessionConfig, SigningKey};

    #[test]
    fn the_log_says_which_header_was_at_fault_and_how_to_list_an_origin() {
        let keys = KeyRing::new(SigningKey::from_bytes(&[1; 32]).unwrap());
        let config = SessionConfig::builder().refuse_cross_origin(CrossOrigin::new()).build(keys).unwrap();
        let service = CookieSessionService::new(MemoryStore::new(), config);
        let post = |site| {
            let request = http::Request::post("/").header("origin", "https://b.example").header("sec-fetch-site", site);
            logged(|| drop(service.begin(None).admit(&request.body(()).unwrap())))
        };
        let log = post("same-site");
        for part in ["WARN", "sec-fetch-site", "https://b.example", "`allow_origin`"] {
            assert!(log.contains(part), "{part}: {log}");
        }
        assert_eq!(post("same-origin"), "");
    }
}
