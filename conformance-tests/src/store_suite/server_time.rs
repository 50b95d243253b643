//! The time of a database that has a clock of its own. A store without such a clock passes.

use time::{Duration, OffsetDateTime};

use super::{Fixture, StoreScenario, rule};

pub(super) const RULES: &[StoreScenario] = &[
    rule!("server_time", "it is near to this machine's, whatever the database's time zone", is_near),
    rule!("server_time", "it moves on, and is there for every handle", moves_on),
];

/// As far as two clocks that are set may be apart: less than any two time zones.
const APART: Duration = Duration::minutes(10);

/// How long a clock that shows whole seconds may show the same one.
const SECOND: Duration = Duration::milliseconds(1100);

async fn is_near(fixture: Fixture) {
    let before = OffsetDateTime::now_utc();
    let Some(server) = fixture.store.server_time().await.expect("server_time") else { return };
    let after = OffsetDateTime::now_utc();
    assert!((before - APART..after + APART).contains(&server), "it is {before} here, and {server} there");
}

async fn moves_on(fixture: Fixture) {
    let start = OffsetDateTime::now_utc();
    let first = fixture.store.server_time().await.expect("server_time");
    for handle in [&fixture.other, &fixture.store].into_iter().cycle() {
        let is_over = OffsetDateTime::now_utc() - start > SECOND;
        let now = handle.server_time().await.expect("server_time");
        assert_eq!(now.is_some(), first.is_some(), "every handle has a clock, or none");
        if now.is_none() || now != first {
            return;
        }
        assert!(!is_over, "it is {now:?} all the time");
    }
}
