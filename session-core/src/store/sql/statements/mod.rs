//! The SQL of all SQL stores, written once. Each statement finds its rows by an index, which the
//! tests check. Not here: what differs between databases, see `dialect`.

use crate::store::sql::batch::json_rows;
use crate::store::sql::dialect::{
    BySize, Dialect, MAX_BATCH, MAX_BATCH_BYTES, MAX_LOCKED_USERS, Returning, Statement, is_live_caller, numbered,
    sized,
};
use update::UpdateSql;

mod update;

/// Deletes rows and returns their ids: in one statement if the database can, otherwise by a search
/// that locks the rows first.
pub(in crate::store) struct Deletion {
    pub(in crate::store::sql) find: Option<Statement>,
    pub(in crate::store::sql) delete: Statement,
}

/// The statements of one database.
pub(in crate::store) struct Statements {
    pub(in crate::store::sql) row: Statement,
    pub(in crate::store::sql) caller: Statement,
    pub(in crate::store::sql) load_one: Statement,
    pub(in crate::store::sql) rows_as_json: bool,
    pub(in crate::store::sql) load_many: BySize,
    pub(in crate::store::sql) insert: Statement,
    /// Locks no user, as a visitor has no other session.
    pub(in crate::store::sql) insert_visitor: Statement,
    pub(in crate::store::sql) lock_version: Statement,
    pub(in crate::store) evict: Statement,
    pub(in crate::store::sql) update_data: Statement,
    pub(in crate::store::sql) update_activity: Statement,
    /// Empty if the database can't return the rows that it changes.
    pub(in crate::store::sql) update_data_many: BySize,
    pub(in crate::store::sql) update_activity_many: BySize,
    pub(in crate::store::sql) update_rotation: Statement,
    pub(in crate::store::sql) update_strict_rotation: Statement,
    pub(in crate::store::sql) end: Statement,
    pub(in crate::store::sql) end_by: Statement,
    pub(in crate::store::sql) end_targets: Statement,
    pub(in crate::store::sql) end_all_targets: Statement,
    pub(in crate::store::sql) end_all: Deletion,
    pub(in crate::store::sql) end_all_by: Deletion,
    pub(in crate::store::sql) list: Statement,
    pub(in crate::store::sql) list_by: Statement,
    pub(in crate::store::sql) purge: Statement,
    /// None if users have no row of their own.
    pub(in crate::store) users: Option<UserStatements>,
    /// None if there is no clock but this machine's.
    pub(in crate::store::sql) server_time: Option<Statement>,
}

/// The statements that forget users. The last three take up to [`MAX_LOCKED_USERS`] users; in
/// `note` and `forget` they are numbered from ?2.
#[cfg_attr(not(any(feature = "mysql", feature = "postgres")), allow(dead_code))]
pub(in crate::store) struct UserStatements {
    /// At most ?2 users after ?1. The second column repeats a user who has no session and whose
    /// `idle_since` is null or at most ?3; otherwise it is null.
    pub(in crate::store::sql) next: Statement,
    /// The users are numbered from ?1. Skips those that others have locked.
    pub(in crate::store::sql) lock: Statement,
    /// ?1 becomes the `idle_since` of those that have none yet.
    pub(in crate::store::sql) note: Statement,
    /// Forgets those whose `idle_since` is ?1 or earlier.
    pub(in crate::store::sql) forget: Statement,
}

/// The columns, in the order in which `row` reads and writes them.
const COLUMNS: &str = "id, token_hash, previous_token_hash, token_issued_at, token_seen, user_id, ip_address, \
     user_agent, device_name, device_type, fingerprint, data, version, persistent, created_at, authenticated_at, \
     last_active_at, expires_at, absolute_expires_at, successor, strict_rotated_at";
/// How many columns there are.
pub(in crate::store::sql) const COLUMN_COUNT: usize = 21;

impl Statements {
    /// Composed once for each database, at the first use, and kept for the life of the process.
    pub(in crate::store) fn of(dialect: &Dialect) -> Self {
        let Dialect {
            parameters,
            is_not_id: [is_not_id, end_of_id],
            rows_as_json,
            expired,
            returning: can_return,
            data_bytes,
            ..
        } = dialect;
        // A row that is too large for a batch is read again on its own, so here it leaves its data
        // out and has the size instead. Where rows are returned as JSON, nothing after the data is
        // read either, not even whether the row is live, because that is stored behind the data.
        let is_large = format!("octet_length(data) > {}", MAX_BATCH_BYTES / MAX_BATCH);
        let (many_columns, is_live) = if *rows_as_json {
            (json_rows::selected(&is_large), format!("({is_large} OR expires_at > ?1)"))
        } else {
            let data = format!(" CASE WHEN {is_large} THEN NULL ELSE data END AS data,");
            let size = format!(", CASE WHEN {is_large} THEN {data_bytes} END AS data_bytes");
            (COLUMNS.replace(" data,", &data) + &size, "expires_at > ?1".to_owned())
        };
        let Dialect { server_time, has_user_rows, .. } = dialect;
        let statement = |text: String| Statement::new(*parameters, &text);
        let returning = |columns: &str| match can_return {
            Returning::Rows { .. } => format!(" RETURNING {columns}"),
            Returning::CountOnly => String::new(),
        };

        let lock_user = match can_return {
            Returning::Rows { lock_user, .. } => lock_user,
            Returning::CountOnly => "",
        };
        let update = UpdateSql { dialect, p: "?" };
        let many = UpdateSql { dialect, p: "new.column" };

        // ?4 to ?7 are id, user, token and grace (its start) of a caller that must be live, and ?2
        // is now. The limit is for databases that would otherwise merge the sub-query, and refuse
        // to change the table that it reads.
        let is_by = |lock: &str| {
            let caller = is_live_caller("?", [4, 5, 6, 2, 7]);
            format!(" AND EXISTS (SELECT 1 FROM (SELECT 1 FROM cookie_session WHERE {caller} LIMIT 1{lock}) AS caller)")
        };
        // A concurrent end of the caller waits for this, or this waits for it.
        let by = is_by(match can_return {
            Returning::Rows { for_key_share, .. } => for_key_share,
            Returning::CountOnly => "",
        });
        let end = "DELETE FROM cookie_session WHERE id = ?3 AND user_id = ?1 AND expires_at > ?2";
        let end_all = |by: &str| {
            let rows =
                format!("FROM cookie_session WHERE user_id = ?1 AND expires_at > ?2 AND {is_not_id}?3{end_of_id}{by}");
            let find = match can_return {
                Returning::Rows { .. } => None,
                Returning::CountOnly => Some(statement(format!("SELECT id {rows} FOR UPDATE"))),
            };
            Deletion { find, delete: statement(format!("DELETE {rows}{}", returning("id"))) }
        };
        let targets = |which: String| {
            let caller = is_live_caller("?", [4, 5, 6, 2, 7]);
            statement(format!(
                "SELECT id, FALSE FROM cookie_session WHERE {which} AND user_id = ?1 AND expires_at > ?2 \
                 UNION ALL SELECT id, TRUE FROM cookie_session WHERE {caller}"
            ))
        };
        let list = format!("SELECT {COLUMNS} FROM cookie_session WHERE user_id = ?1 AND expires_at > ?2");
        let recent_first = "ORDER BY last_active_at DESC, authenticated_at DESC, id DESC";
        let expired = format!("SELECT id FROM cookie_session WHERE {expired} LIMIT ?2");
        // The numbers of the sessions that are replaced; each one's user is the next number.
        let first = if matches!(can_return, Returning::Rows { .. }) { 5 } else { 2 };
        let replaced = [first, first + 2, first + 4];
        let is_none_of = replaced.map(|id| format!("{is_not_id}?{id}{end_of_id}")).join(" AND ");
        let is_of_user =
            replaced.map(|id| format!("({is_not_id}?{id}{end_of_id} OR user_id = ?{})", id + 1)).join(" AND ");
        let (evict, purge) = match can_return {
            // ?1 user, ?2 now, ?3 the new session, ?4 how many others may stay, ?5 ?7 ?9 the
            // replaced sessions, ?6 ?8 ?10 their users. Ends the replaced ones, and those beyond
            // the limit, which doesn't count the replaced ones.
            Returning::Rows {
                is_one_of: [is_one_of, end_of_them],
                all_rows,
                async_commit,
                delete_skip_locked,
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
                    "DELETE FROM cookie_session WHERE {async_commit}id {is_one_of}{expired}{delete_skip_locked}{end_of_them} \
                     RETURNING id"
                ),
            ),
            // ?1 now, ?2 to ?7 the replaced sessions and their users, ?8 to ?15 the sessions beyond
            // the limit.
            Returning::CountOnly => (
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
            rows_as_json: *rows_as_json,
            // ?1 now, then the ids, or ?2 all ids in one value.
            load_many: sized(|ids| {
                let ids = if *rows_as_json {
                    let each = (0..ids).map(|at| format!("substr(?2, {}, 16)", 16 * at + 1));
                    each.collect::<Vec<_>>().join(", ")
                } else {
                    numbered(2..=1 + ids)
                };
                statement(format!("SELECT {many_columns} FROM cookie_session WHERE id IN ({ids}) AND {is_live}"))
            }),
            // The columns in their order.
            insert: statement(format!(
                "{lock_user}INSERT INTO cookie_session ({COLUMNS}) VALUES ({})",
                numbered(1..=COLUMN_COUNT)
            )),
            insert_visitor: statement(format!(
                "INSERT INTO cookie_session ({COLUMNS}) VALUES ({})",
                numbered(1..=COLUMN_COUNT)
            )),
            // ?1 user, ?2 now, ?3 id.
            lock_version: statement(format!(
                "SELECT version FROM cookie_session WHERE id = ?3 AND user_id = ?1 AND expires_at > ?2{}",
                match can_return {
                    Returning::Rows { for_update, .. } => for_update,
                    Returning::CountOnly => " FOR UPDATE",
                }
            )),
            evict: statement(evict),
            update_data: update.one(update.data()),
            update_activity: update.one(update.activity()),
            update_data_many: many.many(many.data()),
            update_activity_many: many.many(many.activity()),
            update_rotation: update.one(update.rotation()),
            update_strict_rotation: update.one(update.strict_rotation()),
            // ?1 user, ?2 now, ?3 id.
            end: statement(format!("{end}{}", returning("id"))),
            end_by: statement(format!("{end}{by}{}", returning("id"))),
            // ?1 to ?3 as in `end` and `end_all`, ?4 to ?7 the caller. Finds what would end, and
            // the caller if live; the second column marks the caller.
            end_targets: targets("id = ?3".to_owned()),
            end_all_targets: targets(format!("{is_not_id}?3{end_of_id}")),
            // ?1 user, ?2 now, ?3 the id that stays, or null.
            end_all: end_all(""),
            end_all_by: end_all(&by),
            // ?1 user, ?2 now.
            list: statement(format!("{list} {recent_first}")),
            list_by: statement(format!("{list}{} {recent_first}", is_by(""))),
            // ?1 time, ?2 how many.
            purge: statement(purge),
            users: has_user_rows.then(|| {
                // A count, because for `NOT EXISTS` the planner might read all sessions at once.
                let has_none = |user: &str| {
                    format!("0 = (SELECT count(*) FROM cookie_session WHERE cookie_session.user_id = {user}.user_id)")
                };
                let is_one_of = |first: usize| format!("user_id IN ({})", numbered(first..=first + MAX_LOCKED_USERS - 1));
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

    /// Every statement that finds rows, for the tests of query plans.
    #[cfg(test)]
    pub(in crate::store) fn searches(&self) -> impl Iterator<Item = &Statement> {
        let one = [
            &self.row,
            &self.caller,
            &self.load_one,
            &self.lock_version,
            &self.evict,
            &self.update_data,
            &self.update_activity,
            &self.update_rotation,
            &self.update_strict_rotation,
            &self.end,
            &self.end_by,
            &self.end_targets,
            &self.end_all_targets,
            &self.list,
            &self.list_by,
            &self.purge,
        ];
        let all = [&self.end_all, &self.end_all_by].into_iter().flat_map(|all| all.find.iter().chain([&all.delete]));
        let many = [&self.load_many, &self.update_data_many, &self.update_activity_many];
        let many = many.into_iter().flat_map(|many| many.iter().map(|(_, statement)| statement));
        let users = self.users.iter().flat_map(|users| [&users.next, &users.lock, &users.note, &users.forget]);
        one.into_iter().chain(all).chain(many).chain(users)
    }
}
