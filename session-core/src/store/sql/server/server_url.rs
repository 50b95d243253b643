//! Reads the URL of a database server: what the driver would misread is refused with the reason,
//! and what it would ignore is reported. Not here: connecting, see `options`.

use url::Url;

/// What a server's URL may have.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct UrlRules {
    /// How it may begin.
    pub(in crate::store) schemes: &'static [&'static str],
    /// The parameters that the driver reads. One that ends with `[` is the beginning of many.
    pub(in crate::store) parameters: &'static [&'static str],
    /// Those of other clients, and what has their effect here.
    pub(in crate::store) instead: &'static [(&'static str, &'static str)],
    /// Whether the driver has no database without one in the URL.
    pub(in crate::store) needs_database: bool,
}

/// What is wrong with a server's URL. Nothing of the URL is repeated, because it may hold a
/// password; only the names of the driver's own parameters are.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use session_core::{PostgresStore, ServerOpenError, UrlFault};
///
/// let url = "postgres://app:pass#word@db.internal/app";
/// let error = PostgresStore::open(url).await.unwrap_err();
/// assert!(matches!(error, ServerOpenError::Url { fault: UrlFault::Password, .. }));
/// assert!(error.to_string().contains("%23"));
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlFault {
    /// There is no text.
    #[error("it is empty")]
    Empty,
    /// It is inside quotes, as some tools keep them.
    #[error("it begins with a quote: leave the quotes out")]
    Quoted,
    /// It is the URL of something else, or none.
    #[error("it doesn't begin with `{0}`")]
    Scheme(&'static str),
    /// A character of the password ends that part of the URL.
    #[error(
        "a `#`, `/` or `?` in it ends a part too early: in a user or password write `%23` for `#`, `%2F` for `/`, `%3F` for `?` \
         and `%25` for `%`"
    )]
    Password,
    /// The host, the port or an escape can't be read.
    #[error(
        "its host, port or an escape can't be read: the port is a number, and in a user or password `#`, `/`, `?`, `[`, `]` and \
         `%` are written as `%23`, `%2F`, `%3F`, `%5B`, `%5D` and `%25`"
    )]
    Unreadable,
    /// It names several hosts.
    #[error(
        "it names several hosts, and the driver connects to one: name the primary, or a DNS name or proxy that leads to whichever \
         server is the primary"
    )]
    SeveralHosts,
    /// It names no database.
    #[error("it names no database: write one after the host and a `/`")]
    NoDatabase,
    /// A parameter has a value that the driver doesn't know.
    #[error("its parameter `{0}` has a value that the driver doesn't know")]
    Parameter(&'static str),
}

/// A URL that can be given to the driver, without what that would ignore.
#[derive(Debug)]
pub(super) struct ServerUrl {
    pub(super) url: Url,
    /// The parameters that have no effect, with what to do instead; none if there are none.
    pub(super) ignored: Option<String>,
}

impl ServerUrl {
    pub(super) fn parse(text: &str, rules: &UrlRules) -> Result<Self, UrlFault> {
        // As a file's last line, or a variable that was read from one, may have it.
        let text = text.trim();
        if text.is_empty() {
            return Err(UrlFault::Empty);
        }
        if text.starts_with(['"', '\'']) {
            return Err(UrlFault::Quoted);
        }
        let rest = rules.schemes.iter().find_map(|scheme| {
            let (start, rest) = text.split_at_checked(scheme.len())?;
            start.eq_ignore_ascii_case(scheme).then_some(rest)
        });
        let rest = rest.ok_or(UrlFault::Scheme(rules.schemes[0]))?;
        if is_cut_off(rest) {
            return Err(UrlFault::Password);
        }
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        if hosts(authority).contains(',') {
            return Err(UrlFault::SeveralHosts);
        }
        let mut url = Url::parse(text).map_err(|_| UrlFault::Unreadable)?;
        if rules.needs_database && url.path().trim_matches('/').is_empty() {
            return Err(UrlFault::NoDatabase);
        }
        let names_hosts = |key: &str| ["host", "hostaddr", "port"].contains(&key) && rules.knows(key);
        if url.query_pairs().any(|(key, value)| names_hosts(&key) && value.contains(',')) {
            return Err(UrlFault::SeveralHosts);
        }
        let ignored = take_unknown(&mut url, rules);
        Ok(Self { url, ignored })
    }

    /// What is wrong with a URL that the driver refuses, found by `accepts`, which asks it.
    pub(super) fn fault(&self, rules: &UrlRules, accepts: impl Fn(&Url) -> bool) -> UrlFault {
        let mut bare = self.url.clone();
        bare.set_query(None);
        let culprit = self.url.query_pairs().find(|(key, value)| {
            let mut one = bare.clone();
            one.query_pairs_mut().append_pair(key, value);
            !accepts(&one)
        });
        match culprit.and_then(|(key, _)| rules.parameters.iter().find(|known| **known == key)) {
            Some(name) if accepts(&bare) => UrlFault::Parameter(name),
            _ => UrlFault::Unreadable,
        }
    }
}

impl UrlRules {
    fn knows(&self, key: &str) -> bool {
        self.parameters.iter().any(|known| *known == key || (known.ends_with('[') && key.starts_with(known)))
    }
}

/// Takes the parameters out that the driver doesn't read, and returns their names. Their values
/// aren't repeated, and the driver doesn't get them, because it would log them.
fn take_unknown(url: &mut Url, rules: &UrlRules) -> Option<String> {
    let (known, unknown): (Vec<_>, Vec<_>) =
        url.query_pairs().into_owned().partition(|(key, _)| rules.knows(key) || key.is_empty());
    if unknown.is_empty() {
        return None;
    }
    url.set_query(None);
    if !known.is_empty() {
        url.query_pairs_mut().extend_pairs(known);
    }
    let names = unknown.iter().map(|(key, _)| {
        let same = |other: &&&str| other.trim_end_matches('[').eq_ignore_ascii_case(key);
        let instead = match rules.instead.iter().find(|(other, _)| other.eq_ignore_ascii_case(key)) {
            Some((_, instead)) => format!(" (use {instead})"),
            None => rules.parameters.iter().find(same).map(|known| format!(" (it is `{known}`)")).unwrap_or_default(),
        };
        format!("`{}`{instead}", key.escape_debug())
    });
    Some(names.collect::<Vec<_>>().join(", "))
}

/// Whether a `#`, `/` or `?` in the user or the password ends that part of the URL. `rest` is the
/// URL after its scheme.
fn is_cut_off(rest: &str) -> bool {
    // Such a URL has no fragment.
    if rest.contains('#') {
        return true;
    }
    let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    // What stands after the host in a whole URL has no `@`, unless it is a value of a parameter.
    let Some(at) = tail.find('@') else { return false };
    let before = &tail[..at];
    // An IPv6 address has colons of its own.
    let host = hosts(authority).rsplit(']').next().unwrap_or_default();
    let has_port = host.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_ok());
    match before.split_once('?') {
        Some((_, query)) => !has_port || !query.contains('='),
        None => !has_port || tail[at..].split('?').next().is_some_and(|path| path.contains('/')),
    }
}

/// What stands after the user and the password.
fn hosts(authority: &str) -> &str {
    authority.rsplit('@').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: UrlRules = UrlRules {
        schemes: &["db://", "database://"],
        parameters: &["sslmode", "host", "port", "user", "options", "options["],
        instead: &[("connect_timeout", "`ServerOptions::acquire_timeout`")],
        needs_database: false,
    };

    fn fault(text: &str) -> Option<UrlFault> {
        ServerUrl::parse(text, &RULES).err()
    }

    #[test]
    fn whole_urls_are_read_as_they_are() {
        for text in [
            "db://",
            "db:///app",
            "DB://host/app",
            "database://ada:love%23lace@host:5432/app",
            "db://ada:1,2:3@4@host/app",
            "db://ada:100%@host/app",
            "db://ada@[::1]:5432/app",
            "db://ada@[::1]/app",
            "db://%2Fvar%2Frun/app",
            "db://host/app?user=ada@home&options=-c%20a%3Db",
            "db://host?user=ada@home/x",
            "db://host:5432/my@app",
            "db:///app?host=/var/run/a@b/c",
            "db://host/app?options[search_path]=a",
        ] {
            let read = ServerUrl::parse(text, &RULES).unwrap_or_else(|fault| panic!("{text}: {fault}"));
            assert_eq!((read.url, read.ignored), (Url::parse(text).unwrap(), None), "{text}");
        }
        let read = ServerUrl::parse(" db://ada:lovelace@host/app\n", &RULES).unwrap();
        assert_eq!(read.url.as_str(), "db://ada:lovelace@host/app", "blanks and line ends around it are left out");
    }

    #[test]
    fn what_the_driver_would_misread_is_refused_with_the_reason() {
        use UrlFault::{Empty, Password, Quoted, Scheme, SeveralHosts, Unreadable};
        for (text, expected) in [
            ("", Empty),
            (" \n", Empty),
            ("\"db://host/app\"", Quoted),
            ("'db://host/app'", Quoted),
            ("host/app", Scheme("db://")),
            ("db:host/app", Scheme("db://")),
            ("jdbc:db://host/app", Scheme("db://")),
            ("db+driver://host/app", Scheme("db://")),
            ("host=localhost dbname=app", Scheme("db://")),
            ("db://ada:love#lace@host/app", Password),
            ("db://ada:1815#lace@host/app", Password),
            ("db://ada:love/lace@host/app", Password),
            ("db://ada:1815/lace@host/app", Password),
            ("db://ada:love/lace@host", Password),
            ("db://ada:love?lace@host/app", Password),
            ("db://ada:1815?lace@host/app", Password),
            ("db://ada:love?a=b@host/app", Password),
            ("db://ada:l@ve/lace@host/app", Password),
            ("db://ada:lo,e/lace@host/app", Password),
            ("db://host/app?user=a#b", Password),
            ("db://ada@host:port/app", Unreadable),
            ("db://ada@host:99999/app", Unreadable),
            ("db://ada:love[lace@ho[st/app", Unreadable),
            ("db://ada@one,two/app", SeveralHosts),
            ("db://ada@one:1,two:2/app", SeveralHosts),
            ("db://ada@[::1]:1,[::2]:2/app", SeveralHosts),
            ("db:///app?host=one,two", SeveralHosts),
            ("db://host/app?port=1,2", SeveralHosts),
        ] {
            assert_eq!(fault(text), Some(expected), "{text}");
        }
        let rules = UrlRules { needs_database: true, ..RULES };
        for text in ["db://host", "db://host/", "db://host?user=ada"] {
            assert_eq!(ServerUrl::parse(text, &rules).unwrap_err(), UrlFault::NoDatabase, "{text}");
        }
    }

    #[test]
    fn parameters_without_effect_are_named_without_their_values() {
        let text = "db://host/app?sslMode=on&user=a+b%26c&connect_timeout=lovelace&x%0A=lovelace&options=-c%20d";
        let read = ServerUrl::parse(text, &RULES).unwrap();
        let ignored = read.ignored.unwrap();
        assert_eq!(
            ignored,
            "`sslMode` (it is `sslmode`), `connect_timeout` (use `ServerOptions::acquire_timeout`), `x\\n`"
        );
        let left: Vec<_> = read.url.query_pairs().into_owned().collect();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(left, [pair("user", "a b&c"), pair("options", "-c d")]);
        assert_eq!(ServerUrl::parse("db://host/app?x=1", &RULES).unwrap().url.as_str(), "db://host/app");
    }

    #[test]
    fn a_value_that_the_driver_refuses_is_found() {
        let read = ServerUrl::parse("db://host/app?user=ada&sslmode=maybe", &RULES).unwrap();
        let accepts = |url: &Url| !url.query().unwrap_or_default().contains("maybe");
        assert_eq!(read.fault(&RULES, accepts), UrlFault::Parameter("sslmode"));
        assert_eq!(read.fault(&RULES, |_| false), UrlFault::Unreadable);
    }
}
