//! What is measured: a server of each kind on each of its stores.

/// Where a server keeps its sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    None,
    Memory,
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
    case("tower-sessions, memory", "tower-sessions", Place::Memory, AXUM, false),
    case("axum_session, memory", "axum-session", Place::Memory, AXUM, false),
    case("ours, Axum, SQLite", "ours-axum", Place::Sqlite, AXUM, true),
    case("one SELECT, SQLite, sqlx", "bare-axum", Place::SelectSqlite, AXUM, false),
    case("by hand, SQLite, inline", "bare-axum", Place::Floor, AXUM, false),
    case("tower-sessions, SQLite", "tower-sessions-sqlx", Place::Sqlite, AXUM, false),
    case("axum_session, SQLite behind a cache", "axum-session", Place::Sqlite, AXUM, false),
    case("modo, SQLite", "modo", Place::Sqlite, AXUM, false),
    case("ours, Axum, PostgreSQL", "ours-axum", Place::Postgres, AXUM, true),
    case("one SELECT, PostgreSQL, sqlx", "bare-axum", Place::SelectPostgres, AXUM, false),
    case("tower-sessions, PostgreSQL", "tower-sessions-sqlx", Place::Postgres, AXUM, false),
    case("ours, Axum, MariaDB", "ours-axum", Place::MariaDb, AXUM, true),
    case(ACTIX, "bare-actix", Place::None, ACTIX, false),
    case("ours, Actix, memory", "ours-actix", Place::Memory, ACTIX, true),
    case("ours, Actix, SQLite", "ours-actix", Place::Sqlite, ACTIX, true),
    case("ours, Actix, PostgreSQL", "ours-actix", Place::Postgres, ACTIX, true),
    case("ours, Actix, MariaDB", "ours-actix", Place::MariaDb, ACTIX, true),
    case("actix-session, cookie", "actix-session", Place::Cookie, ACTIX, false),
    case("actix-session, Redis", "actix-session", Place::Redis, ACTIX, false),
];
