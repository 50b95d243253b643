//! The keys that sign cookies, how they rotate, and the signed form of a token.
//! Not here: reading and writing headers, see `transport::cookie`.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Deserializer};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use crate::error::KeyError;
use crate::model::session_id::SessionId;
use crate::model::token::{SECRET_BYTES, SessionToken};
use crate::model::user_id::Shard;

/// Fewest bytes of a signing key.
pub const MIN_KEY_BYTES: usize = 32;
/// Most keys of a ring that only verify.
pub const MAX_VERIFY_KEYS: usize = 8;

const VERSION: u8 = 1;
const ID_BYTES: usize = 16;
const PAYLOAD_BYTES: usize = 1 + 2 + ID_BYTES + SECRET_BYTES;
const MAC_BYTES: usize = 16;
const SIGNED_BYTES: usize = PAYLOAD_BYTES + MAC_BYTES;
/// Characters of a cookie's value: 67 bytes in base64url without padding.
pub(crate) const VALUE_CHARS: usize = 90;
/// Names the one use of the derived key, so that the same key in another place signs nothing that we accept. The cookie's name follows.
const LABEL: &[u8] = b"session-core/cookie/v1:";

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
pub struct SigningKey(Hkdf<Sha256>);

impl SigningKey {
    /// A key from raw bytes.
    ///
    /// # Errors
    /// [`KeyError::TooShort`] under 32 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.len() < MIN_KEY_BYTES {
            return Err(KeyError::TooShort { bytes: bytes.len() });
        }
        // RFC 5869, without a salt: the key is random already.
        Ok(Self(Hkdf::new(None, bytes)))
    }

    /// A key from base64 text, standard or URL-safe, with or without padding, as `openssl rand -base64 32` prints it.
    ///
    /// # Errors
    /// [`KeyError::NotBase64`], or [`KeyError::TooShort`] if it decodes to less than 32 bytes.
    pub fn from_base64(text: &str) -> Result<Self, KeyError> {
        let text = text.trim().trim_end_matches('=');
        let bytes = URL_SAFE_NO_PAD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text));
        Self::from_bytes(&Zeroizing::new(bytes.map_err(|_| KeyError::NotBase64)?))
    }

    /// The key of cookies of this name. That the name is in the key and not in what is signed spares each signature a block of SHA-256.
    fn of_cookie(&self, name: &str) -> CookieKey {
        let mut derived = Zeroizing::new([0; 32]);
        self.0.expand_multi_info(&[LABEL, name.as_bytes()], &mut *derived).expect("HKDF gives 32 bytes");
        CookieKey(<HmacSha256 as KeyInit>::new_from_slice(&*derived).expect("HMAC takes a key of any length"))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// Reads the key as base64 text, as [`SigningKey::from_base64`] does.
impl<'de> Deserialize<'de> for SigningKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // serde's own message would show what stands there instead of text.
        let text = String::deserialize(deserializer).map_err(|_| serde::de::Error::custom(KeyError::NotBase64))?;
        let text = Zeroizing::new(text);
        Self::from_base64(&text).map_err(serde::de::Error::custom)
    }
}

/// The keys in force: one signs, the others only verify.
///
/// To replace a key without signing anyone out: deploy the new one as verify-only everywhere, then make it
/// the signing key and keep the old one as verify-only for the absolute timeout, then drop the old one.
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
    /// [`KeyError::TooMany`] beyond 8 of them.
    pub fn verify_with(mut self, key: SigningKey) -> Result<Self, KeyError> {
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

    /// The keys of cookies of this name.
    pub(crate) fn of_cookie(&self, name: &str) -> CookieKeys {
        CookieKeys {
            signing: self.signing.of_cookie(name),
            verify_only: self.verify_only.iter().map(|key| key.of_cookie(name)).collect(),
        }
    }
}

/// A key for the cookies of one name.
#[derive(Clone)]
struct CookieKey(HmacSha256);

impl CookieKey {
    fn mac(&self, payload: &[u8]) -> [u8; MAC_BYTES] {
        let mut mac = self.0.clone();
        mac.update(payload);
        let full = mac.finalize().into_bytes();
        let mut cut = [0; MAC_BYTES];
        cut.copy_from_slice(&full[..MAC_BYTES]);
        cut
    }
}

/// The keys in force for the cookies of one name.
#[derive(Clone)]
pub(crate) struct CookieKeys {
    signing: CookieKey,
    verify_only: Vec<CookieKey>,
}

impl CookieKeys {
    /// The cookie value of `token`: base64url of version, shard, session id, secret and the first 128 bits of the signature.
    pub(crate) fn sign(&self, token: &SessionToken) -> CookieValue {
        let mut bytes = Zeroizing::new([0; SIGNED_BYTES]);
        bytes[0] = VERSION;
        bytes[1..3].copy_from_slice(&token.shard().to_bytes());
        bytes[3..3 + ID_BYTES].copy_from_slice(token.id().as_bytes());
        bytes[3 + ID_BYTES..PAYLOAD_BYTES].copy_from_slice(token.secret());
        let mac = self.signing.mac(&bytes[..PAYLOAD_BYTES]);
        bytes[PAYLOAD_BYTES..].copy_from_slice(&mac);
        let mut text = Zeroizing::new([0; VALUE_CHARS]);
        let length = URL_SAFE_NO_PAD.encode_slice(*bytes, &mut *text);
        assert_eq!(length, Ok(VALUE_CHARS), "67 bytes are 90 characters");
        CookieValue(text)
    }

    /// The token of a cookie value, if one of the keys signed it for a cookie of this name. The signature is compared in
    /// constant time.
    pub(crate) fn verify(&self, value: &SignedValue) -> Option<SessionToken> {
        let (payload, mac) = value.0.split_at(PAYLOAD_BYTES);
        // As one number each, which takes one comparison and not one for each byte.
        let mac = u128::from_be_bytes(mac.try_into().expect("what is left is the signature"));
        let signed_by = |key: &CookieKey| bool::from(u128::from_be_bytes(key.mac(payload)).ct_eq(&mac));
        if !signed_by(&self.signing) && !self.verify_only.iter().any(signed_by) {
            return None;
        }
        let (head, secret) = payload.split_at(3 + ID_BYTES);
        let mut bytes = [0; SECRET_BYTES];
        bytes.copy_from_slice(secret);
        let id = SessionId::from_bytes(head[3..].try_into().expect("what is left is the id"));
        let token = SessionToken::from_parts(Shard::from_bytes([head[1], head[2]]), id, bytes);
        bytes.zeroize();
        Some(token)
    }
}

impl fmt::Debug for CookieKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CookieKeys(..)")
    }
}

/// A cookie's value, wiped when dropped.
pub(crate) struct CookieValue(Zeroizing<[u8; VALUE_CHARS]>);

impl CookieValue {
    pub(crate) fn as_str(&self) -> &str {
        str::from_utf8(&*self.0).expect("base64 is ASCII")
    }
}

/// A cookie's value that has the form of a signed token. Whether it is one is for [`CookieKeys::verify`] to say.
pub(crate) struct SignedValue(Zeroizing<[u8; SIGNED_BYTES]>);

impl SignedValue {
    /// Any bytes may come: the length is looked at first.
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        if value.len() != VALUE_CHARS {
            return None;
        }
        let mut bytes = Zeroizing::new([0; SIGNED_BYTES]);
        let is_whole = URL_SAFE_NO_PAD.decode_slice(value, &mut *bytes) == Ok(SIGNED_BYTES);
        (is_whole && bytes[0] == VERSION).then_some(Self(bytes))
    }
}

/// Reads `{ signing = "<base64>", verify_only = ["<base64>", …] }`.
impl<'de> Deserialize<'de> for KeyRing {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Ring {
            signing: SigningKey,
            #[serde(default)]
            verify_only: Vec<SigningKey>,
        }
        let ring = Ring::deserialize(deserializer)?;
        ring.verify_only
            .into_iter()
            .try_fold(Self::new(ring.signing), Self::verify_with)
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ring(seed: u8) -> KeyRing {
        KeyRing::new(SigningKey::from_bytes(&[seed; 32]).unwrap())
    }

    fn token(secret: [u8; 32]) -> SessionToken {
        SessionToken::from_parts(Shard::of("ada"), SessionId::from_bytes([9; 16]), secret)
    }

    fn verify(ring: &KeyRing, name: &str, value: &[u8]) -> Option<SessionToken> {
        ring.of_cookie(name).verify(&SignedValue::parse(value)?)
    }

    #[test]
    fn a_value_is_90_url_safe_characters() {
        let value = ring(1).of_cookie("__Host-session").sign(&token([255; 32]));
        assert_eq!(value.as_str().len(), VALUE_CHARS);
        assert!(value.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
    }

    #[test]
    fn a_key_under_32_bytes_is_refused_with_the_reason() {
        let error = SigningKey::from_bytes(&[1; 31]).unwrap_err();
        assert_eq!(error, KeyError::TooShort { bytes: 31 });
        assert!(error.to_string().contains("31") && error.to_string().contains("openssl rand"));
    }

    #[test]
    fn at_most_8_keys_verify_only() {
        let key = || SigningKey::from_bytes(&[1; 32]).unwrap();
        let full = (0..8).try_fold(KeyRing::new(key()), |ring, _| ring.verify_with(key())).unwrap();
        assert_eq!(full.verify_with(key()).unwrap_err(), KeyError::TooMany);
    }

    #[test]
    fn the_same_key_in_every_base64_spelling() {
        let text = "+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/+/8=";
        let mac = |text: &str| SigningKey::from_base64(text).unwrap().of_cookie("n").mac(b"p");
        let expected = mac(text);
        for other in [text.replace('+', "-").replace('/', "_"), text.trim_end_matches('=').to_owned()] {
            assert_eq!(mac(&other), expected);
        }
    }

    #[test]
    fn the_key_is_derived_by_hkdf() {
        // RFC 5869, worked out by its two steps: extract with a salt of zeros, expand by the label and a one.
        let hmac = |key: &[u8], text: &[&[u8]]| {
            let mut mac = <HmacSha256 as KeyInit>::new_from_slice(key).unwrap();
            text.iter().for_each(|part| mac.update(part));
            mac.finalize().into_bytes()
        };
        let derived = hmac(&hmac(&[0; 32], &[&[1; 32]]), &[LABEL, b"n", &[1]]);
        let expected = hmac(&derived, &[b"p"]);
        assert_eq!(ring(1).signing.of_cookie("n").mac(b"p"), expected[..MAC_BYTES]);
    }

    #[test]
    fn another_version_is_no_token() {
        let keys = ring(1);
        let mut bytes = [0; SIGNED_BYTES];
        bytes[0] = 2;
        let mac = keys.signing.of_cookie("s").mac(&bytes[..PAYLOAD_BYTES]);
        bytes[PAYLOAD_BYTES..].copy_from_slice(&mac);
        assert!(verify(&keys, "s", URL_SAFE_NO_PAD.encode(bytes).as_bytes()).is_none());
    }

    proptest! {
        #[test]
        fn what_is_signed_verifies_for_that_name_and_key_only(secret: [u8; 32]) {
            let value = ring(1).of_cookie("a").sign(&token(secret));
            let back = verify(&ring(1), "a", value.as_str().as_bytes()).unwrap();
            prop_assert_eq!(back.lookup(), token(secret).lookup());
            prop_assert_eq!(back.secret(), &secret);
            prop_assert!(verify(&ring(1), "b", value.as_str().as_bytes()).is_none());
            prop_assert!(verify(&ring(2), "a", value.as_str().as_bytes()).is_none());
            let both = ring(2).verify_with(ring(1).signing).unwrap();
            prop_assert!(verify(&both, "a", value.as_str().as_bytes()).is_some());
        }

        #[test]
        fn no_single_changed_character_verifies(secret: [u8; 32], at in 0..VALUE_CHARS, flip in 1u8..=127) {
            let mut value = ring(1).of_cookie("a").sign(&token(secret)).as_str().as_bytes().to_vec();
            value[at] ^= flip;
            prop_assert!(verify(&ring(1), "a", &value).is_none());
        }

        #[test]
        fn any_bytes_are_no_token_and_no_panic(value: Vec<u8>) {
            prop_assert!(verify(&ring(1), "a", &value).is_none());
        }
    }
}
