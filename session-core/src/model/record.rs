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
    /// When the current token was issued. Always later than for the token before, whatever the
    /// clocks say.
    pub token_issued_at: OffsetDateTime,
    /// Whether a request has presented the current token, which shows that the browser has it.
    /// Without a previous token this means nothing.
    pub token_seen: bool,
    /// The current token, sealed so that only its predecessor opens it. None once it was presented.
    pub successor: Option<SealedToken>,
    /// When the last strict rotation was: its new token is no token's successor, and all tokens
    /// before it died at once.
    pub strict_rotated_at: Option<OffsetDateTime>,
    /// The client that signed in. It never changes, so copies of a row share it.
    pub client: Arc<ClientInfo>,
    /// The session's values.
    pub data: Data,
    /// The version of `data`. Each change of `data` makes another one.
    pub version: i64,
    /// Whether the cookie outlives the browser session.
    pub persistent: bool,
    /// When the row was made.
    pub created_at: OffsetDateTime,
    /// When the user last proved their identity.
    pub authenticated_at: OffsetDateTime,
    /// The last recorded activity.
    pub last_active_at: OffsetDateTime,
    /// When the session expires: the idle or the absolute end, whichever is earlier.
    pub expires_at: OffsetDateTime,
    /// The absolute end, which no activity moves.
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
    /// `desktop`, `mobile`, `tablet` or another [kind](crate::Device::kind), or empty.
    pub device_type: String,
    /// OS family and browser family by the rules of the first release, such as `Linux/Firefox`, or
    /// empty. Fingerprints of other rules begin with their version and a colon. It counts only
    /// where `user_agent` is empty.
    pub fingerprint: String,
}

impl Record {
    /// Whether a row is live at `now`.
    pub fn is_live(&self, now: OffsetDateTime) -> bool {
        self.expires_at > now
    }
}
