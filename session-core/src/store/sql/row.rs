//! Converts a record to columns and back, and has the values that statements take. Not here: the
//! data's JSON, which is decoded when it is read.

use std::sync::Arc;

use time::OffsetDateTime;

use crate::error::StoreError;
use crate::model::data::Data;
use crate::model::record::{ClientInfo, Record};
use crate::model::session_id::SessionId;
use crate::model::token::{SealedToken, TokenHash};
use crate::model::user_id::UserId;
use crate::store::micros::{micros, time};

/// An argument of a statement. Each kind has its own null, because databases want to know a null's
/// type too.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) enum Arg<'a> {
    Int(Option<i64>),
    Bytes(Option<&'a [u8]>),
    Text(Option<&'a str>),
    Flag(bool),
}

impl<'a> Arg<'a> {
    pub(super) fn text(user: &'a UserId) -> Self {
        Self::Text(Some(user.as_str()))
    }

    pub(in crate::store) fn time(at: OffsetDateTime) -> Self {
        Self::Int(Some(micros(at)))
    }
}

/// A row of a result.
pub(in crate::store) trait Columns: Send + Sync {
    fn int(&self, index: usize) -> Result<i64, Unreadable>;
    fn maybe_int(&self, index: usize) -> Result<Option<i64>, Unreadable>;
    fn flag(&self, index: usize) -> Result<bool, Unreadable>;
    /// Text columns too, as UTF-8.
    fn bytes(&self, index: usize) -> Result<Option<&[u8]>, Unreadable>;
}

/// The result of a statement that changes rows.
pub(in crate::store) struct WriteResult<R> {
    /// The rows that it returned.
    pub(in crate::store) rows: Vec<R>,
    /// How many rows it changed.
    pub(in crate::store) count: u64,
    /// The number that it returned, where rows aren't returned.
    pub(in crate::store) last_insert_id: i64,
    /// Whether it was sent before, and may have been carried out then.
    pub(in crate::store) is_repeated: bool,
}

impl<R> WriteResult<R> {
    /// For a statement that returns each row that it changes.
    #[cfg(any(feature = "postgres", feature = "sqlite-unbundled"))]
    pub(in crate::store) fn of(rows: Vec<R>) -> Self {
        Self { count: rows.len() as u64, rows, last_insert_id: 0, is_repeated: false }
    }
}

/// Why a column can't be read.
#[derive(Debug)]
pub(in crate::store) enum Unreadable {
    /// Its content isn't a valid value.
    Content,
    /// The column doesn't exist, or has another type.
    Schema(StoreError),
}

impl Unreadable {
    pub(in crate::store) fn of(error: sqlx::Error, failed: impl FnOnce(sqlx::Error) -> StoreError) -> Self {
        match error {
            sqlx::Error::ColumnDecode { .. } => Self::Content,
            error => Self::Schema(failed(error)),
        }
    }
}

/// All columns, in the order of `statements`.
pub(super) fn args(row: &Record) -> Vec<Arg<'_>> {
    let text = |text| Arg::Text(Some(text));
    vec![
        Arg::Bytes(Some(row.id.as_bytes())),
        Arg::Bytes(Some(row.token_hash.as_bytes())),
        Arg::Bytes(row.previous_token_hash.as_ref().map(|hash| &hash.as_bytes()[..])),
        Arg::time(row.token_issued_at),
        Arg::Flag(row.token_seen),
        Arg::text(&row.user_id),
        text(row.client.ip_address.as_str()),
        text(row.client.user_agent.as_str()),
        text(row.client.device_name.as_str()),
        text(row.client.device_type.as_str()),
        text(row.client.fingerprint.as_str()),
        text(row.data.text()),
        Arg::Int(Some(row.version)),
        Arg::Flag(row.persistent),
        Arg::time(row.created_at),
        Arg::time(row.authenticated_at),
        Arg::time(row.last_active_at),
        Arg::time(row.expires_at),
        Arg::time(row.absolute_expires_at),
        Arg::Bytes(row.successor.as_ref().map(|sealed| &sealed.as_bytes()[..])),
        Arg::Int(row.strict_rotated_at.map(micros)),
    ]
}

/// Reads a row that has all columns in the order of `statements`.
pub(super) fn record(row: &impl Columns) -> Result<Arc<Record>, StoreError> {
    let id = id(row)?;
    let columns = Named { row, id: Some(id) };
    let previous_token_hash = match columns.bytes(2, "previous_token_hash")? {
        Some(bytes) => Some(TokenHash::from_slice(bytes).ok_or_else(|| columns.corrupt("previous_token_hash"))?),
        None => None,
    };
    let successor = match columns.bytes(19, "successor")? {
        Some(bytes) => Some(SealedToken::from_slice(bytes).ok_or_else(|| columns.corrupt("successor"))?),
        None => None,
    };
    let strict_rotated_at = match columns.of(row.maybe_int(20), "strict_rotated_at")? {
        Some(micros) => Some(time(micros).ok_or_else(|| columns.corrupt("strict_rotated_at"))?),
        None => None,
    };
    Ok(Arc::new(Record {
        id,
        user_id: UserId::parse(columns.text(5, "user_id")?).map_err(|_| columns.corrupt("user_id"))?,
        token_hash: columns.token(1, "token_hash")?,
        previous_token_hash,
        token_issued_at: columns.time(3, "token_issued_at")?,
        token_seen: columns.of(row.flag(4), "token_seen")?,
        successor,
        strict_rotated_at,
        client: Arc::new(ClientInfo {
            ip_address: columns.text(6, "ip_address")?.to_owned(),
            user_agent: columns.text(7, "user_agent")?.to_owned(),
            device_name: columns.text(8, "device_name")?.to_owned(),
            device_type: columns.text(9, "device_type")?.to_owned(),
            fingerprint: columns.text(10, "fingerprint")?.to_owned(),
        }),
        // Data that isn't UTF-8 isn't JSON either, and reading it fails; but the session can still
        // be revoked.
        data: Data::from_text(str::from_utf8(columns.some(11, "data")?).unwrap_or_default()),
        version: columns.of(row.int(12), "version")?,
        persistent: columns.of(row.flag(13), "persistent")?,
        created_at: columns.time(14, "created_at")?,
        authenticated_at: columns.time(15, "authenticated_at")?,
        last_active_at: columns.time(16, "last_active_at")?,
        expires_at: columns.time(17, "expires_at")?,
        absolute_expires_at: columns.time(18, "absolute_expires_at")?,
    }))
}

/// The id in the first column.
pub(super) fn id(row: &impl Columns) -> Result<SessionId, StoreError> {
    let bytes = Named { row, id: None }.some(0, "id")?;
    let bytes = bytes.try_into().map_err(|_| StoreError::Corrupt { id: None, what: "id" })?;
    Ok(SessionId::from_bytes(bytes))
}

/// The expiry that an update returns: in a row, or where rows aren't returned as its number.
pub(super) fn expires_at<R: Columns>(written: &WriteResult<R>, id: SessionId) -> Result<OffsetDateTime, StoreError> {
    match written.rows.first() {
        Some(row) => Named { row, id: Some(id) }.time(0, "expires_at"),
        None => time(written.last_insert_id).ok_or(StoreError::Corrupt { id: Some(id), what: "expires_at" }),
    }
}

/// The expiry in the second column, after the id.
pub(super) fn expires_at_of(row: &impl Columns, id: SessionId) -> Result<OffsetDateTime, StoreError> {
    Named { row, id: Some(id) }.time(1, "expires_at")
}

/// A user's id, or null.
pub(super) fn user(row: &impl Columns, index: usize) -> Result<Option<String>, StoreError> {
    let columns = Named { row, id: None };
    let Some(bytes) = columns.bytes(index, "user_id")? else { return Ok(None) };
    str::from_utf8(bytes).map(|user| Some(user.to_owned())).map_err(|_| columns.corrupt("user_id"))
}

/// The time in the first column.
pub(super) fn server_time(row: &impl Columns) -> Result<OffsetDateTime, StoreError> {
    Named { row, id: None }.time(0, "the server's time")
}

/// Reads columns of one row, and names the row in errors.
struct Named<'r, R> {
    row: &'r R,
    id: Option<SessionId>,
}

impl<'r, R: Columns> Named<'r, R> {
    const fn corrupt(&self, what: &'static str) -> StoreError {
        StoreError::Corrupt { id: self.id, what }
    }

    fn of<T>(&self, value: Result<T, Unreadable>, what: &'static str) -> Result<T, StoreError> {
        value.map_err(|error| match error {
            Unreadable::Content => self.corrupt(what),
            Unreadable::Schema(error) => error,
        })
    }

    fn text(&self, index: usize, what: &'static str) -> Result<&'r str, StoreError> {
        str::from_utf8(self.some(index, what)?).map_err(|_| self.corrupt(what))
    }

    fn bytes(&self, index: usize, what: &'static str) -> Result<Option<&'r [u8]>, StoreError> {
        self.of(self.row.bytes(index), what)
    }

    fn some(&self, index: usize, what: &'static str) -> Result<&'r [u8], StoreError> {
        self.bytes(index, what)?.ok_or_else(|| self.corrupt(what))
    }

    fn token(&self, index: usize, what: &'static str) -> Result<TokenHash, StoreError> {
        TokenHash::from_slice(self.some(index, what)?).ok_or_else(|| self.corrupt(what))
    }

    fn time(&self, index: usize, what: &'static str) -> Result<OffsetDateTime, StoreError> {
        let micros = self.of(self.row.int(index), what)?;
        time(micros).ok_or_else(|| self.corrupt(what))
    }
}

/// Whether this is the caller's row. Such results hold it among the rows that the caller would end.
pub(super) fn is_caller(row: &impl Columns, id: SessionId) -> Result<bool, StoreError> {
    Named { row, id: Some(id) }.of(row.flag(1), "is_caller")
}
