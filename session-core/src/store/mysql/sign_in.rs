//! Signing in, where a deletion can't return what it deleted: one locking read locks the user and
//! the user's sessions, and the deletion names what must go.

use sqlx::mysql::MySqlRow;
use sqlx::{MySql, MySqlConnection, Row};

use super::{LOCK_USER, run};
use crate::store::MAX_LOADED;
use crate::store::micros::micros;
use crate::store::sql::change::{SignIn, check_version};
use crate::store::sql::row::{Arg, WriteResult};
use crate::store::sql::server::{AnswerCount, Server};

/// Waits for the user's lock and takes it, then finds and locks the live sessions except the
/// replaced ones, most recently active first. A locking read sees them as they are once it has the
/// lock. If there are none, it returns one row without a session; if the user has no row, because
/// there was no sign-in or the user was forgotten, it returns none. Each row has the time since
/// when the clean-up knows the user to have no session.
pub(super) const LOCK_USER_AND_FIND: &str = "SELECT other.id, user.idle_since FROM cookie_session_user AS user \
     LEFT JOIN cookie_session AS other FORCE INDEX (cookie_session_user_id) ON other.user_id = user.user_id AND other.expires_at > ? \
     AND NOT (other.id <=> ?) AND NOT (other.id <=> ?) AND NOT (other.id <=> ?) \
     WHERE user.user_id = ? \
     ORDER BY other.last_active_at DESC, other.authenticated_at DESC, other.id DESC FOR UPDATE";

/// How many sessions one statement ends, besides the replaced ones.
const AT_ONCE: usize = 8;

/// Inserts, ends what must go, and returns the rows of the sessions beyond the limit.
pub(super) async fn sign_in(
    conn: &mut MySqlConnection,
    sign_in: &SignIn,
    answers: &AnswerCount,
) -> sqlx::Result<WriteResult<MySqlRow>> {
    let SignIn { new, replaces, others, now } = sign_in;
    let mut found = find(conn, sign_in).await?;
    answers.note();
    if found.is_empty() {
        let lock = sqlx::query(LOCK_USER).bind(new.user_id.as_str()).execute(&mut *conn).await?;
        answers.note();
        if lock.last_insert_id() != 0 {
            // Another first sign-in of this user was faster.
            found = find(conn, sign_in).await?;
        }
    } else if found[0].try_get::<Option<i64>, _>(1)?.is_some() {
        // The user is back after a while without a session, so the clean-up is to count anew.
        sqlx::query(LOCK_USER).bind(new.user_id.as_str()).execute(&mut *conn).await?;
    }
    run(conn, &sign_in.insert(MySql::statements())).await?;
    answers.note();
    for (lock, version) in sign_in.comparisons(MySql::statements()) {
        check_version(&run(conn, &lock).await?.rows, version)?;
        answers.note();
    }

    let beyond = found.split_off(found.len().min(usize::try_from(*others).unwrap_or(usize::MAX)));
    let ids = beyond.iter().map(|row| row.try_get(0)).collect::<sqlx::Result<Vec<Option<Vec<u8>>>>>()?;
    // The one row without a session has no id.
    let ids: Vec<_> = ids.into_iter().flatten().collect();
    let mut batches: Vec<_> = ids.chunks(AT_ONCE).collect();
    if batches.is_empty() && !replaces.is_empty() {
        batches.push(&[]);
    }
    for batch in batches {
        let mut args = vec![Arg::time(*now)];
        args.extend(sign_in.replaced());
        args.extend((0..AT_ONCE).map(|index| Arg::Bytes(batch.get(index).map(|id| &id[..]))));
        run(conn, &(&MySql::statements().evict, args)).await?;
        answers.note();
    }
    let count = ids.len() as u64;
    Ok(WriteResult {
        rows: if ids.is_empty() { Vec::new() } else { beyond },
        count,
        last_insert_id: 0,
        is_repeated: false,
    })
}

async fn find(conn: &mut MySqlConnection, sign_in: &SignIn) -> sqlx::Result<Vec<MySqlRow>> {
    let query = sqlx::query(LOCK_USER_AND_FIND).bind(micros(sign_in.now));
    let replaced =
        (0..MAX_LOADED).map(|at| sign_in.replaces.get(at).map(|replaced| &replaced.session.id.as_bytes()[..]));
    let query = replaced.fold(query, |query, id| query.bind(id));
    query.bind(sign_in.new.user_id.as_str()).fetch_all(conn).await
}
