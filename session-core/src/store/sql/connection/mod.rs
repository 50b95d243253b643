//! A store's own connections: `lease` keeps and leases them, `runtime` is the async runtime that
//! they belong to.

pub(in crate::store) mod lease;
pub(in crate::store) mod runtime;
