//! The keys that sign and encrypt, and how they rotate. Not here: how a key is read, see `text` and
//! `env`; what is mistaken for a key, see `mistaken`; what keys sign, see `cookie` and `csrf`; and
//! how they encrypt, see `seal`.

pub(crate) mod cookie;
pub(crate) mod csrf;
mod env;
mod mistaken;
#[cfg(feature = "encryption")]
pub(crate) mod seal;
mod text;

use std::fmt;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::error::KeyError;

/// Fewest bytes of a signing key.
pub const MIN_KEY_BYTES: usize = 32;
/// Most keys of a ring that only verify.
pub const MAX_VERIFY_KEYS: usize = 8;

const MAC_BYTES: usize = 16;
/// What keys are compared under.
const COMPARED: &str = "session-core/compared/v1:";

type HmacSha256 = Hmac<Sha256>;

/// A secret key for signing cookies: at least 32 bytes, from a good random generator.
///
/// ```
/// use session_core::SigningKey;
///
/// assert!(SigningKey::from_bytes(&[7; 32]).is_ok());
/// let error = SigningKey::from_bytes(b"too short").unwrap_err();
/// assert!(error.to_string().contains("at least 32"));
/// ```
#[derive(Clone)]
pub struct SigningKey {
    /// What RFC 5869 extracts from the key: each use expands it under a label of its own. Wiped
    /// when dropped.
    root: Hkdf<Sha256>,
}

impl SigningKey {
    /// A key from raw bytes.
    ///
    /// # Errors
    /// [`KeyError::TooShort`] under 32 bytes, or [`KeyError::Zeros`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.len() < MIN_KEY_BYTES {
            return Err(KeyError::TooShort { bytes: bytes.len() });
        }
        if bytes.iter().all(|byte| *byte == 0) {
            return Err(KeyError::Zeros);
        }
        // RFC 5869, without a salt: the key is random already.
        Ok(Self { root: Hkdf::new(None, bytes) })
    }

    /// A key from base64 text, standard or URL-safe, with or without padding, as `openssl rand
    /// -base64 32` prints it. Blanks and line breaks, one pair of quotes around it, `base64:`
    /// before it, and a byte order mark or a zero-width space around it, are read over. At least 64
    /// hexadecimal digits are base64 too.
    ///
    /// ```
    /// use session_core::SigningKey;
    ///
    /// let quoted = "\"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\"";
    /// assert!(SigningKey::from_base64(quoted).is_ok());
    /// let error = SigningKey::from_base64("32 characters of any other kind!").unwrap_err();
    /// assert!(error.to_string().contains("character 32"));
    /// ```
    ///
    /// # Errors
    /// [`KeyError::NotBase64`], which names the place; [`KeyError::ShortText`] if it decodes to
    /// less than 32 bytes; [`KeyError::NoSecret`] for what no random generator makes;
    /// [`KeyError::Empty`]; or [`KeyError::Zeros`].
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        text::read(text)
    }

    /// The key in an environment variable, as [`from_base64`](Self::from_base64) reads it. If the
    /// variable isn't set, it is a random key, the same for each call in this process, and a
    /// warning says once that all sessions end with the process.
    ///
    /// ```
    /// use session_core::SigningKey;
    ///
    /// // Not set, so random.
    /// assert!(SigningKey::from_env("SESSION_KEY_OF_NO_APP").is_ok());
    /// // Set, to something that is no key.
    /// let error = SigningKey::from_env("PATH").unwrap_err();
    /// assert!(error.to_string().contains("`PATH`"));
    /// ```
    ///
    /// # Errors
    /// [`KeyError::Variable`] if it is set to anything but a key, an empty text too;
    /// [`KeyError::VariableName`] if `variable` can't be the name of one; or
    /// [`KeyError::NoRandomness`].
    pub fn from_env(variable: &str) -> Result<Self, KeyError> {
        env::of_variable(variable, std::env::var_os(variable))
    }

    /// Whether both are the same key, in constant time.
    fn is_same(&self, other: &Self) -> bool {
        let compared = |key: &Self| key.derive(COMPARED, "");
        compared(self).ct_eq(&*compared(other)).into()
    }

    /// The key of one use. What one use signs or seals, no other accepts: each has a label of its
    /// own, which ends in its version and a colon, and then what it is about.
    fn derive(&self, label: &str, of: &str) -> Zeroizing<[u8; 32]> {
        let mut derived = Zeroizing::new([0; 32]);
        self.root.expand_multi_info(&[label.as_bytes(), of.as_bytes()], &mut *derived).expect("HKDF gives 32 bytes");
        derived
    }

    /// The key of one use, for signatures. A name in the key, and not in what is signed, spares
    /// each signature a block of SHA-256.
    fn mac_key(&self, label: &str, of: &str) -> MacKey {
        let derived = self.derive(label, of);
        MacKey(<HmacSha256 as KeyInit>::new_from_slice(&*derived).expect("HMAC takes a key of any length"))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// The keys in force: one signs, the others only verify.
///
/// To replace a key without signing anyone out: deploy the new one as verify-only everywhere, then
/// make it the signing key and keep the old one as verify-only for the absolute timeout, then drop
/// the old one.
///
/// ```
/// use session_core::{KeyRing, SigningKey};
///
/// # fn main() -> Result<(), session_core::KeyError> {
/// let new = SigningKey::from_bytes(&[2; 32])?;
/// let old = SigningKey::from_bytes(&[1; 32])?;
/// let keys = KeyRing::new(new).verify_with(old)?;
/// assert_eq!(keys.verify_only_count(), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct KeyRing {
    signing: SigningKey,
    verify_only: Vec<SigningKey>,
}

impl KeyRing {
    /// A ring of one key, which signs and verifies.
    pub const fn new(signing: SigningKey) -> Self {
        Self { signing, verify_only: Vec::new() }
    }

    /// Adds a key that verifies but never signs.
    ///
    /// # Errors
    /// [`KeyError::Repeated`] for a key that the ring has, and [`KeyError::TooMany`] beyond 8 of
    /// them.
    pub fn verify_with(mut self, key: SigningKey) -> Result<Self, KeyError> {
        if key.is_same(&self.signing) || self.verify_only.iter().any(|known| key.is_same(known)) {
            return Err(KeyError::Repeated);
        }
        if self.verify_only.len() == MAX_VERIFY_KEYS {
            return Err(KeyError::TooMany);
        }
        self.verify_only.push(key);
        Ok(self)
    }

    /// How many keys only verify.
    pub const fn verify_only_count(&self) -> usize {
        self.verify_only.len()
    }

    fn mac_keys(&self, label: &str, of: &str) -> MacKeys {
        MacKeys {
            signing: self.signing.mac_key(label, of),
            verify_only: self.verify_only.iter().map(|key| key.mac_key(label, of)).collect(),
        }
    }
}

/// A ring of this key alone.
impl From<SigningKey> for KeyRing {
    fn from(signing: SigningKey) -> Self {
        Self::new(signing)
    }
}

/// A key of one use, for signatures.
#[derive(Clone)]
struct MacKey(HmacSha256);

impl MacKey {
    #[inline]
    fn mac(&self, payload: &[u8]) -> [u8; MAC_BYTES] {
        let mut mac = self.0.clone();
        mac.update(payload);
        let full = mac.finalize().into_bytes();
        let mut cut = [0; MAC_BYTES];
        cut.copy_from_slice(&full[..MAC_BYTES]);
        cut
    }
}

/// The keys in force for one use.
#[derive(Clone)]
struct MacKeys {
    signing: MacKey,
    verify_only: Vec<MacKey>,
}

impl MacKeys {
    /// Whether one of the keys signed `payload` so, in constant time.
    #[inline]
    fn verify(&self, payload: &[u8], mac: [u8; MAC_BYTES]) -> bool {
        // As one number each, which takes one comparison and not one for each byte.
        let mac = u128::from_be_bytes(mac);
        let signed_by = |key: &MacKey| bool::from(u128::from_be_bytes(key.mac(payload)).ct_eq(&mac));
        signed_by(&self.signing) || self.verify_only.iter().any(signed_by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::cookie::COOKIE;

    fn ring(seed: u8) -> KeyRing {
        KeyRing::new(SigningKey::from_bytes(&[seed; 32]).unwrap())
    }

    #[test]
    fn a_key_under_32_bytes_is_refused_with_the_reason() {
        let error = SigningKey::from_bytes(&[1; 31]).unwrap_err();
        assert_eq!(error, KeyError::TooShort { bytes: 31 });
        assert!(error.to_string().contains("31") && error.to_string().contains("openssl rand"));
    }

    #[test]
    fn a_key_of_zeros_is_refused_with_the_reason() {
        let error = SigningKey::from_bytes(&[0; 64]).unwrap_err();
        assert_eq!(error, KeyError::Zeros);
        assert!(error.to_string().contains("openssl rand"));
    }

    #[test]
    fn at_most_8_keys_verify_only() {
        let key = |seed| SigningKey::from_bytes(&[seed; 32]).unwrap();
        let full = (1..=8).try_fold(KeyRing::new(key(9)), |ring, seed| ring.verify_with(key(seed))).unwrap();
        assert_eq!(full.verify_with(key(10)).unwrap_err(), KeyError::TooMany);
    }

    #[test]
    fn a_key_that_the_ring_has_is_refused_with_the_reason() {
        let key = |seed| SigningKey::from_bytes(&[seed; 32]).unwrap();
        let ring = KeyRing::new(key(1)).verify_with(key(2)).unwrap();
        for seed in [1, 2] {
            let error = ring.clone().verify_with(key(seed)).unwrap_err();
            assert!(error == KeyError::Repeated && error.to_string().contains("leave it out"), "{error}");
        }
        assert_eq!(ring.verify_with(key(3)).unwrap().verify_only_count(), 2);
    }

    #[test]
    fn each_use_has_a_key_of_its_own() {
        let key = ring(1).signing;
        let derived =
            [("session-core/cookie/v1:", "n"), ("session-core/other/v1:", "n"), ("session-core/cookie/v1:", "m")]
                .map(|(label, of)| *key.derive(label, of));
        assert!(derived[0] != derived[1] && derived[0] != derived[2] && derived[1] != derived[2]);
        assert_eq!(*ring(1).signing.derive("session-core/other/v1:", "n"), derived[1], "the same on every node");
    }

    #[test]
    fn the_key_is_derived_by_hkdf() {
        // RFC 5869, worked out by its two steps: extract with a salt of zeros, expand by the label
        // and a one.
        let hmac = |key: &[u8], text: &[&[u8]]| {
            let mut mac = <HmacSha256 as KeyInit>::new_from_slice(key).unwrap();
            text.iter().for_each(|part| mac.update(part));
            mac.finalize().into_bytes()
        };
        let derived = hmac(&hmac(&[0; 32], &[&[1; 32]]), &[COOKIE.as_bytes(), b"n", &[1]]);
        let expected = hmac(&derived, &[b"p"]);
        assert_eq!(ring(1).signing.mac_key(COOKIE, "n").mac(b"p"), expected[..MAC_BYTES]);
    }
}
