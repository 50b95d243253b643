//! Faults of the database, with real servers: killed, cut off, read-only, full, without a free
//! connection, silent, and running into other transactions. What the library does then, through
//! real HTTP.

use conformance_tests::mysql::MySql;
use conformance_tests::postgres::Postgres;
use conformance_tests::{BoxFuture, suite};
use libtest_mimic::Trial;

use client::Client;
use disk::SmallDisk;
use pool::opened_through;
use programs::{Kind, Programs};
use servers::OnDisk;

use super::pgbouncer::PgBouncer;

pub(crate) mod client;
mod conflicts;
pub(crate) mod cuts;
mod disk;
mod full_disk;
mod idle;
mod kills;
mod load;
pub(crate) mod pool;
pub(crate) mod programs;
pub(crate) mod proxy;
mod reach;
mod read_only;
pub(crate) mod redis;
pub(crate) mod servers;
mod unfit;
mod waits;
mod wire;

/// The trials, with servers of their own where their programs are, and with SQLite files.
pub(crate) fn trials(shared: &[Shared]) -> Vec<Trial> {
    let mut trials = on_sqlite();
    let disk = SmallDisk::is_possible();
    for kind in [Kind::Postgres, Kind::MariaDb] {
        let programs = match Programs::find(kind) {
            Ok(programs) => programs,
            Err(why) => {
                trials.extend(suite::untested(format!("faults of a {} server: {why}", kind.name())));
                continue;
            }
        };
        let trial = |clauses, behaviour: &str, run: fn(Programs) -> BoxFuture<'static, ()>| {
            let programs = programs.clone();
            suite::proves("faults", kind.name(), clauses, behaviour, move || run(programs))
        };
        trials.push(trial(&["FLT-1", "DATA-6"], "a server killed under load loses and revives nothing", |programs| {
            Box::pin(kills::killed_under_load(programs))
        }));
        trials.push(trial(&["FLT-1", "DATA-11"], "a read-only database serves reads and loses nothing", |programs| {
            Box::pin(read_only::read_only_under_load(programs))
        }));
        trials
            .push(trial(&["FLT-10"], "a read-only server is refused", |programs| Box::pin(unfit::read_only(programs))));
        trials.push(trial(&["FLT-10"], "a server that wants encryption names the driver's feature", |programs| {
            Box::pin(unfit::encrypted_only(programs))
        }));
        if let Err(why) = &disk {
            trials.extend(suite::untested(format!("a full disk of a {} server: {why}", kind.name())));
            continue;
        }
        match kind {
            Kind::Postgres => {
                trials.push(trial(
                    &["FLT-1", "DATA-6"],
                    "a full disk of tables loses and revives nothing",
                    |programs| Box::pin(full_disk::full_under_load(programs, OnDisk::Tables)),
                ));
                trials.push(trial(
                    &["FLT-1", "DATA-6"],
                    "a full disk of the log loses and revives nothing",
                    |programs| Box::pin(full_disk::full_under_load(programs, OnDisk::Log)),
                ));
            }
            Kind::MariaDb => {
                trials.push(trial(
                    &["FLT-10"],
                    "a server for which empty texts are null serves sessions",
                    |programs| Box::pin(unfit::empty_texts_are_null(programs)),
                ));
                trials.push(trial(&["FLT-1", "DATA-6"], "a full disk loses and revives nothing", |programs| {
                    Box::pin(full_disk::full_under_load(programs, OnDisk::Everything))
                }));
            }
        }
    }
    trials.extend(shared.iter().flat_map(|database| database.trials()));
    trials
}

/// The trials of SQLite files.
fn on_sqlite() -> Vec<Trial> {
    let trial = |clauses, behaviour: &str, run: fn() -> BoxFuture<'static, ()>| {
        suite::proves("faults", "sqlite", clauses, behaviour, run)
    };
    vec![
        trial(&["FLT-10"], "every spelling of a database in memory serves sessions", || Box::pin(unfit::in_memory())),
        trial(&["FLT-10"], "what is no place of a file makes none", || Box::pin(unfit::no_place_of_a_file())),
        trial(&["FLT-11"], "a file that was replaced is a 503 until it is back", || Box::pin(unfit::replaced_file())),
    ]
}

/// The trials of a pooler that the store doesn't know of.
pub(crate) fn forgotten_pooling(pooler: &PgBouncer) -> Vec<Trial> {
    let trial =
        |behaviour: &str, run: fn(String) -> BoxFuture<'static, ()>| {
            let pooler = pooler.clone();
            suite::proves("faults", "pgbouncer", &["FLT-10"], behaviour, move || async move {
                run(pooler.url().await).await
            })
        };
    vec![
        trial("opening names the setting that was forgotten", |url| Box::pin(unfit::pooler_at_open(url))),
        trial("the first failure names the setting that was forgotten", |url| {
            Box::pin(unfit::pooler_at_a_statement(url))
        }),
    ]
}

/// A database on a server that others use too.
#[derive(Clone)]
pub(crate) enum Shared {
    Postgres(Postgres),
    MySql(Box<MySql>),
}

impl Shared {
    const fn name(&self) -> &'static str {
        match self {
            Self::Postgres(_) => Kind::Postgres.name(),
            Self::MySql(_) => Kind::MariaDb.name(),
        }
    }

    /// The URL of tables that nobody else has.
    fn url(&self) -> BoxFuture<'static, String> {
        match self {
            Self::Postgres(server) => Box::pin(server.schema()),
            Self::MySql(server) => Box::pin(server.schema()),
        }
    }

    /// Drops the tables at `url`, where they aren't in a database that a later run drops as a
    /// whole.
    async fn drop(&self, url: &str) {
        if let Self::MySql(_) = self {
            let mut client = Client::connect(url).await.expect("a server that answers");
            let name = url.rsplit('/').next().and_then(|name| name.split('?').next()).expect("the URL of a database");
            client.run(&format!("DROP DATABASE {name}")).await.expect("its own database");
        }
    }

    fn trials(&self) -> Vec<Trial> {
        let trial = |clauses, behaviour: &str, run: fn(String) -> BoxFuture<'static, ()>| {
            let database = self.clone();
            suite::proves("faults", self.name(), clauses, behaviour, move || async move {
                let url = database.url().await;
                run(url.clone()).await;
                database.drop(&url).await;
            })
        };
        vec![
            trial(
                &["DATA-16", "FLT-2", "FLT-4", "AUTH-3"],
                "a change whose connection is cut at any moment is done once",
                |url| Box::pin(cuts::cut_in_the_middle(url)),
            ),
            trial(&["FLT-6"], "changes that wait for one user's rows leave the other users alone", |url| {
                Box::pin(reach::one_users_changes(url))
            }),
            trial(&["FLT-7"], "connections that were forgotten while they were idle cost no request a 503", |url| {
                Box::pin(async move {
                    let (store, proxy) = opened_through(&url, idle::CONNECTIONS).await;
                    idle::forgotten_connections(store, proxy).await;
                })
            }),
            trial(&["FLT-7"], "a connection that falls silent while it is opened costs no request a 503", |url| {
                Box::pin(async move {
                    let (store, proxy) = opened_through(&url, idle::CONNECTIONS).await;
                    idle::silent_openings(store, proxy).await;
                })
            }),
            trial(&["FLT-8"], "what is given up behind a lock doesn't go on waiting at the server", |url| {
                Box::pin(reach::waits_end_at_the_server(url))
            }),
            trial(&["FLT-1"], "without a free connection a request waits for a while, and is a 503", |url| {
                Box::pin(waits::no_free_connection(url))
            }),
            trial(&["FLT-1"], "inside the app's own transactions a session is refused in the store's time", |url| {
                Box::pin(waits::own_transactions(url))
            }),
            trial(&["FLT-1", "FLT-4"], "behind a lock a request waits for a while, and is a 503", |url| {
                Box::pin(waits::a_lock_that_is_held(url))
            }),
            trial(&["FLT-1"], "a server that accepts and never answers is a 503", |url| {
                Box::pin(waits::a_silent_server(url))
            }),
            trial(&["FLT-4"], "a sign-in that runs into a deadlock is run again, for a while", |url| {
                Box::pin(conflicts::deadlocks(url))
            }),
            trial(&["FLT-4"], "a change that the database refuses for another is made again, for a while", |url| {
                Box::pin(conflicts::refused_changes(url))
            }),
        ]
    }
}
