//! Server-side, signed-in sessions, without a web framework: tokens, cookies, expiry, values and stores.
//!
//! Most people want an adapter for their framework, `session-axum` or `session-actix`; it shows the same types with the same
//! methods. This crate is for whoever binds another framework or writes a store. It opens no socket of its own outside
//! [`store`], and leaves requests and responses to the adapter: see [`adapter`].

pub mod adapter;
mod changes;
mod cleanup;
mod client;
mod clock;
mod config;
mod cookie;
mod cookie_session;
mod data;
mod error;
mod event;
mod expiry;
mod keys;
mod policy;
mod request;
mod service;
mod session;
mod sign_in;
mod standing;
mod state;
pub mod store;
mod token;
mod turns;
mod user_id;
mod values;
mod version;

pub use cleanup::CleanupTask;
pub use clock::{Clock, ManualClock, SystemClock};
pub use config::{FingerprintChange, SessionConfig, SessionConfigBuilder};
pub use cookie::SameSite;
pub use cookie_session::CookieSession;
pub use error::{ConfigError, DataError, Error, KeyError, Result, StoreError, UserIdError};
pub use event::Event;
pub use ipnet::IpNet;
pub use keys::{KeyRing, MAX_VERIFY_KEYS, MIN_KEY_BYTES, SigningKey};
pub use service::CookieSessionService;
pub use session::{ClientInfo, Data, Record, Session, SessionId};
pub use sign_in::SignIn;
#[allow(unused_imports, unreachable_pub, reason = "without features there is none")]
pub use store::databases::*;
pub use store::{MemoryStore, SessionStore};
pub use token::{SealedToken, TokenHash, TokenRef};
pub use user_id::{Shard, UserId};

/// What the exported macros name; no part of the API.
#[doc(hidden)]
pub mod __private {
    pub use crate::session::rfc3339;
    pub use serde::de::DeserializeOwned;
    pub use serde::ser::{Serialize, SerializeStruct, Serializer};
    pub use serde_json::Value;
    pub use time::OffsetDateTime;
}
