//! The SQL that changes a session's data, activity and token, for one session or for many at once.

use crate::store::sql::dialect::{BySize, Dialect, Returning, Statement, is_live_caller, numbered, sized};

/// Composes the statements that change rows.
pub(in crate::store::sql) struct UpdateSql<'a> {
    pub(in crate::store::sql) dialect: &'a Dialect,
    /// Precedes the number of a value, and makes it a parameter or a column of the rows of
    /// values.
    pub(in crate::store::sql) p: &'static str,
}

impl UpdateSql<'_> {
    // 1 to 5 are the caller, 6 the data, 7 the version that it is based on, 8 the one that it
    // becomes, 9 the time of the activity, 10 the expiry then, 11 its "unless after". Then 12 is
    // whether the token was presented; in a rotation 12 is the next token's hash and 13 the next
    // token, sealed.
    //
    // Each part of the update that is absent is null or false, so that no row matches if there is
    // nothing to write. Data is named only once: where parameters are bound by position, each
    // mention would send it again, and it may be large. Whether there is any, 7 shows.
    //
    // The statements name different columns, because databases update the index of each column that
    // is set, even to the same value. Databases differ in whether an expression sees the old or the
    // new value of a column that was set before it, so no expression refers to one.

    pub(in crate::store::sql) fn data(&self) -> [String; 2] {
        let Self { p, .. } = self;
        let set_expiry = match self.dialect.returning {
            Returning::Rows { .. } => "",
            // An update has to return the expiry, and nothing else.
            Returning::CountOnly => ", expires_at = last_insert_id(expires_at)",
        };
        [format!("{}{set_expiry}", self.set_data()), format!("{p}7 IS NOT NULL")]
    }

    pub(in crate::store::sql) fn activity(&self) -> [String; 2] {
        let Self { p, .. } = self;
        let is_seen = format!("{p}12 AND token_hash = {p}3");
        let set = format!(
            "{}, {}, token_seen = (token_seen OR ({is_seen})), successor = CASE WHEN {is_seen} THEN NULL ELSE successor END",
            self.set_data(),
            self.set_activity()
        );
        [set, format!("{p}7 IS NOT NULL OR last_active_at <= {p}11 OR ({is_seen} AND NOT token_seen)")]
    }

    /// The caller's token must be the row's own.
    pub(in crate::store::sql) fn rotation(&self) -> [String; 2] {
        let p = self.p;
        let set = format!(
            "{}, {}, previous_token_hash = token_hash, token_issued_at = {}, token_seen = FALSE, token_hash = {p}12, successor = {p}13",
            self.set_data(),
            self.set_activity(),
            self.issued_at()
        );
        [set, format!("token_hash = {p}3")]
    }

    /// The caller's token may be the row's previous one.
    pub(in crate::store::sql) fn strict_rotation(&self) -> [String; 2] {
        let (p, issued_at) = (self.p, self.issued_at());
        // `strict_rotated_at` first: in some databases an expression sees the new values of columns
        // that were set before it.
        let set = format!(
            "{}, {}, previous_token_hash = NULL, strict_rotated_at = {issued_at}, token_issued_at = {issued_at}, \
             token_seen = FALSE, token_hash = {p}12, successor = NULL",
            self.set_data(),
            self.set_activity()
        );
        [set, "1 = 1".to_owned()]
    }

    /// Later than the time of the token before.
    fn issued_at(&self) -> String {
        format!("{}({}4, token_issued_at + 1)", self.dialect.greatest, self.p)
    }

    fn set_data(&self) -> String {
        let Self { p, .. } = self;
        format!("data = coalesce({p}6, data), version = coalesce({p}8, version)")
    }

    fn set_activity(&self) -> String {
        let Self { p, dialect: Dialect { greatest, returning, .. } } = self;
        let (set_start, set_end) = match returning {
            Returning::Rows { .. } => ("", ""),
            Returning::CountOnly => ("last_insert_id(", ")"),
        };
        format!(
            "expires_at = {set_start}CASE WHEN last_active_at <= {p}11 THEN {greatest}(expires_at, {p}10) ELSE expires_at END{set_end}, \
             last_active_at = CASE WHEN last_active_at <= {p}11 THEN {greatest}(last_active_at, {p}9) ELSE last_active_at END"
        )
    }

    fn is_due(&self, due: &str) -> String {
        let (p, caller) = (self.p, is_live_caller(self.p, [1, 2, 3, 4, 5]));
        format!("{caller} AND ({p}7 IS NULL OR version = {p}7) AND ({due})")
    }

    /// Changes one row.
    pub(in crate::store::sql) fn one(&self, [set, due]: [String; 2]) -> Statement {
        let returning = match self.dialect.returning {
            Returning::Rows { .. } => " RETURNING expires_at",
            Returning::CountOnly => "",
        };
        let text = format!("UPDATE cookie_session SET {set} WHERE {}{returning}", self.is_due(&due));
        Statement::new(self.dialect.parameters, &text)
    }

    /// Changes as many rows as there are rows of values, twelve values each. Empty if the database
    /// can't return the rows that it changes.
    pub(in crate::store::sql) fn many(&self, [set, due]: [String; 2]) -> BySize {
        const VALUES: usize = 12;
        let Returning::Rows { update_skip_locked, .. } = self.dialect.returning else { return Vec::new() };
        let due = self.is_due(&due);
        let statement = |rows: usize| {
            let values = |row: usize| format!("({})", numbered(row * VALUES + 1..=(row + 1) * VALUES));
            let values = (0..rows).map(values).collect::<Vec<_>>().join(", ");
            let ids = numbered((0..rows).map(|row| row * VALUES + 1));
            let [free, is_free] = update_skip_locked.map_or_else(Default::default, |lock| {
                [
                    format!("WITH free AS (SELECT id FROM cookie_session WHERE id IN ({ids}){lock}) "),
                    " AND id IN (SELECT free.id FROM free)".to_owned(),
                ]
            });
            let text = format!(
                "{free}UPDATE cookie_session SET {set} FROM (VALUES {values}) AS new \
                 WHERE {due}{is_free} RETURNING id, expires_at"
            );
            Statement::new(self.dialect.parameters, &text)
        };
        sized(statement)
    }
}
