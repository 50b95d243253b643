//! The life of a token: what a presented token still counts for once its session's token was
//! rotated. Pure: no clock, no randomness, no I/O. Not here: sealing a successor, see
//! `model::token`. Stores judge by the same rules, in the step that changes the row.
//!
//! **C** is the row's current token, and **P** its previous one. C is *seen* once a request has
//! presented it. The grace begins when C is issued.
//!
//! | presented | signed in | the response brings | a rotation |
//! |---|---|---|---|
//! | C | yes; the first time, C is recorded as seen | – | makes a new token, sealed to C |
//! | P, C unseen, within the grace | yes | – | sends C's cookie again |
//! | P, C unseen, after the grace | yes | C's cookie again | sends C's cookie again |
//! | P, C seen, within the grace | yes | – | succeeds and sends nothing |
//! | P, C seen, after the grace | no | – | is a 401 |
//! | an older token | no | – | is a 401 |
//!
//! A request that is signed in reads, writes, lists and revokes. With every one of these tokens a
//! sign-out ends the row, and so does a sign-in, which makes a new row. A dead token's cookie is
//! left alone.
//!
//! C is *raised* if the user proved their identity again with its rotation or after it. A request
//! with P is then never sent C, and sees the session as it was at the sign-in ([`lowered`]).

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use crate::model::record::Record;
use crate::model::standing::Standing;
use crate::model::token::SessionToken;

/// How a request is admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Signed in.
    SignedIn,
    /// Signed in. The presentation of the token is to be recorded, as activity that is due.
    SignedInAndSeen,
    /// Signed in. The response sends the successor again.
    SignedInAndSent,
    /// As if there were no cookie.
    Anonymous,
}

/// What a rotation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rotation {
    /// Makes the token's successor.
    Issue,
    /// The successor exists already: sends it again.
    SendAgain,
    /// The successor has arrived: there is nothing to do.
    Nothing,
    /// The token is dead.
    Refuse,
}

impl Standing {
    /// How a request that presents the token is admitted.
    pub(crate) const fn admission(self) -> Admission {
        match self {
            Self::Current | Self::Awaiting | Self::InFlight => Admission::SignedIn,
            Self::FirstSeen => Admission::SignedInAndSeen,
            Self::Overdue => Admission::SignedInAndSent,
            Self::Dead => Admission::Anonymous,
        }
    }

    /// What a rotation of the token does.
    pub(crate) const fn rotation(self) -> Rotation {
        match self {
            Self::Current | Self::FirstSeen => Rotation::Issue,
            Self::Awaiting | Self::Overdue => Rotation::SendAgain,
            Self::InFlight => Rotation::Nothing,
            Self::Dead => Rotation::Refuse,
        }
    }

    /// Whether the token was replaced.
    pub(crate) const fn is_superseded(self) -> bool {
        match self {
            Self::Current | Self::FirstSeen => false,
            Self::Awaiting | Self::Overdue | Self::InFlight | Self::Dead => true,
        }
    }
}

/// The successor of `token` that `record` keeps, if it may be sent: one that was raised may not.
pub(crate) fn successor(token: &SessionToken, record: &Record) -> Option<SessionToken> {
    if is_raised(record) {
        return None;
    }
    token.open(record.successor.as_ref()?, &record.token_hash)
}

/// `record` as a token of this standing may see it: a superseded token doesn't carry what was
/// raised with its rotation or after it.
pub(crate) fn lowered(mut record: Arc<Record>, standing: Standing) -> Arc<Record> {
    if standing.is_superseded() && is_raised(&record) {
        let record = Arc::make_mut(&mut record);
        record.authenticated_at = record.created_at;
    }
    record
}

/// Whether a token of `record` that is dead was replaced long ago, so that its browser had the time
/// to store what it was replaced by. Visitors' tokens aren't replaced.
pub(crate) fn is_reuse(record: &Record, now: OffsetDateTime, grace: Duration) -> bool {
    now - record.token_issued_at >= grace && !record.user_id.is_visitor()
}

/// Whether the user proved their identity with the last rotation or after it.
fn is_raised(record: &Record) -> bool {
    record.authenticated_at >= record.token_issued_at
}

#[cfg(test)]
pub(crate) mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::model::data::Data;
    use crate::model::session_id::SessionId;
    use crate::model::user_id::Shard;
    use crate::model::user_id::UserId;
    use std::time::Duration;

    const SIGNED_IN: OffsetDateTime = datetime!(2030-01-01 0:00 UTC);
    const ROTATED: OffsetDateTime = datetime!(2030-01-02 0:00 UTC);
    const GRACE: Duration = Duration::from_secs(60);
    const SECOND: Duration = Duration::from_secs(1);

    fn token(seed: u8) -> SessionToken {
        SessionToken::from_parts(Shard::of("ada"), SessionId::from_bytes([1; 16]), [seed; 32])
    }

    /// A row whose token 1 was replaced by token 2.
    pub(crate) fn rotated(seen: bool) -> Record {
        Record {
            id: SessionId::from_bytes([1; 16]),
            user_id: UserId::parse("ada").unwrap(),
            token_hash: token(2).hash(),
            previous_token_hash: Some(token(1).hash()),
            token_issued_at: ROTATED,
            token_seen: seen,
            successor: (!seen).then(|| token(1).seal(&token(2))),
            strict_rotated_at: None,
            client: Arc::default(),
            data: Data::from_text("{}"),
            version: 0,
            persistent: true,
            created_at: SIGNED_IN,
            authenticated_at: SIGNED_IN,
            last_active_at: SIGNED_IN,
            expires_at: ROTATED,
            absolute_expires_at: ROTATED,
        }
    }

    fn standing(seed: u8, record: &Record, now: OffsetDateTime) -> Standing {
        Standing::of(&token(seed).hash(), record, now, GRACE)
    }

    #[test]
    fn the_edges_of_the_grace() {
        for (seen, before, after) in
            [(false, Standing::Awaiting, Standing::Overdue), (true, Standing::InFlight, Standing::Dead)]
        {
            let record = rotated(seen);
            assert_eq!(standing(1, &record, ROTATED), before);
            assert_eq!(standing(1, &record, ROTATED + GRACE - SECOND), before);
            assert_eq!(standing(1, &record, ROTATED + GRACE), after);
            assert_eq!(standing(1, &record, ROTATED + GRACE + SECOND), after);
            assert_eq!(standing(1, &record, ROTATED - GRACE), before, "by a clock that is behind");
            assert_eq!(standing(3, &record, ROTATED), Standing::Dead);
        }
    }

    #[test]
    fn a_current_token_is_seen_for_the_first_time_only_after_a_rotation() {
        assert_eq!(standing(2, &rotated(false), ROTATED), Standing::FirstSeen);
        assert_eq!(standing(2, &rotated(true), ROTATED + GRACE), Standing::Current);
        let never_rotated = Record { previous_token_hash: None, ..rotated(false) };
        assert_eq!(standing(2, &never_rotated, ROTATED), Standing::Current);
    }

    #[test]
    fn what_was_raised_is_neither_carried_nor_sent() {
        let record = rotated(false);
        assert!(successor(&token(1), &record).is_some_and(|sent| sent.hash() == token(2).hash()));
        assert!(successor(&token(2), &record).is_none() && successor(&token(3), &record).is_none());
        for authenticated_at in [ROTATED, ROTATED + SECOND] {
            let raised = Arc::new(Record { authenticated_at, ..record.clone() });
            assert!(successor(&token(1), &raised).is_none());
            for superseded in [Standing::Awaiting, Standing::Overdue, Standing::InFlight, Standing::Dead] {
                assert_eq!(lowered(Arc::clone(&raised), superseded).authenticated_at, SIGNED_IN);
            }
            assert_eq!(lowered(Arc::clone(&raised), Standing::Current).authenticated_at, authenticated_at);
        }
    }

    #[test]
    fn a_current_token_counts_before_a_superseded_one_of_its_session() {
        let mut all = [
            Standing::Dead,
            Standing::InFlight,
            Standing::Overdue,
            Standing::Awaiting,
            Standing::FirstSeen,
            Standing::Current,
        ];
        all.sort();
        assert!(!all[0].is_superseded() && !all[1].is_superseded() && all[5] == Standing::Dead);
    }
}
