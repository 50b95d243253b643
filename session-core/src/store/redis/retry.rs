//! Sends a command, and sends it again where that is safe. One deadline covers the connection and
//! every attempt. Until then it tries again
//! 1. what the server refused for now: it is loading, or runs another script, or was the primary
//!    until a moment ago, or has another server's slots;
//! 2. what failed with its connection, and a connection that could not be opened. The command may
//!    have been carried out, but commands are such that a second time has no effect;
//! 3. what has no answer in time on a connection that had been silent before, for then the network
//!    may have dropped the connection. That happens once: the next attempt waits until the
//!    deadline.
//!
//! Not here: what a script does, see `scripts`.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::Duration;

use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::connection::{Connection, Connections, NoConnection, Node, WAITING_LANES};
use super::error::{Meaning, RedisFailure, meaning};
use super::keys::{Keys, Tag};
use super::nodes::{Nodes, redirected};
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

/// How long a key lives that is written before replicas are waited for: a day in milliseconds.
const MARKER_LIVES_FOR: u32 = 24 * 3600 * 1000;

/// Longer than any request waits, and short enough to add to the clock.
const MAX_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);

/// What to send.
pub(super) struct Request {
    command: Cmd,
    /// Where its keys lie.
    tag: Tag,
    /// If the command calls a script.
    script: Option<&'static Script>,
    is_read: bool,
    /// Whether replicas must have it.
    is_kept: bool,
    /// A key that lies with its keys, to be written before replicas are waited for.
    marker: Vec<u8>,
}

impl Request {
    /// A command that changes nothing.
    pub(super) const fn read(tag: Tag, command: Cmd) -> Self {
        Self { command, tag, script: None, is_read: true, is_kept: false, marker: Vec::new() }
    }

    /// A call of a script with its keys, which all have the tag in a cluster, and its arguments.
    pub(super) fn call(tag: Tag, script: &'static Script, keys: &[&[u8]], args: &[&[u8]]) -> Self {
        let bytes: usize = keys.iter().chain(args).map(|part| part.len()).sum();
        let mut command = Cmd::with_capacity(3 + keys.len() + args.len(), 64 + bytes);
        command.arg("EVALSHA").arg(script.hash()).arg(keys.len());
        for part in keys.iter().chain(args) {
            command.arg(*part);
        }
        Self { command, tag, script: Some(script), is_read: script.is_read(), is_kept: false, marker: Vec::new() }
    }

    /// The same, of which a failover must undo nothing: it isn't done before replicas have it.
    pub(super) fn kept(self, keys: &Keys, is_kept: bool) -> Self {
        let marker = if is_kept { keys.probe(self.tag, b'w') } else { Vec::new() };
        Self { is_kept, marker, ..self }
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

/// What to wait for before an end of a session or a new token counts as done.
#[derive(Debug)]
pub(super) struct Replicas {
    /// How many must have it; none for no wait.
    count: AtomicU32,
    timeout: Duration,
    next_lane: AtomicU8,
}

impl Replicas {
    pub(super) fn new(count: u32, timeout: Duration) -> Self {
        Self { count: AtomicU32::new(count), timeout, next_lane: AtomicU8::new(0) }
    }

    pub(super) fn wait_for(&self, count: u32) {
        self.count.store(count, Ordering::Relaxed);
    }
}

/// The server took too long.
#[derive(Debug, thiserror::Error)]
#[error("the Redis server did not answer in time")]
struct ServerTimeout;

/// Too few replicas have a change.
#[derive(Debug, thiserror::Error)]
#[error(
    "the change was made, but {reached} of {count} replicas confirmed it in time, so a failover could undo it: \
     see `RedisOptions::wait_for_replicas`"
)]
struct NotReplicated {
    reached: i64,
    count: u32,
}

/// Sends the request until it is answered, or the time is over.
pub(super) async fn run(
    connections: &Connections,
    nodes: &Nodes,
    replicas: &Replicas,
    request: &Request,
    query_timeout: Duration,
) -> Result<Answer, StoreError> {
    let deadline = Instant::now() + query_timeout.min(MAX_TIMEOUT);
    let mut attempt = Attempt {
        connections,
        nodes,
        replicas,
        request,
        deadline,
        query_timeout,
        is_patient: false,
        failures: 0,
        ask: None,
    };
    let mut may_be_done = false;
    let failed = |error: RedisError, may_be_done: bool| match may_be_done {
        true => StoreError::unknown(RedisFailure::from(error)),
        false => StoreError::not_applied(RedisFailure::from(error)),
    };
    let late = |may_be_done: bool| match may_be_done {
        true => StoreError::unknown(ServerTimeout),
        false => StoreError::not_applied(ServerTimeout),
    };
    loop {
        let (mut node, version) = nodes.of(request.tag);
        // A server that has closed its connections may be the primary no more, and still answer
        // reads.
        if let Some(known) = node.clone().filter(|known| nodes.is_led_by_sentinels() && !connections.has_open(known)) {
            if let Err(failure) = nodes.look_again(connections, version, deadline).await {
                let failure = RedisFailure::from(failure);
                tracing::warn!("no Sentinel says which Redis server is the primary, so {known} is tried: {failure}");
            }
            node = nodes.of(request.tag).0;
        }
        let outcome = match attempt.ask.take().or(node) {
            Some(node) => attempt.run(&node).await,
            None => Outcome::Nowhere,
        };
        let mut error = None;
        match outcome {
            Outcome::Answered(value) => return Ok(Answer { value, is_repeated: may_be_done }),
            Outcome::NotReplicated(failed) => return Err(StoreError::unknown(failed)),
            Outcome::TooLate => return Err(late(may_be_done || !request.is_read)),
            Outcome::Silent => {
                attempt.is_patient = true;
                may_be_done |= !request.is_read;
            }
            Outcome::NotConnected | Outcome::Nowhere | Outcome::Redirected => {}
            Outcome::NotOpened(failure) if meaning(&failure) == Meaning::Final => {
                return Err(failed(failure, may_be_done));
            }
            // Nothing was sent.
            Outcome::NotOpened(failure) => error = Some(failure),
            Outcome::Failed(failure) => {
                match meaning(&failure) {
                    Meaning::Refused | Meaning::Unreachable => {}
                    Meaning::Lost => may_be_done |= !request.is_read,
                    Meaning::Final => return Err(failed(failure, may_be_done)),
                }
                error = Some(failure);
            }
        }
        if nodes.can_move() && attempt.ask.is_none() {
            match nodes.look_again(connections, version, deadline).await {
                Err(failure) if meaning(&failure) == Meaning::Final => return Err(failed(failure, may_be_done)),
                Err(failure) => error = error.or(Some(failure)),
                Ok(()) => {}
            }
        }
        // A connection that died while it was idle is replaced at once, and a server that has the
        // keys is asked at once. After that a server may be starting.
        let pause = match attempt.failures {
            0 => 0,
            more => (10 << more.min(5)).min(LONGEST_PAUSE),
        };
        attempt.failures += 1;
        let wake = Instant::now() + Duration::from_millis(pause);
        if wake >= deadline {
            return Err(error.map_or_else(|| late(may_be_done), |error| failed(error, may_be_done)));
        }
        if pause > 0 {
            sleep_until(wake).await;
        }
    }
}

/// What an attempt needs to know.
struct Attempt<'a> {
    connections: &'a Connections,
    nodes: &'a Nodes,
    replicas: &'a Replicas,
    request: &'a Request,
    deadline: Instant,
    query_timeout: Duration,
    /// Whether it waits for an answer until the deadline.
    is_patient: bool,
    /// How often the request has failed.
    failures: u32,
    /// A server that has some of the keys of a slot that is on its way to it.
    ask: Option<Node>,
}

enum Outcome {
    Answered(Value),
    NotReplicated(NotReplicated),
    Failed(RedisError),
    /// Another server has the keys.
    Redirected,
    /// No answer within the time that this attempt waits for one.
    Silent,
    /// The operation's time is over.
    TooLate,
    /// No connection could be opened.
    NotOpened(RedisError),
    /// No connection could be opened in time.
    NotConnected,
    /// No server is known that has the keys.
    Nowhere,
}

impl Attempt<'_> {
    async fn run(&mut self, node: &Node) -> Outcome {
        let count = self.replicas.count.load(Ordering::Relaxed);
        let count = if self.request.is_kept { count } else { 0 };
        let lane = match count {
            0 => 0,
            _ => 1 + self.replicas.next_lane.fetch_add(1, Ordering::Relaxed) % WAITING_LANES,
        };
        let connection = match self.connections.get(node, lane, self.failures, self.deadline).await {
            Ok(connection) => connection,
            Err(NoConnection::Failed(error)) => return Outcome::NotOpened(error),
            Err(NoConnection::TooLate) => return Outcome::NotConnected,
        };
        let (own, version) = self.nodes.of(self.request.tag);
        let is_on_its_way = self.nodes.is_cluster() && own.as_ref() != Some(node) && version > 0;
        let outcome = match self.asked(&connection, &self.request.command, is_on_its_way, count).await {
            Ok((Err(error), _)) if is_missing_script(&error) && self.request.script.is_some() => {
                let script = self.request.script.expect("asked for above");
                self.asked(&connection, &self.request.with_text(script), is_on_its_way, count).await
            }
            outcome => outcome,
        };
        match outcome {
            Ok((Ok(_), Some(reached))) if reached < i64::from(count) => {
                Outcome::NotReplicated(NotReplicated { reached, count })
            }
            Ok((Ok(value), _)) => Outcome::Answered(value),
            Ok((Err(error), _))
                if error.kind() == ErrorKind::Server(ServerErrorKind::Ask)
                    && !self.request.script.is_some_and(Script::needs_all) =>
            {
                self.ask = redirected(&error, node);
                Outcome::Redirected
            }
            Ok((Err(error), _)) if error.kind() == ErrorKind::Server(ServerErrorKind::Moved) => {
                match self.nodes.is_cluster() {
                    true => Outcome::Redirected,
                    false => Outcome::Failed(error),
                }
            }
            Ok((Err(error), _)) => {
                // After a failure that isn't this command's alone another connection is better:
                // this one may be to a server that is no longer the primary.
                let is_read_only = error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly);
                if is_read_only || meaning(&error) == Meaning::Lost {
                    self.connections.discard(&connection);
                }
                Outcome::Failed(error)
            }
            Err(silent) => {
                self.connections.discard(&connection);
                silent
            }
        }
    }

    /// Asks, and waits until the deadline; or, on a connection that isn't trusted, for as long as
    /// the server answers anything on it. The number is of the replicas that have the change.
    async fn asked(
        &self,
        connection: &Connection,
        command: &Cmd,
        is_on_its_way: bool,
        count: u32,
    ) -> Result<(RedisResult<Value>, Option<i64>), Outcome> {
        let mut asking = std::pin::pin!(self.sent(connection, command, is_on_its_way, count));
        if self.is_patient {
            return timeout_at(self.deadline, asking).await.map_err(|_| Outcome::TooLate);
        }
        let silence = match self.request.is_read {
            true => READ_ANSWER_TIMEOUT,
            // A store that is told to be patient isn't quick to ask again, and replicas have their
            // time too.
            false => {
                let replicas = if count > 0 { self.replicas.timeout } else { Duration::ZERO };
                ANSWER_TIMEOUT.max(self.query_timeout / PATIENT) + replicas
            }
        };
        loop {
            let heard = connection.heard();
            let limit = (Instant::now() + silence).min(self.deadline);
            if let Ok(answer) = timeout_at(limit, &mut asking).await {
                return Ok(answer);
            }
            if Instant::now() >= self.deadline {
                return Err(Outcome::TooLate);
            }
            if connection.heard() == heard && heard.elapsed() > TRUSTED_FOR {
                return Err(Outcome::Silent);
            }
        }
    }

    async fn sent(
        &self,
        connection: &Connection,
        command: &Cmd,
        is_on_its_way: bool,
        count: u32,
    ) -> (RedisResult<Value>, Option<i64>) {
        if !is_on_its_way && count == 0 {
            return (connection.ask(command).await, None);
        }
        let mut commands = vec![command.clone()];
        if count > 0 {
            // The server waits for what this connection has written, and the command may find its
            // work done. So something is written in any case.
            let mut touch = Cmd::new();
            touch.arg("PEXPIRE").arg(&self.request.marker).arg(MARKER_LIVES_FOR);
            commands.extend([touch, self.wait(count)]);
        }
        let mut answers = match connection.ask_all(&piped(commands, is_on_its_way)).await {
            Ok(answers) => answers,
            Err(error) => return (Err(error), None),
        };
        let mut reached = None;
        if count > 0 {
            reached = number(answers.pop());
            if number(answers.pop()) != Some(1) {
                // There was no marker yet.
                let mut mark = Cmd::new();
                mark.arg("SET").arg(&self.request.marker).arg("").arg("PX").arg(MARKER_LIVES_FOR);
                let marked = connection.ask_all(&piped(vec![mark, self.wait(count)], is_on_its_way)).await;
                reached = match marked.ok().map(|mut answers| (answers.pop(), answers.pop())) {
                    Some((waited, Some(Ok(_)))) => number(waited),
                    _ => Some(0),
                };
            }
            // A user who may not wait can't know.
            reached = reached.or(Some(0));
        }
        let answer = answers.pop().unwrap_or_else(|| Err(RedisError::from((ErrorKind::Parse, "no answer"))));
        (answer, reached)
    }

    fn wait(&self, count: u32) -> Cmd {
        let mut wait = Cmd::new();
        wait.arg("WAIT").arg(count).arg(u64::try_from(self.replicas.timeout.as_millis()).unwrap_or(u64::MAX).max(1));
        wait
    }
}

/// These commands, one directly after the other; each with leave to meet keys that are on their way
/// to the server.
fn piped(commands: Vec<Cmd>, is_on_its_way: bool) -> Pipeline {
    let mut piped = Pipeline::new();
    piped.ignore_errors();
    for command in commands {
        if is_on_its_way {
            piped.cmd("ASKING").ignore();
        }
        piped.add_command(command);
    }
    piped
}

fn number(answer: Option<RedisResult<Value>>) -> Option<i64> {
    match answer {
        Some(Ok(Value::Int(number))) => Some(number),
        _ => None,
    }
}

fn is_missing_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}
