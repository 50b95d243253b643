//! What is measured: a server of each kind on each of its stores.

/// Where a server keeps its sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    None,
    Memory,
    /// In memory, with the layer around the router.
    AroundMemory,
    /// In SQLite, by one connection.
    OneSqlite,
    /// In a pool of the application's own.
    PoolSqlite,
    PoolPostgres,
    Cookie,
    Sqlite,
    Floor,
    SelectSqlite,
    Postgres,
    SelectPostgres,
    MariaDb,
    Redis,
}

pub struct Case {
    /// As the tables call it.
    pub name: &'static str,
    /// The program.
    pub server: &'static str,
    pub place: Place,
    /// Which case without sessions it is compared with.
    pub bare: &'static str,
    /// Whether it is this project's.
    pub is_ours: bool,
}

impl Case {
    /// Whether it has sessions, and not only what looks like one.
    pub fn has_sessions(&self) -> bool {
        !matches!(self.place, Place::None | Place::Floor | Place::SelectSqlite | Place::SelectPostgres)
    }

    /// Whether it is another one in another way, which is measured under load only.
    pub fn is_variant(&self) -> bool {
        matches!(self.place, Place::AroundMemory | Place::OneSqlite | Place::PoolSqlite | Place::PoolPostgres)
    }

    /// How many connections to open, if it isn't the library's own business.
    pub fn connections(&self, to_servers: u32) -> Option<u32> {
        match self.place {
            Place::OneSqlite => Some(1),
            Place::Sqlite | Place::PoolSqlite | Place::SelectSqlite | Place::Floor => None,
            _ => Some(to_servers),
        }
    }

    /// Whether its sessions are gone with its process, or nowhere but in cookies.
    pub fn has_no_store(&self) -> bool {
        matches!(self.place, Place::Memory | Place::AroundMemory | Place::Cookie)
    }

    /// Whether it has this route.
    pub fn has(&self, path: &str) -> bool {
        !(path == "/write" && matches!(self.place, Place::SelectSqlite | Place::SelectPostgres))
    }
}

const fn case(name: &'static str, server: &'static str, place: Place, bare: &'static str, is_ours: bool) -> Case {
    Case { name, server, place, bare, is_ours }
}

const AXUM: &str = "bare Axum";
const ACTIX: &str = "bare Actix";

pub const CASES: &[Case] = &[
    case(AXUM, "bare-axum", Place::None, AXUM, false),
    case("ours, Axum, memory", "ours-axum", Place::Memory, AXUM, true),
    case("ours around Axum, memory", "ours-axum", Place::AroundMemory, AXUM, true),
    case("tower-sessions, memory", "tower-sessions", Place::Memory, AXUM, false),
    case("axum_session, memory", "axum-session", Place::Memory, AXUM, false),
    case("ours, Axum, SQLite", "ours-axum", Place::Sqlite, AXUM, true),
    case("ours, Axum, SQLite, the app's pool", "ours-axum", Place::PoolSqlite, AXUM, true),
    case("one SELECT, SQLite, sqlx", "bare-axum", Place::SelectSqlite, AXUM, false),
    case("by hand, SQLite, inline", "bare-axum", Place::Floor, AXUM, false),
    case("tower-sessions, SQLite", "tower-sessions-sqlx", Place::Sqlite, AXUM, false),
    case("tower-sessions, SQLite, 1 connection", "tower-sessions-sqlx", Place::OneSqlite, AXUM, false),
    case("axum_session, SQLite behind a cache", "axum-session", Place::Sqlite, AXUM, false),
    case("modo, SQLite", "modo", Place::Sqlite, AXUM, false),
    case("ours, Axum, PostgreSQL", "ours-axum", Place::Postgres, AXUM, true),
    case("ours, Axum, PostgreSQL, the app's pool", "ours-axum", Place::PoolPostgres, AXUM, true),
    case("one SELECT, PostgreSQL, sqlx", "bare-axum", Place::SelectPostgres, AXUM, false),
    case("tower-sessions, PostgreSQL", "tower-sessions-sqlx", Place::Postgres, AXUM, false),
    case("ours, Axum, MariaDB", "ours-axum", Place::MariaDb, AXUM, true),
    case("ours, Axum, Redis", "ours-axum", Place::Redis, AXUM, true),
    case("tower-sessions, Redis", "tower-sessions-sqlx", Place::Redis, AXUM, false),
    case(ACTIX, "bare-actix", Place::None, ACTIX, false),
    case("ours, Actix, memory", "ours-actix", Place::Memory, ACTIX, true),
    case("ours, Actix, SQLite", "ours-actix", Place::Sqlite, ACTIX, true),
    case("ours, Actix, PostgreSQL", "ours-actix", Place::Postgres, ACTIX, true),
    case("ours, Actix, MariaDB", "ours-actix", Place::MariaDb, ACTIX, true),
    case("ours, Actix, Redis", "ours-actix", Place::Redis, ACTIX, true),
    case("actix-session, cookie", "actix-session", Place::Cookie, ACTIX, false),
    case("actix-session, Redis", "actix-session", Place::Redis, ACTIX, false),
];
