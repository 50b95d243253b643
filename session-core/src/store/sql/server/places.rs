//! How many connections one user's changes may make wait for locks, in this process: the rest waits here, without a connection.

use std::sync::Arc;

use crate::model::session_id::SessionId;
use crate::model::user_id::UserId;
use crate::store::sql::task::Task;
use crate::store::turns::{Turn, Turns};

/// How many changes of a user's sessions are at the server at once, each of another session. With the one that may wait for the
/// user's own row, that is how many connections of this process one user can make wait for locks.
const CHANGES_AT_ONCE: usize = 4;

/// The queues of one store.
pub(super) struct Places {
    /// For the users' own rows: sign-ins and the ends of sessions.
    users: Arc<Turns<UserId>>,
    /// For each session's row.
    sessions: Arc<Turns<SessionId>>,
    /// For the rows of a user's sessions.
    changes: Arc<Turns<UserId>>,
}

/// The place of a change. Dropped, it is the next one's.
pub(super) enum Place {
    User(Turn<UserId>),
    Session(Turn<UserId>, Turn<SessionId>),
}

/// A change before this one in the queue failed.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the database failed a change that this one waited for")]
pub(super) struct Failed;

impl Places {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { users: Turns::new(1), sessions: Turns::new(1), changes: Turns::new(CHANGES_AT_ONCE) })
    }

    /// Waits for the place of this change, behind those that came before.
    pub(super) async fn wait(&self, task: &Task) -> Result<Place, Failed> {
        let user = task.user().clone();
        let Task::Change { change, .. } = task else {
            return Ok(Place::User(self.users.queue(user).await.ok_or(Failed)?));
        };
        // The session's first: those that wait for one session leave the user's others alone.
        let session = self.sessions.queue(change.caller.id).await.ok_or(Failed)?;
        Ok(Place::Session(self.changes.queue(user).await.ok_or(Failed)?, session))
    }
}

impl Place {
    /// The database failed: those that wait for this place needn't find that out one after the other.
    pub(super) fn fail(&self) {
        match self {
            Self::User(turn) => turn.give_up(),
            Self::Session(turn, session) => {
                turn.give_up();
                session.give_up();
            }
        }
    }
}
