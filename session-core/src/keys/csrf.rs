//! The text of CSRF tokens: what is signed, and its mask. Not here: what a token is bound to, see
//! `adapter::csrf`.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::{KeyRing, MAC_BYTES, MacKeys};

/// What the key of CSRF tokens is derived under. The cookie's name follows.
const CSRF: &str = "session-core/csrf/v1:";
/// A pad, and a signature that is masked with it.
const TEXT_BYTES: usize = 2 * MAC_BYTES;
/// Characters of a token: 32 bytes in base64url without padding.
const TEXT_CHARS: usize = 43;

impl KeyRing {
    /// The keys of CSRF tokens, for sessions whose cookie has this name.
    pub(crate) fn of_csrf(&self, name: &str) -> CsrfKeys {
        CsrfKeys(self.mac_keys(CSRF, name))
    }
}

/// The keys in force for CSRF tokens.
#[derive(Clone)]
pub(crate) struct CsrfKeys(MacKeys);

impl CsrfKeys {
    /// The token of `id`, under a random `pad`: base64url of the pad, and of the first 128 bits of
    /// the signature XORed with it. Without a mask the same bytes would stand in each of a
    /// session's pages, and compressed pages could give them away (BREACH).
    pub(crate) fn sign(&self, id: &[u8], pad: [u8; MAC_BYTES]) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; TEXT_BYTES]);
        bytes[..MAC_BYTES].copy_from_slice(&pad);
        bytes[MAC_BYTES..].copy_from_slice(&xor(self.0.signing.mac(id), pad));
        Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes))
    }

    /// Whether one of the keys signed this text for `id`. The signature is compared in constant
    /// time. Any bytes may come.
    pub(crate) fn verify(&self, id: &[u8], text: &[u8]) -> bool {
        let mut bytes = Zeroizing::new([0; TEXT_BYTES]);
        if text.len() != TEXT_CHARS || URL_SAFE_NO_PAD.decode_slice(text, &mut *bytes) != Ok(TEXT_BYTES) {
            return false;
        }
        let half = |half: &[u8]| half.try_into().expect("a half has the length of a signature");
        let (pad, masked) = bytes.split_at(MAC_BYTES);
        self.0.verify(id, xor(half(masked), half(pad)))
    }
}

fn xor(one: [u8; MAC_BYTES], other: [u8; MAC_BYTES]) -> [u8; MAC_BYTES] {
    (u128::from_be_bytes(one) ^ u128::from_be_bytes(other)).to_be_bytes()
}

impl fmt::Debug for CsrfKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CsrfKeys(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::keys::SigningKey;

    const SIGNED_BY_0_1_0: &str = "AwMDAwMDAwMDAwMDAwMDA1wRx5hsKnFD01cDasNhtkU";

    fn ring(seed: u8) -> KeyRing {
        KeyRing::new(SigningKey::from_bytes(&[seed; 32]).unwrap())
    }

    #[test]
    fn a_token_that_an_earlier_release_signed_verifies() {
        // As 0.1.0 wrote it, for a key of 32 ones: worked out by RFC 5869 and RFC 2104 elsewhere.
        let text = ring(1).of_csrf("__Host-session").sign(&[9; 16], [3; 16]);
        assert_eq!(*text, SIGNED_BY_0_1_0);
    }

    #[test]
    fn what_signs_cookies_signs_no_token() {
        let (csrf, cookie) = (ring(1).of_csrf("n"), ring(1).of_cookie("n"));
        let unmasked = csrf.sign(&[9; 16], [0; 16]);
        let bytes = URL_SAFE_NO_PAD.decode(&*unmasked).unwrap();
        assert_eq!(bytes[MAC_BYTES..], csrf.0.signing.mac(&[9; 16]));
        assert_ne!(bytes[MAC_BYTES..], cookie.0.signing.mac(&[9; 16]));
    }

    #[test]
    fn a_mask_hides_the_signature() {
        let keys = ring(1).of_csrf("n");
        let texts = [[1; 16], [2; 16]].map(|pad| URL_SAFE_NO_PAD.decode(&*keys.sign(&[9; 16], pad)).unwrap());
        assert!(texts[0].iter().zip(&texts[1]).all(|(one, other)| one != other), "no byte is the same");
    }

    proptest! {
        #[test]
        fn what_is_signed_verifies_for_that_id_name_and_key_only(id: [u8; 16], other: [u8; 16], pad: [u8; 16]) {
            prop_assume!(id != other);
            let text = ring(1).of_csrf("a").sign(&id, pad);
            let text = text.as_bytes();
            prop_assert_eq!(text.len(), TEXT_CHARS);
            prop_assert!(ring(1).of_csrf("a").verify(&id, text));
            prop_assert!(!ring(1).of_csrf("a").verify(&other, text));
            prop_assert!(!ring(1).of_csrf("b").verify(&id, text));
            prop_assert!(!ring(2).of_csrf("a").verify(&id, text));
            prop_assert!(ring(2).verify_with(ring(1).signing).unwrap().of_csrf("a").verify(&id, text));
        }

        #[test]
        fn no_single_changed_character_verifies(pad: [u8; 16], at in 0..TEXT_CHARS, flip in 1u8..=127) {
            let keys = ring(1).of_csrf("a");
            let mut text = keys.sign(&[9; 16], pad).as_bytes().to_vec();
            text[at] ^= flip;
            prop_assert!(!keys.verify(&[9; 16], &text));
        }

        #[test]
        fn any_bytes_are_no_token_and_no_panic(text: Vec<u8>) {
            prop_assert!(!ring(1).of_csrf("a").verify(&[9; 16], &text));
        }
    }
}
