//! What a scenario gets: a server of its own over fresh rows, with a clock, faults and gates that it decides on.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

use session_core::store::SessionStore;
use session_core::{
    CookieSessionService, KeyRing, ManualClock, MemoryStore, SessionConfig, SessionConfigBuilder, SigningKey,
};

use crate::BoxFuture;
use crate::adapter::{Adapter, Server};
use crate::app::App;
use crate::browser::{Browser, Site};
use crate::faulty::{Faults, FaultyStore};
use crate::gates::Gates;

/// A kind of store under test.
pub trait StoreKind: Send + Sync + 'static {
    /// Its name in those of its trials: ASCII without blanks and slashes, so that it can be typed as a filter.
    fn name(&self) -> &'static str;

    /// Rows that nobody else has.
    fn fresh(&self) -> BoxFuture<'static, Rows>;
}

/// Rows, as long as one of its clones or of its handles lives.
#[derive(Clone)]
pub struct Rows(Arc<dyn Fn() -> BoxFuture<'static, Arc<dyn SessionStore>> + Send + Sync>);

impl Rows {
    /// Rows on which `open` opens one more handle, as another node would.
    pub fn new<F>(open: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Arc<dyn SessionStore>> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(open())))
    }

    /// Rows of which this is the only handle, for stores that live in one process.
    pub fn shared(store: Arc<dyn SessionStore>) -> Self {
        Self::new(move || std::future::ready(Arc::clone(&store)))
    }

    /// One more handle.
    pub async fn open(&self) -> Arc<dyn SessionStore> {
        (self.0)().await
    }
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rows")
    }
}

/// The store in memory.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory;

impl StoreKind for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn fresh(&self) -> BoxFuture<'static, Rows> {
        Box::pin(std::future::ready(Rows::shared(Arc::new(MemoryStore::new()))))
    }
}

/// One server and what a scenario holds of it. A clone is the same world.
#[derive(Clone)]
pub struct World {
    /// The time, for all servers.
    pub clock: Arc<ManualClock>,
    /// What fails between this server and its store.
    pub faults: Arc<Faults>,
    /// The gates of this world's servers and of all nodes.
    pub gates: Gates,
    /// The service behind the server.
    pub service: CookieSessionService,
    /// The store, without its faults.
    pub store: Arc<dyn SessionStore>,
    /// The keys, which all nodes have.
    pub keys: KeyRing,
    /// How many rounds a race runs.
    pub rounds: usize,
    /// [`Adapter::drops_on_hang_up`].
    pub drops_on_hang_up: bool,
    events: Arc<Mutex<Vec<String>>>,
    config: SessionConfigBuilder,
    rows: Rows,
    serve: Serve,
    server: Arc<Server>,
    /// All servers of the worlds that come from one: those that share a store's connections stop together, as a process's do.
    servers: Servers,
}

type Servers = Arc<Mutex<Vec<Arc<Server>>>>;

/// Starts a server of an adapter.
type Serve = Arc<dyn Fn(App) -> BoxFuture<'static, Server> + Send + Sync>;

fn serving<A: Adapter>(adapter: Arc<A>) -> Serve {
    Arc::new(move |app| {
        let adapter = Arc::clone(&adapter);
        Box::pin(async move { adapter.serve(app).await })
    })
}

impl World {
    /// A world with the default configuration.
    pub async fn new<A: Adapter>(adapter: Arc<A>, rows: Rows) -> Self {
        let drops_on_hang_up = adapter.drops_on_hang_up();
        let serve = serving(adapter);
        let store = rows.open().await;
        Parts {
            clock: Arc::default(),
            faults: Arc::default(),
            gates: Gates::default(),
            store,
            keys: KeyRing::new(SigningKey::from_bytes(&[42; 32]).expect("32 bytes")),
            events: Arc::default(),
            config: SessionConfig::builder(),
            rows,
            serve,
            drops_on_hang_up,
            servers: Servers::default(),
        }
        .start()
        .await
    }

    /// One more server on the same store, with a changed configuration. Faults, gates and events are shared.
    ///
    /// # Panics
    /// If the configuration is refused.
    pub async fn with_config(&self, change: impl FnOnce(SessionConfigBuilder) -> SessionConfigBuilder) -> Self {
        let config = change(self.config.clone());
        Parts { config, ..self.parts() }.start().await
    }

    /// One more server on the same store, with other keys. Faults, gates and events are shared.
    pub async fn with_keys(&self, keys: KeyRing) -> Self {
        Parts { keys, ..self.parts() }.start().await
    }

    /// One more server over its own handle on the same rows, with its own faults and events, as another process has.
    pub async fn node(&self) -> Self {
        let store = self.rows.open().await;
        Parts { store, faults: Arc::default(), events: Arc::default(), ..self.parts() }.start().await
    }

    /// One more server, of another adapter, over its own handle on the same rows, with its own faults and events.
    pub async fn beside<A: Adapter>(&self, adapter: Arc<A>) -> Self {
        let store = self.rows.open().await;
        let drops_on_hang_up = adapter.drops_on_hang_up();
        let serve = serving(adapter);
        Parts { store, serve, drops_on_hang_up, faults: Arc::default(), events: Arc::default(), ..self.parts() }
            .start()
            .await
    }

    /// A new browser.
    pub fn browser(&self) -> Browser {
        Browser::at(self)
    }

    /// The events that were observed since the last call, as their `Debug` shows them.
    pub fn events(&self) -> Vec<String> {
        std::mem::take(&mut *self.events.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The most sessions that a user has by default.
    pub const LIMIT: NonZeroU32 = NonZeroU32::new(10).expect("not zero");

    fn parts(&self) -> Parts {
        Parts {
            clock: Arc::clone(&self.clock),
            faults: Arc::clone(&self.faults),
            gates: self.gates.clone(),
            store: Arc::clone(&self.store),
            keys: self.keys.clone(),
            events: Arc::clone(&self.events),
            config: self.config.clone(),
            rows: self.rows.clone(),
            serve: Arc::clone(&self.serve),
            drops_on_hang_up: self.drops_on_hang_up,
            servers: Arc::clone(&self.servers),
        }
    }
}

impl Site for World {
    fn server(&self) -> Arc<Server> {
        Arc::clone(&self.server)
    }

    fn cookie_name(&self) -> String {
        self.service.config().cookie_name().to_owned()
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("server", &self.server).field("store", &self.store).finish_non_exhaustive()
    }
}

/// What a server is made of.
struct Parts {
    clock: Arc<ManualClock>,
    faults: Arc<Faults>,
    gates: Gates,
    store: Arc<dyn SessionStore>,
    keys: KeyRing,
    events: Arc<Mutex<Vec<String>>>,
    config: SessionConfigBuilder,
    rows: Rows,
    serve: Serve,
    drops_on_hang_up: bool,
    servers: Servers,
}

impl Parts {
    async fn start(self) -> World {
        let Self { clock, faults, gates, store, keys, events, config, rows, serve, drops_on_hang_up, servers } = self;
        let checked = config.clone().build(keys.clone()).expect("a configuration that is accepted");
        let faulty = FaultyStore::new(Arc::clone(&store), Arc::clone(&faults));
        let observed = Arc::clone(&events);
        let service =
            CookieSessionService::new(faulty, checked).with_clock(Arc::clone(&clock)).with_observer(move |event| {
                observed.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{event:?}"));
            });
        let other = SessionConfig::builder().cookie_name("__Host-other").build(keys.clone()).expect("a valid name");
        let second = CookieSessionService::new(MemoryStore::new(), other).with_clock(Arc::clone(&clock));
        let app = App { service: service.clone(), second, gates: gates.clone() };
        let server = Arc::new(serve(app).await);
        servers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&server));
        World {
            clock,
            faults,
            gates,
            service,
            store,
            keys,
            rounds: crate::race_rounds(),
            drops_on_hang_up,
            events,
            config,
            rows,
            serve,
            server,
            servers,
        }
    }
}
