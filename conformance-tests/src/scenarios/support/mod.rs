//! What scenarios share.

pub(super) mod in_flight;
pub(super) mod in_process;
pub(super) mod sessions;
pub(super) mod stored;
