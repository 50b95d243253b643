//! Who changes a session's data next, where requests of this process were in each other's way: one after the other, or each that comes
//! later might win over those that start over. Leaves it to the store to notice that they were, and requests of other processes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::session::SessionId;

/// The sessions that requests queue for.
#[derive(Default)]
pub(crate) struct Turns(Mutex<HashMap<SessionId, Queue>>);

struct Queue {
    /// Of one permit, which is handed on in the order of arrival.
    turn: Arc<Semaphore>,
    /// Who has the turn, and who waits for it.
    members: usize,
}

/// A place in the queue of a session, and in the end the first. Dropped, it is the next one's turn.
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    session: SessionId,
    turn: Arc<Semaphore>,
    /// None while it waits.
    permit: Option<OwnedSemaphorePermit>,
}

impl Turns {
    /// Waits behind those that queue for this session. None if nobody does, or if they gave up.
    pub(crate) async fn behind_others(&self, session: SessionId) -> Option<Turn<'_>> {
        let place = self.place(session, self.lock().get_mut(&session)?);
        place.wait().await
    }

    /// Queues, and lets those that come later wait behind. None if the queue was given up meanwhile.
    pub(crate) async fn queue(&self, session: SessionId) -> Option<Turn<'_>> {
        let place = {
            let mut queues = self.lock();
            let new = || Queue { turn: Arc::new(Semaphore::new(1)), members: 0 };
            self.place(session, queues.entry(session).or_insert_with(new))
        };
        place.wait().await
    }

    /// The turn at once, if nobody queues for this session: those that come later wait behind.
    pub(crate) fn first(&self, session: SessionId) -> Option<Turn<'_>> {
        let mut queues = self.lock();
        let Entry::Vacant(free) = queues.entry(session) else { return None };
        let queue = free.insert(Queue { turn: Arc::new(Semaphore::new(1)), members: 0 });
        let mut place = self.place(session, queue);
        place.permit = Arc::clone(&place.turn).try_acquire_owned().ok();
        Some(place)
    }

    fn place(&self, session: SessionId, queue: &mut Queue) -> Turn<'_> {
        queue.members += 1;
        Turn { turns: self, session, turn: Arc::clone(&queue.turn), permit: None }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Queue>> {
        // Nothing panics between two consistent states.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Turn<'a> {
    async fn wait(mut self) -> Option<Turn<'a>> {
        // An error if the queue was given up.
        self.permit = Some(Arc::clone(&self.turn).acquire_owned().await.ok()?);
        Some(self)
    }

    /// The store failed: those that wait go at once, and needn't find that out one after the other.
    pub(crate) fn give_up(&self) {
        let mut queues = self.turns.lock();
        if queues.get(&self.session).is_some_and(|queue| Arc::ptr_eq(&queue.turn, &self.turn)) {
            queues.remove(&self.session);
        }
        drop(queues);
        self.turn.close();
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut queues = self.turns.lock();
        let Some(queue) = queues.get_mut(&self.session).filter(|queue| Arc::ptr_eq(&queue.turn, &self.turn)) else {
            return;
        };
        queue.members -= 1;
        if queue.members == 0 {
            queues.remove(&self.session);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    const ID: SessionId = SessionId::from_bytes([1; 16]);

    fn poll_once<T>(future: &mut std::pin::Pin<&mut impl Future<Output = T>>) -> Option<T> {
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn turns_come_in_the_order_of_arrival_and_leave_nothing_behind() {
        let turns = Turns::default();
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
        let turns = Turns::default();
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
        let turns = Turns::default();
        let first = turns.queue(ID).await.unwrap();
        let (mut second, mut third) = (pin!(turns.queue(ID)), pin!(turns.queue(ID)));
        assert!(poll_once(&mut second).is_none() && poll_once(&mut third).is_none());
        first.give_up();
        let later = turns.queue(ID).await.unwrap();
        // Who is too late again joins the new queue.
        assert!(poll_once(&mut second).unwrap().is_none() && poll_once(&mut third).unwrap().is_none());
        drop(first);
        assert_eq!(turns.lock()[&ID].members, 1);
        drop(later);
        assert!(turns.lock().is_empty());
    }
}
