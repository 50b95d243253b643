//! All transitions of one request's session, and what each state means for the cookie. Pure: no clock, no randomness, no
//! I/O. Not here: asking the store (the other files of this folder), which tokens count (`policy::rotation`), writing headers (`adapter`).
//!
//! | state | came from | cookie |
//! |---|---|---|
//! | `Anonymous` | no token in the request that counts | left alone |
//! | `Carried` | the request's own token | left alone |
//! | `Issued` | a sign-in or rotation in this request, or a successor that is sent again | sent |
//! | `SignedOut` | a sign-out in this request | removed, if the request had one |
//! | `Ended` | ended by another request, or its token died | left alone |

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use crate::model::record::Record;
use crate::model::session_id::SessionId;
use crate::model::token::{SessionToken, TokenHash};
use crate::store::{Activity, Caller, SessionKey};
use crate::values::view::View;

/// Where a request's session stands.
#[derive(Debug)]
pub(crate) enum State {
    Anonymous,
    Carried(Active),
    Issued(Active, SessionToken),
    SignedOut,
    /// What it held: a session whose token died can still be signed out of.
    Ended(Active),
}

/// A session that this request holds.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) record: Arc<Record>,
    /// The hash of the token this request holds, which another request may have replaced since.
    pub(crate) token: TokenHash,
    /// Whether it is to be recorded that the token was presented.
    pub(crate) is_first_seen: bool,
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
    /// Made a new token: no token's successor if it is `strict`.
    Rotate {
        token: SessionToken,
        strict: bool,
        at: OffsetDateTime,
        expires_at: OffsetDateTime,
    },
    /// Found the token's successor, to be sent again.
    SendAgain(SessionToken),
    /// Ended these sessions, in answer to a sign-out.
    SignOut(Vec<SessionId>),
    /// The store says that this session isn't live, or the request's token for it is dead.
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
                Self::Anonymous | Self::Carried(_) | Self::Issued(..) | Self::SignedOut | Self::Ended(_),
                Did::SignIn { record, token },
            ) => {
                let now = record.authenticated_at;
                Self::Issued(Active::of(record, token.hash(), now), token)
            }

            (Self::Carried(active) | Self::Issued(active, _), Did::Rotate { token, strict, at, expires_at })
                if active.record.id == token.id() =>
            {
                Self::Issued(active.rotated(&token, strict, at, expires_at), token)
            }
            (Self::Carried(active) | Self::Issued(active, _), Did::SendAgain(token))
                if active.record.id == token.id() =>
            {
                Self::Issued(Active { token: token.hash(), is_first_seen: false, ..active }, token)
            }
            // A token of a session that this request doesn't hold changes nothing here.
            (
                state @ (Self::Anonymous | Self::Carried(_) | Self::Issued(..) | Self::SignedOut | Self::Ended(_)),
                Did::Rotate { .. } | Did::SendAgain(_),
            ) => state,

            (Self::Anonymous | Self::SignedOut | Self::Ended(_), Did::SignOut(_)) => Self::SignedOut,
            (Self::Carried(active) | Self::Issued(active, _), Did::SignOut(ended))
                if ended.contains(&active.record.id) =>
            {
                Self::SignedOut
            }
            // Signed in after those that were ended.
            (state @ (Self::Carried(_) | Self::Issued(..)), Did::SignOut(_)) => state,

            (Self::Carried(active) | Self::Issued(active, _), Did::FindEnded(id)) if active.record.id == id => {
                Self::Ended(active)
            }
            (
                state @ (Self::Anonymous | Self::Carried(_) | Self::Issued(..) | Self::SignedOut | Self::Ended(_)),
                Did::FindEnded(_),
            ) => state,
        }
    }

    /// What the response does with the cookie; `carried` says whether the request had one of the name.
    pub(crate) fn cookie(&self, carried: bool) -> CookieAction<'_> {
        match (self, carried) {
            (Self::Anonymous | Self::Carried(_) | Self::Ended(_), _) | (Self::SignedOut, false) => {
                CookieAction::LeaveAlone
            }
            (Self::Issued(active, token), _) => CookieAction::Send { token, record: &active.record },
            (Self::SignedOut, true) => CookieAction::Remove,
        }
    }

    pub(crate) const fn active(&self) -> Option<&Active> {
        match self {
            Self::Carried(active) | Self::Issued(active, _) => Some(active),
            Self::Anonymous | Self::SignedOut | Self::Ended(_) => None,
        }
    }

    pub(crate) const fn active_mut(&mut self) -> Option<&mut Active> {
        match self {
            Self::Carried(active) | Self::Issued(active, _) => Some(active),
            Self::Anonymous | Self::SignedOut | Self::Ended(_) => None,
        }
    }

    /// What this request holds or held: the session, whether or not it or its token still lives.
    pub(crate) const fn held(&self) -> Option<&Active> {
        match self {
            Self::Carried(active) | Self::Issued(active, _) | Self::Ended(active) => Some(active),
            Self::Anonymous | Self::SignedOut => None,
        }
    }

    /// The session, if it is still the one with this id.
    pub(crate) fn still(&mut self, id: SessionId) -> Option<&mut Active> {
        self.active_mut().filter(|active| active.record.id == id)
    }

    /// The session that was held is live, and the token may read it: active again.
    pub(crate) fn revived(self) -> Self {
        match self {
            Self::Ended(active) => Self::Carried(active),
            state @ (Self::Anonymous | Self::Carried(_) | Self::Issued(..) | Self::SignedOut) => state,
        }
    }
}

impl Active {
    /// A session under the token of this hash.
    pub(crate) fn of(record: Arc<Record>, token: TokenHash, now: OffsetDateTime) -> Self {
        let view = View::of(record.data.clone(), record.version);
        Self { token, is_first_seen: false, extracted_at: now, view, record }
    }

    pub(crate) fn caller(&self, grace: Duration) -> Caller {
        Caller { user_id: self.record.user_id.clone(), id: self.record.id, token: self.token, grace }
    }

    pub(crate) fn key(&self) -> SessionKey {
        SessionKey { user_id: self.record.user_id.clone(), id: self.record.id }
    }

    /// `activity` was recorded, or was already more recent.
    pub(crate) fn recorded(&mut self, activity: Activity, expires_at: OffsetDateTime) {
        let record = Arc::make_mut(&mut self.record);
        record.last_active_at = record.last_active_at.max(activity.at);
        record.expires_at = record.expires_at.max(expires_at);
        self.is_first_seen = false;
    }

    fn rotated(mut self, token: &SessionToken, strict: bool, at: OffsetDateTime, expires_at: OffsetDateTime) -> Self {
        self.token = token.hash();
        self.is_first_seen = false;
        let record = Arc::make_mut(&mut self.record);
        record.previous_token_hash = (!strict).then_some(record.token_hash);
        record.token_hash = self.token;
        record.token_issued_at = at.max(record.token_issued_at + time::Duration::MICROSECOND);
        if strict {
            // The store's own time, which isn't known here.
            record.strict_rotated_at = None;
        }
        record.last_active_at = record.last_active_at.max(at);
        record.expires_at = record.expires_at.max(expires_at);
        self
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::model::data::Data;
    use crate::model::user_id::Shard;
    use crate::model::user_id::UserId;

    const NOW: OffsetDateTime = datetime!(2030-01-01 0:00 UTC);

    fn token(session: u8, seed: u8) -> SessionToken {
        SessionToken::from_parts(Shard::of("ada"), id(session), [seed; 32])
    }

    fn record(session: u8) -> Arc<Record> {
        Arc::new(Record {
            id: id(session),
            user_id: UserId::parse("ada").unwrap(),
            token_hash: token(session, session).hash(),
            previous_token_hash: None,
            token_issued_at: NOW,
            token_seen: false,
            successor: None,
            strict_rotated_at: None,
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

    fn id(session: u8) -> SessionId {
        SessionId::from_bytes([session; 16])
    }

    fn carried(session: u8) -> State {
        State::Carried(Active::of(record(session), token(session, session).hash(), NOW))
    }

    fn sign_in(session: u8) -> Did {
        Did::SignIn { record: record(session), token: token(session, session) }
    }

    fn rotate(session: u8, to: u8) -> Did {
        Did::Rotate { token: token(session, to), strict: false, at: NOW, expires_at: NOW }
    }

    fn sign_out(sessions: &[u8]) -> Did {
        Did::SignOut(sessions.iter().map(|session| id(*session)).collect())
    }

    fn sends(state: &State, seed: u8) -> bool {
        matches!(state.cookie(true), CookieAction::Send { token: sent, .. } if sent.secret() == &[seed; 32])
    }

    #[test]
    fn the_last_sign_in_or_rotation_decides_the_cookie() {
        assert!(sends(&State::Anonymous.next(sign_in(1)).next(sign_in(2)), 2));
        assert!(sends(&carried(1).next(rotate(1, 5)).next(rotate(1, 6)), 6));
        assert!(sends(&carried(1).next(sign_out(&[1])).next(sign_in(2)), 2));
        assert!(sends(&carried(1).next(Did::SendAgain(token(1, 7))), 7));
    }

    #[test]
    fn a_sign_out_removes_a_carried_cookie_only() {
        let out = State::Anonymous.next(sign_in(1)).next(sign_out(&[1]));
        assert!(matches!(out.cookie(false), CookieAction::LeaveAlone));
        assert!(matches!(out.cookie(true), CookieAction::Remove));
        assert!(matches!(State::Anonymous.next(sign_out(&[])).cookie(true), CookieAction::Remove));
    }

    #[test]
    fn a_session_found_ended_leaves_the_cookie_alone_until_a_sign_out() {
        let ended = carried(1).next(rotate(1, 5)).next(Did::FindEnded(id(1)));
        assert!(matches!(ended.cookie(true), CookieAction::LeaveAlone));
        assert!(ended.active().is_none() && ended.held().is_some());
        assert!(matches!(ended.next(sign_out(&[1])).cookie(true), CookieAction::Remove));
    }

    #[test]
    fn news_of_another_session_change_nothing() {
        let state = carried(1).next(rotate(2, 5)).next(Did::FindEnded(id(2))).next(sign_out(&[2, 3]));
        let state = state.next(Did::SendAgain(token(2, 6)));
        assert_eq!(state.active().map(|active| active.record.id), Some(id(1)));
        assert!(matches!(state.cookie(true), CookieAction::LeaveAlone));
    }

    #[test]
    fn nothing_rotates_a_session_back_to_life() {
        let ended = || carried(1).next(Did::FindEnded(id(1)));
        for state in [State::Anonymous, State::SignedOut, ended()] {
            assert!(state.next(rotate(1, 5)).active().is_none());
        }
        for state in [State::Anonymous, State::SignedOut, ended()] {
            assert!(state.next(Did::SendAgain(token(1, 5))).active().is_none());
        }
    }
}
