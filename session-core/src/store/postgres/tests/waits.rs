//! What happens to an operation that has to wait for a row that another one has locked.

use time::OffsetDateTime;

use super::*;
use crate::model::session_id::SessionId;
use crate::store::Checked;

/// How many connections of the schema's stores wait for a lock.
async fn waiting(conn: &mut PgConnection, schema: &Schema) -> i64 {
    let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'";
    sqlx::query(count).bind(&schema.name).fetch_one(conn).await.unwrap().get(0)
}

/// A connection that has locked the row of `id` by setting its activity in a transaction, and one
/// to look from.
async fn holding(schema: &Schema, id: SessionId, at: OffsetDateTime) -> (PgConnection, PgConnection) {
    let options = schema.options.clone().application_name("another");
    let mut holds = PgConnection::connect_with(&options).await.unwrap();
    run(&mut holds, "BEGIN").await;
    let set = "UPDATE cookie_session SET last_active_at = $1 WHERE id = $2";
    let micros = i64::try_from(at.unix_timestamp_nanos() / 1000).unwrap();
    sqlx::query(set).bind(micros).bind(&id.as_bytes()[..]).execute(&mut holds).await.unwrap();
    (holds, PgConnection::connect_with(&options).await.unwrap())
}

#[tokio::test]
async fn a_session_that_became_active_while_a_sign_in_waited_is_not_the_one_to_go() {
    let Some(schema) = Schema::new().await else { return };
    let store = schema.store(4).await;
    let (oldest, other) = (record(1, "ada"), record(2, "ada"));
    store.create(&oldest, &[], LIMIT, NOW).await.unwrap();
    store.create(&other, &[], LIMIT, NOW).await.unwrap();
    let (mut holds, mut looks) = holding(&schema, oldest.id, NOW + time::Duration::MINUTE).await;
    let signs_in = store.clone();
    let sign_in = tokio::spawn(async move { signs_in.create(&record(3, "ada"), &[], LIMIT, NOW).await });
    while waiting(&mut looks, &schema).await == 0 {}
    run(&mut holds, "COMMIT").await;
    assert_eq!(sign_in.await.unwrap().unwrap(), crate::store::Created::Inserted { evicted: vec![other.id] });
    schema.end().await;
}

#[tokio::test]
async fn an_end_of_a_session_waits_for_what_that_session_ends() {
    let Some(schema) = Schema::new().await else { return };
    let store = schema.store(4).await;
    let (one, other) = (record(1, "ada"), record(2, "ada"));
    store.create(&one, &[], LIMIT, NOW).await.unwrap();
    store.create(&other, &[], LIMIT, NOW).await.unwrap();
    let (mut holds, mut looks) = holding(&schema, other.id, NOW).await;
    // On two nodes: on one, the second change would wait for the first before it takes a
    // connection.
    let (revokes, signs_out) = (store, schema.store(4).await);
    let (by, target) = (caller(&one), other.id);
    let revocation = tokio::spawn(async move { revokes.end(&by.user_id, target, Some(&by), NOW).await });
    while waiting(&mut looks, &schema).await == 0 {}
    let sign_out = tokio::spawn(async move { signs_out.end(&one.user_id, one.id, None, NOW).await });
    while waiting(&mut looks, &schema).await < 2 {
        assert!(!sign_out.is_finished(), "it ended while what it had asked for was still under way");
    }
    run(&mut holds, "COMMIT").await;
    assert_eq!(revocation.await.unwrap().unwrap(), Checked::Live(true));
    assert_eq!(sign_out.await.unwrap().unwrap(), Checked::Live(true));
    schema.end().await;
}

#[tokio::test]
async fn a_migration_that_is_dropped_spoils_no_connection() {
    let Some(schema) = Schema::new().await else { return };
    let direct = schema.store(4).await;
    let pool = PgPoolOptions::new().max_connections(1).test_before_acquire(false);
    let store = PostgresStore::new(pool.connect_with(schema.options.clone()).await.unwrap());
    let new = record(1, "ada");
    direct.create(&new, &[], LIMIT, NOW).await.unwrap();
    let mut version = 0;
    for polls in 0..60 {
        // So that the migration begins a transaction.
        run(&mut direct.pool.acquire().await.unwrap(), "UPDATE cookie_session_schema SET version = 0").await;
        let turns = async {
            for _ in 0..polls {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            _ = store.migrate() => {}
            () = turns => {}
        }
        let data = NewData::new(version, Data::from_text("{}"));
        version = data.becomes;
        let update = Update { data: Some(data), ..Update::default() };
        store.update(&caller(&new), &update, NOW).await.unwrap();
        let seen = Arc::clone(&direct.load(&token(&new), NOW).await.unwrap()[0]);
        assert_eq!(seen.version, version, "dropped after {polls} polls: what was acknowledged is there for others");
    }
    schema.end().await;
}
