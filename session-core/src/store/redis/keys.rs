//! The names of the keys, and which of them lie together.
//!
//! Each key is `prefix{tag}`, a letter and an id. In a cluster the tag alone decides on which
//! server a key lies, and it comes from the user's shard alone. So all keys of one user lie
//! together, whatever the user's id holds, and a session's cookie says where.

use std::sync::LazyLock;

use crate::model::session_id::SessionId;
use crate::model::token::TokenRef;
use crate::model::user_id::{Shard, UserId};

/// How many tags there are. Few, so that a look at the expiry index of each is cheap; and many
/// compared with the servers of a cluster, so that each server holds nearly the same number.
pub(super) const TAGS: u16 = 256;

/// The hash slots of a cluster, as Redis defines them.
const SLOTS: u16 = 16384;

/// For each tag a number whose slot is the tag's. Tags are spread evenly over the slots, so servers
/// with as many slots hold as many tags.
static TAG_NUMBERS: LazyLock<Vec<u32>> = LazyLock::new(|| {
    let mut numbers = vec![None; usize::from(TAGS)];
    let mut missing = TAGS;
    for number in 0u32.. {
        let slot = crc16(number.to_string().as_bytes()) % SLOTS;
        let place = &mut numbers[usize::from(slot / (SLOTS / TAGS))];
        if slot.is_multiple_of(SLOTS / TAGS) && place.is_none() {
            *place = Some(number);
            missing -= 1;
            if missing == 0 {
                break;
            }
        }
    }
    numbers.into_iter().flatten().collect()
});

/// CRC-16/XMODEM, which Redis's slots are made of.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8)
            .fold(crc ^ (u16::from(*byte) << 8), |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 })
    })
}

/// Which keys lie together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag(u16);

impl Tag {
    pub(super) const fn of(shard: Shard) -> Self {
        Self(shard.number() % TAGS)
    }

    /// Its number.
    pub(super) const fn place(self) -> usize {
        self.0 as usize
    }

    /// The slot that its keys have in a cluster.
    pub(super) const fn slot(self) -> u16 {
        self.0 * (SLOTS / TAGS)
    }

    /// The tag of this number, counted round.
    pub(super) const fn number(number: usize) -> Self {
        Self((number % TAGS as usize) as u16)
    }
}

/// What all keys begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    /// Keys with this prefix, which has no braces: those would be the tag.
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The key of a session's row.
    pub(super) fn row(&self, session: TokenRef) -> Vec<u8> {
        let mut key = self.rows(Tag::of(session.shard));
        key.extend_from_slice(session.id.as_bytes());
        key
    }

    /// The key of the row of a user's session.
    pub(super) fn row_of(&self, user: &UserId, id: SessionId) -> Vec<u8> {
        self.row(TokenRef { shard: user.shard(), id })
    }

    /// What the keys of rows begin with, before the session's id.
    pub(super) fn rows(&self, tag: Tag) -> Vec<u8> {
        self.start(tag, b's')
    }

    /// The key of the index of a user's sessions.
    pub(super) fn user(&self, user: &UserId) -> Vec<u8> {
        let mut key = self.users(Tag::of(user.shard()));
        key.extend_from_slice(user.as_str().as_bytes());
        key
    }

    /// What the keys of users' indexes begin with, before the user's id.
    pub(super) fn users(&self, tag: Tag) -> Vec<u8> {
        self.start(tag, b'u')
    }

    /// The key of the index of sessions by expiry.
    pub(super) fn expiry(&self, tag: Tag) -> Vec<u8> {
        self.start(tag, b'x')
    }

    /// A key that no session and no user has, and that lies with the tag's others.
    pub(super) fn probe(&self, tag: Tag, name: u8) -> Vec<u8> {
        let mut key = self.start(tag, b'p');
        key.push(name);
        key
    }

    fn start(&self, tag: Tag, kind: u8) -> Vec<u8> {
        let mut key = Vec::with_capacity(self.prefix.len() + 32);
        key.extend_from_slice(self.prefix.as_bytes());
        key.push(b'{');
        key.extend_from_slice(TAG_NUMBERS[usize::from(tag.0)].to_string().as_bytes());
        key.extend_from_slice(&[b'}', kind]);
        key
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The slot of a key by the rules of Redis Cluster: of what is between the first `{` and the
    /// next `}`, if there is anything, else of the whole key.
    fn slot(key: &[u8]) -> u16 {
        let open = key.iter().position(|byte| *byte == b'{');
        let tag = open.and_then(|open| {
            let length = key[open + 1..].iter().position(|byte| *byte == b'}')?;
            (length > 0).then(|| &key[open + 1..open + 1 + length])
        });
        crc16(tag.unwrap_or(key)) % SLOTS
    }

    #[test]
    fn a_slot_is_what_redis_says() {
        // From the specification of Redis Cluster, and `CLUSTER KEYSLOT`.
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot(b"somekey"), 11058);
        assert_eq!(slot(b"foo{hash_tag}"), 2515);
    }

    #[test]
    fn tags_are_spread_evenly_over_the_slots() {
        let keys = Keys::new("session:");
        for number in 0..usize::from(TAGS) {
            let slot = slot(&keys.expiry(Tag::number(number)));
            assert_eq!(usize::from(slot), number * usize::from(SLOTS / TAGS));
        }
    }

    /// User ids as hostile as they can be: 1 to 255 bytes with braces, line breaks and anything
    /// else but NUL.
    fn any_user() -> impl Strategy<Value = UserId> {
        let text = prop_oneof![
            "[{}:sux0-9\n\r ]{1,40}",
            "\\PC{1,60}",
            proptest::collection::vec(any::<char>(), 1..64).prop_map(|all| all.into_iter().collect::<String>()),
        ];
        text.prop_filter_map("a user id", |text| UserId::parse(&text).ok())
    }

    proptest! {
        #[test]
        fn keys_of_a_user_lie_in_one_slot_and_are_no_others(
            (user, other) in (any_user(), any_user()), [a, b]: [[u8; 16]; 2]
        ) {
            let keys = Keys::new("session:");
            let tag = Tag::of(user.shard());
            let all = [
                keys.row_of(&user, SessionId::from_bytes(a)),
                keys.row_of(&user, SessionId::from_bytes(b)),
                keys.user(&user),
                keys.expiry(tag),
            ];
            for key in &all {
                prop_assert_eq!(slot(key), tag.slot());
            }
            prop_assert_eq!(all[0] == all[1], a == b);
            prop_assert!(all[2] != all[0] && all[2] != all[3] && all[0] != all[3]);
            prop_assert_eq!(keys.user(&other) == all[2], user == other);
            prop_assert!(keys.user(&other) != all[0] && keys.user(&other) != all[3]);
        }
    }
}
