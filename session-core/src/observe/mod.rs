//! What the application can observe.

pub(crate) mod event;
pub(crate) mod reported_clients;
