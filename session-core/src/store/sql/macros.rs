//! Code that is the same for each database, but with other types of sqlx.

/// Defines `query`, which binds a statement's arguments, and implements `Columns` for `$row`.
/// `$failed` converts the error of a column that is missing or has another type.
macro_rules! impl_sqlx_row {
    ($db:ty, $row:ty, $args:ty, $failed:path) => {
        fn query<'q>(bound: &'q $crate::store::sql::change::BoundStatement<'q>) -> sqlx::query::Query<'q, $db, $args> {
            use $crate::store::sql::row::Arg;
            let (statement, args) = bound;
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
pub(in crate::store) use impl_sqlx_row;
