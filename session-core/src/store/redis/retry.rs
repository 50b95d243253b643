//! Sends a command, and sends it again where that is safe. One deadline covers the connection and
//! every attempt. Until then it tries again
//! 1. what the server refused for now: it is loading, or runs another script, or was the primary
//!    until a moment ago;
//! 2. what failed with its connection, and a connection that could not be opened. The command may
//!    have been carried out, but commands are such that a second time has no effect;
//! 3. what has no answer in time on a connection that had been silent before, for then the network
//!    may have dropped the connection. That happens once: the next attempt waits until the
//!    deadline.
//!
//! Not here: what a script does, see `scripts`.

use std::time::Duration;

use redis::{Cmd, RedisError, Value};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::connection::{Connection, Connections, NoConnection};
use super::error::{Meaning, RedisFailure, meaning};
use super::scripts::Script;
use crate::error::StoreError;

/// A connection that was heard within this time is trusted.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// How long a read waits on a connection that isn't trusted.
const READ_ANSWER_TIMEOUT: Duration = Duration::from_millis(300);

/// How long a change waits there.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// A change waits for at least this part of the store's `query_timeout` before it is asked again.
const PATIENT: u32 = 16;

/// The longest pause between two attempts, in milliseconds.
const LONGEST_PAUSE: u64 = 320;

/// Longer than any request waits, and short enough to add to the clock.
const MAX_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);

/// What to send.
pub(super) struct Request {
    command: Cmd,
    /// If the command calls a script.
    script: Option<&'static Script>,
    is_read: bool,
}

impl Request {
    /// A command that changes nothing.
    pub(super) const fn read(command: Cmd) -> Self {
        Self { command, script: None, is_read: true }
    }

    /// A call of a script with its keys and arguments.
    pub(super) fn call(script: &'static Script, keys: &[&[u8]], args: &[&[u8]]) -> Self {
        let bytes: usize = keys.iter().chain(args).map(|part| part.len()).sum();
        let mut command = Cmd::with_capacity(3 + keys.len() + args.len(), 64 + bytes);
        command.arg("EVALSHA").arg(script.hash()).arg(keys.len());
        for part in keys.iter().chain(args) {
            command.arg(*part);
        }
        Self { command, script: Some(script), is_read: script.is_read() }
    }

    /// The call of the script with its text, for a server that doesn't have it.
    fn with_text(&self, script: &Script) -> Cmd {
        let mut command = Cmd::new();
        command.arg("EVAL").arg(script.text());
        for part in self.command.args_iter().skip(2) {
            if let redis::Arg::Simple(part) = part {
                command.arg(part);
            }
        }
        command
    }
}

/// An answer, and whether an earlier attempt may have been carried out too.
pub(super) struct Answer {
    pub(super) value: Value,
    pub(super) is_repeated: bool,
}

/// The server took too long.
#[derive(Debug, thiserror::Error)]
#[error("the Redis server did not answer in time")]
struct ServerTimeout;

/// When an operation that begins now must end.
fn deadline(query_timeout: Duration) -> Instant {
    Instant::now() + query_timeout.min(MAX_TIMEOUT)
}

/// Sends the request until it is answered, or the time is over.
pub(super) async fn run(
    connections: &Connections,
    request: &Request,
    query_timeout: Duration,
) -> Result<Answer, StoreError> {
    let deadline = deadline(query_timeout);
    let (mut may_be_done, mut is_patient, mut failures) = (false, false, 0u32);
    let failed = |error: RedisError, may_be_done: bool| match may_be_done {
        true => StoreError::unknown(RedisFailure::from(error)),
        false => StoreError::not_applied(RedisFailure::from(error)),
    };
    let late = |may_be_done: bool| match may_be_done {
        true => StoreError::unknown(ServerTimeout),
        false => StoreError::not_applied(ServerTimeout),
    };
    loop {
        let error = match attempt(connections, request, failures, deadline, is_patient, query_timeout).await {
            Attempt::Answered(value) => return Ok(Answer { value, is_repeated: may_be_done }),
            Attempt::Silent => {
                is_patient = true;
                may_be_done |= !request.is_read;
                continue;
            }
            Attempt::TooLate => return Err(late(may_be_done || !request.is_read)),
            Attempt::NotConnected if Instant::now() >= deadline => return Err(late(may_be_done)),
            Attempt::NotConnected => {
                failures += 1;
                continue;
            }
            Attempt::Failed(error) => error,
        };
        match meaning(&error) {
            Meaning::Refused | Meaning::Unreachable => {}
            Meaning::Lost => may_be_done |= !request.is_read,
            Meaning::Final => return Err(failed(error, may_be_done)),
        }
        // A connection that died while it was idle is replaced at once. After that the server may
        // be starting.
        let pause = match failures {
            0 => 0,
            more => (10 << more.min(5)).min(LONGEST_PAUSE),
        };
        failures += 1;
        let wake = Instant::now() + Duration::from_millis(pause);
        if wake >= deadline {
            return Err(failed(error, may_be_done));
        }
        if pause > 0 {
            sleep_until(wake).await;
        }
    }
}

enum Attempt {
    Answered(Value),
    Failed(RedisError),
    /// No answer within the time that this attempt waits for one.
    Silent,
    /// The operation's time is over.
    TooLate,
    /// No connection could be opened in time.
    NotConnected,
}

async fn attempt(
    connections: &Connections,
    request: &Request,
    failures: u32,
    deadline: Instant,
    is_patient: bool,
    query_timeout: Duration,
) -> Attempt {
    let connection = match connections.get(failures, deadline).await {
        Ok(connection) => connection,
        Err(NoConnection::Failed(error)) => return Attempt::Failed(error),
        Err(NoConnection::TooLate) => return Attempt::NotConnected,
    };
    let silence = match request.is_read {
        true => READ_ANSWER_TIMEOUT,
        // A store that is told to be patient isn't quick to ask again.
        false => ANSWER_TIMEOUT.max(query_timeout / PATIENT),
    };
    let is_trusted = is_patient || connection.heard().elapsed() <= TRUSTED_FOR;
    let silence = (!is_trusted).then_some(silence);
    let outcome = match asked(&connection, &request.command, silence, deadline).await {
        Ok(Err(error)) if is_missing_script(&error) && request.script.is_some() => {
            let script = request.script.expect("asked for above");
            asked(&connection, &request.with_text(script), silence, deadline).await
        }
        outcome => outcome,
    };
    match outcome {
        Ok(Ok(value)) => Attempt::Answered(value),
        Ok(Err(error)) => {
            // After a failure that isn't this command's alone another connection is better: this
            // one may be to a server that is no longer the primary.
            if meaning(&error) != Meaning::Final {
                connections.discard(&connection);
            }
            Attempt::Failed(error)
        }
        Err(silent) => {
            connections.discard(&connection);
            silent
        }
    }
}

/// Asks, and waits until the deadline; or, if `silence` is given, for as long as the server answers
/// anything on the connection.
async fn asked(
    connection: &Connection,
    command: &Cmd,
    silence: Option<Duration>,
    deadline: Instant,
) -> Result<Result<Value, RedisError>, Attempt> {
    let mut asking = std::pin::pin!(connection.ask(command));
    let Some(silence) = silence else { return timeout_at(deadline, asking).await.map_err(|_| Attempt::TooLate) };
    loop {
        let heard = connection.heard();
        let limit = (Instant::now() + silence).min(deadline);
        if let Ok(answer) = timeout_at(limit, &mut asking).await {
            return Ok(answer);
        }
        if Instant::now() >= deadline {
            return Err(Attempt::TooLate);
        }
        if connection.heard() == heard {
            return Err(Attempt::Silent);
        }
    }
}

fn is_missing_script(error: &RedisError) -> bool {
    error.kind() == redis::ErrorKind::Server(redis::ServerErrorKind::NoScript)
}
