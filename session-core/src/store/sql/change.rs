//! What an SQL store can be asked to change, owned, so that the change can continue when its caller
//! has been dropped. Not here: the SQL, see `statements`; and running it, see each database's
//! `Backend`.

use std::sync::Arc;

use arrayvec::ArrayVec;
use time::OffsetDateTime;

use super::dialect::Statement;
use super::driver::other_version;
use super::row::{self, Arg, Columns};
use super::statements::Statements;
use crate::clock::earlier;
use crate::model::record::Record;
use crate::model::session_id::SessionId;
use crate::model::user_id::UserId;
use crate::store::micros::micros;
use crate::store::{Caller, MAX_LOADED, Replaced, Rotation, SessionKey, Update};

/// A statement with its arguments.
pub(in crate::store) type BoundStatement<'a> = (&'static Statement, Vec<Arg<'a>>);

/// A change that may wait for locks.
pub(in crate::store) enum Change {
    /// Inserts a session and ends others, in one transaction that locks the user. Its rows begin
    /// with the ids of the ended sessions.
    SignIn(SignIn),
    /// Ends sessions.
    End(Ending),
    /// Changes one session.
    Update { update: RowUpdate, statement: &'static Statement, rotation: Option<Rotation> },
}

/// A sign-in.
pub(in crate::store) struct SignIn {
    pub(in crate::store) new: Arc<Record>,
    pub(in crate::store) replaces: ArrayVec<Replaced, MAX_LOADED>,
    /// How many other sessions may stay.
    pub(in crate::store) others: i64,
    pub(in crate::store) now: OffsetDateTime,
}

/// An end of sessions.
pub(in crate::store) struct Ending {
    pub(super) user: UserId,
    pub(super) now: OffsetDateTime,
    /// The session to end, or the one to keep.
    pub(super) id: Option<SessionId>,
    /// The caller, who must be live. If there is one, all of it is one transaction that locks the
    /// caller's user, so that no other sign-in or checked change of this user runs meanwhile. Its
    /// result has the rows of all statements, and the count of the last one.
    pub(super) by: Option<Caller>,
    pub(super) statements: Vec<&'static Statement>,
}

impl Change {
    /// Whose sessions it changes.
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    pub(in crate::store) fn user(&self) -> &UserId {
        match self {
            Self::SignIn(sign_in) => &sign_in.new.user_id,
            Self::End(Ending { user, by, .. }) => by.as_ref().map_or(user, |caller| &caller.user_id),
            Self::Update { update, .. } => &update.caller.user_id,
        }
    }

    /// Whether its statements are one transaction that locks the user.
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    pub(in crate::store) fn locks_user(&self) -> bool {
        match self {
            Self::SignIn(_) => true,
            Self::End(ending) => ending.by.is_some() || ending.statements.len() > 1,
            Self::Update { .. } => false,
        }
    }

    /// Its statements. Where a deletion can't return rows, a sign-in runs others.
    pub(in crate::store) fn statements(&self, sql: &'static Statements) -> Vec<BoundStatement<'_>> {
        match self {
            Self::SignIn(sign_in) => sign_in.statements(sql),
            Self::End(ending) => {
                let mut args = vec![
                    Arg::text(&ending.user),
                    Arg::time(ending.now),
                    Arg::Bytes(ending.id.as_ref().map(|id| &id.as_bytes()[..])),
                ];
                args.extend(ending.by.iter().flat_map(|caller| by_args(caller, ending.now)));
                ending.statements.iter().map(|statement| (*statement, args.clone())).collect()
            }
            Self::Update { update, statement, rotation } => vec![(*statement, update.args(rotation.as_ref()))],
        }
    }

    /// The version that the row found by the statement at this place must have, if there is one.
    #[cfg(any(feature = "postgres", feature = "sqlite-unbundled"))]
    pub(in crate::store) fn expected_version(&self, at: usize) -> Option<i64> {
        let (Self::SignIn(sign_in), Some(place)) = (self, at.checked_sub(1)) else { return None };
        sign_in.compared().nth(place).map(|(_, version)| version)
    }
}

impl SignIn {
    pub(in crate::store) fn insert(&self, sql: &'static Statements) -> BoundStatement<'_> {
        (&sql.insert, row::args(&self.new))
    }

    /// The replaced sessions that must have a version.
    fn compared(&self) -> impl Iterator<Item = (&SessionKey, i64)> {
        self.replaces.iter().filter_map(|replaced| Some((&replaced.session, replaced.version?)))
    }

    /// Lock the replaced sessions that must have a version, and find it.
    pub(in crate::store) fn comparisons(
        &self,
        sql: &'static Statements,
    ) -> impl Iterator<Item = (BoundStatement<'_>, i64)> {
        self.compared().map(|(session, version)| {
            let args = vec![Arg::text(&session.user_id), Arg::time(self.now), Arg::Bytes(Some(session.id.as_bytes()))];
            ((&sql.lock_version, args), version)
        })
    }

    /// Inserts, compares versions, then ends what must go.
    fn statements(&self, sql: &'static Statements) -> Vec<BoundStatement<'_>> {
        let mut evict = vec![
            Arg::text(&self.new.user_id),
            Arg::time(self.now),
            Arg::Bytes(Some(self.new.id.as_bytes())),
            Arg::Int(Some(self.others)),
        ];
        evict.extend(self.replaced());
        let comparisons = self.comparisons(sql).map(|(statement, _)| statement);
        [self.insert(sql)].into_iter().chain(comparisons).chain([(&sql.evict, evict)]).collect()
    }

    /// Three pairs: the id of a replaced session and its user, or nulls.
    pub(in crate::store) fn replaced(&self) -> impl Iterator<Item = Arg<'_>> {
        (0..MAX_LOADED).map(move |at| self.replaces.get(at)).flat_map(|replaced| {
            let session = replaced.map(|replaced| &replaced.session);
            let id = session.map(|session| &session.id.as_bytes()[..]);
            [Arg::Bytes(id), Arg::Text(session.map(|session| session.user_id.as_str()))]
        })
    }
}

/// An error if the row that was found, if one was, has another version.
pub(in crate::store) fn check_version(found: &[impl Columns], expected: i64) -> sqlx::Result<()> {
    match found.first() {
        Some(row) if row.int(0).ok() != Some(expected) => Err(other_version()),
        _ => Ok(()),
    }
}

/// A change of one row, unless another request has changed it.
#[derive(Clone)]
pub(in crate::store) struct RowUpdate {
    pub(in crate::store) caller: Caller,
    /// Data, activity, or both; no rotation.
    pub(in crate::store) update: Update,
    pub(in crate::store) now: OffsetDateTime,
}

impl RowUpdate {
    /// ?1 to ?5 the caller, ?6 data, ?7 the version that it is based on, ?8 the one that it
    /// becomes, ?9 to ?11 activity. Then ?12 whether the token was presented; in a rotation ?12 the
    /// next token's hash and ?13 the next token, sealed.
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

/// ?4 id, ?5 user, ?6 token, ?7 grace; before them are the user, now and one more.
pub(super) fn by_args(caller: &Caller, now: OffsetDateTime) -> [Arg<'_>; 4] {
    [
        Arg::Bytes(Some(caller.id.as_bytes())),
        Arg::text(&caller.user_id),
        Arg::Bytes(Some(caller.token.as_bytes())),
        Arg::time(earlier(now, caller.grace)),
    ]
}
