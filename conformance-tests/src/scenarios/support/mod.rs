//! What scenarios share.

pub(crate) mod in_flight;
pub(crate) mod in_process;
pub(crate) mod logged;
pub(crate) mod sessions;
pub(crate) mod stored;
