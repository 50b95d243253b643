//! The guard that lets only signed-in users through: 401 or a redirect to a page without a session,
//! and 403 where the application's own checks refuse it.

use std::fmt;
use std::sync::Arc;

use super::Check;
use crate::error::{Error, Result};
use crate::model::snapshot::Session;
use crate::policy::answer::{Answer, Incoming};
use crate::policy::next::{Next, NextError, decoded};
use crate::request::handle::CookieSession;

/// A guard that lets only signed-in users through. Each adapter has a layer or middleware of this
/// name; this is what they ask. A clone is the same guard.
///
/// - Without a session it answers as [`Error::NotAuthenticated`] does: 401 with `Cache-Control:
///   no-store` and the same body. There is no `WWW-Authenticate`, although RFC 9110 15.5.2 asks for
///   one: no scheme is registered for cookies, and any other would be a false hint, or open the
///   browser's own dialog.
/// - With [`or_redirect`](Self::or_redirect) it sends the browser to the sign-in page instead.
/// - Signed in, but refused by a [`check`](Self::check), it answers 403.
/// - In an outage it answers 503: that is no sign-out.
///
/// ```
/// # #[cfg(feature = "http")]
/// # session_core::__private::example(async |session| {
/// use session_core::{RequireSignIn, adapter::check};
///
/// let is_admin = |session: &session_core::Session| session.data["role"] == "admin";
/// let admins = RequireSignIn::or_redirect("/sign-in").check(is_admin);
/// let ask = |method: &str| {
///     let request = http::Request::builder().method(method).uri("/members?page=2");
///     check(Ok(session.clone()), &request.body(()).unwrap(), &admins).map(drop)
/// };
///
/// let redirect = ask("GET").unwrap_err();
/// assert_eq!(redirect.status(), 303);
/// assert_eq!(redirect.headers().next(), Some(("location", "/sign-in?next=/members%3Fpage%3D2")));
/// assert_eq!(ask("POST").unwrap_err().status(), 401);
///
/// session.authenticate("eve").await?;
/// assert_eq!(ask("GET").unwrap_err().status(), 403);
/// session.set("role", "admin")?;
/// assert_eq!(ask("GET"), Ok(()));
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Default)]
pub struct RequireSignIn(Arc<Rules>);

// What asks for more than a sign-in, such as a recent one, becomes another field here.
#[derive(Clone, Default)]
struct Rules {
    /// The page to sign in on.
    page: Option<Arc<str>>,
    checks: Vec<Arc<Asks>>,
}

type Asks = dyn Fn(&CookieSession) -> Result<(), Answer> + Send + Sync;

/// What a [`check`](RequireSignIn::check) returns: `false` is a 403, and an [`Answer`] is itself.
#[diagnostic::on_unimplemented(
    message = "a check returns a `bool` or a `Result<(), Answer>`, and not `{Self}`",
    note = "it isn't async: what only a database knows is for the handler"
)]
pub trait Permission {
    /// Whether the request may pass.
    ///
    /// # Errors
    /// The answer if it may not.
    fn into_result(self) -> Result<(), Answer>;
}

impl Permission for bool {
    fn into_result(self) -> Result<(), Answer> {
        if self { Ok(()) } else { Err(Answer::new(403)) }
    }
}

impl Permission for Result<(), Answer> {
    fn into_result(self) -> Self {
        self
    }
}

impl RequireSignIn {
    /// A guard that answers 401 without a session.
    pub fn new() -> Self {
        Self::default()
    }

    /// A guard that sends the browser to `page` (303, RFC 9110 15.4.4), with the parameter `next`,
    /// which is the path and query that were asked for, in the form of a [`Next`]. If `page` has a
    /// query, `next` is added to it. A target that is no [`Next`] is left out.
    ///
    /// Only GET and HEAD are redirected. Any other method is a 401, as its body would be lost on
    /// the way, and so is `page`'s own path, which would be redirected for ever.
    ///
    /// # Panics
    /// If `page` is neither a path on this site, as [`Next`] takes it, nor a URL that begins with
    /// `https://` or `http://`; or if its query has a `next` already.
    ///
    /// ```should_panic
    /// session_core::RequireSignIn::or_redirect("sign-in"); // `/sign-in`
    /// ```
    pub fn or_redirect(page: &str) -> Self {
        let is_url = ["https://", "http://"].iter().any(|scheme| page.starts_with(scheme));
        assert!(is_url || Next::parse(page).is_some(), "the page to sign in on, {page:?}, is {NextError}");
        let query = page.split_once('?').map_or("", |(_, query)| query);
        let query = query.split('#').next().unwrap_or_default();
        let has_next = query.split('&').any(|pair| pair.split('=').next() == Some("next"));
        assert!(!has_next, "the page to sign in on, {page:?}, gets a `next` of each request: leave its own out");
        Self(Arc::new(Rules { page: Some(page.into()), ..Rules::default() }))
    }

    /// Adds a check of the application's own, which is asked about the session of a signed-in user.
    /// It may use any state that it captures. `false` is a 403; for another answer return a
    /// `Result<(), Answer>`. Several checks are asked in their order, until one refuses.
    ///
    /// It isn't async, so it can't ask a database: put what it needs, such as the role, into the
    /// session's values at the sign-in, and end the user's sessions where that changes. What only
    /// the database knows is for the handler, by the adapter's `CurrentUser`.
    #[must_use]
    pub fn check<P: Permission>(self, check: impl Fn(&Session) -> P + Send + Sync + 'static) -> Self {
        self.check_as(check)
    }

    /// The same with another type of snapshot, for adapters.
    #[doc(hidden)]
    #[must_use]
    pub fn check_as<S: From<Session>, P: Permission>(
        mut self,
        check: impl Fn(&S) -> P + Send + Sync + 'static,
    ) -> Self {
        let asks = move |session: &CookieSession| {
            let snapshot = session.signed_in().map_err(|error| Answer::from(&error))?;
            check(&snapshot.into()).into_result()
        };
        Arc::make_mut(&mut self.0).checks.push(Arc::new(asks));
        self
    }
}

impl Check for RequireSignIn {
    fn ask(&self, session: &CookieSession, request: &Incoming<'_>) -> Result<(), Answer> {
        if !session.is_authenticated() {
            return Err(self.0.without_session(request));
        }
        self.0.checks.iter().try_for_each(|check| check(session))
    }
}

impl Rules {
    fn without_session(&self, request: &Incoming<'_>) -> Answer {
        let is_safe = matches!(request.method(), "GET" | "HEAD");
        let is_itself = |page: &str| {
            let path = page.split(['?', '#']).next().unwrap_or_default();
            // Browsers encode what can't stand in a path.
            decoded(path.trim()).eq(decoded(request.path()))
        };
        match &self.page {
            Some(page) if is_safe && !is_itself(page) => match Next::of(request) {
                Some(next) => Answer::see_other(&next.added_to(page)),
                None => Answer::see_other(page),
            },
            Some(_) | None => Answer::from(&Error::NotAuthenticated),
        }
    }
}

impl fmt::Debug for RequireSignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let checks = self.0.checks.len();
        f.debug_struct("RequireSignIn").field("page", &self.0.page).field("checks", &checks).finish()
    }
}

/// Gives an adapter's guard, a type with one parameter that holds what is asked, the name
/// `RequireSignIn` and its methods, in a module where the adapter's `Session` is in scope. Comments
/// before the guard's name, such as an example, continue the documentation of `RequireSignIn`.
#[macro_export]
macro_rules! require_sign_in {
    ($(#[$more:meta])* $Guard:ident) => {
        /// Lets only signed-in users through to what it is put around: see
        /// [the core's guard](::session_core::RequireSignIn) for what it answers others.
        ///
        $(#[$more])*
        pub type RequireSignIn = $Guard<$crate::RequireSignIn>;

        impl RequireSignIn {
            /// A guard that answers 401 without a session.
            pub fn new() -> Self {
                Self($crate::RequireSignIn::new())
            }

            /// A guard that sends the browser to `page` with the parameter `next`, the path and
            /// query that were asked for: a 303 for GET and HEAD, and else a 401.
            ///
            /// # Panics
            /// If `page` is neither a path nor a URL, or has a `next` of its own.
            pub fn or_redirect(page: &str) -> Self {
                Self($crate::RequireSignIn::or_redirect(page))
            }

            /// Adds a check of the application's own, which may use any state that it captures.
            /// `false` is a 403; for another answer return a `Result<(), Answer>`. It isn't async:
            /// what only a database knows is for the handler, by `CurrentUser`.
            #[must_use]
            pub fn check<P: $crate::adapter::Permission>(
                self,
                check: impl Fn(&Session) -> P + ::std::marker::Send + ::std::marker::Sync + 'static,
            ) -> Self {
                Self(self.0.check_as(check))
            }
        }

        impl ::std::default::Default for RequireSignIn {
            fn default() -> Self {
                Self::new()
            }
        }
    };
}

#[cfg(all(test, feature = "http"))]
mod tests {
    use super::RequireSignIn;
    use crate::adapter::check;
    use crate::request::handle::example;

    #[test]
    fn a_page_is_not_sent_to_itself_however_its_path_is_written() {
        example(async |session| {
            let location = |page: &str, target: &str| {
                let request = http::Request::get(target).body(()).unwrap();
                let answer = check(Ok(session.clone()), &request, &RequireSignIn::or_redirect(page)).unwrap_err();
                answer.headers().find(|(name, _)| *name == "location").map(|(_, value)| value.to_owned())
            };
            for (page, target) in [
                ("/sign-in?lang=de", "/sign-in?next=/a"),
                ("/anmeldung/für-alle", "/anmeldung/f%C3%BCr-alle"),
                ("/sign in", "/sign%20in?next=/a"),
                ("/sign%20in#form", "/sign%20in"),
            ] {
                assert_eq!(location(page, target), None, "{page:?} {target:?}");
            }
            assert_eq!(location("/für", "/a").as_deref(), Some("/f%C3%BCr?next=/a"));
            assert_eq!(location("/100%", "/100").as_deref(), Some("/100%?next=/100"));
            Ok(())
        });
    }

    #[test]
    fn a_page_that_could_not_work_is_refused_at_once() {
        for page in
            ["", "sign-in", "//evil.example", r"/\evil.example", "/a/../b", "/sign-in?next=/home", "/in?a&next#b"]
        {
            let made = std::panic::catch_unwind(|| RequireSignIn::or_redirect(page));
            let message = *made.unwrap_err().downcast::<String>().unwrap();
            assert!(message.contains("to sign in on") && message.contains(&format!("{page:?}")), "{message}");
        }
        for page in ["/sign-in", "/sign-in?lang=de#next=1", "/in?nextly=1", "https://login.example/start?app=shop"] {
            assert!(format!("{:?}", RequireSignIn::or_redirect(page)).contains(page));
        }
    }
}
