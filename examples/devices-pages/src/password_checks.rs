//! How many password checks may be in flight, and the memory in which they compute.
//! Leaves the check itself to `accounts`, and what a refused one is answered with to the apps.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;

use argon2::Block;
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, spawn_blocking};

/// One check computes on each core, but no more than this many in all: with the 19 MiB that
/// Argon2id fills by default, they take at most 152 MiB, and keep it.
const MOST_COMPUTING: usize = 8;
/// So many more may wait for one of those to end. Each holds no more than its request; with two
/// cores the last of them waits for about a second.
const MOST_WAITING: usize = 32;

/// What one check fills.
pub(crate) type Memory = Vec<Block>;

/// Lets a bounded number of checks run where blocking is allowed, a bounded number wait, and
/// refuses the rest.
#[derive(Debug)]
pub(crate) struct PasswordChecks {
    in_flight: Arc<Semaphore>,
    computing: Arc<Semaphore>,
    /// That of checks that are done, for the next: the C library finds no use for so large aligned
    /// pieces once they are freed, and a hundred checks would take several hundred MiB even one by
    /// one.
    memories: Arc<Mutex<Vec<Memory>>>,
}

/// Why a password wasn't checked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Unchecked {
    /// Too many checks are in flight; it can be tried again in a moment.
    #[error("too many passwords are being checked at once")]
    Busy,
    /// The check panicked, or the process is about to end.
    #[error("the check of a password did not finish: {source}")]
    Unfinished {
        /// Which of the two.
        source: JoinError,
    },
}

impl PasswordChecks {
    /// As many as this machine's cores can compute.
    pub(crate) fn here() -> Self {
        let cores = available_parallelism().map_or(1, usize::from);
        Self::new(cores.min(MOST_COMPUTING), MOST_WAITING)
    }

    fn new(computing: usize, waiting: usize) -> Self {
        Self {
            in_flight: Arc::new(Semaphore::new(computing + waiting)),
            computing: Arc::new(Semaphore::new(computing)),
            memories: Arc::default(),
        }
    }

    /// Runs a check on a thread for blocking work, with memory that others may have used before. It
    /// keeps its place until that thread is done: nothing can stop a thread, so a check counts as
    /// well when its client is gone and this future dropped.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        check: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T, Unchecked> {
        let place = Arc::clone(&self.in_flight).try_acquire_owned().map_err(|_| Unchecked::Busy)?;
        let core = Arc::clone(&self.computing).acquire_owned().await.expect("nothing closes it");
        let memories = Arc::clone(&self.memories);
        let work = move || {
            let _until_done = (place, core);
            let unlocked = || memories.lock().unwrap_or_else(PoisonError::into_inner);
            let mut memory = unlocked().pop().unwrap_or_default();
            let result = check(&mut memory);
            unlocked().push(memory);
            result
        };
        spawn_blocking(work).await.map_err(|source| Unchecked::Unfinished { source })
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::mpsc::{Sender, channel};
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// A check that computes until the sender is dropped.
    fn lasting() -> (Sender<()>, impl FnOnce(&mut Memory) -> bool + Send + 'static) {
        let (end, ended) = channel();
        (end, move |_| ended.recv().is_err())
    }

    fn polled<T>(future: &mut Pin<Box<impl Future<Output = T>>>) -> Poll<T> {
        future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    }

    #[tokio::test]
    async fn beyond_those_that_compute_and_wait_a_check_is_refused() {
        let checks = PasswordChecks::new(2, 1);
        let ((end_a, a), (end_b, b)) = (lasting(), lasting());
        let (mut a, mut b) = (Box::pin(checks.run(a)), Box::pin(checks.run(b)));
        let mut waits = Box::pin(checks.run(|_| true));
        for _ in 0..3 {
            assert!(polled(&mut a).is_pending() && polled(&mut b).is_pending() && polled(&mut waits).is_pending());
            assert!(matches!(checks.run(|_| true).await, Err(Unchecked::Busy)));
        }
        drop(end_b);
        assert!(b.await.unwrap() && waits.await.unwrap(), "one ends, and the one that waits has its turn");
        assert!(polled(&mut a).is_pending());
        assert!(checks.run(|_| true).await.unwrap());
        drop(end_a);
        assert!(a.await.unwrap());
        assert_eq!((checks.in_flight.available_permits(), checks.computing.available_permits()), (3, 2));
    }

    #[tokio::test]
    async fn a_check_whose_client_is_gone_counts_until_its_thread_is_done() {
        let checks = PasswordChecks::new(1, 0);
        let (end, check) = lasting();
        let mut gone = Box::pin(checks.run(check));
        assert!(polled(&mut gone).is_pending());
        drop(gone);
        assert!(matches!(checks.run(|_| true).await, Err(Unchecked::Busy)));
        drop(end);
        drop(checks.in_flight.acquire().await.unwrap());
        assert!(checks.run(|_| true).await.unwrap());
    }

    #[tokio::test]
    async fn a_client_that_leaves_while_it_waits_makes_room_at_once() {
        let checks = PasswordChecks::new(1, 1);
        let (end, check) = lasting();
        let mut computes = Box::pin(checks.run(check));
        assert!(polled(&mut computes).is_pending());
        for _ in 0..3 {
            let mut left: Pin<Box<_>> = Box::pin(checks.run(|_| panic!("computed for nobody")));
            assert!(polled::<Result<(), _>>(&mut left).is_pending());
        }
        drop(end);
        assert!(computes.await.unwrap());
    }

    #[tokio::test]
    async fn a_check_that_panics_gives_its_place_back() {
        let checks = PasswordChecks::new(1, 0);
        for _ in 0..3 {
            let panics: Result<(), _> = checks.run(|_| panic!("a panic of the test")).await;
            assert!(matches!(panics, Err(Unchecked::Unfinished { source }) if source.is_panic()));
        }
        assert!(checks.run(|_| true).await.unwrap());
    }

    #[tokio::test]
    async fn a_check_computes_in_the_memory_of_one_that_is_done() {
        let checks = PasswordChecks::new(2, 0);
        let address = |memory: &mut Memory| {
            memory.resize(2, Block::new());
            memory.as_ptr() as usize
        };
        let first = checks.run(address).await.unwrap();
        for _ in 0..3 {
            assert_eq!(checks.run(address).await.unwrap(), first);
        }
        let (a, b) = tokio::join!(checks.run(address), checks.run(address));
        assert!(a.is_ok() && b.is_ok());
        assert!(checks.memories.lock().unwrap().len() <= 2, "one for each that computes");
    }

    #[test]
    fn what_all_of_them_take_at_most_is_what_the_limit_says() {
        let kib = argon2::Params::default().m_cost() as usize;
        assert_eq!((kib, kib * MOST_COMPUTING), (19 * 1024, 152 * 1024));
    }
}
