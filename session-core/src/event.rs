//! What the library tells about itself: one enum, written to `tracing` and handed to the application's observer.
//! No event holds a token, a hash, a key of the ring or a value.

use crate::error::StoreError;
use crate::session::SessionId;

/// Something worth knowing that no caller is told by a return value.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A session is used from another OS or browser family than it signed in with.
    FingerprintChanged {
        /// Which session.
        id: SessionId,
        /// Whether it was ended for that.
        ended: bool,
    },
    /// Activity couldn't be recorded; the response stands.
    ActivityNotRecorded {
        /// Which session.
        id: SessionId,
        /// Why.
        error: StoreError,
    },
    /// Changes were dropped because the session ended while the request ran.
    DataDropped {
        /// Which session.
        id: SessionId,
    },
    /// A handle that outlived its response was dropped with changes that no `save` had stored: they are lost.
    ChangesNotSaved {
        /// Which session.
        id: SessionId,
    },
    /// A row, or its data, can't be understood.
    Corrupt {
        /// Which session, where that can be read.
        id: Option<SessionId>,
        /// Which part.
        what: &'static str,
    },
    /// The store failed while a request needed it.
    StoreFailed {
        /// How.
        error: StoreError,
    },
    /// A sign-in ended the user's least recently active sessions to keep to the limit.
    Evicted {
        /// Which.
        ids: Vec<SessionId>,
    },
    /// A cleanup pass failed; the next one goes on.
    CleanupFailed {
        /// How.
        error: StoreError,
    },
}

impl Event {
    pub(crate) fn trace(&self) {
        match self {
            Self::FingerprintChanged { id, ended } => {
                tracing::warn!(%id, ended, "session used from another OS or browser family");
            }
            Self::ActivityNotRecorded { id, error } => tracing::warn!(%id, %error, "session activity not recorded"),
            Self::DataDropped { id } => tracing::info!(%id, "session ended meanwhile, its changes were dropped"),
            Self::ChangesNotSaved { id } => {
                tracing::warn!(%id, "session changes made after the response were never saved, call `save` there");
            }
            Self::Corrupt { id: Some(id), what } => tracing::error!(%id, what, "stored session can't be understood"),
            Self::Corrupt { id: None, what } => tracing::error!(what, "stored session can't be understood"),
            Self::StoreFailed { error } => tracing::error!(%error, "session store failed"),
            Self::Evicted { ids } => tracing::info!(count = ids.len(), "oldest sessions ended, the user had too many"),
            Self::CleanupFailed { error } => tracing::error!(%error, "cleanup of expired sessions failed"),
        }
    }
}
