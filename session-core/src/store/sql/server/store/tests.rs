//! Tests of a change that its caller drops.

use std::future::poll_fn;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use super::*;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Controls a change that waits for its turn, and then for the server.
struct Controls {
    turn: oneshot::Sender<()>,
    server: oneshot::Sender<()>,
    done: oneshot::Receiver<()>,
}

/// A change whose rest runs in `runtime` if it is dropped, and its controls.
fn change(runtime: &Runtime) -> (SpawnOnDrop<impl Future<Output = ()> + Send + 'static>, Controls) {
    let ((turn, has_begun), (server, answered), (report, done)) =
        (oneshot::channel(), oneshot::channel(), oneshot::channel());
    let has_turn = Arc::<AtomicBool>::default();
    let noted = Arc::clone(&has_turn);
    let operation = async move {
        has_begun.await.unwrap();
        noted.store(true, Ordering::Relaxed);
        answered.await.unwrap();
        report.send(()).unwrap();
    };
    (SpawnOnDrop::new(operation, has_turn, runtime.handle().clone()), Controls { turn, server, done })
}

async fn poll_once(change: &mut (impl Future<Output = ()> + Unpin)) {
    poll_fn(|context| {
        assert!(Pin::new(&mut *change).poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
}

#[test]
fn a_change_that_is_dropped_before_its_turn_never_begins() {
    let runtime = runtime();
    let (mut change, controls) = change(&runtime);
    runtime.block_on(poll_once(&mut change));
    drop(change);
    assert!(controls.turn.is_closed(), "the change is gone");
    assert!(runtime.block_on(controls.done).is_err());
}

#[test]
fn a_change_that_was_never_polled_never_begins() {
    let runtime = runtime();
    let (change, controls) = change(&runtime);
    drop(change);
    assert!(controls.turn.is_closed(), "the change is gone");
}

#[test]
fn a_change_that_is_dropped_after_its_turn_began_runs_to_its_end() {
    let (runtime, elsewhere) = (runtime(), runtime());
    let (mut change, controls) = change(&runtime);
    elsewhere.block_on(async {
        poll_once(&mut change).await;
        controls.turn.send(()).unwrap();
        poll_once(&mut change).await;
    });
    drop(change);
    controls.server.send(()).unwrap();
    runtime.block_on(controls.done).expect("its runtime completes it");
}

#[test]
fn a_completed_change_leaves_no_task_behind() {
    let runtime = runtime();
    let (mut change, controls) = change(&runtime);
    controls.turn.send(()).unwrap();
    controls.server.send(()).unwrap();
    runtime.block_on(&mut change);
    drop(change);
    assert_eq!(runtime.metrics().num_alive_tasks(), 0);
}

#[test]
fn a_change_whose_runtime_has_ended_ends_when_it_is_dropped() {
    let runtime = runtime();
    let (mut change, controls) = change(&runtime);
    runtime.block_on(async {
        poll_once(&mut change).await;
        controls.turn.send(()).unwrap();
        poll_once(&mut change).await;
    });
    drop(runtime);
    drop(change);
    assert!(controls.server.is_closed(), "the change is gone");
}

#[test]
fn a_change_that_panics_is_neither_polled_again_nor_kept() {
    let runtime = runtime();
    let has_turn = Arc::new(AtomicBool::new(true));
    let mut change = SpawnOnDrop::new(async { panic!("on purpose") }, has_turn, runtime.handle().clone());
    let panics = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(&mut change)));
    assert!(panics.is_err());
    drop(change);
    assert_eq!(runtime.metrics().num_alive_tasks(), 0);
}
