//! What databases spell differently, side by side, and what statements are made of. Not here: the statements, see `statements`.

/// How many questions go together.
pub(in crate::store) const MOST: usize = 64;

/// How many bytes of data go together, in what is sent or in what is answered.
pub(in crate::store) const MOST_BYTES: usize = 1 << 20;

/// How many users one transaction locks at most: few, because a sign-in of one of them waits for its end.
pub(in crate::store) const USERS_AT_ONCE: usize = 32;

/// What databases spell differently.
pub(in crate::store) struct Dialect {
    pub(in crate::store) parameters: Parameters,
    /// The greater of two values.
    pub(in crate::store) greatest: &'static str,
    /// Before and after a parameter: it is another id, or null.
    pub(in crate::store) is_not_id: [&'static str; 2],
    /// Whether ids that are looked up together go as one value, and their rows come as one, in JSON.
    pub(in crate::store) packs_rows: bool,
    /// Bytes of a row's data, as a 64-bit number.
    pub(in crate::store) data_bytes: &'static str,
    /// Had expired at ?1, those first that did so first: by an index.
    pub(in crate::store) expired: &'static str,
    /// Asks the server's own clock, in microseconds since 1970, where that may be another than this process's.
    pub(in crate::store) server_time: Option<&'static str>,
    /// Whether each user has a row on which sign-ins take turns.
    pub(in crate::store) users_take_turns: bool,
    pub(in crate::store) changes: Changes,
}

/// How a statement names its parameters.
#[derive(Clone, Copy)]
#[cfg_attr(not(all(feature = "mysql", any(feature = "postgres", feature = "sqlite"))), allow(dead_code))]
pub(in crate::store) enum Parameters {
    /// By number, after this.
    Numbered(&'static str),
    /// By their place.
    InOrder,
}

/// What a statement that changes rows can do.
#[cfg_attr(not(all(feature = "mysql", any(feature = "postgres", feature = "sqlite"))), allow(dead_code))]
pub(in crate::store) enum Changes {
    /// It returns them, and finds what it deletes by a sub-query.
    Returned {
        /// Is one of the few rows of a sub-query, before and after it: so that the planner takes them for few.
        is_one_of: [&'static str; 2],
        /// No limit, before an offset.
        all_rows: &'static str,
        /// A condition that holds, and lets the statement's commit not wait for the disk: what has expired may come back after a crash.
        without_disk: &'static str,
        /// At the end of a sub-query whose rows are deleted: leave those that others delete already.
        skip_locked: &'static str,
        /// Before the insertion of a session, whose user is ?6: takes the user's turn in the same statement.
        take_turn: &'static str,
        /// At the end of a sub-query: wait for who changes these rows, and see them as they are then.
        for_update: &'static str,
        /// The same, for a row that must only still be there.
        for_key_share: &'static str,
        /// At the end of a sub-query: lock these rows to change them, and skip those that others have locked. None where
        /// one writer at a time has the whole database.
        leaving_locked: Option<&'static str>,
    },
    /// It says how many, and one number. What it deletes is named, or joined: for a sub-query it would read the whole table.
    Counted,
}

impl Dialect {
    #[cfg(feature = "sqlite")]
    pub(in crate::store) const SQLITE: Self = Self {
        parameters: Parameters::Numbered("?"),
        greatest: "max",
        is_not_id: ["id IS NOT ", ""],
        packs_rows: true,
        data_bytes: "octet_length(data)",
        expired: "expires_at <= ?1 ORDER BY expires_at",
        server_time: None,
        users_take_turns: false,
        changes: Changes::Returned {
            is_one_of: ["IN (", ")"],
            all_rows: "-1",
            without_disk: "",
            skip_locked: "",
            take_turn: "",
            for_update: "",
            for_key_share: "",
            leaving_locked: None,
        },
    };

    #[cfg(feature = "postgres")]
    pub(in crate::store) const POSTGRES: Self = Self {
        parameters: Parameters::Numbered("$"),
        greatest: "greatest",
        is_not_id: ["id IS DISTINCT FROM ", ""],
        packs_rows: false,
        data_bytes: "CAST(octet_length(data) AS bigint)",
        // The index holds slots of time, so that activity seldom changes it.
        expired: "expires_at <= ?1 AND expires_slot <= (?1 >> 32) ORDER BY expires_slot",
        // Of this moment, not of the transaction's beginning.
        server_time: Some("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"),
        users_take_turns: true,
        changes: Changes::Returned {
            // With `IN` it would join, and for a limit that it doesn't know read the whole table for that.
            is_one_of: ["= ANY (ARRAY(", "))"],
            all_rows: "ALL",
            without_disk: "(SELECT set_config('synchronous_commit', 'off', TRUE)) = 'off' AND ",
            skip_locked: " FOR UPDATE SKIP LOCKED",
            take_turn: "WITH turn AS (INSERT INTO cookie_session_user (user_id) VALUES (?6) \
                ON CONFLICT (user_id) DO UPDATE SET idle_since = NULL) ",
            for_update: " FOR UPDATE",
            for_key_share: " FOR KEY SHARE",
            leaving_locked: Some(" FOR NO KEY UPDATE SKIP LOCKED"),
        },
    };

    #[cfg(feature = "mysql")]
    pub(in crate::store) const MYSQL: Self = Self {
        parameters: Parameters::InOrder,
        greatest: "greatest",
        is_not_id: ["NOT (id <=> ", ")"],
        packs_rows: false,
        data_bytes: "octet_length(data)",
        expired: "expires_at <= ?1 ORDER BY expires_at",
        // Without the session's time zone, whose hours may come twice.
        server_time: Some("SELECT timestampdiff(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', utc_timestamp(6))"),
        users_take_turns: true,
        changes: Changes::Counted,
    };
}

/// The text of a statement, for a database's own spelling.
pub(in crate::store) struct Statement {
    text: &'static str,
    order: &'static [u16],
}

impl Statement {
    /// Of a text whose parameters are ?1, ?2 …
    pub(in crate::store) fn new(parameters: Parameters, text: &str) -> Self {
        let mut pieces = text.split('?');
        let mut spelled = pieces.next().unwrap_or_default().to_owned();
        let mut order = Vec::new();
        for piece in pieces {
            let rest = piece.trim_start_matches(|c: char| c.is_ascii_digit());
            let number = &piece[..piece.len() - rest.len()];
            order.push(number.parse().expect("a parameter has a number"));
            match parameters {
                Parameters::Numbered(sign) => spelled.extend([sign, number]),
                Parameters::InOrder => spelled.push('?'),
            }
            spelled.push_str(rest);
        }
        if let Parameters::Numbered(_) = parameters {
            order = (1..=order.into_iter().max().unwrap_or(0)).collect();
        }
        Self { text: spelled.leak(), order: order.leak() }
    }

    pub(in crate::store) const fn text(&self) -> &'static str {
        self.text
    }

    /// Whether it only finds rows.
    #[cfg(feature = "mysql")]
    pub(in crate::store) fn is_search(&self) -> bool {
        self.text.starts_with("SELECT")
    }

    /// The numbers of the arguments, in the order that the database wants them.
    pub(in crate::store) const fn order(&self) -> &'static [u16] {
        self.order
    }
}

/// The same statement for 2, 4, 8 … sessions at once, each with that number.
pub(super) type Sizes = Vec<(usize, Statement)>;

/// Whether a row is the caller's live one, where `p` before a number is its id, user, token, now, and the grace before now. A previous
/// token counts until its successor was presented, and if that was issued after the last one.
pub(super) fn is_live_caller(p: &str, [id, user, token, now, grace]: [u8; 5]) -> String {
    format!(
        "id = {p}{id} AND user_id = {p}{user} AND expires_at > {p}{now} AND (token_hash = {p}{token} \
         OR (previous_token_hash = {p}{token} AND (NOT token_seen OR token_issued_at > {p}{grace})))"
    )
}

/// Numbers of parameters after each other, between commas.
pub(super) fn numbered(numbers: impl Iterator<Item = usize>) -> String {
    numbers.map(|number| format!("?{number}")).collect::<Vec<_>>().join(", ")
}

pub(super) fn sized(statement: impl Fn(usize) -> Statement) -> Sizes {
    let sizes = std::iter::successors(Some(2), |size| Some(size * 2)).take_while(|size| *size <= MOST);
    sizes.map(|size| (size, statement(size))).collect()
}
