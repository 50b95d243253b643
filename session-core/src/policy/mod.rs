//! Decisions that need no I/O: the time is passed in, the store's answer too.

pub(crate) mod expiry;
pub(crate) mod rotation;
