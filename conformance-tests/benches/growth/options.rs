//! The command line. Leaves out nothing silently: what it doesn't know ends the program.

/// What is measured, and where.
pub(crate) struct Options {
    /// The server, as a URL whose user may make databases.
    pub(crate) url: String,
    /// Sessions of each table that is compared.
    pub(crate) sizes: Vec<u64>,
    /// Rounds, in each of which every size has its turn.
    pub(crate) rounds: usize,
    /// Expired rows that the clean-up finds, none to leave it out.
    pub(crate) expired: u64,
    /// How many nodes clean up at once, one case after the other.
    pub(crate) nodes: Vec<usize>,
    /// How often each of these cases runs.
    pub(crate) cleanups: usize,
    /// Expired rows on a database with nothing else to do, none to leave it out.
    pub(crate) backlog: u64,
    /// Where it is measured too.
    pub(crate) beside: String,
    /// For how many seconds the clean-up then runs under load.
    pub(crate) load: u64,
    /// Whether the databases stay, for the next run to find them filled.
    pub(crate) keep: bool,
}

const USAGE: &str = "growth [--url URL] [--sizes 10000,100000] [--rounds 41] [--expired 100000] [--nodes 1,4] \
     [--cleanups 3] [--backlog 20000] [--beside URL] [--load 60] [--keep]";

impl Options {
    /// Those of this process.
    pub(crate) fn read() -> Result<Self, String> {
        let url = std::env::var("SESSION_TEST_POSTGRES");
        let mut options = Self {
            url: url.unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/postgres".to_owned()),
            sizes: vec![10_000, 100_000],
            rounds: 41,
            expired: 100_000,
            nodes: vec![1, 4],
            cleanups: 3,
            backlog: 0,
            beside: "mysql://root@127.0.0.1:3306/".to_owned(),
            load: 0,
            keep: false,
        };
        let mut args = std::env::args().skip(1);
        while let Some(name) = args.next() {
            match name.as_str() {
                // Which cargo adds.
                "--bench" => continue,
                "--keep" => {
                    options.keep = true;
                    continue;
                }
                _ => {}
            }
            let value = args.next().ok_or(USAGE)?;
            match name.as_str() {
                "--url" => options.url = value,
                "--sizes" => options.sizes = numbers(&value)?,
                "--rounds" => options.rounds = number(&value)?,
                "--expired" => options.expired = number(&value)?,
                "--nodes" => options.nodes = numbers(&value)?,
                "--backlog" => options.backlog = number(&value)?,
                "--beside" => options.beside = value,
                "--load" => options.load = number(&value)?,
                "--cleanups" => options.cleanups = number(&value)?,
                _ => return Err(USAGE.to_owned()),
            }
        }
        if options.rounds == 0 || options.sizes.iter().any(|size| *size < 100) {
            return Err(format!("at least one round, and 100 sessions\n{USAGE}"));
        }
        Ok(options)
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text} is no number\n{USAGE}"))
}

/// Numbers between commas; `none` is none.
fn numbers<T: std::str::FromStr>(text: &str) -> Result<Vec<T>, String> {
    if text == "none" { Ok(Vec::new()) } else { text.split(',').map(number).collect() }
}
