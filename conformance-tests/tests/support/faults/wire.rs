//! What a client asks of a database server, read off the wire: where one message ends, and which
//! statement it has run. Not here: passing on, see `proxy`.

use std::collections::HashMap;

use bytes::{Buf, Bytes, BytesMut};

use super::programs::Kind;

/// What a client and its server speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Postgres,
    MariaDb,
    Redis,
}

impl From<Kind> for Protocol {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Postgres => Self::Postgres,
            Kind::MariaDb => Self::MariaDb,
        }
    }
}

/// What one connection has said so far.
pub(super) struct Wire {
    protocol: Protocol,
    /// PostgreSQL: a message without a type has begun the session.
    started: bool,
    /// PostgreSQL: the statement that the next execution runs.
    bound: Bytes,
    /// PostgreSQL: something was said since the last request to answer.
    asking: bool,
    /// MariaDB: the statement that is being prepared.
    preparing: Option<String>,
    prepared: HashMap<Bytes, String>,
    in_transaction: bool,
}

/// One message of a client.
pub(super) struct Message {
    pub(super) bytes: Bytes,
    /// Its statement ends a change: a commit, or a change that is its own transaction.
    pub(super) ends_a_change: bool,
    /// The server answers once it has read this.
    pub(super) is_complete: bool,
    /// Asks for nothing but an answer.
    pub(super) is_ping: bool,
}

impl Wire {
    pub(super) fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            started: false,
            bound: Bytes::new(),
            asking: false,
            preparing: None,
            prepared: HashMap::new(),
            in_transaction: false,
        }
    }

    /// The next message of the client, if it is there to its end.
    pub(super) fn next(&mut self, inbox: &mut BytesMut) -> Option<Message> {
        match self.protocol {
            Protocol::Postgres => self.next_of_postgres(inbox),
            Protocol::MariaDb => self.next_of_mariadb(inbox),
            Protocol::Redis => next_of_redis(inbox),
        }
    }

    fn next_of_postgres(&mut self, inbox: &mut BytesMut) -> Option<Message> {
        // The first message has no type.
        let head = usize::from(self.started);
        let length = inbox.get(head..head + 4)?;
        let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
        if inbox.len() < head + length {
            return None;
        }
        let bytes = inbox.split_to(head + length).freeze();
        let mut body = bytes.slice(head + 4..);
        let mut statement = None;
        match bytes[0] {
            // A refused request for TLS is followed by another first message.
            _ if !self.started => self.started = body[..] != 80_877_103_u32.to_be_bytes(),
            b'Q' => statement = Some(text(&body)),
            b'P' => {
                let name = zero_ended(&mut body);
                self.prepared.insert(name, text(&zero_ended(&mut body)));
            }
            b'B' => {
                zero_ended(&mut body);
                self.bound = zero_ended(&mut body);
            }
            b'E' => statement = self.prepared.get(&self.bound).cloned(),
            _ => {}
        }
        let is_complete = matches!(bytes[0], b'Q' | b'S');
        let is_ping = !std::mem::replace(&mut self.asking, !is_complete) && bytes[0] == b'S';
        let ends_a_change = statement.is_some_and(|statement| self.ends_a_change(&statement));
        Some(Message { bytes, ends_a_change, is_complete, is_ping })
    }

    fn next_of_mariadb(&mut self, inbox: &mut BytesMut) -> Option<Message> {
        let head = inbox.get(..4)?;
        let length = 4 + usize::from(head[0]) + (usize::from(head[1]) << 8) + (usize::from(head[2]) << 16);
        // Commands are numbered from zero, the messages of a beginning session aren't.
        let is_command = head[3] == 0;
        if inbox.len() < length {
            return None;
        }
        let bytes = inbox.split_to(length).freeze();
        let statement = match bytes.get(4) {
            Some(3) if is_command => Some(text(&bytes[5..])),
            Some(22) if is_command => {
                self.preparing = Some(text(&bytes[5..]));
                None
            }
            Some(23) if is_command => self.prepared.get(&bytes[5..9]).cloned(),
            _ => None,
        };
        let ends_a_change = statement.is_some_and(|statement| self.ends_a_change(&statement));
        let is_ping = is_command && bytes.get(4) == Some(&14);
        Some(Message { bytes, ends_a_change, is_complete: true, is_ping })
    }

    /// Notes what the server answers: MariaDB numbers the statements that it has prepared.
    pub(super) fn answered(&mut self, answer: &[u8]) {
        if let Some(number) = answer.get(5..9)
            && answer[4] == 0
            && let Some(statement) = self.preparing.take()
        {
            self.prepared.insert(Bytes::copy_from_slice(number), statement);
        }
    }

    fn ends_a_change(&mut self, statement: &str) -> bool {
        let starts = |words: &[&str]| words.iter().any(|word| statement.starts_with(word));
        // MariaDB's isolation level stands before it.
        if starts(&["BEGIN"]) || statement.ends_with("START TRANSACTION") {
            self.in_transaction = true;
            false
        } else if starts(&["COMMIT", "ROLLBACK"]) {
            std::mem::take(&mut self.in_transaction) && starts(&["COMMIT"])
        } else {
            !self.in_transaction && starts(&["INSERT", "UPDATE", "DELETE"])
        }
    }
}

/// A command is an array of texts: `*2`, then for each text `$3` and the text, each with a line break.
fn next_of_redis(inbox: &mut BytesMut) -> Option<Message> {
    let number = |at: usize| {
        let length = inbox.get(at..)?.windows(2).position(|end| end == b"\r\n")?;
        let number: usize = str::from_utf8(&inbox[at + 1..at + length]).ok()?.parse().expect("a number");
        Some((number, at + length + 2))
    };
    let (parts, mut end) = number(0)?;
    let mut command = String::new();
    for part in 0..parts {
        let (length, start) = number(end)?;
        end = start + length + 2;
        if part == 0 {
            command = text(inbox.get(start..start + length)?);
        }
    }
    if inbox.len() < end {
        return None;
    }
    let bytes = inbox.split_to(end).freeze();
    Some(Message { bytes, ends_a_change: command.starts_with("EVAL"), is_complete: true, is_ping: command == "PING" })
}

/// Bytes up to a zero, which is taken too.
fn zero_ended(body: &mut Bytes) -> Bytes {
    let end = body.iter().position(|byte| *byte == 0).expect("text that ends");
    let text = body.split_to(end);
    body.advance(1);
    text
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
