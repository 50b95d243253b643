//! Asking whether the session is live, and what it holds now: for handlers that outlive their response.

use std::sync::Arc;

use super::Request;
use crate::error::{Error, Result};
use crate::model::standing::Standing;
use crate::model::token::TokenRef;
use crate::policy::rotation::lowered;
use crate::request::state::State;

impl Request {
    /// Takes over the row as it is now, by the session's id, whatever rotation happened to the token; but for a strict one since
    /// the request got hold of it.
    pub(crate) async fn reload(self: Arc<Self>) -> Result<()> {
        // What the row holds is to be taken over once it is known what of it is this request's.
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
        // Each strict rotation has a later time than the one before, whatever the clocks say.
        if standing == Standing::Dead && row.strict_rotated_at != known {
            return Err(self.found_ended(id));
        }
        let row = lowered(row, standing);
        {
            let mut progress = self.lock();
            let state = std::mem::replace(&mut progress.state, State::Anonymous);
            progress.state = state.revived();
        }
        loop {
            let changes = self.lock().state.still(id).and_then(|active| active.view.changes());
            // Without the lock: this runs the application's functions.
            let replayed = match changes.map(|changes| changes.on(&row.data)).transpose() {
                Ok(replayed) => replayed.transpose()?,
                Err(_) => return Err(self.undecodable(self.lock())),
            };
            let mut progress = self.lock();
            let Some(active) = progress.state.still(id) else { return Ok(()) };
            if active.view.refresh(&row.data, row.version, replayed) {
                active.record = row;
                return Ok(());
            }
        }
    }
}
