//! The session token: 256 random bits that only the browser holds, and the hash that the store holds.
//! Leaves signing to `keys` and the cookie's syntax to `cookie`.

use std::fmt;

use rand::TryRng;
use rand::rngs::SysRng;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::error::Error;
use crate::user_id::UserId;

/// Bytes of a token's secret: 256 bits (ASVS 5.0 7.2.3 asks for 128 at least).
pub(crate) const SECRET_BYTES: usize = 32;

/// The first two bytes of SHA-256 of the user id: which part of a sharded store holds all of a user's sessions.
///
/// The cookie carries it too, so that a store can route the look-up of a token without knowing its user.
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

/// SHA-256 of a token's secret: 32 bytes, the only trace of a token that a store sees.
///
/// Whoever reads the store can't make a cookie of it. Its `Debug` shows nothing of it all the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// A hash as a store gives it back; the length is checked, nothing else can be wrong with it.
    ///
    /// `None` for anything but 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The 32 bytes, for a store to keep and compare.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

/// What a request's cookie lets a store look up: the token's hash, and the shard to look in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenRef {
    /// Where the session's user lives.
    pub shard: Shard,
    /// The hash of the token's secret.
    pub hash: TokenHash,
}

/// A session token: the secret half of a session, wiped from memory when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct SessionToken {
    #[zeroize(skip)]
    shard: Shard,
    secret: [u8; SECRET_BYTES],
}

impl SessionToken {
    /// A new token for `user`, its secret from the operating system's generator.
    pub(crate) fn generate(user: &UserId) -> Result<Self, Error> {
        let mut token = Self::from_parts(user.shard(), [0; SECRET_BYTES]);
        SysRng.try_fill_bytes(&mut token.secret).map_err(|_| Error::NoRandomness)?;
        Ok(token)
    }

    pub(crate) const fn from_parts(shard: Shard, secret: [u8; SECRET_BYTES]) -> Self {
        Self { shard, secret }
    }

    pub(crate) const fn shard(&self) -> Shard {
        self.shard
    }

    pub(crate) const fn secret(&self) -> &[u8; SECRET_BYTES] {
        &self.secret
    }

    pub(crate) fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.secret).into())
    }

    pub(crate) fn lookup(&self) -> TokenRef {
        TokenRef { shard: self.shard, hash: self.hash() }
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken(..)")
    }
}
