//! Many rows as one, in JSON, for a database whose driver passes each row between threads
//! separately, which takes longer than finding it. Not here: what a row means, see `row`.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use memchr::memchr_iter;
use serde::Deserialize;

use crate::error::StoreError;
use crate::model::data::Data;
use crate::model::record::{ClientInfo, Record};
use crate::model::session_id::SessionId;
use crate::model::token::{SealedToken, TokenHash};
use crate::model::user_id::UserId;
use crate::store::micros::time;

/// What to select instead of columns: one value with a line for each row, which begins with the
/// row's id. `json_array` writes no line end, and escapes those in text. A row that is too large
/// for a batch has only the id and the size of its data, which SQLite knows without reading the
/// data. The value is null if there is no row.
pub(in crate::store::sql) fn selected(is_large: &str) -> String {
    format!("group_concat(CASE WHEN {is_large} THEN json_array(hex(id), octet_length(data)) ELSE {ROW} END, '\n')")
}

/// The columns of a row.
const ROW: &str = "json_array(hex(id), hex(token_hash), hex(previous_token_hash), \
     token_issued_at, token_seen, user_id, ip_address, user_agent, device_name, device_type, fingerprint, data, version, persistent, \
     created_at, authenticated_at, last_active_at, expires_at, absolute_expires_at, hex(successor), strict_rotated_at)";

/// A row of many can't be read, or isn't what it should be. Reading that row in a statement of its
/// own shows why.
#[derive(Debug, thiserror::Error)]
#[error("a row of many can't be read")]
pub(in crate::store::sql) struct Unreadable;

pub(in crate::store::sql) fn unreadable() -> StoreError {
    StoreError::not_applied(Unreadable)
}

/// A row among others, parsed only by the request that wants it, so that many threads share the
/// work.
#[derive(Clone)]
pub(in crate::store) struct JsonRow {
    rows: Arc<[u8]>,
    line: Range<usize>,
}

/// A line of the result.
pub(in crate::store::sql) enum Line {
    Row(JsonRow),
    /// The row is too large for a batch: how many bytes of data it has.
    Large(usize),
}

/// The rows with their ids.
pub(in crate::store::sql) fn rows(lines: &[u8]) -> Result<Vec<(SessionId, Line)>, StoreError> {
    let rows: Arc<[u8]> = lines.into();
    let mut found = Vec::new();
    let mut start = 0;
    for end in memchr_iter(b'\n', lines).chain([lines.len()]) {
        // After `["`.
        let id = lines.get(start + 2..start + 34).and_then(bytes).map(SessionId::from_bytes).ok_or_else(unreadable)?;
        let row = match large(&lines[start..end]) {
            Some(bytes) => Line::Large(bytes),
            None => Line::Row(JsonRow { rows: Arc::clone(&rows), line: start..end }),
        };
        found.push((id, row));
        start = end + 1;
    }
    Ok(found)
}

/// The size of the data, if the line has nothing else after the id.
fn large(line: &[u8]) -> Option<usize> {
    let bytes = line.get(36..)?.strip_suffix(b"]")?;
    // In any other line a quoted text follows.
    if bytes.starts_with(b"\"") { None } else { str::from_utf8(bytes).ok()?.parse().ok() }
}

impl JsonRow {
    pub(in crate::store::sql) fn record(&self) -> Result<Arc<Record>, StoreError> {
        let row: Option<JsonColumns<'_>> = serde_json::from_slice(&self.rows[self.line.clone()]).ok();
        row.and_then(JsonColumns::record).ok_or_else(unreadable)
    }
}

/// A row in the order of [`ROW`].
#[derive(Deserialize)]
struct JsonColumns<'a>(
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

/// Borrowed, unless it has escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl JsonColumns<'_> {
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

/// `N` bytes from hexadecimal.
fn bytes<const N: usize>(text: impl AsRef<[u8]>) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}
