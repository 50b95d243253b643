//! Encryption with the keys in force: XChaCha20-Poly1305 (RFC 8439 with the longer nonce of
//! draft-irtf-cfrg-xchacha), of which no two random nonces ever meet. Not here: what is encrypted.

use chacha20poly1305::aead::{Aead, Generate, Nonce, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305};

use super::{KeyRing, SigningKey};
use crate::error::StoreError;

/// Bytes of a key's id, which shows nothing of the key.
const KEY_ID_BYTES: usize = 4;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
/// Bytes that a sealed text has more than the text.
pub(crate) const SEALED_MORE: usize = KEY_ID_BYTES + NONCE_BYTES + TAG_BYTES;

/// The keys in force for one use.
#[derive(Clone)]
pub(crate) struct SealKeys {
    /// The first one seals.
    keys: Vec<SealKey>,
}

#[derive(Clone)]
struct SealKey {
    id: [u8; KEY_ID_BYTES],
    cipher: XChaCha20Poly1305,
}

/// Why a sealed text can't be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unopened {
    /// No key of the ring has this id.
    UnknownKey([u8; KEY_ID_BYTES]),
    /// It isn't what was sealed, or was sealed for something else.
    NotSealedSo,
}

impl SealKeys {
    /// The keys of one use: `label` ends in its version and a colon.
    pub(crate) fn new(ring: &KeyRing, label: &str) -> Self {
        Self {
            keys: [&ring.signing].into_iter().chain(&ring.verify_only).map(|key| SealKey::new(key, label)).collect(),
        }
    }

    /// `text`, sealed for `of`.
    pub(crate) fn seal(&self, text: &[u8], of: &[u8]) -> Result<Vec<u8>, StoreError> {
        let key = &self.keys[0];
        let nonce = Nonce::<XChaCha20Poly1305>::try_generate().map_err(StoreError::not_applied)?;
        let sealed = key.cipher.encrypt(&nonce, Payload { msg: text, aad: of });
        let sealed = sealed.map_err(|_| StoreError::not_applied("too long to be encrypted"))?;
        Ok([&key.id, &*nonce, &*sealed].concat())
    }

    /// What was sealed for `of`.
    pub(crate) fn open(&self, sealed: &[u8], of: &[u8]) -> Result<Vec<u8>, Unopened> {
        let (id, rest) = sealed.split_first_chunk().ok_or(Unopened::NotSealedSo)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(Unopened::NotSealedSo)?;
        // Two keys may have the same id, once in four thousand million.
        let mut keys = self.keys.iter().filter(|key| key.id == *id).peekable();
        keys.peek().ok_or(Unopened::UnknownKey(*id))?;
        let open = |key: &SealKey| key.cipher.decrypt(&(*nonce).into(), Payload { msg: sealed, aad: of }).ok();
        keys.find_map(open).ok_or(Unopened::NotSealedSo)
    }
}

impl SealKey {
    fn new(key: &SigningKey, label: &str) -> Self {
        let mut id = [0; KEY_ID_BYTES];
        id.copy_from_slice(&key.derive(label, "id")[..KEY_ID_BYTES]);
        Self { id, cipher: XChaCha20Poly1305::new(&(*key.derive(label, "key")).into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABEL: &str = "session-core/test/v1:";

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32]).unwrap()
    }

    fn keys(ring: impl Into<KeyRing>) -> SealKeys {
        SealKeys::new(&ring.into(), LABEL)
    }

    #[test]
    fn what_is_sealed_opens_for_the_same_alone() {
        let keys = keys(key(1));
        for text in [&b""[..], b"{}", &[7; 5000]] {
            let sealed = keys.seal(text, b"a").unwrap();
            assert_eq!(sealed.len(), text.len() + SEALED_MORE);
            assert_eq!(keys.open(&sealed, b"a").unwrap(), text);
            assert_eq!(keys.open(&sealed, b"b"), Err(Unopened::NotSealedSo));
            assert_ne!(sealed, keys.seal(text, b"a").unwrap(), "each time with another nonce");
        }
    }

    #[test]
    fn whatever_was_changed_is_noticed() {
        let keys = keys(key(1));
        let sealed = keys.seal(b"{\"a\":1}", b"a").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            let error = keys.open(&changed, b"a").unwrap_err();
            assert_eq!(matches!(error, Unopened::UnknownKey(_)), at < KEY_ID_BYTES, "{at}");
            assert!(keys.open(&sealed[..at], b"a").is_err(), "{at}");
        }
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let (old, new) = (keys(key(1)), keys(KeyRing::new(key(2)).verify_with(key(1)).unwrap()));
        assert_eq!(new.open(&old.seal(b"x", b"").unwrap(), b"").unwrap(), b"x");
        let sealed = new.seal(b"x", b"").unwrap();
        assert_eq!(old.open(&sealed, b""), Err(Unopened::UnknownKey(keys(key(2)).keys[0].id)));
        assert_eq!(keys(key(2)).open(&sealed, b"").unwrap(), b"x");
    }
}
