//! The id of a session's user.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::error::UserIdError;
use crate::token::Shard;

/// Who a session belongs to: 1 to 255 bytes of UTF-8 without NUL, compared byte for byte.
#[derive(Clone)]
pub struct UserId {
    text: Arc<str>,
    /// Where it is worked out already, which takes a hash. Part of what the id says, not of what it is.
    shard: Option<Shard>,
}

impl UserId {
    /// Checks and takes an id.
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

    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The shard that holds all of this user's sessions.
    pub fn shard(&self) -> Shard {
        self.shard.unwrap_or_else(|| Shard::of(&self.text))
    }

    /// The same, for a session that begins: its copies needn't work the shard out again.
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
    fn a_shard_that_is_known_is_the_same_and_no_part_of_the_id() {
        for text in ["ada", "alan", "x"] {
            let id = UserId::parse(text).unwrap();
            let known = id.clone().with_shard();
            assert_eq!([id.shard(), known.shard(), known.clone().shard()], [Shard::of(text); 3]);
            assert!(id == known && id.cmp(&known).is_eq());
        }
    }
}
