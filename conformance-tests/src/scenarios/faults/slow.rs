//! FLT-2, DATA-6: clients that send a request slowly, or never to its end.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::browser::Site;
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::sessions::{sign_in, user};
use crate::scenarios::support::stored::{data, rows};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("FLT-2", "clients that stop in the middle of a request hold up no other", stopped),
    scenario!("DATA-6", "a body that ends after a sign-out brings nothing back", slow_bodies_and_a_sign_out),
];

/// How many at once.
const SLOW: usize = 40;

/// A script that sets a value, and the head of its request, without the empty line.
fn request(cookie: &str, key: &str) -> (String, String) {
    let body = json!([{"op": "set", "key": key, "value": 1}]).to_string();
    let length = body.len();
    let head = format!(
        "POST /do HTTP/1.1\r\nhost: localhost\r\ncookie: {cookie}\r\nconnection: close\r\ncontent-length: {length}\r\n"
    );
    (head, body)
}

/// A connection that has sent this much.
async fn sent(world: &World, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(world.server().addr).await.expect("the server listens");
    stream.write_all(text.as_bytes()).await.expect("the server reads");
    stream
}

async fn stopped(world: World) {
    let mut ada = sign_in(&world, "ada").await;
    let cookie = format!("{}={}", world.cookie_name(), ada.cookie().expect("signed in"));
    let (head, body) = request(&cookie, "lost");
    let (half_body, _) = body.split_at(body.len() / 2);
    let mut stopped = Vec::new();
    for _ in 0..SLOW {
        stopped.push(sent(&world, &head[..head.len() / 2]).await);
        stopped.push(sent(&world, &head).await);
        stopped.push(sent(&world, &format!("{head}\r\n{half_body}")).await);
    }
    for round in 0..10 {
        let reply = ada.run(json!([{"op": "increment", "key": "a"}, {"op": "list_my_sessions"}])).await;
        assert_eq!((reply.status, reply.error_status(1)), (200, None), "{round}");
        sign_in(&world, "bob").await.run(json!([{"op": "logout_all"}])).await;
    }
    drop(stopped);
    assert_eq!(ada.run(json!([{"op": "increment", "key": "a"}])).await.status, 200);
    assert_eq!(data(&world, "ada").await, json!({"a": 11}), "no half request has set anything");
}

async fn slow_bodies_and_a_sign_out(world: World) {
    let mut ada = sign_in(&world, "ada").await;
    let cookie = format!("{}={}", world.cookie_name(), ada.cookie().expect("signed in"));
    let mut slow = Vec::new();
    for number in 0..SLOW {
        let (head, body) = request(&cookie, &format!("key {number}"));
        let (first, rest) = body.split_at(number % body.len());
        slow.push((sent(&world, &format!("{head}\r\n{first}")).await, rest.to_owned()));
    }
    let copy = ada.clone();
    assert_eq!(ada.run(json!([{"op": "logout"}])).await.error_status(0), None);
    for (mut stream, rest) in slow {
        stream.write_all(rest.as_bytes()).await.expect("the server reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(!answer.to_ascii_lowercase().contains("set-cookie"), "{answer}");
    }
    assert!(rows(&world, "ada").await.is_empty());
    assert_eq!(user(&mut copy.clone()).await, Value::Null);
}
