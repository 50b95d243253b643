//! `Cookie` headers, and the signed values in them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use session_core::adapter::Headers;
use session_core::store::{SessionStore, StoreError};
use session_core::testing::intercept::{Answer, Intercept, Intercepted, OpKind, Operation};
use session_core::{CookieSessionService, MemoryStore, SessionConfig};

use super::{attack, keys, runtime};

const NAME: &[u8] = b"__Host-session";

/// What stands in values of other encodings.
const ODD: &[&[u8]] = &[b"=", b"==", b"+", b"/", b"%3D", b"\0", b" ", b"\"", b"."];
/// What is almost the name.
const NAMES: &[&[u8]] = &[b"__host-session", b"__Host-session ", b"\t__Host-session", b"__Secure-session", b"x", b""];
const SEPARATORS: &[&[u8]] = &[b"; ", b";", b" ; ", b";\t", b", ", b",", b"\n", b"; ;"];

/// Header lines of any bytes, also such as an HTTP library would refuse.
struct Lines(Vec<Vec<u8>>);

impl Headers for Lines {
    fn lines<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(move |_| name == "cookie").map(Vec::as_slice)
    }
}

/// Counts look-ups.
#[derive(Debug, Default)]
struct LookUps(AtomicUsize);

impl Intercept for LookUps {
    fn call<'a>(
        &'a self,
        store: &'a Arc<dyn SessionStore>,
        operation: Operation<'a>,
    ) -> session_core::store::StoreFuture<'a, Answer> {
        if operation.kind() == OpKind::Load {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        Box::pin(async move { operation.ask(&**store).await as Result<Answer, StoreError> })
    }
}

/// A service, the cookie values of two users, and its look-ups.
struct Target {
    service: CookieSessionService,
    values: [Vec<u8>; 2],
    look_ups: Arc<LookUps>,
}

impl Target {
    async fn new() -> Self {
        let look_ups = Arc::new(LookUps::default());
        let store = Intercepted::new(Arc::new(MemoryStore::new()), Arc::clone(&look_ups));
        let config = SessionConfig::builder().build(keys(7)).expect("a configuration");
        let service = CookieSessionService::new(store, config);
        let mut values = [Vec::new(), Vec::new()];
        for (value, user) in values.iter_mut().zip(["ada", "alan"]) {
            let cookie = service.issue(user).await.expect("signed in");
            *value = cookie.split_once('=').expect("a cookie").1.as_bytes().to_vec();
        }
        Self { service, values, look_ups }
    }

    /// Whom a request with these lines is signed in as, and how often the store was asked.
    async fn user(&self, lines: Vec<Vec<u8>>) -> (Option<String>, usize) {
        let before = self.look_ups.0.load(Ordering::Relaxed);
        let guard = self.service.begin(None);
        let facts = guard.scope().read(&Lines(lines), None);
        let session = guard.scope().load(facts).await.expect("the store works");
        guard.commit(200).await.apply(&mut http::Response::new(()));
        (session.user_id(), self.look_ups.0.load(Ordering::Relaxed) - before)
    }
}

/// What is done to a value.
#[derive(Debug, Clone)]
enum Change {
    Flip(Index, u8),
    Remove(Index),
    Insert(Index, u8),
    Cut(Index),
    /// Ends as the other user's value does, from there on.
    Splice(Index),
    Put(Index, Vec<u8>),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    prop_oneof![
        (at(), 1u8..).prop_map(|(at, by)| Change::Flip(at, by)),
        at().prop_map(Change::Remove),
        (at(), any::<u8>()).prop_map(|(at, byte)| Change::Insert(at, byte)),
        at().prop_map(Change::Cut),
        at().prop_map(Change::Splice),
        (at(), vec(any::<u8>(), 0..50)).prop_map(|(at, bytes)| Change::Put(at, bytes)),
        (at(), select(ODD)).prop_map(|(at, bytes)| Change::Put(at, bytes.to_vec())),
    ]
}

fn changed(mut value: Vec<u8>, other: &[u8], changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let length = value.len();
        let at = |index: &Index| index.index(length + 1);
        match change {
            Change::Flip(index, by) if length > 0 => value[index.index(length)] ^= by,
            Change::Remove(index) if length > 0 => drop(value.remove(index.index(length))),
            Change::Flip(..) | Change::Remove(_) => {}
            Change::Insert(index, byte) => value.insert(at(index), *byte),
            Change::Cut(index) => value.truncate(at(index)),
            Change::Splice(index) => {
                let at = at(index).min(other.len());
                value.truncate(at);
                value.extend_from_slice(&other[at..]);
            }
            Change::Put(index, bytes) => {
                let at = at(index);
                drop(value.splice(at..at, bytes.iter().copied()));
            }
        }
    }
    value
}

/// A part of a `Cookie` header.
#[derive(Debug, Clone)]
enum Part {
    Real(usize),
    Quoted(usize),
    Changed(usize, Vec<Change>),
    Named(Vec<u8>, usize),
    Bytes(Vec<u8>),
}

fn part() -> impl Strategy<Value = Part> {
    let names = select(NAMES);
    prop_oneof![
        (0..2usize).prop_map(Part::Real),
        (0..2usize).prop_map(Part::Quoted),
        (0..2usize, vec(change(), 1..4)).prop_map(|(of, changes)| Part::Changed(of, changes)),
        (names, 0..2usize).prop_map(|(name, of)| Part::Named(name.to_vec(), of)),
        vec(any::<u8>(), 0..60).prop_map(Part::Bytes),
        "[-_=;, \"a-zA-Z0-9.]{0,60}".prop_map(|text| Part::Bytes(text.into_bytes())),
    ]
}

fn written(part: &Part, values: &[Vec<u8>; 2]) -> Vec<u8> {
    match part {
        Part::Real(of) => [NAME, b"=", &values[*of]].concat(),
        Part::Quoted(of) => [NAME, b"=\"", &values[*of], b"\""].concat(),
        Part::Changed(of, changes) => [NAME, b"=", &changed(values[*of].clone(), &values[1 - of], changes)].concat(),
        Part::Named(name, of) => [name, &b"="[..], &values[*of]].concat(),
        Part::Bytes(bytes) => bytes.clone(),
    }
}

/// Whom these lines are signed in as, worked out in another way: the first cookie of the name, by
/// semicolons alone, whose value is one of those that were given out.
fn expected(lines: &[Vec<u8>], values: &[Vec<u8>; 2]) -> Option<usize> {
    lines.iter().flat_map(|line| line.split(|byte| *byte == b';')).find_map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (pair[..at].trim_ascii(), pair[at + 1..].trim_ascii());
        let is = |given: &Vec<u8>| value == given || value == [b"\"", &given[..], b"\""].concat();
        values.iter().position(is).filter(|_| name == NAME)
    })
}

#[test]
fn cookie_headers() {
    let runtime = runtime();
    let target = runtime.block_on(Target::new());
    let separators = select(SEPARATORS);
    let line = vec((part(), separators), 0..6);
    attack("cookie headers", vec(line, 0..4), |lines| {
        let lines: Vec<Vec<u8>> = lines
            .iter()
            .map(|line| {
                line.iter().flat_map(|(part, end)| [written(part, &target.values), end.to_vec()].concat()).collect()
            })
            .collect();
        let meant = expected(&lines, &target.values);
        let (user, asked) = runtime.block_on(target.user(lines));
        prop_assert_eq!(user.as_deref(), meant.map(|of| ["ada", "alan"][of]));
        prop_assert_eq!(asked, usize::from(meant.is_some()));
        Ok(())
    });
}

#[test]
fn signed_tokens() {
    let runtime = runtime();
    let target = runtime.block_on(Target::new());
    attack("tokens", (0..2usize, vec(change(), 1..6)), |(of, changes)| {
        let value = changed(target.values[of].clone(), &target.values[1 - of], &changes);
        // Blanks around it, and quotes, are the header's.
        let line = [NAME, b"=", &value].concat();
        let meant = expected(std::slice::from_ref(&line), &target.values);
        let (user, asked) = runtime.block_on(target.user(vec![line]));
        prop_assert_eq!(user.as_deref(), meant.map(|of| ["ada", "alan"][of]));
        prop_assert_eq!(asked, usize::from(meant.is_some()));
        Ok(())
    });
}
