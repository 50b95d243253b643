//! What the routes of every adapter do: run a script of session operations, and answer the result
//! of each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use serde_json::json;
use session_core::adapter::Check;
use session_core::{Answer, CookieSession, CookieSessionService, CsrfToken, Flash, Incoming, RequireSignIn, Result};

use crate::gates::Gates;
pub use script::Script;

mod script;

/// A header of a request that the service's policy refuses; its value is the status of the answer.
pub const REFUSE: &str = "x-test-refuse";
/// A header of that answer: what the policy was shown.
pub const ASKED: &str = "x-test-asked";
/// A header of a request for `/guarded` whose guard asks for a CSRF token.
pub const NEEDS_CSRF_TOKEN: &str = "x-test-needs-csrf-token";
/// The user whom the guard of `/guarded` doesn't let in.
pub const BANNED: &str = "banned";
/// What that guard sets in the session of anyone who is signed in.
pub const FROM_GUARD: &str = "from_guard";

/// The page to which `/admins` sends those who haven't signed in.
pub const SIGN_IN_PAGE: &str = "/sign-in?lang=de";
/// The user whom `/admins` lets in.
pub const ADMIN: &str = "admin";
/// The user whom the application doesn't know any more.
pub const GONE: &str = "gone";
/// The user whom it fails to load, with the status [`NotLoaded::STATUS`].
pub const UNLOADABLE: &str = "unloadable";

/// What an adapter serves. A clone is the same app.
#[derive(Debug, Clone)]
pub struct App {
    /// The service whose layer is around every route but the unlayered ones.
    pub service: CookieSessionService,
    /// Another service, of another cookie and store, for `/two-services`.
    pub second: CookieSessionService,
    /// Where scripts wait.
    pub gates: Gates,
    /// How often a user was loaded.
    pub loads: Arc<AtomicU64>,
}

/// The application's user.
#[derive(Debug, Serialize)]
pub struct User {
    /// Their id.
    pub name: String,
}

/// Why the application couldn't load its user.
#[derive(Debug, Clone, Copy)]
pub struct NotLoaded;

impl NotLoaded {
    /// The status of its response.
    pub const STATUS: u16 = 418;
}

/// A response, in no framework's terms.
#[derive(Debug, Clone)]
pub struct AppResponse {
    /// The status.
    pub status: u16,
    /// Lines to append; a value may be any bytes that a header can hold.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: String,
}

impl App {
    /// Runs the script in a request's body to its end.
    ///
    /// # Errors
    /// What the handler must answer as its framework's error response.
    pub async fn run(&self, session: &CookieSession, body: &[u8]) -> Result<AppResponse> {
        let mut script = match Script::parse(body) {
            Ok(script) => script,
            Err(error) => return Ok(AppResponse { status: 400, headers: Vec::new(), body: error.to_string() }),
        };
        while script.step(&self.gates, session).await? {}
        Ok(Self::response(&script))
    }

    /// Runs the script up to `head`. Returns the response, whose body the adapter drops, and the
    /// rest of the script for [`run_rest`](Self::run_rest).
    ///
    /// # Errors
    /// What the handler must answer as its framework's error response.
    ///
    /// # Panics
    /// If the body is no script.
    pub async fn run_head(&self, session: &CookieSession, body: &[u8]) -> Result<(AppResponse, Script)> {
        let mut script = Script::parse(body).expect("a script");
        while !script.is_at_head() {
            script.step(&self.gates, session).await?;
        }
        Ok((Self::response(&script), script))
    }

    /// Runs the rest of a script. Returns the body, with the results of the whole script.
    ///
    /// # Panics
    /// If the script has a `fail`: the head has left, so there is no error response any more.
    pub async fn run_rest(&self, session: &CookieSession, mut script: Script) -> String {
        while script.step(&self.gates, session).await.expect("no `fail` after the head") {}
        Self::response(&script).body
    }

    /// What `/flash` answers: the messages that it takes.
    ///
    /// # Errors
    /// What the handler must answer as its framework's error response.
    pub async fn flash(flash: &Flash) -> Result<AppResponse> {
        Ok(Self::json(&flash.take().await?))
    }

    /// What `/csrf` answers: a token if the body is empty, else `verified` if the body is a token.
    ///
    /// # Errors
    /// What the handler must answer as its framework's error response.
    pub fn csrf(token: &CsrfToken, body: &[u8]) -> Result<AppResponse> {
        if body.is_empty() {
            return Ok(Self::json(&token.as_str()));
        }
        token.verify(body)?;
        Ok(Self::json(&"verified"))
    }

    /// What `/optional` answers.
    pub fn optional(session: Option<&CookieSession>) -> AppResponse {
        Self::json(&json!({"some": session.is_some(), "user": session.and_then(CookieSession::user_id)}))
    }

    /// A response with any value as JSON.
    ///
    /// # Panics
    /// If it can't be written.
    pub fn json(value: &impl Serialize) -> AppResponse {
        let body = serde_json::to_string(value).expect("a value that can be written");
        AppResponse { status: 200, headers: vec![("content-type".into(), "application/json".into())], body }
    }

    /// The policy of [`service`](Self::service), which refuses a request only if that asks for it.
    ///
    /// # Errors
    /// The answer.
    ///
    /// # Panics
    /// If the status that it asks for is none.
    pub fn admit(request: &Incoming<'_>) -> Result<(), Answer> {
        let Some(status) = request.header(REFUSE) else { return Ok(()) };
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let more: Vec<_> = request.lines("x-more").into_iter().map(text).collect();
        let asked = [
            request.method(),
            request.authority().unwrap_or_default(),
            request.path_and_query(),
            request.path(),
            &more.join(","),
        ];
        Err(Answer::new(text(status).parse().expect("a status")).header(ASKED, &asked.join(" ")))
    }

    /// What the guard of `/guarded` asks.
    ///
    /// # Errors
    /// The answer.
    pub fn check(session: &CookieSession, request: &Incoming<'_>) -> Result<(), Answer> {
        let user = session.user_id();
        let user = user.ok_or_else(|| Answer::see_other(&format!("/sign-in?next={}", request.path_and_query())))?;
        if request.header(NEEDS_CSRF_TOKEN).is_some() {
            let verified = CsrfToken::of(session).and_then(|token| token.verify_header(request));
            verified.map_err(|error| Answer::from(&error))?;
        }
        session.set(FROM_GUARD, &1).map_err(|error| Answer::from(&error))?;
        if user == BANNED { Err(Answer::new(403)) } else { Ok(()) }
    }

    /// What the guard of `/members` asks, where the adapter has no `RequireSignIn` of its own.
    ///
    /// # Errors
    /// The answer.
    pub fn members(session: &CookieSession, request: &Incoming<'_>) -> Result<(), Answer> {
        RequireSignIn::new().ask(session, request)
    }

    /// What the guard of `/admins` asks, where the adapter has no `RequireSignIn` of its own.
    ///
    /// # Errors
    /// The answer.
    pub fn admins(session: &CookieSession, request: &Incoming<'_>) -> Result<(), Answer> {
        RequireSignIn::or_redirect(SIGN_IN_PAGE)
            .check(|session| Self::is_welcome(&session.user_id))
            .check(|session| Self::is_admin(&session.user_id))
            .ask(session, request)
    }

    /// The first check of `/admins`.
    pub fn is_welcome(user: &str) -> bool {
        user != BANNED
    }

    /// The second check of `/admins`.
    ///
    /// # Errors
    /// The answer.
    pub fn is_admin(user: &str) -> Result<(), Answer> {
        if user == ADMIN { Ok(()) } else { Err(Answer::new(404).header(ASKED, user)) }
    }

    /// Loads the application's user.
    ///
    /// # Errors
    /// For the user [`UNLOADABLE`].
    pub async fn load_user(&self, user_id: &str) -> Result<Option<User>, NotLoaded> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        // Another extraction may start meanwhile.
        tokio::task::yield_now().await;
        match user_id {
            UNLOADABLE => Err(NotLoaded),
            GONE => Ok(None),
            name => Ok(Some(User { name: name.to_owned() })),
        }
    }

    /// What `/user` and `/optional-user` answer.
    pub fn users(&self, users: &[Option<&User>]) -> AppResponse {
        Self::json(&json!({"users": users, "loads": self.loads.load(Ordering::Relaxed)}))
    }

    /// What the middleware of `/twice` does with the session that it extracts.
    ///
    /// # Panics
    /// If the session refuses it.
    pub fn mark(session: &CookieSession) {
        session.set("from_middleware", &1).expect("a small number");
    }

    fn response(script: &Script) -> AppResponse {
        let mut response = Self::json(&json!({"results": script.results}));
        response.status = script.status;
        if script.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            response.headers.clear();
        }
        response.headers.extend(script.headers.iter().cloned());
        response
    }
}
