//! A browser: a cookie jar and sticky headers, with a fresh connection for each request. Not here:
//! what is sent over it, see `wire`.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{SET_COOKIE, USER_AGENT, VARY};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

use crate::adapter::Server;
use crate::wire::{Driver, Wire};

/// What a browser can visit.
pub trait Site {
    /// The server.
    fn server(&self) -> Arc<Server>;

    /// What the session's cookie is called there.
    fn cookie_name(&self) -> String;
}

/// One browser. A clone has a copy of the jar, and doesn't see what this one is sent later.
#[derive(Debug, Clone)]
pub struct Browser {
    server: Arc<Server>,
    name: String,
    jar: BTreeMap<String, Vec<u8>>,
    headers: HeaderMap,
}

impl Browser {
    /// A browser with an empty jar at `server`, where the session's cookie is called `name`.
    pub fn new(server: Arc<Server>, name: impl Into<String>) -> Self {
        Self { server, name: name.into(), jar: BTreeMap::new(), headers: HeaderMap::new() }
    }

    /// A browser with an empty jar at a site.
    pub fn at(site: &impl Site) -> Self {
        Self::new(site.server(), site.cookie_name())
    }

    /// Runs a script on `/do`.
    pub async fn run(&mut self, script: Value) -> Reply {
        self.run_on("/do", script).await
    }

    /// Runs a script on another route.
    pub async fn run_on(&mut self, path: &str, script: Value) -> Reply {
        self.send(Request::post(path).body(script.to_string()).expect("a valid path")).await
    }

    /// Runs a script on `/do` that may get no answer, as when the handler panics.
    pub async fn try_run(&mut self, script: Value) -> Option<Reply> {
        self.try_send(Request::post("/do").body(script.to_string()).expect("a valid path")).await
    }

    /// Runs a script on another route that may get no answer.
    pub async fn try_run_on(&mut self, path: &str, script: Value) -> Option<Reply> {
        self.try_send(Request::post(path).body(script.to_string()).expect("a valid path")).await
    }

    /// A GET without a body.
    pub async fn get(&mut self, path: &str) -> Reply {
        self.send(Request::get(path).body("").expect("a valid path")).await
    }

    /// Signs in, which must work.
    pub async fn sign_in(&mut self, user: &str) -> Reply {
        let reply = self.run(json!([{"op": "authenticate", "user": user}])).await;
        assert_eq!((reply.status, reply.error_status(0)), (200, None), "{user} signs in: {reply:?}");
        reply
    }

    /// Sends a request. The sticky headers and the jar's cookies follow its own headers.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn send<B: Into<Bytes>>(&mut self, request: Request<B>) -> Reply {
        self.try_send(request).await.expect("an answer")
    }

    /// The same, or `None` if the connection closes before the answer is complete.
    pub async fn try_send<B: Into<Bytes>>(&mut self, request: Request<B>) -> Option<Reply> {
        self.connect().await.try_send(self, request).await
    }

    /// A connection that is kept alive, for requests of any browser.
    ///
    /// # Panics
    /// If no server listens.
    pub async fn connect(&self) -> Connection {
        self.try_connect().await.expect("the server listens")
    }

    /// The same, for a server that may be down.
    ///
    /// # Errors
    /// If no server listens.
    pub async fn try_connect(&self) -> std::io::Result<Connection> {
        Connection::to(Arc::clone(&self.server)).await
    }

    /// The value of the session's cookie.
    pub fn cookie(&self) -> Option<String> {
        self.cookie_named(&self.name)
    }

    /// The value of any cookie.
    pub fn cookie_named(&self, name: &str) -> Option<String> {
        self.jar.get(name).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// Puts another value into the session's cookie.
    pub fn set_cookie(&mut self, value: impl AsRef<[u8]>) {
        self.jar.insert(self.name.clone(), value.as_ref().to_vec());
    }

    /// Puts a value into any cookie.
    pub fn set_cookie_named(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.jar.insert(name.to_owned(), value.as_ref().to_vec());
    }

    /// Forgets all cookies.
    pub fn forget_cookies(&mut self) {
        self.jar.clear();
    }

    /// Sends this `User-Agent` from now on.
    pub fn user_agent(&mut self, text: &str) {
        self.headers.insert(USER_AGENT, HeaderValue::from_str(text).expect("a header value"));
    }

    /// Sends this line from now on, in addition to those of the same name.
    pub fn header(&mut self, name: &str, value: impl AsRef<[u8]>) {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
        self.headers.append(name, HeaderValue::from_bytes(value.as_ref()).expect("a header value"));
    }

    /// Sends no sticky header any more.
    pub fn forget_headers(&mut self) {
        self.headers.clear();
    }

    /// A copy of this browser that visits another site with the same jar.
    #[must_use]
    pub fn on(&self, site: &impl Site) -> Self {
        Self { server: site.server(), name: site.cookie_name(), ..self.clone() }
    }

    fn keep_cookies(&mut self, headers: &HeaderMap) {
        for line in headers.get_all(SET_COOKIE) {
            let line = String::from_utf8_lossy(line.as_bytes());
            let Some((name, value)) = line.split(';').next().and_then(|pair| pair.split_once('=')) else { continue };
            if removes(&line) {
                self.jar.remove(name);
            } else {
                self.jar.insert(name.to_owned(), value.as_bytes().to_vec());
            }
        }
    }
}

/// A connection to a server. Dropping it closes it, as a client that gives up does.
#[derive(Debug)]
pub struct Connection {
    server: Arc<Server>,
    wire: Wire,
    driver: Arc<Driver>,
}

impl Connection {
    async fn to(server: Arc<Server>) -> std::io::Result<Self> {
        let (wire, driver) = Wire::open(&server).await?;
        Ok(Self { server, wire, driver: Arc::new(driver) })
    }

    /// For a request at the same time: a further stream of this connection, or, where the server
    /// doesn't speak HTTP/2, a further connection.
    ///
    /// # Panics
    /// If no server listens.
    pub async fn another(&self) -> Self {
        match &self.wire {
            Wire::Http1(_) => Self::to(Arc::clone(&self.server)).await.expect("the server listens"),
            Wire::Http2(sender) => Self {
                server: Arc::clone(&self.server),
                wire: Wire::Http2(sender.clone()),
                driver: Arc::clone(&self.driver),
            },
        }
    }

    /// Sends a request of `browser`, as [`Browser::try_send`] does.
    pub async fn try_send<B: Into<Bytes>>(&mut self, browser: &mut Browser, request: Request<B>) -> Option<Reply> {
        let mut request = request.map(|body| Full::new(body.into()));
        for (name, value) in &browser.headers {
            request.headers_mut().append(name, value.clone());
        }
        let cookies = browser.jar.iter().map(|(name, value)| [name.as_bytes(), b"=", value].concat());
        let response = self.wire.ask(request, &cookies.collect::<Vec<_>>()).await.ok()?;
        let (head, body) = response.into_parts();
        browser.keep_cookies(&head.headers);
        let body = body.collect().await.ok()?.to_bytes();
        Some(Reply { status: head.status.as_u16(), headers: head.headers, body, name: browser.name.clone() })
    }
}

/// A response, read to its end.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// All headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    name: String,
}

impl Reply {
    /// The result of each operation of the script.
    ///
    /// # Panics
    /// If the body isn't a script's.
    pub fn results(&self) -> Vec<Value> {
        let body: Option<Value> = serde_json::from_slice(&self.body).ok();
        match body.as_ref().and_then(|body| body["results"].as_array()) {
            Some(results) => results.clone(),
            None => panic!("a script's results, not {} {:?}", self.status, self.body),
        }
    }

    /// The result of the operation at this index.
    pub fn result(&self, index: usize) -> Value {
        let results = self.results();
        results.get(index).cloned().unwrap_or_else(|| panic!("an operation {index} in {results:?}"))
    }

    /// The status of the error of the operation at this index, if it failed.
    pub fn error_status(&self, index: usize) -> Option<u16> {
        let status = self.result(index).get("error")?["status"].as_u64().expect("an error has a status");
        Some(u16::try_from(status).expect("a status"))
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("JSON, not {} {:?}", self.status, self.body))
    }

    /// All `Set-Cookie` lines of the session's name.
    pub fn set_cookies(&self) -> Vec<String> {
        self.set_cookies_named(&self.name)
    }

    /// All `Set-Cookie` lines of a name.
    pub fn set_cookies_named(&self, name: &str) -> Vec<String> {
        let lines =
            self.headers.get_all(SET_COOKIE).iter().map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned());
        lines.filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('='))).collect()
    }

    /// Whether it sets the session's cookie.
    pub fn sends_cookie(&self) -> bool {
        self.set_cookies().iter().any(|line| !removes(line))
    }

    /// Whether it removes the session's cookie.
    pub fn removes_cookie(&self) -> bool {
        self.set_cookies().iter().any(|line| removes(line))
    }

    /// All `Vary` lines, joined.
    pub fn vary(&self) -> String {
        let lines: Vec<_> =
            self.headers.get_all(VARY).iter().map(|line| String::from_utf8_lossy(line.as_bytes())).collect();
        lines.join(", ")
    }
}

fn removes(set_cookie: &str) -> bool {
    set_cookie.split(';').any(|attribute| attribute.trim().eq_ignore_ascii_case("max-age=0"))
}
