//! The session token: a session's id, and 256 random bits that only the browser holds. Also the
//! hash of those bits, which the store holds, and how a row keeps a token's successor. Not here:
//! signing (see `keys`), the cookie's syntax (`transport::cookie`), and which tokens count
//! (`policy::rotation`).
//!
//! A token names its session, so a look-up is one statement by the primary key. The core compares
//! the hash in constant time, no index on a hash is needed, and a sign-out knows its session
//! whatever became of the token since.
//!
//! A token has one successor. A rotation stores the new token sealed to the one before, so a
//! browser that still has the old one can be sent the same new one again, by any node and without a
//! write. A rotation whose response is lost, late or repeated, and two rotations at once, all end
//! in the same cookie. A copy of the table opens no token.
//!
//! A row knows one replaced token only. For a token that was replaced twice the session counts as
//! ended: a history of tokens would make each of them worth stealing.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use rand::TryRng;
use rand::rngs::SysRng;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::model::session_id::SessionId;
use crate::model::user_id::{Shard, UserId};

/// Bytes of a token's secret: 256 bits (ASVS 5.0 7.2.3 asks for at least 128).
pub(crate) const SECRET_BYTES: usize = 32;
/// Names the only use of a secret as a key: to seal its successor.
const SUCCESSOR_LABEL: &[u8] = b"session-core/successor/v1";

/// SHA-256 of a token's secret: 32 bytes. A store sees this of a token, and its successor's sealed
/// form ([`SealedToken`]).
///
/// No cookie can be made from it. Its `Debug` hides it all the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// A hash as a store returns it. Only the length is checked: any 32 bytes are a hash.
    ///
    /// `None` for anything but 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The 32 bytes, for a store to keep and compare.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether both are equal, in constant time.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        // Two numbers take two comparisons, where bytes would take 32.
        let halves = |hash: &Self| {
            let (high, low) = hash.0.split_at(16);
            [high, low].map(|half| u128::from_be_bytes(half.try_into().expect("16 bytes")))
        };
        let ([high, low], [other_high, other_low]) = (halves(self), halves(other));
        (high.ct_eq(&other_high) & low.ct_eq(&other_low)).into()
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

/// What a request's cookie lets a store look up: the session's id, and the shard to look in.
///
/// The cookie's signature covers both, so a forged cookie causes no look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenRef {
    /// Where the session's user lives.
    pub shard: Shard,
    /// Which session it is.
    pub id: SessionId,
}

/// A token's successor as the row keeps it: 32 bytes that only the token before opens. A copy of
/// the table opens none.
///
/// It is the successor's secret XOR HMAC-SHA-256, keyed with the old secret, of a label, the
/// session id and the successor's hash.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SealedToken([u8; 32]);

impl SealedToken {
    /// A sealed token as a store returns it. `None` for anything but 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The 32 bytes, for a store to keep.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SealedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedToken(..)")
    }
}

/// The operating system gave no random bytes.
#[derive(Debug)]
pub(crate) struct NoRandomness;

/// A session token: the session's id and the secret that proves it, which is wiped from memory on
/// drop.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct SessionToken {
    #[zeroize(skip)]
    shard: Shard,
    #[zeroize(skip)]
    id: SessionId,
    secret: [u8; SECRET_BYTES],
}

impl SessionToken {
    /// A new token for session `id` of `user`. The secret is from the operating system's generator.
    pub(crate) fn generate(user: &UserId, id: SessionId) -> Result<Self, NoRandomness> {
        Self::random(user.shard(), id)
    }

    /// A new token for the same session.
    pub(crate) fn next(&self) -> Result<Self, NoRandomness> {
        Self::random(self.shard, self.id)
    }

    fn random(shard: Shard, id: SessionId) -> Result<Self, NoRandomness> {
        let mut token = Self::from_parts(shard, id, [0; SECRET_BYTES]);
        SysRng.try_fill_bytes(&mut token.secret).map_err(|_| NoRandomness)?;
        Ok(token)
    }

    pub(crate) const fn from_parts(shard: Shard, id: SessionId, secret: [u8; SECRET_BYTES]) -> Self {
        Self { shard, id, secret }
    }

    pub(crate) const fn shard(&self) -> Shard {
        self.shard
    }

    pub(crate) const fn id(&self) -> SessionId {
        self.id
    }

    pub(crate) const fn secret(&self) -> &[u8; SECRET_BYTES] {
        &self.secret
    }

    pub(crate) fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.secret).into())
    }

    pub(crate) const fn lookup(&self) -> TokenRef {
        TokenRef { shard: self.shard, id: self.id }
    }

    /// `successor` sealed for the row to keep: only this token opens it.
    pub(crate) fn seal(&self, successor: &Self) -> SealedToken {
        SealedToken(self.mask(&successor.hash(), successor.secret))
    }

    /// This token's successor, if `sealed` is one whose hash is `hash`.
    pub(crate) fn open(&self, sealed: &SealedToken, hash: &TokenHash) -> Option<Self> {
        let successor = Self { secret: self.mask(hash, sealed.0), ..self.clone() };
        successor.hash().is_same(hash).then_some(successor)
    }

    /// `bytes` XOR a pad that only this token and `hash` give. Applied twice it gives `bytes`
    /// again.
    fn mask(&self, hash: &TokenHash, mut bytes: [u8; SECRET_BYTES]) -> [u8; SECRET_BYTES] {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.secret).expect("HMAC takes a key of any length");
        for part in [SUCCESSOR_LABEL, self.id.as_bytes(), hash.as_bytes()] {
            mac.update(part);
        }
        let mut pad = mac.finalize().into_bytes();
        for (byte, pad) in bytes.iter_mut().zip(&pad) {
            *byte ^= pad;
        }
        pad.zeroize();
        bytes
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(id: u8, secret: [u8; 32]) -> SessionToken {
        SessionToken::from_parts(Shard::of("ada"), SessionId::from_bytes([id; 16]), secret)
    }

    proptest! {
        #[test]
        fn a_successor_opens_with_its_predecessor_and_with_nothing_else(old: [u8; 32], new: [u8; 32], other: [u8; 32]) {
            prop_assume!(old != other && old != new && new != other);
            let (old, new) = (token(1, old), token(1, new));
            let sealed = old.seal(&new);
            prop_assert_ne!(sealed.as_bytes(), new.secret());
            prop_assert!(old.open(&sealed, &new.hash()).is_some_and(|opened| opened.secret() == new.secret()));
            prop_assert!(token(1, other).open(&sealed, &new.hash()).is_none(), "another token");
            prop_assert!(token(2, *old.secret()).open(&sealed, &new.hash()).is_none(), "another session");
            prop_assert!(old.open(&sealed, &token(1, other).hash()).is_none(), "another successor");
        }

        #[test]
        fn what_a_row_holds_opens_no_successor(old: [u8; 32], new: [u8; 32]) {
            prop_assume!(old != new);
            let (old, new) = (token(1, old), token(1, new));
            let sealed = old.seal(&new);
            // All that a copy of the table has: both hashes, the session's id and the sealed bytes.
            for known in [*old.hash().as_bytes(), *new.hash().as_bytes(), *sealed.as_bytes(), [0; 32]] {
                prop_assert!(token(1, known).open(&sealed, &new.hash()).is_none());
                prop_assert_ne!(&known, new.secret());
            }
        }
    }

    #[test]
    fn nothing_secret_shows() {
        let (old, new) = (token(1, [7; 32]), token(1, [8; 32]));
        let shown = format!("{old:?} {:?} {:?}", old.hash(), old.seal(&new));
        assert_eq!(shown, "SessionToken(..) TokenHash(..) SealedToken(..)");
    }
}
