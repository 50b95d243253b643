//! Queues in this process: requests that want the same thing get it in the order of arrival, a
//! fixed number at a time.
//!
//! Requests that conflict while they change one session's data run one after the other; otherwise
//! each later request could overtake those that start over. While a change that got no answer is
//! asked for again, later ones of its session wait. A change that may have to wait for a database
//! lock waits here first, so that few connections wait there. Not here: noticing a conflict, and
//! requests of other processes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The queues, one for each key `K`.
pub(crate) struct WriteQueues<K: Eq + Hash + Clone> {
    /// How many members of one queue may run at once.
    limit: usize,
    queues: Mutex<HashMap<K, Queue>>,
}

struct Queue {
    /// Its permits are handed on in the order of arrival.
    slots: Arc<Semaphore>,
    /// Those that hold a permit, and those that wait for one.
    members: usize,
    /// Those that hold a permit.
    holders: usize,
}

/// A place in a queue, and its permit once the wait is over. Dropping it lets the next one run.
pub(crate) struct QueueGuard<K: Eq + Hash + Clone> {
    owner: Arc<WriteQueues<K>>,
    key: K,
    slots: Arc<Semaphore>,
    /// None while it waits.
    permit: Option<OwnedSemaphorePermit>,
}

impl<K: Eq + Hash + Clone> WriteQueues<K> {
    /// Queues in which `limit` members run at once.
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, queues: Mutex::default() })
    }

    /// Waits behind those that queue already. None if there is no queue, or if its waiters are
    /// dismissed meanwhile.
    pub(crate) async fn join_existing(self: &Arc<Self>, key: K) -> Option<QueueGuard<K>> {
        let guard = {
            let mut queues = self.lock();
            let queue = queues.get_mut(&key)?;
            self.guard(key, queue)
        };
        guard.wait().await
    }

    /// Queues, so that later requests wait behind this one. None if the waiters are dismissed
    /// meanwhile.
    pub(crate) async fn join(self: &Arc<Self>, key: K) -> Option<QueueGuard<K>> {
        let guard = {
            let mut queues = self.lock();
            let queue = queues.entry(key.clone()).or_insert_with(|| Queue::new(self.limit));
            self.guard(key, queue)
        };
        guard.wait().await
    }

    /// Starts a queue and runs at once, so that later requests wait behind this one. None if there
    /// is a queue.
    pub(crate) fn start_queue(self: &Arc<Self>, key: K) -> Option<QueueGuard<K>> {
        let mut queues = self.lock();
        let Entry::Vacant(free) = queues.entry(key.clone()) else { return None };
        let queue = free.insert(Queue::new(self.limit));
        let mut guard = self.guard(key, queue);
        guard.permit = Arc::clone(&guard.slots).try_acquire_owned().ok();
        queue.holders = 1;
        Some(guard)
    }

    fn guard(self: &Arc<Self>, key: K, queue: &mut Queue) -> QueueGuard<K> {
        queue.members += 1;
        QueueGuard { owner: Arc::clone(self), key, slots: Arc::clone(&queue.slots), permit: None }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Queue>> {
        // Nothing panics between two consistent states.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn new(limit: usize) -> Self {
        Self { slots: Arc::new(Semaphore::new(limit)), members: 0, holders: 0 }
    }
}

impl<K: Eq + Hash + Clone> QueueGuard<K> {
    async fn wait(mut self) -> Option<Self> {
        // Fails if the waiters were dismissed.
        let permit = Arc::clone(&self.slots).acquire_owned().await.ok()?;
        let is_waiting = {
            let mut queues = self.owner.lock();
            // They may have been dismissed between the permit and this lock.
            let queue = queues.get_mut(&self.key).filter(|queue| Arc::ptr_eq(&queue.slots, &self.slots));
            queue.map(|queue| queue.holders += 1).is_some()
        };
        is_waiting.then(|| {
            self.permit = Some(permit);
            self
        })
    }

    /// The store failed, so the waiters are sent away: each would otherwise find that out in turn.
    /// Those that hold a permit keep it, this one included, and later requests queue behind them.
    pub(crate) fn dismiss_waiters(&self) {
        let dismissed = {
            let mut queues = self.owner.lock();
            // This guard holds a permit, so its queue is there.
            queues.get_mut(&self.key).map(|queue| {
                let free = self.owner.limit - queue.holders;
                queue.members = queue.holders;
                std::mem::replace(&mut queue.slots, Arc::new(Semaphore::new(free)))
            })
        };
        if let Some(dismissed) = dismissed {
            dismissed.close();
        }
    }
}

impl<K: Eq + Hash + Clone> Drop for QueueGuard<K> {
    fn drop(&mut self) {
        let mut queues = self.owner.lock();
        let Some(queue) = queues.get_mut(&self.key) else { return };
        let is_of_queue = Arc::ptr_eq(&queue.slots, &self.slots);
        if self.permit.is_none() && !is_of_queue {
            // It was a waiter, and was dismissed.
            return;
        }
        queue.members -= 1;
        if self.permit.is_some() {
            queue.holders -= 1;
            if !is_of_queue {
                queue.slots.add_permits(1);
            }
        }
        if queue.members == 0 {
            queues.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;
    use crate::model::session_id::SessionId;

    const ID: SessionId = SessionId::from_bytes([1; 16]);

    fn poll_once<T>(future: &mut std::pin::Pin<&mut impl Future<Output = T>>) -> Option<T> {
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn members_run_in_the_order_of_arrival_and_leave_nothing_behind() {
        let queues = WriteQueues::new(1);
        assert!(queues.join_existing(ID).await.is_none());
        let start_queue = queues.join(ID).await.unwrap();
        assert!(queues.join_existing(SessionId::from_bytes([2; 16])).await.is_none());
        let (mut second, mut third) = (pin!(queues.join(ID)), pin!(queues.join_existing(ID)));
        {
            let mut dropped = pin!(queues.join(ID));
            assert!(poll_once(&mut dropped).is_none());
        }
        assert!(poll_once(&mut second).is_none() && poll_once(&mut third).is_none());
        drop(start_queue);
        assert!(poll_once(&mut third).is_none());
        let second = poll_once(&mut second).unwrap().unwrap();
        assert!(poll_once(&mut third).is_none());
        drop(second);
        drop(poll_once(&mut third).unwrap().unwrap());
        assert!(queues.lock().is_empty());
    }

    #[tokio::test]
    async fn only_a_request_that_finds_no_queue_starts_one() {
        let queues = WriteQueues::new(1);
        let start_queue = queues.start_queue(ID).unwrap();
        assert!(queues.start_queue(ID).is_none());
        let mut second = pin!(queues.join_existing(ID));
        assert!(poll_once(&mut second).is_none());
        drop(start_queue);
        drop(poll_once(&mut second).unwrap().unwrap());
        assert!(queues.lock().is_empty());
    }

    #[tokio::test]
    async fn dismissed_waiters_continue_at_once() {
        let queues = WriteQueues::new(1);
        let start_queue = queues.join(ID).await.unwrap();
        let (mut second, mut third) = (pin!(queues.join(ID)), pin!(queues.join(ID)));
        assert!(poll_once(&mut second).is_none() && poll_once(&mut third).is_none());
        start_queue.dismiss_waiters();
        assert!(poll_once(&mut second).unwrap().is_none() && poll_once(&mut third).unwrap().is_none());
        let mut later = pin!(queues.join(ID));
        assert!(poll_once(&mut later).is_none(), "the first still holds its permit");
        drop(start_queue);
        let later = poll_once(&mut later).unwrap().unwrap();
        assert_eq!(queues.lock()[&ID].members, 1);
        drop(later);
        assert!(queues.lock().is_empty());
    }

    #[tokio::test]
    async fn the_limit_holds_when_waiters_are_dismissed() {
        let queues = WriteQueues::new(2);
        let (start_queue, second) = (queues.join(ID).await.unwrap(), queues.join(ID).await.unwrap());
        let (mut dismissed, mut unwoken) = (pin!(queues.join(ID)), pin!(queues.join(ID)));
        assert!(poll_once(&mut dismissed).is_none() && poll_once(&mut unwoken).is_none());
        start_queue.dismiss_waiters();
        start_queue.dismiss_waiters();
        let (mut third, mut fourth) = (pin!(queues.join(ID)), pin!(queues.join(ID)));
        assert!(poll_once(&mut third).is_none() && poll_once(&mut fourth).is_none());
        drop(start_queue);
        let third = poll_once(&mut third).unwrap().unwrap();
        assert!(poll_once(&mut fourth).is_none(), "two hold a permit");
        assert!(poll_once(&mut dismissed).unwrap().is_none());
        drop(third);
        // It holds a permit by now, but hasn't been polled since.
        second.dismiss_waiters();
        assert!(poll_once(&mut fourth).unwrap().is_none());
        assert!(poll_once(&mut unwoken).unwrap().is_none());
        let fifth = queues.join(ID).await.unwrap();
        assert_eq!(queues.lock()[&ID].holders, 2);
        drop((second, fifth));
        assert!(queues.lock().is_empty());
    }
}
