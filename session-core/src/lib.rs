//! Server-side sessions, of signed-in users and of visitors, without a web framework: tokens,
//! cookies, expiry, values and stores.
//!
//! Most people want an adapter for their framework, `session-axum` or `session-actix`; it shows the
//! same types with the same methods. This crate is for binding another framework and for writing a
//! store. It opens no socket of its own outside [`store`], and leaves requests and responses to the
//! adapter: see [`adapter`].

pub mod adapter;
mod client;
mod clock;
mod config;
mod error;
mod keys;
mod model;
mod observe;
mod policy;
mod request;
#[doc = include_str!("security.md")]
pub mod security {}
mod service;
mod setting;
pub mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod transport;
mod values;
mod visitor;

pub use adapter::csrf::CsrfToken;
pub use adapter::flash::Flash;
pub use adapter::require_sign_in::RequireSignIn;
pub use client::device::Device;
pub use clock::{Clock, ManualClock, SystemClock};
pub use config::{FingerprintChange, Preset, SessionConfig, SessionConfigBuilder, TokenReuse};
pub use error::{ConfigError, DataError, EncodeError, Error, ErrorResponse, KeyError, Result, StoreError, UserIdError};
pub use ipnet::IpNet;
pub use keys::{KeyRing, MAX_VERIFY_KEYS, MIN_KEY_BYTES, SigningKey};
pub use model::data::Data;
pub use model::record::{ClientInfo, Record};
pub use model::session_id::SessionId;
pub use model::sign_in::SignIn;
pub use model::snapshot::Session;
pub use model::token::{SealedToken, TokenHash, TokenRef};
pub use model::user_id::{Shard, UserId};
pub use observe::event::Event;
pub use policy::answer::{Answer, Incoming};
pub use policy::cross_origin::CrossOrigin;
pub use policy::next::{MAX_NEXT_BYTES, Next, NextError};
#[cfg(feature = "redis")]
pub use redis;
pub use request::handle::CookieSession;
pub use service::CookieSessionService;
pub use service::cleanup::CleanupTask;
#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite-unbundled"))]
pub use sqlx;
// By name, and not by a glob, so that the compiler says which feature a missing one needs.
#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite-unbundled"))]
pub use store::databases::DriverError;
#[cfg(feature = "encryption")]
pub use store::databases::Encrypted;
#[cfg(feature = "sqlite-unbundled")]
pub use store::databases::{LocationFault, SqliteOpenError, SqliteOptions, SqliteStore};
#[cfg(feature = "mysql")]
pub use store::databases::{MySqlOptions, MySqlStore};
#[cfg(feature = "postgres")]
pub use store::databases::{PostgresOptions, PostgresStore};
#[cfg(feature = "redis")]
pub use store::databases::{RedisDriverError, RedisOpenError, RedisOptions, RedisStore, RedisUrlFault};
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub use store::databases::{ServerOpenError, ServerOptions, ServerStore, UrlFault};
pub use store::{MemoryStore, SessionStore};
pub use transport::cookie::SameSite;
pub use visitor::Visitors;
pub use visitor::flash::{FlashLevel, FlashMessage};

/// What the exported macros name; no part of the API.
#[doc(hidden)]
pub mod __private {
    pub use crate::error::as_response;
    pub use crate::model::snapshot::rfc3339;
    pub use crate::request::handle::{example, visiting};
    pub use serde::de::DeserializeOwned;
    pub use serde::ser::{Serialize, SerializeStruct, Serializer};
    pub use serde_json::Value;
    pub use time::OffsetDateTime;
}
