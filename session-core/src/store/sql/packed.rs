//! Many rows as one, in JSON: for a database whose driver hands over each row by itself, from thread to thread, which takes longer
//! than to find it. Leaves what a row means to `row`.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use memchr::memchr_iter;
use serde::Deserialize;

use super::row::time;
use crate::error::StoreError;
use crate::model::data::Data;
use crate::model::record::{ClientInfo, Record};
use crate::model::session_id::SessionId;
use crate::model::token::{SealedToken, TokenHash};
use crate::model::user_id::UserId;

/// What to select of all rows, instead of columns: a line for each, that begins with its id. `json_array` writes no line end, and
/// escapes those in text. Of a row that doesn't go together with others, the id and the bytes of its data, which SQLite knows without
/// reading it. Null if there is no row.
pub(super) fn selected(is_large: &str) -> String {
    format!("group_concat(CASE WHEN {is_large} THEN json_array(hex(id), octet_length(data)) ELSE {ROW} END, '\n')")
}

/// A row.
const ROW: &str = "json_array(hex(id), hex(token_hash), hex(previous_token_hash), \
     token_issued_at, token_seen, user_id, ip_address, user_agent, device_name, device_type, fingerprint, data, version, persistent, \
     created_at, authenticated_at, last_active_at, expires_at, absolute_expires_at, hex(successor), strict_rotated_at)";

/// A row can't be read from many, or isn't what it should be: it has to be asked for by itself, to know why.
#[derive(Debug, thiserror::Error)]
#[error("a row of many can't be read")]
pub(super) struct Unreadable;

pub(super) fn unreadable() -> StoreError {
    StoreError::not_applied(Unreadable)
}

/// A row among others, which is read only where it is wanted: by many requests at once, instead of by one for all of them.
#[derive(Clone)]
pub(in crate::store) struct PackedRow {
    rows: Arc<[u8]>,
    line: Range<usize>,
}

/// What is said of a row.
pub(super) enum Line {
    Row(PackedRow),
    /// Only how many bytes of data it has.
    Large(usize),
}

/// The rows with their ids.
pub(super) fn rows(lines: &[u8]) -> Result<Vec<(SessionId, Line)>, StoreError> {
    let rows: Arc<[u8]> = lines.into();
    let mut found = Vec::new();
    let mut start = 0;
    for end in memchr_iter(b'\n', lines).chain([lines.len()]) {
        // After `["`.
        let id = lines.get(start + 2..start + 34).and_then(bytes).map(SessionId::from_bytes).ok_or_else(unreadable)?;
        let row = match large(&lines[start..end]) {
            Some(bytes) => Line::Large(bytes),
            None => Line::Row(PackedRow { rows: Arc::clone(&rows), line: start..end }),
        };
        found.push((id, row));
        start = end + 1;
    }
    Ok(found)
}

/// The bytes of data, if the line has nothing else after the id.
fn large(line: &[u8]) -> Option<usize> {
    let bytes = line.get(36..)?.strip_suffix(b"]")?;
    // Of any other line it is text in quotes.
    if bytes.starts_with(b"\"") { None } else { str::from_utf8(bytes).ok()?.parse().ok() }
}

impl PackedRow {
    pub(super) fn record(&self) -> Result<Arc<Record>, StoreError> {
        let row: Option<Packed<'_>> = serde_json::from_slice(&self.rows[self.line.clone()]).ok();
        row.and_then(Packed::record).ok_or_else(unreadable)
    }
}

/// A row in the order of [`ROW`].
#[derive(Deserialize)]
struct Packed<'a>(
    &'a str,
    &'a str,
    &'a str,
    i64,
    u8,
    #[serde(borrow)] Text<'a>,
    Text<'a>,
    Text<'a>,
    Text<'a>,
    Text<'a>,
    Text<'a>,
    Text<'a>,
    i64,
    u8,
    i64,
    i64,
    i64,
    i64,
    i64,
    &'a str,
    Option<i64>,
);

/// Borrowed, unless it holds escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Packed<'_> {
    fn record(self) -> Option<Arc<Record>> {
        let Self(
            id,
            token,
            previous,
            issued,
            seen,
            user,
            ip,
            agent,
            device,
            kind,
            print,
            data,
            version,
            persistent,
            created,
            authenticated,
            active,
            expires,
            absolute,
            successor,
            strict,
        ) = self;
        let previous_token_hash = match previous {
            "" => None,
            hex => Some(token_hash(hex)?),
        };
        let successor = match successor {
            "" => None,
            hex => Some(SealedToken::from_slice(&bytes::<32>(hex)?)?),
        };
        let strict_rotated_at = match strict {
            None => None,
            Some(micros) => Some(time(micros)?),
        };
        Some(Arc::new(Record {
            id: SessionId::from_bytes(bytes(id)?),
            user_id: UserId::parse(&user.0).ok()?,
            token_hash: token_hash(token)?,
            previous_token_hash,
            token_issued_at: time(issued)?,
            token_seen: seen != 0,
            successor,
            strict_rotated_at,
            client: Arc::new(ClientInfo {
                ip_address: ip.0.into_owned(),
                user_agent: agent.0.into_owned(),
                device_name: device.0.into_owned(),
                device_type: kind.0.into_owned(),
                fingerprint: print.0.into_owned(),
            }),
            data: Data::from_text(data.0),
            version,
            persistent: persistent != 0,
            created_at: time(created)?,
            authenticated_at: time(authenticated)?,
            last_active_at: time(active)?,
            expires_at: time(expires)?,
            absolute_expires_at: time(absolute)?,
        }))
    }
}

fn token_hash(text: impl AsRef<[u8]>) -> Option<TokenHash> {
    TokenHash::from_slice(&bytes::<32>(text)?)
}

/// So many bytes in hexadecimal.
fn bytes<const N: usize>(text: impl AsRef<[u8]>) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}
