//! What this mount brings: an adapter, a store on disk, and broken ones.

pub(crate) mod axum;
pub(crate) mod broken;
pub(crate) mod processes;
pub(crate) mod sqlite;
