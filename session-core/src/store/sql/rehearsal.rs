//! What requests will do to the tables, done once at the start and undone: a sign-in, reads,
//! changes and an end. A table without a right, with a column that was changed, or with a policy or
//! a trigger that hides or spoils rows would otherwise look like signed-out users. Not here: how
//! the steps run in a transaction that is rolled back, see each database's `schema`.

use std::sync::Arc;

use arrayvec::ArrayVec;
use time::{Duration, OffsetDateTime};

use super::change::{BoundStatement, Change, Ending, RowUpdate, SignIn};
use super::dialect::Statement;
use super::row::{self, Arg, Columns, WriteResult};
use super::statements::Statements;
#[cfg(any(feature = "mysql", feature = "postgres"))]
use super::users::IdleUsers;
use crate::model::data::Data;
use crate::model::record::{ClientInfo, Record};
use crate::model::session_id::SessionId;
use crate::model::token::{SealedToken, TokenHash};
use crate::model::user_id::UserId;
use crate::store::{Caller, NewData, Rotation, Update};

/// Texts that a column in another encoding would spoil.
const DATA: [&str; 2] = ["{\"\u{1f600}\":\"\u{df} '\\\\\"}", "{\"\u{1f512}\":\"\"}"];

/// A session that no request can name, of a user whom no application has.
pub(in crate::store) struct Rehearsal {
    new: Arc<Record>,
    /// Another user, whose id differs in one letter's case.
    other: UserId,
    sign_in: Change,
    update: RowUpdate,
    rotation: (RowUpdate, Rotation),
    end: Change,
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    users: [String; 1],
}

/// What a step must come to.
#[derive(Clone, Copy)]
pub(in crate::store) enum Expected<'a> {
    Anything,
    Change,
    Row(&'a Record),
    Data(&'a NewData),
    /// Otherwise this is wrong.
    NoRow(&'static str),
}

const STILL_THERE: &str = "a session that has ended is still there: look for a trigger or a rule on them";
const UNCHANGED: &str =
    "a change of a session changes nothing: look for row-level security, a trigger or a rule on them";
const UNFOUND: &str = "a session that is stored isn't found: look for row-level security, a trigger or a rule on them";
const ANOTHER: &str =
    "a session that is stored is another one when it is read: look for a trigger or a changed column on them";
const ANOTHER_USERS: &str = "a session is found under the id of another user, which differs in its case: undo the change of the column `user_id`";

/// A statement, and what it must come to.
pub(in crate::store) type Step<'a> = (BoundStatement<'a>, Expected<'a>);

impl Rehearsal {
    pub(in crate::store) fn new(sql: &'static Statements) -> Self {
        let new = Arc::new(record());
        let now = new.created_at;
        let by = Caller {
            user_id: new.user_id.clone(),
            id: new.id,
            token: new.token_hash,
            grace: std::time::Duration::ZERO,
        };
        let other = new.user_id.as_str().replacen('s', "S", 1);
        let row_update = |update| RowUpdate { caller: by.clone(), update, now };
        let data = Some(NewData::new(new.version, Data::from_text(DATA[1])));
        let (to, successor) = (hash(new.id, 1), SealedToken::from_slice(hash(new.id, 2).as_bytes()));
        let statements: Vec<&'static Statement> = sql.end_all.find.iter().chain([&sql.end_all.delete]).collect();
        Self {
            sign_in: Change::SignIn(SignIn { new: Arc::clone(&new), replaces: ArrayVec::new(), others: 1, now }),
            update: row_update(Update { data, ..Update::default() }),
            rotation: (row_update(Update::default()), Rotation { to, successor }),
            end: Change::End(Ending { user: new.user_id.clone(), now, id: None, by: None, statements }),
            #[cfg(any(feature = "mysql", feature = "postgres"))]
            users: [new.user_id.as_str().to_owned()],
            other: UserId::parse(&other).expect("as long as the other"),
            new,
        }
    }

    /// The sign-in, where that isn't the statements of [`sign_in_steps`](Self::sign_in_steps).
    #[cfg(feature = "mysql")]
    pub(in crate::store) const fn sign_in(&self) -> &Change {
        &self.sign_in
    }

    #[cfg(any(feature = "postgres", feature = "sqlite-unbundled"))]
    pub(in crate::store) fn sign_in_steps(&self, sql: &'static Statements) -> impl Iterator<Item = Step<'_>> {
        self.sign_in.statements(sql).into_iter().map(|statement| (statement, Expected::Anything))
    }

    /// What follows the sign-in.
    pub(in crate::store) fn steps(&self, sql: &'static Statements) -> Vec<Step<'_>> {
        let Self { new, update, rotation: (rotated, rotation), .. } = self;
        let row_of = |user| (&sql.row, vec![Arg::Bytes(Some(new.id.as_bytes())), Arg::text(user)]);
        let row = || row_of(&new.user_id);
        let mut steps = vec![
            (row(), Expected::Row(new)),
            (row_of(&self.other), Expected::NoRow(ANOTHER_USERS)),
            ((&sql.update_data, update.args(None)), Expected::Change),
            (row(), update.update.data.as_ref().map_or(Expected::Anything, Expected::Data)),
            ((&sql.update_rotation, rotated.args(Some(rotation))), Expected::Change),
        ];
        steps.extend(self.end.statements(sql).into_iter().map(|statement| (statement, Expected::Change)));
        steps.push((row(), Expected::NoRow(STILL_THERE)));
        // Nothing has expired at the beginning of time.
        let nothing = vec![Arg::Int(Some(0)), Arg::Int(Some(1))];
        steps.push(((&sql.purge, nothing), Expected::Anything));
        #[cfg(any(feature = "mysql", feature = "postgres"))]
        if let Some(sql) = &sql.users {
            let idle = IdleUsers::at(&self.users, new.created_at);
            steps.push((idle.lock(sql), Expected::Anything));
            steps.extend(idle.forget(sql, &self.users).map(|statement| (statement, Expected::Change)));
        }
        steps
    }
}

impl Expected<'_> {
    /// What is wrong with the tables, if it came to something else.
    pub(in crate::store) fn check(self, written: &WriteResult<impl Columns>) -> Result<(), &'static str> {
        let found = match written.rows.first() {
            Some(row) if matches!(self, Self::Row(_) | Self::Data(_)) => row::record(row).ok(),
            _ => None,
        };
        let is_found = !written.rows.is_empty();
        match self {
            Self::NoRow(wrong) if is_found => Err(wrong),
            Self::Anything | Self::NoRow(_) => Ok(()),
            Self::Change if is_found || written.count > 0 => Ok(()),
            Self::Change => Err(UNCHANGED),
            Self::Row(_) | Self::Data(_) if !is_found => Err(UNFOUND),
            Self::Row(new) if found.as_deref() == Some(new) => Ok(()),
            Self::Data(new) if found.is_some_and(|row| row.version == new.becomes && row.data == new.data) => Ok(()),
            Self::Row(_) | Self::Data(_) => Err(ANOTHER),
        }
    }
}

fn record() -> Record {
    // Far from any session of an application. A store reads no clock.
    let now = OffsetDateTime::UNIX_EPOCH + Duration::weeks(6000);
    let id = SessionId::new(now);
    Record {
        id,
        user_id: UserId::parse(&format!("session-core \u{1f600} {id}")).expect("not empty, and short"),
        token_hash: hash(id, 0),
        previous_token_hash: None,
        token_issued_at: now,
        token_seen: false,
        successor: None,
        strict_rotated_at: None,
        client: Arc::new(ClientInfo {
            ip_address: "192.0.2.1".to_owned(),
            // As of a client that sends none.
            user_agent: String::new(),
            device_name: "\u{1f600} ".to_owned(),
            device_type: "unknown".to_owned(),
            fingerprint: "\\'".to_owned(),
        }),
        data: Data::from_text(DATA[0]),
        version: 0,
        persistent: true,
        created_at: now,
        authenticated_at: now,
        last_active_at: now,
        expires_at: now + Duration::HOUR,
        absolute_expires_at: now + Duration::DAY,
    }
}

/// Of no token.
fn hash(id: SessionId, number: u8) -> TokenHash {
    let mut bytes = [number; 32];
    bytes[..16].copy_from_slice(id.as_bytes());
    TokenHash::from_slice(&bytes).expect("32 bytes")
}
