//! Keeps a store's own connections and leases them, without the round trip that sqlx's pool makes
//! whenever a connection is returned to it. The pool still opens and counts the connections.
//!
//! An idle connection can die unnoticed, when a firewall forgets it. So each one knows when the
//! server last answered on it, and those that were silent for a while are pinged. If one doesn't
//! answer, the other idle ones are suspect too: those on which the server hasn't answered within
//! the last second are closed.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::{Connection, Database, Error as SqlxError, Pool};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{sleep, timeout};

use crate::store::sql::connection::runtime::{Ended, OwnerRuntime, RuntimeHandle};

/// How often idle connections are checked.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// A connection on which the server answered this recently is trusted.
pub(in crate::store) const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// How long to wait at most for a connection of a pool that isn't the store's own, even if that
/// pool would wait longer: the caller itself may hold the last one.
pub(in crate::store) const FOREIGN_ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// A pool that isn't the store's own had no connection in time.
#[derive(Debug, thiserror::Error)]
#[error(
    "the application's own pool had no connection in time: either none can be opened, or all are in use, as when a transaction of the \
     application calls a session; `open` makes a pool of its own"
)]
pub(in crate::store) struct OwnPoolTimeout;

/// How long a server may take to answer a ping.
pub(in crate::store) const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// The connections of a pool that only one store uses.
pub(in crate::store) struct LeasePool<D: Database> {
    /// As many as the pool may have connections. A permit entitles to one, from here or from the
    /// pool.
    permits: Semaphore,
    idle: Mutex<IdleConnections<D>>,
    owner: OwnerRuntime,
    rules: IdleRules,
}

/// What to do with idle connections.
#[derive(Debug, Clone, Copy)]
struct IdleRules {
    /// After how long a silence to ping them; none if they can't die unnoticed.
    ping_after: Option<Duration>,
    /// After how long without use to close them.
    idle_timeout: Option<Duration>,
    /// At what age to close them.
    max_lifetime: Option<Duration>,
}

struct IdleConnections<D: Database> {
    /// The last is taken first. One that was used is put back at the end, one that was only pinged
    /// at the start.
    connections: Vec<TrackedConnection<D>>,
    /// Whether a task is checking them.
    has_sweeper: bool,
}

/// A connection, and what is known of it.
struct TrackedConnection<D: Database> {
    conn: PoolConnection<D>,
    /// When it was opened.
    opened: Instant,
    /// When it was used last.
    last_used: Instant,
    /// When the server last answered on it.
    last_heard: Instant,
    /// The runtime in which it was opened; none if it doesn't depend on one, or if the pool isn't
    /// the store's own.
    runtime: Option<Arc<RuntimeHandle>>,
}

impl<D: Database> TrackedConnection<D> {
    fn new(conn: PoolConnection<D>, runtime: Option<Arc<RuntimeHandle>>) -> Self {
        let now = Instant::now();
        Self { conn, opened: now, last_used: now, last_heard: now, runtime }
    }

    /// Sends nothing, because the server may not be listening, and works outside of a runtime.
    fn close(self) {
        drop(self.conn.detach());
    }

    fn is_usable(&self) -> bool {
        self.runtime.as_ref().is_none_or(|runtime| runtime.is_alive())
    }

    fn is_expired(&self, rules: IdleRules) -> bool {
        rules.idle_timeout.is_some_and(|limit| self.last_used.elapsed() >= limit)
            || rules.max_lifetime.is_some_and(|limit| self.opened.elapsed() >= limit)
    }
}

/// A connection that is closed if it is dropped. The pool would take it back without knowing when
/// the server last answered on it, and panic outside of a runtime.
struct ClosedOnDrop<D: Database>(Option<TrackedConnection<D>>);

impl<D: Database> ClosedOnDrop<D> {
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    fn tracked(&mut self) -> &mut TrackedConnection<D> {
        self.0.as_mut().expect(NOT_TAKEN)
    }

    fn take(mut self) -> TrackedConnection<D> {
        self.0.take().expect(NOT_TAKEN)
    }
}

const NOT_TAKEN: &str = "a connection until it is taken";

impl<D: Database> Drop for ClosedOnDrop<D> {
    fn drop(&mut self) {
        if let Some(tracked) = self.0.take() {
            tracked.close();
        }
    }
}

/// A leased connection. If it is dropped without a release, the pool takes it back and checks it.
pub(in crate::store) struct Lease<'a, D: Database> {
    tracked: Option<TrackedConnection<D>>,
    /// Dropped last, so that the next request finds the connection.
    permit: Option<(&'a Arc<LeasePool<D>>, SemaphorePermit<'a>)>,
}

impl<D: Database> LeasePool<D> {
    /// Keeps the connections of `pool`, which nothing else may use from now on. None outside of a
    /// runtime.
    pub(in crate::store) fn of(pool: &Pool<D>, ping_after: Option<Duration>) -> Option<Arc<Self>> {
        let options = pool.options();
        let connections = usize::try_from(options.get_max_connections()).unwrap_or(usize::MAX);
        Some(Arc::new(Self {
            permits: Semaphore::new(connections.min(Semaphore::MAX_PERMITS)),
            idle: Mutex::new(IdleConnections { connections: Vec::new(), has_sweeper: false }),
            owner: OwnerRuntime::current()?,
            rules: IdleRules {
                ping_after,
                idle_timeout: options.get_idle_timeout(),
                max_lifetime: options.get_max_lifetime(),
            },
        }))
    }

    /// How many connections are idle.
    #[cfg(all(test, feature = "sqlite-unbundled"))]
    pub(in crate::store) fn idle(&self) -> usize {
        self.lock().connections.len()
    }

    /// The runtime of its connections.
    pub(in crate::store) const fn owner(&self) -> &OwnerRuntime {
        &self.owner
    }

    fn lock(&self) -> MutexGuard<'_, IdleConnections<D>> {
        // Nothing panics between two consistent states.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last usable connection. If `trusted`, only one on which the server has answered just
    /// now.
    fn take(&self, trusted: bool) -> Option<TrackedConnection<D>> {
        let mut unusable = Vec::new();
        let mut idle = self.lock();
        let found = loop {
            match idle.connections.pop() {
                Some(tracked) if !tracked.is_usable() || tracked.is_expired(self.rules) => unusable.push(tracked),
                // Closed to make room: it counts towards the pool's limit, and a new one has to be
                // opened.
                Some(tracked) if trusted && tracked.last_heard.elapsed() > TRUSTED_FOR => {
                    unusable.push(tracked);
                    break None;
                }
                found => break found,
            }
        };
        drop(idle);
        unusable.into_iter().for_each(TrackedConnection::close);
        found
    }

    /// A connection has died unnoticed: closes the idle ones on which the server hasn't answered
    /// just now.
    fn suspect(&self) {
        let mut idle = self.lock();
        let (trusted, suspect) = std::mem::take(&mut idle.connections)
            .into_iter()
            .partition(|tracked| tracked.last_heard.elapsed() <= TRUSTED_FOR);
        idle.connections = trusted;
        drop(idle);
        suspect.into_iter().for_each(TrackedConnection::close);
    }

    fn put_back(self: &Arc<Self>, tracked: TrackedConnection<D>) {
        let mut idle = self.lock();
        idle.connections.push(tracked);
        let has_sweeper = std::mem::replace(&mut idle.has_sweeper, true);
        // Spawned without the lock: a runtime that is ending drops the task here, and the drop
        // takes the lock.
        drop(idle);
        if !has_sweeper {
            let sweeper = Sweeper(Arc::downgrade(self));
            self.owner.spawn(async move { while sweeper.sweep().await {} });
        }
    }

    /// Takes out a connection that has been silent for at least `limit`.
    fn take_silent(&self, limit: Duration) -> Option<TrackedConnection<D>> {
        let mut idle = self.lock();
        let index = idle.connections.iter().position(|tracked| tracked.last_heard.elapsed() >= limit)?;
        Some(idle.connections.remove(index))
    }
}

/// The task that checks idle connections. If its runtime drops it, the next connection that is put
/// back starts another.
struct Sweeper<D: Database>(Weak<LeasePool<D>>);

impl<D: Database> Sweeper<D> {
    /// Checks once, and returns whether to check again.
    async fn sweep(&self) -> bool {
        sleep(SWEEP_INTERVAL).await;
        let Some(leases) = self.0.upgrade() else { return false };
        let over = {
            let mut idle = leases.lock();
            let rules = leases.rules;
            let (over, rest): (Vec<_>, _) = std::mem::take(&mut idle.connections)
                .into_iter()
                .partition(|tracked| tracked.is_expired(rules) || !tracked.is_usable());
            idle.connections = rest;
            idle.has_sweeper = !idle.connections.is_empty();
            over
        };
        for tracked in over {
            if tracked.is_usable() {
                drop(timeout(PING_TIMEOUT, tracked.conn.close()).await);
            } else {
                tracked.close();
            }
        }
        while let Some(limit) = leases.rules.ping_after
            // While all are in use, there is nothing to check.
            && let Ok(_permit) = leases.permits.try_acquire()
            && let Some(mut tracked) = leases.take_silent(limit)
        {
            if let Ok(Ok(())) = timeout(PING_TIMEOUT, tracked.conn.ping()).await {
                tracked.last_heard = Instant::now();
                // At the start: a ping doesn't count as use.
                leases.lock().connections.insert(0, tracked);
            } else {
                tracked.close();
                leases.suspect();
            }
        }
        leases.lock().has_sweeper
    }
}

impl<D: Database> Drop for Sweeper<D> {
    fn drop(&mut self) {
        if let Some(leases) = self.0.upgrade() {
            leases.lock().has_sweeper = false;
        }
    }
}

/// Leases a connection of `pool`, for which it waits no longer than the pool's `acquire_timeout`.
///
/// On a store's own connections: if `fresh`, leases one that is known to be alive. If a new
/// connection to a server isn't open after `opening`, that fails as if the server had closed it.
pub(in crate::store) async fn acquire<'a, D: Database>(
    leases: Option<&'a Arc<LeasePool<D>>>,
    pool: &Pool<D>,
    fresh: bool,
    opening: Duration,
) -> Result<Lease<'a, D>, SqlxError> {
    let Some(leases) = leases else {
        let conn = timeout(FOREIGN_ACQUIRE_TIMEOUT, pool.acquire()).await.unwrap_or(Err(SqlxError::PoolTimedOut))?;
        return Ok(Lease { tracked: Some(TrackedConnection::new(conn, None)), permit: None });
    };
    let lease = async {
        let permit = leases.permits.acquire().await.map_err(|_| SqlxError::PoolClosed)?;
        let tracked = match leases.take(fresh) {
            Some(tracked) => tracked,
            // A connection to a server has a socket, which ends with its runtime.
            None if leases.rules.ping_after.is_some() => {
                let runtime = leases.owner.live();
                let (pool, owner) = (pool.clone(), Arc::clone(&runtime));
                let open = async move {
                    let conn = pool.acquire().await?;
                    Ok(ClosedOnDrop(Some(TrackedConnection::new(conn, Some(owner)))))
                };
                let opened = timeout(opening, runtime.spawn_and_wait(open)).await;
                opened.map_err(|_| silent())?.unwrap_or_else(ended)?.take()
            }
            None => TrackedConnection::new(pool.acquire().await?, None),
        };
        Ok(Lease { tracked: Some(tracked), permit: Some((leases, permit)) })
    };
    // The timer is in the runtime that polls this, which is certainly running; the store's may not
    // be.
    timeout(pool.options().get_acquire_timeout(), lease).await.unwrap_or(Err(SqlxError::PoolTimedOut))
}

/// A connection wasn't open in time.
fn silent() -> SqlxError {
    SqlxError::Io(std::io::ErrorKind::TimedOut.into())
}

/// The runtime in which a connection was being opened has ended. Another can be opened elsewhere.
fn ended<T>(_: Ended) -> Result<T, SqlxError> {
    Err(SqlxError::Io(std::io::ErrorKind::ConnectionAborted.into()))
}

impl<D: Database> Lease<'_, D> {
    fn tracked(&self) -> &TrackedConnection<D> {
        self.tracked.as_ref().expect("a connection until it is handed on")
    }

    /// How long ago the server last answered on it; none if that isn't tracked.
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    pub(in crate::store) fn unheard_for(&self) -> Option<Duration> {
        self.permit.as_ref().map(|_| self.tracked().last_heard.elapsed())
    }

    /// The runtime in which it has to be used; none if any will do.
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    pub(in crate::store) fn runtime(&self) -> Option<Arc<RuntimeHandle>> {
        self.tracked().runtime.clone()
    }

    /// Returns the connection for the next lease: its work is done, and it has no open transaction.
    /// A pool that isn't the store's own pings it first, for up to `limit`.
    pub(in crate::store) fn release(mut self, limit: Duration) {
        let Some(mut tracked) = self.tracked.take() else { return };
        let now = Instant::now();
        (tracked.last_used, tracked.last_heard) = (now, now);
        match self.permit {
            Some((leases, _permit)) => leases.put_back(tracked),
            None => return_to_pool(tracked.conn, limit),
        }
    }

    /// Closes it at once.
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    pub(in crate::store) fn close(mut self) {
        if let Some(tracked) = self.tracked.take() {
            tracked.close();
        }
    }

    /// Closes it because it seems to have died unnoticed, and with it the idle ones that may have
    /// too.
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    pub(in crate::store) fn suspect(mut self) {
        if let Some((leases, _)) = &self.permit {
            leases.suspect();
        }
        if let Some(tracked) = self.tracked.take() {
            tracked.close();
        }
    }

    /// Returns it for the next lease if it answers a ping. Its last work was dropped or rolled
    /// back, so an answer or a roll-back may still be under way on it.
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    pub(in crate::store) fn release_after_ping(mut self, limit: Duration) {
        let Some(tracked) = self.tracked.take() else { return };
        let Some((leases, permit)) = self.permit else { return return_to_pool(tracked.conn, limit) };
        // Until it is returned or closed, no other connection may take its place.
        permit.forget();
        let (runtime, permit) = (tracked.runtime.clone(), PingPermit(Arc::clone(leases)));
        let mut pinged = ClosedOnDrop(Some(tracked));
        let ping = async move {
            if let Ok(Ok(())) = timeout(limit, pinged.tracked().conn.ping()).await {
                let (now, mut tracked) = (Instant::now(), pinged.take());
                (tracked.last_used, tracked.last_heard) = (now, now);
                permit.0.put_back(tracked);
            } else {
                drop(pinged);
            }
            drop(permit);
        };
        match runtime {
            Some(runtime) => runtime.spawn(ping),
            None => drop(ping),
        }
    }
}

/// The permit of a connection that is being pinged.
#[cfg(any(feature = "mysql", feature = "postgres"))]
struct PingPermit<D: Database>(Arc<LeasePool<D>>);

#[cfg(any(feature = "mysql", feature = "postgres"))]
impl<D: Database> Drop for PingPermit<D> {
    fn drop(&mut self) {
        self.0.permits.add_permits(1);
    }
}

/// Returns it to a pool that isn't the store's own, which pings it first and sets no limit for
/// that. Without one, a connection to a silent server would count towards the pool's limit until
/// the operating system gives it up, and in the end all of them would.
fn return_to_pool<D: Database>(mut conn: PoolConnection<D>, limit: Duration) {
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(async move { drop(timeout(limit, conn.return_to_pool()).await) });
    } else {
        // The pool needs a runtime to take one back.
        drop(conn.detach());
    }
}

/// This may run after the last runtime has ended, and the pool needs one to take a connection back.
impl<D: Database> Drop for IdleConnections<D> {
    fn drop(&mut self) {
        for tracked in self.connections.drain(..) {
            tracked.close();
        }
    }
}

impl<D: Database> Deref for Lease<'_, D> {
    type Target = PoolConnection<D>;

    fn deref(&self) -> &Self::Target {
        &self.tracked().conn
    }
}

impl<D: Database> DerefMut for Lease<'_, D> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.tracked.as_mut().expect("a connection until it is handed on").conn
    }
}
