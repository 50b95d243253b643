//! What a presented token is to its session's row. Pure: the time is passed in. Not here: what it
//! still counts for, see `policy::rotation`.

use std::time::Duration;

use time::OffsetDateTime;

use crate::model::record::Record;
use crate::model::token::TokenHash;

/// What a presented token is to its session's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// The current token.
    Current,
    /// The current token, presented for the first time since it replaced the previous one.
    FirstSeen,
    /// The previous token. Its successor hasn't been presented yet and may still be on its way.
    Awaiting,
    /// The previous token, whose successor wasn't presented within the grace: its response may be
    /// lost.
    Overdue,
    /// The previous token, within the grace, though its successor has been presented: the request
    /// was probably sent before that.
    InFlight,
    /// An older token, or the previous one after the grace.
    Dead,
}

impl Record {
    /// Whether `token` counts at `now`. It does if it is the row's current token. The row's
    /// previous token counts as long as the current one hasn't been presented, or was issued less
    /// than `grace` ago.
    pub fn accepts(&self, token: &TokenHash, now: OffsetDateTime, grace: Duration) -> bool {
        Standing::of(token, self, now, grace) != Standing::Dead
    }
}

impl Standing {
    /// What the token of this hash is to `record` at `now`.
    pub(crate) fn of(token: &TokenHash, record: &Record, now: OffsetDateTime, grace: Duration) -> Self {
        let is_current = record.token_hash.is_same(token);
        let is_previous = record.previous_token_hash.as_ref().is_some_and(|previous| previous.is_same(token));
        let was_rotated = record.previous_token_hash.is_some();
        let in_grace = now - record.token_issued_at < grace;
        match (is_current, is_previous, was_rotated && !record.token_seen, in_grace) {
            (true, _, false, _) => Self::Current,
            (true, _, true, _) => Self::FirstSeen,
            (false, true, true, true) => Self::Awaiting,
            (false, true, true, false) => Self::Overdue,
            (false, true, false, true) => Self::InFlight,
            (false, true, false, false) | (false, false, _, _) => Self::Dead,
        }
    }
}
