//! The options of a sign-in.

use std::fmt;

use serde_json::Value;

/// How to sign in.
///
/// ```
/// use session_core::SignIn;
///
/// let options = SignIn::new().data(serde_json::json!({"theme": "dark"})).browser_session(true);
/// # let _ = options;
/// ```
#[derive(Clone, Default)]
pub struct SignIn {
    pub(crate) data: Option<Value>,
    pub(crate) browser_session: bool,
}

impl SignIn {
    /// With empty data and a cookie that lives as long as the session can.
    pub fn new() -> Self {
        Self::default()
    }

    /// The session's first values: a JSON object.
    #[must_use]
    pub fn data(mut self, data: Value) -> Self {
        self.data = Some(data);
        self
    }

    /// Whether the browser forgets the cookie when it closes. The choice lasts through rotations.
    #[must_use]
    pub const fn browser_session(mut self, yes: bool) -> Self {
        self.browser_session = yes;
        self
    }
}

impl fmt::Debug for SignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignIn").field("browser_session", &self.browser_session).finish_non_exhaustive()
    }
}
