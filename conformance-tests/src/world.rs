//! What a scenario gets: a server of its own over fresh rows, and control of its clock, its faults
//! and its gates.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use session_core::store::SessionStore;
use session_core::{
    CookieSessionService, Device, KeyRing, ManualClock, MemoryStore, SessionConfig, SessionConfigBuilder, SigningKey,
};

use crate::BoxFuture;
use crate::adapter::{Adapter, Server};
use crate::app::App;
use crate::browser::{Browser, Site};
use crate::faulty::{Faults, FaultyStore};
use crate::gates::Gates;

/// How long a store under test waits for its server: longer than the default, so that no trial
/// depends on a quick machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A kind of store under test.
pub trait StoreKind: Send + Sync + 'static {
    /// Its name, which is part of its trials' names: ASCII without blanks and slashes, so that it
    /// can be typed as a filter.
    fn name(&self) -> &'static str;

    /// Rows that no other trial uses.
    fn fresh(&self) -> BoxFuture<'static, Rows>;
}

/// Rows that exist as long as a clone of this or a handle on them.
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

    /// Rows with this one handle, for a store that lives in one process.
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

/// One server, and what a scenario controls of it. A clone is the same world.
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
    device_parser: Option<DeviceParser>,
    serve: Serve,
    server: Arc<Server>,
    /// All servers of the worlds that were made from one. Those that share a store's connections
    /// stop together, as the servers of one process do.
    servers: Servers,
}

type Servers = Arc<Mutex<Vec<Arc<Server>>>>;

/// What names devices.
type DeviceParser = Arc<dyn Fn(&str) -> Device + Send + Sync>;

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
            device_parser: None,
            serve,
            drops_on_hang_up,
            servers: Servers::default(),
        }
        .start()
        .await
    }

    /// One more server on the same store, with a changed configuration. They share faults, gates
    /// and events.
    ///
    /// # Panics
    /// If the configuration is refused.
    pub async fn with_config(&self, change: impl FnOnce(SessionConfigBuilder) -> SessionConfigBuilder) -> Self {
        let config = change(self.config.clone());
        Parts { config, ..self.parts() }.start().await
    }

    /// One more server on the same store, with other keys. They share faults, gates and events.
    pub async fn with_keys(&self, keys: KeyRing) -> Self {
        Parts { keys, ..self.parts() }.start().await
    }

    /// One more server, on a store in front of the same one. They share faults, gates and events.
    pub async fn with_store<S: SessionStore>(&self, wrap: impl FnOnce(Arc<dyn SessionStore>) -> S) -> Self {
        let store: Arc<dyn SessionStore> = Arc::new(wrap(Arc::clone(&self.store)));
        Parts { store, ..self.parts() }.start().await
    }

    /// One more server on the same store, with a parser of the application's for devices. They
    /// share faults, gates and events.
    pub async fn with_device_parser(&self, parser: impl Fn(&str) -> Device + Send + Sync + 'static) -> Self {
        Parts { device_parser: Some(Arc::new(parser)), ..self.parts() }.start().await
    }

    /// One more server with its own handle on the same rows, its own faults and its own events:
    /// another process.
    pub async fn node(&self) -> Self {
        let store = self.rows.open().await;
        Parts { store, faults: Arc::default(), events: Arc::default(), ..self.parts() }.start().await
    }

    /// The same, of another adapter.
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

    /// The events since the last call, as `Debug` shows them.
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
            device_parser: self.device_parser.clone(),
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
    device_parser: Option<DeviceParser>,
    serve: Serve,
    drops_on_hang_up: bool,
    servers: Servers,
}

impl Parts {
    async fn start(self) -> World {
        let Self {
            clock,
            faults,
            gates,
            store,
            keys,
            events,
            config,
            rows,
            device_parser,
            serve,
            drops_on_hang_up,
            servers,
        } = self;
        let checked = config.clone().build(keys.clone()).expect("a configuration that is accepted");
        let faulty = FaultyStore::new(Arc::clone(&store), Arc::clone(&faults));
        let observed = Arc::clone(&events);
        let service =
            CookieSessionService::new(faulty, checked).with_clock(Arc::clone(&clock)).with_observer(move |event| {
                observed.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{event:?}"));
            });
        let mut service = service.with_admission(App::admit);
        if let Some(parser) = device_parser.clone() {
            service = service.with_device_parser(move |user_agent| parser(user_agent));
        }
        let other = SessionConfig::builder().cookie_name("__Host-other").build(keys.clone()).expect("a valid name");
        let second = CookieSessionService::new(MemoryStore::new(), other).with_clock(Arc::clone(&clock));
        let app = App { service: service.clone(), second, gates: gates.clone(), loads: Arc::default() };
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
            device_parser,
            serve,
            server,
            servers,
        }
    }
}
