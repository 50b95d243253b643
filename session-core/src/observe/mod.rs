//! What the application hears of.

pub(crate) mod event;
