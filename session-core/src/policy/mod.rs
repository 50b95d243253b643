//! Decisions without I/O: the time and the store's answer are passed in.

pub(crate) mod answer;
pub(crate) mod cross_origin;
pub(crate) mod expiry;
pub(crate) mod next;
pub(crate) mod origin;
pub(crate) mod plain_http;
pub(crate) mod rotation;
