//! Queues in this process: those who want the same thing get it in the order of arrival, so many at once.
//!
//! Where requests that change one session's data were in each other's way, they go one after the other, or each that comes later might
//! win over those that start over. Where a change may have to wait for a lock of the database, it waits here first, so that few
//! connections wait there. Not here: noticing that others were first, and requests of other processes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The queues for things that are named `K`.
pub(crate) struct Turns<K: Eq + Hash + Clone> {
    /// How many of a queue have their turn at once.
    at_once: usize,
    queues: Mutex<HashMap<K, Queue>>,
}

struct Queue {
    /// Whose permits are handed on in the order of arrival.
    turn: Arc<Semaphore>,
    /// Those that have a turn, and those that wait for one.
    members: usize,
    /// Those that have a turn.
    holders: usize,
}

/// A place in a queue, and in the end a turn. Dropped, it is the next one's turn.
pub(crate) struct Turn<K: Eq + Hash + Clone> {
    turns: Arc<Turns<K>>,
    key: K,
    turn: Arc<Semaphore>,
    /// None while it waits.
    permit: Option<OwnedSemaphorePermit>,
}

impl<K: Eq + Hash + Clone> Turns<K> {
    /// Queues of which so many have their turn at once.
    pub(crate) fn new(at_once: usize) -> Arc<Self> {
        Arc::new(Self { at_once, queues: Mutex::default() })
    }

    /// Waits behind those that queue. None if there are none, or if the queue was given up meanwhile.
    pub(crate) async fn behind_others(self: &Arc<Self>, key: K) -> Option<Turn<K>> {
        let place = {
            let mut queues = self.lock();
            let queue = queues.get_mut(&key)?;
            self.place(key, queue)
        };
        place.wait().await
    }

    /// Queues, and lets those that come later wait behind. None if the queue was given up meanwhile.
    pub(crate) async fn queue(self: &Arc<Self>, key: K) -> Option<Turn<K>> {
        let place = {
            let mut queues = self.lock();
            let queue = queues.entry(key.clone()).or_insert_with(|| Queue::new(self.at_once));
            self.place(key, queue)
        };
        place.wait().await
    }

    /// The turn at once, if there is no queue: those that come later wait behind.
    pub(crate) fn first(self: &Arc<Self>, key: K) -> Option<Turn<K>> {
        let mut queues = self.lock();
        let Entry::Vacant(free) = queues.entry(key.clone()) else { return None };
        let queue = free.insert(Queue::new(self.at_once));
        let mut place = self.place(key, queue);
        place.permit = Arc::clone(&place.turn).try_acquire_owned().ok();
        queue.holders = 1;
        Some(place)
    }

    fn place(self: &Arc<Self>, key: K, queue: &mut Queue) -> Turn<K> {
        queue.members += 1;
        Turn { turns: Arc::clone(self), key, turn: Arc::clone(&queue.turn), permit: None }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Queue>> {
        // Nothing panics between two consistent states.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn new(at_once: usize) -> Self {
        Self { turn: Arc::new(Semaphore::new(at_once)), members: 0, holders: 0 }
    }
}

impl<K: Eq + Hash + Clone> Turn<K> {
    async fn wait(mut self) -> Option<Self> {
        // An error if the queue was given up.
        let permit = Arc::clone(&self.turn).acquire_owned().await.ok()?;
        let is_waiting = {
            let mut queues = self.turns.lock();
            // Or it was given up just then.
            let queue = queues.get_mut(&self.key).filter(|queue| Arc::ptr_eq(&queue.turn, &self.turn));
            queue.map(|queue| queue.holders += 1).is_some()
        };
        is_waiting.then(|| {
            self.permit = Some(permit);
            self
        })
    }

    /// The store failed: those that wait needn't find that out one after the other. Those that have their turn keep it, this one too:
    /// who comes now waits for it.
    pub(crate) fn give_up(&self) {
        let given_up = {
            let mut queues = self.turns.lock();
            // It has a turn, so its queue is there.
            queues.get_mut(&self.key).map(|queue| {
                let free = self.turns.at_once - queue.holders;
                queue.members = queue.holders;
                std::mem::replace(&mut queue.turn, Arc::new(Semaphore::new(free)))
            })
        };
        if let Some(given_up) = given_up {
            given_up.close();
        }
    }
}

impl<K: Eq + Hash + Clone> Drop for Turn<K> {
    fn drop(&mut self) {
        let mut queues = self.turns.lock();
        let Some(queue) = queues.get_mut(&self.key) else { return };
        let is_of_queue = Arc::ptr_eq(&queue.turn, &self.turn);
        if self.permit.is_none() && !is_of_queue {
            // It waited in a queue that was given up.
            return;
        }
        queue.members -= 1;
        if self.permit.is_some() {
            queue.holders -= 1;
            if !is_of_queue {
                queue.turn.add_permits(1);
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
    async fn turns_come_in_the_order_of_arrival_and_leave_nothing_behind() {
        let turns = Turns::new(1);
        assert!(turns.behind_others(ID).await.is_none());
        let first = turns.queue(ID).await.unwrap();
        assert!(turns.behind_others(SessionId::from_bytes([2; 16])).await.is_none());
        let (mut second, mut third) = (pin!(turns.queue(ID)), pin!(turns.behind_others(ID)));
        {
            let mut dropped = pin!(turns.queue(ID));
            assert!(poll_once(&mut dropped).is_none());
        }
        assert!(poll_once(&mut second).is_none() && poll_once(&mut third).is_none());
        drop(first);
        assert!(poll_once(&mut third).is_none());
        let second = poll_once(&mut second).unwrap().unwrap();
        assert!(poll_once(&mut third).is_none());
        drop(second);
        drop(poll_once(&mut third).unwrap().unwrap());
        assert!(turns.lock().is_empty());
    }

    #[tokio::test]
    async fn only_who_finds_no_queue_is_first() {
        let turns = Turns::new(1);
        let first = turns.first(ID).unwrap();
        assert!(turns.first(ID).is_none());
        let mut second = pin!(turns.behind_others(ID));
        assert!(poll_once(&mut second).is_none());
        drop(first);
        drop(poll_once(&mut second).unwrap().unwrap());
        assert!(turns.lock().is_empty());
    }

    #[tokio::test]
    async fn a_queue_that_is_given_up_lets_all_go_at_once() {
        let turns = Turns::new(1);
        let first = turns.queue(ID).await.unwrap();
        let (mut second, mut third) = (pin!(turns.queue(ID)), pin!(turns.queue(ID)));
        assert!(poll_once(&mut second).is_none() && poll_once(&mut third).is_none());
        first.give_up();
        assert!(poll_once(&mut second).unwrap().is_none() && poll_once(&mut third).unwrap().is_none());
        let mut later = pin!(turns.queue(ID));
        assert!(poll_once(&mut later).is_none(), "the first still has its turn");
        drop(first);
        let later = poll_once(&mut later).unwrap().unwrap();
        assert_eq!(turns.lock()[&ID].members, 1);
        drop(later);
        assert!(turns.lock().is_empty());
    }

    #[tokio::test]
    async fn so_many_have_their_turn_at_once_though_their_queue_is_given_up() {
        let turns = Turns::new(2);
        let (first, second) = (turns.queue(ID).await.unwrap(), turns.queue(ID).await.unwrap());
        let (mut given_up, mut unwoken) = (pin!(turns.queue(ID)), pin!(turns.queue(ID)));
        assert!(poll_once(&mut given_up).is_none() && poll_once(&mut unwoken).is_none());
        first.give_up();
        first.give_up();
        let (mut third, mut fourth) = (pin!(turns.queue(ID)), pin!(turns.queue(ID)));
        assert!(poll_once(&mut third).is_none() && poll_once(&mut fourth).is_none());
        drop(first);
        let third = poll_once(&mut third).unwrap().unwrap();
        assert!(poll_once(&mut fourth).is_none(), "two have their turn");
        assert!(poll_once(&mut given_up).unwrap().is_none());
        drop(third);
        // It has its turn by now, and doesn't know it yet.
        second.give_up();
        assert!(poll_once(&mut fourth).unwrap().is_none());
        assert!(poll_once(&mut unwoken).unwrap().is_none());
        let fifth = turns.queue(ID).await.unwrap();
        assert_eq!(turns.lock()[&ID].holders, 2);
        drop((second, fifth));
        assert!(turns.lock().is_empty());
    }
}
