//! The same operations on tables of several sizes, beside each other, in turns: so that whatever else the machine does
//! meets all of them.

use std::time::Instant;

use crate::database::{Database, Server};
use crate::figures::{median, micros, p99, ratio};
use crate::operations::{OPERATIONS, Samples, Subject};
use crate::options::Options;
use crate::sessions::Sessions;

pub(crate) async fn compare(server: &Server, options: &Options) -> sqlx::Result<()> {
    let mut databases = Vec::new();
    let mut subjects = Vec::new();
    for size in &options.sizes {
        let database = filled(server, *size).await?;
        subjects.push(Subject::new(database.store().await, Sessions::live(*size)));
        databases.push(database);
    }
    println!("{:>10} {:>16} {:>18}", "sessions", "table, B each", "indexes, B each");
    for (size, database) in options.sizes.iter().zip(&databases) {
        let [table, indexes] = database.bytes().await?.map(|bytes| bytes.unsigned_abs() / size);
        println!("{size:>10} {table:>16} {indexes:>18}");
    }

    // The first round warms up what an application has warm: connections, prepared statements, caches.
    let mut rounds: Vec<Vec<Samples>> = Vec::new();
    for _ in 0..=options.rounds {
        let mut round = Vec::new();
        for subject in &mut subjects {
            round.push(subject.turn().await);
        }
        rounds.push(round);
    }
    report(options, &rounds[1..]);
    for database in &databases {
        drop(subjects.pop());
        if !options.keep {
            server.remove(database).await?;
        }
    }
    Ok(())
}

/// The database of this size, filled unless an earlier run has left it.
async fn filled(server: &Server, size: u64) -> sqlx::Result<Database> {
    let start = Instant::now();
    let database = server.database(&format!("session_growth_{size}")).await?;
    database.store().await;
    if database.rows().await? != size {
        server.remove(&database).await?;
        server.database(&format!("session_growth_{size}")).await?.store().await;
        database.fill(Sessions::live(size)).await?;
    }
    database.settle().await?;
    eprintln!("{size} sessions in {:.0?}", start.elapsed());
    Ok(database)
}

/// Medians of the rounds' medians, percentiles of all samples, and the medians of what each round compares.
fn report(options: &Options, rounds: &[Vec<Samples>]) {
    for (operation, name) in OPERATIONS.iter().enumerate() {
        println!("{name:>10} {:>12} {:>12} {:>12} {:>10}", "median, us", "p99, us", "times first", "samples");
        for (index, size) in options.sizes.iter().enumerate() {
            let medians = |index: usize| rounds.iter().map(move |round| median(&round[index][operation]));
            let all: Vec<_> = rounds.iter().flat_map(|round| round[index][operation].iter().copied()).collect();
            let typical = median(&medians(index).collect::<Vec<_>>());
            let times: Vec<_> = medians(index).zip(medians(0)).map(|(this, first)| ratio(this, first)).collect();
            println!(
                "{size:>10} {:>12} {:>12} {:>12.2} {:>10}",
                micros(typical),
                micros(p99(&all)),
                median(&times),
                all.len()
            );
        }
    }
}
