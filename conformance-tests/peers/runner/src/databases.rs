//! Database servers of the run's own, on ports of their own, with their defaults for durability; ended with the run.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::Outcome;
use crate::cases::Place;
use crate::server::AGENT;

const POSTGRES: u16 = 54391;
const MARIADB: u16 = 33891;
const REDIS: u16 = 63891;

pub struct Databases {
    folder: PathBuf,
    servers: Vec<(Place, Child)>,
}

impl Databases {
    pub async fn start(folder: &Path, places: &[Place]) -> Outcome<Self> {
        let mut databases = Self { folder: folder.to_owned(), servers: Vec::new() };
        for place in [Place::Postgres, Place::MariaDb, Place::Redis] {
            let is_needed = places.iter().any(|needed| place_of(*needed) == place);
            if is_needed {
                let Some(address) = Self::address(place) else { continue };
                if TcpStream::connect(address).is_ok() {
                    return Err(
                        format!("{address} is taken, perhaps by what an earlier run has left: end it first").into()
                    );
                }
                let child = databases.server(place)?;
                databases.servers.push((place, child));
                databases.until_ready(place).await?;
            }
        }
        Ok(databases)
    }

    fn server(&self, place: Place) -> Outcome<Child> {
        let home = self.folder.join(format!("{place:?}"));
        std::fs::create_dir(&home)?;
        let data = home.join("data");
        let (home, data) = (home.display(), data.display());
        let command = match place {
            Place::Postgres => {
                let bin = run("ls -d /usr/lib/postgresql/*/bin | sort -V | tail -1")?;
                run(&format!(
                    "chown postgres {home} && cd {home} && runuser -u postgres -- {bin}/initdb -D {data} -A trust -U postgres"
                ))?;
                format!(
                    "cd {home} && exec setpriv --reuid postgres --regid postgres --init-groups {bin}/postgres -D {data} -p {POSTGRES} \
                     -c listen_addresses=127.0.0.1 -c unix_socket_directories={home} -c max_connections=300 \
                     -c shared_preload_libraries=pg_stat_statements"
                )
            }
            Place::MariaDb => {
                run(&format!(
                    "chown mysql {home} && mariadb-install-db --no-defaults --user=mysql --datadir={data} --skip-test-db \
                     --auth-root-authentication-method=normal"
                ))?;
                format!(
                    "exec mariadbd --no-defaults --user=mysql --datadir={data} --bind-address=127.0.0.1 --port={MARIADB} \
                     --socket={home}/socket --max-connections=300"
                )
            }
            _ => format!("exec redis-server --bind 127.0.0.1 --port {REDIS} --save '' --appendonly no --dir {home}"),
        };
        Ok(shell(&command).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
    }

    async fn until_ready(&self, place: Place) -> Outcome<()> {
        for _ in 0..300 {
            let asked = match place {
                Place::Postgres => postgres("postgres", "SELECT 1"),
                Place::MariaDb => mariadb("SELECT 1"),
                _ => run(&format!("redis-cli -p {REDIS} ping")),
            };
            if asked.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(format!("{place:?} doesn't start").into())
    }

    /// What to tell a server of this case, after making a database of its own.
    pub fn make(&self, place: Place, number: usize) -> Outcome<String> {
        let file = self.folder.join(format!("{number}.db"));
        let file = file.display();
        Ok(match place {
            Place::None => "none".to_owned(),
            Place::Memory => "memory".to_owned(),
            Place::AroundMemory => "around-memory".to_owned(),
            Place::Cookie => "cookie".to_owned(),
            Place::Sqlite | Place::OneSqlite => format!("sqlite:{file}"),
            Place::PoolSqlite => format!("pool-sqlite:{file}"),
            Place::SelectSqlite => format!("select-sqlite:{file}"),
            Place::Floor => format!("floor:{file}"),
            Place::Postgres | Place::SelectPostgres | Place::PoolPostgres => {
                postgres("postgres", &format!("CREATE DATABASE case_{number}"))?;
                postgres(&format!("case_{number}"), "CREATE EXTENSION pg_stat_statements")?;
                let prefix = match place {
                    Place::SelectPostgres => "select-",
                    Place::PoolPostgres => "pool-",
                    _ => "",
                };
                format!("{prefix}postgres://postgres@127.0.0.1:{POSTGRES}/case_{number}")
            }
            Place::MariaDb => {
                mariadb(&format!("CREATE DATABASE case_{number}"))?;
                format!("mysql://root@127.0.0.1:{MARIADB}/case_{number}")
            }
            Place::Redis => format!("redis://127.0.0.1:{REDIS}"),
        })
    }

    /// Where the database of this case listens, if it is a server.
    pub fn address(place: Place) -> Option<SocketAddr> {
        let port = match place_of(place) {
            Place::Postgres => POSTGRES,
            Place::MariaDb => MARIADB,
            Place::Redis => REDIS,
            _ => return None,
        };
        Some(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    /// How many statements the database has run for this case so far, where it counts them.
    pub fn statements(&self, place: Place, number: usize) -> Outcome<Option<u64>> {
        let counted = match place_of(place) {
            Place::Postgres => postgres(
                &format!("case_{number}"),
                "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements \
                 WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) \
                 AND query NOT LIKE '%pg_stat_statements%'",
            )?,
            Place::MariaDb => mariadb(
                "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'QUESTIONS'",
            )?,
            _ => return Ok(None),
        };
        Ok(Some(counted.parse()?))
    }

    /// Fills the table of sessions of this case, so that those `from` to `to` are there too.
    pub fn fill(&self, number: usize, from: u32, to: u32) -> Outcome<()> {
        const DAY: u64 = 24 * 3600 * 1_000_000;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
        let expires = now + u128::from(10 * DAY);
        let sql = format!(
            "INSERT INTO cookie_session (id, token_hash, token_issued_at, token_seen, user_id, ip_address, user_agent, device_name, \
             device_type, fingerprint, data, version, persistent, created_at, authenticated_at, last_active_at, expires_at, \
             absolute_expires_at) \
             SELECT decode(md5('id' || n), 'hex'), sha256(('token' || n)::bytea), {now}, TRUE, 'filled' || n / 5, '192.0.2.1', '{AGENT}', \
             'Firefox on Linux', 'desktop', 'Linux/Firefox', '{{\"theme\":\"light\"}}', 0, TRUE, {now}, {now}, {now}, {expires}, {expires} \
             FROM generate_series({from}, {to} - 1) AS n"
        );
        let database = format!("case_{number}");
        postgres(&database, &sql)?;
        postgres(&database, "VACUUM ANALYZE cookie_session")?;
        postgres(&database, "CHECKPOINT")?;
        Ok(())
    }

    /// Makes the store of this case fail.
    pub fn fail(&mut self, place: Place, number: usize) -> Outcome<()> {
        if place == Place::Sqlite {
            let file = rusqlite::Connection::open(self.folder.join(format!("{number}.db")))?;
            let mut tables =
                file.prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")?;
            let tables: Vec<String> = tables.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            for table in tables {
                file.execute_batch(&format!("ALTER TABLE {table} RENAME TO {table}_gone"))?;
            }
            return Ok(());
        }
        for (started, child) in &mut self.servers {
            if *started == place_of(place) {
                child.kill()?;
                child.wait()?;
            }
        }
        Ok(())
    }
}

impl Drop for Databases {
    fn drop(&mut self) {
        for (_, server) in &mut self.servers {
            // One that has ended needs no end.
            drop(server.kill());
            drop(server.wait());
        }
    }
}

fn place_of(place: Place) -> Place {
    if matches!(place, Place::SelectPostgres | Place::PoolPostgres) { Place::Postgres } else { place }
}

fn postgres(database: &str, sql: &str) -> Outcome<String> {
    output(Command::new("psql").args(["-qAtc", sql, &format!("postgres://postgres@127.0.0.1:{POSTGRES}/{database}")]))
}

fn mariadb(sql: &str) -> Outcome<String> {
    output(Command::new("mariadb").args([
        "--no-defaults",
        "-h127.0.0.1",
        &format!("-P{MARIADB}"),
        "-uroot",
        "-Ne",
        sql,
    ]))
}

pub fn run(command: &str) -> Outcome<String> {
    output(&mut shell(command))
}

fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]);
    shell
}

pub fn output(command: &mut Command) -> Outcome<String> {
    let output = command.output()?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
