//! Tests of which sessions are remembered as too large for a batch.

use super::*;

/// The smallest number of bytes that is too large for a batch.
const TOO_LARGE: usize = MAX_BATCH_BYTES / MAX_BATCH + 1;

fn id(number: usize) -> SessionId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    SessionId::from_bytes(bytes)
}

#[test]
fn a_large_session_is_remembered_until_it_shrinks() {
    let large = LargeSessions::default();
    large.note(id(1), TOO_LARGE - 1);
    assert_eq!(large.bytes(id(1)), None, "it fits into a batch");
    large.note(id(1), TOO_LARGE);
    large.note(id(2), 1 << 20);
    assert_eq!([1, 2, 3].map(|number| large.bytes(id(number))), [Some(TOO_LARGE), Some(1 << 20), None]);
    large.note(id(2), 2 << 20);
    large.note(id(1), TOO_LARGE - 1);
    assert_eq!([1, 2].map(|number| large.bytes(id(number))), [None, Some(2 << 20)]);
    large.note(id(2), 0);
    assert_eq!(large.bytes(id(2)), None);
    assert!(large.lock().is_empty() && !large.is_used.load(Ordering::Relaxed));
}

#[test]
fn the_number_of_remembered_sessions_is_limited() {
    let large = LargeSessions::default();
    for number in 0..LargeSessions::MAX {
        large.note(id(number), TOO_LARGE);
    }
    large.note(id(0), 1 << 20);
    assert_eq!(large.lock().len(), LargeSessions::MAX, "a remembered session needs no more room");
    assert_eq!(large.bytes(id(0)), Some(1 << 20));
    for number in 0..3 * LargeSessions::MAX {
        large.note(id(number), TOO_LARGE);
        assert!(large.lock().len() <= LargeSessions::MAX);
    }
    large.note(id(0), TOO_LARGE);
    assert_eq!(large.bytes(id(0)), Some(TOO_LARGE), "there is room again");
}

#[cfg(feature = "sqlite-unbundled")]
mod with_a_store {
    use std::fmt;

    use sqlx_sqlite::SqliteRow;

    use super::*;
    use crate::SqliteStore;
    use crate::model::data::Data;
    use crate::store::sql::change::BoundStatement;
    use crate::store::sql::statements::Statements;
    use crate::store::sql::testing::{LIMIT, NOW, caller, record, token};
    use crate::store::{NewData, SessionStore, Update};

    /// Records which sessions each statement looked up.
    #[derive(Clone)]
    struct Recording(SqliteStore, Arc<Mutex<Vec<Vec<u8>>>>);

    impl fmt::Debug for Recording {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("Recording")
        }
    }

    impl Recording {
        async fn record(&self, (_, args): &BoundStatement<'_>) {
            let ids = args.iter().filter_map(|arg| if let Arg::Bytes(bytes) = arg { *bytes } else { None });
            // Each id is one byte, repeated. Zeros are no session's id.
            let mut ids: Vec<_> =
                ids.flat_map(|ids| ids.iter().step_by(16)).copied().filter(|byte| *byte > 0).collect();
            ids.sort_unstable();
            self.1.lock().unwrap().push(ids);
            // All concurrent look-ups arrive before the first of them is answered.
            tokio::task::yield_now().await;
        }

        /// Looks up all sessions at once. Returns which sessions each statement looked up.
        async fn look_up(&self, rows: &[Arc<Record>]) -> Vec<Vec<u8>> {
            self.1.lock().unwrap().clear();
            let submit = |row: &Arc<Record>| {
                let (store, lookup) = (self.clone(), Lookup { id: row.id, now: NOW });
                tokio::spawn(async move { lookup.submit(&store).await })
            };
            let lookups: Vec<_> = rows.iter().map(submit).collect();
            for (row, lookup) in rows.iter().zip(lookups) {
                assert_eq!(lookup.await.unwrap().unwrap().map(|found| found.id), Some(row.id));
            }
            let mut statements = self.1.lock().unwrap().clone();
            statements.sort();
            statements
        }
    }

    impl Backend for Recording {
        type Row = SqliteRow;

        fn batchers(&self) -> Option<&Batchers<SqliteRow>> {
            self.0.batchers()
        }

        fn sql(&self) -> &'static Statements {
            self.0.sql()
        }

        async fn read(&self, statement: BoundStatement<'_>) -> Result<Vec<SqliteRow>, StoreError> {
            self.record(&statement).await;
            self.0.read(statement).await
        }

        async fn read_one(&self, statement: BoundStatement<'_>) -> Result<Option<SqliteRow>, StoreError> {
            self.record(&statement).await;
            self.0.read_one(statement).await
        }

        async fn write(&self, statement: BoundStatement<'_>) -> Result<WriteResult<SqliteRow>, StoreError> {
            self.0.write(statement).await
        }

        fn max_data_bytes(&self) -> Option<usize> {
            Backend::max_data_bytes(&self.0)
        }

        async fn change(&self, change: Change) -> Result<WriteResult<SqliteRow>, StoreError> {
            self.0.change(change).await
        }
    }

    #[tokio::test]
    async fn a_large_session_is_looked_up_separately_until_it_shrinks() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("sessions.db");
        let store = Recording(SqliteStore::open(path.to_str().unwrap()).await.unwrap(), Arc::default());
        let large = Data::from_text(format!(r#"{{"a":"{}"}}"#, "x".repeat(TOO_LARGE)));
        let mut rows: Vec<_> = (1..=5).map(|byte| record(byte, &format!("user {byte}"))).collect();
        Arc::make_mut(&mut rows[3]).data = large;
        for row in &rows {
            store.create(row, &[], LIMIT, NOW).await.unwrap();
        }
        // The first look-up to arrive runs at once.
        let first_time: [&[u8]; 3] = [&[1], &[2, 3, 4, 5], &[4]];
        assert_eq!(store.look_up(&rows).await, first_time);
        let remembered: [&[u8]; 3] = [&[1], &[2, 3, 5], &[4]];
        assert_eq!(store.look_up(&rows).await, remembered);
        assert_eq!(store.look_up(&rows).await, remembered);

        let small = NewData::new(rows[3].version, Data::from_text("{}"));
        let update = Update { data: Some(small), ..Update::default() };
        store.update(&caller(&rows[3]), &update, NOW).await.unwrap();
        assert_eq!(store.look_up(&rows).await, remembered, "this look-up shows that it shrank");
        let batched: [&[u8]; 2] = [&[1], &[2, 3, 4, 5]];
        assert_eq!(store.look_up(&rows).await, batched);
    }

    #[tokio::test]
    async fn a_large_session_that_has_ended_is_forgotten() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("sessions.db");
        let store = SqliteStore::open(path.to_str().unwrap()).await.unwrap();
        let row = record(1, "ada");
        let large = &store.batchers().unwrap().large;
        large.note(row.id, TOO_LARGE);
        assert!(store.load(&token(&row), NOW).await.unwrap().is_empty());
        assert_eq!(large.bytes(row.id), None);
    }
}
