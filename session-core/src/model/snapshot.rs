//! The read-only snapshot of a session that handlers see.

use serde_json::Value;
use time::{OffsetDateTime, UtcOffset};

use super::record::Record;

/// Defines the `Session` snapshot, once for the core and once for each adapter, so that each can
/// implement its framework's traits for it.
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
            /// Which session: for lists and revoking. It is useless as a token.
            pub id: String,
            /// Whose session it is.
            pub user_id: String,
            /// The client's address at sign-in; empty if unknown.
            pub ip_address: String,
            /// `User-Agent` at sign-in, cut to 512 bytes; empty if unknown.
            pub user_agent: String,
            /// The device, such as `Firefox on Linux`; empty if unknown.
            pub device_name: String,
            /// `desktop`, `mobile`, `tablet` or another kind of `session_core::Device`; empty if
            /// unknown.
            pub device_type: String,
            /// OS family and browser family at sign-in, without versions, such as `Linux/Firefox`;
            /// empty if unknown. All releases name it alike, so it knows fewer families than
            /// `device_name` does.
            pub fingerprint: String,
            /// The session's values: a JSON object. `null` in lists, for every session but the
            /// request's own.
            pub data: $crate::__private::Value,
            /// When the session was made.
            pub created_at: $crate::__private::OffsetDateTime,
            /// The last recorded activity.
            pub last_active_at: $crate::__private::OffsetDateTime,
            /// When the user last proved their identity.
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
