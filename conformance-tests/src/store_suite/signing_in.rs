//! New rows: what they replace, and the limit that they keep to.

use std::num::NonZeroU32;
use std::sync::Arc;

use session_core::store::{Created, Replaced, SessionKey};
use session_core::{Data, Record};
use time::Duration;

use super::{
    Fixture, MANY, NONE_EVICTED, NOW, StoreScenario, TICK, activity, becomes, caller, evicted, hash, id_of, key, live,
    new_data, record, rule,
};

pub(super) const RULES: &[StoreScenario] = &[
    rule!("create", "the session that it replaces is ended", the_replaced_one_ends),
    rule!("create", "the session that it replaces may be another user's", replaces_across_users),
    rule!("create", "it replaces up to three sessions of any users at once", replaces_three),
    rule!("create", "what it replaces may be gone already", what_it_replaces_may_be_gone),
    rule!("create", "a replaced session of another version than named changes nothing", another_version),
    rule!("create", "a visitor's session is a row like others", a_visitors_row),
    rule!("create", "nothing is kept of a visitor but the session", no_trace_of_a_visitor),
    rule!("create", "an id that is taken changes nothing, live or expired", a_taken_id_changes_nothing),
    rule!("create", "an id taken by an expired row keeps a sign-in out for good", an_expired_row_keeps_out),
    rule!("create", "it replaces a session only under its own user", replaces_only_under_its_user),
    rule!("create", "the least recently active beyond the limit are ended", the_least_recently_active_end),
    rule!("create", "it never evicts the new session itself", never_the_new_one),
    rule!("create", "expired, replaced and other users' rows don't count", what_does_not_count),
];

async fn the_replaced_one_ends(fixture: Fixture) {
    let (old, kept) = (fixture.signed_in("ada").await, fixture.signed_in("ada").await);
    let new = Arc::new(record("ada"));
    let created = fixture.store.create(&new, &[key(&old)], MANY, NOW).await.expect("create");
    assert_eq!(created, NONE_EVICTED, "what is replaced isn't evicted");
    assert_eq!(fixture.stored(&old, NOW).await, None);
    assert_eq!(fixture.listed("ada", NOW).await, [new.id, kept.id]);
}

async fn replaces_across_users(fixture: Fixture) {
    let (old, kept) = (fixture.signed_in("ada").await, fixture.signed_in("ada").await);
    let new = Arc::new(record("bob"));
    let created = fixture.store.create(&new, &[key(&old)], MANY, NOW).await.expect("create");
    assert_eq!(created, NONE_EVICTED);
    assert_eq!(fixture.stored(&old, NOW).await, None);
    assert_eq!((fixture.listed("ada", NOW).await, fixture.listed("bob", NOW).await), (vec![kept.id], vec![new.id]));
}

async fn replaces_three(fixture: Fixture) {
    let kept = [fixture.signed_in("ada").await, fixture.signed_in("bob").await];
    let old = [fixture.signed_in("ada").await, fixture.signed_in("bob").await, fixture.signed_in("eve").await];
    let new = Arc::new(record("ada"));
    let replaces = old.each_ref().map(|old| key(old));
    // With the two that stay ada is at the limit.
    let limit = NonZeroU32::new(2).expect("not zero");
    let created = fixture.store.create(&new, &replaces, limit, NOW).await.expect("create");
    assert_eq!(created, NONE_EVICTED, "what is replaced isn't evicted, and doesn't count");
    assert_eq!(fixture.listed("ada", NOW).await, [new.id, kept[0].id]);
    assert_eq!(fixture.listed("bob", NOW).await, [kept[1].id]);
    assert!(fixture.listed("eve", NOW).await.is_empty());
}

async fn a_taken_id_changes_nothing(fixture: Fixture) {
    for expires_at in [NOW + Duration::HOUR, NOW - Duration::HOUR] {
        let there = fixture.insert(Record { expires_at, ..record("ada") }).await;
        let (old, other) = (fixture.signed_in("ada").await, fixture.signed_in("ada").await);
        let again = Arc::new(Record { token_hash: hash(), data: Data::from_text("[]"), ..(*there).clone() });
        let created = fixture.other.create(&again, &[key(&old)], NonZeroU32::MIN, NOW).await.expect("create");
        assert_eq!(created, Created::Taken);
        let before = there.created_at - Duration::DAY;
        assert_eq!(fixture.stored(&there, before).await.as_deref(), Some(&*there), "{expires_at}");
        let listed = fixture.listed("ada", NOW).await;
        assert!(listed.contains(&old.id) && listed.contains(&other.id), "nothing is replaced or evicted");
        live(fixture.store.end_all(&there.user_id, None, None, NOW).await);
    }
}

async fn an_expired_row_keeps_out(fixture: Fixture) {
    let given_up = Arc::new(record("ada"));
    let expired = Arc::new(Record { expires_at: NOW, ..(*given_up).clone() });
    assert_eq!(fixture.store.create(&expired, &[], NonZeroU32::MAX, NOW).await.expect("create"), NONE_EVICTED);
    assert_eq!(fixture.other.create(&given_up, &[], MANY, NOW).await.expect("create"), Created::Taken);
    assert!(fixture.listed("ada", NOW).await.is_empty() && fixture.stored(&given_up, NOW).await.is_none());
    assert_eq!(fixture.store.purge_expired(NOW, MANY).await.expect("purge"), 1);
}

async fn what_it_replaces_may_be_gone(fixture: Fixture) {
    let ended = fixture.signed_in("ada").await;
    assert!(live(fixture.store.end(&ended.user_id, ended.id, None, NOW).await));
    for old in [&*ended, &record("ada"), &record("bob")] {
        let new = Arc::new(record("ada"));
        let created = fixture.store.create(&new, &[key(old)], MANY, NOW).await.expect("create");
        assert_eq!(created, NONE_EVICTED);
        assert_eq!(fixture.stored(&new, NOW).await.as_deref(), Some(&*new));
    }
    assert_eq!(fixture.listed("ada", NOW).await.len(), 3);
}

async fn another_version(fixture: Fixture) {
    let (old, other) = (fixture.signed_in("ada").await, fixture.signed_in("ada").await);
    let update = new_data(0, r#"{"cart":["tea"]}"#);
    fixture.update(&caller(&old), update.clone(), NOW).await;
    let row = fixture.stored(&old, NOW).await.expect("it is live");
    let new = Arc::new(record("bob"));
    let stale = [key(&other), Replaced { version: Some(0), ..key(&old) }];
    let created = fixture.store.create(&new, &stale, NonZeroU32::MIN, NOW).await.expect("create");
    assert_eq!(created, Created::Changed(Arc::clone(&row)));
    assert_eq!(fixture.stored(&new, NOW).await, None);
    assert_eq!(fixture.listed("ada", NOW).await.len(), 2, "nothing is replaced");

    let fresh = [key(&other), Replaced { version: Some(becomes(&update)), ..key(&old) }];
    let created = fixture.other.create(&new, &fresh, NonZeroU32::MIN, NOW).await.expect("create");
    assert_eq!(created, NONE_EVICTED);
    assert!(fixture.listed("ada", NOW).await.is_empty());
    // One that is gone, or has expired, has no version.
    let expired = fixture.insert(Record { expires_at: NOW, version: 7, ..record("eve") }).await;
    for gone in [&*old, &*expired] {
        let gone = [Replaced { version: Some(1), ..key(gone) }];
        let created = fixture.store.create(&Arc::new(record("bob")), &gone, MANY, NOW).await.expect("create");
        assert_eq!(created, NONE_EVICTED);
    }
}

async fn a_visitors_row(fixture: Fixture) {
    let visitor = fixture.insert(Record { persistent: false, version: 3, ..record("~visitor:1") }).await;
    assert!(visitor.user_id.is_visitor());
    assert_eq!(fixture.stored(&visitor, NOW).await.as_deref(), Some(&*visitor));
    assert_eq!(fixture.other.create(&visitor, &[], MANY, NOW).await.expect("create"), Created::Taken);
    fixture.update(&caller(&visitor), new_data(3, r#"{"cart":1}"#), NOW).await;
    let new = Arc::new(record("ada"));
    fixture.store.create(&new, &[key(&visitor)], MANY, NOW).await.expect("create");
    assert_eq!(fixture.stored(&visitor, NOW).await, None);
    let expired = fixture.insert(Record { expires_at: NOW, ..record("~visitor:2") }).await;
    assert_eq!(fixture.store.purge_expired(NOW, MANY).await.expect("purge"), 1);
    assert_eq!(fixture.other.create(&expired, &[], MANY, NOW).await.expect("create"), NONE_EVICTED);
}

async fn no_trace_of_a_visitor(fixture: Fixture) {
    let visitor = fixture.insert(record("~visitor:1")).await;
    fixture.store.end(&visitor.user_id, visitor.id, None, NOW).await.expect("end");
    for _ in 0..2 {
        let forgotten = fixture.store.forget_users(None, NOW, NOW, MANY).await.expect("forget_users");
        assert_eq!(forgotten.users, 0, "a user of its own was kept, who would have to be locked");
    }
}

async fn replaces_only_under_its_user(fixture: Fixture) {
    let old = fixture.signed_in("ada").await;
    let wrong = SessionKey { user_id: id_of("bob"), id: old.id }.into();
    let new = Arc::new(record("bob"));
    fixture.store.create(&new, &[wrong], MANY, NOW).await.expect("create");
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
    fixture.update(&caller(&rows[0]), activity(now, now + Duration::HOUR, NOW), now).await;
    let new = Arc::new(Record { created_at: now, authenticated_at: now, last_active_at: now, ..record("ada") });
    let mut ended = evicted(fixture.store.create(&new, &[], limit, now).await.expect("create"));
    ended.sort();
    assert_eq!(ended, [rows[1].id, rows[2].id, rows[3].id]);
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
        let ended = evicted(fixture.store.create(&new, &[], limit, NOW).await.expect("create"));
        assert!(!ended.contains(&new.id));
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
    let created = fixture.store.create(&new, &[key(&old)], two, NOW + TICK).await.expect("create");
    assert_eq!(created, NONE_EVICTED, "one live one is left, so there is room");
    assert_eq!(fixture.listed("ada", NOW + TICK).await, [new.id, kept.id]);
    for other in others {
        assert!(fixture.stored(&other, NOW).await.is_some());
    }
    assert_eq!(fixture.stored(&expired, NOW + TICK).await, None);
}
