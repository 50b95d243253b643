//! Operations at once, through both handles: started on a barrier, run for many rounds, and
//! counted.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use session_core::store::{Checked, Created, Replaced, SessionStore, StoreError, Update, Updated};
use session_core::{Data, Record};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::{
    Fixture, MANY, NONE_EVICTED, NOW, StoreScenario, becomes, caller, evicted, hash, id_of, key, live, new_data,
    record, rotation, rule,
};

pub(super) const RULES: &[StoreScenario] = &[
    rule!("create", "24 racing sign-ins leave exactly the limit", racing_sign_ins),
    rule!("create", "racing sign-ins that replace the same session leave one each", racing_replacements),
    rule!("create", "of racing sign-ins of one id exactly one is stored", racing_ids),
    rule!("create", "what is written beside a sign-in that takes data along is in it or refused", taking_along),
    rule!("update", "racing writes each build on the one before", racing_writes),
    rule!("update", "a write asked for many times at once is made once", racing_tries),
    rule!("update", "of racing rotations exactly one wins", racing_rotations),
    rule!("update", "a write that races an end brings nothing back", writes_racing_an_end),
    rule!("end_all", "of two that end each other exactly one lives", ending_each_other),
    rule!("purge_expired", "a cleanup that races writes ends nothing that lives", cleanup_racing_writes),
    rule!("cancel", "a dropped operation leaves no lock and no half of it", dropped_operations),
];

/// Runs `count` of them at once, in turns on both handles, and gives what came of each.
pub(super) async fn at_once<F, T>(
    fixture: &Fixture,
    count: usize,
    run: impl Fn(usize, Arc<dyn SessionStore>) -> F,
) -> Vec<T>
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
pub(super) fn few_rounds() -> usize {
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
                    match store.update(&caller(&row), &update, NOW).await.expect("update") {
                        Updated::Done { .. } => (left, last) = (left - 1, becomes(&update)),
                        Updated::Conflict(now) => seen = now,
                        Updated::Gone | Updated::Superseded(_) => panic!("nobody ended or rotated it"),
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
            async move { store.update(&me, &update, NOW).await.expect("update") }
        })
        .await;
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Updated::Done { .. })), "round {round}: {outcomes:?}");
        let stored = fixture.stored(&row, NOW).await.expect("live");
        assert_eq!((stored.version, stored.data.text()), (becomes(&update), r#"{"a":1}"#), "round {round}");
    }
}

async fn racing_rotations(fixture: Fixture) {
    for round in 0..crate::race_rounds() {
        let row = fixture.signed_in(&format!("user {round}")).await;
        let outcomes = at_once(&fixture, 2, |_, store| {
            let (me, to) = (caller(&row), hash());
            async move { (to, store.update(&me, &rotation(to), NOW).await.expect("update")) }
        })
        .await;
        let (winners, losers): (Vec<_>, Vec<_>) =
            outcomes.iter().partition(|(_, outcome)| matches!(outcome, Updated::Done { .. }));
        let ([(won, _)], [(_, Updated::Superseded(seen))]) = (&winners[..], &losers[..]) else {
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
                    1 => drop(store.update(&caller(&row), &new_data(0, r#"{"a":1}"#), NOW).await.expect("update")),
                    _ => drop(store.update(&caller(&row), &rotation(hash()), NOW).await.expect("update")),
                }
            }
        })
        .await;
        assert!(fixture.listed(row.user_id.as_str(), NOW).await.is_empty(), "round {round}");
        let late = fixture.update(&caller(&row), Update::default(), NOW).await;
        assert!(matches!(late, Updated::Gone), "round {round}");
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
                    let wrote = store.update(&caller(&row), &new_data(0, r#"{"a":1}"#), NOW).await.expect("update");
                    assert!(matches!(wrote, Updated::Done { .. }));
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

/// A visitor's row counts up while a sign-in takes the count along: what was stored is in it.
async fn taking_along(fixture: Fixture) {
    let rounds = few_rounds();
    for round in 0..rounds {
        let visitor = fixture.signed_in("visitor").await;
        let counted = at_once(&fixture, 3, |number, store| {
            let visitor = Arc::clone(&visitor);
            async move {
                if number == 0 {
                    let (mut seen, mut count) = (0, 0);
                    loop {
                        let replaced = Replaced { version: Some(seen), ..key(&visitor) };
                        let new = Arc::new(Record { data: Data::from_text(count.to_string()), ..record("ada") });
                        match store.create(&new, &[replaced], MANY, NOW).await {
                            // Perhaps it was stored: then the visitor is gone, with the same
                            // count.
                            Err(StoreError::Unknown(_)) => {}
                            Ok(Created::Changed(row)) => {
                                seen = row.version;
                                count = row.data.text().parse().expect("a number");
                            }
                            created => {
                                assert_eq!(created.expect("create"), NONE_EVICTED);
                                return (true, count, false);
                            }
                        }
                    }
                }
                let (mut seen, mut count, mut stored, mut is_unsure) = (0, 0, 0, false);
                for _ in 0..20 {
                    let update = new_data(seen, &(count + 1).to_string());
                    match store.update(&caller(&visitor), &update, NOW).await {
                        // A lost answer, and two newer writes: it was stored, or never will be.
                        Err(StoreError::Unknown(_)) => {
                            is_unsure = true;
                            break;
                        }
                        Err(error) => panic!("update: {error}"),
                        Ok(Updated::Done { .. }) => {
                            (seen, count, stored) = (becomes(&update), count + 1, count + 1);
                        }
                        Ok(Updated::Conflict(row)) => {
                            (seen, count) = (row.version, row.data.text().parse().expect("a number"));
                        }
                        Ok(Updated::Gone) => break,
                        Ok(Updated::Superseded(_)) => panic!("no token was rotated"),
                    }
                }
                (false, stored, is_unsure)
            }
        })
        .await;
        let most = |signs_in| counted.iter().filter(|one| one.0 == signs_in).map(|one| one.1).max();
        let is_unsure = counted.iter().any(|one| one.2);
        let holds = most(true) == most(false) || (is_unsure && most(true) > most(false));
        assert!(holds, "round {round} of {rounds}: {counted:?}");
        assert_eq!(fixture.stored(&visitor, NOW).await, None, "round {round}");
        live(fixture.store.end_all(&id_of("ada"), None, None, NOW).await);
    }
}

/// How often a trial looks for what comes by itself.
const MOST_LOOKS: u32 = 10_000;

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
                dropped_after(polls, fixture.store.update(&me, &update, NOW)),
            );
            let created = fixture.stored(&new, NOW).await.is_some();
            // Where two shards hold them, what is dropped goes on to its end by itself.
            let mut looks = 0..MOST_LOOKS;
            let is_half = async || created && fixture.listed("ada", NOW).await.contains(&old[0].session.id);
            while is_half().await {
                assert!(looks.next().is_some(), "round {round}: both or none");
            }
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
