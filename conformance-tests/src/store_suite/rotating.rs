//! New tokens for a row, and how long the ones before count.

use session_core::store::{Caller, Update, Updated};
use session_core::{Data, Record};
use time::Duration;

use super::{
    Fixture, GRACE, NOW, SEEN, StoreScenario, TICK, activity, becomes, caller, hash, live, new_data, record, rotation,
    rule, sealed, strict_rotation,
};

pub(super) const RULES: &[StoreScenario] = &[
    rule!("update", "a rotation replaces the token and keeps the rest", a_rotation),
    rule!("update", "each token is issued later than the one before", each_is_issued_later),
    rule!("update", "a rotation asked for twice is one", a_rotation_twice_is_one),
    rule!("update", "a strict rotation leaves no other token, and asked for twice is one", a_strict_rotation),
    rule!("seen", "a token that was presented is recorded with data in one step", seen_with_data_in_one_step),
    rule!(
        "seen",
        "a replaced token counts until its successor was presented",
        a_replaced_token_until_its_successor_is_seen
    ),
    rule!("grace", "once it was, a replaced token counts for less than the grace", a_replaced_token_until_the_grace),
    rule!("grace", "a token that was replaced twice is gone", replaced_twice),
    rule!("grace", "a replaced token finds its successor", a_replaced_token_finds_its_successor),
];

async fn a_rotation(fixture: Fixture) {
    let row = fixture.insert(Record { data: Data::from_text(r#"{"a":1}"#), ..record("ada") }).await;
    let (later, to) = (NOW + Duration::MINUTE, hash());
    let update = Update { rotation: rotation(to).rotation, ..activity(later, later + Duration::HOUR, NOW) };
    match fixture.update(&caller(&row), update, later).await {
        Updated::Done { expires_at } => assert_eq!(expires_at, later + Duration::HOUR),
        other => panic!("{other:?}"),
    }
    let expected = Record {
        token_hash: to,
        previous_token_hash: Some(row.token_hash),
        successor: Some(sealed(to)),
        token_issued_at: later,
        last_active_at: later,
        expires_at: later + Duration::HOUR,
        ..(*row).clone()
    };
    assert_eq!(*fixture.stored(&row, later).await.expect("live"), expected, "and the new token wasn't seen yet");
    assert_eq!(fixture.listed("ada", later).await, [row.id]);
}

async fn each_is_issued_later(fixture: Fixture) {
    let mut row = fixture.signed_in("ada").await;
    for strict in [false, true, false] {
        let to = hash();
        let update = if strict { strict_rotation(to) } else { rotation(to) };
        // By a clock that is an hour behind.
        fixture.update(&caller(&row), update, NOW - Duration::HOUR).await;
        let next = fixture.stored(&row, NOW).await.expect("live");
        assert_eq!(next.token_issued_at, row.token_issued_at + TICK);
        assert_eq!(next.strict_rotated_at == Some(next.token_issued_at), strict);
        row = next;
    }
}

/// The caller of a row's previous token, which was replaced at [`NOW`].
async fn superseded(fixture: &Fixture, seen: bool) -> (Record, Caller) {
    let row = fixture.insert(Record { token_issued_at: NOW - Duration::HOUR, ..record("ada") }).await;
    let to = hash();
    fixture.update(&caller(&row), rotation(to), NOW).await;
    let rotated = Record { token_hash: to, ..(*row).clone() };
    if seen {
        fixture.update(&caller(&rotated), SEEN, NOW).await;
    }
    (rotated, caller(&row))
}

async fn a_replaced_token_until_the_grace(fixture: Fixture) {
    let (rotated, old) = superseded(&fixture, true).await;
    let end = NOW + GRACE;
    let late = new_data(0, r#"{"late":1}"#);
    let wrote = fixture.update(&old, late.clone(), end - TICK).await;
    assert!(matches!(wrote, Updated::Done { .. }), "{wrote:?}");
    assert!(!live(fixture.store.list(&old.user_id, Some(&old), end - TICK).await).is_empty());
    for update in [
        Update::default(),
        new_data(becomes(&late), "{}"),
        new_data(0, "{}"),
        late.clone(),
        rotation(hash()),
        strict_rotation(hash()),
        SEEN,
        activity(end, end + Duration::HOUR, end),
    ] {
        assert!(matches!(fixture.update(&old, update, end).await, Updated::Gone));
    }
    assert!(super::is_gone(fixture.store.list(&old.user_id, Some(&old), end).await));
    assert!(super::is_gone(fixture.store.end(&old.user_id, old.id, Some(&old), end).await));
    assert!(super::is_gone(fixture.store.end_all(&old.user_id, None, Some(&old), end).await));
    let longer = Caller { grace: GRACE * 2, ..old };
    assert!(
        matches!(fixture.update(&longer, Update::default(), end).await, Updated::Done { .. }),
        "the caller's grace"
    );
    let stored = fixture.stored(&rotated, end).await.expect("the session lives on under its new token");
    assert_eq!((stored.data.text(), stored.version), (r#"{"late":1}"#, becomes(&late)));
}

async fn a_replaced_token_until_its_successor_is_seen(fixture: Fixture) {
    let (rotated, old) = superseded(&fixture, false).await;
    let late = NOW + GRACE * 30;
    let wrote = fixture.update(&old, new_data(0, r#"{"late":1}"#), late).await;
    assert!(matches!(wrote, Updated::Done { .. }), "{wrote:?}");
    assert!(!live(fixture.store.list(&old.user_id, Some(&old), late).await).is_empty());
    // A replaced token doesn't count as its successor's presentation.
    assert!(matches!(fixture.update(&old, SEEN, late).await, Updated::Done { .. }));
    let stored = fixture.stored(&rotated, late).await.expect("live");
    assert_eq!((stored.token_seen, stored.successor), (false, Some(sealed(stored.token_hash))));

    let seen = Update { seen: true, ..activity(NOW, NOW, NOW - Duration::DAY) };
    assert!(matches!(fixture.update(&caller(&rotated), seen, late).await, Updated::Done { .. }), "activity or not");
    let stored = fixture.stored(&rotated, late).await.expect("live");
    assert_eq!((stored.token_seen, stored.successor, stored.last_active_at), (true, None, NOW));
    assert!(matches!(fixture.update(&old, Update::default(), late).await, Updated::Gone));
}

async fn seen_with_data_in_one_step(fixture: Fixture) {
    let (rotated, _) = superseded(&fixture, false).await;
    let both = Update { seen: true, ..new_data(0, r#"{"a":1}"#) };
    assert!(matches!(fixture.update(&caller(&rotated), both.clone(), NOW).await, Updated::Done { .. }));
    let stored = fixture.stored(&rotated, NOW).await.expect("live");
    assert_eq!((stored.token_seen, stored.successor, stored.data.text()), (true, None, r#"{"a":1}"#));
    let again = Update { data: new_data(0, "{}").data, ..both };
    assert!(matches!(fixture.update(&caller(&rotated), again, NOW).await, Updated::Conflict(_)));
}

async fn replaced_twice(fixture: Fixture) {
    let first = fixture.signed_in("ada").await;
    let second = Record { token_hash: hash(), ..(*first).clone() };
    let third = Record { token_hash: hash(), ..(*first).clone() };
    fixture.update(&caller(&first), rotation(second.token_hash), NOW).await;
    fixture.update(&caller(&second), rotation(third.token_hash), NOW).await;
    assert!(matches!(fixture.update(&caller(&first), Update::default(), NOW).await, Updated::Gone));
    assert!(matches!(fixture.update(&caller(&second), Update::default(), NOW).await, Updated::Done { .. }));
    assert!(matches!(fixture.update(&caller(&third), Update::default(), NOW).await, Updated::Done { .. }));
}

async fn a_replaced_token_finds_its_successor(fixture: Fixture) {
    let (rotated, old) = superseded(&fixture, false).await;
    let later = NOW + Duration::SECOND;
    let update = Update { rotation: rotation(hash()).rotation, ..activity(later, later + Duration::hours(2), later) };
    match fixture.update(&old, update, later).await {
        Updated::Superseded(row) => {
            assert_eq!((row.token_hash, row.successor), (rotated.token_hash, Some(sealed(rotated.token_hash))));
        }
        other => panic!("{other:?}"),
    }
    let stored = fixture.stored(&rotated, NOW).await.expect("lives on under the winner's token");
    assert_eq!((stored.previous_token_hash, stored.token_issued_at), (Some(old.token), NOW));
    assert_eq!((stored.last_active_at, stored.expires_at), (later, later + Duration::hours(2)), "the rest is done");
}

async fn a_rotation_twice_is_one(fixture: Fixture) {
    let row = fixture.signed_in("ada").await;
    let to = hash();
    assert!(matches!(fixture.update(&caller(&row), rotation(to), NOW).await, Updated::Done { .. }));
    let once = fixture.stored(&row, NOW).await.expect("live");
    match fixture.update(&caller(&row), rotation(to), NOW).await {
        Updated::Superseded(row) => assert_eq!(*row, *once, "it finds what it has done"),
        other => panic!("{other:?}"),
    }
    assert_eq!(fixture.stored(&row, NOW).await, Some(once));
}

async fn a_strict_rotation(fixture: Fixture) {
    for by_previous in [false, true] {
        let (rotated, old) = superseded(&fixture, by_previous).await;
        let (later, to) = (NOW + Duration::SECOND, hash());
        let by = if by_previous { old.clone() } else { caller(&rotated) };
        let update =
            Update { rotation: strict_rotation(to).rotation, ..activity(later, later + Duration::HOUR, later) };
        for _ in 0..2 {
            match fixture.update(&by, update.clone(), later).await {
                Updated::Done { expires_at } => assert_eq!(expires_at, later + Duration::HOUR),
                other => panic!("{other:?}"),
            }
            let stored = fixture.stored(&rotated, later).await.expect("live");
            let expected = Record {
                token_hash: to,
                previous_token_hash: None,
                token_issued_at: later,
                token_seen: false,
                successor: None,
                strict_rotated_at: Some(later),
                last_active_at: later,
                expires_at: later + Duration::HOUR,
                ..rotated.clone()
            };
            assert_eq!(*stored, expected);
        }
        for dead in [old, caller(&rotated)] {
            for update in [Update::default(), new_data(0, "{}"), rotation(hash()), strict_rotation(hash())] {
                assert!(matches!(fixture.update(&dead, update, later).await, Updated::Gone));
            }
            assert!(super::is_gone(fixture.store.list(&dead.user_id, Some(&dead), later).await));
        }
    }
}
