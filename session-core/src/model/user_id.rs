//! The id of a session's user.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::session_id::SessionId;

/// What the ids of visitors begin with.
const VISITOR: &str = "~visitor:";

/// Why a user id is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UserIdError {
    /// It is empty.
    #[error("a user id can't be empty")]
    Empty,
    /// It is over 255 bytes.
    #[error("a user id has at most 255 bytes, this one has {bytes}")]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// It holds a NUL, which some databases can't store.
    #[error("a user id can't hold a NUL character")]
    Nul,
    /// It begins with `~visitor:`, as the ids of visitors do.
    #[error("a user id can't begin with `{VISITOR}`, which is kept for visitors")]
    Reserved,
}

/// The first two bytes of SHA-256 of the user id. They say which part of a sharded store holds all
/// of a user's sessions.
///
/// The cookie carries it too, so a store can route the look-up of a session without knowing its
/// user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(u16);

impl Shard {
    pub(crate) fn of(user_id: &str) -> Self {
        let hash = Sha256::digest(user_id.as_bytes());
        Self::from_bytes([hash[0], hash[1]])
    }

    /// The shard whose big-endian bytes these are.
    pub const fn from_bytes(bytes: [u8; 2]) -> Self {
        Self(u16::from_be_bytes(bytes))
    }

    /// The shard's two bytes, big-endian.
    pub const fn to_bytes(self) -> [u8; 2] {
        self.0.to_be_bytes()
    }

    /// The shard as a number from 0 to 65,535.
    pub const fn number(self) -> u16 {
        self.0
    }
}

/// The id of a session's user: 1 to 255 bytes of UTF-8 without NUL, compared byte for byte.
#[derive(Clone)]
pub struct UserId {
    text: Arc<str>,
    /// The shard, if it was computed before, which takes a hash. Ids are equal whether or not it is
    /// here.
    shard: Option<Shard>,
}

impl UserId {
    /// Checks and takes an id as a store keeps it, a visitor's too.
    ///
    /// # Errors
    /// [`UserIdError`] if it is empty, over 255 bytes, or holds a NUL.
    pub fn parse(text: &str) -> Result<Self, UserIdError> {
        match text.len() {
            0 => Err(UserIdError::Empty),
            256.. => Err(UserIdError::TooLong { bytes: text.len() }),
            _ if text.contains('\0') => Err(UserIdError::Nul),
            _ => Ok(Self { text: text.into(), shard: None }),
        }
    }

    /// Checks and takes the id of a user, which is no visitor's.
    pub(crate) fn of_user(text: &str) -> Result<Self, UserIdError> {
        Self::parse(text).and_then(|id| if id.is_visitor() { Err(UserIdError::Reserved) } else { Ok(id) })
    }

    /// The id of the visitor whose session this is. A visitor has one session only.
    pub(crate) fn of_visitor(session: SessionId) -> Self {
        let text = format!("{VISITOR}{session}");
        Self { shard: Some(Shard::of(&text)), text: text.into() }
    }

    /// Whether it is the id of a visitor, rather than of a user who has signed in.
    pub fn is_visitor(&self) -> bool {
        self.text.starts_with(VISITOR)
    }

    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The shard that holds all of this user's sessions.
    pub fn shard(&self) -> Shard {
        self.shard.unwrap_or_else(|| Shard::of(&self.text))
    }

    /// The same id with its shard computed, so that its copies needn't compute it again.
    pub(crate) fn with_shard(self) -> Self {
        Self { shard: Some(self.shard()), ..self }
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UserId").field(&self.text).finish()
    }
}

impl PartialEq for UserId {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for UserId {}

impl PartialOrd for UserId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for UserId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl Hash for UserId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_id_is_1_to_255_bytes_without_nul() {
        assert_eq!(UserId::parse(""), Err(UserIdError::Empty));
        assert_eq!(UserId::parse("a\0"), Err(UserIdError::Nul));
        assert_eq!(UserId::parse(&"x".repeat(256)), Err(UserIdError::TooLong { bytes: 256 }));
        assert!(UserId::parse(&"x".repeat(255)).is_ok());
    }

    #[test]
    fn visitors_have_ids_that_no_user_can_have() {
        let id = UserId::of_visitor(SessionId::from_bytes([7; 16]));
        assert!(id.is_visitor() && UserId::parse(id.as_str()).unwrap().is_visitor());
        assert_eq!(UserId::of_user(id.as_str()), Err(UserIdError::Reserved));
        assert_eq!(UserId::of_user("~visitor:"), Err(UserIdError::Reserved));
        assert!(!UserId::of_user("visitor:7").unwrap().is_visitor());
        assert_eq!(id.shard(), Shard::of(id.as_str()));
    }

    #[test]
    fn a_shard_that_is_known_is_the_same_and_no_part_of_the_id() {
        for text in ["ada", "alan", "x"] {
            let id = UserId::parse(text).unwrap();
            let known = id.clone().with_shard();
            assert_eq!([id.shard(), known.shard(), known.clone().shard()], [Shard::of(text); 3]);
            assert!(id == known && id.cmp(&known).is_eq());
        }
    }
}
