//! The SQL that changes a session: its data, activity and token, for one session or for many at once.

use super::dialect::{Changes, Dialect, Sizes, Statement, is_live_caller, numbered, sized};

/// A change of rows.
pub(super) struct Apply<'a> {
    pub(super) dialect: &'a Dialect,
    /// Before the number of a value: a parameter, or a column of the rows of values.
    pub(super) p: &'static str,
}

impl Apply<'_> {
    // 1 to 5 the caller, 6 data, 7 the version that it is based on, 8 the one that it becomes, 9 activity's time, 10 its end, 11 its
    // "unless after"; then 12 whether the token was presented, or 12 the next token and 13 the same, sealed. Each part of the update that
    // is absent is null, and with it nothing matches where it would have nothing to write. Data is named once, as it may be large, and
    // where parameters go by their place each mention of it would send it again: whether there is any, its version says. The statements
    // differ in the columns that they name, because databases rewrite the index of each column that is set, even to the same value. Whether
    // an expression sees the old or the new value of a column that was set before it differs too, so none refers to one.

    pub(super) fn data(&self) -> [String; 2] {
        let Self { p, .. } = self;
        let set_expiry = match self.dialect.changes {
            Changes::Returned { .. } => "",
            // The expiry is the one thing that an update must tell.
            Changes::Counted => ", expires_at = last_insert_id(expires_at)",
        };
        [format!("{}{set_expiry}", self.set_data()), format!("{p}7 IS NOT NULL")]
    }

    pub(super) fn activity(&self) -> [String; 2] {
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
    pub(super) fn rotation(&self) -> [String; 2] {
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
    pub(super) fn strict_rotation(&self) -> [String; 2] {
        let (p, issued_at) = (self.p, self.issued_at());
        // `strict_rotated_at` first, where an expression sees the new value of what was set before.
        let set = format!(
            "{}, {}, previous_token_hash = NULL, strict_rotated_at = {issued_at}, token_issued_at = {issued_at}, \
             token_seen = FALSE, token_hash = {p}12, successor = NULL",
            self.set_data(),
            self.set_activity()
        );
        [set, "1 = 1".to_owned()]
    }

    /// Later than that of the token before.
    fn issued_at(&self) -> String {
        format!("{}({}4, token_issued_at + 1)", self.dialect.greatest, self.p)
    }

    fn set_data(&self) -> String {
        let Self { p, .. } = self;
        format!("data = coalesce({p}6, data), version = coalesce({p}8, version)")
    }

    fn set_activity(&self) -> String {
        let Self { p, dialect: Dialect { greatest, changes, .. } } = self;
        let (told, end_of_told) = match changes {
            Changes::Returned { .. } => ("", ""),
            Changes::Counted => ("last_insert_id(", ")"),
        };
        format!(
            "expires_at = {told}CASE WHEN last_active_at <= {p}11 THEN {greatest}(expires_at, {p}10) ELSE expires_at END{end_of_told}, \
             last_active_at = CASE WHEN last_active_at <= {p}11 THEN {greatest}(last_active_at, {p}9) ELSE last_active_at END"
        )
    }

    fn is_due(&self, due: &str) -> String {
        let (p, caller) = (self.p, is_live_caller(self.p, [1, 2, 3, 4, 5]));
        format!("{caller} AND ({p}7 IS NULL OR version = {p}7) AND ({due})")
    }

    /// One row.
    pub(super) fn one(&self, [set, due]: [String; 2]) -> Statement {
        let returning = match self.dialect.changes {
            Changes::Returned { .. } => " RETURNING expires_at",
            Changes::Counted => "",
        };
        let text = format!("UPDATE cookie_session SET {set} WHERE {}{returning}", self.is_due(&due));
        Statement::new(self.dialect.parameters, &text)
    }

    /// As many rows as there are rows of values, each with twelve.
    pub(super) fn many(&self, [set, due]: [String; 2]) -> Sizes {
        const VALUES: usize = 12;
        let Changes::Returned { leaving_locked, .. } = self.dialect.changes else { return Vec::new() };
        let due = self.is_due(&due);
        let statement = |rows: usize| {
            let values = |row: usize| format!("({})", numbered(row * VALUES + 1..=(row + 1) * VALUES));
            let values = (0..rows).map(values).collect::<Vec<_>>().join(", ");
            let ids = numbered((0..rows).map(|row| row * VALUES + 1));
            let [free, is_free] = leaving_locked.map_or_else(Default::default, |lock| {
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
