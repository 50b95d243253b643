//! Operations at once, through both handles: started on a barrier, run for many rounds, and counted.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use session_core::Record;
use session_core::store::{Applied, Checked, Created, SessionStore, Update};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::{
    Fixture, MANY, NOW, StoreScenario, becomes, caller, evicted, hash, key, live, new_data, record, rotation, rule,
};

pub(super) const RULES: &[StoreScenario] = &[
    rule!("create", "24 racing sign-ins leave exactly the limit", racing_sign_ins),
    rule!("create", "racing sign-ins that replace the same session leave one each", racing_replacements),
    rule!("create", "of racing sign-ins of one id exactly one is stored", racing_ids),
    rule!("apply", "racing writes each build on the one before", racing_writes),
    rule!("apply", "a write asked for many times at once is made once", racing_tries),
    rule!("apply", "of racing rotations exactly one wins", racing_rotations),
    rule!("apply", "a write that races an end brings nothing back", writes_racing_an_end),
    rule!("end_all", "of two that end each other exactly one lives", ending_each_other),
    rule!("purge_expired", "a cleanup that races writes ends nothing that lives", cleanup_racing_writes),
    rule!("cancel", "a dropped operation leaves no lock and no half of it", dropped_operations),
];

/// Runs `count` of them at once, in turns on both handles, and gives what came of each.
async fn at_once<F, T>(fixture: &Fixture, count: usize, run: impl Fn(usize, Arc<dyn SessionStore>) -> F) -> Vec<T>
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let barrier = Arc::new(Barrier::new(count));
    let mut tasks = JoinSet::new();
    for number in 0..count {
        let (barrier, racer) = (Arc::clone(&barrier), run(number, fixture.handle(number)));
        tasks.spawn(async move {
            barrier.wait().await;
            racer.await
        });
    }
    tasks.join_all().await
}

/// Rounds of races with many operations each.
fn few_rounds() -> usize {
    crate::race_rounds().div_ceil(8)
}

async fn racing_sign_ins(fixture: Fixture) {
    let limit = NonZeroU32::new(10).expect("not zero");
    for round in 0..few_rounds() {
        let user = format!("user {round}");
        let created = at_once(&fixture, 24, |_, store| {
            let new = Arc::new(record(&user));
            async move { (new.id, store.create(&new, &[], limit, NOW).await.expect("create")) }
        })
        .await;
        let created: Vec<_> = created.into_iter().map(|(id, created)| (id, evicted(created))).collect();
        let all: BTreeSet<_> = created.iter().map(|(id, _)| *id).collect();
        let evicted: Vec<_> = created.iter().flat_map(|(_, evicted)| evicted.clone()).collect();
        let left: BTreeSet<_> = fixture.listed(&user, NOW).await.into_iter().collect();
        assert_eq!((left.len(), evicted.len()), (10, 14), "round {round}");
        let both: BTreeSet<_> = left.iter().copied().chain(evicted).collect();
        assert_eq!(both, all, "round {round}: each is left or was evicted, once");
        assert!(created.iter().all(|(id, evicted)| !evicted.contains(id)), "round {round}: none evicts itself");
    }
}

async fn racing_replacements(fixture: Fixture) {
    for round in 0..few_rounds() {
        let user = format!("user {round}");
        let old = fixture.signed_in(&user).await;
        at_once(&fixture, 4, |_, store| {
            let (new, old) = (Arc::new(record(&user)), [key(&old)]);
            async move { store.create(&new, &old, MANY, NOW).await.expect("create") }
        })
        .await;
        let listed = fixture.listed(&user, NOW).await;
        assert_eq!((listed.len(), listed.contains(&old.id)), (4, false), "round {round}");
    }
}

async fn racing_ids(fixture: Fixture) {
    for round in 0..few_rounds() {
        let new = Arc::new(record(&format!("user {round}")));
        let created = at_once(&fixture, 4, |number, store| {
            // Two of them have expired, as those are that keep a given-up sign-in out.
            let expires_at = if number < 2 { new.expires_at } else { NOW };
            let new = Arc::new(Record { expires_at, ..(*new).clone() });
            async move { (number, store.create(&new, &[], MANY, NOW).await.expect("create")) }
        })
        .await;
        let stored: Vec<_> = created.iter().filter(|(_, created)| *created != Created::Taken).collect();
        assert_eq!(stored.len(), 1, "round {round}: {created:?}");
        let is_live = stored[0].0 < 2;
        assert_eq!(fixture.stored(&new, NOW).await.is_some(), is_live, "round {round}");
    }
}

async fn racing_writes(fixture: Fixture) {
    const WRITERS: usize = 6;
    const WRITES: usize = 5;
    for round in 0..few_rounds() {
        let row = fixture.signed_in(&format!("user {round}")).await;
        let last = at_once(&fixture, WRITERS, |_, store| {
            let row = Arc::clone(&row);
            async move {
                let mut last = 0;
                let mut seen = Arc::clone(&row);
                let mut left = WRITES;
                while left > 0 {
                    let text = format!("{}+", seen.data.text());
                    let update = new_data(seen.version, &text);
                    match store.apply(&caller(&row), &update, NOW).await.expect("apply") {
                        Applied::Done { .. } => (left, last) = (left - 1, becomes(&update)),
                        Applied::Conflict(now) => seen = now,
                        Applied::Gone | Applied::Superseded(_) => panic!("nobody ended or rotated it"),
                    }
                    if left > 0 {
                        seen = Arc::clone(&store.load(&[super::token(&row)], NOW).await.expect("load")[0]);
                    }
                }
                last
            }
        })
        .await;
        let stored = fixture.stored(&row, NOW).await.expect("live");
        let text = format!("{{}}{}", "+".repeat(WRITERS * WRITES));
        assert_eq!(stored.data.text(), text, "round {round}");
        assert!(last.contains(&stored.version), "round {round}: it names the last write");
    }
}

async fn racing_tries(fixture: Fixture) {
    for round in 0..few_rounds() {
        let row = fixture.signed_in(&format!("user {round}")).await;
        let update = new_data(0, r#"{"a":1}"#);
        let outcomes = at_once(&fixture, 6, |_, store| {
            let (me, update) = (caller(&row), update.clone());
            async move { store.apply(&me, &update, NOW).await.expect("apply") }
        })
        .await;
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Applied::Done { .. })), "round {round}: {outcomes:?}");
        let stored = fixture.stored(&row, NOW).await.expect("live");
        assert_eq!((stored.version, stored.data.text()), (becomes(&update), r#"{"a":1}"#), "round {round}");
    }
}

async fn racing_rotations(fixture: Fixture) {
    for round in 0..crate::race_rounds() {
        let row = fixture.signed_in(&format!("user {round}")).await;
        let outcomes = at_once(&fixture, 2, |_, store| {
            let (me, to) = (caller(&row), hash());
            async move { (to, store.apply(&me, &rotation(to), NOW).await.expect("apply")) }
        })
        .await;
        let (winners, losers): (Vec<_>, Vec<_>) =
            outcomes.iter().partition(|(_, outcome)| matches!(outcome, Applied::Done { .. }));
        let ([(won, _)], [(_, Applied::Superseded(seen))]) = (&winners[..], &losers[..]) else {
            panic!("round {round}: {outcomes:?}")
        };
        let stored = fixture.stored(&row, NOW).await.expect("lives on under the winner's token");
        for row_now in [&stored, seen] {
            assert_eq!(
                (row_now.token_hash, row_now.previous_token_hash),
                (*won, Some(row.token_hash)),
                "round {round}"
            );
            assert_eq!(row_now.successor, Some(super::sealed(*won)), "round {round}: the loser finds the successor");
        }
    }
}

async fn writes_racing_an_end(fixture: Fixture) {
    for round in 0..crate::race_rounds() {
        let row = fixture.signed_in(&format!("user {round}")).await;
        at_once(&fixture, 3, |number, store| {
            let row = Arc::clone(&row);
            async move {
                match number {
                    0 => assert!(live(store.end(&row.user_id, row.id, None, NOW).await), "it was live"),
                    1 => drop(store.apply(&caller(&row), &new_data(0, r#"{"a":1}"#), NOW).await.expect("apply")),
                    _ => drop(store.apply(&caller(&row), &rotation(hash()), NOW).await.expect("apply")),
                }
            }
        })
        .await;
        assert!(fixture.listed(row.user_id.as_str(), NOW).await.is_empty(), "round {round}");
        let late = fixture.apply(&caller(&row), Update::default(), NOW).await;
        assert!(matches!(late, Applied::Gone), "round {round}");
    }
}

async fn ending_each_other(fixture: Fixture) {
    for round in 0..crate::race_rounds() {
        let user = format!("user {round}");
        let rows = [fixture.signed_in(&user).await, fixture.signed_in(&user).await];
        let outcomes = at_once(&fixture, 2, |number, store| {
            let row = Arc::clone(&rows[number]);
            async move { store.end_all(&row.user_id, Some(row.id), Some(&caller(&row)), NOW).await.expect("end_all") }
        })
        .await;
        let gone = outcomes.iter().filter(|outcome| matches!(outcome, Checked::CallerGone)).count();
        assert_eq!((gone, fixture.listed(&user, NOW).await.len()), (1, 1), "round {round}");
    }
}

async fn cleanup_racing_writes(fixture: Fixture) {
    for round in 0..few_rounds() {
        let user = format!("user {round}");
        let row = fixture.signed_in(&user).await;
        let expired = fixture.insert(Record { expires_at: NOW - super::TICK, ..record(&user) }).await;
        let purged = at_once(&fixture, 3, |number, store| {
            let row = Arc::clone(&row);
            async move {
                if number == 0 {
                    let wrote = store.apply(&caller(&row), &new_data(0, r#"{"a":1}"#), NOW).await.expect("apply");
                    assert!(matches!(wrote, Applied::Done { .. }));
                    0
                } else {
                    store.purge_expired(NOW, MANY).await.expect("purge")
                }
            }
        })
        .await;
        assert_eq!(purged.iter().sum::<u64>(), 1, "round {round}: {} is deleted once", expired.id);
        assert_eq!(fixture.stored(&row, NOW).await.map(|row| row.version != 0), Some(true), "round {round}");
    }
}

async fn dropped_operations(fixture: Fixture) {
    let row = fixture.signed_in("ada").await;
    let old = [key(&*fixture.signed_in("ada").await)];
    for round in 0..crate::race_rounds().min(50) {
        for polls in 1..4 {
            let new = Arc::new(record("bob"));
            let update = new_data(0, r#"{"dropped":true}"#);
            let me = caller(&row);
            tokio::join!(
                dropped_after(polls, fixture.store.create(&new, &old, MANY, NOW)),
                dropped_after(polls, fixture.store.apply(&me, &update, NOW)),
            );
            let created = fixture.stored(&new, NOW).await.is_some();
            let ended = !fixture.listed("ada", NOW).await.contains(&old[0].id);
            assert!(!created || ended, "round {round}: both or none");
            let stored = fixture.stored(&row, NOW).await.expect("nobody ended it");
            assert_eq!(stored.data.text() == "{}", stored.version == 0, "round {round}: both or none");
        }
    }
    fixture.signed_in("ada").await;
}

/// Polls a future this often, and drops it.
async fn dropped_after(polls: usize, future: impl Future) {
    let mut future = pin!(future);
    for _ in 0..polls {
        if poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await {
            return;
        }
        tokio::task::yield_now().await;
    }
}
