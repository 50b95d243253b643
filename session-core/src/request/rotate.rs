//! Rotating the token. Not here: what a presented token still allows, see `policy::rotation`;
//! sealing a successor, see `model::token`.

use std::sync::Arc;

use time::OffsetDateTime;

use super::Request;
use crate::error::{Error, Result, StoreError};
use crate::model::record::Record;
use crate::model::session_id::SessionId;
use crate::model::standing::Standing;
use crate::model::token::{SealedToken, SessionToken, TokenHash, TokenRef};
use crate::policy::rotation::{Rotation as Decided, successor};
use crate::request::state::{State, Transition};
use crate::store::{Activity, Caller, Rotation, Update, Updated};

/// The successor of a token.
pub(super) struct NextToken {
    pub(super) token: SessionToken,
    sealed: SealedToken,
}

impl NextToken {
    pub(super) fn of(token: &SessionToken) -> Result<Self> {
        let next = token.next()?;
        Ok(Self { sealed: token.seal(&next), token: next })
    }

    pub(super) fn rotation(&self) -> Rotation {
        Rotation { to: self.token.hash(), successor: Some(self.sealed) }
    }
}

/// A strict rotation that the store was asked for and whose outcome may be unknown.
#[derive(Clone)]
pub(crate) struct OpenStrict {
    caller: Caller,
    token: SessionToken,
    absolute_expires_at: OffsetDateTime,
}

impl Request {
    /// Replaces the token by its one successor, or finds that successor. A token that this request
    /// has made is kept.
    pub(crate) async fn rotate(self: Arc<Self>) -> Result<()> {
        let service = &self.service;
        let grace = service.config.rotation_grace;
        let (caller, absolute_expires_at, presented) = {
            let progress = self.lock();
            progress.check_head()?;
            let active = progress.state.signed_in().ok_or(Error::NotAuthenticated)?;
            let presented = match &progress.state {
                State::Carried(_) => progress.presented.clone(),
                State::Issued(..) | State::Anonymous | State::SignedOut | State::Ended(_) | State::Visitor(..) => None,
            };
            (active.caller(grace), active.record.absolute_expires_at, presented)
        };
        let id = caller.id;
        let now = service.now();
        let activity = service.config.expiry.renewal(now, absolute_expires_at);
        let next = presented.as_ref().map(NextToken::of).transpose()?;
        let rotation = next.as_ref().map(NextToken::rotation);
        let update = Update { activity: Some(activity), rotation, ..Update::default() };
        let applied = self.update_twice(&caller, &update, now).await.map_err(|error| service.failed(error))?;
        let did = match (applied, next, presented) {
            (Updated::Done { expires_at }, Some(NextToken { token, .. }), _) => {
                Some(Transition::Rotate { token, strict: false, at: now, expires_at })
            }
            (Updated::Superseded(row), _, Some(presented)) => {
                match Standing::of(&presented.hash(), &row, now, grace).rotation() {
                    Decided::SendAgain => successor(&presented, &row).map(Transition::SendAgain),
                    // The successor has arrived. (The store judged by the same row, so the other
                    // two can't happen.)
                    Decided::Nothing | Decided::Issue | Decided::Refuse => None,
                }
            }
            (Updated::Done { .. } | Updated::Superseded(_), ..) => None,
            (Updated::Gone, ..) => return Err(self.found_ended(id)),
            (Updated::Conflict(_), ..) => return Err(service.failed(conflict_without_data())),
        };
        let mut progress = self.lock();
        // A token that can't be sent any more is forgotten. The browser's token still counts.
        progress.check_head()?;
        if let Some(did) = did {
            progress.advance(did);
        }
        record_activity(&mut progress.state, id, activity);
        Ok(())
    }

    /// Replaces the token by one that is no token's successor. All tokens before it die at once.
    pub(crate) async fn rotate_strict(self: Arc<Self>) -> Result<()> {
        let open = {
            let progress = self.lock();
            progress.check_head()?;
            let active = progress.state.signed_in().ok_or(Error::NotAuthenticated)?;
            let caller = active.caller(self.service.config.rotation_grace);
            let token = SessionToken::generate(&caller.user_id, caller.id)?;
            OpenStrict { caller, token, absolute_expires_at: active.record.absolute_expires_at }
        };
        self.lock().open_strict = Some(Box::new(open.clone()));
        self.finish_strict(open).await
    }

    /// Asks the store for a strict rotation, or asks again if the outcome was unknown before. Done
    /// twice, it is the same as once.
    pub(super) async fn finish_strict(&self, open: OpenStrict) -> Result<()> {
        let service = &self.service;
        let OpenStrict { caller, token, absolute_expires_at } = open;
        let now = service.now();
        let activity = service.config.expiry.renewal(now, absolute_expires_at);
        let rotation = Some(Rotation { to: token.hash(), successor: None });
        let update = Update { activity: Some(activity), rotation, ..Update::default() };
        let applied = self.update_twice(&caller, &update, now).await;
        if !matches!(applied, Err(StoreError::Unknown(_)) | Ok(Updated::Done { .. })) {
            self.lock().open_strict = None;
        }
        match applied.map_err(|error| service.failed(error))? {
            Updated::Done { expires_at } => {
                let hash = token.hash();
                if self.advance_to_cookie(Transition::Rotate { token, strict: true, at: now, expires_at }) {
                    self.lock().open_strict = None;
                    self.learn_strict_time(&caller, &hash).await;
                    return Ok(());
                }
                // No browser will ever hold this token, and the tokens before it are dead.
                let ended = service.store.end(&caller.user_id, caller.id, None, service.now()).await;
                ended.map_err(|error| service.failed(error))?;
                self.lock().open_strict = None;
                Err(Error::HeadSent)
            }
            Updated::Gone => Err(self.found_ended(caller.id)),
            Updated::Superseded(_) | Updated::Conflict(_) => Err(service.failed(conflict_without_data())),
        }
    }

    /// Settles a strict rotation whose cookie can't be sent any more. If the store has made it, the
    /// session ends. If not, the browser's token still counts.
    pub(super) async fn forget_strict(&self, open: &OpenStrict) -> Result<()> {
        let service = &self.service;
        let OpenStrict { caller, token, .. } = open;
        let rows = service.store.load(&[token.lookup()], service.now()).await.map_err(|error| service.failed(error))?;
        if rows.iter().any(|row| row.id == caller.id && row.token_hash.is_same(&token.hash())) {
            let ended = service.store.end(&caller.user_id, caller.id, None, service.now()).await;
            ended.map_err(|error| service.failed(error))?;
        }
        self.lock().open_strict = None;
        Ok(())
    }

    /// Reads the time that the store gave the strict rotation, so that `reload` can tell a later
    /// one from it. Without that time `reload` treats every token that was superseded twice as
    /// dead.
    async fn learn_strict_time(&self, caller: &Caller, token: &TokenHash) {
        let service = &self.service;
        let now = service.now();
        let session = [TokenRef { shard: caller.user_id.shard(), id: caller.id }];
        match service.store.load(&session, now).await {
            Ok(rows) => {
                let is_ours = |row: &&Arc<Record>| row.id == caller.id && row.accepts(token, now, caller.grace);
                if let Some(row) = rows.iter().find(is_ours)
                    && let Some(active) = self.lock().state.active_if(caller.id)
                {
                    Arc::make_mut(&mut active.record).strict_rotated_at = row.strict_rotated_at;
                }
            }
            // An event reports it; the rotation is done.
            Err(error) => drop(service.failed(error)),
        }
    }

    /// Takes over a token if its cookie can still be sent. Returns whether it can.
    fn advance_to_cookie(&self, did: Transition) -> bool {
        let mut progress = self.lock();
        let can_follow = !progress.head_sent;
        if can_follow {
            progress.advance(did);
        }
        can_follow
    }

    /// Applies an update that may be applied twice: if the outcome is unknown, it asks once more.
    async fn update_twice(&self, caller: &Caller, update: &Update, now: OffsetDateTime) -> Result<Updated, StoreError> {
        match self.service.store.update(caller, update, now).await {
            Err(StoreError::Unknown(_)) => self.service.store.update(caller, update, now).await.map_err(|error| {
                // That the second try certainly changed nothing says nothing about the first.
                match error {
                    StoreError::NotApplied(source) => StoreError::Unknown(source),
                    error => error,
                }
            }),
            applied => applied,
        }
    }
}

fn record_activity(state: &mut State, id: SessionId, activity: Activity) {
    if let Some(active) = state.active_if(id) {
        let is_first_seen = active.is_first_seen;
        active.recorded(activity, activity.expires_at);
        active.is_first_seen = is_first_seen;
    }
}

pub(super) fn conflict_without_data() -> StoreError {
    StoreError::not_applied("the store reported a conflict for a change without data")
}
