//! The signed form of a token: the value of a cookie. Not here: reading and writing headers, see
//! `transport::cookie`.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::{Zeroize, Zeroizing};

use super::{KeyRing, MAC_BYTES, MacKeys};
use crate::model::session_id::SessionId;
use crate::model::token::{SECRET_BYTES, SessionToken};
use crate::model::user_id::Shard;

const VERSION: u8 = 1;
const ID_BYTES: usize = 16;
const PAYLOAD_BYTES: usize = 1 + 2 + ID_BYTES + SECRET_BYTES;
const SIGNED_BYTES: usize = PAYLOAD_BYTES + MAC_BYTES;
/// Characters of a cookie's value: 67 bytes in base64url without padding.
pub(crate) const VALUE_CHARS: usize = 90;
/// What the key of session cookies is derived under. The cookie's name follows.
pub(super) const COOKIE: &str = "session-core/cookie/v1:";

impl KeyRing {
    /// The keys of cookies of this name.
    pub(crate) fn of_cookie(&self, name: &str) -> CookieKeys {
        CookieKeys(self.mac_keys(COOKIE, name))
    }
}

/// The keys in force for the cookies of one name.
#[derive(Clone)]
pub(crate) struct CookieKeys(pub(super) MacKeys);

impl CookieKeys {
    /// The cookie value of `token`: base64url of version, shard, session id, secret and the first
    /// 128 bits of the signature.
    pub(crate) fn sign(&self, token: &SessionToken) -> CookieValue {
        let mut bytes = Zeroizing::new([0; SIGNED_BYTES]);
        bytes[0] = VERSION;
        bytes[1..3].copy_from_slice(&token.shard().to_bytes());
        bytes[3..3 + ID_BYTES].copy_from_slice(token.id().as_bytes());
        bytes[3 + ID_BYTES..PAYLOAD_BYTES].copy_from_slice(token.secret());
        let mac = self.0.signing.mac(&bytes[..PAYLOAD_BYTES]);
        bytes[PAYLOAD_BYTES..].copy_from_slice(&mac);
        let mut text = Zeroizing::new([0; VALUE_CHARS]);
        let length = URL_SAFE_NO_PAD.encode_slice(*bytes, &mut *text);
        assert_eq!(length, Ok(VALUE_CHARS), "67 bytes are 90 characters");
        CookieValue(text)
    }

    /// The token of a cookie value, if one of the keys signed it for a cookie of this name. The
    /// signature is compared in constant time.
    pub(crate) fn verify(&self, value: &SignedValue) -> Option<SessionToken> {
        let (payload, mac) = value.0.split_at(PAYLOAD_BYTES);
        if !self.0.verify(payload, mac.try_into().expect("what is left is the signature")) {
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

/// A cookie's value that has the form of a signed token. Whether it is one is for
/// [`CookieKeys::verify`] to say.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::keys::SigningKey;

    const SIGNED_BY_0_1_0: &str =
        "Af3uCQkJCQkJCQkJCQkJCQkJCf__________________________________________pai-wCxLspNZTh83fnWYxg";

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
    fn a_cookie_that_an_earlier_release_signed_verifies() {
        // As 0.1.0 wrote it, for a key of 32 ones.
        let value = ring(1).of_cookie("__Host-session").sign(&token([255; 32]));
        assert_eq!(value.as_str(), SIGNED_BY_0_1_0);
        assert!(verify(&ring(1), "__Host-session", SIGNED_BY_0_1_0.as_bytes()).is_some());
    }

    #[test]
    fn another_version_is_no_token() {
        let keys = ring(1);
        let mut bytes = [0; SIGNED_BYTES];
        bytes[0] = 2;
        let mac = keys.signing.mac_key(COOKIE, "s").mac(&bytes[..PAYLOAD_BYTES]);
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
