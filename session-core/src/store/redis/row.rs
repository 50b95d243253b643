//! A session's row as one value: first what operations change, at fixed places, which the scripts
//! know too; then what never changes; then the data. Not here: changing it, see `scripts`.
//!
//! | bytes, from 0 | what |
//! |---|---|
//! | 0 | the format, 1 |
//! | 1 | whether the token was presented |
//! | 2 to 33 | the token's hash |
//! | 34 to 66 | 1 and the hash of the previous token, or zeros |
//! | 67 to 99 | 1 and the sealed successor, or zeros |
//! | 100 to 107 | when the token was issued |
//! | 108 to 116 | 1 and the time of the last strict rotation, or zeros |
//! | 117 to 124 | the version of the data |
//! | 125 to 132 | the last activity |
//! | 133 to 140 | when the session expires |
//! | 141 to 164 | the absolute end, when the row was made, when the user signed in |
//! | 165 | whether the cookie is persistent |
//! | 166 to 169 | where the data begins |
//! | 170, and as many bytes as it says | the user's id |
//! | then | five texts about the client, each after four bytes with its length |
//! | then | what later releases add, which this one keeps |
//! | to the end | the data |
//!
//! Numbers have the highest byte first. A time is in microseconds since 1970, plus 2^63, so that
//! times are in order as unsigned numbers.

use std::sync::Arc;

use time::OffsetDateTime;

use crate::error::StoreError;
use crate::model::data::Data;
use crate::model::record::{ClientInfo, Record};
use crate::model::session_id::SessionId;
use crate::model::token::{SealedToken, TokenHash};
use crate::model::user_id::UserId;
use crate::store::micros::{micros, time};

/// The format of rows.
const FORMAT: u8 = 1;

/// Where the data's place stands.
const DATA_AT: usize = 166;

/// What is added to a time.
const TIME_OFFSET: u64 = 1 << 63;

/// A time as the row has it.
pub(super) fn time_bytes(at: OffsetDateTime) -> [u8; 8] {
    (micros(at).cast_unsigned() ^ TIME_OFFSET).to_be_bytes()
}

/// The inverse of [`time_bytes`].
pub(super) fn time_of(bytes: [u8; 8]) -> Option<OffsetDateTime> {
    time((u64::from_be_bytes(bytes) ^ TIME_OFFSET).cast_signed())
}

/// The row as a value.
pub(super) fn encode(row: &Record) -> Vec<u8> {
    let texts = texts(&row.client);
    let user = row.user_id.as_str().as_bytes();
    let data_at = DATA_AT + 5 + user.len() + texts.iter().map(|text| 4 + text.len()).sum::<usize>();
    let data = row.data.text().as_bytes();
    let mut value = Vec::with_capacity(data_at + data.len());
    value.extend_from_slice(&[FORMAT, u8::from(row.token_seen)]);
    value.extend_from_slice(row.token_hash.as_bytes());
    push_optional(&mut value, row.previous_token_hash.as_ref().map(TokenHash::as_bytes));
    push_optional(&mut value, row.successor.as_ref().map(SealedToken::as_bytes));
    value.extend_from_slice(&time_bytes(row.token_issued_at));
    push_optional(&mut value, row.strict_rotated_at.map(time_bytes).as_ref());
    value.extend_from_slice(&row.version.to_be_bytes());
    for at in [row.last_active_at, row.expires_at, row.absolute_expires_at, row.created_at, row.authenticated_at] {
        value.extend_from_slice(&time_bytes(at));
    }
    value.push(u8::from(row.persistent));
    value.extend_from_slice(&length(data_at));
    value.push(u8::try_from(user.len()).expect("a user id has at most 255 bytes"));
    value.extend_from_slice(user);
    for text in texts {
        value.extend_from_slice(&length(text.len()));
        value.extend_from_slice(text.as_bytes());
    }
    value.extend_from_slice(data);
    value
}

fn texts(client: &ClientInfo) -> [&str; 5] {
    [&client.ip_address, &client.user_agent, &client.device_name, &client.device_type, &client.fingerprint]
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).expect("a row is far below 4 GiB").to_be_bytes()
}

fn push_optional<const N: usize>(value: &mut Vec<u8>, bytes: Option<&[u8; N]>) {
    value.push(u8::from(bytes.is_some()));
    value.extend_from_slice(bytes.unwrap_or(&[0; N]));
}

/// The row of this id. The error says which part can't be read.
pub(super) fn decode(id: SessionId, value: &[u8]) -> Result<Arc<Record>, StoreError> {
    let mut parts = Parts { id, rest: value };
    if parts.byte("format")? != FORMAT {
        return Err(parts.corrupt("format"));
    }
    let token_seen = parts.flag("token_seen")?;
    let token_hash = hash(parts.array("token_hash")?);
    let previous_token_hash = parts.optional("previous_token_hash")?.map(hash);
    let successor = parts.optional("successor")?.map(sealed);
    let token_issued_at = parts.time("token_issued_at")?;
    let strict_rotated_at = match parts.optional("strict_rotated_at")? {
        Some(bytes) => Some(time_of(bytes).ok_or_else(|| parts.corrupt("strict_rotated_at"))?),
        None => None,
    };
    let version = i64::from_be_bytes(parts.array("version")?);
    let last_active_at = parts.time("last_active_at")?;
    let expires_at = parts.time("expires_at")?;
    let absolute_expires_at = parts.time("absolute_expires_at")?;
    let created_at = parts.time("created_at")?;
    let authenticated_at = parts.time("authenticated_at")?;
    let persistent = parts.flag("persistent")?;
    let data_at = parts.length("data")?;
    let user = usize::from(parts.byte("user_id")?);
    let user_id = UserId::parse(parts.text(user, "user_id")?).map_err(|_| parts.corrupt("user_id"))?;
    let client = Arc::new(ClientInfo {
        ip_address: parts.long_text("ip_address")?,
        user_agent: parts.long_text("user_agent")?,
        device_name: parts.long_text("device_name")?,
        device_type: parts.long_text("device_type")?,
        fingerprint: parts.long_text("fingerprint")?,
    });
    // What is before the data and not read yet is of a later release.
    let read = value.len() - parts.rest.len();
    let data = value.get(data_at..).filter(|_| data_at >= read).ok_or_else(|| parts.corrupt("data"))?;
    Ok(Arc::new(Record {
        id,
        user_id,
        token_hash,
        previous_token_hash,
        token_issued_at,
        token_seen,
        successor,
        strict_rotated_at,
        client,
        // Data that isn't UTF-8 isn't JSON either, and reading it fails; but the session can still
        // be revoked.
        data: Data::from_text(str::from_utf8(data).unwrap_or_default()),
        version,
        persistent,
        created_at,
        authenticated_at,
        last_active_at,
        expires_at,
        absolute_expires_at,
    }))
}

fn hash(bytes: [u8; 32]) -> TokenHash {
    TokenHash::from_slice(&bytes).expect("32 bytes")
}

fn sealed(bytes: [u8; 32]) -> SealedToken {
    SealedToken::from_slice(&bytes).expect("32 bytes")
}

/// What of a value isn't read yet.
struct Parts<'v> {
    id: SessionId,
    rest: &'v [u8],
}

impl<'v> Parts<'v> {
    const fn corrupt(&self, what: &'static str) -> StoreError {
        StoreError::Corrupt { id: Some(self.id), what }
    }

    fn take(&mut self, length: usize, what: &'static str) -> Result<&'v [u8], StoreError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or_else(|| self.corrupt(what))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], StoreError> {
        Ok(self.take(N, what)?.try_into().expect("as many bytes as were asked for"))
    }

    fn byte(&mut self, what: &'static str) -> Result<u8, StoreError> {
        Ok(u8::from_be_bytes(self.array(what)?))
    }

    fn flag(&mut self, what: &'static str) -> Result<bool, StoreError> {
        match self.byte(what)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.corrupt(what)),
        }
    }

    fn time(&mut self, what: &'static str) -> Result<OffsetDateTime, StoreError> {
        let bytes = self.array(what)?;
        time_of(bytes).ok_or_else(|| self.corrupt(what))
    }

    fn length(&mut self, what: &'static str) -> Result<usize, StoreError> {
        let length = u32::from_be_bytes(self.array(what)?);
        usize::try_from(length).map_err(|_| self.corrupt(what))
    }

    fn text(&mut self, length: usize, what: &'static str) -> Result<&'v str, StoreError> {
        let bytes = self.take(length, what)?;
        str::from_utf8(bytes).map_err(|_| self.corrupt(what))
    }

    fn long_text(&mut self, what: &'static str) -> Result<String, StoreError> {
        let length = self.length(what)?;
        Ok(self.text(length, what)?.to_owned())
    }

    /// Bytes after one that says whether they mean anything.
    fn optional<const N: usize>(&mut self, what: &'static str) -> Result<Option<[u8; N]>, StoreError> {
        let is_some = self.flag(what)?;
        let bytes = self.array(what)?;
        Ok(is_some.then_some(bytes))
    }
}

#[cfg(test)]
mod tests;
