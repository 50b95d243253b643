//! A MariaDB server of the trials' own, because there the isolation level is a setting of the whole
//! server.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use conformance_tests::mysql::MySql;
use tempfile::TempDir;

/// MariaDB's programs.
#[derive(Debug, Clone)]
pub(super) struct Programs {
    install: PathBuf,
    server: PathBuf,
}

impl Programs {
    pub(super) fn find() -> Result<Self, String> {
        let find = |name: &str| {
            let folders = ["/usr/sbin", "/usr/bin", "/usr/local/bin"];
            let found = folders.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file());
            found.ok_or_else(|| {
                format!("MariaDB at each isolation level: there is no `{name}`; `apt-get install mariadb-server`")
            })
        };
        Ok(Self { install: find("mariadb-install-db")?, server: find("mariadbd")? })
    }
}

/// A server that runs until it is dropped.
pub(super) struct MariaDb {
    /// For databases on it.
    pub(super) databases: MySql,
    process: Child,
    _folder: TempDir,
}

impl MariaDb {
    /// Starts one, and returns when it answers. Blocks.
    pub(super) fn start(programs: &Programs, level: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = format!("--datadir={}", folder.path().join("data").display());
        // As root it changes to this user, who then must get into the folder.
        let is_root = Command::new("id").arg("-u").output().expect("`id`").stdout.trim_ascii() == b"0";
        let user: &[&str] = if is_root { &["--user=mysql"] } else { &[] };
        if is_root {
            let owned = Command::new("chown").arg("mysql").arg(folder.path()).status().expect("`chown`");
            assert!(owned.success());
        }
        let log = fs::File::create(folder.path().join("install.log")).expect("a log");
        let mut install = Command::new(&programs.install);
        install.arg("--no-defaults").args(user).args([
            &data,
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ]);
        let installed = install.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log).status();
        assert!(installed.expect("MariaDB's programs run").success(), "a new server");

        // Free now; the server has it before anybody else asks.
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port();
        let mut server = Command::new(&programs.server);
        server.arg("--no-defaults").args(user).args([
            &data,
            &format!("--port={port}"),
            &format!("--socket={}", folder.path().join("socket").display()),
            &format!("--pid-file={}", folder.path().join("pid").display()),
            &format!("--transaction-isolation={}", level.to_uppercase().replace(' ', "-")),
            "--bind-address=127.0.0.1",
            "--innodb-buffer-pool-size=32M",
            // Nobody pulls its plug.
            "--innodb-flush-log-at-trx-commit=2",
        ]);
        let mut process = server
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut lines = BufReader::new(process.stderr.take().expect("piped")).lines().map_while(Result::ok);
        let is_ready = lines.any(|line| line.contains("ready for connections"));
        std::thread::spawn(move || lines.for_each(drop));
        assert!(is_ready, "the server says when it is ready");
        let databases = MySql::at(&format!("mysql://root@127.0.0.1:{port}")).expect("it lets this user in");
        Self { databases, process, _folder: folder }
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        // It may have ended by itself.
        if self.process.kill().is_ok() {
            self.process.wait().expect("a process that was killed ends");
        }
    }
}
