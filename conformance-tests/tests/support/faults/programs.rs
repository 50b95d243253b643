//! The programs of the database servers: where they are, how a new data folder is made, and how a
//! server is started on it. Not here: the life of a server, see `servers`.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A kind of database server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres,
    MariaDb,
}

/// The programs of one kind, and the account that they run under.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    pub(crate) kind: Kind,
    init: PathBuf,
    server: PathBuf,
    /// None is this process's own.
    account: Option<Account>,
}

/// The numbers of a user and its group.
#[derive(Debug, Clone, Copy)]
struct Account {
    user: u32,
    group: u32,
}

impl Kind {
    /// Of the server at a URL.
    pub(crate) fn of(url: &str) -> Self {
        if url.starts_with("postgres") { Self::Postgres } else { Self::MariaDb }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::MariaDb => "mysql",
        }
    }
}

impl Programs {
    /// The newest that are installed.
    ///
    /// # Errors
    /// What is missing.
    pub(crate) fn find(kind: Kind) -> Result<Self, String> {
        let (folders, init, server, account) = match kind {
            Kind::Postgres => (postgres_folders(), "initdb", "postgres", "postgres"),
            Kind::MariaDb => (
                ["/usr/local/bin", "/usr/local/sbin", "/usr/bin", "/usr/sbin"].map(PathBuf::from).to_vec(),
                "mariadb-install-db",
                "mariadbd",
                "mysql",
            ),
        };
        let find = |program: &str| {
            let mut all = folders.iter().map(|folder| folder.join(program));
            all.rfind(|path| path.is_file()).ok_or(format!("there is no `{program}` on this machine"))
        };
        // PostgreSQL refuses to be root.
        let account = if id("-u", None)? == 0 {
            Some(Account { user: id("-u", Some(account))?, group: id("-g", Some(account))? })
        } else {
            None
        };
        Ok(Self { kind, init: find(init)?, server: find(server)?, account })
    }

    /// Lets the servers write into a folder.
    pub(crate) fn give(&self, folder: &Path) {
        if let Some(Account { user, group }) = self.account {
            std::os::unix::fs::chown(folder, Some(user), Some(group)).expect("root may give a folder away");
        }
    }

    /// Makes a new data folder. `log` is PostgreSQL's write-ahead log, if it is to be elsewhere.
    /// `temporary` is where the program keeps its temporary files.
    pub(crate) fn make(&self, data: &Path, log: Option<&Path>, temporary: &Path) {
        let mut command = self.command(&self.init);
        match self.kind {
            Kind::Postgres => {
                command.args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync"]);
                // Small steps, so that a small disk is soon full.
                command.arg("--wal-segsize=1").arg("-D").arg(data);
                if let Some(log) = log {
                    command.arg("--waldir").arg(log);
                }
            }
            Kind::MariaDb => {
                command.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
                command.args(MARIADB_SIZES).arg(format!("--datadir={}", data.display()));
                // Every MariaDB that starts deletes the temporary tables that it finds in this folder: of
                // two that shared one, the second would take the first one's away.
                command.arg(format!("--tmpdir={}", temporary.display()));
            }
        }
        let made = command.stdin(Stdio::null()).output().expect("a program that is there");
        assert!(made.status.success(), "a new data folder: {}", String::from_utf8_lossy(&made.stderr));
    }

    /// The server on `data`, in the foreground, saying on its standard error what it does.
    pub(crate) fn serve(&self, data: &Path, folder: &Path, port: u16) -> Command {
        let mut command = self.command(&self.server);
        match self.kind {
            Kind::Postgres => {
                command.arg("-D").arg(data).args(["-p", &port.to_string()]);
                let sockets = format!("unix_socket_directories={}", folder.display());
                for setting in ["listen_addresses=127.0.0.1", "autovacuum=off", &sockets] {
                    command.args(["-c", setting]);
                }
            }
            Kind::MariaDb => {
                let [socket, pid] = ["socket", "pid"].map(|name| folder.join(name));
                command.args(["--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve"]);
                command.args(MARIADB_SIZES).arg(format!("--datadir={}", data.display()));
                command.arg(format!("--port={port}")).arg(format!("--socket={}", socket.display()));
                command.arg(format!("--pid-file={}", pid.display())).arg(format!("--tmpdir={}", folder.display()));
            }
        }
        command.current_dir(folder);
        command
    }

    /// What asks a server to stop at once. PostgreSQL's processes must leave together; MariaDB is
    /// one.
    pub(crate) fn stop(&self, data: &Path) -> Option<Command> {
        match self.kind {
            Kind::Postgres => {
                let mut command = self.command(&self.server.with_file_name("pg_ctl"));
                command.arg("-D").arg(data).args(["-m", "immediate", "stop"]).current_dir(data);
                command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
                Some(command)
            }
            Kind::MariaDb => None,
        }
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some(Account { user, group }) = self.account {
            command.uid(user).gid(group).current_dir("/");
        }
        command
    }
}

/// Files as small as they may be.
const MARIADB_SIZES: [&str; 4] = [
    "--innodb-log-file-size=4M",
    "--innodb-buffer-pool-size=16M",
    "--innodb-temp-data-file-path=ibtmp1:1M:autoextend",
    "--innodb-autoextend-increment=1",
];

/// In the order of their versions.
fn postgres_folders() -> Vec<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut versions: Vec<_> = versions.filter_map(|version| Some(version.ok()?.path())).collect();
    versions.sort_by_key(|path| path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()));
    versions.into_iter().map(|version| version.join("bin")).collect()
}

/// A number of an account, of this process's own by default.
fn id(which: &str, account: Option<&str>) -> Result<u32, String> {
    let asked = Command::new("id").arg(which).args(account).output().map_err(|error| format!("no `id`: {error}"))?;
    let number = String::from_utf8_lossy(&asked.stdout).trim().parse();
    number.map_err(|_| format!("no account {} for a server", account.unwrap_or_default()))
}
