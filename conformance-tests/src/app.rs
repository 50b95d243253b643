//! What the routes of every adapter do: run a script of session operations and answer what each gave.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};
use session_core::{CookieSession, CookieSessionService, Error, Result, SignIn};

use crate::gates::Gates;

/// What an adapter serves. A clone is the same.
#[derive(Debug, Clone)]
pub struct App {
    /// The service whose layer is around every route but the unlayered ones.
    pub service: CookieSessionService,
    /// Another service, of another cookie and store, for `/two-services`.
    pub second: CookieSessionService,
    /// Where scripts wait.
    pub gates: Gates,
}

/// A response, in no framework's terms.
#[derive(Debug, Clone)]
pub struct AppResponse {
    /// The status.
    pub status: u16,
    /// Lines to append.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

/// One operation of a script. Each gives one entry of `results`, `null` where there is nothing to give.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
enum Op {
    Current,
    IsAuthenticated,
    UserId,
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
    },
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
    /// A line of the response's head.
    Header {
        name: String,
        value: String,
    },
    /// On `/stream`: what follows runs after the head has left.
    Head,
    /// The handler panics.
    Panic,
    /// The handler answers the last operation's error, if it failed.
    Fail,
}

/// A script under way.
#[derive(Debug)]
pub struct Script {
    left: std::vec::IntoIter<Op>,
    results: Vec<Value>,
    failed: Option<Error>,
    status: u16,
    headers: Vec<(String, String)>,
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
        while script.step(self, session).await? {}
        Ok(script.response())
    }

    /// Runs the script up to `head`: the response, whose body is to be dropped, and the script for [`run_rest`](Self::run_rest).
    ///
    /// # Errors
    /// What the handler must answer as its framework's error response.
    ///
    /// # Panics
    /// If the body is no script.
    pub async fn run_head(&self, session: &CookieSession, body: &[u8]) -> Result<(AppResponse, Script)> {
        let mut script = Script::parse(body).expect("a script");
        while !script.left.as_slice().first().is_none_or(|op| matches!(op, Op::Head)) {
            script.step(self, session).await?;
        }
        Ok((script.response(), script))
    }

    /// Runs what is left: the body, with the results of the whole script.
    ///
    /// # Panics
    /// If the script has a `fail`, as the head has left.
    pub async fn run_rest(&self, session: &CookieSession, mut script: Script) -> String {
        while script.step(self, session).await.expect("no `fail` after the head") {}
        script.response().body
    }

    /// What `/optional` answers.
    pub fn optional(session: Option<&CookieSession>) -> AppResponse {
        Self::json(&json!({"some": session.is_some(), "user": session.and_then(CookieSession::user_id)}))
    }

    /// Any value as the response.
    ///
    /// # Panics
    /// If it can't be written.
    pub fn json(value: &impl Serialize) -> AppResponse {
        let body = serde_json::to_string(value).expect("a value that can be written");
        AppResponse { status: 200, headers: vec![("content-type".into(), "application/json".into())], body }
    }

    /// What the middleware of `/twice` does with the session that it extracts.
    ///
    /// # Panics
    /// If the session refuses it.
    pub fn mark(session: &CookieSession) {
        session.set("from_middleware", &1).expect("a small number");
    }
}

impl Script {
    fn parse(body: &[u8]) -> serde_json::Result<Self> {
        let ops: Vec<Op> = if body.is_empty() { Vec::new() } else { serde_json::from_slice(body)? };
        Ok(Self { left: ops.into_iter(), results: Vec::new(), failed: None, status: 200, headers: Vec::new() })
    }

    /// Runs the next operation, if there is one.
    async fn step(&mut self, app: &App, session: &CookieSession) -> Result<bool> {
        let Some(op) = self.left.next() else { return Ok(false) };
        match op {
            Op::Gate { name } => app.gates.pass(&name).await,
            Op::Status { code } => self.status = code,
            Op::Header { name, value } => self.headers.push((name, value)),
            Op::Head => {}
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
                    Err(error) => json!({"error": {"status": error.status(), "message": error.to_string()}}),
                });
                self.failed = result.err();
                return Ok(true);
            }
        }
        self.results.push(Value::Null);
        Ok(true)
    }

    fn response(&self) -> AppResponse {
        let mut response = App::json(&json!({"results": self.results}));
        response.status = self.status;
        if self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            response.headers.clear();
        }
        response.headers.extend(self.headers.iter().cloned());
        response
    }
}

/// One operation on the session.
async fn session_op(session: &CookieSession, op: Op) -> Result<Value> {
    match op {
        Op::Current => Ok(json!(session.current())),
        Op::IsAuthenticated => Ok(json!(session.is_authenticated())),
        Op::UserId => Ok(json!(session.user_id())),
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
        Op::AuthenticateOpts { user, data, browser_session } => {
            let options = SignIn::new().browser_session(browser_session);
            let options = match data {
                Some(data) => options.data(data),
                None => options,
            };
            session.authenticate_opts(&user, options).await.map(done)
        }
        Op::Save => session.save().await.map(done),
        Op::Reload => session.reload().await.map(done),
        Op::Rotate => session.rotate().await.map(done),
        Op::RotateStrict => session.rotate_strict().await.map(done),
        Op::Logout => session.logout().await.map(done),
        Op::LogoutAll => session.logout_all().await.map(done),
        Op::LogoutOther => session.logout_other().await.map(done),
        Op::ListMySessions => session.list_my_sessions().await.map(|sessions| json!(sessions)),
        Op::Revoke { id } => session.revoke(&id).await.map(done),
        Op::List { user } => session.list(&user).await.map(|sessions| json!(sessions)),
        Op::RevokeById { user, id } => session.revoke_by_id(&user, &id).await.map(done),
        Op::RevokeAll { user } => session.revoke_all(&user).await.map(done),
        Op::RevokeAllExcept { user, keep } => session.revoke_all_except(&user, &keep).await.map(done),
        Op::Gate { .. } | Op::Status { .. } | Op::Header { .. } | Op::Head | Op::Panic | Op::Fail => {
            unreachable!("no operation on the session")
        }
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
