//! What scripts answer: a word, and then what belongs to it.

use std::sync::Arc;

use redis::Value;
use time::OffsetDateTime;

use super::row;
use crate::error::StoreError;
use crate::model::record::Record;
use crate::model::session_id::SessionId;

/// The server answers something else than its version of the protocol has.
#[derive(Debug, thiserror::Error)]
#[error("the Redis server's answer isn't one of this store's scripts")]
struct NotUnderstood;

pub(super) fn not_understood() -> StoreError {
    StoreError::unknown(NotUnderstood)
}

/// The answer of a script.
pub(super) struct Reply {
    parts: Vec<Value>,
}

impl Reply {
    pub(super) fn of(value: Value) -> Result<Self, StoreError> {
        match value {
            Value::Array(parts) if !parts.is_empty() => Ok(Self { parts }),
            _ => Err(not_understood()),
        }
    }

    /// Its word.
    pub(super) fn what(&self) -> &str {
        match &self.parts[0] {
            Value::BulkString(word) => str::from_utf8(word).unwrap_or_default(),
            Value::SimpleString(word) => word,
            _ => "",
        }
    }

    fn bytes(&self, place: usize) -> Result<&[u8], StoreError> {
        match self.parts.get(place) {
            Some(Value::BulkString(bytes)) => Ok(bytes),
            _ => Err(not_understood()),
        }
    }

    /// The number after the word.
    pub(super) fn number(&self) -> Result<i64, StoreError> {
        match self.parts.get(1) {
            Some(Value::Int(number)) => Ok(*number),
            _ => Err(not_understood()),
        }
    }

    /// The expiry after the word, of this session.
    pub(super) fn time(&self, id: SessionId) -> Result<OffsetDateTime, StoreError> {
        let bytes = self.bytes(1)?.try_into().map_err(|_| not_understood())?;
        row::time_of(bytes).ok_or(StoreError::Corrupt { id: Some(id), what: "expires_at" })
    }

    /// The row after the word, of this session.
    pub(super) fn row(&self, id: SessionId) -> Result<Arc<Record>, StoreError> {
        row::decode(id, self.bytes(1)?)
    }

    /// All ids after the word.
    pub(super) fn ids(&self) -> Result<Vec<SessionId>, StoreError> {
        (1..self.parts.len()).map(|place| self.id(place)).collect()
    }

    fn id(&self, place: usize) -> Result<SessionId, StoreError> {
        let bytes = self.bytes(place)?.try_into().map_err(|_| StoreError::Corrupt { id: None, what: "id" })?;
        Ok(SessionId::from_bytes(bytes))
    }

    /// All rows after the word, each after its id.
    pub(super) fn rows(&self) -> Result<Vec<Arc<Record>>, StoreError> {
        (1..self.parts.len()).step_by(2).map(|place| row::decode(self.id(place)?, self.bytes(place + 1)?)).collect()
    }
}

/// An answer of numbers alone.
pub(super) fn numbers(value: Value) -> Result<Vec<i64>, StoreError> {
    let Value::Array(parts) = value else { return Err(not_understood()) };
    parts
        .into_iter()
        .map(|part| match part {
            Value::Int(number) => Ok(number),
            _ => Err(not_understood()),
        })
        .collect()
}

/// The answer to `TIME`: seconds since 1970, and microseconds, as texts.
pub(super) fn server_time(value: Value) -> Result<OffsetDateTime, StoreError> {
    let (seconds, micros): (i64, u32) = redis::from_redis_value(value).map_err(|_| not_understood())?;
    let at = OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| not_understood())?;
    at.replace_microsecond(micros).map_err(|_| not_understood())
}
