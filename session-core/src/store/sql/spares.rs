//! Lends a store's own connections again without a trip to the server in between, which sqlx's pool makes whenever one comes back
//! to it. Leaves opening, closing and the length of their lives to the pool.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::{Database, Error as SqlxError, Pool};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{sleep, timeout};

use super::home::{Home, at_home};

/// After that time a connection goes back to its pool, which looks whether it lives, and for how long it has.
const AWAY: Duration = Duration::from_secs(1);

/// The connections of a pool that only one store uses.
pub(in crate::store) struct Spares<D: Database> {
    /// As many as the pool may have: whoever has one of them gets a connection, from here or from the pool.
    turns: Semaphore,
    idle: Mutex<Idle<D>>,
    home: Home,
}

struct Idle<D: Database> {
    connections: Vec<(PoolConnection<D>, Instant)>,
    /// Whether a task sends them back after a while.
    is_swept: bool,
    /// How long the server may take to answer then, before a connection is closed.
    patience: Duration,
}

/// A connection that is lent. Dropped, it goes back to its pool.
pub(in crate::store) struct Lent<'a, D: Database> {
    conn: PoolConnection<D>,
    /// Since when it is away from the pool.
    since: Instant,
    /// Dropped last, so that the next finds the connection.
    turn: Option<(&'a Arc<Spares<D>>, SemaphorePermit<'a>)>,
}

impl<D: Database> Spares<D> {
    /// Of `pool`, from now on used by this alone. None outside of a runtime.
    pub(in crate::store) fn of(pool: &Pool<D>) -> Option<Arc<Self>> {
        let connections = usize::try_from(pool.options().get_max_connections()).unwrap_or(usize::MAX);
        Some(Arc::new(Self {
            turns: Semaphore::new(connections.min(Semaphore::MAX_PERMITS)),
            idle: Mutex::new(Idle { connections: Vec::new(), is_swept: false, patience: Duration::ZERO }),
            home: Home::here()?,
        }))
    }

    /// How many lie here.
    #[cfg(all(test, feature = "sqlite"))]
    pub(in crate::store) fn idle(&self) -> usize {
        self.lock().connections.len()
    }

    fn lock(&self) -> MutexGuard<'_, Idle<D>> {
        // Nothing panics between two consistent states.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(self: &Arc<Self>, conn: PoolConnection<D>, since: Instant, patience: Duration) {
        let mut idle = self.lock();
        idle.patience = patience;
        idle.connections.push((conn, since));
        if !std::mem::replace(&mut idle.is_swept, true) {
            let spares = Arc::downgrade(self);
            self.home.spawn(async move { while Self::sweep(&spares).await {} });
        }
    }

    /// Sends back what lies here after a while: whether anything did.
    async fn sweep(spares: &Weak<Self>) -> bool {
        sleep(AWAY).await;
        let Some(spares) = spares.upgrade() else { return false };
        let (connections, patience) = {
            let mut idle = spares.lock();
            idle.is_swept = !idle.connections.is_empty();
            (std::mem::take(&mut idle.connections), idle.patience)
        };
        let is_any = !connections.is_empty();
        for (conn, _) in connections {
            give_back(&spares.home, conn, patience);
        }
        is_any
    }
}

/// A connection of `pool`, or one that is spare.
pub(in crate::store) async fn lend<'a, D: Database>(
    spares: Option<&'a Arc<Spares<D>>>,
    pool: &Pool<D>,
) -> Result<Lent<'a, D>, SqlxError> {
    let Some(spares) = spares else {
        return Ok(Lent { conn: pool.acquire().await?, since: Instant::now(), turn: None });
    };
    let lent = async {
        let turn = spares.turns.acquire().await.map_err(|_| SqlxError::PoolClosed)?;
        let spare = spares.lock().connections.pop();
        let (conn, since) = match spare {
            Some(spare) => spare,
            None => (at_home(Some(&spares.home), pool.acquire()).await?, Instant::now()),
        };
        Ok(Lent { conn, since, turn: Some((spares, turn)) })
    };
    // The limit is kept by the request's own runtime, which runs for certain; the store's may not.
    timeout(pool.options().get_acquire_timeout(), lent).await.unwrap_or(Err(SqlxError::PoolTimedOut))
}

impl<D: Database> Lent<'_, D> {
    /// Lends it again soon: what it was asked for is done, and there is nothing open on it. A server that then takes longer than
    /// `patience` to say that it is there isn't waited for.
    pub(in crate::store) fn keep(self, patience: Duration) {
        match self {
            Self { conn, since, turn: Some((spares, _turn)) } if since.elapsed() < AWAY => {
                spares.keep(conn, since, patience);
            }
            lent => lent.give_back(patience),
        }
    }

    /// Sends it back to its pool, which closes it if it isn't alive or the server doesn't say so in time.
    pub(in crate::store) fn give_back(self, patience: Duration) {
        let Self { mut conn, turn, .. } = self;
        match &turn {
            Some((spares, _)) => give_back(&spares.home, conn, patience),
            None => {
                if let Ok(runtime) = Handle::try_current() {
                    runtime.spawn(timeout(patience, conn.return_to_pool()));
                }
            }
        }
    }

    /// Closes it at once, and without a word to a server that may not listen.
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    pub(in crate::store) fn close(self) {
        drop(self.conn.detach());
    }
}

/// Perhaps after the last runtime, which the pool needs to take one back.
impl<D: Database> Drop for Idle<D> {
    fn drop(&mut self) {
        for (conn, _) in self.connections.drain(..) {
            drop(conn.detach());
        }
    }
}

fn give_back<D: Database>(home: &Home, mut conn: PoolConnection<D>, patience: Duration) {
    home.spawn(async move { drop(timeout(patience, conn.return_to_pool()).await) });
}

impl<D: Database> Deref for Lent<'_, D> {
    type Target = PoolConnection<D>;

    fn deref(&self) -> &Self::Target {
        &self.conn
    }
}

impl<D: Database> DerefMut for Lent<'_, D> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.conn
    }
}
