//! OUT-1, OUT-2: sign-outs that cross rotations, and requests whose cookies name several sessions.

use serde_json::{Value, json};

use crate::browser::{Browser, Reply};
use crate::faulty::{Fault, OpKind};
use crate::scenario::{Scenario, scenario};
use crate::scenarios::support::sessions::{ids, sign_in, user};
use crate::world::World;

/// The scenarios of this file.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("OUT-1", "a sign-out that crosses a rotation is one, in every order of arrival", every_order),
    scenario!("OUT-1", "a sign-out by a token of any past generation ends the row", any_past_generation),
    scenario!("OUT-1", "a sign-out ends every session that the cookies name", every_named_session),
    scenario!("OUT-1", "if one of them can't be ended it is a 503 and the cookie stays", one_of_them_fails),
    scenario!("OUT-2", "logout_all ends the user's sessions, and of others what the cookies name", all_of_the_user),
    scenario!("OUT-2", "logout_all by a handle whose session was ended ends no other session", by_an_ended_handle),
];

/// A request that waits before its operation and before its answer.
struct Steps {
    name: &'static str,
    request: tokio::task::JoinHandle<(Browser, Reply)>,
}

impl Steps {
    async fn arrive(world: &World, browser: &Browser, name: &'static str, op: Value) -> Self {
        let mut browser = browser.clone();
        let script = json!([
            {"op": "gate", "name": format!("{name} acts")},
            op,
            {"op": "gate", "name": format!("{name} answers")},
        ]);
        let request = tokio::spawn(async move {
            let reply = browser.run(script).await;
            assert_eq!(reply.status, 200);
            (browser, reply)
        });
        world.gates.arrived(&format!("{name} acts")).await;
        Self { name, request }
    }

    async fn act(&self, world: &World) {
        world.gates.open(&format!("{} acts", self.name));
        world.gates.arrived(&format!("{} answers", self.name)).await;
    }

    /// The browser that sent it, as the response leaves it.
    async fn answer(self, world: &World) -> (Browser, Reply) {
        world.gates.open(&format!("{} answers", self.name));
        let answer = self.request.await.expect("the request runs to its end");
        for gate in ["acts", "answers"] {
            world.gates.close(&format!("{} {gate}", self.name));
        }
        answer
    }
}

/// All orders of three steps of one and three of another.
fn orders() -> Vec<[bool; 6]> {
    let all = (0_u8..64).map(|bits| [0, 1, 2, 3, 4, 5].map(|step| bits >> step & 1 == 1));
    all.filter(|order| order.iter().filter(|step| **step).count() == 3).collect()
}

async fn every_order(world: World) {
    let orders = orders();
    assert_eq!(orders.len(), 20);
    for out in ["logout", "logout_all"] {
        for order in &orders {
            let jar = sign_in(&world, "ada").await;
            let (mut rotation, mut sign_out) = (None, None);
            let (mut answered, mut steps) = (jar.clone(), [0, 0]);
            for is_rotation in order {
                let (slot, name, op) = if *is_rotation {
                    (&mut rotation, "rotation", json!({"op": "rotate"}))
                } else {
                    (&mut sign_out, "sign-out", json!({"op": out}))
                };
                steps[usize::from(*is_rotation)] += 1;
                match steps[usize::from(*is_rotation)] {
                    // It carries what the browser has by then.
                    1 => *slot = Some(Steps::arrive(&world, &answered, name, op).await),
                    2 => slot.as_ref().expect("it arrived").act(&world).await,
                    _ => {
                        let (after, reply) = slot.take().expect("it arrived").answer(&world).await;
                        assert!(matches!(reply.error_status(1), None | Some(401)), "{out} in the order {order:?}");
                        // The last answer decides what the browser has.
                        if reply.sends_cookie() {
                            answered.set_cookie(after.cookie().expect("it was sent"));
                        } else if reply.removes_cookie() {
                            answered.forget_cookies();
                        }
                        assert!(*is_rotation || reply.removes_cookie(), "{out} in the order {order:?}");
                    }
                }
            }
            // A request that arrived after the sign-out's answer carried no cookie, and so rotated
            // nothing.
            assert_eq!(ids(&world, "ada").await, Vec::<String>::new(), "{out} in the order {order:?}");
            for mut browser in [answered, jar] {
                assert_eq!(user(&mut browser).await, json!(null), "{out} in the order {order:?}");
            }
        }
    }
}

async fn any_past_generation(world: World) {
    for generation in 0..4 {
        let mut browser = sign_in(&world, "ada").await;
        let mut generations = vec![browser.clone()];
        for _ in 0..3 {
            browser.run(json!([{"op": "rotate"}])).await;
            generations.push(browser.clone());
        }
        let mut old = generations.swap_remove(generation);
        let reply = old.run(json!([{"op": "logout"}, {"op": "current"}])).await;
        assert_eq!((reply.error_status(0), reply.result(1)), (None, json!(null)));
        assert!(reply.removes_cookie());
        assert_eq!(ids(&world, "ada").await, Vec::<String>::new(), "by the token of generation {generation}");
        assert_eq!(user(&mut browser).await, json!(null));
    }
}

/// A browser whose request carries the cookies of all of these: as when one is partitioned, or of
/// an old path.
fn with_all(world: &World, browsers: &[&Browser]) -> Browser {
    let mut all = world.browser();
    let lines: Vec<_> =
        browsers.iter().map(|browser| format!("__Host-session={}", browser.cookie().expect("a cookie"))).collect();
    all.header("cookie", lines.join("; "));
    all
}

async fn every_named_session(world: World) {
    let mut kept = sign_in(&world, "ada").await;
    let mut named = [sign_in(&world, "ada").await, sign_in(&world, "ada").await, sign_in(&world, "bob").await];
    // The second is named by a token that was superseded twice.
    let old = named[1].clone();
    for _ in 0..2 {
        named[1].run(json!([{"op": "rotate"}])).await;
    }
    let mut all = with_all(&world, &[&named[0], &old, &named[2]]);
    assert_eq!(user(&mut all).await, json!("ada"));
    let reply = all.run(json!([{"op": "logout"}])).await;
    assert_eq!(reply.error_status(0), None);
    assert!(reply.removes_cookie());
    for browser in &mut named {
        assert_eq!(user(browser).await, json!(null));
    }
    assert_eq!(user(&mut all).await, json!(null), "neither signs in afterwards");
    assert_eq!(user(&mut kept).await, json!("ada"));
}

async fn one_of_them_fails(world: World) {
    let (mut ada, mut bob) = (sign_in(&world, "ada").await, sign_in(&world, "bob").await);
    let mut all = with_all(&world, &[&ada, &bob]);
    for fault in [Fault::NotApplied, Fault::UnknownLost] {
        world.faults.fail_once(OpKind::End, fault);
        let reply = all.run(json!([{"op": "logout"}, {"op": "user_id"}])).await;
        assert_eq!((reply.error_status(0), reply.result(1)), (Some(503), json!("ada")), "{fault:?}");
        assert!(reply.set_cookies().is_empty());
        assert_eq!(user(&mut ada).await, json!("ada"), "{fault:?}");
    }
    let reply = all.run(json!([{"op": "logout"}])).await;
    assert!(reply.removes_cookie());
    assert_eq!((user(&mut ada).await, user(&mut bob).await), (json!(null), json!(null)));
}

async fn all_of_the_user(world: World) {
    let (mut ada, mut adas) = (sign_in(&world, "ada").await, sign_in(&world, "ada").await);
    let (mut bob, mut bobs) = (sign_in(&world, "bob").await, sign_in(&world, "bob").await);
    let reply = with_all(&world, &[&ada, &bob]).run(json!([{"op": "logout_all"}])).await;
    assert_eq!(reply.error_status(0), None);
    assert!(reply.removes_cookie());
    assert_eq!((user(&mut ada).await, user(&mut adas).await), (json!(null), json!(null)), "all of hers");
    assert_eq!((user(&mut bob).await, user(&mut bobs).await), (json!(null), json!("bob")), "of his the named one");
}

async fn by_an_ended_handle(world: World) {
    let (mut lost, mut other) = (sign_in(&world, "ada").await, sign_in(&world, "ada").await);
    let slow = crate::scenarios::support::in_flight::in_flight;
    let slow = slow(&world, &lost, json!([]), "slow", json!([{"op": "logout_all"}, {"op": "current"}])).await;
    let reply = other.run(json!([{"op": "logout_other"}])).await;
    assert_eq!(reply.error_status(0), None);
    let (_, reply) = slow.finish(&world).await;
    assert_eq!((reply.error_status(1), reply.result(2)), (None, json!(null)), "who clicked that is signed out");
    assert!(reply.removes_cookie());
    assert_eq!((user(&mut lost).await, user(&mut other).await), (json!(null), json!("ada")));
}
