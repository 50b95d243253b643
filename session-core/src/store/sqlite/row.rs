//! A record as columns and back. Leaves the data's JSON to whoever reads it.

use std::sync::Arc;

use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteRow};
use sqlx::{Decode, Row, Type};
use time::OffsetDateTime;

use super::fault;
use crate::error::StoreError;
use crate::session::{Data, Record, SessionId, UserId};
use crate::token::TokenHash;

pub(super) type Query = sqlx::query::Query<'static, Sqlite, SqliteArguments>;

/// Microseconds since 1970.
pub(super) fn micros(at: OffsetDateTime) -> i64 {
    // `OffsetDateTime` ends at the year 9999 unless a feature widens it: far from what an i64 holds.
    i64::try_from(at.unix_timestamp_nanos().div_euclid(1000)).unwrap_or(i64::MAX)
}

pub(super) fn blob(bytes: &[u8]) -> Vec<u8> {
    bytes.to_vec()
}

/// Binds all columns in the order of `statements`.
pub(super) fn bind(query: Query, row: &Record) -> Query {
    query
        .bind(blob(row.id.as_bytes()))
        .bind(blob(row.token_hash.as_bytes()))
        .bind(row.previous_token_hash.map(|hash| blob(hash.as_bytes())))
        .bind(micros(row.token_issued_at))
        .bind(row.token_seen)
        .bind(row.user_id.as_str().to_owned())
        .bind(row.ip_address.clone())
        .bind(row.user_agent.clone())
        .bind(row.device_name.clone())
        .bind(row.device_type.clone())
        .bind(row.fingerprint.clone())
        .bind(row.data.text().to_owned())
        .bind(row.version)
        .bind(row.persistent)
        .bind(micros(row.created_at))
        .bind(micros(row.authenticated_at))
        .bind(micros(row.last_active_at))
        .bind(micros(row.expires_at))
        .bind(micros(row.absolute_expires_at))
}

/// Reads a row that has all columns in the order of `statements`.
pub(super) fn record(row: &SqliteRow) -> Result<Arc<Record>, StoreError> {
    let id = id(row)?;
    let columns = Columns { row, id: Some(id) };
    let user_id: String = columns.get(5, "user_id")?;
    let previous: Option<Vec<u8>> = columns.get(2, "previous_token_hash")?;
    let previous_token_hash = match previous {
        Some(bytes) => Some(TokenHash::from_slice(&bytes).ok_or_else(|| columns.corrupt("previous_token_hash"))?),
        None => None,
    };
    Ok(Arc::new(Record {
        id,
        user_id: UserId::parse(&user_id).map_err(|_| columns.corrupt("user_id"))?,
        token_hash: columns.token(1, "token_hash")?,
        previous_token_hash,
        token_issued_at: columns.time(3, "token_issued_at")?,
        token_seen: columns.get(4, "token_seen")?,
        ip_address: columns.get(6, "ip_address")?,
        user_agent: columns.get(7, "user_agent")?,
        device_name: columns.get(8, "device_name")?,
        device_type: columns.get(9, "device_type")?,
        fingerprint: columns.get(10, "fingerprint")?,
        // What isn't UTF-8 isn't JSON either, and is told when it is read: the row can still be revoked.
        data: Data::from_text(String::from_utf8(columns.get(11, "data")?).unwrap_or_default()),
        version: columns.get(12, "version")?,
        persistent: columns.get(13, "persistent")?,
        created_at: columns.time(14, "created_at")?,
        authenticated_at: columns.time(15, "authenticated_at")?,
        last_active_at: columns.time(16, "last_active_at")?,
        expires_at: columns.time(17, "expires_at")?,
        absolute_expires_at: columns.time(18, "absolute_expires_at")?,
    }))
}

/// The token hash of a row that has all columns.
pub(super) fn token_hash(row: &SqliteRow) -> Option<TokenHash> {
    row.try_get::<Vec<u8>, _>(1).ok().and_then(|bytes| TokenHash::from_slice(&bytes))
}

/// The id in the first column.
pub(super) fn id(row: &SqliteRow) -> Result<SessionId, StoreError> {
    let bytes: Vec<u8> = Columns { row, id: None }.get(0, "id")?;
    let bytes = bytes.try_into().map_err(|_| StoreError::Corrupt { id: None, what: "id" })?;
    Ok(SessionId::from_bytes(bytes))
}

/// Version, expiry and token hash, as an update returns them.
pub(super) fn updated(row: &SqliteRow, id: SessionId) -> Result<(i64, OffsetDateTime, TokenHash), StoreError> {
    let columns = Columns { row, id: Some(id) };
    Ok((columns.get(0, "version")?, columns.time(1, "expires_at")?, columns.token(2, "token_hash")?))
}

/// Reads columns of one row, and names it where one can't be read.
struct Columns<'r> {
    row: &'r SqliteRow,
    id: Option<SessionId>,
}

impl<'r> Columns<'r> {
    fn corrupt(&self, what: &'static str) -> StoreError {
        StoreError::Corrupt { id: self.id, what }
    }

    fn get<T: Decode<'r, Sqlite> + Type<Sqlite>>(&self, index: usize, what: &'static str) -> Result<T, StoreError> {
        match self.row.try_get(index) {
            Err(sqlx::Error::ColumnDecode { .. }) => Err(self.corrupt(what)),
            Err(error) => Err(fault::before_commit(error)),
            Ok(value) => Ok(value),
        }
    }

    fn token(&self, index: usize, what: &'static str) -> Result<TokenHash, StoreError> {
        TokenHash::from_slice(&self.get::<Vec<u8>>(index, what)?).ok_or_else(|| self.corrupt(what))
    }

    fn time(&self, index: usize, what: &'static str) -> Result<OffsetDateTime, StoreError> {
        let micros: i64 = self.get(index, what)?;
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000).map_err(|_| self.corrupt(what))
    }
}
