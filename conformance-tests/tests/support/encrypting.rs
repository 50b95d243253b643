//! The store in memory, behind one that encrypts.

use std::sync::Arc;

use conformance_tests::BoxFuture;
use conformance_tests::world::{Rows, StoreKind};
use session_core::store::databases::Encrypted;
use session_core::{MemoryStore, SigningKey};

pub(crate) struct Encrypting;

impl StoreKind for Encrypting {
    fn name(&self) -> &'static str {
        "encrypted"
    }

    fn fresh(&self) -> BoxFuture<'static, Rows> {
        let key = SigningKey::from_bytes(&[43; 32]).expect("32 bytes");
        let store = Encrypted::new(MemoryStore::new(), key);
        Box::pin(std::future::ready(Rows::shared(Arc::new(store))))
    }
}
