//! Changes of one row: data on its version, and activity. Not here: new tokens, see `rotating`;
//! writes that are asked for again, see `identity`.

use session_core::store::{Caller, Update, Updated};
use session_core::{Data, Record};
use time::Duration;

use super::{
    Fixture, NOW, StoreScenario, TICK, activity, becomes, caller, hash, id_of, live, new_data, record, rotation, rule,
};

pub(super) const RULES: &[StoreScenario] = &[
    rule!("update", "data on the right version is stored and names itself", data_on_its_version),
    rule!("update", "data on another version is a conflict that changes nothing", conflicts_change_nothing),
    rule!("update", "an update of nothing checks the caller and changes nothing", an_empty_update_checks),
    rule!("update", "a row that ended, or never was, is never inserted", never_inserts),
    rule!("update", "a caller with another user, id or token is gone", wrong_callers_are_gone),
    rule!("update", "activity is recorded only when due", activity_only_when_due),
    rule!("update", "activity only moves forward", activity_only_forward),
    rule!("update", "data and activity in one step", data_and_activity),
];

async fn data_on_its_version(fixture: Fixture) {
    let row = fixture.signed_in("ada").await;
    let mut version = 0;
    for n in 0..3 {
        let text = format!(r#"{{"n":{n}}}"#);
        let update = new_data(version, &text);
        version = becomes(&update);
        let Updated::Done { expires_at } = fixture.update(&caller(&row), update, NOW).await else {
            panic!("the version is right")
        };
        assert_eq!(expires_at, row.expires_at);
        let stored = fixture.stored(&row, NOW).await.expect("live");
        let expected = Record { data: Data::from_text(text), version, ..(*row).clone() };
        assert_eq!(*stored, expected, "nothing else changed");
    }
}

async fn conflicts_change_nothing(fixture: Fixture) {
    let row = fixture.signed_in("ada").await;
    fixture.update(&caller(&row), new_data(0, r#"{"n":1}"#), NOW).await;
    let stored = fixture.stored(&row, NOW).await.expect("live");
    for based_on in [0, 2, -1, i64::MAX] {
        let update = Update {
            rotation: rotation(hash()).rotation,
            ..Update {
                activity: activity(NOW + Duration::MINUTE, NOW + Duration::DAY, NOW).activity,
                ..new_data(based_on, r#"{"n":2}"#)
            }
        };
        match fixture.update(&caller(&row), update, NOW).await {
            Updated::Conflict(now) => assert_eq!(*now, *stored),
            other => panic!("based on {based_on}: {other:?}"),
        }
        assert_eq!(fixture.stored(&row, NOW).await.as_deref(), Some(&*stored), "based on {based_on}");
    }
}

async fn an_empty_update_checks(fixture: Fixture) {
    let row = fixture.signed_in("ada").await;
    match fixture.update(&caller(&row), Update::default(), NOW).await {
        Updated::Done { expires_at } => assert_eq!(expires_at, row.expires_at),
        other => panic!("{other:?}"),
    }
    assert_eq!(fixture.stored(&row, NOW).await.as_deref(), Some(&*row));
}

async fn never_inserts(fixture: Fixture) {
    let ended = fixture.signed_in("ada").await;
    assert!(live(fixture.other.end(&ended.user_id, ended.id, None, NOW).await));
    let never = record("ada");
    for row in [&*ended, &never] {
        for update in [
            Update::default(),
            new_data(0, "{}"),
            rotation(hash()),
            activity(NOW, NOW + Duration::HOUR, NOW),
            rotation(row.token_hash),
        ] {
            assert!(matches!(fixture.update(&caller(row), update, NOW).await, Updated::Gone));
            assert_eq!(fixture.stored(row, NOW).await, None);
        }
    }
    assert!(fixture.listed("ada", NOW).await.is_empty());
}

async fn wrong_callers_are_gone(fixture: Fixture) {
    let row = fixture.signed_in("ada").await;
    let other = fixture.signed_in("ada").await;
    let me = caller(&row);
    let wrong = [
        Caller { user_id: id_of("bob"), ..me.clone() },
        Caller { id: other.id, ..me.clone() },
        Caller { token: other.token_hash, ..me.clone() },
        Caller { token: hash(), ..me.clone() },
    ];
    for caller in wrong {
        for update in [Update::default(), new_data(0, r#"{"a":1}"#), new_data(9, "{}"), rotation(hash())] {
            assert!(matches!(fixture.update(&caller, update, NOW).await, Updated::Gone), "{caller:?}");
        }
    }
    assert_eq!(fixture.stored(&row, NOW).await.as_deref(), Some(&*row));
    assert_eq!(fixture.stored(&other, NOW).await.as_deref(), Some(&*other));
}

async fn activity_only_when_due(fixture: Fixture) {
    let row = fixture.signed_in("ada").await;
    let (later, end) = (NOW + Duration::MINUTE, NOW + Duration::hours(2));
    match fixture.update(&caller(&row), activity(later, end, NOW - TICK), later).await {
        Updated::Done { expires_at, .. } => assert_eq!(expires_at, row.expires_at, "not due"),
        other => panic!("{other:?}"),
    }
    assert_eq!(fixture.stored(&row, later).await.expect("live").last_active_at, NOW);
    match fixture.update(&caller(&row), activity(later, end, NOW), later).await {
        Updated::Done { expires_at, .. } => assert_eq!(expires_at, end, "due"),
        other => panic!("{other:?}"),
    }
    let stored = fixture.stored(&row, later).await.expect("live");
    assert_eq!((stored.last_active_at, stored.expires_at, stored.version), (later, end, 0));
    assert_eq!((stored.created_at, stored.absolute_expires_at), (NOW, row.absolute_expires_at));
}

async fn activity_only_forward(fixture: Fixture) {
    let row = fixture.signed_in("ada").await;
    let earlier = NOW - Duration::HOUR;
    fixture.update(&caller(&row), activity(earlier, earlier, NOW), earlier).await;
    let stored = fixture.stored(&row, NOW).await.expect("no clock that jumps back shortens it");
    assert_eq!((stored.last_active_at, stored.expires_at), (NOW, row.expires_at));
    fixture.update(&caller(&row), activity(NOW + TICK, NOW + TICK, NOW), NOW).await;
    let stored = fixture.stored(&row, NOW + TICK).await.expect("a shorter end doesn't shorten it");
    assert_eq!((stored.last_active_at, stored.expires_at), (NOW + TICK, row.expires_at));
    fixture.update(&caller(&row), activity(NOW, NOW + Duration::hours(3), NOW + TICK), NOW).await;
    let stored = fixture.stored(&row, NOW).await.expect("live");
    assert_eq!((stored.last_active_at, stored.expires_at), (NOW + TICK, NOW + Duration::hours(3)), "each by itself");
}

async fn data_and_activity(fixture: Fixture) {
    let row = fixture.signed_in("ada").await;
    let later = NOW + Duration::MINUTE;
    let both = |based_on, unless_after| Update {
        activity: activity(later, NOW + Duration::hours(2), unless_after).activity,
        ..new_data(based_on, r#"{"a":1}"#)
    };
    let first = both(0, NOW - TICK);
    fixture.update(&caller(&row), first.clone(), later).await;
    let stored = fixture.stored(&row, later).await.expect("live");
    let kept_back = "activity that isn't due doesn't keep data back";
    assert_eq!((stored.version, stored.last_active_at), (becomes(&first), NOW), "{kept_back}");
    let second = both(stored.version, NOW);
    fixture.update(&caller(&row), second.clone(), later).await;
    let stored = fixture.stored(&row, later).await.expect("live");
    assert_eq!((stored.version, stored.last_active_at), (becomes(&second), later));
    assert_eq!((stored.data.text(), stored.expires_at), (r#"{"a":1}"#, NOW + Duration::hours(2)));
}
