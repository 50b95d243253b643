//! The sessions that are read and written.

use std::num::NonZeroU32;
use std::sync::Arc;

use session_core::{ClientInfo, Data, Record, SessionId, TokenHash, UserId};
use sha2::{Digest, Sha256};
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

/// When all happens.
pub(crate) const NOW: OffsetDateTime = datetime!(2030-01-01 0:00 UTC);
pub(crate) const LIMIT: NonZeroU32 = NonZeroU32::new(10).expect("not zero");

/// JSON of so many bytes, which no database can make much smaller.
pub(crate) fn text(seed: usize, size: usize) -> String {
    let mut text = String::from(r#"{"k":""#);
    let mut block = 0;
    while text.len() < size - 2 {
        let digest = Sha256::digest(format!("{seed} {block}"));
        text.extend(digest.iter().flat_map(|byte| [char::from(b'!' + 2 + byte % 50), char::from(b'a' + byte / 10)]));
        block += 1;
    }
    text.truncate(size - 2);
    text.replace('\\', "/") + r#""}"#
}

/// A session of this number with so many bytes of data.
pub(crate) fn record(number: usize, size: usize) -> Arc<Record> {
    let hash: [u8; 32] = Sha256::digest(format!("session {number}")).into();
    Arc::new(Record {
        id: SessionId::from_bytes(hash[..16].try_into().expect("16 bytes")),
        user_id: UserId::parse(&format!("user-{number}")).expect("a short text"),
        token_hash: TokenHash::from_slice(&hash).expect("32 bytes"),
        previous_token_hash: None,
        token_issued_at: NOW,
        token_seen: false,
        successor: None,
        strict_rotated_at: None,
        client: Arc::new(ClientInfo::default()),
        data: Data::from_text(text(number, size)),
        version: 0,
        persistent: true,
        created_at: NOW,
        authenticated_at: NOW,
        last_active_at: NOW,
        expires_at: NOW + Duration::HOUR,
        absolute_expires_at: NOW + Duration::DAY,
    })
}
