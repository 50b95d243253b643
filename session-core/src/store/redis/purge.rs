//! The clean-up. What Redis's own expiry frees isn't asked for here.

use std::num::NonZeroU32;
use std::sync::atomic::Ordering;

use futures_util::future::join_all;
use time::OffsetDateTime;

use super::RedisStore;
use super::keys::{TAGS, Tag};
use super::reply;
use super::retry::Request;
use super::row::time_bytes;
use super::scripts::{DUE, PURGE};
use crate::error::StoreError;

impl RedisStore {
    /// Asks which tags have sessions that may have expired, and deletes those of one tag after the
    /// other. The next call begins where this one stopped.
    pub(super) async fn purge(&self, before: OffsetDateTime, limit: NonZeroU32) -> Result<u64, StoreError> {
        let keys = &self.shared.keys;
        let (before, limit) = (time_bytes(before), u64::from(limit.get()));
        let first = self.shared.next_tag.load(Ordering::Relaxed);
        let mut deleted = 0;
        for place in self.due(first, before).await? {
            let tag = Tag::number(first + place);
            let (rows, users) = (keys.rows(tag), keys.users(tag));
            loop {
                let left = limit - deleted;
                let (index, at_most) = (keys.expiry(tag), left.to_string());
                let purge = Request::call(tag, &PURGE, &[&index], &[&before, at_most.as_bytes(), &rows, &users]);
                let purged = self.ask(&purge).await?;
                let [gone, looked_at, moved] = reply::numbers(purged.value)?[..] else {
                    return Err(reply::not_understood());
                };
                deleted += gone.unsigned_abs();
                if deleted >= limit {
                    self.shared.next_tag.store(tag.place(), Ordering::Relaxed);
                    return Ok(deleted);
                }
                if looked_at.unsigned_abs() < left || moved == 0 {
                    break;
                }
            }
        }
        Ok(deleted)
    }

    /// Which tags, counted from the first one, have sessions that may have expired.
    async fn due(&self, first: usize, before: [u8; 8]) -> Result<Vec<usize>, StoreError> {
        let all = 0..usize::from(TAGS);
        let index = |place: usize| self.shared.keys.expiry(Tag::number(first + place));
        if self.shared.nodes.is_cluster() {
            // Sent at once, to all servers.
            let asked = all.map(async |place| {
                let due = Request::call(Tag::number(first + place), &DUE, &[&index(place)], &[&before]);
                Ok((place, !reply::numbers(self.ask(&due).await?.value)?.is_empty()))
            });
            let answers = join_all(asked).await.into_iter().collect::<Result<Vec<_>, StoreError>>()?;
            return Ok(answers.into_iter().filter_map(|(place, is_due)| is_due.then_some(place)).collect());
        }
        let indexes: Vec<_> = all.map(index).collect();
        let indexes: Vec<_> = indexes.iter().map(Vec::as_slice).collect();
        let due = self.ask(&Request::call(Tag::number(0), &DUE, &indexes, &[&before])).await?;
        let places = reply::numbers(due.value)?.into_iter();
        places.map(|place| usize::try_from(place - 1).map_err(|_| reply::not_understood())).collect()
    }
}
