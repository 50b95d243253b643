//! Forgetting what a store keeps of a user in addition to the sessions. A store that keeps nothing
//! passes.

use std::num::NonZeroU32;
use std::sync::Arc;

use session_core::store::SessionStore;
use time::{Duration, OffsetDateTime};

use super::{Fixture, MANY, NOW, StoreScenario, TICK, caller, evicted, id_of, live, new_data, record, rule};

pub(super) const RULES: &[StoreScenario] = &[
    rule!("forget_users", "looks by the limit come to an end, and see all users", all_are_seen),
    rule!("forget_users", "users without a session are noted first, and forgotten once", noted_then_forgotten),
    rule!("forget_users", "users with sessions are kept, and so are the sessions", sessions_are_kept),
    rule!("forget_users", "a sign-in begins the time without a session anew", begins_anew),
    rule!("forget_users", "a forgotten user signs in as before", signs_in_as_before),
    rule!("forget_users", "sign-ins that race looks keep to the limit", looks_racing_sign_ins),
];

/// Users whose ids databases like to order, compare or trim in their own ways.
const USERS: [&str; 8] = ["ada", "Ada", "ada ", "áda", "a_a", "%", "1", "\u{10ffff}"];

/// Looks at all users, `limit` at a time. Returns how many were forgotten.
async fn look(store: &dyn SessionStore, since: OffsetDateTime, now: OffsetDateTime, limit: NonZeroU32) -> u64 {
    let (mut after, mut forgotten) = (None, 0);
    // A look may end before its limit, but not this often.
    for _ in 0..100 {
        let look = store.forget_users(after.as_deref(), since, now, limit).await.expect("forget_users");
        assert!(look.users <= u64::from(limit.get()), "{} of at most {limit}", look.users);
        forgotten += look.users;
        match look.next {
            Some(next) => after = Some(next),
            None => return forgotten,
        }
    }
    panic!("looks at a few users come to no end");
}

/// Signs users in and out again at [`NOW`].
async fn without_sessions(fixture: &Fixture, users: &[&str]) {
    for user in users {
        let row = fixture.signed_in(user).await;
        assert!(live(fixture.store.end(&row.user_id, row.id, None, NOW).await));
    }
}

/// Checks that all of these users were forgotten, or none if the store keeps nothing of users.
fn all_or_none(forgotten: u64, users: &[&str]) {
    assert!([0, users.len() as u64].contains(&forgotten), "{forgotten} of {} users", users.len());
}

async fn all_are_seen(fixture: Fixture) {
    for limit in [NonZeroU32::MIN, NonZeroU32::new(3).expect("not zero"), MANY] {
        without_sessions(&fixture, &USERS).await;
        look(&*fixture.store, NOW - TICK, NOW, limit).await;
        let forgotten = look(&*fixture.other, NOW + Duration::HOUR, NOW + Duration::DAY, limit).await;
        all_or_none(forgotten, &USERS);
    }
}

async fn noted_then_forgotten(fixture: Fixture) {
    without_sessions(&fixture, &USERS).await;
    let noted = NOW + Duration::DAY;
    // They had sessions after that, and the store hasn't known for longer that they have none.
    assert_eq!(look(&*fixture.store, NOW - TICK, noted, MANY).await, 0, "noted");
    assert_eq!(look(&*fixture.other, NOW - TICK, noted + Duration::HOUR, MANY).await, 0, "still too early");
    let later = noted + Duration::DAY;
    all_or_none(look(&*fixture.store, noted + Duration::HOUR, later, MANY).await, &USERS);
    assert_eq!(look(&*fixture.other, later, later, MANY).await, 0, "once");
}

async fn sessions_are_kept(fixture: Fixture) {
    let mut rows = Vec::new();
    for user in USERS {
        rows.push(fixture.signed_in(user).await);
    }
    let second = fixture.signed_in(USERS[0]).await;
    assert!(live(fixture.store.end(&second.user_id, second.id, None, NOW).await), "one of two");
    // However short the time that a user may be without a session.
    for since in [NOW, NOW + Duration::DAY] {
        assert_eq!(look(&*fixture.store, since, NOW, MANY).await, 0);
    }
    for (user, row) in USERS.iter().zip(&rows) {
        assert_eq!(fixture.listed(user, NOW).await, [row.id], "{user:?}");
        assert_eq!(fixture.stored(row, NOW).await.as_ref(), Some(row), "{user:?}");
    }
}

async fn begins_anew(fixture: Fixture) {
    without_sessions(&fixture, &["ada"]).await;
    look(&*fixture.store, NOW - TICK, NOW, MANY).await;
    let back = NOW + Duration::MINUTE;
    let row = Arc::new(record("ada"));
    fixture.store.create(&row, &[], MANY, back).await.expect("create");
    assert!(live(fixture.other.end(&row.user_id, row.id, None, back).await));
    // After the first sign-out was noted, and before the second one.
    assert_eq!(look(&*fixture.store, back - TICK, back + Duration::HOUR, MANY).await, 0);
}

async fn signs_in_as_before(fixture: Fixture) {
    let limit = NonZeroU32::new(2).expect("not zero");
    without_sessions(&fixture, &["ada"]).await;
    // Noted, and forgotten.
    for _ in 0..2 {
        look(&*fixture.store, NOW + Duration::DAY, NOW, MANY).await;
    }
    let rows = [record("ada"), record("ada"), record("ada")].map(Arc::new);
    for (number, row) in rows.iter().enumerate() {
        let created = fixture.store.create(row, &[], limit, NOW).await.expect("create");
        assert_eq!(evicted(created), if number == 2 { vec![rows[0].id] } else { vec![] });
    }
    assert_eq!(fixture.listed("ada", NOW).await, [rows[2].id, rows[1].id]);
    fixture.update(&caller(&rows[2]), new_data(0, r#"{"a":1}"#), NOW).await;
    assert_eq!(fixture.stored(&rows[2], NOW).await.expect("live").data.text(), r#"{"a":1}"#);
}

async fn looks_racing_sign_ins(fixture: Fixture) {
    let limit = NonZeroU32::new(2).expect("not zero");
    for round in 0..super::races::few_rounds() {
        without_sessions(&fixture, &["ada"]).await;
        look(&*fixture.store, NOW - TICK, NOW, MANY).await;
        super::races::at_once(&fixture, 9, |number, store| async move {
            if number < 6 {
                store.create(&Arc::new(record("ada")), &[], limit, NOW).await.expect("create");
            } else {
                for _ in 0..3 {
                    look(&*store, NOW + Duration::DAY, NOW, MANY).await;
                }
            }
        })
        .await;
        assert_eq!(fixture.listed("ada", NOW).await.len(), 2, "round {round}");
        assert_eq!(live(fixture.store.end_all(&id_of("ada"), None, None, NOW).await).len(), 2, "round {round}");
    }
}
