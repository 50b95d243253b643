//! Tests of the gathering with a database that answers when it is told to.

use std::error::Error as StdError;
use std::fmt;
use std::future::pending;

use sqlx::error::{DatabaseError, ErrorKind};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, yield_now};

use super::*;

/// Answers each question with its number.
#[derive(Clone)]
struct Fake(Arc<Inner>);

struct Inner {
    /// The statements, by the numbers of their questions.
    statements: Mutex<Vec<Vec<u64>>>,
    /// How many may be answered.
    permits: Semaphore,
    /// What becomes of groups.
    groups: fn() -> Option<StoreError>,
}

impl Fake {
    fn new(groups: fn() -> Option<StoreError>) -> Self {
        Self(Arc::new(Inner { statements: Mutex::default(), permits: Semaphore::new(0), groups }))
    }

    fn statements(&self) -> Vec<Vec<u64>> {
        self.0.statements.lock().unwrap().clone()
    }

    fn let_answer(&self, statements: usize) {
        self.0.permits.add_permits(statements);
    }

    async fn run(&self, questions: &[&Asks]) {
        self.0.statements.lock().unwrap().push(questions.iter().map(|asks| asks.number).collect());
        if questions[0].number == NEVER {
            pending::<()>().await;
        }
        self.0.permits.acquire().await.unwrap().forget();
    }
}

/// How long a statement may take.
const LIMIT: Duration = Duration::from_secs(10);

/// What is added to an answer to what was asked before, too.
const REPEATED: u64 = 10_000;

/// Its statement never ends.
const NEVER: u64 = 999;

/// From here on questions send a third of what goes together.
const LARGE: u64 = 500;
/// From here on they send more than that.
const HUGE: u64 = 600;

#[derive(Clone)]
struct Asks {
    number: u64,
    session: Option<u8>,
}

impl Question<Fake> for Asks {
    type Answer = u64;

    fn session(&self) -> Option<SessionId> {
        self.session.map(|byte| SessionId::from_bytes([byte; 16]))
    }

    fn bytes(&self) -> usize {
        match self.number {
            LARGE..HUGE => MOST_BYTES / 3,
            HUGE..NEVER => MOST_BYTES * 2,
            _ => 1,
        }
    }

    async fn alone(&self, database: &Fake) -> Result<u64, StoreError> {
        database.run(&[self]).await;
        Ok(self.number)
    }

    fn repeated(answer: Result<u64, StoreError>) -> Result<u64, StoreError> {
        answer.map(|number| REPEATED + number)
    }

    async fn together(questions: &[&Self], database: &Fake) -> Result<Answers<u64>, StoreError> {
        database.run(questions).await;
        match (database.0.groups)() {
            Some(error) => Err(error),
            None => Ok(questions.iter().map(|asks| Ok(asks.number)).collect()),
        }
    }
}

type Answer = (u64, Result<u64, StoreError>);

/// Questions under way.
struct Asking {
    gather: Arc<Gather<Asks, u64>>,
    database: Fake,
    home: Home,
    answers: JoinSet<Answer>,
}

impl Asking {
    fn of(database: &Fake) -> Self {
        Self::beside(1, database)
    }

    fn beside(beside: usize, database: &Fake) -> Self {
        let home = Home::here().unwrap();
        Self { gather: Arc::new(Gather::new(beside, LIMIT)), database: database.clone(), home, answers: JoinSet::new() }
    }

    /// Asks, and lets it get as far as it can.
    async fn ask(&mut self, number: u64, session: Option<u8>) -> tokio::task::AbortHandle {
        let (gather, database, home) = (Arc::clone(&self.gather), self.database.clone(), self.home.clone());
        let ask = async move { (number, gather.ask(Asks { number, session }, &database, &home).await) };
        let handle = self.answers.spawn(ask);
        settle().await;
        handle
    }

    /// The next answer, which comes soon by the paused clock.
    async fn one_is_answered(&mut self) {
        let answer = timeout(HOLD * 10, self.answers.join_next()).await.expect("an answer in time");
        answer.unwrap().unwrap().1.unwrap();
    }

    /// All answers, which are those to the questions.
    async fn answered(self) -> Vec<u64> {
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
async fn one_after_the_other_each_goes_alone_and_at_once() {
    let database = Fake::new(|| None);
    let mut asking = Asking::of(&database);
    for number in 1..=3 {
        asking.ask(number, None).await;
        assert_eq!(database.statements().len() as u64, number);
        database.let_answer(1);
        settle().await;
    }
    assert_eq!(asking.answered().await, [1, 2, 3]);
    assert_eq!(database.statements(), [[1], [2], [3]]);
}

#[tokio::test(start_paused = true)]
async fn what_arrives_meanwhile_goes_together() {
    let database = Fake::new(|| None);
    let mut asking = Asking::of(&database);
    for number in 1..=100 {
        asking.ask(number, None).await;
    }
    assert_eq!(database.statements(), [[1]]);
    database.let_answer(3);
    assert_eq!(asking.answered().await, (1..=100).collect::<Vec<_>>());
    let sizes: Vec<_> = database.statements().iter().map(Vec::len).collect();
    assert_eq!(sizes, [1, MOST, 100 - 1 - MOST]);
}

#[tokio::test(start_paused = true)]
async fn few_go_beside_each_other_and_more_go_together() {
    let database = Fake::new(|| None);
    let mut asking = Asking::beside(2, &database);
    for number in 1..=4 {
        asking.ask(number, None).await;
    }
    assert_eq!(database.statements(), [[1], [2]]);
    database.let_answer(1);
    settle().await;
    asking.ask(5, None).await;
    asking.ask(6, None).await;
    assert_eq!(database.statements(), [vec![1], vec![2], vec![3, 4]], "one group at a time");
    database.let_answer(3);
    settle().await;
    asking.ask(7, None).await;
    asking.ask(8, None).await;
    let all = [vec![1], vec![2], vec![3, 4], vec![5, 6], vec![7], vec![8]];
    assert_eq!(database.statements(), all, "and few go alone again");
    database.let_answer(2);
    assert_eq!(asking.answered().await, [1, 2, 3, 4, 5, 6, 7, 8]);
}

#[tokio::test(start_paused = true)]
async fn a_group_holds_a_session_once_and_is_in_order() {
    let database = Fake::new(|| None);
    let mut asking = Asking::of(&database);
    for (number, session) in [(1, 1), (2, 9), (3, 5), (4, 9), (5, 7), (6, 9)] {
        asking.ask(number, Some(session)).await;
    }
    database.let_answer(4);
    assert_eq!(asking.answered().await, [1, 2, 3, 4, 5, 6]);
    assert_eq!(database.statements(), [vec![1], vec![3, 5, 2], vec![4], vec![6]]);
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_strands_nobody() {
    let database = Fake::new(|| None);
    let mut asking = Asking::of(&database);
    let first = asking.ask(1, None).await;
    asking.ask(2, None).await;
    let gone_early = asking.ask(3, None).await;
    let gone_late = asking.ask(4, None).await;
    asking.ask(5, None).await;
    gone_early.abort();
    settle().await;
    first.abort();
    settle().await;
    assert_eq!(database.statements(), [vec![1], vec![2, 4, 5]], "without who gave up before it began");
    gone_late.abort();
    settle().await;
    database.let_answer(1);
    let mut answered = Vec::new();
    while let Some(joined) = asking.answers.join_next().await {
        answered.extend(joined.ok().map(|(_, answer)| answer.unwrap()));
    }
    answered.sort_unstable();
    assert_eq!(answered, [2, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_is_refused_is_asked_one_by_one() {
    let database =
        Fake::new(|| Some(StoreError::not_applied(DriverError::from(sqlx::Error::Database(Box::new(Refused))))));
    let mut asking = Asking::of(&database);
    for number in 1..=4 {
        asking.ask(number, None).await;
    }
    database.let_answer(5);
    assert_eq!(asking.answered().await, [1, 2, 3, 4]);
    let mut statements = database.statements();
    statements[2..].sort();
    assert_eq!(statements, [vec![1], vec![2, 3, 4], vec![2], vec![3], vec![4]]);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_knows_of_a_group_each_is_told() {
    for failure in [|| StoreError::unknown("no answer"), || StoreError::not_applied("no connection")] {
        let database = match failure() {
            StoreError::Unknown(_) => Fake::new(|| Some(StoreError::unknown("no answer"))),
            _ => Fake::new(|| Some(StoreError::not_applied("no connection"))),
        };
        let mut asking = Asking::of(&database);
        for number in 1..=3 {
            asking.ask(number, None).await;
        }
        database.let_answer(2);
        for (number, answer) in asking.answers.join_all().await {
            match number {
                1 => assert!(answer.is_ok()),
                _ => assert_eq!(answer.unwrap_err().to_string(), failure().to_string()),
            }
        }
        assert_eq!(database.statements(), [vec![1], vec![2, 3]], "nothing is tried again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_statement_that_never_ends_holds_up_others_for_five_milliseconds() {
    let database = Fake::new(|| None);
    let mut asking = Asking::of(&database);
    asking.ask(NEVER, None).await;
    let start = tokio::time::Instant::now();
    for number in 1..=3 {
        asking.ask(number, None).await;
    }
    assert_eq!(database.statements(), [[NEVER]]);
    database.let_answer(1);
    for _ in 0..3 {
        asking.one_is_answered().await;
    }
    assert!((HOLD..HOLD * 2).contains(&start.elapsed()), "{:?}", start.elapsed());
    assert_eq!(database.statements(), [vec![NEVER], vec![1, 2, 3]]);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_never_ends_holds_up_others_for_five_milliseconds() {
    let database = Fake::new(|| None);
    let mut asking = Asking::of(&database);
    asking.ask(1, None).await;
    asking.ask(NEVER, None).await;
    asking.ask(2, None).await;
    database.let_answer(1);
    settle().await;
    assert_eq!(database.statements(), [vec![1], vec![NEVER, 2]]);
    asking.one_is_answered().await;
    let start = tokio::time::Instant::now();
    asking.ask(3, None).await;
    asking.ask(4, None).await;
    database.let_answer(1);
    for _ in 0..2 {
        asking.one_is_answered().await;
    }
    assert!(start.elapsed() <= HOLD, "{:?}", start.elapsed());
    assert_eq!(database.statements()[2..], [[3, 4]]);
    asking.ask(5, None).await;
    assert_eq!(database.statements()[3..], [[5]], "from now on it is as if it weren't there");
}

#[tokio::test(start_paused = true)]
async fn however_many_take_long_what_arrives_goes_together() {
    let database = Fake::new(|| None);
    let mut asking = Asking::of(&database);
    // None is answered.
    for number in 0..100 {
        asking.ask(number, None).await;
        tokio::time::advance(HOLD / 5).await;
    }
    let sizes: Vec<_> = database.statements().iter().map(Vec::len).collect();
    assert!((15..=22).contains(&sizes.len()), "one more every 5 milliseconds: {sizes:?}");
    database.let_answer(100);
    assert_eq!(asking.answered().await, (0..100).collect::<Vec<_>>());
}

#[test]
fn where_the_stores_runtime_ends_nobody_waits_for_ever() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (home_runtime, here) = (runtime(), runtime());
    let database = Fake::new(|| None);
    let mut asking = home_runtime.block_on(async { Asking::of(&database) });
    here.block_on(async {
        for number in 1..=3 {
            asking.ask(number, None).await;
        }
        database.let_answer(1);
        settle().await;
    });
    // Its group has begun, and is dropped with its runtime.
    home_runtime.block_on(settle());
    assert_eq!(database.statements(), [vec![1], vec![2, 3]]);
    here.block_on(async {
        asking.ask(4, None).await;
        home_runtime.shutdown_background();
        settle().await;
        database.let_answer(1);
        database.let_answer(3);
        for (number, answer) in asking.answers.join_all().await {
            // What had begun may have been done.
            let told = if [2, 3].contains(&number) { REPEATED + number } else { number };
            assert_eq!(answer.unwrap(), told);
        }
    });
}

#[test]
fn where_nobody_runs_the_stores_runtime_nobody_waits_for_ever() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let (home_runtime, here) = (runtime(), runtime());
    let database = Fake::new(|| None);
    let mut asking = home_runtime.block_on(async { Asking::of(&database) });
    here.block_on(async {
        asking.ask(NEVER, None).await;
        asking.ask(1, None).await;
        tokio::time::advance(HOLD).await;
        asking.ask(2, None).await;
        for _ in 1..=2 {
            let answer = timeout(LIMIT * 2, asking.answers.join_next()).await.expect("an answer in time");
            assert!(matches!(answer.unwrap().unwrap().1, Err(StoreError::NotApplied(_))));
        }
        assert_eq!(database.statements(), [[NEVER]]);
    });
}

#[test]
fn where_it_ends_beside_one_that_never_answers_nobody_waits_for_ever() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let (home_runtime, here) = (runtime(), runtime());
    let database = Fake::new(|| None);
    let mut asking = home_runtime.block_on(async { Asking::of(&database) });
    here.block_on(async {
        asking.ask(NEVER, None).await;
        asking.ask(1, None).await;
        tokio::time::advance(HOLD).await;
        settle().await;
        // Its task, which has started and not run, is to see to this one too.
        asking.ask(2, None).await;
        home_runtime.shutdown_background();
        settle().await;
        assert_eq!(database.statements(), [[NEVER], [1], [2]]);
    });
}

/// What a database says.
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
async fn a_group_ends_at_so_many_bytes() {
    let database = Fake::new(|| None);
    let mut asking = Asking::of(&database);
    for number in [1, 2, 500, 501, 3, 502, 503, 600, 4] {
        asking.ask(number, None).await;
    }
    database.let_answer(9);
    assert_eq!(asking.answered().await, [1, 2, 3, 4, 500, 501, 502, 503, 600]);
    // In the order of arrival; what is more than a group may send goes by itself.
    let expected: [&[u64]; 5] = [&[1], &[2, 500, 501, 3], &[502, 503], &[600], &[4]];
    assert_eq!(database.statements(), expected);
}
