//! The SQL of the SQLite store. Each statement finds its rows by an index, which the tests check.

/// The columns in the order that `row` reads and writes them.
macro_rules! columns {
    () => {
        "id, token_hash, previous_token_hash, token_issued_at, token_seen, user_id, ip_address, user_agent, \
         device_name, device_type, fingerprint, data, version, persistent, created_at, authenticated_at, \
         last_active_at, expires_at, absolute_expires_at"
    };
}

/// Whether the row is the caller's live one. `$grace` is a minute before now: when a previous token's successor was
/// issued after that, the previous one still counts.
macro_rules! caller_is_live {
    ($id:literal, $user:literal, $token:literal, $now:literal, $grace:literal) => {
        concat!(
            "id = ",
            $id,
            " AND user_id = ",
            $user,
            " AND expires_at > ",
            $now,
            " AND (token_hash = ",
            $token,
            " OR (previous_token_hash = ",
            $token,
            " AND token_issued_at > ",
            $grace,
            "))"
        )
    };
}

/// ?1 id, ?2 user, ?3 token, ?4 now, ?5 grace, ?6 data, ?7 its version, ?8 activity's time, ?9 its end, ?10 its
/// "unless after", ?11 the next token. Each part of the update that is absent is null, and with it nothing matches
/// where it would have nothing to write.
macro_rules! apply {
    ($($set:expr),*) => {
        concat!(
            "UPDATE cookie_session SET ", $($set,)*
            " WHERE ", caller_is_live!("?1", "?2", "?3", "?4", "?5"),
            " AND (?6 IS NULL OR version = ?7) \
              AND (?6 IS NOT NULL OR last_active_at <= ?10 OR (?11 IS NOT NULL AND token_hash = ?3)) \
             RETURNING version, expires_at, token_hash"
        )
    };
}

macro_rules! set_data {
    () => {
        "data = coalesce(?6, data), version = version + (?6 IS NOT NULL), "
    };
}

macro_rules! set_activity {
    () => {
        "last_active_at = CASE WHEN last_active_at <= ?10 THEN max(last_active_at, ?8) ELSE last_active_at END, \
         expires_at = CASE WHEN last_active_at <= ?10 THEN max(expires_at, ?9) ELSE expires_at END, "
    };
}

macro_rules! set_seen {
    () => {
        "token_seen = token_seen OR token_hash = ?3"
    };
}

/// `apply` of data alone. The three differ in the columns that they name, because SQLite rewrites the index of each
/// column that is set, even to the same value.
pub(super) const APPLY_DATA: &str = apply!(set_data!(), set_seen!());

/// `apply` of activity, and of data with it.
pub(super) const APPLY_ACTIVITY: &str = apply!(set_data!(), set_activity!(), set_seen!());

/// `apply` of a rotation and whatever comes with it. If the caller's token is the previous one already, all of its
/// columns stay.
pub(super) const APPLY_ROTATION: &str = apply!(
    set_data!(),
    set_activity!(),
    "previous_token_hash = CASE WHEN token_hash = ?3 THEN token_hash ELSE previous_token_hash END, \
     token_issued_at = CASE WHEN token_hash = ?3 THEN ?4 ELSE token_issued_at END, \
     token_seen = CASE WHEN token_hash = ?3 THEN 0 ELSE token_seen END, \
     token_hash = CASE WHEN token_hash = ?3 THEN ?11 ELSE token_hash END"
);

/// ?1 id, ?2 user.
pub(super) const ROW: &str = concat!("SELECT ", columns!(), " FROM cookie_session WHERE id = ?1 AND user_id = ?2");

/// ?1 now, ?2 token.
pub(super) const LOAD_ONE: &str =
    concat!("SELECT ", columns!(), " FROM cookie_session WHERE token_hash = ?2 AND expires_at > ?1");

/// ?1 now, ?2 to ?4 tokens.
pub(super) const LOAD_THREE: &str =
    concat!("SELECT ", columns!(), " FROM cookie_session WHERE token_hash IN (?2, ?3, ?4) AND expires_at > ?1");

/// The columns in their order.
pub(super) const INSERT: &str = concat!(
    "INSERT INTO cookie_session (",
    columns!(),
    ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)"
);

/// ?1 user, ?2 now, ?3 the new session, ?4 how many others may stay.
pub(super) const EVICT: &str = "DELETE FROM cookie_session WHERE id IN (\
     SELECT id FROM cookie_session WHERE user_id = ?1 AND expires_at > ?2 AND id <> ?3 \
     ORDER BY last_active_at DESC, authenticated_at DESC, id DESC LIMIT -1 OFFSET ?4) RETURNING id";

/// ?1 user, ?2 now, ?3 id.
pub(super) const END: &str =
    "DELETE FROM cookie_session WHERE id = ?3 AND user_id = ?1 AND expires_at > ?2 RETURNING id";

/// ?1 user, ?2 now, ?3 the id that stays or null.
pub(super) const END_ALL: &str =
    "DELETE FROM cookie_session WHERE user_id = ?1 AND expires_at > ?2 AND id IS NOT ?3 RETURNING id";

macro_rules! by {
    () => {
        concat!(" AND EXISTS (SELECT 1 FROM cookie_session WHERE ", caller_is_live!("?4", "?5", "?6", "?2", "?7"), ")")
    };
}

/// `END`, if the caller is live: ?4 its id, ?5 its user, ?6 its token, ?7 grace.
pub(super) const END_BY: &str =
    concat!("DELETE FROM cookie_session WHERE id = ?3 AND user_id = ?1 AND expires_at > ?2", by!(), " RETURNING id");

/// `END_ALL`, if the caller is live, as in `END_BY`.
pub(super) const END_ALL_BY: &str = concat!(
    "DELETE FROM cookie_session WHERE user_id = ?1 AND expires_at > ?2 AND id IS NOT ?3",
    by!(),
    " RETURNING id"
);

macro_rules! list {
    ($($by:expr)?) => {
        concat!(
            "SELECT ", columns!(), " FROM cookie_session WHERE user_id = ?1 AND expires_at > ?2", $($by,)?
            " ORDER BY last_active_at DESC, authenticated_at DESC, id DESC"
        )
    };
}

/// ?1 user, ?2 now.
pub(super) const LIST: &str = list!();

/// `LIST`, if the caller is live, as in `END_BY`.
pub(super) const LIST_BY: &str = list!(by!());

/// ?1 id, ?2 user, ?3 token, ?4 now, ?5 grace.
pub(super) const CALLER: &str =
    concat!("SELECT 1 FROM cookie_session WHERE ", caller_is_live!("?1", "?2", "?3", "?4", "?5"));

/// ?1 time, ?2 how many.
pub(super) const PURGE: &str = "DELETE FROM cookie_session WHERE rowid IN (\
     SELECT rowid FROM cookie_session WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)";

/// Every statement that finds rows, for the test of their plans.
#[cfg(test)]
pub(super) const SEARCHES: [&str; 15] = [
    APPLY_DATA,
    APPLY_ACTIVITY,
    APPLY_ROTATION,
    ROW,
    LOAD_ONE,
    LOAD_THREE,
    EVICT,
    END,
    END_ALL,
    END_BY,
    END_ALL_BY,
    LIST,
    LIST_BY,
    CALLER,
    PURGE,
];
