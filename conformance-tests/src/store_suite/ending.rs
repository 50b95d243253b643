//! Ends of sessions, with and without a caller who must be live.

use session_core::store::Caller;
use session_core::{Record, SessionId};

use super::{Fixture, NOW, StoreScenario, TICK, caller, hash, id_of, is_gone, live, record, rotation, rule};

pub(super) const RULES: &[StoreScenario] = &[
    rule!("end", "it tells whether there was a live one, and ends only that", ends_one),
    rule!("end", "another user's session is none", another_users_is_none),
    rule!("end", "the caller must be live, or nothing changes", end_checks_its_caller),
    rule!("end_all", "it names the live ones that ended", ends_all),
    rule!("end_all", "all but one, where that one is the user's", all_but_one),
    rule!("end_all", "the caller must be live, or nothing changes", end_all_checks_its_caller),
    rule!("caller", "a caller in its grace is live, and another user's isn't this one's", callers),
];

async fn ends_one(fixture: Fixture) {
    let (one, two) = (fixture.signed_in("ada").await, fixture.signed_in("ada").await);
    assert!(live(fixture.store.end(&one.user_id, one.id, None, NOW).await));
    assert_eq!(fixture.stored(&one, NOW).await, None);
    assert!(!live(fixture.other.end(&one.user_id, one.id, None, NOW).await), "it has ended already");
    assert!(!live(fixture.other.end(&one.user_id, record("ada").id, None, NOW).await), "there never was one");
    assert_eq!(fixture.listed("ada", NOW).await, [two.id]);
    assert!(live(fixture.store.end(&two.user_id, two.id, Some(&caller(&two)), NOW).await), "oneself");
    assert!(fixture.listed("ada", NOW).await.is_empty());
}

async fn another_users_is_none(fixture: Fixture) {
    let row = fixture.signed_in("ada").await;
    for user in ["bob", "Ada", "ada "] {
        assert!(!live(fixture.store.end(&id_of(user), row.id, None, NOW).await), "{user:?}");
        assert!(live(fixture.store.end_all(&id_of(user), None, None, NOW).await).is_empty(), "{user:?}");
    }
    assert_eq!(fixture.stored(&row, NOW).await.as_deref(), Some(&*row));
}

/// Callers of `row` that aren't live.
fn impostors(row: &Record, ended: &Record) -> [Caller; 3] {
    let me = caller(row);
    [caller(ended), Caller { token: hash(), ..me.clone() }, Caller { id: record("ada").id, ..me }]
}

async fn end_checks_its_caller(fixture: Fixture) {
    let (one, two, ended) =
        (fixture.signed_in("ada").await, fixture.signed_in("ada").await, fixture.signed_in("ada").await);
    assert!(live(fixture.store.end(&ended.user_id, ended.id, None, NOW).await));
    for gone in impostors(&one, &ended) {
        for id in [one.id, two.id, ended.id, record("ada").id] {
            assert!(is_gone(fixture.store.end(&one.user_id, id, Some(&gone), NOW).await), "{gone:?}");
        }
    }
    assert_eq!(fixture.listed("ada", NOW).await.len(), 2);
    assert!(live(fixture.store.end(&one.user_id, two.id, Some(&caller(&one)), NOW).await));
    assert!(!live(fixture.store.end(&one.user_id, two.id, Some(&caller(&one)), NOW).await));
    assert_eq!(fixture.listed("ada", NOW).await, [one.id]);
}

async fn ends_all(fixture: Fixture) {
    let expired = fixture.insert(Record { expires_at: NOW + TICK, ..record("ada") }).await;
    let rows = [fixture.signed_in("ada").await, fixture.signed_in("ada").await];
    let other = fixture.signed_in("bob").await;
    let now = NOW + TICK;
    let ended = sorted(live(fixture.store.end_all(&expired.user_id, None, None, now).await));
    assert_eq!(ended, rows.map(|row| row.id), "the expired one had ended before");
    assert!(fixture.listed("ada", now).await.is_empty());
    assert!(live(fixture.other.end_all(&expired.user_id, None, None, now).await).is_empty());
    assert_eq!(fixture.listed("bob", now).await, [other.id]);
}

async fn all_but_one(fixture: Fixture) {
    let rows = [fixture.signed_in("ada").await, fixture.signed_in("ada").await, fixture.signed_in("ada").await];
    let other = fixture.signed_in("bob").await;
    let ended = live(fixture.store.end_all(&rows[0].user_id, Some(rows[1].id), None, NOW).await);
    assert_eq!(sorted(ended), [rows[0].id, rows[2].id]);
    assert_eq!(fixture.listed("ada", NOW).await, [rows[1].id]);
    let ended = live(fixture.store.end_all(&rows[0].user_id, Some(other.id), None, NOW).await);
    assert_eq!(ended, [rows[1].id], "another user's keeps nothing");
    assert_eq!(fixture.listed("bob", NOW).await, [other.id]);
}

async fn end_all_checks_its_caller(fixture: Fixture) {
    let (one, two, ended) =
        (fixture.signed_in("ada").await, fixture.signed_in("ada").await, fixture.signed_in("ada").await);
    assert!(live(fixture.store.end(&ended.user_id, ended.id, None, NOW).await));
    for gone in impostors(&one, &ended) {
        for except in [None, Some(one.id), Some(ended.id)] {
            assert!(is_gone(fixture.store.end_all(&one.user_id, except, Some(&gone), NOW).await), "{gone:?}");
        }
    }
    assert_eq!(fixture.listed("ada", NOW).await.len(), 2);
    assert_eq!(live(fixture.store.end_all(&one.user_id, Some(one.id), Some(&caller(&one)), NOW).await), [two.id]);
    assert_eq!(live(fixture.store.end_all(&one.user_id, None, Some(&caller(&one)), NOW).await), [one.id]);
}

async fn callers(fixture: Fixture) {
    let (old, two, bob) =
        (fixture.signed_in("ada").await, fixture.signed_in("ada").await, fixture.signed_in("bob").await);
    fixture.update(&caller(&old), rotation(hash()), NOW).await;
    assert!(live(fixture.store.end(&old.user_id, two.id, Some(&caller(&old)), NOW).await), "it rotated just now");
    let disguised = Caller { user_id: old.user_id.clone(), ..caller(&bob) };
    assert!(is_gone(fixture.store.list(&old.user_id, Some(&disguised), NOW).await));
    assert_eq!(fixture.listed("ada", NOW).await, [old.id]);
}

fn sorted(mut ids: Vec<SessionId>) -> Vec<SessionId> {
    ids.sort();
    ids
}
