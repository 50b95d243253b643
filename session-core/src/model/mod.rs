//! The nouns: users, sessions, tokens, and a session's row. No I/O, and no HTTP.

pub(crate) mod data;
pub(crate) mod record;
pub(crate) mod session_id;
pub(crate) mod sign_in;
pub(crate) mod snapshot;
pub(crate) mod standing;
pub(crate) mod token;
pub(crate) mod user_id;
pub(crate) mod version;
