//! Tests of the batcher with a database that answers when it is allowed to.

mod runtimes;

use std::error::Error as StdError;
use std::fmt;
use std::future::pending;

use sqlx::error::{DatabaseError, ErrorKind};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, yield_now};

use super::*;

/// Answers each request with its number.
#[derive(Clone)]
struct Fake(Arc<Inner>);

struct Inner {
    /// The statements, by the numbers of their requests.
    statements: Mutex<Vec<Vec<u64>>>,
    /// How many may be answered.
    permits: Semaphore,
    /// How a batch fails, if it does.
    tasks: fn() -> Option<StoreError>,
}

impl Fake {
    fn new(tasks: fn() -> Option<StoreError>) -> Self {
        Self(Arc::new(Inner { statements: Mutex::default(), permits: Semaphore::new(0), tasks }))
    }

    fn statements(&self) -> Vec<Vec<u64>> {
        self.0.statements.lock().unwrap().clone()
    }

    fn let_answer(&self, statements: usize) {
        self.0.permits.add_permits(statements);
    }

    async fn run(&self, requests: &[&Request]) {
        self.0.statements.lock().unwrap().push(requests.iter().map(|request| request.number).collect());
        if requests[0].number == NEVER {
            pending::<()>().await;
        }
        self.0.permits.acquire().await.unwrap().forget();
    }
}

/// How long a statement may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Added to an answer to a request that was sent before.
const REPEATED: u64 = 10_000;

/// Its statement never ends.
const NEVER: u64 = 999;

/// From here on requests send a third of what fits into a batch.
const LARGE: u64 = 500;
/// From here on they send more than that.
const HUGE: u64 = 600;

#[derive(Clone)]
struct Request {
    number: u64,
    session: Option<u8>,
}

impl BatchRequest<Fake> for Request {
    type Output = u64;

    fn session(&self) -> Option<SessionId> {
        self.session.map(|byte| SessionId::from_bytes([byte; 16]))
    }

    fn bytes(&self) -> usize {
        match self.number {
            LARGE..HUGE => MAX_BATCH_BYTES / 3,
            HUGE..NEVER => MAX_BATCH_BYTES * 2,
            _ => 1,
        }
    }

    async fn run_one(&self, database: &Fake) -> Result<u64, StoreError> {
        database.run(&[self]).await;
        Ok(self.number)
    }

    fn repeated(answer: Result<u64, StoreError>) -> Result<u64, StoreError> {
        answer.map(|number| REPEATED + number)
    }

    async fn run_many(requests: &[&Self], database: &Fake) -> Result<Outputs<u64>, StoreError> {
        database.run(requests).await;
        match (database.0.tasks)() {
            Some(error) => Err(error),
            None => Ok(requests.iter().map(|request| Ok(request.number)).collect()),
        }
    }
}

type Answer = (u64, Result<u64, StoreError>);

/// Questions under way.
struct InFlight {
    batcher: Arc<Batcher<Request, u64>>,
    database: Fake,
    owner: OwnerRuntime,
    answers: JoinSet<Answer>,
}

impl InFlight {
    fn of(database: &Fake) -> Self {
        Self::with_solo_limit(1, database)
    }

    fn with_solo_limit(solo_limit: usize, database: &Fake) -> Self {
        let owner = OwnerRuntime::current().unwrap();
        Self {
            batcher: Arc::new(Batcher::new(solo_limit, LIMIT)),
            database: database.clone(),
            owner,
            answers: JoinSet::new(),
        }
    }

    /// Sends a request, and lets it get as far as it can.
    async fn submit(&mut self, number: u64, session: Option<u8>) -> tokio::task::AbortHandle {
        let (batcher, database, owner) = (Arc::clone(&self.batcher), self.database.clone(), self.owner.clone());
        let ask = async move { (number, batcher.submit(Request { number, session }, &database, &owner).await) };
        let handle = self.answers.spawn(ask);
        settle().await;
        handle
    }

    /// The next answer, which arrives soon by the paused clock.
    async fn one_is_answered(&mut self) {
        let answer = timeout(MAX_WAIT * 10, self.answers.join_next()).await.expect("an answer in time");
        answer.unwrap().unwrap().1.unwrap();
    }

    /// All answers, each with its request's number.
    async fn receive(self) -> Vec<u64> {
        let check = |(number, answer): Answer| {
            assert_eq!(answer.unwrap(), number);
            number
        };
        let mut numbers: Vec<_> = self.answers.join_all().await.into_iter().map(check).collect();
        numbers.sort_unstable();
        numbers
    }
}

/// Lets all tasks run until they wait.
async fn settle() {
    for _ in 0..20 {
        yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn requests_one_after_the_other_run_at_once() {
    let database = Fake::new(|| None);
    let mut in_flight = InFlight::of(&database);
    for number in 1..=3 {
        in_flight.submit(number, None).await;
        assert_eq!(database.statements().len() as u64, number);
        database.let_answer(1);
        settle().await;
    }
    assert_eq!(in_flight.receive().await, [1, 2, 3]);
    assert_eq!(database.statements(), [[1], [2], [3]]);
}

#[tokio::test(start_paused = true)]
async fn what_arrives_meanwhile_is_batched() {
    let database = Fake::new(|| None);
    let mut in_flight = InFlight::of(&database);
    for number in 1..=100 {
        in_flight.submit(number, None).await;
    }
    assert_eq!(database.statements(), [[1]]);
    database.let_answer(3);
    assert_eq!(in_flight.receive().await, (1..=100).collect::<Vec<_>>());
    let sizes: Vec<_> = database.statements().iter().map(Vec::len).collect();
    assert_eq!(sizes, [1, MAX_BATCH, 100 - 1 - MAX_BATCH]);
}

#[tokio::test(start_paused = true)]
async fn few_run_at_once_and_more_are_batched() {
    let database = Fake::new(|| None);
    let mut in_flight = InFlight::with_solo_limit(2, &database);
    for number in 1..=4 {
        in_flight.submit(number, None).await;
    }
    assert_eq!(database.statements(), [[1], [2]]);
    database.let_answer(1);
    settle().await;
    in_flight.submit(5, None).await;
    in_flight.submit(6, None).await;
    assert_eq!(database.statements(), [vec![1], vec![2], vec![3, 4]], "one batch at a time");
    database.let_answer(3);
    settle().await;
    in_flight.submit(7, None).await;
    in_flight.submit(8, None).await;
    let all = [vec![1], vec![2], vec![3, 4], vec![5, 6], vec![7], vec![8]];
    assert_eq!(database.statements(), all, "and few run at once again");
    database.let_answer(2);
    assert_eq!(in_flight.receive().await, [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_names_a_session_once_and_is_sorted() {
    let database = Fake::new(|| None);
    let mut in_flight = InFlight::of(&database);
    for (number, session) in [(1, 1), (2, 9), (3, 5), (4, 9), (5, 7), (6, 9)] {
        in_flight.submit(number, Some(session)).await;
    }
    database.let_answer(4);
    assert_eq!(in_flight.receive().await, [1, 2, 3, 4, 5, 6]);
    assert_eq!(database.statements(), [vec![1], vec![3, 5, 2], vec![4], vec![6]]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_request_strands_no_other() {
    let database = Fake::new(|| None);
    let mut in_flight = InFlight::of(&database);
    let first = in_flight.submit(1, None).await;
    in_flight.submit(2, None).await;
    let gone_early = in_flight.submit(3, None).await;
    let gone_late = in_flight.submit(4, None).await;
    in_flight.submit(5, None).await;
    gone_early.abort();
    settle().await;
    first.abort();
    settle().await;
    assert_eq!(database.statements(), [vec![1], vec![2, 4, 5]], "without who gave up before it began");
    gone_late.abort();
    settle().await;
    database.let_answer(1);
    let mut answered = Vec::new();
    while let Some(joined) = in_flight.answers.join_next().await {
        answered.extend(joined.ok().map(|(_, answer)| answer.unwrap()));
    }
    answered.sort_unstable();
    assert_eq!(answered, [2, 5]);
}

#[tokio::test(start_paused = true)]
async fn the_requests_of_a_refused_batch_run_one_by_one() {
    let database =
        Fake::new(|| Some(StoreError::not_applied(DriverError::from(sqlx::Error::Database(Box::new(Refused))))));
    let mut in_flight = InFlight::of(&database);
    for number in 1..=4 {
        in_flight.submit(number, None).await;
    }
    database.let_answer(5);
    assert_eq!(in_flight.receive().await, [1, 2, 3, 4]);
    let mut statements = database.statements();
    statements[2..].sort();
    assert_eq!(statements, [vec![1], vec![2, 3, 4], vec![2], vec![3], vec![4]]);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_of_a_batch_is_each_requests_own() {
    for failure in [|| StoreError::unknown("no answer"), || StoreError::not_applied("no connection")] {
        let database = match failure() {
            StoreError::Unknown(_) => Fake::new(|| Some(StoreError::unknown("no answer"))),
            _ => Fake::new(|| Some(StoreError::not_applied("no connection"))),
        };
        let mut in_flight = InFlight::of(&database);
        for number in 1..=3 {
            in_flight.submit(number, None).await;
        }
        database.let_answer(2);
        for (number, answer) in in_flight.answers.join_all().await {
            match number {
                1 => assert!(answer.is_ok()),
                _ => assert_eq!(answer.unwrap_err().to_string(), failure().to_string()),
            }
        }
        assert_eq!(database.statements(), [vec![1], vec![2, 3]], "nothing is tried again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_statement_that_never_ends_delays_others_for_five_milliseconds() {
    let database = Fake::new(|| None);
    let mut in_flight = InFlight::of(&database);
    in_flight.submit(NEVER, None).await;
    let start = tokio::time::Instant::now();
    for number in 1..=3 {
        in_flight.submit(number, None).await;
    }
    assert_eq!(database.statements(), [[NEVER]]);
    database.let_answer(1);
    for _ in 0..3 {
        in_flight.one_is_answered().await;
    }
    assert!((MAX_WAIT..MAX_WAIT * 2).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert_eq!(database.statements(), [vec![NEVER], vec![1, 2, 3]]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_never_ends_delays_others_for_five_milliseconds() {
    let database = Fake::new(|| None);
    let mut in_flight = InFlight::of(&database);
    in_flight.submit(1, None).await;
    in_flight.submit(NEVER, None).await;
    in_flight.submit(2, None).await;
    database.let_answer(1);
    settle().await;
    assert_eq!(database.statements(), [vec![1], vec![NEVER, 2]]);
    in_flight.one_is_answered().await;
    let start = tokio::time::Instant::now();
    in_flight.submit(3, None).await;
    in_flight.submit(4, None).await;
    database.let_answer(1);
    for _ in 0..2 {
        in_flight.one_is_answered().await;
    }
    assert!(start.elapsed() <= MAX_WAIT, "{:?}", start.elapsed());
    assert_eq!(database.statements()[2..], [[3, 4]]);
    in_flight.submit(5, None).await;
    assert_eq!(database.statements()[3..], [[5]], "from now on it is as if it weren't there");
}

#[tokio::test(start_paused = true)]
async fn however_many_are_slow_what_arrives_is_batched() {
    let database = Fake::new(|| None);
    let mut in_flight = InFlight::of(&database);
    // None is answered.
    for number in 0..100 {
        in_flight.submit(number, None).await;
        tokio::time::advance(MAX_WAIT / 5).await;
    }
    let sizes: Vec<_> = database.statements().iter().map(Vec::len).collect();
    assert!((15..=22).contains(&sizes.len()), "one more every 5 milliseconds: {sizes:?}");
    database.let_answer(100);
    assert_eq!(in_flight.receive().await, (0..100).collect::<Vec<_>>());
}

/// An error of the database.
#[derive(Debug)]
struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused")
    }
}

impl StdError for Refused {}

impl DatabaseError for Refused {
    fn message(&self) -> &str {
        "refused"
    }

    fn as_error(&self) -> &(dyn StdError + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn StdError + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn StdError + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_has_a_limit_of_bytes() {
    let database = Fake::new(|| None);
    let mut in_flight = InFlight::of(&database);
    for number in [1, 2, 500, 501, 3, 502, 503, 600, 4] {
        in_flight.submit(number, None).await;
    }
    database.let_answer(9);
    assert_eq!(in_flight.receive().await, [1, 2, 3, 4, 500, 501, 502, 503, 600]);
    // In the order of arrival. A request that sends more than a batch may gets a statement of its
    // own.
    let expected: [&[u64]; 5] = [&[1], &[2, 500, 501, 3], &[502, 503], &[600], &[4]];
    assert_eq!(database.statements(), expected);
}
