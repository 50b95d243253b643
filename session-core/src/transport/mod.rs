//! How a token travels.

pub(crate) mod cookie;
