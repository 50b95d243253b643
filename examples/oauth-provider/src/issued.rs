//! Random values that were issued: each stands for something, for a time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rand::{TryRng, rngs::SysRng};

/// What the issued values stand for.
pub(crate) struct Issued<T> {
    lifetime: Duration,
    entries: HashMap<String, (Instant, T)>,
}

impl<T> Issued<T> {
    pub(crate) fn new(lifetime: Duration) -> Self {
        Self { lifetime, entries: HashMap::new() }
    }

    /// How long each can be presented.
    pub(crate) const fn lifetime(&self) -> Duration {
        self.lifetime
    }

    /// Issues a value that stands for `what`.
    pub(crate) fn issue(&mut self, what: T) -> String {
        self.entries.retain(|_, (issued, _)| issued.elapsed() < self.lifetime);
        let value = random();
        self.entries.insert(value.clone(), (Instant::now(), what));
        value
    }

    /// What a value stands for.
    pub(crate) fn find(&self, value: &str) -> Option<&T> {
        self.entries.get(value).filter(|(issued, _)| issued.elapsed() < self.lifetime).map(|(_, what)| what)
    }

    /// What a value stood for, which can be presented once.
    pub(crate) fn take(&mut self, value: &str) -> Option<T> {
        self.entries.remove(value).filter(|(issued, _)| issued.elapsed() < self.lifetime).map(|(_, what)| what)
    }
}

/// 256 random bits, in characters that no URL encodes.
pub(crate) fn random() -> String {
    let mut bytes = [0; 32];
    SysRng.try_fill_bytes(&mut bytes).expect("the operating system has random bytes");
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
