//! The nouns: a session's id, the stored row, and the read-only snapshot that handlers see.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};
use time::{OffsetDateTime, UtcOffset};
use uuid::Uuid;

use crate::model::standing::Standing;
use crate::model::token::{SealedToken, TokenHash};
use crate::model::user_id::UserId;

/// Which session: a UUID of version 7, public, of no use as a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(Uuid);

impl SessionId {
    pub(crate) fn new(now: OffsetDateTime) -> Self {
        let seconds = u64::try_from(now.unix_timestamp()).unwrap_or(0);
        Self(Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, now.nanosecond())))
    }

    /// The id of these 16 bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The id's 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Reads the hyphenated lower-case spelling, the one that `Display` writes, and no other.
impl FromStr for SessionId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = Self(Uuid::try_parse(text)?);
        if id.to_string() == text { Ok(id) } else { Err(Uuid::try_parse("").unwrap_err()) }
    }
}

/// A session's data: a JSON object, as text, decoded when first read. Clones share both.
#[derive(Clone)]
pub struct Data(Arc<Shared>);

struct Shared {
    text: Cow<'static, str>,
    decoded: Mutex<Option<Decoded>>,
}

/// The values, or `None` where the text isn't a JSON object.
type Decoded = Option<Arc<Map<String, Value>>>;

impl Data {
    /// Data as a store gives it back. It is checked when it is first read.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self::of(Cow::Owned(text.into()), None)
    }

    /// No values.
    pub(crate) fn empty() -> Self {
        Self::of(Cow::Borrowed("{}"), None)
    }

    /// The JSON text, for a store to keep exactly.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    pub(crate) fn encode(values: Arc<Map<String, Value>>) -> Self {
        let text = serde_json::to_string(&*values).expect("a JSON map with text keys can be written");
        Self::of(Cow::Owned(text), Some(Some(values)))
    }

    /// The values, or `None` if the text isn't a JSON object.
    pub(crate) fn values(&self) -> Option<Arc<Map<String, Value>>> {
        self.decoded().get_or_insert_with(|| serde_json::from_str(self.text()).ok().map(Arc::new)).clone()
    }

    /// Leaves the values to who has them: read here again, they are decoded anew.
    pub(crate) fn forget_values(&self) {
        drop(self.decoded().take());
    }

    fn of(text: Cow<'static, str>, decoded: Option<Decoded>) -> Self {
        Self(Arc::new(Shared { text, decoded: Mutex::new(decoded) }))
    }

    fn decoded(&self) -> MutexGuard<'_, Option<Decoded>> {
        self.0.decoded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Equal text.
impl PartialEq for Data {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Data {}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Data({} bytes)", self.text().len())
    }
}

/// A session's row, as stores keep it. All times are UTC in whole microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Which session.
    pub id: SessionId,
    /// Whose.
    pub user_id: UserId,
    /// The hash of the current token.
    pub token_hash: TokenHash,
    /// The hash of the token that the current one replaced.
    pub previous_token_hash: Option<TokenHash>,
    /// When the current token was issued: later than the one before, whatever the clocks say.
    pub token_issued_at: OffsetDateTime,
    /// Whether a request has presented the current token, so that the browser has it. Of no meaning without a previous one.
    pub token_seen: bool,
    /// The current token, for its predecessor alone to open, until it was presented.
    pub successor: Option<SealedToken>,
    /// When the token was last replaced by one that is no token's successor, so that all before it died at once.
    pub strict_rotated_at: Option<OffsetDateTime>,
    /// Who signed in. It never changes, so copies of a row share it.
    pub client: Arc<ClientInfo>,
    /// The session's values.
    pub data: Data,
    /// Which version of `data` it is: each change of it makes another one.
    pub version: i64,
    /// Whether the cookie outlives the browser session.
    pub persistent: bool,
    /// When the row was made.
    pub created_at: OffsetDateTime,
    /// When the user last proved who they are.
    pub authenticated_at: OffsetDateTime,
    /// The last recorded activity.
    pub last_active_at: OffsetDateTime,
    /// The earlier of the idle and the absolute end.
    pub expires_at: OffsetDateTime,
    /// The end that no activity moves.
    pub absolute_expires_at: OffsetDateTime,
}

/// What is recorded of the client at sign-in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientInfo {
    /// The client's address, or empty.
    pub ip_address: String,
    /// `User-Agent`, or empty.
    pub user_agent: String,
    /// Such as `Firefox on Linux`, or empty.
    pub device_name: String,
    /// `desktop`, `mobile`, `tablet` or `bot`, or empty.
    pub device_type: String,
    /// OS family and browser family, or empty.
    pub fingerprint: String,
}

impl Record {
    /// Whether a row is live at `now`.
    pub fn is_live(&self, now: OffsetDateTime) -> bool {
        self.expires_at > now
    }

    /// Whether `token` counts at `now`: it is the row's own; or its previous one, and the current one was not presented yet, or
    /// was issued less than `grace` ago.
    pub fn accepts(&self, token: &TokenHash, now: OffsetDateTime, grace: Duration) -> bool {
        Standing::of(token, self, now, grace) != Standing::Dead
    }
}

/// Defines the `Session` snapshot, once for the core and once for each adapter, so that each can implement its
/// framework's traits for it.
#[doc(hidden)]
#[macro_export]
macro_rules! __session_type {
    () => {
        /// A read-only snapshot of one session. It never holds a token or its hash.
        ///
        /// Serialises with times as RFC 3339 text in UTC. `Debug` leaves out `data`.
        #[derive(Clone, PartialEq)]
        #[non_exhaustive]
        pub struct Session {
            /// Which session: for lists and revoking, of no use as a token.
            pub id: String,
            /// Whose session it is.
            pub user_id: String,
            /// The client's address at sign-in; empty if unknown.
            pub ip_address: String,
            /// `User-Agent` at sign-in, cut to 512 bytes; empty if unknown.
            pub user_agent: String,
            /// Such as `Firefox on Linux`; empty if unknown.
            pub device_name: String,
            /// `desktop`, `mobile`, `tablet` or `bot`; empty if unknown.
            pub device_type: String,
            /// OS family and browser family at sign-in, without versions; empty if unknown.
            pub fingerprint: String,
            /// The session's values: a JSON object. `null` for any session but the request's own, as in a list.
            pub data: $crate::__private::Value,
            /// When the session was made.
            pub created_at: $crate::__private::OffsetDateTime,
            /// The last recorded activity.
            pub last_active_at: $crate::__private::OffsetDateTime,
            /// When the user last proved who they are.
            pub authenticated_at: $crate::__private::OffsetDateTime,
            /// When the session ends unless there is activity.
            pub expires_at: $crate::__private::OffsetDateTime,
        }

        impl ::std::fmt::Debug for Session {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.debug_struct("Session")
                    .field("id", &self.id)
                    .field("user_id", &self.user_id)
                    .field("ip_address", &self.ip_address)
                    .field("user_agent", &self.user_agent)
                    .field("device_name", &self.device_name)
                    .field("device_type", &self.device_type)
                    .field("fingerprint", &self.fingerprint)
                    .field("created_at", &self.created_at)
                    .field("last_active_at", &self.last_active_at)
                    .field("authenticated_at", &self.authenticated_at)
                    .field("expires_at", &self.expires_at)
                    .finish_non_exhaustive()
            }
        }

        impl $crate::__private::Serialize for Session {
            fn serialize<S: $crate::__private::Serializer>(
                &self,
                serializer: S,
            ) -> ::std::result::Result<S::Ok, S::Error> {
                use $crate::__private::{SerializeStruct, rfc3339};
                let mut out = serializer.serialize_struct("Session", 12)?;
                out.serialize_field("id", &self.id)?;
                out.serialize_field("user_id", &self.user_id)?;
                out.serialize_field("ip_address", &self.ip_address)?;
                out.serialize_field("user_agent", &self.user_agent)?;
                out.serialize_field("device_name", &self.device_name)?;
                out.serialize_field("device_type", &self.device_type)?;
                out.serialize_field("fingerprint", &self.fingerprint)?;
                out.serialize_field("data", &self.data)?;
                out.serialize_field("created_at", &rfc3339(self.created_at)?)?;
                out.serialize_field("last_active_at", &rfc3339(self.last_active_at)?)?;
                out.serialize_field("authenticated_at", &rfc3339(self.authenticated_at)?)?;
                out.serialize_field("expires_at", &rfc3339(self.expires_at)?)?;
                out.end()
            }
        }
    };
}

crate::__session_type!();

impl Session {
    /// The snapshot of `record`, showing `values` as its data.
    pub(crate) fn of(record: &Record, values: Value) -> Self {
        Self {
            id: record.id.to_string(),
            user_id: record.user_id.as_str().to_owned(),
            ip_address: record.client.ip_address.clone(),
            user_agent: record.client.user_agent.clone(),
            device_name: record.client.device_name.clone(),
            device_type: record.client.device_type.clone(),
            fingerprint: record.client.fingerprint.clone(),
            data: values,
            created_at: record.created_at,
            last_active_at: record.last_active_at,
            authenticated_at: record.authenticated_at,
            expires_at: record.expires_at,
        }
    }
}

#[doc(hidden)]
pub fn rfc3339<E: serde::ser::Error>(at: OffsetDateTime) -> Result<String, E> {
    at.to_offset(UtcOffset::UTC).format(&time::format_description::well_known::Rfc3339).map_err(E::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_id_has_one_spelling() {
        let id = SessionId::new(OffsetDateTime::UNIX_EPOCH);
        assert_eq!(id.to_string().parse::<SessionId>().unwrap(), id);
        assert!(id.to_string().to_uppercase().parse::<SessionId>().is_err());
        assert!(id.to_string().replace('-', "").parse::<SessionId>().is_err());
        assert!("".parse::<SessionId>().is_err());
    }
}
