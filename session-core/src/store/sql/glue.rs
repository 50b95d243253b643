//! What sqlx has for each database under another type, written once as a macro.

/// Defines `query`, which binds the values of a step, and reads `$row` as `Columns`. `$failed` says what an unreadable schema
/// means.
macro_rules! sqlx_glue {
    ($db:ty, $row:ty, $args:ty, $failed:path) => {
        fn query<'q>(step: &'q $crate::store::sql::task::Step<'q>) -> sqlx::query::Query<'q, $db, $args> {
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
