//! What sqlx has for each database under another type, written once as a macro.

/// Defines `query`, which binds the values of a step, and reads `$row` as `Columns`. `$failed` says what an unreadable schema
/// means.
macro_rules! sqlx_glue {
    ($db:ty, $row:ty, $args:ty, $failed:path) => {
        fn query<'q>(step: &'q $crate::store::sql::Step<'q>) -> sqlx::query::Query<'q, $db, $args> {
            use $crate::store::sql::row::Arg;
            let (statement, args) = step;
            let query = sqlx::query(statement.text());
            statement.order().iter().fold(query, |query, number| match args[usize::from(*number) - 1] {
                Arg::Int(value) => query.bind(value),
                Arg::Bytes(value) => query.bind(value),
                Arg::Text(value) => query.bind(value),
                Arg::Flag(value) => query.bind(value),
            })
        }

        impl $crate::store::sql::row::Columns for $row {
            fn int(&self, index: usize) -> Result<i64, $crate::store::sql::row::Unreadable> {
                read(self.try_get(index))
            }

            fn maybe_int(&self, index: usize) -> Result<Option<i64>, $crate::store::sql::row::Unreadable> {
                read(self.try_get(index))
            }

            fn flag(&self, index: usize) -> Result<bool, $crate::store::sql::row::Unreadable> {
                read(self.try_get(index))
            }

            fn bytes(&self, index: usize) -> Result<Option<&[u8]>, $crate::store::sql::row::Unreadable> {
                read(self.try_get_unchecked(index))
            }
        }

        fn read<T>(value: sqlx::Result<T>) -> Result<T, $crate::store::sql::row::Unreadable> {
            value.map_err(|error| $crate::store::sql::row::Unreadable::of(error, $failed))
        }
    };
}
pub(in crate::store) use sqlx_glue;

/// Implements `SessionStore` for a `Backend`.
macro_rules! sql_store {
    ($store:ty) => {
        impl $crate::store::SessionStore for $store {
            fn create<'a>(
                &'a self,
                new: &'a ::std::sync::Arc<$crate::session::Record>,
                replaces: &'a [$crate::store::SessionKey],
                limit: ::std::num::NonZeroU32,
                now: ::time::OffsetDateTime,
            ) -> $crate::store::StoreFuture<'a, $crate::store::Created> {
                Box::pin($crate::store::sql::create(self, new, replaces, limit, now))
            }

            fn load<'a>(
                &'a self,
                sessions: &'a [$crate::token::TokenRef],
                now: ::time::OffsetDateTime,
            ) -> $crate::store::StoreFuture<'a, $crate::store::Loaded> {
                Box::pin($crate::store::sql::load(self, sessions, now))
            }

            fn apply<'a>(
                &'a self,
                caller: &'a $crate::store::Caller,
                update: &'a $crate::store::Update,
                now: ::time::OffsetDateTime,
            ) -> $crate::store::StoreFuture<'a, $crate::store::Applied> {
                Box::pin($crate::store::sql::apply(self, caller, update, now))
            }

            fn end<'a>(
                &'a self,
                user: &'a $crate::user_id::UserId,
                id: $crate::session::SessionId,
                by: Option<&'a $crate::store::Caller>,
                now: ::time::OffsetDateTime,
            ) -> $crate::store::StoreFuture<'a, $crate::store::Checked<bool>> {
                Box::pin($crate::store::sql::end(self, user, id, by, now))
            }

            fn end_all<'a>(
                &'a self,
                user: &'a $crate::user_id::UserId,
                except: Option<$crate::session::SessionId>,
                by: Option<&'a $crate::store::Caller>,
                now: ::time::OffsetDateTime,
            ) -> $crate::store::StoreFuture<'a, $crate::store::Checked<Vec<$crate::session::SessionId>>> {
                Box::pin($crate::store::sql::end_all(self, user, except, by, now))
            }

            fn list<'a>(
                &'a self,
                user: &'a $crate::user_id::UserId,
                by: Option<&'a $crate::store::Caller>,
                now: ::time::OffsetDateTime,
            ) -> $crate::store::StoreFuture<'a, $crate::store::Checked<Vec<::std::sync::Arc<$crate::session::Record>>>>
            {
                Box::pin($crate::store::sql::list(self, user, by, now))
            }

            fn purge_expired<'a>(
                &'a self,
                before: ::time::OffsetDateTime,
                limit: ::std::num::NonZeroU32,
            ) -> $crate::store::StoreFuture<'a, u64> {
                Box::pin($crate::store::sql::purge(self, before, limit))
            }
        }
    };
}
pub(in crate::store) use sql_store;
