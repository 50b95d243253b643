//! All transitions of one request's session, and what each state means for the cookie. Pure: no
//! clock, no randomness, no I/O. Not here: asking the store (the other files of this folder), which
//! tokens count (`policy::rotation`), and writing headers (`adapter`).
//!
//! | state | reached by | cookie |
//! |---|---|---|
//! | `Anonymous` | no token in the request that counts | left alone |
//! | `Carried` | the request's own token | left alone |
//! | `Issued` | a sign-in or rotation in this request, or a successor sent again | sent |
//! | `SignedOut` | a sign-out in this request | removed, if the request had one |
//! | `Ended` | ended by another request, or its token died | left alone |
//! | `Visitor` | not signed in, and with values | sent if this request made the row |

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use crate::clock::later;
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
    /// The session that was held: it can still be signed out of if only its token died.
    Ended(Active),
    /// Not signed in, but with values.
    Visitor(Active, VisitorRow),
}

/// The row of a visitor.
#[derive(Debug)]
pub(crate) enum VisitorRow {
    /// Found by the request's own token.
    Found,
    /// Made by this request, which sends its token.
    Made(SessionToken),
    /// There is none yet.
    Missing {
        token: SessionToken,
        /// Whether this request has signed out before, so that the cookie of before is removed.
        is_signed_out: bool,
        /// Whether one is wanted, even without values.
        is_wanted: bool,
    },
}

/// A session that this request holds.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) record: Arc<Record>,
    /// The hash of the token this request holds, which another request may have replaced since.
    pub(crate) token: TokenHash,
    /// Whether the store is still to record that the token was presented.
    pub(crate) is_first_seen: bool,
    /// When this request extracted the session: that is the activity (ASVS 5.0 7.3.1).
    pub(crate) extracted_at: OffsetDateTime,
    pub(crate) view: View,
}

/// What has happened, once the store has confirmed it.
#[derive(Debug)]
pub(crate) enum Transition {
    SignIn {
        record: Arc<Record>,
        token: SessionToken,
    },
    /// Made a new token. If it is `strict`, it is no token's successor.
    Rotate {
        token: SessionToken,
        strict: bool,
        at: OffsetDateTime,
        expires_at: OffsetDateTime,
    },
    /// Found the token's successor, to be sent again.
    SendAgain(SessionToken),
    /// Ended the session of a sign-in that was given up after it was done. This is the visitor whom
    /// it had ended, if there was one.
    UndoSignIn(SessionId, Option<Box<(Active, VisitorRow)>>),
    /// Ended these sessions, for a sign-out.
    SignOut(Vec<SessionId>),
    /// Found that this session isn't live, or that the request's token for it is dead.
    FindEnded(SessionId),
    /// Has a value for a visitor who has no row yet.
    Visit {
        record: Arc<Record>,
        token: SessionToken,
    },
    /// Made the row of this visitor.
    MakeVisitor(Arc<Record>),
}

/// What the response does with the cookie.
#[derive(Debug)]
pub(crate) enum CookieAction<'a> {
    LeaveAlone,
    Send { token: &'a SessionToken, record: &'a Record },
    Remove,
}

impl State {
    pub(crate) fn next(self, did: Transition) -> Self {
        match (self, did) {
            // A sign-in replaces any state, and the last sign-in counts.
            (
                Self::Anonymous
                | Self::Carried(_)
                | Self::Issued(..)
                | Self::SignedOut
                | Self::Ended(_)
                | Self::Visitor(..),
                Transition::SignIn { record, token },
            ) => {
                let now = record.authenticated_at;
                Self::Issued(Active::of(record, token.hash(), now), token)
            }

            (Self::Carried(active) | Self::Issued(active, _), Transition::Rotate { token, strict, at, expires_at })
                if active.record.id == token.id() =>
            {
                Self::Issued(active.rotated(&token, strict, at, expires_at), token)
            }
            (Self::Carried(active) | Self::Issued(active, _), Transition::SendAgain(token))
                if active.record.id == token.id() =>
            {
                Self::Issued(Active { token: token.hash(), is_first_seen: false, ..active }, token)
            }
            // A token of a session that this request doesn't hold changes nothing here.
            (state, Transition::Rotate { .. } | Transition::SendAgain(_)) => state,

            (Self::Carried(active) | Self::Issued(active, _), Transition::UndoSignIn(id, visitor))
                if active.record.id == id =>
            {
                match visitor.map(|visitor| *visitor) {
                    // Its values are still to be stored.
                    Some((visitor, row @ VisitorRow::Missing { .. })) => Self::Visitor(visitor, row),
                    Some((visitor, VisitorRow::Found | VisitorRow::Made(_))) => Self::Ended(visitor),
                    None => Self::Ended(active),
                }
            }
            (state, Transition::UndoSignIn(..)) => state,

            (
                Self::Anonymous | Self::SignedOut | Self::Ended(_) | Self::Visitor(_, VisitorRow::Missing { .. }),
                Transition::SignOut(_),
            ) => Self::SignedOut,
            (
                Self::Carried(active) | Self::Issued(active, _) | Self::Visitor(active, _),
                Transition::SignOut(ended),
            ) if ended.contains(&active.record.id) => Self::SignedOut,
            // The session isn't among those that were ended: this request signed in since.
            (state @ (Self::Carried(_) | Self::Issued(..) | Self::Visitor(..)), Transition::SignOut(_)) => state,

            (Self::Carried(active) | Self::Issued(active, _) | Self::Visitor(active, _), Transition::FindEnded(id))
                if active.record.id == id =>
            {
                Self::Ended(active)
            }
            (state, Transition::FindEnded(_)) => state,

            (state @ (Self::Anonymous | Self::SignedOut), Transition::Visit { record, token }) => {
                let (hash, now) = (token.hash(), record.created_at);
                let is_signed_out = matches!(state, Self::SignedOut);
                Self::Visitor(
                    Active::of(record, hash, now),
                    VisitorRow::Missing { token, is_signed_out, is_wanted: false },
                )
            }
            (Self::Visitor(active, VisitorRow::Missing { token, .. }), Transition::MakeVisitor(record))
                if active.record.id == record.id =>
            {
                Self::Visitor(Active { record, ..active }, VisitorRow::Made(token))
            }
            (state, Transition::Visit { .. } | Transition::MakeVisitor(_)) => state,
        }
    }

    /// What the response does with the cookie; `carried` says whether the request had one of the
    /// name.
    pub(crate) fn cookie(&self, carried: bool) -> CookieAction<'_> {
        match (self, carried) {
            (Self::Issued(active, token) | Self::Visitor(active, VisitorRow::Made(token)), _) => {
                CookieAction::Send { token, record: &active.record }
            }
            (Self::SignedOut | Self::Visitor(_, VisitorRow::Missing { is_signed_out: true, .. }), true) => {
                CookieAction::Remove
            }
            (Self::Anonymous | Self::Carried(_) | Self::Ended(_) | Self::SignedOut | Self::Visitor(..), _) => {
                CookieAction::LeaveAlone
            }
        }
    }

    /// The session of a signed-in user.
    pub(crate) const fn signed_in(&self) -> Option<&Active> {
        match self {
            Self::Carried(active) | Self::Issued(active, _) => Some(active),
            Self::Anonymous | Self::SignedOut | Self::Ended(_) | Self::Visitor(..) => None,
        }
    }

    /// The session of a user or a visitor: what has values.
    pub(crate) const fn active(&self) -> Option<&Active> {
        match self {
            Self::Carried(active) | Self::Issued(active, _) | Self::Visitor(active, _) => Some(active),
            Self::Anonymous | Self::SignedOut | Self::Ended(_) => None,
        }
    }

    pub(crate) const fn active_mut(&mut self) -> Option<&mut Active> {
        match self {
            Self::Carried(active) | Self::Issued(active, _) | Self::Visitor(active, _) => Some(active),
            Self::Anonymous | Self::SignedOut | Self::Ended(_) => None,
        }
    }

    /// The session that this request holds or held and that may have a row, whether or not it or
    /// its token is still live.
    pub(crate) fn held(&self) -> Option<&Active> {
        match self {
            // Its row may have been made without an answer.
            Self::Visitor(active, VisitorRow::Missing { .. }) => Some(active).filter(|active| active.view.has_open()),
            Self::Carried(active)
            | Self::Issued(active, _)
            | Self::Ended(active)
            | Self::Visitor(active, VisitorRow::Found | VisitorRow::Made(_)) => Some(active),
            Self::Anonymous | Self::SignedOut => None,
        }
    }

    /// The session, if it is still the one with this id.
    pub(crate) fn active_if(&mut self, id: SessionId) -> Option<&mut Active> {
        self.active_mut().filter(|active| active.record.id == id)
    }

    /// The visitor's row that is to be made.
    pub(crate) fn missing_row(&self) -> Option<&Arc<Record>> {
        match self {
            Self::Visitor(active, VisitorRow::Missing { .. }) => Some(&active.record),
            _ => None,
        }
    }

    /// Whether there is something to make a visitor's row for: a value, or a row that may have been
    /// made already. What was set and removed again is nothing.
    pub(crate) fn wants_row(&self) -> bool {
        match self {
            Self::Visitor(active, VisitorRow::Missing { is_wanted, .. }) => {
                *is_wanted || active.view.has_open() || active.view.has_values()
            }
            _ => false,
        }
    }

    /// Whether there are changes that a commit must store, or report as lost.
    pub(crate) fn has_changes(&self) -> bool {
        match self {
            Self::Carried(active) | Self::Issued(active, _) => active.view.has_changes(),
            Self::Visitor(active, _) => active.view.has_changes() || self.wants_row(),
            Self::Ended(active) => active.record.user_id.is_visitor() && active.view.has_changes(),
            Self::Anonymous | Self::SignedOut => false,
        }
    }

    /// Forgets what isn't stored.
    pub(crate) fn discard(&mut self) {
        self.drop_ended();
        if let Self::Visitor(_, VisitorRow::Missing { is_wanted, .. }) = self {
            *is_wanted = false;
        }
        if let Some(active) = self.active_mut() {
            active.view.discard();
        }
    }

    /// Forgets the changes of a visitor whose session was found ended, and returns its id if there
    /// were any.
    pub(crate) fn drop_ended(&mut self) -> Option<SessionId> {
        match self {
            Self::Ended(active) if active.record.user_id.is_visitor() && active.view.has_changes() => {
                active.view.discard();
                Some(active.record.id)
            }
            _ => None,
        }
    }

    /// The visitor's row that this request has made.
    pub(crate) fn made(&self) -> Option<SessionKey> {
        match self {
            Self::Visitor(active, VisitorRow::Made(_)) => Some(active.key()),
            _ => None,
        }
    }

    /// The visitor, if it has a row or something to make one for.
    pub(crate) fn visitor(&self) -> Option<&Active> {
        match self {
            Self::Visitor(active, VisitorRow::Found | VisitorRow::Made(_)) => Some(active),
            Self::Visitor(active, VisitorRow::Missing { .. }) if self.wants_row() => Some(active),
            _ => None,
        }
    }

    /// The visitor whose session was found ended.
    pub(crate) fn ended_visitor(&self) -> Option<&Active> {
        match self {
            Self::Ended(active) if active.record.user_id.is_visitor() => Some(active),
            _ => None,
        }
    }

    /// Takes the visitor out, for a sign-in that may be undone.
    pub(crate) fn take_visitor(&mut self) -> Option<Box<(Active, VisitorRow)>> {
        match std::mem::replace(self, Self::Anonymous) {
            Self::Visitor(active, row) => Some(Box::new((active, row))),
            Self::Ended(active) if active.record.user_id.is_visitor() => Some(Box::new((active, VisitorRow::Found))),
            state => {
                *self = state;
                None
            }
        }
    }

    /// Makes a row for the visitor at the commit, whether or not there are values.
    pub(crate) const fn want_row(&mut self) {
        if let Self::Visitor(_, VisitorRow::Missing { is_wanted, .. }) = self {
            *is_wanted = true;
        }
    }

    /// The state once a held session has been found live and its token may read it: active again.
    pub(crate) fn revived(self) -> Self {
        match self {
            Self::Ended(active) if active.record.user_id.is_visitor() => Self::Visitor(active, VisitorRow::Found),
            Self::Ended(active) => Self::Carried(active),
            state => state,
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
        record.token_issued_at = at.max(later(record.token_issued_at, Duration::from_micros(1)));
        if strict {
            // The store sets the time, and it isn't known here.
            record.strict_rotated_at = None;
        }
        record.last_active_at = record.last_active_at.max(at);
        record.expires_at = record.expires_at.max(expires_at);
        self
    }
}

#[cfg(test)]
mod tests;
