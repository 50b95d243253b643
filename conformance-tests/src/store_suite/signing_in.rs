//! New rows: what they replace, and the limit that they keep to.

use std::num::NonZeroU32;
use std::sync::Arc;

use session_core::Record;
use session_core::store::{Created, Replaced};
use time::Duration;

use super::{Fixture, MANY, NOW, StoreScenario, TICK, activity, caller, id_of, live, record, replaced, rule};

pub(super) const RULES: &[StoreScenario] = &[
    rule!("create", "the session that it replaces is ended", the_replaced_one_ends),
    rule!("create", "the session that it replaces may be another user's", replaces_across_users),
    rule!("create", "what it replaces may be gone already", what_it_replaces_may_be_gone),
    rule!("create", "it replaces a session only under its own user", replaces_only_under_its_user),
    rule!("create", "the least recently active beyond the limit are ended", the_least_recently_active_end),
    rule!("create", "it never evicts the new session itself", never_the_new_one),
    rule!("create", "expired, replaced and other users' rows don't count", what_does_not_count),
];

async fn the_replaced_one_ends(fixture: Fixture) {
    let (old, kept) = (fixture.signed_in("ada").await, fixture.signed_in("ada").await);
    let new = Arc::new(record("ada"));
    let created = fixture.store.create(&new, Some(&replaced(&old)), MANY, NOW).await.expect("create");
    assert_eq!(created, Created::default(), "what is replaced isn't evicted");
    assert_eq!(fixture.stored(&old, NOW).await, None);
    assert_eq!(fixture.listed("ada", NOW).await, [new.id, kept.id]);
}

async fn replaces_across_users(fixture: Fixture) {
    let (old, kept) = (fixture.signed_in("ada").await, fixture.signed_in("ada").await);
    let new = Arc::new(record("bob"));
    let created = fixture.store.create(&new, Some(&replaced(&old)), MANY, NOW).await.expect("create");
    assert_eq!(created, Created::default());
    assert_eq!(fixture.stored(&old, NOW).await, None);
    assert_eq!((fixture.listed("ada", NOW).await, fixture.listed("bob", NOW).await), (vec![kept.id], vec![new.id]));
}

async fn what_it_replaces_may_be_gone(fixture: Fixture) {
    let ended = fixture.signed_in("ada").await;
    assert!(live(fixture.store.end(&ended.user_id, ended.id, None, NOW).await));
    for old in [&*ended, &record("ada"), &record("bob")] {
        let new = Arc::new(record("ada"));
        let created = fixture.store.create(&new, Some(&replaced(old)), MANY, NOW).await.expect("create");
        assert_eq!(created, Created::default());
        assert_eq!(fixture.stored(&new, NOW).await.as_deref(), Some(&*new));
    }
    assert_eq!(fixture.listed("ada", NOW).await.len(), 3);
}

async fn replaces_only_under_its_user(fixture: Fixture) {
    let old = fixture.signed_in("ada").await;
    let wrong = Replaced { user_id: id_of("bob"), id: old.id };
    let new = Arc::new(record("bob"));
    fixture.store.create(&new, Some(&wrong), MANY, NOW).await.expect("create");
    assert_eq!(fixture.listed("ada", NOW).await, [old.id]);
    assert_eq!(fixture.listed("bob", NOW).await, [new.id]);
}

async fn the_least_recently_active_end(fixture: Fixture) {
    let limit = NonZeroU32::new(3).expect("not zero");
    let mut rows = Vec::new();
    for minute in 0..5 {
        let at = NOW + Duration::minutes(minute);
        rows.push(
            fixture.insert(Record { created_at: at, authenticated_at: at, last_active_at: at, ..record("ada") }).await,
        );
    }
    let now = NOW + Duration::minutes(5);
    fixture.apply(&caller(&rows[0]), activity(now, now + Duration::HOUR, NOW), now).await;
    let new = Arc::new(Record { created_at: now, authenticated_at: now, last_active_at: now, ..record("ada") });
    let mut created = fixture.store.create(&new, None, limit, now).await.expect("create");
    created.evicted.sort();
    assert_eq!(created.evicted, [rows[1].id, rows[2].id, rows[3].id]);
    assert_eq!(fixture.listed("ada", now).await, [new.id, rows[0].id, rows[4].id]);
    for row in &rows[1..4] {
        assert_eq!(fixture.stored(row, now).await, None);
    }
}

async fn never_the_new_one(fixture: Fixture) {
    let (one, two) = (NonZeroU32::MIN, NonZeroU32::new(2).expect("not zero"));
    for minute in 1..=3 {
        let at = NOW + Duration::minutes(minute);
        fixture.insert(Record { last_active_at: at, ..record("ada") }).await;
    }
    // A clock that jumped back: the new session is the least recently active.
    for limit in [two, one] {
        let new = Arc::new(Record { last_active_at: NOW - Duration::HOUR, ..record("ada") });
        let created = fixture.store.create(&new, None, limit, NOW).await.expect("create");
        assert!(!created.evicted.contains(&new.id));
        let listed = fixture.listed("ada", NOW).await;
        assert_eq!((listed.len(), listed.last()), (limit.get() as usize, Some(&new.id)));
    }
}

async fn what_does_not_count(fixture: Fixture) {
    let two = NonZeroU32::new(2).expect("not zero");
    let expired = fixture.insert(Record { expires_at: NOW + TICK, ..record("ada") }).await;
    let kept = fixture.signed_in("ada").await;
    let old = fixture.signed_in("ada").await;
    let others = [fixture.signed_in("Ada").await, fixture.signed_in("ada ").await, fixture.signed_in("bob").await];
    let new = Arc::new(record("ada"));
    let created = fixture.store.create(&new, Some(&replaced(&old)), two, NOW + TICK).await.expect("create");
    assert_eq!(created, Created::default(), "one live one is left, so there is room");
    assert_eq!(fixture.listed("ada", NOW + TICK).await, [new.id, kept.id]);
    for other in others {
        assert!(fixture.stored(&other, NOW).await.is_some());
    }
    assert_eq!(fixture.stored(&expired, NOW + TICK).await, None);
}
