//! What many large sessions at once cost (FLT-9): reads and writes of 64 sessions together, against the same ones after each other,
//! what was refused, and how much memory the process took for them at the most.
//!
//! `cargo bench -p conformance-tests --bench big_data`. With the servers of the tests where they are found. Medians of 9 rounds, in
//! each of which both ways have their turn. No test: nothing fails by being slow, but a refusal ends in an error.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use conformance_tests::mysql::MySql;
use conformance_tests::postgres::Postgres;
use session_core::store::{Caller, NewData, SessionStore, StoreError, Update, Updated};
use session_core::{Data, MemoryStore, MySqlStore, PostgresStore, Record, SqliteStore, TokenRef};
use tokio::runtime::Builder;
use tokio::task::JoinSet;

mod memory;
mod sessions;

use memory::Peak;
use sessions::{LIMIT, NOW, record, text};

struct Options {
    stores: Vec<String>,
    /// Bytes of data.
    sizes: Vec<usize>,
    rounds: usize,
    sessions: usize,
}

const USAGE: &str =
    "big_data [--stores memory,sqlite,postgres,mysql] [--sizes 1024,16384,…] [--rounds 9] [--sessions 64]";

fn main() -> ExitCode {
    let outcome = options().and_then(|options| {
        let runtime = Builder::new_multi_thread().enable_all().build().map_err(|error| error.to_string())?;
        runtime.block_on(measure(&options))
    });
    match outcome {
        Ok(0) => ExitCode::SUCCESS,
        Ok(refused) => {
            eprintln!("{refused} requests were refused");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        stores: ["memory", "sqlite", "postgres", "mysql"].map(str::to_owned).to_vec(),
        sizes: vec![1 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20, 8 << 20],
        rounds: 9,
        sessions: 64,
    };
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    while let Some(name) = args.next() {
        let value = args.next().ok_or(USAGE)?;
        let number = |text: &str| text.parse::<usize>().map_err(|_| format!("{text} is no number\n{USAGE}"));
        match name.as_str() {
            "--stores" => options.stores = value.split(',').map(str::to_owned).collect(),
            "--sizes" => options.sizes = value.split(',').map(number).collect::<Result<_, _>>()?,
            "--rounds" => options.rounds = number(&value)?,
            "--sessions" => options.sessions = number(&value)?,
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok(options)
}

/// How many requests were refused.
async fn measure(options: &Options) -> Result<usize, String> {
    println!(
        "{} sessions, medians of {}; × one by one over together, 1.0 is as fast\n",
        options.sessions, options.rounds
    );
    println!(
        "| store | data | reads: one by one, together | × | writes: one by one, together | × | peak of what is moved |"
    );
    println!("|---|---|---|---|---|---|---|");
    let mut refused = 0;
    for name in &options.stores {
        let server = Server::of(name)?;
        for &size in &options.sizes {
            let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
            let store: Arc<dyn SessionStore> = match &server {
                Server::Memory => Arc::new(MemoryStore::new()),
                Server::Sqlite => {
                    let file = folder.path().join("sessions.db");
                    Arc::new(SqliteStore::open(&file.to_string_lossy()).await.map_err(|error| error.to_string())?)
                }
                Server::Postgres(server) => {
                    Arc::new(PostgresStore::open(&server.schema().await).await.map_err(|error| error.to_string())?)
                }
                Server::MySql(server) => {
                    Arc::new(MySqlStore::open(&server.schema().await).await.map_err(|error| error.to_string())?)
                }
            };
            let mut subject = Subject::new(store, options.sessions, size).await.map_err(|error| error.to_string())?;
            refused += subject.run(name, options.rounds).await;
        }
    }
    Ok(refused)
}

/// Where the rows of a store are.
enum Server {
    Memory,
    Sqlite,
    Postgres(Postgres),
    MySql(Box<MySql>),
}

impl Server {
    fn of(store: &str) -> Result<Self, String> {
        match store {
            "memory" => Ok(Self::Memory),
            "sqlite" => Ok(Self::Sqlite),
            "postgres" => outside(Postgres::find).map(Self::Postgres),
            "mysql" => outside(MySql::find).map(|server| Self::MySql(Box::new(server))),
            _ => Err(USAGE.to_owned()),
        }
    }
}

/// Runs what has a runtime of its own.
fn outside<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join().expect("a server is found or not"))
}

/// A store and its sessions.
struct Subject {
    store: Arc<dyn SessionStore>,
    rows: Vec<Arc<Record>>,
    size: usize,
    version: i64,
    refused: usize,
}

impl Subject {
    async fn new(store: Arc<dyn SessionStore>, sessions: usize, size: usize) -> Result<Self, StoreError> {
        let rows: Vec<_> = (0..sessions).map(|number| record(number, size)).collect();
        for row in &rows {
            store.create(row, &[], LIMIT, NOW).await?;
        }
        Ok(Self { store, rows, size, version: 0, refused: 0 })
    }

    /// Measures, and prints a line: how many requests were refused.
    async fn run(&mut self, name: &str, rounds: usize) -> usize {
        let [mut reads, mut reads_together, mut writes, mut writes_together]: [Vec<Duration>; 4] = Default::default();
        let mut peak = 0;
        // The first warms up.
        for round in 0..=rounds {
            // Each goes first in turns.
            for together in if round.is_multiple_of(2) { [true, false] } else { [false, true] } {
                let measured = Peak::begin();
                let read = self.read(together).await;
                let write = self.write(together).await;
                if together {
                    peak = peak.max(measured.bytes());
                }
                if round > 0 {
                    let [to_reads, to_writes] =
                        if together { [&mut reads_together, &mut writes_together] } else { [&mut reads, &mut writes] };
                    to_reads.push(read);
                    to_writes.push(write);
                }
            }
        }
        let [reads, reads_together, writes, writes_together] =
            [reads, reads_together, writes, writes_together].map(|mut times| {
                times.sort_unstable();
                times[times.len() / 2].as_secs_f64() * 1000.0
            });
        println!(
            "| {name} | {} KiB | {reads:.2} ms, {reads_together:.2} ms | {:.2} | {writes:.2} ms, {writes_together:.2} ms | {:.2} | {} MiB, {:.1} × |{}",
            self.size >> 10,
            reads / reads_together,
            writes / writes_together,
            peak >> 20,
            peak as f64 / (self.size * self.rows.len()) as f64,
            if self.refused > 0 { format!(" {} REFUSED", self.refused) } else { String::new() }
        );
        self.refused
    }

    async fn read(&mut self, together: bool) -> Duration {
        let (store, size) = (Arc::clone(&self.store), self.size);
        self.each(together, move |row| {
            let store = Arc::clone(&store);
            async move {
                let token = [TokenRef { shard: row.user_id.shard(), id: row.id }];
                let found = store.load(&token, NOW).await?;
                assert_eq!(found[0].data.text().len(), size, "whole");
                Ok(())
            }
        })
        .await
    }

    async fn write(&mut self, together: bool) -> Duration {
        let (store, based_on, size) = (Arc::clone(&self.store), self.version, self.size);
        self.version += 1;
        // Made before, as a request's own work isn't the store's.
        let data = Data::from_text(text(self.version.unsigned_abs() as usize, size));
        self.each(together, move |row| {
            let (store, data) = (Arc::clone(&store), data.clone());
            async move {
                let caller = Caller {
                    user_id: row.user_id.clone(),
                    id: row.id,
                    token: row.token_hash,
                    grace: Duration::from_mins(1),
                };
                let update =
                    Update { data: Some(NewData { based_on, becomes: based_on + 1, data }), ..Update::default() };
                // A version that was refused is a conflict from then on.
                match store.update(&caller, &update, NOW).await? {
                    Updated::Done { .. } => Ok(()),
                    other => Err(StoreError::not_applied(format!("{other:?}"))),
                }
            }
        })
        .await
    }

    /// Asks for each session: how long all took.
    async fn each<F>(&mut self, together: bool, ask: impl Fn(Arc<Record>) -> F + Send + 'static) -> Duration
    where
        F: Future<Output = Result<(), StoreError>> + Send + 'static,
    {
        let rows = self.rows.clone();
        // In a task, as requests are.
        let asked = tokio::spawn(async move {
            let start = Instant::now();
            let mut outcomes = Vec::new();
            if together {
                let requests: JoinSet<_> = rows.into_iter().map(ask).collect();
                outcomes.extend(requests.join_all().await);
            } else {
                for row in rows {
                    outcomes.push(ask(row).await);
                }
            }
            (start.elapsed(), outcomes)
        });
        let (took, outcomes) = asked.await.expect("no request panics");
        for outcome in outcomes {
            if let Err(error) = outcome {
                if self.refused == 0 {
                    eprintln!(
                        "{}: {error}: {:?}",
                        if together { "together" } else { "one by one" },
                        std::error::Error::source(&error)
                    );
                }
                self.refused += 1;
            }
        }
        took
    }
}
