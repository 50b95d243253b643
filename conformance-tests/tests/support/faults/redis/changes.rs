//! A cluster that changes under load: a primary dies, slots move, servers come and go. Nothing that
//! was acknowledged is lost or comes back, and service goes on by itself.

use std::sync::Arc;
use std::time::Duration;

use conformance_tests::world::{Rows, World};
use serde_json::json;

use super::super::load::{Load, Totals};
use super::cluster::{Cluster, id, known, pause};
use super::server::Admin;
use crate::support::axum::Axum;

/// Long enough for a failover.
const PATIENCE: Duration = Duration::from_secs(20);
/// Requests that each writer must have had answered between two changes.
const BETWEEN: usize = 10;
/// The slots of the store's keys, two of which are moved with all that is in them.
const STEP: usize = 64;

/// Primaries are killed, and their replicas take over.
pub(super) async fn a_primary_dies() {
    let cluster = Cluster::start_new().await;
    let world = World::new(Arc::new(Axum), Rows::shared(cluster.opened(PATIENCE).await)).await;
    let mut load = Load::start(&world, 0).await;
    for primary in 0..2 {
        load.stored(BETWEEN).await;
        load.before_the_fault().await;
        cluster.servers[primary].admin().await.replica_is_in_step().await;
        cluster.servers[primary].kill();
        let mut replica = cluster.servers[primary + 3].admin().await;
        while !replica.ask::<String>("INFO replication").await.is_ok_and(|info| info.contains("role:master")) {
            pause().await;
        }
        load.stored(1).await;
        load.after_the_fault();
    }
    let totals = load.finish_after_failovers().await;
    report("primaries killed twice", &totals);
}

/// Slots move to other primaries while their sessions are written.
pub(super) async fn slots_move() {
    let cluster = Cluster::start_new().await;
    let world = World::new(Arc::new(Axum), Rows::shared(cluster.opened(PATIENCE).await)).await;
    let load = Load::start(&world, 0).await;
    let mut watcher = world.browser();
    watcher.run(json!([{"op": "authenticate_with", "user": "watcher", "data": {"n": 1}}])).await;
    load.stored(BETWEEN).await;
    let (mut from, mut to) = (cluster.servers[0].admin().await, cluster.servers[1].admin().await);
    let mut moved = 0;
    for slot in (0..16384 / 3).step_by(STEP) {
        moved += move_slot(slot, &mut from, &mut to, cluster.servers[1].port).await;
        if slot % (STEP * 8) == 0 {
            load.stored_one().await;
        }
    }
    assert!(moved > 0, "keys were moved");
    load.stored(BETWEEN).await;
    let reply = watcher.run(json!([{"op": "get", "key": "n"}, {"op": "logout"}])).await;
    assert_eq!((reply.status, &reply.result(0)["value"], reply.removes_cookie()), (200, &json!(1), true));
    let totals = load.finish().await;
    assert_eq!(totals.refused, 0, "a slot on its way is no reason to refuse anything");
    report(&format!("{moved} keys moved"), &totals);
}

/// The indexes of a user are at another server already, and the sessions aren't: what ends all of
/// them waits until they have arrived.
pub(super) async fn indexes_move_first() {
    let cluster = Cluster::start_new().await;
    let world = World::new(Arc::new(Axum), Rows::shared(cluster.opened(PATIENCE).await)).await;
    let mut browsers = [world.browser(), world.browser(), world.browser()];
    for browser in &mut browsers {
        browser.sign_in("ada").await;
    }
    let mut admins = Vec::new();
    for server in &cluster.servers[..3] {
        admins.push((server.port, server.admin().await));
    }
    let mut source = 0;
    let index = loop {
        let found: Vec<Vec<u8>> = admins[source].1.ask("KEYS session:*uada").await.expect("an administrator");
        match found.into_iter().next() {
            Some(index) => break String::from_utf8(index).expect("a prefix, a tag and a name"),
            None => source += 1,
        }
    };
    let slot: usize = admins[source].1.ask(&format!("CLUSTER KEYSLOT {index}")).await.expect("an administrator");
    let (_, mut from) = admins.swap_remove(source);
    let (port, mut to) = admins.swap_remove(0);
    let (source, target) = (id(&mut from).await, id(&mut to).await);
    to.run(&format!("CLUSTER SETSLOT {slot} IMPORTING {source}")).await;
    from.run(&format!("CLUSTER SETSLOT {slot} MIGRATING {target}")).await;
    let by_expiry = format!("{}x", index.trim_end_matches("uada"));
    from.migrate(port, &[index.into_bytes(), by_expiry.into_bytes()]).await;
    from.run("CONFIG RESETSTAT").await;
    let end_all = async { world.browser().run(json!([{"op": "revoke_all", "user": "ada"}, {"op": "fail"}])).await };
    let move_rest = async {
        while !from.ask::<String>("INFO errorstats").await.is_ok_and(|errors| errors.contains("errorstat_ASK")) {
            pause().await;
        }
        let keys: Vec<Vec<u8>> =
            from.ask(&format!("CLUSTER GETKEYSINSLOT {slot} 100")).await.expect("an administrator");
        assert_eq!(keys.len(), browsers.len(), "the sessions are still there");
        from.migrate(port, &keys).await;
        to.run(&format!("CLUSTER SETSLOT {slot} NODE {target}")).await;
        from.run(&format!("CLUSTER SETSLOT {slot} NODE {target}")).await;
    };
    let (reply, ()) = tokio::join!(end_all, move_rest);
    assert_eq!((reply.status, reply.error_status(0)), (200, None), "{reply:?}");
    for browser in &mut browsers {
        assert_eq!(browser.run(json!([{"op": "user_id"}])).await.result(0), json!(null), "signed out");
    }
}

/// A server joins, gets slots, loses them again and leaves.
pub(super) async fn a_server_comes_and_goes() {
    let cluster = Cluster::start_new().await;
    let world = World::new(Arc::new(Axum), Rows::shared(cluster.opened(PATIENCE).await)).await;
    let load = Load::start(&world, 0).await;
    load.stored(BETWEEN).await;
    let new = Cluster::start_server().await;
    let (mut old_admin, mut new_admin) = (cluster.servers[0].admin().await, new.admin().await);
    new_admin.run(&cluster.servers[0].meet()).await;
    for server in cluster.servers.iter().chain([&new]) {
        known(&mut server.admin().await, 7).await;
    }
    while !new_admin.ask::<String>("CLUSTER INFO").await.is_ok_and(|info| info.contains("cluster_state:ok")) {
        pause().await;
    }
    let slots: Vec<_> = (0..16384 / 3).step_by(STEP).collect();
    let mut moved = 0;
    for slot in &slots {
        moved += move_slot(*slot, &mut old_admin, &mut new_admin, new.port).await;
    }
    load.stored(BETWEEN).await;
    for slot in &slots {
        moved += move_slot(*slot, &mut new_admin, &mut old_admin, cluster.servers[0].port).await;
    }
    let gone = id(&mut new_admin).await;
    for server in &cluster.servers {
        server.admin().await.run(&format!("CLUSTER FORGET {gone}")).await;
    }
    new.kill();
    load.stored(BETWEEN).await;
    let totals = load.finish().await;
    assert_eq!(totals.refused, 0, "nothing is refused because a server is taken out of the cluster");
    report(&format!("{moved} keys moved to a new server and back"), &totals);
}

/// Moves a slot with all of its keys, as `redis-cli --cluster reshard` does, and returns how many
/// there were.
async fn move_slot(slot: usize, from: &mut Admin, to: &mut Admin, port: u16) -> usize {
    let (source, target) = (id(from).await, id(to).await);
    to.run(&format!("CLUSTER SETSLOT {slot} IMPORTING {source}")).await;
    from.run(&format!("CLUSTER SETSLOT {slot} MIGRATING {target}")).await;
    let mut moved = 0;
    loop {
        let keys: Vec<Vec<u8>> = from.ask(&format!("CLUSTER GETKEYSINSLOT {slot} 3")).await.expect("an administrator");
        if keys.is_empty() {
            break;
        }
        moved += keys.len();
        from.migrate(port, &keys).await;
    }
    to.run(&format!("CLUSTER SETSLOT {slot} NODE {target}")).await;
    from.run(&format!("CLUSTER SETSLOT {slot} NODE {target}")).await;
    moved
}

fn report(what: &str, totals: &Totals) {
    let Totals { stored, refused, lost, .. } = totals;
    println!("redis cluster, {what}: {stored} writes acknowledged, {lost} undone by failovers; {refused} refused");
}
