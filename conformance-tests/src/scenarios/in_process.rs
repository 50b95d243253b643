//! One request without a server, for what no HTTP client can see: functions that are run, values that JSON can't spell,
//! `Debug` output, and which header values are marked sensitive.

use std::borrow::Cow;
use std::net::IpAddr;

use session_core::CookieSession;
use session_core::adapter::{Headers, RequestHead, ResponseHead, Scope};

use crate::browser::Browser;
use crate::world::World;

/// A request of `browser`, extracted: its scope and session.
pub(super) async fn extracted(world: &World, browser: &Browser) -> (Scope, CookieSession) {
    let mut head = Head::default();
    if let Some(value) = browser.cookie() {
        head.add("cookie", format!("{}={value}", world.service.config().cookie_name()), false);
    }
    let scope = world.service.begin(None);
    let session = scope.load(scope.read(&head)).await.expect("the store works");
    (scope, session)
}

/// Commits under a handler's 200, and returns the response head.
pub(super) async fn committed(scope: &Scope) -> Head {
    let mut head = Head { status: 200, ..Head::default() };
    scope.commit(head.status).await.apply(&mut head);
    head
}

/// Header lines, of a request or a response.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub(super) status: u16,
    lines: Vec<(&'static str, Vec<u8>, bool)>,
}

impl Head {
    /// The lines of one header, each with whether it is marked sensitive.
    pub(super) fn lines(&self, name: &str) -> Vec<(String, bool)> {
        let lines = self.lines.iter().filter(|(line, ..)| *line == name);
        lines.map(|(_, value, sensitive)| (String::from_utf8_lossy(value).into_owned(), *sensitive)).collect()
    }

    fn add(&mut self, name: &'static str, value: String, sensitive: bool) {
        self.lines.push((name, value.into_bytes(), sensitive));
    }
}

impl Headers for Head {
    fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.lines.iter().filter(move |(line, ..)| *line == name).map(|(_, value, _)| value.as_slice())
    }
}

impl RequestHead for Head {
    fn peer(&self) -> Option<IpAddr> {
        None
    }
}

impl ResponseHead for Head {
    fn remove(&mut self, name: &'static str) {
        self.lines.retain(|(line, ..)| *line != name);
    }

    fn append(&mut self, name: &'static str, value: Cow<'static, str>, sensitive: bool) {
        self.add(name, value.into_owned(), sensitive);
    }

    fn replace(&mut self, status: u16) {
        *self = Self { status, ..Self::default() };
    }
}
