//! What databases spell differently, side by side, and what statements are made of. Not
//! here: the statements, see `statements`.

/// How many requests one batch has at most.
pub(in crate::store) const MAX_BATCH: usize = 64;

/// How many bytes of data a batch sends or receives at most.
pub(in crate::store) const MAX_BATCH_BYTES: usize = 1 << 20;

/// How many users one transaction locks at most. Few, because a sign-in of any of them waits until
/// it ends.
pub(in crate::store) const MAX_LOCKED_USERS: usize = 32;

/// What databases spell differently.
pub(in crate::store) struct Dialect {
    pub(in crate::store) parameters: Parameters,
    /// The greater of two values.
    pub(in crate::store) greatest: &'static str,
    /// Before and after a parameter: the id is another one, or null.
    pub(in crate::store) is_not_id: [&'static str; 2],
    /// Whether a batch of look-ups sends its ids as one value and gets its rows as one, in JSON.
    pub(in crate::store) rows_as_json: bool,
    /// The size of a row's data in bytes, as a 64-bit number.
    pub(in crate::store) data_bytes: &'static str,
    /// Rows that had expired at ?1, the earliest first. Uses an index.
    pub(in crate::store) expired: &'static str,
    /// Reads the server's own clock, in microseconds since 1970. None if there is no clock but this
    /// machine's.
    pub(in crate::store) server_time: Option<&'static str>,
    /// Whether each user has a row, which sign-ins lock.
    pub(in crate::store) has_user_rows: bool,
    pub(in crate::store) returning: Returning,
}

/// How a statement names its parameters.
#[derive(Clone, Copy)]
#[cfg_attr(not(all(feature = "mysql", any(feature = "postgres", feature = "sqlite-unbundled"))), allow(dead_code))]
pub(in crate::store) enum Parameters {
    /// By number, after this sign.
    Numbered(&'static str),
    /// By position.
    InOrder,
}

/// What a statement that changes rows can return.
#[cfg_attr(not(all(feature = "mysql", any(feature = "postgres", feature = "sqlite-unbundled"))), allow(dead_code))]
pub(in crate::store) enum Returning {
    /// The rows. Such a database finds what it deletes by a sub-query.
    Rows {
        /// The texts before and after a sub-query, for "is one of its rows". Spelled so that the
        /// planner expects few rows.
        is_one_of: [&'static str; 2],
        /// No limit, before an offset.
        all_rows: &'static str,
        /// A condition that is always true. As a side effect the commit returns before it is on
        /// disk, so after a crash expired rows may be back.
        async_commit: &'static str,
        /// At the end of a sub-query whose rows are deleted: skip those that others are deleting.
        delete_skip_locked: &'static str,
        /// Before the insertion of a session whose user is ?6: locks the user in the same
        /// statement.
        lock_user: &'static str,
        /// At the end of a sub-query: wait for changes of these rows to end, and read the result.
        for_update: &'static str,
        /// The same, for a row that only has to exist still.
        for_key_share: &'static str,
        /// At the end of a sub-query: lock these rows for a change, and skip those that others have
        /// locked. None where one writer at a time has the whole database.
        update_skip_locked: Option<&'static str>,
    },
    /// Only how many rows, and one number. What it deletes is named or joined, because with a
    /// sub-query it would read the whole table.
    CountOnly,
}

impl Dialect {
    #[cfg(feature = "sqlite-unbundled")]
    pub(in crate::store) const SQLITE: Self = Self {
        parameters: Parameters::Numbered("?"),
        greatest: "max",
        is_not_id: ["id IS NOT ", ""],
        rows_as_json: true,
        data_bytes: "octet_length(data)",
        expired: "expires_at <= ?1 ORDER BY expires_at",
        server_time: None,
        has_user_rows: false,
        returning: Returning::Rows {
            is_one_of: ["IN (", ")"],
            all_rows: "-1",
            async_commit: "",
            delete_skip_locked: "",
            lock_user: "",
            for_update: "",
            for_key_share: "",
            update_skip_locked: None,
        },
    };

    #[cfg(feature = "postgres")]
    pub(in crate::store) const POSTGRES: Self = Self {
        parameters: Parameters::Numbered("$"),
        greatest: "greatest",
        is_not_id: ["id IS DISTINCT FROM ", ""],
        rows_as_json: false,
        data_bytes: "CAST(octet_length(data) AS bigint)",
        // The index holds slots of time, so that activity seldom changes it.
        expired: "expires_at <= ?1 AND expires_slot <= (?1 >> 32) ORDER BY expires_slot",
        // The time of this moment, not of the transaction's beginning.
        server_time: Some("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"),
        has_user_rows: true,
        returning: Returning::Rows {
            // With `IN` the planner would join, and read the whole table because it doesn't know
            // the limit.
            is_one_of: ["= ANY (ARRAY(", "))"],
            all_rows: "ALL",
            async_commit: "(SELECT set_config('synchronous_commit', 'off', TRUE)) = 'off' AND ",
            delete_skip_locked: " FOR UPDATE SKIP LOCKED",
            lock_user: "WITH locked_user AS (INSERT INTO cookie_session_user (user_id) VALUES (?6) \
                ON CONFLICT (user_id) DO UPDATE SET idle_since = NULL) ",
            for_update: " FOR UPDATE",
            for_key_share: " FOR KEY SHARE",
            update_skip_locked: Some(" FOR NO KEY UPDATE SKIP LOCKED"),
        },
    };

    #[cfg(feature = "mysql")]
    pub(in crate::store) const MYSQL: Self = Self {
        parameters: Parameters::InOrder,
        greatest: "greatest",
        is_not_id: ["NOT (id <=> ", ")"],
        rows_as_json: false,
        data_bytes: "octet_length(data)",
        expired: "expires_at <= ?1 ORDER BY expires_at",
        // Not in the session's time zone, in which an hour may occur twice.
        server_time: Some("SELECT timestampdiff(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', utc_timestamp(6))"),
        has_user_rows: true,
        returning: Returning::CountOnly,
    };
}

/// The text of a statement, as one database spells it.
pub(in crate::store) struct Statement {
    text: &'static str,
    order: &'static [u16],
}

impl Statement {
    /// From a text with the parameters ?1, ?2 …
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

    /// The numbers of the arguments, in the order in which the database binds them.
    pub(in crate::store) const fn order(&self) -> &'static [u16] {
        self.order
    }
}

/// The same statement for 2, 4, 8 … requests, each with that number.
pub(super) type BySize = Vec<(usize, Statement)>;

/// Whether a row is the caller's and live. The numbers, each after `p`, are those of its id, its
/// user, its token, now, and now less the grace. A previous token counts until its successor is
/// presented, and for the grace after the successor was issued.
pub(super) fn is_live_caller(p: &str, [id, user, token, now, grace]: [u8; 5]) -> String {
    format!(
        "id = {p}{id} AND user_id = {p}{user} AND expires_at > {p}{now} AND (token_hash = {p}{token} \
         OR (previous_token_hash = {p}{token} AND (NOT token_seen OR token_issued_at > {p}{grace})))"
    )
}

/// Numbered parameters, separated by commas.
pub(super) fn numbered(numbers: impl Iterator<Item = usize>) -> String {
    numbers.map(|number| format!("?{number}")).collect::<Vec<_>>().join(", ")
}

pub(super) fn sized(statement: impl Fn(usize) -> Statement) -> BySize {
    let sizes = std::iter::successors(Some(2), |size| Some(size * 2)).take_while(|size| *size <= MAX_BATCH);
    sizes.map(|size| (size, statement(size))).collect()
}
