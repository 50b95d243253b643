//! Keeps a store's own connections, and lends them: without a trip to the server in between, which sqlx's pool makes whenever one comes
//! back to it. The pool is what opens them, and what counts them.
//!
//! A connection can die without a word while it lies idle: a firewall forgets it. So each knows when the server was heard on it last.
//! Those that have lain for a while are asked whether they live, and the first that stays silent makes all that were heard before
//! suspect: they are closed.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::{Connection, Database, Error as SqlxError, Pool};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{sleep, timeout};

use super::home::{Ended, Home, Place};

/// How often idle connections are looked at.
const SWEEP: Duration = Duration::from_secs(1);

/// A connection on which the server was heard this recently is trusted.
pub(in crate::store) const HOT: Duration = Duration::from_secs(1);

/// How long to wait for a connection of a pool that isn't the store's own, whatever that allows: it may be the caller who holds the
/// last one.
const ACQUIRE: Duration = Duration::from_secs(10);

/// How long a server may take to say that it is there.
pub(in crate::store) const PING: Duration = Duration::from_secs(1);

/// The connections of a pool that only one store uses.
pub(in crate::store) struct Spares<D: Database> {
    /// As many as the pool may have: a request that has one of them gets a connection, from here or from the pool.
    permits: Semaphore,
    idle: Mutex<Idle<D>>,
    home: Home,
    rules: Rules,
}

/// What becomes of connections that lie idle.
#[derive(Debug, Clone, Copy)]
struct Rules {
    /// They are asked whether they live, where they may have died.
    ping_after: Option<Duration>,
    /// They are closed.
    idle_timeout: Option<Duration>,
    /// They are closed at that age.
    max_lifetime: Option<Duration>,
}

struct Idle<D: Database> {
    /// Those that were used last come last.
    connections: Vec<Known<D>>,
    /// Whether a task looks at them.
    is_swept: bool,
}

/// A connection, and what is known of it.
struct Known<D: Database> {
    conn: PoolConnection<D>,
    /// Since when it is open.
    since: Instant,
    /// When it was used last.
    used: Instant,
    /// When the server was heard on it last.
    heard: Instant,
    /// The runtime in which it was opened, if it can't outlive that or nobody keeps track of it.
    place: Option<Arc<Place>>,
}

impl<D: Database> Known<D> {
    fn new(conn: PoolConnection<D>, place: Option<Arc<Place>>) -> Self {
        let now = Instant::now();
        Self { conn, since: now, used: now, heard: now, place }
    }

    /// Without a word to a server that may not listen, and wherever the runtime is.
    fn close(self) {
        drop(self.conn.detach());
    }

    fn is_usable(&self) -> bool {
        self.place.as_ref().is_none_or(|place| place.is_alive())
    }

    fn is_over(&self, rules: Rules) -> bool {
        rules.idle_timeout.is_some_and(|limit| self.used.elapsed() >= limit)
            || rules.max_lifetime.is_some_and(|limit| self.since.elapsed() >= limit)
    }
}

/// A connection that is lent. Dropped, it goes to the pool, which looks at it.
pub(in crate::store) struct Lent<'a, D: Database> {
    known: Option<Known<D>>,
    /// Dropped last, so that the next finds the connection.
    permit: Option<(&'a Arc<Spares<D>>, SemaphorePermit<'a>)>,
}

impl<D: Database> Spares<D> {
    /// Of `pool`, from now on used by this alone. None outside of a runtime.
    pub(in crate::store) fn of(pool: &Pool<D>, ping_after: Option<Duration>) -> Option<Arc<Self>> {
        let options = pool.options();
        let connections = usize::try_from(options.get_max_connections()).unwrap_or(usize::MAX);
        Some(Arc::new(Self {
            permits: Semaphore::new(connections.min(Semaphore::MAX_PERMITS)),
            idle: Mutex::new(Idle { connections: Vec::new(), is_swept: false }),
            home: Home::here()?,
            rules: Rules {
                ping_after,
                idle_timeout: options.get_idle_timeout(),
                max_lifetime: options.get_max_lifetime(),
            },
        }))
    }

    /// How many lie here.
    #[cfg(all(test, feature = "sqlite"))]
    pub(in crate::store) fn idle(&self) -> usize {
        self.lock().connections.len()
    }

    /// The runtime of its connections.
    pub(in crate::store) const fn home(&self) -> &Home {
        &self.home
    }

    fn lock(&self) -> MutexGuard<'_, Idle<D>> {
        // Nothing panics between two consistent states.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that was used last, if it is usable; `hot` only if the server was heard on it just now.
    fn take(&self, hot: bool) -> Option<Known<D>> {
        let mut unusable = Vec::new();
        let mut idle = self.lock();
        let found = loop {
            match idle.connections.pop() {
                Some(known) if !known.is_usable() || known.is_over(self.rules) => unusable.push(known),
                // Closed, as it would keep its place in the pool, where a new one has to be opened.
                Some(known) if hot && known.heard.elapsed() > HOT => {
                    unusable.push(known);
                    break None;
                }
                found => break found,
            }
        };
        drop(idle);
        unusable.into_iter().for_each(Known::close);
        found
    }

    /// One has died without a word: so may have all on which the server wasn't heard since.
    fn suspect(&self) {
        let mut idle = self.lock();
        let (hot, suspect) =
            std::mem::take(&mut idle.connections).into_iter().partition(|known| known.heard.elapsed() <= HOT);
        idle.connections = hot;
        drop(idle);
        suspect.into_iter().for_each(Known::close);
    }

    fn keep(self: &Arc<Self>, known: Known<D>) {
        let mut idle = self.lock();
        idle.connections.push(known);
        let is_swept = std::mem::replace(&mut idle.is_swept, true);
        // Spawned without the lock: a runtime that is ending drops the task here, which takes it.
        drop(idle);
        if !is_swept {
            let sweeping = Sweeping(Arc::downgrade(self));
            self.home.spawn(async move { while sweeping.sweep().await {} });
        }
    }

    /// One that has lain for long, but for what nobody may wait for.
    fn take_unheard(&self, limit: Duration) -> Option<Known<D>> {
        let mut idle = self.lock();
        let place = idle.connections.iter().position(|known| known.heard.elapsed() >= limit)?;
        Some(idle.connections.remove(place))
    }
}

/// The task that looks at idle connections. Dropped with its runtime, the next connection that is kept starts another.
struct Sweeping<D: Database>(Weak<Spares<D>>);

impl<D: Database> Sweeping<D> {
    /// Looks once: whether to look again.
    async fn sweep(&self) -> bool {
        sleep(SWEEP).await;
        let Some(spares) = self.0.upgrade() else { return false };
        let over = {
            let mut idle = spares.lock();
            let rules = spares.rules;
            let (over, rest): (Vec<_>, _) = std::mem::take(&mut idle.connections)
                .into_iter()
                .partition(|known| known.is_over(rules) || !known.is_usable());
            idle.connections = rest;
            idle.is_swept = !idle.connections.is_empty();
            over
        };
        for known in over {
            if known.is_usable() {
                drop(timeout(PING, known.conn.close()).await);
            } else {
                known.close();
            }
        }
        while let Some(limit) = spares.rules.ping_after
            // Where all are in use nobody has time to ask.
            && let Ok(_permit) = spares.permits.try_acquire()
            && let Some(mut known) = spares.take_unheard(limit)
        {
            if let Ok(Ok(())) = timeout(PING, known.conn.ping()).await {
                known.heard = Instant::now();
                // Where it was: those that were used last come last.
                spares.lock().connections.insert(0, known);
            } else {
                known.close();
                spares.suspect();
            }
        }
        spares.lock().is_swept
    }
}

impl<D: Database> Drop for Sweeping<D> {
    fn drop(&mut self) {
        if let Some(spares) = self.0.upgrade() {
            spares.lock().is_swept = false;
        }
    }
}

/// A connection of `pool`, or one that is spare; `fresh`, one that is known to be alive.
pub(in crate::store) async fn lend<'a, D: Database>(
    spares: Option<&'a Arc<Spares<D>>>,
    pool: &Pool<D>,
    fresh: bool,
) -> Result<Lent<'a, D>, SqlxError> {
    let Some(spares) = spares else {
        let conn = timeout(ACQUIRE, pool.acquire()).await.unwrap_or(Err(SqlxError::PoolTimedOut))?;
        return Ok(Lent { known: Some(Known::new(conn, None)), permit: None });
    };
    let lent = async {
        let permit = spares.permits.acquire().await.map_err(|_| SqlxError::PoolClosed)?;
        let known = match spares.take(fresh) {
            Some(known) => known,
            // One of a server has a socket, which ends with its runtime.
            None if spares.rules.ping_after.is_some() => {
                let place = spares.home.now();
                let pool = pool.clone();
                let conn = place.does(async move { pool.acquire().await }).await.unwrap_or_else(ended)?;
                Known::new(conn, Some(place))
            }
            None => Known::new(pool.acquire().await?, None),
        };
        Ok(Lent { known: Some(known), permit: Some((spares, permit)) })
    };
    // The limit is kept by the request's own runtime, which runs for certain; the store's may not.
    timeout(pool.options().get_acquire_timeout(), lent).await.unwrap_or(Err(SqlxError::PoolTimedOut))
}

/// The runtime in which a connection was being opened has ended: another one may be opened elsewhere.
fn ended<T>(_: Ended) -> Result<T, SqlxError> {
    Err(SqlxError::Io(std::io::ErrorKind::ConnectionAborted.into()))
}

impl<D: Database> Lent<'_, D> {
    fn known(&self) -> &Known<D> {
        self.known.as_ref().expect("a connection until it is handed on")
    }

    /// How long ago the server was heard on it; none where nobody keeps track of that.
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    pub(in crate::store) fn unheard_for(&self) -> Option<Duration> {
        self.permit.as_ref().map(|_| self.known().heard.elapsed())
    }

    /// The runtime in which it has to be used.
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    pub(in crate::store) fn place(&self) -> Option<Arc<Place>> {
        self.known().place.clone()
    }

    /// Lends it again soon: what it was asked for is done, and there is nothing open on it. A pool that isn't the store's own asks first
    /// whether it lives, within `limit`.
    pub(in crate::store) fn keep(mut self, limit: Duration) {
        let Some(mut known) = self.known.take() else { return };
        let now = Instant::now();
        (known.used, known.heard) = (now, now);
        match self.permit {
            Some((spares, _permit)) => spares.keep(known),
            None => give_back_to_pool(known.conn, limit),
        }
    }

    /// Closes it at once.
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    pub(in crate::store) fn close(mut self) {
        if let Some(known) = self.known.take() {
            known.close();
        }
    }

    /// Closes it, and all on which the server wasn't heard lately either: it has died without a word.
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    pub(in crate::store) fn suspect(mut self) {
        if let Some((spares, _)) = &self.permit {
            spares.suspect();
        }
        if let Some(known) = self.known.take() {
            known.close();
        }
    }

    /// Lends it again if it turns out to be alive: its last future was dropped.
    #[cfg(any(feature = "mysql", feature = "postgres"))]
    pub(in crate::store) fn give_back(mut self, limit: Duration) {
        let Some(mut known) = self.known.take() else { return };
        let Some((spares, permit)) = self.permit else { return give_back_to_pool(known.conn, limit) };
        // Until it is there or closed nobody else can have one instead.
        permit.forget();
        let (place, permit) = (known.place.clone(), Permit(Arc::clone(spares)));
        let asks = async move {
            if let Ok(Ok(())) = timeout(limit, known.conn.ping()).await {
                let now = Instant::now();
                (known.used, known.heard) = (now, now);
                permit.0.keep(known);
            } else {
                known.close();
            }
            drop(permit);
        };
        match place {
            Some(place) => place.spawn(asks),
            None => drop(asks),
        }
    }
}

/// The permit of a connection that is asked whether it lives.
#[cfg(any(feature = "mysql", feature = "postgres"))]
struct Permit<D: Database>(Arc<Spares<D>>);

#[cfg(any(feature = "mysql", feature = "postgres"))]
impl<D: Database> Drop for Permit<D> {
    fn drop(&mut self) {
        self.0.permits.add_permits(1);
    }
}

/// The pool asks first whether the connection lives. A server that has fallen silent would keep its place in the pool for as long as
/// the operating system keeps the connection, and in the end every place.
fn give_back_to_pool<D: Database>(mut conn: PoolConnection<D>, limit: Duration) {
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(async move { drop(timeout(limit, conn.return_to_pool()).await) });
    }
}

/// Perhaps after the last runtime, which the pool needs to take one back.
impl<D: Database> Drop for Idle<D> {
    fn drop(&mut self) {
        for known in self.connections.drain(..) {
            known.close();
        }
    }
}

impl<D: Database> Deref for Lent<'_, D> {
    type Target = PoolConnection<D>;

    fn deref(&self) -> &Self::Target {
        &self.known().conn
    }
}

impl<D: Database> DerefMut for Lent<'_, D> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.known.as_mut().expect("a connection until it is handed on").conn
    }
}
