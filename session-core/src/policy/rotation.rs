//! The life of a token: what a presented one still counts for, once and after its session's token was rotated. Pure: no clock, no
//! randomness, no I/O. Not here: sealing a successor (see `model::token`), and the store's part, which checks the same in its own step.
//!
//! **C** is the row's current token, **P** its previous one. C is *seen* once a request has presented it. The grace is counted from
//! when C was issued.
//!
//! | presented | reads, writes, lists, revokes | its response | rotates | signs out | signs in |
//! |---|---|---|---|---|---|
//! | C | yes; the first time after a rotation it is recorded as seen | – | a new token, sealed to C; its cookie | the row ends | the row ends; a new row |
//! | P, C unseen, in the grace | yes | – | succeeds; C's cookie again | the same | the same |
//! | P, C unseen, after the grace | yes | C's cookie again | the same | the same | the same |
//! | P, C seen, in the grace | yes | – | succeeds; no cookie | the same | the same |
//! | P, C seen, after the grace; an older token | no: nobody is signed in, and the cookie is left alone | – | 401 | the same | the same |
//!
//! C is *raised* if the user has proved again who they are with its rotation or after it. Then P is never sent it, and reads the
//! session as it was signed in ([`lowered`]).

use std::sync::Arc;

use crate::model::record::Record;
use crate::model::standing::Standing;
use crate::model::token::SessionToken;

/// What a request is in for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Signed in.
    SignedIn,
    /// Signed in; that the token was presented is to be recorded, as due activity.
    SignedInAndSeen,
    /// Signed in; its response brings the successor once more.
    SignedInAndSent,
    /// As without a cookie.
    Anonymous,
}

/// What a rotation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rotation {
    /// Makes the token's successor.
    Issue,
    /// The successor is there already: sends it again.
    SendAgain,
    /// The successor has arrived: there is nothing to do.
    Nothing,
    /// The token is dead.
    Refuse,
}

impl Standing {
    /// How a request is admitted that presents it.
    pub(crate) const fn admission(self) -> Admission {
        match self {
            Self::Current | Self::Awaiting | Self::InFlight => Admission::SignedIn,
            Self::FirstSeen => Admission::SignedInAndSeen,
            Self::Overdue => Admission::SignedInAndSent,
            Self::Dead => Admission::Anonymous,
        }
    }

    /// What a rotation by it does.
    pub(crate) const fn rotation(self) -> Rotation {
        match self {
            Self::Current | Self::FirstSeen => Rotation::Issue,
            Self::Awaiting | Self::Overdue => Rotation::SendAgain,
            Self::InFlight => Rotation::Nothing,
            Self::Dead => Rotation::Refuse,
        }
    }

    /// Whether it is one that was replaced.
    pub(crate) const fn is_superseded(self) -> bool {
        match self {
            Self::Current | Self::FirstSeen => false,
            Self::Awaiting | Self::Overdue | Self::InFlight | Self::Dead => true,
        }
    }
}

/// The successor of `token` that `record` keeps for it, if it may be sent: never one that was raised since.
pub(crate) fn successor(token: &SessionToken, record: &Record) -> Option<SessionToken> {
    if is_raised(record) {
        return None;
    }
    token.open(record.successor.as_ref()?, &record.token_hash)
}

/// `record` as a token of this standing may see it: a superseded one doesn't carry what was raised with or after its rotation.
pub(crate) fn lowered(mut record: Arc<Record>, standing: Standing) -> Arc<Record> {
    if standing.is_superseded() && is_raised(&record) {
        let record = Arc::make_mut(&mut record);
        record.authenticated_at = record.created_at;
    }
    record
}

/// Whether the user has proved who they are with the last rotation or after it.
fn is_raised(record: &Record) -> bool {
    record.authenticated_at >= record.token_issued_at
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use std::time::Duration;

    use time::OffsetDateTime;

    use super::*;
    use crate::model::data::Data;
    use crate::model::session_id::SessionId;
    use crate::model::user_id::Shard;
    use crate::model::user_id::UserId;

    const SIGNED_IN: OffsetDateTime = datetime!(2030-01-01 0:00 UTC);
    const ROTATED: OffsetDateTime = datetime!(2030-01-02 0:00 UTC);
    const GRACE: Duration = Duration::from_secs(60);
    const SECOND: Duration = Duration::from_secs(1);

    fn token(seed: u8) -> SessionToken {
        SessionToken::from_parts(Shard::of("ada"), SessionId::from_bytes([1; 16]), [seed; 32])
    }

    /// A row whose token 1 was replaced by token 2.
    fn rotated(seen: bool) -> Record {
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
