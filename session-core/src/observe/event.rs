//! What the library reports about itself: one enum, written to `tracing` and passed to the
//! application's observer. No event holds a token, a token hash, a signing key or a value of a
//! session.

use std::sync::Arc;
use std::time::Duration;

use crate::error::StoreError;
use crate::model::record::ClientInfo;
use crate::model::session_id::SessionId;
use crate::model::user_id::UserId;

/// Something worth knowing that no return value shows.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A session is used from another OS or browser family than it signed in with. Each process
    /// reports it once for a session and a `User-Agent`, as long as it remembers: for the last
    /// 1,024 of them.
    FingerprintChanged {
        /// Which session.
        id: SessionId,
        /// Whether the session was ended for it.
        ended: bool,
    },
    /// A token was presented though its browser has long replaced it, so two browsers have the
    /// cookie: see [`TokenReuse`](crate::TokenReuse). Each process reports it once for a session
    /// and a `User-Agent`, as long as it remembers: for the last 1,024 of them.
    TokenReused {
        /// Which session.
        id: SessionId,
        /// Whose session it is.
        user_id: UserId,
        /// The client that signed in.
        signed_in: Arc<ClientInfo>,
        /// The client that presented the old token.
        presented: ClientInfo,
        /// Whether the session was ended for it.
        ended: bool,
    },
    /// Activity couldn't be recorded; the response stands.
    ActivityNotRecorded {
        /// Which session.
        id: SessionId,
        /// Why.
        error: StoreError,
    },
    /// Changes were dropped, because the session ended while the request ran.
    DataDropped {
        /// Which session.
        id: SessionId,
    },
    /// A handle that outlived its response was dropped with changes that no `save` had stored. They
    /// are lost.
    ChangesNotSaved {
        /// Which session.
        id: SessionId,
    },
    /// A row, or its data, can't be understood.
    Corrupt {
        /// Which session, if its id can be read.
        id: Option<SessionId>,
        /// Which part.
        what: &'static str,
    },
    /// The store failed while a request needed it.
    StoreFailed {
        /// How.
        error: StoreError,
    },
    /// A request's changes weren't stored: at each of a hundred tries, another request had changed
    /// the session's data first.
    Contention {
        /// Which session.
        id: SessionId,
    },
    /// A sign-in ended the user's least recently active sessions to keep to the limit.
    Evicted {
        /// Which.
        ids: Vec<SessionId>,
    },
    /// A request of another origin's page was refused with a 403, as
    /// [`CrossOrigin`](crate::CrossOrigin) says.
    CrossOriginRefused {
        /// The header at fault, in lower case: `sec-fetch-site` or `origin`.
        header: &'static str,
        /// What is wrong with it, and what to do if the request is one's own.
        reason: &'static str,
        /// The page's origin, where it is well-formed and has at most 300 bytes. Any client can
        /// send any.
        origin: Option<String>,
    },
    /// A batch of the clean-up failed. It is tried again soon.
    CleanupFailed {
        /// How.
        error: StoreError,
    },
    /// The clean-up has found expired rows for five minutes, though it deletes as fast as it may.
    /// Reported once for each backlog.
    CleanupBehind {
        /// How long the backlog has lasted.
        at_it: Duration,
        /// How many rows it has deleted in that time.
        deleted: u64,
    },
    /// The clean-up deleted nothing, because this machine's clock is over an hour ahead of the
    /// database's. One of the two is wrong.
    CleanupClockAhead {
        /// How far.
        by: Duration,
    },
}

impl Event {
    pub(crate) fn trace(&self) {
        match self {
            Self::FingerprintChanged { id, ended } => {
                tracing::warn!(%id, ended, "session used from another OS or browser family");
            }
            Self::TokenReused { id, user_id, signed_in, presented, ended } => {
                // What clients send may hold line breaks.
                let (by, ip) = (&presented.device_name, &presented.ip_address);
                let (signed_in_by, signed_in_ip) = (&signed_in.device_name, &signed_in.ip_address);
                let user = user_id.as_str();
                tracing::warn!(
                    %id, ?user, ?by, ?ip, ?signed_in_by, ?signed_in_ip, ended, "session token used again after it was replaced"
                );
            }
            Self::ActivityNotRecorded { id, error } => tracing::warn!(%id, %error, "session activity not recorded"),
            Self::DataDropped { id } => tracing::info!(%id, "session ended meanwhile, its changes were dropped"),
            Self::ChangesNotSaved { id } => {
                tracing::warn!(%id, "session changes made after the response were never saved, call `save` there");
            }
            Self::Corrupt { id: Some(id), what } => tracing::error!(%id, what, "stored session can't be understood"),
            Self::Corrupt { id: None, what } => tracing::error!(what, "stored session can't be understood"),
            Self::StoreFailed { error } => tracing::error!(%error, "session store failed"),
            Self::Contention { id } => tracing::warn!(%id, "session changed by other requests at every try"),
            Self::Evicted { ids } => tracing::info!(count = ids.len(), "oldest sessions ended, the user had too many"),
            Self::CrossOriginRefused { header, reason, origin } => {
                tracing::warn!(header, reason, origin, "cross-origin request refused");
            }
            Self::CleanupFailed { error } => tracing::error!(%error, "cleanup of expired sessions failed"),
            Self::CleanupBehind { at_it, deleted } => {
                tracing::warn!(?at_it, deleted, "cleanup of expired sessions is behind, rows are left");
            }
            Self::CleanupClockAhead { by } => {
                tracing::error!(?by, "this machine's clock is ahead of the database's, the cleanup deletes nothing");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::logged;

    #[test]
    fn what_clients_and_databases_say_adds_no_line_to_the_log() {
        let hostile = "x\r\n2030-01-01T00:00:00Z ERROR forged\u{1b}[31m\u{85}\u{9b}\u{2028}\u{202e}";
        let id = SessionId::from_bytes([7; 16]);
        let client = || ClientInfo {
            ip_address: hostile.into(),
            user_agent: hostile.into(),
            device_name: hostile.into(),
            device_type: hostile.into(),
            fingerprint: hostile.into(),
        };
        let error = || StoreError::not_applied(hostile);
        for event in [
            Event::TokenReused {
                id,
                user_id: UserId::parse(hostile).unwrap(),
                signed_in: Arc::new(client()),
                presented: client(),
                ended: true,
            },
            Event::ActivityNotRecorded { id, error: error() },
            Event::StoreFailed { error: error() },
            Event::CleanupFailed { error: StoreError::unknown(hostile) },
            Event::CrossOriginRefused { header: "origin", reason: "r", origin: Some(hostile.into()) },
        ] {
            let log = logged(|| event.trace());
            assert_eq!(log.lines().count(), 1, "{log}");
            let is_odd = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{202e}');
            assert!(!log.trim_end_matches('\n').contains(is_odd), "{log:?}");
        }
    }
}
