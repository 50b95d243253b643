//! What the library tells about itself: one enum, written to `tracing` and handed to the application's observer.
//! No event holds a token, a hash, a key of the ring or a value.

use std::time::Duration;

use crate::error::StoreError;
use crate::model::session_id::SessionId;

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
    /// Other requests changed a session's data at each of a hundred tries to store a request's changes, which were not stored.
    Contention {
        /// Which session.
        id: SessionId,
    },
    /// A sign-in ended the user's least recently active sessions to keep to the limit.
    Evicted {
        /// Which.
        ids: Vec<SessionId>,
    },
    /// A batch of the cleanup failed; it is tried again soon.
    CleanupFailed {
        /// How.
        error: StoreError,
    },
    /// The cleanup finds expired rows left for five minutes now, though it deletes as fast as it may: told once, until none was left.
    CleanupBehind {
        /// For how long it has found some.
        at_it: Duration,
        /// How many rows it has deleted in that time.
        deleted: u64,
    },
    /// The cleanup deleted nothing, as this machine's clock is over an hour ahead of the database's: one of them is wrong.
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
