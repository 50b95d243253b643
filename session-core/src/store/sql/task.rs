//! What an SQL store is asked to change, with all that it needs: so that it can go on when its caller has given up. Not here: the
//! texts, see `statements`; and running them, see each database's `Backend`.

use std::sync::Arc;

use arrayvec::ArrayVec;
use time::OffsetDateTime;

use super::by_args;
use super::groups::Change;
use super::row::{self, Arg};
use super::statements::{Statement, Statements};
use crate::model::record::Record;
use crate::model::session_id::SessionId;
use crate::model::user_id::UserId;
use crate::store::{Caller, MAX_LOADED, Rotation, SessionKey};

/// One statement of a transaction, with its values.
pub(in crate::store) type Step<'a> = (&'static Statement, Vec<Arg<'a>>);

/// What a statement that changes rows did.
pub(in crate::store) struct Written<R> {
    /// The rows that it returned.
    pub(in crate::store) rows: Vec<R>,
    /// How many it changed.
    pub(in crate::store) count: u64,
    /// The number that it told, where rows aren't returned.
    pub(in crate::store) told: i64,
    /// Whether it was asked before, and may have been done then.
    pub(in crate::store) is_repeated: bool,
}

impl<R> Written<R> {
    /// Of a statement that returns each row that it changes.
    #[cfg(any(feature = "postgres", feature = "sqlite"))]
    pub(in crate::store) fn of(rows: Vec<R>) -> Self {
        Self { count: rows.len() as u64, rows, told: 0, is_repeated: false }
    }
}

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
