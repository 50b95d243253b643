//! A disk that is full under load: what can't be written is a 503, what was acknowledged stays, and
//! with space again all is as before. PostgreSQL stops when its log can't grow; then it is started
//! again, as an operator would.

use std::sync::Arc;
use std::time::Duration;

use conformance_tests::world::World;
use serde_json::json;

use super::client::Client;
use super::disk::Filler;
use super::load::{Load, filling};
use super::pool::{Pool, Settings};
use super::programs::{Kind, Programs};
use super::servers::{OnDisk, Server};
use crate::support::axum::Axum;

/// More than an empty server takes.
const MEGABYTES: u32 = 80;
/// With each write, so that new pages are needed soon.
const BYTES: usize = 4000;
/// Sign-ins and sign-outs while the disk is full.
const TRIES: usize = 10;

pub(super) async fn full_under_load(programs: Programs, on_disk: OnDisk) {
    let server = Server::start_on(programs, on_disk, MEGABYTES).await;
    // Longer than a busy machine takes, as nothing may be refused once there is space again.
    let settings = Settings { connections: 8, patience: Duration::from_secs(3), ..Settings::SHORT };
    let pool = Pool::open(&server.url(), settings).await;
    let world = World::new(Arc::new(Axum), pool.rows(Duration::from_secs(6))).await;
    let mut load = Load::start(&world, BYTES).await;
    load.stored(3).await;
    let mut leaving = Vec::new();
    for number in 0..TRIES {
        let mut browser = world.browser();
        browser.sign_in(&format!("leaving {number}")).await;
        leaving.push(browser);
    }
    load.before_the_fault().await;
    let filler = Filler::fill(server.disk());
    load.refused().await;

    let come_and_go = leaving.into_iter().enumerate().map(async |(number, browser)| {
        let mut new = world.browser();
        let (user, data) = (format!("new {number}"), json!({"filling": filling(number as u64, BYTES)}));
        let signed_in = new.run(json!([{"op": "authenticate_with", "user": user, "data": data}, {"op": "fail"}])).await;
        let acknowledged = signed_in.status == 200;
        assert_eq!((signed_in.status == 503, signed_in.sends_cookie()), (!acknowledged, acknowledged), "{signed_in:?}");
        let new = acknowledged.then_some((user, new));
        let signed_out = browser.clone().run(json!([{"op": "logout"}, {"op": "fail"}])).await;
        let acknowledged = signed_out.status == 200;
        assert_eq!((signed_out.status == 503, signed_out.removes_cookie()), (!acknowledged, acknowledged));
        (new, acknowledged.then_some(browser))
    });
    let (arrived, left): (Vec<_>, Vec<_>) = futures_util::future::join_all(come_and_go).await.into_iter().unzip();
    let (arrived, left): (Vec<_>, Vec<_>) =
        (arrived.into_iter().flatten().collect(), left.into_iter().flatten().collect());

    drop(filler);
    let stopped = !server.runs();
    if matches!((server.kind(), on_disk), (Kind::Postgres, OnDisk::Log)) || stopped {
        // It may be in the middle of starting over.
        server.kill().await;
        server.start().await.expect("there is space again");
    }
    let mut client = Client::connect(&server.admin_url()).await.expect("a server that answers");
    client.run("SELECT 1").await.expect("an answer");
    load.stored(1).await;
    load.after_the_fault();
    load.stored(3).await;
    let [in_time, out_time] = [arrived.len(), left.len()];
    for (user, mut browser) in arrived {
        let reply = browser.run(json!([{"op": "user_id"}])).await;
        assert_eq!((reply.status, reply.result(0)), (200, json!(user)), "signed in stays signed in");
    }
    for mut browser in left {
        let reply = browser.run(json!([{"op": "user_id"}])).await;
        assert_eq!((reply.status, reply.result(0)), (200, json!(null)), "signed out stays signed out");
    }
    let totals = load.finish().await;
    assert_eq!(totals.for_nothing, 0, "nothing is refused any more");
    println!(
        "{}, {on_disk:?} on a full disk, stopped by itself: {stopped}: {} writes acknowledged, none lost; {} refused; while it \
         was full {in_time} of {TRIES} sign-ins and {out_time} of {TRIES} sign-outs acknowledged",
        server.kind().name(),
        totals.stored,
        totals.refused,
    );
}
