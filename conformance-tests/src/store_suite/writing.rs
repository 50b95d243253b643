//! Changes of one row: data on its version, activity, rotation and its grace.

use session_core::store::{Applied, Caller, Update};
use session_core::{Data, Record};
use time::Duration;

use super::{
    Fixture, GRACE, NOW, SEEN, StoreScenario, TICK, activity, becomes, caller, hash, id_of, live, new_data, record,
    rotation, rule, sealed, strict_rotation,
};

pub(super) const RULES: &[StoreScenario] = &[
    rule!("apply", "data on the right version is stored and names itself", data_on_its_version),
    rule!("apply", "data on another version is a conflict that changes nothing", conflicts_change_nothing),
    rule!("identity", "data asked for again is done, and made once", asked_again),
    rule!("identity", "data asked for again is done while one other write is on top", asked_again_below_another),
    rule!("identity", "data that another write came before is a conflict, however often it is asked for", never_made),
    rule!("identity", "data asked for again is found on rows that a release counted up", counted_up),
    rule!("identity", "data asked for again with a rotation is done with it", asked_again_with_a_rotation),
    rule!("identity", "data that was made is gone with the session and with its token", made_and_gone),
    rule!("apply", "an update of nothing checks the caller and changes nothing", an_empty_update_checks),
    rule!("apply", "a row that ended, or never was, is never inserted", never_inserts),
    rule!("apply", "a caller with another user, id or token is gone", wrong_callers_are_gone),
    rule!("apply", "activity is recorded only when due", activity_only_when_due),
    rule!("apply", "activity only moves forward", activity_only_forward),
    rule!("apply", "data and activity in one step", data_and_activity),
    rule!("apply", "a rotation replaces the token and keeps the rest", a_rotation),
    rule!("apply", "each token is issued later than the one before", each_is_issued_later),
    rule!("apply", "a rotation asked for twice is one", a_rotation_twice_is_one),
    rule!("apply", "a strict rotation leaves no other token, and asked for twice is one", a_strict_rotation),
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

async fn data_on_its_version(fixture: Fixture) {
    let row = fixture.signed_in("ada").await;
    let mut version = 0;
    for n in 0..3 {
        let text = format!(r#"{{"n":{n}}}"#);
        let update = new_data(version, &text);
        version = becomes(&update);
        let Applied::Done { expires_at } = fixture.apply(&caller(&row), update, NOW).await else {
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
    fixture.apply(&caller(&row), new_data(0, r#"{"n":1}"#), NOW).await;
    let stored = fixture.stored(&row, NOW).await.expect("live");
    for based_on in [0, 2, -1, i64::MAX] {
        let update = Update {
            rotation: rotation(hash()).rotation,
            ..Update {
                activity: activity(NOW + Duration::MINUTE, NOW + Duration::DAY, NOW).activity,
                ..new_data(based_on, r#"{"n":2}"#)
            }
        };
        match fixture.apply(&caller(&row), update, NOW).await {
            Applied::Conflict(now) => assert_eq!(*now, *stored),
            other => panic!("based on {based_on}: {other:?}"),
        }
        assert_eq!(fixture.stored(&row, NOW).await.as_deref(), Some(&*stored), "based on {based_on}");
    }
}

async fn asked_again(fixture: Fixture) {
    let row = fixture.signed_in("ada").await;
    let later = NOW + Duration::MINUTE;
    let active = activity(later, later + Duration::HOUR, later).activity;
    let mut version = 0;
    // Alone, with activity, with activity that had been done before, and with what was presented.
    let [with_activity, with_seen] =
        [Update { activity: active, ..Update::default() }, Update { seen: true, ..Update::default() }];
    for (n, rest) in [Update::default(), with_activity.clone(), with_activity, with_seen].into_iter().enumerate() {
        let text = format!(r#"{{"n":{n}}}"#);
        let update = Update { data: new_data(version, &text).data, ..rest };
        version = becomes(&update);
        let Applied::Done { expires_at } = fixture.apply(&caller(&row), update.clone(), later).await else {
            panic!("{n}: the version is right")
        };
        let once = fixture.stored(&row, later).await.expect("live");
        assert_eq!((once.data.text(), once.version, once.expires_at), (&*text, version, expires_at));
        for handle in [&fixture.store, &fixture.other, &fixture.store] {
            match handle.apply(&caller(&row), &update, later).await.expect("apply") {
                Applied::Done { expires_at } => assert_eq!(expires_at, once.expires_at, "{n}"),
                other => panic!("{n}: {other:?}"),
            }
            assert_eq!(fixture.stored(&row, later).await.as_ref(), Some(&once), "{n}: nothing is made twice");
        }
    }
}

async fn asked_again_below_another(fixture: Fixture) {
    let row = fixture.signed_in("ada").await;
    let mine = new_data(0, r#"{"mine":1}"#);
    fixture.apply(&caller(&row), mine.clone(), NOW).await;
    let theirs = new_data(becomes(&mine), r#"{"mine":1,"theirs":1}"#);
    assert!(matches!(fixture.apply(&caller(&row), theirs.clone(), NOW).await, Applied::Done { .. }));
    let both = fixture.stored(&row, NOW).await.expect("live");
    for update in [&mine, &theirs, &mine] {
        let again = fixture.apply(&caller(&row), update.clone(), NOW).await;
        assert!(matches!(again, Applied::Done { .. }), "{again:?}");
        assert_eq!(fixture.stored(&row, NOW).await.as_ref(), Some(&both), "the other write stays");
    }
    // What is below two others is unknown.
    let third = new_data(becomes(&theirs), r#"{"mine":1,"theirs":2}"#);
    assert!(matches!(fixture.apply(&caller(&row), third, NOW).await, Applied::Done { .. }));
    let stored = fixture.stored(&row, NOW).await.expect("live");
    match fixture.apply(&caller(&row), mine, NOW).await {
        Applied::Conflict(row) => assert_eq!(row, stored),
        other => panic!("{other:?}"),
    }
    assert_eq!(fixture.stored(&row, NOW).await, Some(stored));
}

async fn never_made(fixture: Fixture) {
    let row = fixture.signed_in("ada").await;
    let mine = new_data(0, r#"{"mine":1}"#);
    let mut version = 0;
    for n in 0..3 {
        let theirs = new_data(version, &format!(r#"{{"theirs":{n}}}"#));
        version = becomes(&theirs);
        assert!(matches!(fixture.apply(&caller(&row), theirs, NOW).await, Applied::Done { .. }));
        let stored = fixture.stored(&row, NOW).await.expect("live");
        for _ in 0..2 {
            match fixture.apply(&caller(&row), mine.clone(), NOW).await {
                Applied::Conflict(row) => assert_eq!(row, stored),
                other => panic!("below {n}: {other:?}"),
            }
            assert_eq!(fixture.stored(&row, NOW).await.as_ref(), Some(&stored));
        }
    }
}

/// As releases do that only count: they write on the version that they have found, and make it one more.
fn counting(based_on: i64, text: &str) -> Update {
    let mut update = new_data(based_on, text);
    update.data.as_mut().expect("it has data").becomes = based_on + 1;
    update
}

async fn counted_up(fixture: Fixture) {
    for from in [0, 3, 41] {
        // Made, and counted up.
        let row = fixture.insert(Record { version: from, ..record("ada") }).await;
        let mine = new_data(from, r#"{"mine":1}"#);
        fixture.apply(&caller(&row), mine.clone(), NOW).await;
        let mut version = becomes(&mine);
        for count in 1..=6 {
            let theirs = counting(version, &format!(r#"{{"mine":1,"n":{count}}}"#));
            assert!(matches!(fixture.apply(&caller(&row), theirs, NOW).await, Applied::Done { .. }));
            version += 1;
            let stored = fixture.stored(&row, NOW).await.expect("live");
            assert_eq!(stored.version, version);
            let again = fixture.apply(&caller(&row), mine.clone(), NOW).await;
            assert!(matches!(again, Applied::Done { .. }), "from {from}, {count}: {again:?}");
            assert_eq!(fixture.stored(&row, NOW).await, Some(stored), "from {from}, {count}");
        }

        // Counted up first.
        let row = fixture.insert(Record { version: from, ..record("ada") }).await;
        let mine = new_data(from, r#"{"mine":1}"#);
        fixture.apply(&caller(&row), counting(from, r#"{"n":1}"#), NOW).await;
        for _ in 0..2 {
            let again = fixture.apply(&caller(&row), mine.clone(), NOW).await;
            assert!(matches!(&again, Applied::Conflict(row) if row.version == from + 1), "from {from}: {again:?}");
        }
        let rebased = new_data(from + 1, r#"{"mine":1,"n":1}"#);
        assert!(matches!(fixture.apply(&caller(&row), rebased, NOW).await, Applied::Done { .. }));
    }
}

async fn asked_again_with_a_rotation(fixture: Fixture) {
    let row = fixture.signed_in("ada").await;
    let to = hash();
    let update = Update { rotation: rotation(to).rotation, ..new_data(0, r#"{"a":1}"#) };
    assert!(matches!(fixture.apply(&caller(&row), update.clone(), NOW).await, Applied::Done { .. }));
    let once = fixture.stored(&row, NOW).await.expect("live");
    match fixture.apply(&caller(&row), update, NOW).await {
        Applied::Superseded(row) => assert_eq!(row, once, "it finds what it has done"),
        other => panic!("{other:?}"),
    }
    assert_eq!(fixture.stored(&row, NOW).await.as_ref(), Some(&once));

    let update = Update { rotation: strict_rotation(hash()).rotation, ..new_data(once.version, r#"{"a":2}"#) };
    assert!(matches!(fixture.apply(&caller(&once), update.clone(), NOW).await, Applied::Done { .. }));
    let once = fixture.stored(&row, NOW).await.expect("live");
    let again = fixture.apply(&Caller { token: to, ..caller(&row) }, update, NOW).await;
    assert!(matches!(again, Applied::Done { .. }), "{again:?}");
    assert_eq!((once.data.text(), fixture.stored(&row, NOW).await.as_ref()), (r#"{"a":2}"#, Some(&once)));
}

async fn made_and_gone(fixture: Fixture) {
    let row = fixture.signed_in("ada").await;
    let update = new_data(0, r#"{"a":1}"#);
    fixture.apply(&caller(&row), update.clone(), NOW).await;
    let other = Caller { token: hash(), ..caller(&row) };
    assert!(matches!(fixture.apply(&other, update.clone(), NOW).await, Applied::Gone));
    assert!(matches!(fixture.apply(&caller(&row), update.clone(), row.expires_at).await, Applied::Gone));
    assert!(live(fixture.store.end(&row.user_id, row.id, None, NOW).await));
    assert!(matches!(fixture.apply(&caller(&row), update, NOW).await, Applied::Gone));
}

async fn an_empty_update_checks(fixture: Fixture) {
    let row = fixture.signed_in("ada").await;
    match fixture.apply(&caller(&row), Update::default(), NOW).await {
        Applied::Done { expires_at } => assert_eq!(expires_at, row.expires_at),
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
            assert!(matches!(fixture.apply(&caller(row), update, NOW).await, Applied::Gone));
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
            assert!(matches!(fixture.apply(&caller, update, NOW).await, Applied::Gone), "{caller:?}");
        }
    }
    assert_eq!(fixture.stored(&row, NOW).await.as_deref(), Some(&*row));
    assert_eq!(fixture.stored(&other, NOW).await.as_deref(), Some(&*other));
}

async fn activity_only_when_due(fixture: Fixture) {
    let row = fixture.signed_in("ada").await;
    let (later, end) = (NOW + Duration::MINUTE, NOW + Duration::hours(2));
    match fixture.apply(&caller(&row), activity(later, end, NOW - TICK), later).await {
        Applied::Done { expires_at, .. } => assert_eq!(expires_at, row.expires_at, "not due"),
        other => panic!("{other:?}"),
    }
    assert_eq!(fixture.stored(&row, later).await.expect("live").last_active_at, NOW);
    match fixture.apply(&caller(&row), activity(later, end, NOW), later).await {
        Applied::Done { expires_at, .. } => assert_eq!(expires_at, end, "due"),
        other => panic!("{other:?}"),
    }
    let stored = fixture.stored(&row, later).await.expect("live");
    assert_eq!((stored.last_active_at, stored.expires_at, stored.version), (later, end, 0));
    assert_eq!((stored.created_at, stored.absolute_expires_at), (NOW, row.absolute_expires_at));
}

async fn activity_only_forward(fixture: Fixture) {
    let row = fixture.signed_in("ada").await;
    let earlier = NOW - Duration::HOUR;
    fixture.apply(&caller(&row), activity(earlier, earlier, NOW), earlier).await;
    let stored = fixture.stored(&row, NOW).await.expect("no clock that jumps back shortens it");
    assert_eq!((stored.last_active_at, stored.expires_at), (NOW, row.expires_at));
    fixture.apply(&caller(&row), activity(NOW + TICK, NOW + TICK, NOW), NOW).await;
    let stored = fixture.stored(&row, NOW + TICK).await.expect("a shorter end doesn't shorten it");
    assert_eq!((stored.last_active_at, stored.expires_at), (NOW + TICK, row.expires_at));
    fixture.apply(&caller(&row), activity(NOW, NOW + Duration::hours(3), NOW + TICK), NOW).await;
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
    fixture.apply(&caller(&row), first.clone(), later).await;
    let stored = fixture.stored(&row, later).await.expect("live");
    let kept_back = "activity that isn't due doesn't keep data back";
    assert_eq!((stored.version, stored.last_active_at), (becomes(&first), NOW), "{kept_back}");
    let second = both(stored.version, NOW);
    fixture.apply(&caller(&row), second.clone(), later).await;
    let stored = fixture.stored(&row, later).await.expect("live");
    assert_eq!((stored.version, stored.last_active_at), (becomes(&second), later));
    assert_eq!((stored.data.text(), stored.expires_at), (r#"{"a":1}"#, NOW + Duration::hours(2)));
}

async fn a_rotation(fixture: Fixture) {
    let row = fixture.insert(Record { data: Data::from_text(r#"{"a":1}"#), ..record("ada") }).await;
    let (later, to) = (NOW + Duration::MINUTE, hash());
    let update = Update { rotation: rotation(to).rotation, ..activity(later, later + Duration::HOUR, NOW) };
    match fixture.apply(&caller(&row), update, later).await {
        Applied::Done { expires_at } => assert_eq!(expires_at, later + Duration::HOUR),
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
        fixture.apply(&caller(&row), update, NOW - Duration::HOUR).await;
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
    fixture.apply(&caller(&row), rotation(to), NOW).await;
    let rotated = Record { token_hash: to, ..(*row).clone() };
    if seen {
        fixture.apply(&caller(&rotated), SEEN, NOW).await;
    }
    (rotated, caller(&row))
}

async fn a_replaced_token_until_the_grace(fixture: Fixture) {
    let (rotated, old) = superseded(&fixture, true).await;
    let end = NOW + GRACE;
    let late = new_data(0, r#"{"late":1}"#);
    let wrote = fixture.apply(&old, late.clone(), end - TICK).await;
    assert!(matches!(wrote, Applied::Done { .. }), "{wrote:?}");
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
        assert!(matches!(fixture.apply(&old, update, end).await, Applied::Gone));
    }
    assert!(super::is_gone(fixture.store.list(&old.user_id, Some(&old), end).await));
    assert!(super::is_gone(fixture.store.end(&old.user_id, old.id, Some(&old), end).await));
    assert!(super::is_gone(fixture.store.end_all(&old.user_id, None, Some(&old), end).await));
    let longer = Caller { grace: GRACE * 2, ..old };
    assert!(matches!(fixture.apply(&longer, Update::default(), end).await, Applied::Done { .. }), "the caller's grace");
    let stored = fixture.stored(&rotated, end).await.expect("the session lives on under its new token");
    assert_eq!((stored.data.text(), stored.version), (r#"{"late":1}"#, becomes(&late)));
}

async fn a_replaced_token_until_its_successor_is_seen(fixture: Fixture) {
    let (rotated, old) = superseded(&fixture, false).await;
    let late = NOW + GRACE * 30;
    let wrote = fixture.apply(&old, new_data(0, r#"{"late":1}"#), late).await;
    assert!(matches!(wrote, Applied::Done { .. }), "{wrote:?}");
    assert!(!live(fixture.store.list(&old.user_id, Some(&old), late).await).is_empty());
    // A replaced token doesn't count as its successor's presentation.
    assert!(matches!(fixture.apply(&old, SEEN, late).await, Applied::Done { .. }));
    let stored = fixture.stored(&rotated, late).await.expect("live");
    assert_eq!((stored.token_seen, stored.successor), (false, Some(sealed(stored.token_hash))));

    let seen = Update { seen: true, ..activity(NOW, NOW, NOW - Duration::DAY) };
    assert!(matches!(fixture.apply(&caller(&rotated), seen, late).await, Applied::Done { .. }), "activity or not");
    let stored = fixture.stored(&rotated, late).await.expect("live");
    assert_eq!((stored.token_seen, stored.successor, stored.last_active_at), (true, None, NOW));
    assert!(matches!(fixture.apply(&old, Update::default(), late).await, Applied::Gone));
}

async fn seen_with_data_in_one_step(fixture: Fixture) {
    let (rotated, _) = superseded(&fixture, false).await;
    let both = Update { seen: true, ..new_data(0, r#"{"a":1}"#) };
    assert!(matches!(fixture.apply(&caller(&rotated), both.clone(), NOW).await, Applied::Done { .. }));
    let stored = fixture.stored(&rotated, NOW).await.expect("live");
    assert_eq!((stored.token_seen, stored.successor, stored.data.text()), (true, None, r#"{"a":1}"#));
    let again = Update { data: new_data(0, "{}").data, ..both };
    assert!(matches!(fixture.apply(&caller(&rotated), again, NOW).await, Applied::Conflict(_)));
}

async fn replaced_twice(fixture: Fixture) {
    let first = fixture.signed_in("ada").await;
    let second = Record { token_hash: hash(), ..(*first).clone() };
    let third = Record { token_hash: hash(), ..(*first).clone() };
    fixture.apply(&caller(&first), rotation(second.token_hash), NOW).await;
    fixture.apply(&caller(&second), rotation(third.token_hash), NOW).await;
    assert!(matches!(fixture.apply(&caller(&first), Update::default(), NOW).await, Applied::Gone));
    assert!(matches!(fixture.apply(&caller(&second), Update::default(), NOW).await, Applied::Done { .. }));
    assert!(matches!(fixture.apply(&caller(&third), Update::default(), NOW).await, Applied::Done { .. }));
}

async fn a_replaced_token_finds_its_successor(fixture: Fixture) {
    let (rotated, old) = superseded(&fixture, false).await;
    let later = NOW + Duration::SECOND;
    let update = Update { rotation: rotation(hash()).rotation, ..activity(later, later + Duration::hours(2), later) };
    match fixture.apply(&old, update, later).await {
        Applied::Superseded(row) => {
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
    assert!(matches!(fixture.apply(&caller(&row), rotation(to), NOW).await, Applied::Done { .. }));
    let once = fixture.stored(&row, NOW).await.expect("live");
    match fixture.apply(&caller(&row), rotation(to), NOW).await {
        Applied::Superseded(row) => assert_eq!(*row, *once, "it finds what it has done"),
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
            match fixture.apply(&by, update.clone(), later).await {
                Applied::Done { expires_at } => assert_eq!(expires_at, later + Duration::HOUR),
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
                assert!(matches!(fixture.apply(&dead, update, later).await, Applied::Gone));
            }
            assert!(super::is_gone(fixture.store.list(&dead.user_id, Some(&dead), later).await));
        }
    }
}
