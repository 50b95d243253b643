//! What this binary mounts: adapters, and what is broken on purpose.

pub(crate) mod actix;
pub(crate) mod axum;
pub(crate) mod broken;
pub(crate) mod by_hand;
pub(crate) mod encrypting;
pub(crate) mod faults;
mod http1;
pub(crate) mod hyper;
pub(crate) mod pgbouncer;
pub(crate) mod processes;
