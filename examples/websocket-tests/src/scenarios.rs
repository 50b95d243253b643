//! What a socket does while other requests of its user rotate the token and sign out, and while the
//! store is out of reach.

use conformance_tests::browser::{Browser, Site};
use conformance_tests::faulty::{Fault, OpKind};

use crate::{Example, Serve, Socket, post};

/// How many rotations a socket survives here; there is no limit.
const ROTATIONS: usize = 20;
const SIGNED_OUT: (u16, &str) = (1008, "signed out");
const SIGNED_IN: &str = "signed in";

/// DATA-14, DATA-11: a request that isn't signed in opens no socket, nor does one whose `save`
/// fails.
pub async fn opens_only_for_who_is_signed_in(serve: Serve) {
    let example = Example::start(serve).await;
    let refused = Socket::open(&Browser::at(&example), &example).await;
    assert_eq!(refused.err(), Some(401));

    let ada = example.signed_in().await;
    example.faults.fail(OpKind::Update, Fault::NotApplied);
    let refused = Socket::open(&ada, &example).await;
    assert_eq!(refused.err(), Some(503));
    example.faults.clear();
    assert_eq!(example.socket(&ada).await.ask("hello").await, "1: hello");
}

/// CSRF-3: a page of another origin opens no socket with the user's cookie.
pub async fn opens_for_no_page_of_another_origin(serve: Serve) {
    let example = Example::start(serve).await;
    let ada = example.signed_in().await;
    for origin in ["https://evil.example", "null"] {
        let refused = Socket::open_from(Some(origin), &ada, &example).await;
        assert_eq!(refused.err(), Some(403), "{origin}");
    }
    let own = format!("http://{}", example.server().addr);
    let mut socket = Socket::open_from(Some(&own), &ada, &example).await.expect("an open socket");
    assert_eq!(socket.ask("hello").await, "1: hello");
}

/// DATA-14, ROT-6: the heartbeat goes by the session's id, whatever rotation happens to the token;
/// what is stored by a token that is dead isn't, until the client has opened a new socket.
pub async fn survives_rotations(serve: Serve) {
    let example = Example::start(serve).await;
    let mut ada = example.signed_in().await;
    let mut socket = example.socket(&ada).await;
    assert_eq!(socket.ask("hello").await, "1: hello");

    for rotation in 1..=ROTATIONS {
        let before = ada.cookie();
        post(&mut ada, "/rotate").await;
        assert_ne!(ada.cookie(), before);
        // The first rotation leaves the socket's token one that counts, the second one doesn't.
        let answer = socket.ask("hello").await;
        assert_eq!(answer, if rotation == 1 { "2: hello" } else { "not counted: hello" }, "rotation {rotation}");
        assert_eq!(socket.heartbeat().await, SIGNED_IN);
    }
    // Two greetings and the question of one heartbeat were counted.
    assert_eq!(example.socket(&ada).await.ask("again").await, "4: again");
}

/// DATA-14: whichever request signs the user out, here or from another device, the next heartbeat
/// finds it, also after rotations.
pub async fn closes_after_a_sign_out(serve: Serve) {
    let example = Example::start(serve).await;
    for rotations in [0, 1, 3] {
        for way in ["logout", "logout-all", "logout-all elsewhere", "revoke", "revoke_all"] {
            let mut ada = example.signed_in().await;
            let mut socket = example.socket(&ada).await;
            for _ in 0..rotations {
                post(&mut ada, "/rotate").await;
            }
            assert_eq!(socket.heartbeat().await, SIGNED_IN);
            match way {
                "logout" | "logout-all" => drop(post(&mut ada, &format!("/{way}")).await),
                "logout-all elsewhere" => drop(post(&mut example.signed_in().await, "/logout-all").await),
                "revoke" => {
                    let own = example.sessions.list("ada").await.expect("a list").swap_remove(0).id;
                    example.sessions.revoke_by_id("ada", &own).await.expect("it is live");
                }
                _ => example.sessions.revoke_all("ada").await.expect("a working store"),
            }
            closes_at_the_next_heartbeat(&example, &mut socket, way).await;
        }
    }
}

/// ROT-8: a strict rotation elsewhere closes the socket, as the token that opened it may be in the
/// wrong hands.
pub async fn closes_after_a_strict_rotation_elsewhere(serve: Serve) {
    let example = Example::start(serve).await;
    let mut ada = example.signed_in().await;
    let mut socket = example.socket(&ada).await;
    post(&mut ada, "/rotate").await;
    assert_eq!(socket.heartbeat().await, SIGNED_IN);
    post(&mut ada, "/rotate-strict").await;
    closes_at_the_next_heartbeat(&example, &mut socket, "rotate-strict").await;
    assert_eq!(example.socket(&ada).await.ask("again").await, "2: again", "and a new one opens");
}

/// An outage isn't a sign-out: the socket outlives it, and a sign-out after it closes the socket
/// all the same.
pub async fn an_outage_is_no_sign_out(serve: Serve) {
    let example = Example::start(serve).await;
    let mut ada = example.signed_in().await;
    let mut socket = example.socket(&ada).await;
    assert_eq!(socket.heartbeat().await, SIGNED_IN);
    for fault in [Fault::NotApplied, Fault::UnknownLost] {
        example.faults.fail_all(fault);
        assert_eq!(socket.ask("hello").await, "not stored yet: hello");
        for _ in 0..3 {
            assert_eq!(socket.heartbeat().await, "store out of reach");
        }
        example.faults.clear();
        assert_eq!(socket.heartbeat().await, SIGNED_IN);
    }
    post(&mut ada, "/logout").await;
    closes_at_the_next_heartbeat(&example, &mut socket, "logout").await;
}

/// Whatever heartbeat was under way when the user was signed out, the first that begins after that
/// closes the socket.
async fn closes_at_the_next_heartbeat(example: &Example, socket: &mut Socket, way: &str) {
    let before = example.faults.count(OpKind::Load);
    let (code, reason) = socket.closed().await;
    assert_eq!((code, reason.as_str()), SIGNED_OUT, "{way}");
    let heartbeats = example.faults.count(OpKind::Load) - before;
    assert!(heartbeats <= 1, "{way}: {heartbeats} heartbeats");
}
