//! The operations of a script, and how one runs. Not here: the response.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};
use session_core::{CookieSession, CsrfToken, DataError, Error, Flash, FlashLevel, Next, Result, SignIn};

use crate::gates::Gates;

/// One operation of a script. Each adds an entry to `results`: `null` if it has no result.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
enum Op {
    Current,
    IsAuthenticated,
    UserId,
    VisitorId,
    Get {
        key: String,
    },
    GetU64 {
        key: String,
    },
    Set {
        key: String,
        value: Value,
    },
    /// Sets a text of so many bytes, which a request's body needn't hold.
    SetLong {
        key: String,
        bytes: usize,
    },
    SetUnserializable {
        key: String,
    },
    RemoveKey {
        key: String,
    },
    Increment {
        key: String,
    },
    IncrementPanickingOnReplay {
        key: String,
    },
    Authenticate {
        user: String,
    },
    AuthenticateWith {
        user: String,
        data: Value,
    },
    AuthenticateOpts {
        user: String,
        #[serde(default)]
        data: Option<Value>,
        #[serde(default)]
        browser_session: bool,
        /// Values of the visitor to take along: keys, or `true` for all.
        #[serde(default)]
        keep: Value,
    },
    /// Adds a message for the next page.
    FlashPush {
        level: FlashLevel,
        text: String,
        #[serde(default)]
        data: Value,
    },
    FlashTake,
    Save,
    Reload,
    Rotate,
    RotateStrict,
    Logout,
    LogoutAll,
    LogoutOther,
    ListMySessions,
    Revoke {
        id: String,
    },
    /// The text of a CSRF token.
    CsrfToken,
    VerifyCsrfToken {
        text: String,
    },
    List {
        user: String,
    },
    RevokeById {
        user: String,
        id: String,
    },
    RevokeAll {
        user: String,
    },
    RevokeAllExcept {
        user: String,
        keep: String,
    },
    /// Waits at a gate.
    Gate {
        name: String,
    },
    /// The response's status.
    Status {
        code: u16,
    },
    /// A line of the response's head. Each character of the value is a byte, `\u00ff` the highest.
    Header {
        name: String,
        value: String,
    },
    /// On `/stream`: what follows runs after the head has left.
    Head,
    /// A redirect to where a field of this text leads, or else to `/home`.
    GoTo {
        text: Value,
    },
    /// The handler panics.
    Panic,
    /// The handler answers the last operation's error, if it failed.
    Fail,
}

/// A script under way.
#[derive(Debug)]
pub struct Script {
    left: std::vec::IntoIter<Op>,
    failed: Option<Error>,
    pub(super) results: Vec<Value>,
    pub(super) status: u16,
    pub(super) headers: Vec<(String, Vec<u8>)>,
}

impl Script {
    pub(super) fn parse(body: &[u8]) -> serde_json::Result<Self> {
        let ops: Vec<Op> = if body.is_empty() { Vec::new() } else { serde_json::from_slice(body)? };
        Ok(Self { left: ops.into_iter(), results: Vec::new(), failed: None, status: 200, headers: Vec::new() })
    }

    /// Whether the operation that follows is `head`, or none does.
    pub(super) fn is_at_head(&self) -> bool {
        self.left.as_slice().first().is_none_or(|op| matches!(op, Op::Head))
    }

    /// Runs the next operation, if there is one.
    pub(super) async fn step(&mut self, gates: &Gates, session: &CookieSession) -> Result<bool> {
        let Some(op) = self.left.next() else { return Ok(false) };
        match op {
            Op::Gate { name } => gates.pass(&name).await,
            Op::Status { code } => self.status = code,
            Op::Header { name, value } => {
                let bytes = value.chars().map(|one| u8::try_from(one).expect("a character is a byte"));
                self.headers.push((name, bytes.collect()));
            }
            Op::Head => {}
            Op::GoTo { text } => {
                let next: Next = serde_json::from_value(text).expect("it takes every value");
                self.status = 303;
                self.headers.push(("location".to_owned(), next.or("/home").to_string().into_bytes()));
            }
            Op::Panic => panic!("a script's panic"),
            Op::Fail => {
                if let Some(error) = self.failed.take() {
                    return Err(error);
                }
            }
            op => {
                let result = session_op(session, op).await;
                self.results.push(match &result {
                    Ok(value) => value.clone(),
                    Err(error) => json!({"error": {"status": error.status(), "message": with_reason(error)}}),
                });
                self.failed = result.err();
                return Ok(true);
            }
        }
        self.results.push(Value::Null);
        Ok(true)
    }
}

/// One operation on the session.
async fn session_op(session: &CookieSession, op: Op) -> Result<Value> {
    match op {
        Op::Current => Ok(json!(session.current())),
        Op::IsAuthenticated => Ok(json!(session.is_authenticated())),
        Op::UserId => Ok(json!(session.user_id())),
        Op::VisitorId => Ok(json!(session.visitor_id())),
        Op::Get { key } => session.get::<Value>(&key).map(found),
        Op::GetU64 { key } => session.get::<u64>(&key).map(found),
        Op::Set { key, value } => session.set(&key, &value).map(done),
        Op::SetLong { key, bytes } => session.set(&key, &"x".repeat(bytes)).map(done),
        Op::SetUnserializable { key } => session.set(&key, &Unserializable).map(done),
        Op::RemoveKey { key } => {
            session.remove_key(&key);
            Ok(Value::Null)
        }
        Op::Increment { key } => session.update(&key, |n: Option<u64>| n.unwrap_or(0) + 1).map(done),
        Op::IncrementPanickingOnReplay { key } => {
            let ran = std::sync::atomic::AtomicBool::new(false);
            let increment = move |n: Option<u64>| {
                assert!(!ran.swap(true, std::sync::atomic::Ordering::SeqCst), "an update's panic on replay");
                n.unwrap_or(0) + 1
            };
            session.update(&key, increment).map(done)
        }
        Op::Authenticate { user } => session.authenticate(&user).await.map(done),
        Op::AuthenticateWith { user, data } => session.authenticate_with(&user, data).await.map(done),
        Op::AuthenticateOpts { user, data, browser_session, keep } => {
            let options = SignIn::new().browser_session(browser_session);
            let options = match keep {
                Value::Array(keys) => options.keep(keys.iter().filter_map(Value::as_str)),
                Value::Bool(true) => options.keep_all(),
                _ => options,
            };
            let options = match data {
                Some(data) => options.data(data),
                None => options,
            };
            session.authenticate_opts(&user, options).await.map(done)
        }
        Op::FlashPush { level, text, data } => Flash::of(session).push_with(level, text, &data).map(done),
        Op::FlashTake => Flash::of(session).take().await.map(|messages| json!(messages)),
        Op::Save => session.save().await.map(done),
        Op::Reload => session.reload().await.map(done),
        Op::Rotate => session.rotate().await.map(done),
        Op::RotateStrict => session.rotate_strict().await.map(done),
        Op::Logout => session.logout().await.map(done),
        Op::LogoutAll => session.logout_all().await.map(done),
        Op::LogoutOther => session.logout_other().await.map(done),
        Op::ListMySessions => session.list_my_sessions().await.map(|sessions| json!(sessions)),
        Op::Revoke { id } => session.revoke(&id).await.map(done),
        Op::CsrfToken => CsrfToken::of(session).map(|token| json!(token.as_str())),
        Op::VerifyCsrfToken { text } => CsrfToken::of(session)?.verify(text).map(done),
        Op::List { user } => session.list(&user).await.map(|sessions| json!(sessions)),
        Op::RevokeById { user, id } => session.revoke_by_id(&user, &id).await.map(done),
        Op::RevokeAll { user } => session.revoke_all(&user).await.map(done),
        Op::RevokeAllExcept { user, keep } => session.revoke_all_except(&user, &keep).await.map(done),
        Op::Gate { .. } | Op::Status { .. } | Op::Header { .. } | Op::Head | Op::GoTo { .. } | Op::Panic | Op::Fail => {
            unreachable!("no operation on the session")
        }
    }
}

/// What an error says, and why.
fn with_reason(error: &Error) -> String {
    match error {
        Error::Data(DataError::Unencodable { source, .. }) => format!("{error}: {source}"),
        _ => error.to_string(),
    }
}

fn done((): ()) -> Value {
    Value::Null
}

fn found(value: Option<impl Serialize>) -> Value {
    value.map_or_else(|| json!({"absent": true}), |value| json!({"value": value}))
}

/// A value that can't be written.
struct Unserializable;

impl Serialize for Unserializable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("refused"))
    }
}
