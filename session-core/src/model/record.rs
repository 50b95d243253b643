//! A session's row.

use std::sync::Arc;

use time::OffsetDateTime;

use super::data::Data;
use super::session_id::SessionId;
use super::token::{SealedToken, TokenHash};
use super::user_id::UserId;

/// A session's row, as stores keep it. All times are UTC in whole microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Which session.
    pub id: SessionId,
    /// Whose.
    pub user_id: UserId,
    /// The hash of the current token.
    pub token_hash: TokenHash,
    /// The hash of the token that the current one replaced.
    pub previous_token_hash: Option<TokenHash>,
    /// When the current token was issued: later than the one before, whatever the clocks say.
    pub token_issued_at: OffsetDateTime,
    /// Whether a request has presented the current token, so that the browser has it. Of no meaning without a previous one.
    pub token_seen: bool,
    /// The current token, for its predecessor alone to open, until it was presented.
    pub successor: Option<SealedToken>,
    /// When the token was last replaced by one that is no token's successor, so that all before it died at once.
    pub strict_rotated_at: Option<OffsetDateTime>,
    /// Who signed in. It never changes, so copies of a row share it.
    pub client: Arc<ClientInfo>,
    /// The session's values.
    pub data: Data,
    /// Which version of `data` it is: each change of it makes another one.
    pub version: i64,
    /// Whether the cookie outlives the browser session.
    pub persistent: bool,
    /// When the row was made.
    pub created_at: OffsetDateTime,
    /// When the user last proved who they are.
    pub authenticated_at: OffsetDateTime,
    /// The last recorded activity.
    pub last_active_at: OffsetDateTime,
    /// The earlier of the idle and the absolute end.
    pub expires_at: OffsetDateTime,
    /// The end that no activity moves.
    pub absolute_expires_at: OffsetDateTime,
}

/// What is recorded of the client at sign-in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// The client's address, or empty.
    pub ip_address: String,
    /// `User-Agent`, or empty.
    pub user_agent: String,
    /// Such as `Firefox on Linux`, or empty.
    pub device_name: String,
    /// `desktop`, `mobile`, `tablet` or `bot`, or empty.
    pub device_type: String,
    /// OS family and browser family, or empty.
    pub fingerprint: String,
}

impl Record {
    /// Whether a row is live at `now`.
    pub fn is_live(&self, now: OffsetDateTime) -> bool {
        self.expires_at > now
    }
}
