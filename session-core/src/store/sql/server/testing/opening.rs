//! The tests of what can't be opened, and what it says.

use std::time::Duration;

use sqlx::pool::PoolOptions;

use super::{TestDatabase, TestServer};
use crate::config::tests::logged;
use crate::store::sql::server::{ServerOpenError, ServerOptions, ServerStore, UrlFault};

/// How the URLs of a server begin.
fn scheme<D: TestServer>() -> &'static str {
    D::NAMES.url.split(':').next().unwrap()
}

pub(in crate::store) async fn what_cannot_be_opened_says_why_and_shows_no_password<D: TestServer>(
    database: &TestDatabase<D>,
) {
    for nowhere in D::OTHER_URLS {
        let error = ServerStore::<D>::open(nowhere).await.unwrap_err();
        assert!(matches!(error, ServerOpenError::Url { .. }), "{error:?}");
        assert!(error.to_string().contains(D::NAMES.url) && !error.to_string().contains("lovelace"));
        assert_eq!(format!("{error:?}"), error.to_string(), "as it leaves `main`");
    }
    let nobody = ServerOptions::<D>::new(format!("{}://ada:lovelace@127.0.0.1:1/app", scheme::<D>()));
    let error = nobody.acquire_timeout(Duration::from_millis(300)).open().await.unwrap_err();
    assert!(matches!(error, ServerOpenError::NoServer { .. }), "{error:?}");
    assert!(!format!("{error} {error:?}").contains("lovelace"));

    let missing = D::elsewhere(database.options.clone(), "no_such_database");
    let error = PoolOptions::<D>::new().connect_with(missing).await.unwrap_err();
    let error = ServerOpenError::of::<D>(error.into());
    assert!(matches!(error, ServerOpenError::NoDatabase { .. }) && error.to_string().contains("no_such_database"));
}

pub(in crate::store) async fn a_url_that_would_be_misread_names_what_to_write<D: TestServer>(_: &TestDatabase<D>) {
    let refused = async |rest: &str| {
        let error = ServerStore::<D>::open(&format!("{}://{rest}", scheme::<D>())).await.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("lovelace") && !shown.contains("secret"), "{shown}");
        let ServerOpenError::Url { fault, .. } = error else { panic!("{rest}: {error:?}") };
        (fault, error.to_string())
    };
    for character in ["#", "/", "?"] {
        let (fault, says) = refused(&format!("ada:love{character}lovelace@127.0.0.1:1/app")).await;
        assert_eq!(fault, UrlFault::Password, "{character}");
        assert!(says.contains("`%23` for `#`"), "{says}");
    }
    // Not UTF-8 when it is decoded.
    let (fault, says) = refused("ada:lovelace%ff@127.0.0.1:1/app").await;
    assert_eq!(fault, UrlFault::Unreadable);
    assert!(says.contains("%25"), "{says}");
    let (fault, says) = refused("ada:lovelace@127.0.0.1:1,127.0.0.2:1/app").await;
    assert_eq!(fault, UrlFault::SeveralHosts);
    assert!(says.contains("the primary"), "{says}");
    let mode = D::NAMES.tls.trim_start_matches('?').split('=').next().unwrap();
    let (fault, says) = refused(&format!("ada:lovelace@127.0.0.1:1/app?{mode}=secret")).await;
    assert_eq!(fault, UrlFault::Parameter(mode));
    assert!(says.contains(mode), "{says}");
}

pub(in crate::store) async fn parameters_without_effect_are_one_warning<D: TestServer>(_: &TestDatabase<D>) {
    let limit = Duration::from_secs(1);
    let log = |query: &str| {
        let options = ServerOptions::<D>::new(format!("{}://ada@127.0.0.1/app{query}", scheme::<D>()));
        logged(|| drop(options.connect_options(limit).unwrap()))
    };
    let warned = log("?connect_timeout=5&SSLMODE=secret&nonsense=secret");
    assert_eq!((warned.lines().count(), warned.matches("WARN").count()), (1, 1), "{warned}");
    assert!(warned.contains("acquire_timeout") && warned.contains("`sslmode`") && warned.contains("`nonsense`"));
    assert!(!warned.contains("secret"), "{warned}");
    assert_eq!(log(D::NAMES.tls), "");
    assert_eq!(log(""), "");
}

pub(in crate::store) async fn a_url_that_wants_encryption_names_the_drivers_feature<D: TestServer>(
    database: &TestDatabase<D>,
) {
    let url = D::url(&database.server, &database.name);
    let tls = if url.contains('?') { D::NAMES.tls.replace('?', "&") } else { D::NAMES.tls.to_owned() };
    let error = ServerStore::<D>::open(&format!("{url}{tls}")).await.unwrap_err();
    assert!(matches!(error, ServerOpenError::NeedsTls { .. }), "{error:?}");
    // The version that this workspace has, without its default features too.
    let manifest = include_str!("../../../../../../Cargo.toml");
    let [version, feature] =
        ["sqlx = { version = \"0.9\", default-features = false, features = [\"", "tls-rustls\"] }"];
    assert!(manifest.contains(version), "the version in the message");
    assert!(error.to_string().contains(&format!("{version}{feature}")), "{error}");
}

pub(in crate::store) async fn what_the_driver_says_of_encryption_is_explained<D: TestServer>(_: &TestDatabase<D>) {
    let tls = sqlx::Error::Tls("server does not support TLS".into());
    let error = ServerOpenError::of::<D>(tls.into());
    assert!(matches!(error, ServerOpenError::NoTls { .. }), "{error:?}");
    let rsa = sqlx::Error::Configuration("RSA auth backend disabled; enable feature `mysql-rsa`".into());
    let error = ServerOpenError::of::<D>(rsa.into());
    assert!(matches!(error, ServerOpenError::NeedsRsa { .. }) && error.to_string().contains("mysql-rsa"), "{error:?}");
    let other = ServerOpenError::of::<D>(sqlx::Error::Tls("bad certificate".into()).into());
    assert!(matches!(other, ServerOpenError::Other { .. }) && other.to_string().contains("bad certificate"));
}

pub(in crate::store) async fn an_ipv6_address_is_one<D: TestServer>(_: &TestDatabase<D>) {
    let options = ServerOptions::<D>::new(format!("{}://ada@[::1]:7/app", scheme::<D>()));
    assert_eq!(D::address(&options.connect_options(Duration::from_secs(1)).unwrap()), "::1:7");
}

pub(in crate::store) async fn a_read_only_connection_is_refused_with_and_without_tables<D: TestServer>(
    database: &TestDatabase<D>,
) {
    for _ in 0..2 {
        let pool = PoolOptions::<D>::new().max_connections(1).after_connect(|conn, _| {
            Box::pin(async move {
                D::run(conn, D::READ_ONLY).await;
                Ok(())
            })
        });
        let store = ServerStore::new(pool.connect_with(database.options.clone()).await.unwrap());
        let error = store.migrate().await.unwrap_err();
        assert!(matches!(error, ServerOpenError::ReadOnly { .. }), "{error:?}");
        assert!(error.to_string().contains("primary"), "{error}");
        database.store(1).await;
    }
}
