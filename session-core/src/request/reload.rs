//! Asking whether the session is still live, and what it holds now. For handlers that outlive their
//! response.

use std::sync::Arc;

use super::Request;
use crate::error::{Error, Result};
use crate::model::data::Data;
use crate::model::record::Record;
use crate::model::session_id::SessionId;
use crate::model::standing::Standing;
use crate::model::token::TokenRef;
use crate::policy::rotation::lowered;
use crate::request::state::State;
use crate::values::view::Refusal;

impl Request {
    /// Takes over the row as it is now. It is found by the session's id, whatever rotations
    /// happened to the token; but a strict rotation since this request last read the row makes this
    /// a 401.
    pub(crate) async fn reload(self: Arc<Self>) -> Result<()> {
        // The row can be taken over only once it is known which of its changes are this request's.
        self.settle_write().await?;
        let service = &self.service;
        let (id, shard, token, known) = {
            let progress = self.lock();
            let held = progress.state.held().ok_or(Error::NotAuthenticated)?;
            let record = &held.record;
            (record.id, record.user_id.shard(), held.token, record.strict_rotated_at)
        };
        let now = service.now();
        let rows = service.store.load(&[TokenRef { shard, id }], now).await.map_err(|error| service.failed(error))?;
        let row = rows.into_iter().find(|row| row.id == id);
        let Some(row) = row else { return Err(self.found_ended(id)) };
        let standing = Standing::of(&token, &row, now, service.config.rotation_grace);
        // The time of a strict rotation is always later than that of the one before, whatever the
        // clocks say.
        if standing == Standing::Dead && row.strict_rotated_at != known {
            return Err(self.found_ended(id));
        }
        let row = lowered(row, standing);
        {
            let mut progress = self.lock();
            let state = std::mem::replace(&mut progress.state, State::Anonymous);
            progress.state = state.revived();
        }
        self.take_over(&row)
    }

    /// Takes over a newer row of the session that this request holds, with this request's changes
    /// on top.
    pub(super) fn take_over(&self, row: &Arc<Record>) -> Result<()> {
        self.take_over_data(row.id, &row.data, row.version, Some(row))
    }

    /// Takes over newer data of this session, and perhaps the rest of its row, with this request's
    /// changes on top.
    pub(super) fn take_over_data(
        &self,
        id: SessionId,
        data: &Data,
        version: i64,
        row: Option<&Arc<Record>>,
    ) -> Result<()> {
        loop {
            let changes = self.lock().state.active_if(id).and_then(|active| active.view.changes());
            // Not under the lock: this runs the application's functions.
            let replayed = match changes.map(|changes| changes.on(data)).transpose() {
                Ok(replayed) => replayed,
                Err(Refusal::Change(error)) => return Err(error),
                Err(Refusal::Undecodable) => return Err(self.undecodable(self.lock())),
            };
            let mut progress = self.lock();
            let Some(active) = progress.state.active_if(id) else { return Ok(()) };
            if active.view.refresh(data, version, replayed) {
                if let Some(row) = row {
                    active.record = Arc::clone(row);
                }
                return Ok(());
            }
        }
    }
}
