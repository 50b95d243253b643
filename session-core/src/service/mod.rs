//! What an application builds once: store, configuration and clock. Not here: one request's
//! session, see `request`.

pub(crate) mod cleanup;

use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use time::OffsetDateTime;

use crate::client::device::Device;
use crate::client::device_rules::DeviceRules;
use crate::clock::{Clock, SystemClock};
use crate::config::SessionConfig;
use crate::error::{Error, Result, StoreError};
use crate::model::record::Record;
use crate::model::session_id::SessionId;
use crate::model::snapshot::Session;
use crate::model::standing::Standing;
use crate::model::user_id::UserId;
use crate::observe::event::Event;
use crate::observe::reported_clients::ReportedClients;
use crate::policy::answer::{Answer, Incoming};
use crate::policy::rotation::lowered;
use crate::store::write_queues::WriteQueues;
use crate::store::{Caller, Checked, SessionStore};

/// Sessions over one store under one configuration. A clone is the same service.
///
/// ```
/// use session_core::{CookieSessionService, KeyRing, MemoryStore, SessionConfig, SigningKey};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32])?);
/// let config = SessionConfig::builder().build(keys)?;
/// let service = CookieSessionService::new(MemoryStore::new(), config);
/// assert_eq!(service.config().cookie_name(), "__Host-session");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct CookieSessionService(pub(crate) Arc<Shared>);

/// The application's function that is called with each event.
type Observer = dyn Fn(&Event) + Send + Sync;

/// The application's function that admits requests to their handlers, or answers them.
type Admission = dyn Fn(&Incoming<'_>) -> Result<(), Answer> + Send + Sync;

#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn SessionStore>,
    pub(crate) config: SessionConfig,
    /// How many bytes of data the store can keep.
    pub(crate) most_data: usize,
    pub(crate) write_queues: Arc<WriteQueues<SessionId>>,
    pub(crate) device_rules: DeviceRules,
    pub(crate) changed_clients: Arc<ReportedClients>,
    pub(crate) reused_tokens: Arc<ReportedClients>,
    clock: Arc<dyn Clock>,
    observer: Option<Arc<Observer>>,
    pub(crate) admission: Option<Arc<Admission>>,
}

impl CookieSessionService {
    /// A service over `store`. Where the store can keep less data than `max_data_bytes` allows,
    /// what it can keep is the limit, and a warning says so.
    pub fn new(store: impl SessionStore, mut config: SessionConfig) -> Self {
        let most_data = store.max_data_bytes().unwrap_or(usize::MAX);
        if most_data < config.max_data_bytes {
            tracing::warn!(
                configured = config.max_data_bytes,
                limit = most_data,
                "the store can't keep as much data in a session as `max_data_bytes` allows: its own limit holds. Raise that of \
                 the database, such as `max_allowed_packet`, or lower the setting"
            );
            config.max_data_bytes = most_data;
        }
        if let Some(visitors) = &mut config.visitors {
            visitors.max_data_bytes = visitors.max_data_bytes.min(most_data);
        }
        let (store, clock, write_queues) = (Arc::new(store), Arc::new(SystemClock), WriteQueues::new(1));
        Self(Arc::new(Shared {
            store,
            config,
            most_data,
            write_queues,
            device_rules: DeviceRules::default(),
            changed_clients: Arc::default(),
            reused_tokens: Arc::default(),
            clock,
            observer: None,
            admission: None,
        }))
    }

    /// The same with another clock, for tests. Call it before handing out clones, as those keep the
    /// old clock.
    #[must_use]
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        Arc::make_mut(&mut self.0).clock = Arc::new(clock);
        self
    }

    /// The same with a function that is called with each [`Event`], besides `tracing`. Call it
    /// before handing out clones.
    #[must_use]
    pub fn with_observer(mut self, observer: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.0).observer = Some(Arc::new(observer));
        self
    }

    /// The same with a function that each request inside a layer is shown before its handler: an
    /// [`Answer`] takes the handler's place. The session isn't loaded for it. Call it before
    /// handing out clones.
    ///
    /// ```
    /// use session_core::{Answer, CookieSessionService, MemoryStore};
    /// # use session_core::{KeyRing, SessionConfig, SigningKey};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32])?);
    /// # let config = SessionConfig::builder().build(keys)?;
    /// let service = CookieSessionService::new(MemoryStore::new(), config).with_admission(|head| {
    ///     if head.method() == "TRACE" { Err(Answer::new(405)) } else { Ok(()) }
    /// });
    ///
    /// # #[cfg(feature = "http")] {
    /// let request = http::Request::trace("/").body(())?;
    /// assert_eq!(service.begin(None).admit(&request).unwrap().status(), 405);
    /// # }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_admission(
        mut self,
        admission: impl Fn(&Incoming<'_>) -> Result<(), Answer> + Send + Sync + 'static,
    ) -> Self {
        Arc::make_mut(&mut self.0).admission = Some(Arc::new(admission));
        self
    }

    /// The same with a function of the application's that names devices, in place of
    /// [`Device::parse`]: at each sign-in, and where the `User-Agent` of a request isn't the
    /// sign-in's, for both of them. A [change](crate::FingerprintChange) is what differs in `os` or
    /// `browser`, so leave versions out of them.
    ///
    /// It gets at most 512 bytes without control characters, and is never called without a
    /// `User-Agent`. It runs in the request and mustn't block. Of `name` and `kind`, 100 bytes are
    /// kept, and control characters are replaced. The stored fingerprint stays the library's. Call
    /// it before handing out clones.
    ///
    /// ```
    /// use session_core::{CookieSessionService, Device, MemoryStore};
    /// # use session_core::{KeyRing, SessionConfig, SigningKey};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32])?);
    /// # let config = SessionConfig::builder().build(keys)?;
    /// fn our_devices(user_agent: &str) -> Device {
    ///     let mut device = Device::parse(user_agent);
    ///     if user_agent.starts_with("AcmeTill/") {
    ///         (device.name, device.kind) = ("Till".into(), "till".into());
    ///         device.browser = "AcmeTill".into();
    ///     }
    ///     device
    /// }
    ///
    /// let service = CookieSessionService::new(MemoryStore::new(), config);
    /// let service = service.with_device_parser(our_devices);
    /// assert_eq!(our_devices("AcmeTill/7 (Linux)").name, "Till");
    /// assert_eq!(our_devices("Mozilla/5.0 (X11; Linux) Firefox/141.0").name, "Firefox on Linux");
    /// # drop(service);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_device_parser(mut self, parser: impl Fn(&str) -> Device + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.0).device_rules = DeviceRules::of(parser);
        self
    }

    /// The configuration.
    pub fn config(&self) -> &SessionConfig {
        &self.0.config
    }

    /// The live sessions of any user: most recently active first, ties by newest sign-in. The
    /// `data` of each is `null`.
    ///
    /// # Errors
    /// [`Error::UserId`], or [`Error::Store`].
    pub async fn list(&self, user_id: &str) -> Result<Vec<Session>> {
        let user = UserId::of_user(user_id)?;
        let records = self.0.store.list(&user, None, self.0.now()).await;
        Ok(self.0.sessions(&self.0.unchecked(records)?, None))
    }

    /// Ends one session of any user.
    ///
    /// # Errors
    /// [`Error::UnknownSession`] if that user has no live session of that id, [`Error::UserId`],
    /// [`Error::Store`].
    pub async fn revoke_by_id(&self, user_id: &str, id: &str) -> Result<()> {
        let user = UserId::of_user(user_id)?;
        let id: SessionId = id.parse().map_err(|_| Error::UnknownSession)?;
        let ended = self.0.store.end(&user, id, None, self.0.now()).await;
        if self.0.unchecked(ended)? { Ok(()) } else { Err(Error::UnknownSession) }
    }

    /// Ends all sessions of any user.
    ///
    /// # Errors
    /// [`Error::UserId`], or [`Error::Store`].
    pub async fn revoke_all(&self, user_id: &str) -> Result<()> {
        self.end_all(&UserId::of_user(user_id)?, None).await
    }

    /// Ends all sessions of any user but one; a `keep_id` that isn't that user's keeps nothing.
    ///
    /// # Errors
    /// [`Error::UserId`], or [`Error::Store`].
    pub async fn revoke_all_except(&self, user_id: &str, keep_id: &str) -> Result<()> {
        self.end_all(&UserId::of_user(user_id)?, keep_id.parse().ok()).await
    }

    async fn end_all(&self, user: &UserId, except: Option<SessionId>) -> Result<()> {
        let ended = self.0.store.end_all(user, except, None, self.0.now()).await;
        self.0.unchecked(ended).map(drop)
    }
}

impl fmt::Debug for CookieSessionService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieSessionService")
            .field("store", &self.0.store)
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// The clock's time in whole microseconds, which is what every store keeps.
    pub(crate) fn now(&self) -> OffsetDateTime {
        let now = self.clock.now().to_offset(time::UtcOffset::UTC);
        now.replace_nanosecond(now.nanosecond() / 1000 * 1000).expect("rounding down stays in range")
    }

    /// Whether [`now`](Self::now) is the operating system's time.
    pub(crate) fn has_system_clock(&self) -> bool {
        self.clock.is_system()
    }

    pub(crate) fn emit(&self, event: &Event) {
        event.trace();
        if let Some(observer) = &self.observer {
            observer(event);
        }
    }

    /// Reports a store error on its way to the caller.
    pub(crate) fn failed(&self, error: StoreError) -> Error {
        self.emit(&match error.clone() {
            StoreError::Corrupt { id, what } => Event::Corrupt { id, what },
            error @ (StoreError::NotApplied(_) | StoreError::Unknown(_)) => Event::StoreFailed { error },
        });
        error.into()
    }

    /// The result of an operation that named no caller.
    pub(crate) fn unchecked<T>(&self, result: std::result::Result<Checked<T>, StoreError>) -> Result<T> {
        match result.map_err(|error| self.failed(error))? {
            Checked::Live(value) => Ok(value),
            Checked::CallerGone => Err(StoreError::not_applied("the store checked a caller that was not named").into()),
        }
    }

    /// The snapshots of `records`. Only the session that asks shows its data, as a stolen device
    /// must not read what the others keep; and it sees itself as its token may.
    pub(crate) fn sessions(&self, records: &[Arc<Record>], own: Option<&Caller>) -> Vec<Session> {
        let snapshot = |record: &Arc<Record>| match own.filter(|own| own.id == record.id) {
            Some(own) => {
                let standing = Standing::of(&own.token, record, self.now(), own.grace);
                Session::of(&lowered(Arc::clone(record), standing), self.values(record))
            }
            None => Session::of(record, Value::Null),
        };
        records.iter().map(snapshot).collect()
    }

    /// The data of `record`; `null` where it can't be decoded, so that the session can still be
    /// revoked.
    fn values(&self, record: &Record) -> Value {
        match record.data.values() {
            Some(values) => Value::Object((*values).clone()),
            None => {
                self.emit(&Event::Corrupt { id: Some(record.id), what: "data" });
                Value::Null
            }
        }
    }
}
