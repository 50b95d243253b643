//! The SQL of all SQL stores, written once. Each statement finds its rows by an index, which the tests check. Not here: what differs
//! between databases, see `dialect`.

use super::apply::Apply;
use super::dialect::{
    Changes, Dialect, MOST, MOST_BYTES, Sizes, Statement, USERS_AT_ONCE, is_live_caller, numbered, sized,
};
use super::packed;

/// Deletes rows and returns their ids: in one statement where that can, else the ids are asked for first, and their rows held.
pub(in crate::store) struct Deletion {
    pub(super) find: Option<Statement>,
    pub(super) delete: Statement,
}

/// The statements of one database.
pub(in crate::store) struct Statements {
    pub(super) row: Statement,
    pub(super) caller: Statement,
    pub(super) load_one: Statement,
    pub(super) packs_rows: bool,
    pub(super) load_many: Sizes,
    pub(super) insert: Statement,
    pub(in crate::store) evict: Statement,
    pub(super) apply_data: Statement,
    pub(super) apply_activity: Statement,
    /// None where rows that are changed aren't returned.
    pub(super) apply_data_many: Sizes,
    pub(super) apply_activity_many: Sizes,
    pub(super) apply_rotation: Statement,
    pub(super) apply_strict_rotation: Statement,
    pub(super) end: Statement,
    pub(super) end_by: Statement,
    pub(super) look_end: Statement,
    pub(super) look_end_all: Statement,
    pub(super) end_all: Deletion,
    pub(super) end_all_by: Deletion,
    pub(super) list: Statement,
    pub(super) list_by: Statement,
    pub(super) purge: Statement,
    /// None where users have no row of their own.
    pub(in crate::store) users: Option<UserStatements>,
    /// None where the server has no clock of its own.
    pub(super) server_time: Option<Statement>,
}

/// Those that forget users. The last three are of up to [`USERS_AT_ONCE`] users, from ?2 on.
#[cfg_attr(not(any(feature = "mysql", feature = "postgres")), allow(dead_code))]
pub(in crate::store) struct UserStatements {
    /// ?2 users after ?1, each once more if it has no session and was not noted to have none after ?3.
    pub(super) next: Statement,
    /// From ?1 on.
    pub(super) lock: Statement,
    /// ?1 since when.
    pub(super) note: Statement,
    /// ?1 since when.
    pub(super) forget: Statement,
}

/// The columns in the order that `row` reads and writes them.
const COLUMNS: &str = "id, token_hash, previous_token_hash, token_issued_at, token_seen, user_id, ip_address, \
     user_agent, device_name, device_type, fingerprint, data, version, persistent, created_at, authenticated_at, \
     last_active_at, expires_at, absolute_expires_at, successor, strict_rotated_at";
/// How many they are.
pub(super) const COLUMN_COUNT: usize = 21;

impl Statements {
    /// Written once for each database, at the first use, and kept for the life of the process.
    pub(in crate::store) fn of(dialect: &Dialect) -> Self {
        let Dialect { parameters, is_not_id: [is_not_id, end_of_id], packs_rows, expired, changes, data_bytes, .. } =
            dialect;
        // Rows that together are more than go together are asked for alone, so each of them leaves its data out and tells its size. Where
        // rows are packed nothing after it is read either, nor whether they live, as that lies behind the data.
        let is_large = format!("octet_length(data) > {}", MOST_BYTES / MOST);
        let (many_columns, is_live) = if *packs_rows {
            (packed::selected(&is_large), format!("({is_large} OR expires_at > ?1)"))
        } else {
            let data = format!(" CASE WHEN {is_large} THEN NULL ELSE data END AS data,");
            let size = format!(", CASE WHEN {is_large} THEN {data_bytes} END AS data_bytes");
            (COLUMNS.replace(" data,", &data) + &size, "expires_at > ?1".to_owned())
        };
        let Dialect { server_time, users_take_turns, .. } = dialect;
        let statement = |text: String| Statement::new(*parameters, &text);
        let returning = |columns: &str| match changes {
            Changes::Returned { .. } => format!(" RETURNING {columns}"),
            Changes::Counted => String::new(),
        };

        let take_turn = match changes {
            Changes::Returned { take_turn, .. } => take_turn,
            Changes::Counted => "",
        };
        let apply = Apply { dialect, p: "?" };
        let many = Apply { dialect, p: "new.column" };

        // ?4 to ?7 id, user, token and grace of a caller that must be live, beside ?2 now. One row at most; without a limit
        // some databases would merge the sub-query and then refuse it, because its table is the one that is changed.
        let is_by = |lock: &str| {
            let caller = is_live_caller("?", [4, 5, 6, 2, 7]);
            format!(" AND EXISTS (SELECT 1 FROM (SELECT 1 FROM cookie_session WHERE {caller} LIMIT 1{lock}) AS caller)")
        };
        // Whoever ends the caller meanwhile waits, or is waited for.
        let by = is_by(match changes {
            Changes::Returned { for_key_share, .. } => for_key_share,
            Changes::Counted => "",
        });
        let end = "DELETE FROM cookie_session WHERE id = ?3 AND user_id = ?1 AND expires_at > ?2";
        let end_all = |by: &str| {
            let rows =
                format!("FROM cookie_session WHERE user_id = ?1 AND expires_at > ?2 AND {is_not_id}?3{end_of_id}{by}");
            let find = match changes {
                Changes::Returned { .. } => None,
                Changes::Counted => Some(statement(format!("SELECT id {rows} FOR UPDATE"))),
            };
            Deletion { find, delete: statement(format!("DELETE {rows}{}", returning("id"))) }
        };
        let look = |which: String| {
            let caller = is_live_caller("?", [4, 5, 6, 2, 7]);
            statement(format!(
                "SELECT id, FALSE FROM cookie_session WHERE {which} AND user_id = ?1 AND expires_at > ?2 \
                 UNION ALL SELECT id, TRUE FROM cookie_session WHERE {caller}"
            ))
        };
        let list = format!("SELECT {COLUMNS} FROM cookie_session WHERE user_id = ?1 AND expires_at > ?2");
        let recent_first = "ORDER BY last_active_at DESC, authenticated_at DESC, id DESC";
        let expired = format!("SELECT id FROM cookie_session WHERE {expired} LIMIT ?2");
        // A session that is replaced, and its user, at these numbers.
        let first = if matches!(changes, Changes::Returned { .. }) { 5 } else { 2 };
        let replaced = [first, first + 2, first + 4];
        let is_none_of = replaced.map(|id| format!("{is_not_id}?{id}{end_of_id}")).join(" AND ");
        let is_of_user =
            replaced.map(|id| format!("({is_not_id}?{id}{end_of_id} OR user_id = ?{})", id + 1)).join(" AND ");
        let (evict, purge) = match changes {
            // ?1 user, ?2 now, ?3 the new session, ?4 how many others may stay, ?5 ?7 ?9 the sessions that are replaced, ?6 ?8 ?10
            // their users. Ends what is replaced, and what is beyond the limit without it.
            Changes::Returned {
                is_one_of: [is_one_of, end_of_them],
                all_rows,
                without_disk,
                skip_locked,
                for_update,
                ..
            } => (
                format!(
                    "DELETE FROM cookie_session WHERE id {is_one_of}SELECT id FROM (SELECT id FROM (\
                         SELECT id, last_active_at, authenticated_at FROM cookie_session \
                         WHERE user_id = ?1 AND expires_at > ?2 AND id <> ?3 AND {is_none_of}{for_update}\
                       ) AS others {recent_first} LIMIT {all_rows} OFFSET ?4) AS beyond \
                     UNION ALL \
                     SELECT id FROM cookie_session WHERE id IN (?5, ?7, ?9) AND {is_of_user} AND expires_at > ?2{end_of_them} \
                     RETURNING id"
                ),
                format!(
                    "DELETE FROM cookie_session WHERE {without_disk}id {is_one_of}{expired}{skip_locked}{end_of_them} \
                     RETURNING id"
                ),
            ),
            // ?1 now, ?2 to ?7 the sessions that are replaced and their users, ?8 to ?15 what is beyond the limit.
            Changes::Counted => (
                format!(
                    "DELETE FROM cookie_session WHERE expires_at > ?1 AND id IN (?2, ?4, ?6, {}) AND {is_of_user}",
                    numbered(8..=15)
                ),
                format!(
                    "DELETE old FROM ({expired} FOR UPDATE SKIP LOCKED) AS expired \
                     JOIN cookie_session AS old ON old.id = expired.id"
                ),
            ),
        };

        Self {
            // ?1 id, ?2 user.
            row: statement(format!("SELECT {COLUMNS} FROM cookie_session WHERE id = ?1 AND user_id = ?2")),
            // ?1 to ?5 the caller.
            caller: statement(format!("SELECT id FROM cookie_session WHERE {}", is_live_caller("?", [1, 2, 3, 4, 5]))),
            // ?1 now, ?2 id.
            load_one: statement(format!("SELECT {COLUMNS} FROM cookie_session WHERE id = ?2 AND expires_at > ?1")),
            packs_rows: *packs_rows,
            // ?1 now, then ids; or ?2 all of them, one after the other.
            load_many: sized(|ids| {
                let ids = if *packs_rows {
                    let each = (0..ids).map(|at| format!("substr(?2, {}, 16)", 16 * at + 1));
                    each.collect::<Vec<_>>().join(", ")
                } else {
                    numbered(2..=1 + ids)
                };
                statement(format!("SELECT {many_columns} FROM cookie_session WHERE id IN ({ids}) AND {is_live}"))
            }),
            // The columns in their order.
            insert: statement(format!(
                "{take_turn}INSERT INTO cookie_session ({COLUMNS}) VALUES ({})",
                numbered(1..=COLUMN_COUNT)
            )),
            evict: statement(evict),
            apply_data: apply.one(apply.data()),
            apply_activity: apply.one(apply.activity()),
            apply_data_many: many.many(many.data()),
            apply_activity_many: many.many(many.activity()),
            apply_rotation: apply.one(apply.rotation()),
            apply_strict_rotation: apply.one(apply.strict_rotation()),
            // ?1 user, ?2 now, ?3 id.
            end: statement(format!("{end}{}", returning("id"))),
            end_by: statement(format!("{end}{by}{}", returning("id"))),
            // ?1 to ?3 as below and above, ?4 to ?7 the caller: what would end, and the caller if live, each with which it is.
            look_end: look("id = ?3".to_owned()),
            look_end_all: look(format!("{is_not_id}?3{end_of_id}")),
            // ?1 user, ?2 now, ?3 the id that stays or null.
            end_all: end_all(""),
            end_all_by: end_all(&by),
            // ?1 user, ?2 now.
            list: statement(format!("{list} {recent_first}")),
            list_by: statement(format!("{list}{} {recent_first}", is_by(""))),
            // ?1 time, ?2 how many.
            purge: statement(purge),
            users: users_take_turns.then(|| {
                // Counted, as for a condition the planner might read all sessions at once.
                let has_none = |user: &str| {
                    format!("0 = (SELECT count(*) FROM cookie_session WHERE cookie_session.user_id = {user}.user_id)")
                };
                let is_one_of = |first: usize| format!("user_id IN ({})", numbered(first..=first + USERS_AT_ONCE - 1));
                let locked = format!("{} AND {}", is_one_of(2), has_none("cookie_session_user"));
                let returning = returning("user_id");
                UserStatements {
                    next: statement(format!(
                        "SELECT user_id, CASE WHEN (idle_since IS NULL OR idle_since <= ?3) AND {} THEN user_id END FROM (\
                           SELECT user_id, idle_since FROM cookie_session_user WHERE user_id > ?1 ORDER BY user_id LIMIT ?2\
                         ) AS looked_at ORDER BY user_id",
                        has_none("looked_at")
                    )),
                    lock: statement(format!(
                        "SELECT user_id FROM cookie_session_user WHERE {} ORDER BY user_id FOR UPDATE SKIP LOCKED",
                        is_one_of(1)
                    )),
                    note: statement(format!(
                        "UPDATE cookie_session_user SET idle_since = ?1 WHERE idle_since IS NULL AND {locked}{returning}"
                    )),
                    forget: statement(format!(
                        "DELETE FROM cookie_session_user WHERE idle_since <= ?1 AND {locked}{returning}"
                    )),
                }
            }),
            server_time: server_time.map(|text| statement(text.to_owned())),
        }
    }

    /// Every statement that finds rows, for the tests of their plans.
    #[cfg(test)]
    pub(in crate::store) fn searches(&self) -> impl Iterator<Item = &Statement> {
        let one = [
            &self.row,
            &self.caller,
            &self.load_one,
            &self.evict,
            &self.apply_data,
            &self.apply_activity,
            &self.apply_rotation,
            &self.apply_strict_rotation,
            &self.end,
            &self.end_by,
            &self.look_end,
            &self.look_end_all,
            &self.list,
            &self.list_by,
            &self.purge,
        ];
        let all = [&self.end_all, &self.end_all_by].into_iter().flat_map(|all| all.find.iter().chain([&all.delete]));
        let many = [&self.load_many, &self.apply_data_many, &self.apply_activity_many];
        let many = many.into_iter().flat_map(|many| many.iter().map(|(_, statement)| statement));
        let users = self.users.iter().flat_map(|users| [&users.next, &users.lock, &users.note, &users.forget]);
        one.into_iter().chain(all).chain(many).chain(users)
    }
}
