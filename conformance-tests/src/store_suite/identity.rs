//! Writes of data that are asked for again: each has an identity, and is made once.

use session_core::Record;
use session_core::store::{Caller, Update, Updated};
use time::Duration;

use super::{
    Fixture, NOW, StoreScenario, activity, becomes, caller, hash, live, new_data, record, rotation, rule,
    strict_rotation,
};

pub(super) const RULES: &[StoreScenario] = &[
    rule!("identity", "data asked for again is done, and made once", asked_again),
    rule!("identity", "data asked for again is done while one other write is on top", asked_again_below_another),
    rule!("identity", "data that another write came before is a conflict, however often it is asked for", never_made),
    rule!("identity", "data asked for again is found on rows that a release counted up", counted_up),
    rule!("identity", "data asked for again with a rotation is done with it", asked_again_with_a_rotation),
    rule!("identity", "data that was made is gone with the session and with its token", made_and_gone),
];

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
        let Updated::Done { expires_at } = fixture.update(&caller(&row), update.clone(), later).await else {
            panic!("{n}: the version is right")
        };
        let once = fixture.stored(&row, later).await.expect("live");
        assert_eq!((once.data.text(), once.version, once.expires_at), (&*text, version, expires_at));
        for handle in [&fixture.store, &fixture.other, &fixture.store] {
            match handle.update(&caller(&row), &update, later).await.expect("update") {
                Updated::Done { expires_at } => assert_eq!(expires_at, once.expires_at, "{n}"),
                other => panic!("{n}: {other:?}"),
            }
            assert_eq!(fixture.stored(&row, later).await.as_ref(), Some(&once), "{n}: nothing is made twice");
        }
    }
}

async fn asked_again_below_another(fixture: Fixture) {
    let row = fixture.signed_in("ada").await;
    let mine = new_data(0, r#"{"mine":1}"#);
    fixture.update(&caller(&row), mine.clone(), NOW).await;
    let theirs = new_data(becomes(&mine), r#"{"mine":1,"theirs":1}"#);
    assert!(matches!(fixture.update(&caller(&row), theirs.clone(), NOW).await, Updated::Done { .. }));
    let both = fixture.stored(&row, NOW).await.expect("live");
    for update in [&mine, &theirs, &mine] {
        let again = fixture.update(&caller(&row), update.clone(), NOW).await;
        assert!(matches!(again, Updated::Done { .. }), "{again:?}");
        assert_eq!(fixture.stored(&row, NOW).await.as_ref(), Some(&both), "the other write stays");
    }
    // What is below two others is unknown.
    let third = new_data(becomes(&theirs), r#"{"mine":1,"theirs":2}"#);
    assert!(matches!(fixture.update(&caller(&row), third, NOW).await, Updated::Done { .. }));
    let stored = fixture.stored(&row, NOW).await.expect("live");
    match fixture.update(&caller(&row), mine, NOW).await {
        Updated::Conflict(row) => assert_eq!(row, stored),
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
        assert!(matches!(fixture.update(&caller(&row), theirs, NOW).await, Updated::Done { .. }));
        let stored = fixture.stored(&row, NOW).await.expect("live");
        for _ in 0..2 {
            match fixture.update(&caller(&row), mine.clone(), NOW).await {
                Updated::Conflict(row) => assert_eq!(row, stored),
                other => panic!("below {n}: {other:?}"),
            }
            assert_eq!(fixture.stored(&row, NOW).await.as_ref(), Some(&stored));
        }
    }
}

/// As releases do that only count: they write on the version that they have found, and make it one
/// more.
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
        fixture.update(&caller(&row), mine.clone(), NOW).await;
        let mut version = becomes(&mine);
        for count in 1..=6 {
            let theirs = counting(version, &format!(r#"{{"mine":1,"n":{count}}}"#));
            assert!(matches!(fixture.update(&caller(&row), theirs, NOW).await, Updated::Done { .. }));
            version += 1;
            let stored = fixture.stored(&row, NOW).await.expect("live");
            assert_eq!(stored.version, version);
            let again = fixture.update(&caller(&row), mine.clone(), NOW).await;
            assert!(matches!(again, Updated::Done { .. }), "from {from}, {count}: {again:?}");
            assert_eq!(fixture.stored(&row, NOW).await, Some(stored), "from {from}, {count}");
        }

        // Counted up first.
        let row = fixture.insert(Record { version: from, ..record("ada") }).await;
        let mine = new_data(from, r#"{"mine":1}"#);
        fixture.update(&caller(&row), counting(from, r#"{"n":1}"#), NOW).await;
        for _ in 0..2 {
            let again = fixture.update(&caller(&row), mine.clone(), NOW).await;
            assert!(matches!(&again, Updated::Conflict(row) if row.version == from + 1), "from {from}: {again:?}");
        }
        let rebased = new_data(from + 1, r#"{"mine":1,"n":1}"#);
        assert!(matches!(fixture.update(&caller(&row), rebased, NOW).await, Updated::Done { .. }));
    }
}

async fn asked_again_with_a_rotation(fixture: Fixture) {
    let row = fixture.signed_in("ada").await;
    let to = hash();
    let update = Update { rotation: rotation(to).rotation, ..new_data(0, r#"{"a":1}"#) };
    assert!(matches!(fixture.update(&caller(&row), update.clone(), NOW).await, Updated::Done { .. }));
    let once = fixture.stored(&row, NOW).await.expect("live");
    match fixture.update(&caller(&row), update, NOW).await {
        Updated::Superseded(row) => assert_eq!(row, once, "it finds what it has done"),
        other => panic!("{other:?}"),
    }
    assert_eq!(fixture.stored(&row, NOW).await.as_ref(), Some(&once));

    let update = Update { rotation: strict_rotation(hash()).rotation, ..new_data(once.version, r#"{"a":2}"#) };
    assert!(matches!(fixture.update(&caller(&once), update.clone(), NOW).await, Updated::Done { .. }));
    let once = fixture.stored(&row, NOW).await.expect("live");
    let again = fixture.update(&Caller { token: to, ..caller(&row) }, update, NOW).await;
    assert!(matches!(again, Updated::Done { .. }), "{again:?}");
    assert_eq!((once.data.text(), fixture.stored(&row, NOW).await.as_ref()), (r#"{"a":2}"#, Some(&once)));
}

async fn made_and_gone(fixture: Fixture) {
    let row = fixture.signed_in("ada").await;
    let update = new_data(0, r#"{"a":1}"#);
    fixture.update(&caller(&row), update.clone(), NOW).await;
    let other = Caller { token: hash(), ..caller(&row) };
    assert!(matches!(fixture.update(&other, update.clone(), NOW).await, Updated::Gone));
    assert!(matches!(fixture.update(&caller(&row), update.clone(), row.expires_at).await, Updated::Gone));
    assert!(live(fixture.store.end(&row.user_id, row.id, None, NOW).await));
    assert!(matches!(fixture.update(&caller(&row), update, NOW).await, Updated::Gone));
}
