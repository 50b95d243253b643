//! The SQL of all SQL stores, written once; what differs between databases stands side by side in `Dialect`. Each statement
//! finds its rows by an index, which the tests check.

/// What databases spell differently.
pub(in crate::store) struct Dialect {
    /// What stands before a parameter's number.
    pub(in crate::store) parameter: &'static str,
    /// The greater of two values.
    pub(in crate::store) greatest: &'static str,
    /// Unequal, where null is a value like others.
    pub(in crate::store) is_distinct_from: &'static str,
    /// No limit, before an offset.
    pub(in crate::store) all_rows: &'static str,
    /// Is one of the few rows of a sub-query, before and after it: so that the planner takes them for few.
    pub(in crate::store) is_one_of: [&'static str; 2],
    /// At the end of a sub-query whose rows are deleted: leave those that others delete already.
    pub(in crate::store) skip_locked: &'static str,
}

impl Dialect {
    #[cfg(feature = "sqlite")]
    pub(in crate::store) const SQLITE: Self = Self {
        parameter: "?",
        greatest: "max",
        is_distinct_from: "IS NOT",
        all_rows: "-1",
        is_one_of: ["IN (", ")"],
        skip_locked: "",
    };

    #[cfg(feature = "postgres")]
    pub(in crate::store) const POSTGRES: Self = Self {
        parameter: "$",
        greatest: "greatest",
        is_distinct_from: "IS DISTINCT FROM",
        all_rows: "ALL",
        // With `IN` it would join, and for a limit that it doesn't know read the whole table for that.
        is_one_of: ["= ANY (ARRAY(", "))"],
        skip_locked: " FOR UPDATE SKIP LOCKED",
    };
}

/// The text of a statement, for a database's own spelling.
pub(in crate::store) struct Statement(&'static str);

impl Statement {
    pub(in crate::store) const fn text(&self) -> &'static str {
        self.0
    }
}

/// The statements of one database.
pub(in crate::store) struct Statements {
    pub(super) row: Statement,
    pub(super) caller: Statement,
    pub(super) load_one: Statement,
    pub(super) load_three: Statement,
    pub(super) insert: Statement,
    pub(super) evict: Statement,
    pub(super) apply_data: Statement,
    pub(super) apply_activity: Statement,
    pub(super) apply_rotation: Statement,
    pub(super) end: Statement,
    pub(super) end_by: Statement,
    pub(super) end_all: Statement,
    pub(super) end_all_by: Statement,
    pub(super) list: Statement,
    pub(super) list_by: Statement,
    pub(super) purge: Statement,
}

/// The columns in the order that `row` reads and writes them.
const COLUMNS: &str = "id, token_hash, previous_token_hash, token_issued_at, token_seen, user_id, ip_address, \
     user_agent, device_name, device_type, fingerprint, data, version, persistent, created_at, authenticated_at, \
     last_active_at, expires_at, absolute_expires_at";

/// Whether a row is the caller's live one, where ?N are its id, user, token, now, and a minute before now: when a previous
/// token's successor was issued after that, the previous one still counts.
fn is_live_caller([id, user, token, now, grace]: [u8; 5]) -> String {
    format!(
        "id = ?{id} AND user_id = ?{user} AND expires_at > ?{now} AND (token_hash = ?{token} \
         OR (previous_token_hash = ?{token} AND token_issued_at > ?{grace}))"
    )
}

impl Statements {
    /// Written once for each database, at the first use, and kept for the life of the process.
    pub(in crate::store) fn of(dialect: &Dialect) -> Self {
        let Dialect {
            parameter,
            greatest,
            is_distinct_from,
            all_rows,
            is_one_of: [is_one_of, end_of_them],
            skip_locked,
        } = dialect;
        let statement = |text: String| Statement(text.replace('?', parameter).leak());

        // ?1 to ?5 the caller, ?6 data, ?7 its version, ?8 activity's time, ?9 its end, ?10 its "unless after", ?11 the next
        // token. Each part of the update that is absent is null, and with it nothing matches where it would have nothing to
        // write. The three differ in the columns that they name, because databases rewrite the index of each column that is
        // set, even to the same value.
        let set_data = "data = coalesce(?6, data), version = version + CASE WHEN ?6 IS NULL THEN 0 ELSE 1 END";
        let set_activity = format!(
            "expires_at = CASE WHEN last_active_at <= ?10 THEN {greatest}(expires_at, ?9) ELSE expires_at END, \
             last_active_at = CASE WHEN last_active_at <= ?10 THEN {greatest}(last_active_at, ?8) ELSE last_active_at END"
        );
        let set_seen = "token_seen = (token_seen OR token_hash = ?3)";
        // If the caller's token is the previous one already, all of its columns stay.
        let set_token = "previous_token_hash = CASE WHEN token_hash = ?3 THEN token_hash ELSE previous_token_hash END, \
             token_issued_at = CASE WHEN token_hash = ?3 THEN ?4 ELSE token_issued_at END, \
             token_seen = CASE WHEN token_hash = ?3 THEN FALSE ELSE token_seen END, \
             token_hash = CASE WHEN token_hash = ?3 THEN ?11 ELSE token_hash END";
        let apply = |set: &str, due: &str| {
            statement(format!(
                "UPDATE cookie_session SET {set} WHERE {} AND (?6 IS NULL OR version = ?7) AND ({due}) \
                 RETURNING version, expires_at, token_hash",
                is_live_caller([1, 2, 3, 4, 5])
            ))
        };

        // ?4 to ?7 id, user, token and grace of a caller that must be live, beside ?2 now.
        let by = format!(" AND EXISTS (SELECT 1 FROM cookie_session WHERE {})", is_live_caller([4, 5, 6, 2, 7]));
        let end = "DELETE FROM cookie_session WHERE id = ?3 AND user_id = ?1 AND expires_at > ?2";
        let end_all =
            format!("DELETE FROM cookie_session WHERE user_id = ?1 AND expires_at > ?2 AND id {is_distinct_from} ?3");
        let list = format!("SELECT {COLUMNS} FROM cookie_session WHERE user_id = ?1 AND expires_at > ?2");
        let recent_first = "ORDER BY last_active_at DESC, authenticated_at DESC, id DESC";
        let values: Vec<_> = (1..=19).map(|number| format!("?{number}")).collect();

        Self {
            // ?1 id, ?2 user.
            row: statement(format!("SELECT {COLUMNS} FROM cookie_session WHERE id = ?1 AND user_id = ?2")),
            // ?1 to ?5 the caller.
            caller: statement(format!("SELECT id FROM cookie_session WHERE {}", is_live_caller([1, 2, 3, 4, 5]))),
            // ?1 now, ?2 token.
            load_one: statement(format!(
                "SELECT {COLUMNS} FROM cookie_session WHERE token_hash = ?2 AND expires_at > ?1"
            )),
            // ?1 now, ?2 to ?4 tokens.
            load_three: statement(format!(
                "SELECT {COLUMNS} FROM cookie_session WHERE token_hash IN (?2, ?3, ?4) AND expires_at > ?1"
            )),
            // The columns in their order.
            insert: statement(format!("INSERT INTO cookie_session ({COLUMNS}) VALUES ({})", values.join(", "))),
            // ?1 user, ?2 now, ?3 the new session, ?4 how many others may stay, ?5 the session that is replaced, ?6 its
            // user. Ends what is replaced, and what is beyond the limit without it.
            evict: statement(format!(
                "DELETE FROM cookie_session WHERE id {is_one_of}SELECT id FROM (\
                   SELECT id FROM cookie_session WHERE user_id = ?1 AND expires_at > ?2 AND id <> ?3 \
                   AND id {is_distinct_from} ?5 {recent_first} LIMIT {all_rows} OFFSET ?4) AS beyond \
                 UNION ALL \
                 SELECT id FROM cookie_session WHERE id = ?5 AND user_id = ?6 AND expires_at > ?2{end_of_them} RETURNING id"
            )),
            apply_data: apply(&format!("{set_data}, {set_seen}"), "?6 IS NOT NULL"),
            apply_activity: apply(
                &format!("{set_data}, {set_activity}, {set_seen}"),
                "?6 IS NOT NULL OR last_active_at <= ?10",
            ),
            apply_rotation: apply(
                &format!("{set_data}, {set_activity}, {set_token}"),
                "?6 IS NOT NULL OR last_active_at <= ?10 OR token_hash = ?3",
            ),
            // ?1 user, ?2 now, ?3 id.
            end: statement(format!("{end} RETURNING id")),
            end_by: statement(format!("{end}{by} RETURNING id")),
            // ?1 user, ?2 now, ?3 the id that stays or null.
            end_all: statement(format!("{end_all} RETURNING id")),
            end_all_by: statement(format!("{end_all}{by} RETURNING id")),
            // ?1 user, ?2 now.
            list: statement(format!("{list} {recent_first}")),
            list_by: statement(format!("{list}{by} {recent_first}")),
            // ?1 time, ?2 how many.
            purge: statement(format!(
                "DELETE FROM cookie_session WHERE id {is_one_of}SELECT id FROM cookie_session WHERE expires_at <= ?1 \
                 ORDER BY expires_at LIMIT ?2{skip_locked}{end_of_them} RETURNING id"
            )),
        }
    }

    /// Every statement that finds rows, for the tests of their plans.
    #[cfg(test)]
    pub(in crate::store) fn searches(&self) -> [&Statement; 15] {
        let Self {
            row,
            caller,
            load_one,
            load_three,
            insert: _,
            evict,
            apply_data,
            apply_activity,
            apply_rotation,
            end,
            end_by,
            end_all,
            end_all_by,
            list,
            list_by,
            purge,
        } = self;
        [
            row,
            caller,
            load_one,
            load_three,
            evict,
            apply_data,
            apply_activity,
            apply_rotation,
            end,
            end_by,
            end_all,
            end_all_by,
            list,
            list_by,
            purge,
        ]
    }
}
