//! Rows of an older release, or of a hostile database, as a store hands them to the core.

use std::sync::{Arc, Mutex, PoisonError};

use http::Response;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use session_core::store::{Checked, Loaded, SessionStore, StoreFuture};
use session_core::testing::intercept::{Answer, Intercept, Intercepted, Operation};
use session_core::{
    CookieSession, CookieSessionService, CsrfToken, Data, Error, Flash, MemoryStore, Record, SealedToken,
    SessionConfig, SessionId, SignIn, TokenHash, UserId,
};
use time::OffsetDateTime;
use tokio::runtime::Builder;

use super::{attack, keys, request, with_cookie};

/// A change of a row.
#[derive(Debug, Clone)]
enum Change {
    Id([u8; 16]),
    User(String),
    Hash([u8; 32]),
    Previous(Option<[u8; 32]>),
    /// The current hash becomes the previous one.
    Rotated([u8; 32]),
    Successor(Option<[u8; 32]>),
    Time(u8, i64),
    Seen(bool),
    Persistent(bool),
    Version(i64),
    Data(String),
    Client(u8, String),
}

fn change() -> impl Strategy<Value = Change> {
    let text = || prop_oneof![any::<String>(), "\\PC{0,40}", "[0-9]{1,3}:.{0,9}", "[a-zA-Z]{1,9}/[a-zA-Z]{1,9}"];
    let time = prop_oneof![any::<i64>(), select(&[0, -1, i64::MAX, i64::MIN, 253_402_300_799_999_999][..])];
    prop_oneof![
        any::<[u8; 16]>().prop_map(Change::Id),
        prop_oneof![any::<String>(), Just("~visitor:x".to_owned()), Just("alan".to_owned())].prop_map(Change::User),
        any::<[u8; 32]>().prop_map(Change::Hash),
        any::<Option<[u8; 32]>>().prop_map(Change::Previous),
        any::<[u8; 32]>().prop_map(Change::Rotated),
        any::<Option<[u8; 32]>>().prop_map(Change::Successor),
        (0..7u8, time).prop_map(|(of, time)| Change::Time(of, time)),
        any::<bool>().prop_map(Change::Seen),
        any::<bool>().prop_map(Change::Persistent),
        any::<i64>().prop_map(Change::Version),
        data().prop_map(Change::Data),
        (0..5u8, text()).prop_map(|(of, text)| Change::Client(of, text)),
    ]
}

/// Data as it may stand in a row: objects of any values, other JSON, and no JSON.
pub(super) fn data() -> impl Strategy<Value = String> {
    let key = "a|~flash|[a-z~]{0,5}";
    let scalar = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| number.to_string()),
        any::<String>().prop_map(|text| serde_json::to_string(&text).expect("text")),
        select(
            &["null", "true", "[]", "{}", "1e999", "-0", "\"\\ud800\"", "18446744073709551616", "[{\"level\":1}]"][..]
        )
        .prop_map(str::to_owned),
    ];
    let object = vec((key, scalar), 0..5).prop_map(|pairs| {
        let pairs: Vec<_> = pairs.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        format!("{{{}}}", pairs.join(","))
    });
    let deep = (0..400usize).prop_map(|depth| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth)));
    prop_oneof![4 => object, 1 => deep, 1 => any::<String>(), 1 => "[\\[\\]{}\",:0-9a-z ]{0,40}"]
}

fn changed(row: &Record, changes: &[Change]) -> Record {
    let mut row = row.clone();
    for change in changes {
        match change {
            Change::Id(id) => row.id = SessionId::from_bytes(*id),
            Change::User(user) => row.user_id = UserId::parse(user).unwrap_or(row.user_id),
            Change::Hash(hash) => row.token_hash = TokenHash::from_slice(hash).expect("32 bytes"),
            Change::Previous(hash) => row.previous_token_hash = hash.and_then(|hash| TokenHash::from_slice(&hash)),
            Change::Rotated(hash) => {
                row.previous_token_hash = Some(row.token_hash);
                row.token_hash = TokenHash::from_slice(hash).expect("32 bytes");
            }
            Change::Successor(sealed) => row.successor = sealed.and_then(|sealed| SealedToken::from_slice(&sealed)),
            Change::Time(of, micros) => {
                // Stores read no other times.
                let Ok(time) = OffsetDateTime::from_unix_timestamp_nanos(i128::from(*micros) * 1000) else { continue };
                match of {
                    0 => row.token_issued_at = time,
                    1 => row.strict_rotated_at = Some(time),
                    2 => row.created_at = time,
                    3 => row.authenticated_at = time,
                    4 => row.last_active_at = time,
                    5 => row.expires_at = time,
                    _ => row.absolute_expires_at = time,
                }
            }
            Change::Seen(seen) => row.token_seen = *seen,
            Change::Persistent(persistent) => row.persistent = *persistent,
            Change::Version(version) => row.version = *version,
            Change::Data(text) => row.data = Data::from_text(text.clone()),
            Change::Client(of, text) => {
                let client = Arc::make_mut(&mut row.client);
                let field = match of {
                    0 => &mut client.ip_address,
                    1 => &mut client.user_agent,
                    2 => &mut client.device_name,
                    3 => &mut client.device_type,
                    _ => &mut client.fingerprint,
                };
                field.clone_from(text);
            }
        }
    }
    row
}

/// Hands out rows that were changed.
#[derive(Debug, Default)]
struct Planted {
    changes: Mutex<Vec<Change>>,
    last: Mutex<Option<Record>>,
}

impl Planted {
    fn row(&self, row: &Record) -> Arc<Record> {
        let row = changed(row, &self.changes.lock().unwrap_or_else(PoisonError::into_inner));
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(row.clone());
        Arc::new(row)
    }
}

impl Intercept for Planted {
    fn call<'a>(&'a self, store: &'a Arc<dyn SessionStore>, operation: Operation<'a>) -> StoreFuture<'a, Answer> {
        Box::pin(async move {
            Ok(match operation.ask(&**store).await? {
                Answer::Load(rows) => Answer::Load(rows.into_iter().map(|row| self.row(&row)).collect::<Loaded>()),
                Answer::List(Checked::Live(rows)) => {
                    Answer::List(Checked::Live(rows.iter().map(|row| self.row(row)).collect()))
                }
                other => other,
            })
        })
    }
}

/// What a handler does, by number.
pub(super) const STEPS: u8 = 16;

/// Does it. An error must have a status of the contract.
pub(super) async fn step(session: &CookieSession, number: u8) -> Result<(), Error> {
    match number {
        0 => drop(session.current()),
        1 => drop(session.get::<u64>("a")?),
        2 => drop(session.get::<Vec<String>>("a")?),
        3 => session.set("a", &1)?,
        4 => session.update("a", |number: Option<u64>| number.unwrap_or(0).wrapping_add(1))?,
        5 => session.remove_key("a"),
        6 => session.save().await?,
        7 => session.reload().await?,
        8 => session.rotate().await?,
        9 => session.rotate_strict().await?,
        10 => drop(session.list_my_sessions().await?),
        11 => drop(Flash::of(session).take().await?),
        12 => CsrfToken::of(session)?.verify("x")?,
        13 => session.logout_other().await?,
        14 => session.authenticate_opts("ada", SignIn::new()).await?,
        _ => session.logout().await?,
    }
    Ok(())
}

#[test]
fn rows_of_a_store() {
    // Time passes where something waits, so what is tried again takes none.
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    attack("rows of a store", (vec(change(), 1..6), vec(0..STEPS, 0..6)), |(changes, steps)| {
        let planted = Arc::new(Planted::default());
        let store = Intercepted::new(Arc::new(MemoryStore::new()), Arc::clone(&planted));
        let config = SessionConfig::builder().build(keys(7)).expect("a configuration");
        let service = CookieSessionService::new(store, config);
        runtime.block_on(async {
            let cookie = service.issue("ada").await.expect("signed in");
            service.list("ada").await.expect("the store works");
            let real = planted.last.lock().unwrap_or_else(PoisonError::into_inner).take().expect("a row");
            let row = changed(&real, &changes);
            *planted.changes.lock().unwrap_or_else(PoisonError::into_inner) = changes;

            let (guard, session) = request(&service, &with_cookie(&cookie)).await;
            let session = session.expect("the store works");
            let is_its_token = [Some(row.token_hash), row.previous_token_hash].contains(&Some(real.token_hash));
            if !is_its_token || row.id != real.id || row.user_id.is_visitor() {
                prop_assert!(!session.is_authenticated(), "{row:?}");
            }
            for number in steps {
                if let Err(error) = step(&session, number).await {
                    prop_assert!([400, 401, 403, 404, 413, 500, 503].contains(&error.status()), "{error}");
                }
            }
            let mut response = Response::new(());
            guard.commit(200).await.apply(&mut response);
            prop_assert!([200, 413, 500, 503].contains(&response.status().as_u16()), "{}", response.status());
            Ok(())
        })
    });
}
