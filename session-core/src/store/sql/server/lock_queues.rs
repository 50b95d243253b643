//! Limits how many connections one user's changes can hold while they wait for locks. The other
//! changes of that user wait here, without a connection.

use std::sync::Arc;

use crate::model::session_id::SessionId;
use crate::model::user_id::UserId;
use crate::store::sql::change::Change;
use crate::store::write_queues::{QueueGuard, WriteQueues};

/// How many changes of one user's sessions run at the server at once, each of another session. With
/// the one that may wait for the user's own row, that is how many connections of this process one
/// user can make wait for locks.
const MAX_CHANGES_PER_USER: usize = 4;

/// The queues of one store.
pub(super) struct LockQueues {
    /// For the users' own rows: sign-ins and ends of sessions.
    users: Arc<WriteQueues<UserId>>,
    /// For each session's row.
    sessions: Arc<WriteQueues<SessionId>>,
    /// For the rows of a user's sessions.
    changes: Arc<WriteQueues<UserId>>,
}

/// The turn of a change. Dropping it lets the next one run.
pub(super) enum LockQueueGuard {
    User(QueueGuard<UserId>),
    Session(QueueGuard<UserId>, QueueGuard<SessionId>),
}

/// A change before this one in the queue failed, because the database took too long.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the database failed a change that this one waited for")]
pub(super) struct PredecessorFailed;

impl LockQueues {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            users: WriteQueues::new(1),
            sessions: WriteQueues::new(1),
            changes: WriteQueues::new(MAX_CHANGES_PER_USER),
        })
    }

    /// Waits for the turn of this change, behind those that arrived earlier.
    pub(super) async fn wait(&self, change: &Change) -> Result<LockQueueGuard, PredecessorFailed> {
        let user = change.user().clone();
        let Change::Update { update, .. } = change else {
            return Ok(LockQueueGuard::User(self.users.join(user).await.ok_or(PredecessorFailed)?));
        };
        // The session's queue first, so that changes that wait for one session don't hold up the
        // user's other sessions.
        let session = self.sessions.join(update.caller.id).await.ok_or(PredecessorFailed)?;
        Ok(LockQueueGuard::Session(self.changes.join(user).await.ok_or(PredecessorFailed)?, session))
    }
}

impl LockQueueGuard {
    /// The database took too long, so the waiters needn't find that out one after the other.
    pub(super) fn dismiss_waiters(&self) {
        match self {
            Self::User(guard) => guard.dismiss_waiters(),
            Self::Session(guard, session) => {
                guard.dismiss_waiters();
                session.dismiss_waiters();
            }
        }
    }
}
