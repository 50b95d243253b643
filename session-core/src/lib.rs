//! Server-side, signed-in sessions, without a web framework: tokens, cookies, expiry, values and stores.
//!
//! Most people want an adapter for their framework, `session-axum` or `session-actix`; it shows the same types with the same
//! methods. This crate is for whoever binds another framework or writes a store. It opens no socket of its own outside
//! [`store`], and leaves requests and responses to the adapter: see [`adapter`].

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
mod service;
pub mod store;
mod transport;
mod values;

pub use clock::{Clock, ManualClock, SystemClock};
pub use config::{FingerprintChange, SessionConfig, SessionConfigBuilder};
pub use error::{ConfigError, DataError, Error, KeyError, Result, StoreError, UserIdError};
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
pub use request::handle::CookieSession;
pub use service::CookieSessionService;
pub use service::cleanup::CleanupTask;
#[allow(unused_imports, unreachable_pub, reason = "without features there is none")]
pub use store::databases::*;
pub use store::{MemoryStore, SessionStore};
pub use transport::cookie::SameSite;

/// What the exported macros name; no part of the API.
#[doc(hidden)]
pub mod __private {
    pub use crate::model::snapshot::rfc3339;
    pub use serde::de::DeserializeOwned;
    pub use serde::ser::{Serialize, SerializeStruct, Serializer};
    pub use serde_json::Value;
    pub use time::OffsetDateTime;
}
