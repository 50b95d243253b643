//! What the application can observe.

pub(crate) mod changed_clients;
pub(crate) mod event;
