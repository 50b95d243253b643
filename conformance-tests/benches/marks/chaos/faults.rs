//! The faults of a round, one after the other: of the network, of the server, and of the nodes' runtimes.

use tokio::time::sleep;

use super::nodes::Node;
use super::random::Random;
use crate::support::faults::client::Client;
use crate::support::faults::programs::Kind;

/// What PostgreSQL calls connections that aren't the stores'.
pub(super) const SPARED: &str = "chaos";

/// Does one fault, whose name it returns, and undoes it.
pub(super) async fn fault(random: &mut Random, nodes: &[Node], kind: Kind, admin: &mut Client) -> &'static str {
    let node = &nodes[random.index(nodes.len())];
    match random.below(10) {
        0 | 1 => {
            let bytes = i64::try_from(random.below(3000)).expect("few bytes");
            node.proxy.cut_after(random.index(2), bytes);
            "cut"
        }
        2 => {
            node.proxy.forget();
            "forgotten"
        }
        3 => {
            node.proxy.never_open(1 + u32::try_from(random.below(3)).expect("few"));
            // So that some are opened.
            if random.below(2) == 0 {
                kill(random, kind, admin).await;
            }
            "never opened"
        }
        4 => {
            node.proxy.stall(true);
            sleep(random.millis(1000)).await;
            node.proxy.stall(false);
            "stalled"
        }
        5 => {
            nodes.iter().for_each(|node| node.proxy.stall(true));
            sleep(random.millis(1000)).await;
            nodes.iter().for_each(|node| node.proxy.stall(false));
            "all stalled"
        }
        6 => {
            kill(random, kind, admin).await;
            "killed"
        }
        7 | 8 => {
            let table = ["cookie_session", "cookie_session_user"][random.index(2)];
            let user = random.below(super::USERS);
            admin.run("BEGIN").await.expect("a transaction");
            let lock = format!("SELECT 1 FROM {table} WHERE user_id = 'user {user}' FOR UPDATE");
            // The server may refuse it for another's sake.
            if admin.run(&lock).await.is_ok() {
                sleep(random.millis(900)).await;
            }
            admin.run("ROLLBACK").await.expect("no lock any more");
            "locked"
        }
        _ => {
            node.end_runtime(random.index(2));
            "runtime ended"
        }
    }
}

/// Ends some of the stores' connections at the server.
async fn kill(random: &mut Random, kind: Kind, admin: &mut Client) {
    let theirs = match kind {
        Kind::Postgres => {
            format!(
                "SELECT pid::bigint FROM pg_stat_activity \
                 WHERE backend_type = 'client backend' AND application_name <> '{SPARED}'"
            )
        }
        Kind::MariaDb => "SELECT id FROM information_schema.processlist WHERE user = 'app'".to_owned(),
    };
    for id in admin.numbers(&theirs).await {
        if random.below(3) == 0 {
            let kill = match kind {
                Kind::Postgres => format!("SELECT pg_terminate_backend({id})"),
                Kind::MariaDb => format!("KILL {id}"),
            };
            // It may have ended on its own.
            drop(admin.run(&kill).await);
        }
    }
}
