//! What an SQL store is asked to change, with all that it needs: so that it can go on when its caller has given up. Not here: the
//! texts, see `statements`; and running them, see each database's `Backend`.

use std::sync::Arc;

use arrayvec::ArrayVec;
use time::OffsetDateTime;

use super::dialect::Statement;
use super::row::{self, Arg, micros};
use super::statements::Statements;
use crate::clock::earlier;
use crate::model::record::Record;
use crate::model::session_id::SessionId;
use crate::model::user_id::UserId;
use crate::store::{Caller, MAX_LOADED, Rotation, SessionKey, Update};

/// One statement of a transaction, with its values.
pub(in crate::store) type Step<'a> = (&'static Statement, Vec<Arg<'a>>);

/// A change that may wait for locks.
pub(in crate::store) enum Task {
    /// Inserts a session and ends others, as one transaction in the user's turn: rows that begin with the ids of those that ended.
    SignIn(SignIn),
    /// Ends sessions.
    End(Ending),
    /// Changes one session.
    Change { change: Change, statement: &'static Statement, rotation: Option<Rotation> },
}

/// A sign-in.
pub(in crate::store) struct SignIn {
    pub(in crate::store) new: Arc<Record>,
    pub(in crate::store) replaces: ArrayVec<SessionKey, MAX_LOADED>,
    /// How many other sessions may stay.
    pub(in crate::store) others: i64,
    pub(in crate::store) now: OffsetDateTime,
}

/// The end of sessions.
pub(in crate::store) struct Ending {
    pub(super) user: UserId,
    pub(super) now: OffsetDateTime,
    /// The one that ends, or the one that stays.
    pub(super) id: Option<SessionId>,
    /// Who must be live. It is then one transaction in the caller's turn, while no other sign-in or checked change of this user runs: the
    /// rows of all statements, and what the last one changed.
    pub(super) by: Option<Caller>,
    pub(super) statements: Vec<&'static Statement>,
}

impl Task {
    /// Whose it is.
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    pub(in crate::store) fn user(&self) -> &UserId {
        match self {
            Self::SignIn(sign_in) => &sign_in.new.user_id,
            Self::End(Ending { user, by, .. }) => by.as_ref().map_or(user, |caller| &caller.user_id),
            Self::Change { change, .. } => &change.caller.user_id,
        }
    }

    /// Whether its statements are one transaction in the user's turn.
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    pub(in crate::store) fn is_in_turn(&self) -> bool {
        match self {
            Self::SignIn(_) => true,
            Self::End(ending) => ending.by.is_some() || ending.statements.len() > 1,
            Self::Change { .. } => false,
        }
    }

    /// Its statements; but those of a sign-in where a deletion can't return what it deleted.
    pub(in crate::store) fn steps(&self, sql: &'static Statements) -> Vec<Step<'_>> {
        match self {
            Self::SignIn(sign_in) => sign_in.steps(sql).into(),
            Self::End(ending) => {
                let mut args = vec![
                    Arg::text(&ending.user),
                    Arg::time(ending.now),
                    Arg::Bytes(ending.id.as_ref().map(|id| &id.as_bytes()[..])),
                ];
                args.extend(ending.by.iter().flat_map(|caller| by_args(caller, ending.now)));
                ending.statements.iter().map(|statement| (*statement, args.clone())).collect()
            }
            Self::Change { change, statement, rotation } => vec![(*statement, change.args(rotation.as_ref()))],
        }
    }
}

impl SignIn {
    pub(in crate::store) fn insert(&self, sql: &'static Statements) -> Step<'_> {
        (&sql.insert, row::args(&self.new))
    }

    /// Inserts, then ends what must go.
    fn steps(&self, sql: &'static Statements) -> [Step<'_>; 2] {
        let mut evict = vec![
            Arg::text(&self.new.user_id),
            Arg::time(self.now),
            Arg::Bytes(Some(self.new.id.as_bytes())),
            Arg::Int(Some(self.others)),
        ];
        evict.extend(self.replaced());
        [self.insert(sql), (&sql.evict, evict)]
    }

    /// Three times the id of a session that is replaced and its user, or null.
    pub(in crate::store) fn replaced(&self) -> impl Iterator<Item = Arg<'_>> {
        (0..MAX_LOADED).map(move |at| self.replaces.get(at)).flat_map(|replaced| {
            let id = replaced.map(|replaced| &replaced.id.as_bytes()[..]);
            [Arg::Bytes(id), Arg::Text(replaced.map(|replaced| replaced.user_id.as_str()))]
        })
    }
}

/// Change this row, unless it has changed.
#[derive(Clone)]
pub(in crate::store) struct Change {
    pub(in crate::store) caller: Caller,
    /// Data or activity or both, and no rotation.
    pub(in crate::store) update: Update,
    pub(in crate::store) now: OffsetDateTime,
}

impl Change {
    /// ?1 to ?5 the caller, ?6 data, ?7 the version that it is based on, ?8 the one that it becomes, ?9 to ?11 activity; then ?12 whether
    /// the token was presented, or of a rotation ?12 the next token and ?13 the same, sealed.
    pub(super) fn args<'a>(&'a self, rotation: Option<&'a Rotation>) -> Vec<Arg<'a>> {
        let update = &self.update;
        let mut args = caller_args(&self.caller, self.now);
        args.extend([
            Arg::Text(update.data.as_ref().map(|new| new.data.text())),
            Arg::Int(update.data.as_ref().map(|new| new.based_on)),
            Arg::Int(update.data.as_ref().map(|new| new.becomes)),
            Arg::Int(update.activity.map(|activity| micros(activity.at))),
            Arg::Int(update.activity.map(|activity| micros(activity.expires_at))),
            Arg::Int(update.activity.map(|activity| micros(activity.unless_after))),
        ]);
        match rotation {
            Some(rotation) => args.extend([
                Arg::Bytes(Some(rotation.to.as_bytes())),
                Arg::Bytes(rotation.successor.as_ref().map(|sealed| &sealed.as_bytes()[..])),
            ]),
            None => args.push(Arg::Flag(update.seen)),
        }
        args
    }
}

/// ?1 id, ?2 user, ?3 token, ?4 now, ?5 grace.
pub(super) fn caller_args(caller: &Caller, now: OffsetDateTime) -> Vec<Arg<'_>> {
    vec![
        Arg::Bytes(Some(caller.id.as_bytes())),
        Arg::text(&caller.user_id),
        Arg::Bytes(Some(caller.token.as_bytes())),
        Arg::time(now),
        Arg::time(earlier(now, caller.grace)),
    ]
}

/// ?4 id, ?5 user, ?6 token, ?7 grace, after user, now and one more.
pub(super) fn by_args(caller: &Caller, now: OffsetDateTime) -> [Arg<'_>; 4] {
    [
        Arg::Bytes(Some(caller.id.as_bytes())),
        Arg::text(&caller.user_id),
        Arg::Bytes(Some(caller.token.as_bytes())),
        Arg::time(earlier(now, caller.grace)),
    ]
}
