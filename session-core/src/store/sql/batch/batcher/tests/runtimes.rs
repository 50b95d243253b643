//! Requests from several runtimes, and a store's runtime that ends or is idle.

use super::*;

#[test]
fn no_request_waits_for_ever_when_the_stores_runtime_ends() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (home_runtime, here) = (runtime(), runtime());
    let database = Fake::new(|| None);
    let mut in_flight = home_runtime.block_on(async { InFlight::of(&database) });
    here.block_on(async {
        for number in 1..=3 {
            in_flight.submit(number, None).await;
        }
        database.let_answer(1);
        settle().await;
    });
    // Its batch has begun, and is dropped with its runtime.
    home_runtime.block_on(settle());
    assert_eq!(database.statements(), [vec![1], vec![2, 3]]);
    here.block_on(async {
        in_flight.submit(4, None).await;
        home_runtime.shutdown_background();
        settle().await;
        database.let_answer(1);
        database.let_answer(3);
        for (number, answer) in in_flight.answers.join_all().await {
            // What had begun may have been carried out.
            let expected = if [2, 3].contains(&number) { REPEATED + number } else { number };
            assert_eq!(answer.unwrap(), expected);
        }
    });
}

#[test]
fn no_request_waits_for_ever_when_the_stores_runtime_is_idle() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let (home_runtime, here) = (runtime(), runtime());
    let database = Fake::new(|| None);
    let mut in_flight = home_runtime.block_on(async { InFlight::of(&database) });
    here.block_on(async {
        in_flight.submit(NEVER, None).await;
        in_flight.submit(1, None).await;
        tokio::time::advance(MAX_WAIT).await;
        in_flight.submit(2, None).await;
        for _ in 1..=2 {
            let answer = timeout(LIMIT * 2, in_flight.answers.join_next()).await.expect("an answer in time");
            assert!(matches!(answer.unwrap().unwrap().1, Err(StoreError::NotApplied(_))));
        }
        assert_eq!(database.statements(), [[NEVER]]);
    });
}

#[test]
fn an_answer_has_a_time_limit_only_outside_the_stores_runtime() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let (home_runtime, here) = (runtime(), runtime());
    let database = Fake::new(|| None);
    let mut at_home = home_runtime.block_on(async { InFlight::of(&database) });
    let mut elsewhere = InFlight {
        batcher: Arc::clone(&at_home.batcher),
        database: database.clone(),
        owner: at_home.owner.clone(),
        answers: JoinSet::new(),
    };
    home_runtime.block_on(async {
        at_home.submit(1, None).await;
        at_home.submit(2, None).await;
        tokio::time::advance(MAX_WAIT).await;
        settle().await;
        at_home.submit(3, None).await;
    });
    assert_eq!(database.statements(), [[1], [2]]);
    here.block_on(async {
        elsewhere.submit(4, None).await;
        let start = tokio::time::Instant::now();
        let answer = timeout(LIMIT * 2, elsewhere.answers.join_next()).await.expect("an answer in time");
        assert!(matches!(answer.unwrap().unwrap(), (4, Err(StoreError::NotApplied(_)))));
        assert!(start.elapsed() >= LIMIT, "not before the time that a statement may take");
    });
    home_runtime.block_on(async {
        tokio::time::advance(LIMIT * 3).await;
        settle().await;
        database.let_answer(3);
        assert_eq!(at_home.receive().await, [1, 2, 3]);
    });
    assert_eq!(database.statements(), [[1], [2], [3]], "without the request that gave up");
}

#[test]
fn a_request_from_another_runtime_is_answered_while_the_stores_runtime_runs() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (home_runtime, here) = (runtime(), runtime());
    let database = Fake::new(|| None);
    let mut in_flight = home_runtime.block_on(async { InFlight::of(&database) });
    here.block_on(async {
        for number in 1..=9 {
            in_flight.submit(number, None).await;
        }
        database.let_answer(9);
        assert_eq!(in_flight.receive().await, (1..=9).collect::<Vec<_>>());
    });
}

#[test]
fn no_request_waits_for_ever_when_the_runtime_ends_during_a_statement() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let (home_runtime, here) = (runtime(), runtime());
    let database = Fake::new(|| None);
    let mut in_flight = home_runtime.block_on(async { InFlight::of(&database) });
    here.block_on(async {
        in_flight.submit(NEVER, None).await;
        in_flight.submit(1, None).await;
        tokio::time::advance(MAX_WAIT).await;
        settle().await;
        // Its task has started, hasn't run yet, and would run this one too.
        in_flight.submit(2, None).await;
        home_runtime.shutdown_background();
        settle().await;
        assert_eq!(database.statements(), [[NEVER], [1], [2]]);
    });
}
