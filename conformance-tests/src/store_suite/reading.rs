//! Look-up, list and cleanup: which rows are seen, in which order, and that they are what went in.

use std::num::NonZeroU32;
use std::sync::Arc;

use session_core::store::{Update, Updated};
use session_core::{ClientInfo, Data, Record};
use time::Duration;

use super::{
    Fixture, MANY, NOW, StoreScenario, TICK, activity, caller, evicted, hash, id_of, live, new_data, record, rotation,
    rule, sealed, token,
};

pub(super) const RULES: &[StoreScenario] = &[
    rule!("load", "a row is seen at once through every handle, exactly as it went in", exactly_as_it_went_in),
    rule!("load", "data text comes back exactly, at sign-in and after a write", data_comes_back_exactly),
    rule!("load", "texts of the client come back exactly", client_texts_come_back),
    rule!("load", "a row with the most data that there can be comes back exactly", the_most_data_comes_back),
    rule!("load", "the live ones of up to three, in the order of the question", live_ones_in_order),
    rule!("load", "a row is found whatever became of its token", a_rotated_row_is_found),
    rule!("live", "a row is gone for every operation from the moment that it expires", gone_when_expired),
    rule!("user_id", "user ids are compared byte for byte", user_ids_byte_for_byte),
    rule!("list", "most recently active first, then newest sign-in, then highest id", list_order),
    rule!("list", "the caller must be live", list_checks_its_caller),
    rule!("purge_expired", "only rows expired by then, at most the limit at once", purge_bounds),
];

async fn exactly_as_it_went_in(fixture: Fixture) {
    let new = Record {
        token_issued_at: NOW + TICK,
        created_at: NOW + TICK * 2,
        authenticated_at: NOW + TICK * 3,
        last_active_at: NOW + TICK * 999_999,
        expires_at: NOW + Duration::HOUR + TICK * 123_456,
        absolute_expires_at: NOW + Duration::days(400) + TICK,
        data: Data::from_text(r#"{"theme":"dark"}"#),
        persistent: false,
        previous_token_hash: Some(hash()),
        token_seen: true,
        successor: Some(sealed(hash())),
        strict_rotated_at: Some(NOW - TICK),
        ..record("ada")
    };
    let new = fixture.insert(new).await;
    assert_eq!(fixture.stored(&new, NOW).await.as_deref(), Some(&*new));
    assert_eq!(live(fixture.other.list(&new.user_id, None, NOW).await), [Arc::clone(&new)]);
    let empty = Record { client: Arc::default(), ..record("bob") };
    let empty = fixture.insert(empty).await;
    assert_eq!(fixture.stored(&empty, NOW).await.as_deref(), Some(&*empty));
}

async fn data_comes_back_exactly(fixture: Fixture) {
    let texts = [
        "{}".to_owned(),
        r#"{ "spaces" :  [ 1 , 2 ] }"#.to_owned(),
        r#"{"b":1,"a":2,"":{"":null}}"#.to_owned(),
        r#"{"nul":"\u0000","\u0000":1}"#.to_owned(),
        r#"{"a.b":1,"$":2,"[0]":3,"'":4,"\"":5,"\\":6,"%_?:--;":7}"#.to_owned(),
        format!(
            r#"{{"max":{},"min":{},"n":[1,1.0,-0.0,1e300,5e-324,0.1,1.7976931348623157e308]}}"#,
            u64::MAX,
            i64::MIN
        ),
        "{\"unicode\":\"é e\u{301} 鍵 👩‍👩‍👧 \u{10ffff} \u{feff} \u{2028} \u{7f}\"}".to_owned(),
        r#"{"upper":"\u00E9","surrogates":"\ud83d\ude00"}"#.to_owned(),
        format!(r#"{{"long":"{}"}}"#, "é".repeat(100_000)),
        "no JSON at all: the store doesn't look".to_owned(),
    ];
    for text in texts {
        let new = Record { data: Data::from_text(text.as_str()), ..record("ada") };
        let new = fixture.insert(new).await;
        let stored = fixture.stored(&new, NOW).await.expect("a live row");
        assert!(stored.data.text() == text, "{:.80} came back as {:.80}", text, stored.data.text());
        let written = fixture.signed_in("ada").await;
        fixture.update(&caller(&written), new_data(0, &text), NOW).await;
        let stored = fixture.stored(&written, NOW).await.expect("a live row");
        assert!(stored.data.text() == text, "{:.80} was written as {:.80}", text, stored.data.text());
    }
}

/// Twice what the settings allow, or what the store can keep, beside the longest of everything
/// else.
async fn the_most_data_comes_back(fixture: Fixture) {
    let most = fixture.store.max_data_bytes().map_or(16 << 20, |most| most.min(16 << 20));
    let client = Arc::new(ClientInfo {
        user_agent: "é".repeat(512),
        device_name: "é".repeat(256),
        fingerprint: "é".repeat(256),
        ..ClientInfo::default()
    });
    let text = |letter: &str| format!(r#"{{"k":"{}"}}"#, letter.repeat(most - 8));
    let new = Record { client, data: Data::from_text(text("a")), ..record(&"u".repeat(255)) };
    let new = fixture.insert(new).await;
    assert!(fixture.stored(&new, NOW).await.as_deref() == Some(&*new), "as it went in");
    let update = Update { seen: true, ..new_data(0, &text("b")) };
    assert!(matches!(fixture.update(&caller(&new), update, NOW).await, Updated::Done { .. }));
    let stored = fixture.stored(&new, NOW).await.expect("a live row");
    assert!(stored.data.text() == text("b"), "as it was written");
}

async fn client_texts_come_back(fixture: Fixture) {
    for text in [" ", "'; DROP TABLE sessions --", "\"\\%_?$1:a", "é 鍵 👩‍👩‍👧 \u{10ffff}", "A ", &"é".repeat(256)]
    {
        let client = Arc::new(ClientInfo {
            user_agent: text.to_owned(),
            device_name: text.chars().take(60).collect(),
            fingerprint: text.chars().take(60).collect(),
            ..ClientInfo::default()
        });
        let new = Record { client, ..record("ada") };
        let new = fixture.insert(new).await;
        assert_eq!(fixture.stored(&new, NOW).await.as_deref(), Some(&*new));
    }
}

async fn live_ones_in_order(fixture: Fixture) {
    let (ada, bob) = (fixture.signed_in("ada").await, fixture.signed_in("bob").await);
    let unknown = token(&record("ada"));
    let expired = fixture.insert(Record { expires_at: NOW + TICK, ..record("eve") }).await;
    for (asked, found) in [
        (vec![token(&ada)], vec![&ada]),
        (vec![token(&ada), token(&bob)], vec![&ada, &bob]),
        (vec![token(&bob), token(&ada)], vec![&bob, &ada]),
        (vec![unknown, token(&expired), token(&bob)], vec![&bob]),
        (vec![token(&expired), token(&bob), token(&ada)], vec![&bob, &ada]),
        (vec![unknown, token(&expired)], vec![]),
        (vec![unknown], vec![]),
    ] {
        let rows = fixture.other.load(&asked, NOW + TICK).await.expect("load");
        assert_eq!(rows.iter().collect::<Vec<_>>(), found, "{asked:?}");
    }
}

async fn a_rotated_row_is_found(fixture: Fixture) {
    let old = fixture.signed_in("ada").await;
    let new = hash();
    fixture.update(&caller(&old), rotation(new), NOW).await;
    let found = fixture.stored(&old, NOW).await.expect("its id is the same");
    assert_eq!((found.token_hash, found.previous_token_hash), (new, Some(old.token_hash)));
}

async fn gone_when_expired(fixture: Fixture) {
    let row = fixture.signed_in("ada").await;
    let (me, end) = (caller(&row), row.expires_at);
    let store = &fixture.other;
    assert!(fixture.stored(&row, end - TICK).await.is_some());
    assert_eq!(fixture.listed("ada", end - TICK).await, [row.id]);
    assert!(matches!(
        fixture.update(&me, session_core::store::Update::default(), end - TICK).await,
        session_core::store::Updated::Done { .. }
    ));
    for now in [end, end + TICK, end + Duration::DAY] {
        assert_eq!(fixture.stored(&row, now).await, None);
        assert!(fixture.listed("ada", now).await.is_empty());
        for update in [
            session_core::store::Update::default(),
            new_data(0, r#"{"a":1}"#),
            new_data(5, r#"{"a":1}"#),
            rotation(hash()),
            activity(now, now + Duration::HOUR, now),
        ] {
            assert!(matches!(fixture.update(&me, update, now).await, session_core::store::Updated::Gone));
        }
        assert!(!live(store.end(&row.user_id, row.id, None, now).await), "there was no live one");
        assert!(live(store.end_all(&row.user_id, None, None, now).await).is_empty(), "there was no live one");
        assert!(super::is_gone(store.list(&row.user_id, Some(&me), now).await));
        assert!(super::is_gone(store.end(&row.user_id, row.id, Some(&me), now).await));
        assert!(super::is_gone(store.end_all(&row.user_id, None, Some(&me), now).await));
    }
}

async fn user_ids_byte_for_byte(fixture: Fixture) {
    let longest = "x".repeat(255);
    let other = format!("{}y", "x".repeat(254));
    let users = [
        "ada",
        "Ada",
        "ada ",
        " ada",
        "ADA",
        "áda",
        "a\u{301}da",
        "ádа",
        "ada\t",
        "ada%",
        "a_a",
        "1",
        "01",
        "1.0",
        "ß",
        "ss",
        "ſ",
        "\u{10ffff}",
        longest.as_str(),
        other.as_str(),
    ];
    let mut rows = Vec::new();
    for user in users {
        rows.push((user, fixture.signed_in(user).await));
    }
    for (user, row) in &rows {
        assert_eq!(fixture.listed(user, NOW).await, [row.id], "{user:?}");
        let wrong = session_core::store::Caller { user_id: id_of("ADa"), ..caller(row) };
        let check = fixture.update(&wrong, session_core::store::Update::default(), NOW).await;
        assert!(matches!(check, session_core::store::Updated::Gone), "{user:?}");
    }
    let limit = NonZeroU32::MIN;
    let new = Arc::new(record("ada"));
    let created = fixture.store.create(&new, &[], limit, NOW).await.expect("create");
    assert_eq!(evicted(created), [rows[0].1.id], "only the very same user's");
    rows[0].1 = new;
    for index in 0..rows.len() {
        let (user, row) = &rows[index];
        assert_eq!(live(fixture.store.end_all(&row.user_id, None, None, NOW).await), [row.id], "{user:?}");
        for (user, row) in &rows[index + 1..] {
            assert_eq!(fixture.listed(user, NOW).await, [row.id], "{user:?}");
        }
    }
}

async fn list_order(fixture: Fixture) {
    let at = |active, created| Record {
        last_active_at: NOW + TICK * active,
        created_at: NOW + TICK * created,
        authenticated_at: NOW + TICK * created,
        ..record("ada")
    };
    let mut rows = Vec::new();
    // In the order in which a list must not leave them.
    for (active, created) in [(1, 3), (5, 0), (3, 1), (3, 2), (3, 2), (1_000_000, 0), (3, 2)] {
        rows.push(fixture.insert(at(active, created)).await);
    }
    let expected: Vec<_> = [5, 1, 6, 4, 3, 2, 0].map(|index: usize| rows[index].id).into();
    assert_eq!(fixture.listed("ada", NOW).await, expected);
    fixture.update(&caller(&rows[0]), activity(NOW + Duration::MINUTE, NOW + Duration::HOUR, NOW + TICK), NOW).await;
    assert_eq!(fixture.listed("ada", NOW).await[0], rows[0].id, "activity moves it up");
    assert!(fixture.listed("bob", NOW).await.is_empty());
}

async fn list_checks_its_caller(fixture: Fixture) {
    let (mine, other) = (fixture.signed_in("ada").await, fixture.signed_in("ada").await);
    let listed = live(fixture.store.list(&mine.user_id, Some(&caller(&mine)), NOW).await);
    assert_eq!(listed.len(), 2);
    assert!(live(fixture.store.end(&mine.user_id, mine.id, None, NOW).await));
    assert!(super::is_gone(fixture.other.list(&mine.user_id, Some(&caller(&mine)), NOW).await));
    assert_eq!(fixture.listed("ada", NOW).await, [other.id]);
}

async fn purge_bounds(fixture: Fixture) {
    for user in ["ada", "bob", "eve"] {
        for expires in 1..=4 {
            fixture.insert(Record { expires_at: NOW + Duration::minutes(expires), ..record(user) }).await;
        }
    }
    let live_ones = fixture.signed_in("ada").await;
    let before = NOW + Duration::minutes(3);
    assert_eq!(fixture.store.purge_expired(NOW, MANY).await.expect("purge"), 0, "none has expired yet");
    let four = NonZeroU32::new(4).expect("not zero");
    for deleted in [4, 4, 1, 0] {
        assert_eq!(fixture.store.purge_expired(before, four).await.expect("purge"), deleted, "in batches");
    }
    for user in ["bob", "eve"] {
        assert_eq!(fixture.listed(user, NOW).await.len(), 1, "the one that expires later than that");
    }
    assert_eq!(fixture.listed("ada", NOW).await.len(), 2);
    assert_eq!(fixture.store.purge_expired(NOW + Duration::minutes(4), MANY).await.expect("purge"), 3);
    assert_eq!(fixture.listed("ada", NOW).await, [live_ones.id]);
}
