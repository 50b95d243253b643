//! Which file, or database in memory, a path or URL means; and what isn't one. Not here: opening
//! it, see `options`.

use std::path::Path;
use std::str::FromStr;

use sqlx_sqlite::SqliteConnectOptions;

use super::open_error::{LocationFault, SqliteOpenError};

/// What a path or URL means.
pub(super) struct FileLocation {
    pub(super) options: SqliteConnectOptions,
    pub(super) in_memory: bool,
    /// Whether to create a missing file at this path.
    #[cfg_attr(not(unix), expect(dead_code, reason = "SQLite makes it"))]
    pub(super) creates: bool,
}

impl FileLocation {
    pub(super) fn parse(text: &str) -> Result<Self, SqliteOpenError> {
        // As a variable that was read from a file may have it.
        let text = text.trim();
        if text.starts_with(['"', '\'']) {
            return Err(LocationFault::Quoted.into());
        }
        let url = in_url(text);
        let (path, query) = match url {
            Some(rest) => rest.split_once('?').unwrap_or((rest, "")),
            None if has_scheme(text) => return Err(LocationFault::Scheme.into()),
            None if text.split_once('?').is_some_and(|(_, query)| query.contains('=')) => {
                return Err(LocationFault::Parameters.into());
            }
            None => (text, ""),
        };
        if path.starts_with("~/") {
            return Err(LocationFault::Home.into());
        }
        let has = |option: &str| query.split('&').any(|given| given.starts_with(option));
        let in_memory = path == ":memory:" || has("mode=memory");
        if path.is_empty() && !in_memory {
            return Err(LocationFault::Empty.into());
        }
        let options = if url.is_some() || in_memory {
            let url = if query.is_empty() { format!("sqlite://{path}") } else { format!("sqlite://{path}?{query}") };
            SqliteConnectOptions::from_str(&url).map_err(|error| SqliteOpenError::of(Path::new(path), error.into()))?
        } else {
            SqliteConnectOptions::new().filename(path)
        };
        let by_default = !has("mode=");
        let options = if by_default { options.create_if_missing(true) } else { options };
        // Names in another VFS, and those that SQLite takes for URIs, aren't paths of files to
        // create here.
        let is_path = !has("vfs=") && !options.get_filename().to_string_lossy().starts_with("file:");
        Ok(Self { options, in_memory, creates: is_path && (by_default || (has("mode=rwc") && !has("mode=ro"))) })
    }
}

/// What follows the scheme of a URL of sqlx, or of a URI of SQLite, which means the same.
fn in_url(text: &str) -> Option<&str> {
    let rest = after(text, "sqlite:").map(|rest| rest.strip_prefix("//").unwrap_or(rest));
    let Some(uri) = after(rest.unwrap_or(text), "file:") else { return rest };
    let uri = uri.strip_prefix("//localhost").filter(|path| path.starts_with('/')).unwrap_or(uri);
    Some(uri.strip_prefix("//").unwrap_or(uri))
}

/// What follows this scheme, in any case.
fn after<'t>(text: &'t str, scheme: &str) -> Option<&'t str> {
    let (start, rest) = text.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}

/// Whether the text begins with a URL's scheme. One letter is a drive of Windows.
fn has_scheme(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, _)| {
        scheme.len() > 1
            && scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.chars().all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(text: &str) -> Result<FileLocation, SqliteOpenError> {
        FileLocation::parse(text)
    }

    #[test]
    fn a_path_a_url_and_a_uri_mean_the_same_file() {
        for (texts, file) in [
            (
                &["a.db", "sqlite:a.db", "sqlite://a.db", "SQLite:a.db", "file:a.db", "sqlite:file:a.db", " a.db\n"][..],
                "a.db",
            ),
            (
                &[
                    "/a b.db",
                    "sqlite:/a%20b.db",
                    "sqlite:///a%20b.db",
                    "file:/a%20b.db",
                    "file:///a%20b.db",
                    "file://localhost/a%20b.db",
                ],
                "/a b.db",
            ),
            (&["./mysql:x"], "./mysql:x"),
            (&["C:\\a.db"], "C:\\a.db"),
            (&["what?.db"], "what?.db"),
        ] {
            for text in texts {
                let location = location(text).unwrap_or_else(|error| panic!("{text}: {error}"));
                assert_eq!(location.options.get_filename(), Path::new(file), "{text}");
                assert!(location.creates && !location.in_memory, "{text}");
            }
        }
    }

    #[test]
    fn every_spelling_of_a_database_in_memory_is_one() {
        for text in [
            ":memory:",
            "sqlite::memory:",
            "sqlite://:memory:",
            "sqlite::memory:?cache=shared",
            "sqlite:a?mode=memory",
            "sqlite:?mode=memory",
            "file::memory:",
            "file::memory:?cache=shared",
            "file:a?mode=memory",
            "file:a?mode=memory&cache=shared",
            "file:a?cache=shared&mode=memory",
            "sqlite:file:a?mode=memory",
        ] {
            let location = location(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert!(location.in_memory && !location.creates, "{text}");
        }
        assert!(!location("sqlite:a?mode=rwc").unwrap().in_memory);
    }

    #[test]
    fn what_is_no_place_of_a_file_is_refused_with_the_reason() {
        use LocationFault::{Empty, Home, Parameters, Quoted, Scheme};
        for (text, expected) in [
            ("", Empty),
            (" \n", Empty),
            ("sqlite:", Empty),
            ("sqlite://", Empty),
            ("sqlite:?mode=rw", Empty),
            ("file:", Empty),
            ("\"sessions.db\"", Quoted),
            ("'sqlite:sessions.db'", Quoted),
            ("mysql:x", Scheme),
            ("jdbc:sqlite:x", Scheme),
            ("sqlite3:x", Scheme),
            ("sqlite+aiosqlite:///x", Scheme),
            ("libsql:x", Scheme),
            ("postgres://ada:lovelace@localhost/app", Scheme),
            ("https://host/sessions.db", Scheme),
            ("~/sessions.db", Home),
            ("sqlite:~/sessions.db", Home),
            ("sessions.db?mode=rwc", Parameters),
            (":memory:?cache=shared", Parameters),
        ] {
            let error = location(text).err().unwrap_or_else(|| panic!("{text} is taken"));
            assert!(matches!(&error, SqliteOpenError::Location(fault) if *fault == expected), "{text}: {error:?}");
            assert!(!format!("{error} {error:?}").contains("lovelace"));
        }
    }
}
