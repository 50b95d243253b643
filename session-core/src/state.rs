//! All transitions of one request's session, and what each state means for the cookie. Pure: no clock, no randomness, no
//! I/O. Leaves asking the store to `cookie_session` and writing headers to `adapter`.
//!
//! | state | came from | cookie |
//! |---|---|---|
//! | `Anonymous` | no live token in the request | left alone |
//! | `Carried` | the request's own live token | left alone |
//! | `Issued` | a sign-in or rotation in this request | sent |
//! | `SignedOut` | a sign-out in this request | removed, if the request had one |
//! | `Ended` | found ended by someone else | left alone |

use std::sync::Arc;

use time::OffsetDateTime;

use crate::data::View;
use crate::session::{Record, SessionId};
use crate::store::{Activity, Caller, Replaced};
use crate::token::{SessionToken, TokenHash};

/// Where a request's session stands.
#[derive(Debug)]
pub(crate) enum State {
    Anonymous,
    Carried(Active),
    Issued(Active, SessionToken),
    SignedOut,
    Ended,
}

/// A session that this request holds.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) record: Arc<Record>,
    /// The hash of the token this request holds, which another request may have replaced since.
    token: TokenHash,
    /// When this request got hold of it: that is the activity (ASVS 5.0 7.3.1).
    pub(crate) extracted_at: OffsetDateTime,
    pub(crate) view: View,
}

/// What has happened, once the store has confirmed it.
#[derive(Debug)]
pub(crate) enum Did {
    SignIn {
        record: Arc<Record>,
        token: SessionToken,
    },
    Rotate {
        id: SessionId,
        token: SessionToken,
        at: OffsetDateTime,
        expires_at: OffsetDateTime,
    },
    /// Ended this session, or, with none, all that the request could have held.
    SignOut(Option<SessionId>),
    /// The store says that this session isn't live.
    FindEnded(SessionId),
}

/// What the response does with the cookie.
#[derive(Debug)]
pub(crate) enum CookieAction<'a> {
    LeaveAlone,
    Send { token: &'a SessionToken, record: &'a Record },
    Remove,
}

impl State {
    pub(crate) fn next(self, did: Did) -> Self {
        match (self, did) {
            // A sign-in replaces whatever was there; the last one counts.
            (
                Self::Anonymous | Self::Carried(_) | Self::Issued(..) | Self::SignedOut | Self::Ended,
                Did::SignIn { record, token },
            ) => {
                let now = record.authenticated_at;
                Self::Issued(Active::of(record, now), token)
            }

            (Self::Carried(active) | Self::Issued(active, _), Did::Rotate { id, token, at, expires_at })
                if active.record.id == id =>
            {
                Self::Issued(active.rotated(&token, at, expires_at), token)
            }
            // A rotation of a session that this request no longer holds changes nothing here.
            (
                state @ (Self::Anonymous | Self::Carried(_) | Self::Issued(..) | Self::SignedOut | Self::Ended),
                Did::Rotate { .. },
            ) => state,

            (
                Self::Anonymous | Self::Carried(_) | Self::Issued(..) | Self::SignedOut | Self::Ended,
                Did::SignOut(None),
            ) => Self::SignedOut,
            (Self::Carried(active) | Self::Issued(active, _), Did::SignOut(Some(id))) if active.record.id == id => {
                Self::SignedOut
            }
            (
                state @ (Self::Anonymous | Self::Carried(_) | Self::Issued(..) | Self::SignedOut | Self::Ended),
                Did::SignOut(Some(_)),
            ) => state,

            (Self::Carried(active) | Self::Issued(active, _), Did::FindEnded(id)) if active.record.id == id => {
                Self::Ended
            }
            (
                state @ (Self::Anonymous | Self::Carried(_) | Self::Issued(..) | Self::SignedOut | Self::Ended),
                Did::FindEnded(_),
            ) => state,
        }
    }

    /// What the response does with the cookie, `carried` telling whether the request had one of the name.
    pub(crate) fn cookie(&self, carried: bool) -> CookieAction<'_> {
        match (self, carried) {
            (Self::Anonymous | Self::Carried(_) | Self::Ended, _) | (Self::SignedOut, false) => {
                CookieAction::LeaveAlone
            }
            (Self::Issued(active, token), _) => CookieAction::Send { token, record: &active.record },
            (Self::SignedOut, true) => CookieAction::Remove,
        }
    }

    pub(crate) const fn active(&self) -> Option<&Active> {
        match self {
            Self::Carried(active) | Self::Issued(active, _) => Some(active),
            Self::Anonymous | Self::SignedOut | Self::Ended => None,
        }
    }

    pub(crate) const fn active_mut(&mut self) -> Option<&mut Active> {
        match self {
            Self::Carried(active) | Self::Issued(active, _) => Some(active),
            Self::Anonymous | Self::SignedOut | Self::Ended => None,
        }
    }

    /// The session, if it is still the one with this id.
    pub(crate) fn still(&mut self, id: SessionId) -> Option<&mut Active> {
        self.active_mut().filter(|active| active.record.id == id)
    }
}

impl Active {
    pub(crate) fn of(record: Arc<Record>, now: OffsetDateTime) -> Self {
        let view = View::of(record.data.clone(), record.version);
        Self { token: record.token_hash, extracted_at: now, view, record }
    }

    pub(crate) fn caller(&self) -> Caller {
        Caller { user_id: self.record.user_id.clone(), id: self.record.id, token: self.token }
    }

    pub(crate) fn replaced(&self) -> Replaced {
        Replaced { user_id: self.record.user_id.clone(), id: self.record.id }
    }

    /// `activity` was recorded, or was already more recent.
    pub(crate) fn recorded(&mut self, activity: Activity, expires_at: OffsetDateTime) {
        let record = Arc::make_mut(&mut self.record);
        record.last_active_at = record.last_active_at.max(activity.at);
        record.expires_at = record.expires_at.max(expires_at);
    }

    fn rotated(mut self, token: &SessionToken, at: OffsetDateTime, expires_at: OffsetDateTime) -> Self {
        self.token = token.hash();
        let record = Arc::make_mut(&mut self.record);
        record.previous_token_hash = Some(record.token_hash);
        record.token_hash = self.token;
        record.last_active_at = record.last_active_at.max(at);
        record.expires_at = record.expires_at.max(expires_at);
        self
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::session::Data;
    use crate::token::Shard;
    use crate::user_id::UserId;

    const NOW: OffsetDateTime = datetime!(2030-01-01 0:00 UTC);

    fn token(seed: u8) -> SessionToken {
        SessionToken::from_parts(Shard::of("ada"), [seed; 32])
    }

    fn record(id: u8) -> Arc<Record> {
        Arc::new(Record {
            id: SessionId::from_bytes([id; 16]),
            user_id: UserId::parse("ada").unwrap(),
            token_hash: token(id).hash(),
            previous_token_hash: None,
            token_issued_at: NOW,
            token_seen: false,
            client: Arc::default(),
            data: Data::from_text("{}"),
            version: 0,
            persistent: true,
            created_at: NOW,
            authenticated_at: NOW,
            last_active_at: NOW,
            expires_at: NOW,
            absolute_expires_at: NOW,
        })
    }

    fn id(id: u8) -> SessionId {
        SessionId::from_bytes([id; 16])
    }

    fn carried(id: u8) -> State {
        State::Carried(Active::of(record(id), NOW))
    }

    fn sign_in(id: u8) -> Did {
        Did::SignIn { record: record(id), token: token(id) }
    }

    fn rotate(id: u8, to: u8) -> Did {
        Did::Rotate { id: SessionId::from_bytes([id; 16]), token: token(to), at: NOW, expires_at: NOW }
    }

    fn sends(state: &State, seed: u8) -> bool {
        matches!(state.cookie(true), CookieAction::Send { token: sent, .. } if sent.hash() == token(seed).hash())
    }

    #[test]
    fn the_last_sign_in_or_rotation_decides_the_cookie() {
        assert!(sends(&State::Anonymous.next(sign_in(1)).next(sign_in(2)), 2));
        assert!(sends(&carried(1).next(rotate(1, 5)).next(rotate(1, 6)), 6));
        assert!(sends(&carried(1).next(Did::SignOut(None)).next(sign_in(2)), 2));
    }

    #[test]
    fn a_sign_out_removes_a_carried_cookie_only() {
        let out = State::Anonymous.next(sign_in(1)).next(Did::SignOut(Some(id(1))));
        assert!(matches!(out.cookie(false), CookieAction::LeaveAlone));
        assert!(matches!(out.cookie(true), CookieAction::Remove));
    }

    #[test]
    fn a_session_found_ended_leaves_the_cookie_alone_until_a_sign_out() {
        let ended = carried(1).next(rotate(1, 5)).next(Did::FindEnded(id(1)));
        assert!(matches!(ended.cookie(true), CookieAction::LeaveAlone));
        assert!(ended.active().is_none());
        assert!(matches!(ended.next(Did::SignOut(None)).cookie(true), CookieAction::Remove));
    }

    #[test]
    fn news_of_another_session_change_nothing() {
        let state = carried(1).next(rotate(2, 5)).next(Did::FindEnded(id(2))).next(Did::SignOut(Some(id(2))));
        assert_eq!(state.active().map(|active| active.record.id), Some(id(1)));
        assert!(matches!(state.cookie(true), CookieAction::LeaveAlone));
    }

    #[test]
    fn nothing_rotates_a_session_back_to_life() {
        for state in [State::Anonymous, State::SignedOut, State::Ended] {
            assert!(state.next(rotate(1, 5)).active().is_none());
        }
    }
}
