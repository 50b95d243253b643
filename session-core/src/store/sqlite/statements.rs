//! Every statement of the SQLite store, with its parameters. Leaves running them to the store.

use sqlx::sqlite::SqliteArguments;
use sqlx::{Sqlite, query::Query};
use time::OffsetDateTime;

use super::{grace_start, micros};
use crate::session::Record;
use crate::store::{Caller, Update};

macro_rules! columns {
    () => {
        "id, user_id, token_hash, previous_token_hash, token_issued_at, token_seen, ip_address, user_agent, device_name, \
         device_type, fingerprint, data, version, persistent, created_at, authenticated_at, last_active_at, expires_at, \
         absolute_expires_at"
    };
}

pub(super) const LOAD_ONE: &str =
    concat!("SELECT ", columns!(), " FROM cookie_session WHERE token_hash = ?1 AND expires_at > ?2");

pub(super) const LOAD_THREE: &str =
    concat!("SELECT ", columns!(), " FROM cookie_session WHERE token_hash IN (?1, ?2, ?3) AND expires_at > ?4");

pub(super) const BY_ID: &str = concat!("SELECT ", columns!(), " FROM cookie_session WHERE id = ?1");

pub(super) const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM cookie_session WHERE user_id = ?1 AND expires_at > ?2 ORDER BY last_active_at DESC, authenticated_at DESC, id DESC"
);

const INSERT: &str = concat!(
    "INSERT INTO cookie_session (",
    columns!(),
    ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)"
);

/// Whatever its expiry.
pub(super) const END: &str = "DELETE FROM cookie_session WHERE id = ?1 AND user_id = ?2";

pub(super) const END_LIVE: &str =
    "DELETE FROM cookie_session WHERE id = ?1 AND user_id = ?2 AND expires_at > ?3 RETURNING id";

pub(super) const END_ALL: &str =
    "DELETE FROM cookie_session WHERE user_id = ?1 AND expires_at > ?2 AND id IS NOT ?3 RETURNING id";

/// The new session stays whatever its rank; of the others, as many as there is room for.
pub(super) const TRIM: &str = "DELETE FROM cookie_session WHERE id IN (\
     SELECT id FROM cookie_session WHERE user_id = ?1 AND expires_at > ?2 AND id <> ?3 \
     ORDER BY last_active_at DESC, authenticated_at DESC, id DESC LIMIT -1 OFFSET ?4) RETURNING id";

pub(super) const PURGE: &str =
    "DELETE FROM cookie_session WHERE id IN (SELECT id FROM cookie_session WHERE expires_at <= ?1 LIMIT ?2)";

const HELD: &str = "SELECT 1 FROM cookie_session WHERE id = ?1 AND user_id = ?2 AND expires_at > ?3 \
     AND (token_hash = ?4 OR (previous_token_hash = ?4 AND token_issued_at > ?5))";

/// All of an update in one statement. What isn't asked for is NULL. No row: the caller isn't live, the version is another
/// one, or activity alone wasn't due.
const APPLY: &str = "UPDATE cookie_session SET \
     data = COALESCE(?6, data), \
     version = version + (?6 IS NOT NULL), \
     expires_at = CASE WHEN last_active_at <= ?10 THEN MAX(expires_at, ?9) ELSE expires_at END, \
     last_active_at = CASE WHEN last_active_at <= ?10 THEN MAX(last_active_at, ?8) ELSE last_active_at END, \
     token_seen = CASE WHEN token_hash = ?4 THEN ?11 IS NULL ELSE token_seen END, \
     previous_token_hash = CASE WHEN ?11 IS NOT NULL AND token_hash = ?4 THEN token_hash ELSE previous_token_hash END, \
     token_issued_at = CASE WHEN ?11 IS NOT NULL AND token_hash = ?4 THEN ?3 ELSE token_issued_at END, \
     token_hash = CASE WHEN ?11 IS NOT NULL AND token_hash = ?4 THEN ?11 ELSE token_hash END \
     WHERE id = ?1 AND user_id = ?2 AND expires_at > ?3 \
     AND (token_hash = ?4 OR (previous_token_hash = ?4 AND token_issued_at > ?5)) \
     AND (?6 IS NULL OR version = ?7) \
     AND (?6 IS NOT NULL OR (?11 IS NOT NULL AND token_hash = ?4) OR last_active_at <= ?10) \
     RETURNING version, expires_at, token_hash";

type Prepared = Query<'static, Sqlite, SqliteArguments>;

pub(super) fn insert(row: &Record) -> Prepared {
    sqlx::query(INSERT)
        .bind(row.id.as_bytes().to_vec())
        .bind(row.user_id.as_str().to_owned())
        .bind(row.token_hash.as_bytes().to_vec())
        .bind(row.previous_token_hash.map(|hash| hash.as_bytes().to_vec()))
        .bind(micros(row.token_issued_at))
        .bind(row.token_seen)
        .bind(row.ip_address.clone())
        .bind(row.user_agent.clone())
        .bind(row.device_name.clone())
        .bind(row.device_type.clone())
        .bind(row.fingerprint.clone())
        .bind(row.data.text().to_owned())
        .bind(row.version)
        .bind(row.persistent)
        .bind(micros(row.created_at))
        .bind(micros(row.authenticated_at))
        .bind(micros(row.last_active_at))
        .bind(micros(row.expires_at))
        .bind(micros(row.absolute_expires_at))
}

pub(super) fn held(caller: &Caller, now: OffsetDateTime) -> Prepared {
    of_caller(HELD, caller, now)
}

pub(super) fn apply(caller: &Caller, update: &Update, now: OffsetDateTime) -> Prepared {
    of_caller(APPLY, caller, now)
        .bind(update.data.as_ref().map(|new| new.data.text().to_owned()))
        .bind(update.data.as_ref().map(|new| new.based_on))
        .bind(update.activity.map(|activity| micros(activity.at)))
        .bind(update.activity.map(|activity| micros(activity.expires_at)))
        .bind(update.activity.map(|activity| micros(activity.unless_after)))
        .bind(update.rotate_to.map(|hash| hash.as_bytes().to_vec()))
}

/// A statement whose first five parameters tell a live caller.
fn of_caller(statement: &'static str, caller: &Caller, now: OffsetDateTime) -> Prepared {
    sqlx::query(statement)
        .bind(caller.id.as_bytes().to_vec())
        .bind(caller.user_id.as_str().to_owned())
        .bind(micros(now))
        .bind(caller.token.as_bytes().to_vec())
        .bind(grace_start(now))
}

#[cfg(test)]
pub(super) const ALL: [&str; 11] =
    [LOAD_ONE, LOAD_THREE, BY_ID, LIST, END, END_LIVE, END_ALL, TRIM, PURGE, HELD, APPLY];
