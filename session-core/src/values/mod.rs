//! A request's view of its session's data, and what it changes.

pub(crate) mod changes;
pub(crate) mod json;
pub(crate) mod view;
