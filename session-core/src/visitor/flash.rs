//! Messages for the next page: what they are, and how they stand in a session's values. Not here:
//! showing one once, see `request::taking`.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The key under which messages wait. Its first character keeps it apart from most
/// applications' own keys.
pub(crate) const KEY: &str = "~flash";

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FlashLevel {
    /// Something that is good to know.
    Info,
    /// What was asked for is done.
    Success,
    /// What was asked for is done, and there is something to look at.
    Warning,
    /// What was asked for isn't done.
    Error,
}

/// As in JSON: `info`, `success`, `warning` or `error`, for a CSS class.
impl fmt::Display for FlashLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Info => "info",
            Self::Success => "success",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// A message for the next page. Its text is as it was given: escape it in HTML.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FlashMessage {
    /// What it is about.
    pub level: FlashLevel,
    /// What to show.
    pub text: String,
    /// What else the page needs, such as a link to undo it; null if there is nothing.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub data: Value,
}

impl FlashMessage {
    pub(crate) fn new(level: FlashLevel, text: String, data: Value) -> Self {
        Self { level, text, data }
    }
}

/// Shows neither text nor data, which may be private.
impl fmt::Debug for FlashMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlashMessage").field("level", &self.level).finish_non_exhaustive()
    }
}
