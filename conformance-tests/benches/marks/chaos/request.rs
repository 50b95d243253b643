//! One request as a server has it, to its end or dropped on the way.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Response};
use serde_json::json;
use session_core::{CookieSession, CookieSessionService, Result};

use super::random::Random;

/// What the handler does.
#[derive(Debug, Clone)]
pub(super) enum Op {
    SignIn(String),
    Append(u64),
    Set { key: String, value: u64, filling: usize },
    Read,
    Rotate,
    Logout,
    LogoutOther,
}

#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The session that the handler found, or made.
    pub(super) id: Option<String>,
    /// The numbers that it read.
    pub(super) read: Option<Vec<u64>>,
    pub(super) cookie: Option<String>,
}

pub(super) async fn request(service: CookieSessionService, cookie: Option<String>, op: Op) -> Answer {
    let guard = service.begin(None);
    let mut headers = HeaderMap::new();
    headers.insert(
        COOKIE,
        HeaderValue::try_from(format!("__Host-session={}", cookie.unwrap_or_default())).expect("a cookie"),
    );
    let mut answer = Answer::default();
    let facts = guard.scope().read(&headers, None);
    let handled = match guard.scope().load(facts).await {
        Ok(session) => handle(&session, op, &mut answer).await,
        Err(error) => Err(error),
    };
    let status = handled.map_or_else(|error| error.status(), |()| 200);
    let mut response = Response::builder().status(status).body("").expect("a status");
    guard.commit(status).await.apply(&mut response);
    answer.status = response.status().as_u16();
    let sent = response.headers().get(SET_COOKIE).and_then(|line| line.to_str().ok());
    let value = sent.and_then(|line| line.split(';').next()?.split_once('=')).map(|(_, value)| value.to_owned());
    answer.cookie = value.filter(|value| !value.is_empty());
    answer
}

async fn handle(session: &CookieSession, op: Op, answer: &mut Answer) -> Result<()> {
    let id = |session: &CookieSession| session.current().map(|session| session.id.to_string());
    answer.id = id(session);
    match op {
        Op::SignIn(user) => {
            session.authenticate_with(&user, json!({"log": []})).await?;
            answer.id = id(session);
        }
        Op::Append(number) => session.update("log", move |log: Option<Vec<u64>>| {
            let mut log = log.unwrap_or_default();
            log.push(number);
            log
        })?,
        Op::Set { key, value, filling } => {
            session.set(&key, &value)?;
            session.set("filling", &"x".repeat(filling))?;
        }
        Op::Read => answer.read = session.get("log")?,
        Op::Rotate => session.rotate().await?,
        Op::Logout => session.logout().await?,
        Op::LogoutOther => session.logout_other().await?,
    }
    Ok(())
}

/// How long a caller waits.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wait {
    ToTheEnd,
    /// So often it is polled.
    Polls(u64),
    For(Duration),
}

impl Wait {
    pub(super) fn any(random: &mut Random) -> Self {
        match random.below(8) {
            0 => Self::Polls(1 + random.below(12)),
            1 => Self::For(Duration::from_micros(random.below(20_000))),
            2 => Self::For(random.millis(300)),
            _ => Self::ToTheEnd,
        }
    }

    /// None if it was dropped.
    pub(super) async fn of<T>(self, work: impl Future<Output = T>) -> Option<T> {
        match self {
            Self::ToTheEnd => Some(work.await),
            Self::For(limit) => tokio::time::timeout(limit, work).await.ok(),
            Self::Polls(mut left) => {
                let mut work = pin!(work);
                let polled = std::future::poll_fn(|context| match work.as_mut().poll(context) {
                    Poll::Ready(done) => Poll::Ready(Some(done)),
                    Poll::Pending => {
                        left -= 1;
                        if left == 0 { Poll::Ready(None) } else { Poll::Pending }
                    }
                });
                polled.await
            }
        }
    }
}
