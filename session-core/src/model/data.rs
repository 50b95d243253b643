//! A session's data, as text and as values.
//!
//! Data is text until it is read, so a row whose data can't be decoded can still be revoked and
//! signed out of. Copies of a row share the decoded values. A request that changes them takes them
//! out of the row first, so a change copies them only while another request is reading them.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};

/// A session's data: a JSON object. It is kept as text and decoded when it is first read. Clones
/// share the text and the decoded values.
#[derive(Clone)]
pub struct Data(Arc<Shared>);

struct Shared {
    text: Cow<'static, str>,
    decoded: Mutex<Option<Decoded>>,
}

/// The values, or `None` where the text isn't a JSON object.
type Decoded = Option<Arc<Map<String, Value>>>;

impl Data {
    /// Data as a store returns it. It is checked when it is first read, not here.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self::of(Cow::Owned(text.into()), None)
    }

    /// No values.
    pub(crate) fn empty() -> Self {
        Self::of(Cow::Borrowed("{}"), None)
    }

    /// The JSON text, which a store keeps exactly.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    pub(crate) fn encode(values: Arc<Map<String, Value>>) -> Self {
        let text = serde_json::to_string(&*values).expect("a JSON map with text keys can be written");
        Self::of(Cow::Owned(text), Some(Some(values)))
    }

    /// The values, or `None` if the text isn't a JSON object.
    pub(crate) fn values(&self) -> Option<Arc<Map<String, Value>>> {
        self.decoded().get_or_insert_with(|| serde_json::from_str(self.text()).ok().map(Arc::new)).clone()
    }

    /// Drops the decoded values. The next read of this data decodes them again.
    pub(crate) fn forget_values(&self) {
        drop(self.decoded().take());
    }

    fn of(text: Cow<'static, str>, decoded: Option<Decoded>) -> Self {
        Self(Arc::new(Shared { text, decoded: Mutex::new(decoded) }))
    }

    fn decoded(&self) -> MutexGuard<'_, Option<Decoded>> {
        self.0.decoded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Equal text.
impl PartialEq for Data {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Eq for Data {}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Data({} bytes)", self.text().len())
    }
}
