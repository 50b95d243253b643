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
    pub(crate) keep: Keep,
}

/// Which values of a visitor a sign-in takes along.
#[derive(Clone, Default)]
pub(crate) enum Keep {
    #[default]
    Nothing,
    Keys(Vec<String>),
    All,
}

impl Keep {
    /// Whether it takes along the value of `key`.
    pub(crate) fn covers(&self, key: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::Keys(keys) => keys.iter().any(|kept| kept == key),
            Self::All => true,
        }
    }
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

    /// Takes along these values of the visitor who signs in, such as the cart: see
    /// [`Visitors`](crate::Visitors). A key that isn't there is no error, and where
    /// [`data`](Self::data) has it too, that counts. Nothing is ever taken along from a user's
    /// session.
    #[must_use]
    pub fn keep<K: Into<String>>(mut self, keys: impl IntoIterator<Item = K>) -> Self {
        self.keep = Keep::Keys(keys.into_iter().map(K::into).collect());
        self
    }

    /// Takes along all values of the visitor who signs in, as [`keep`](Self::keep) does.
    #[must_use]
    pub fn keep_all(mut self) -> Self {
        self.keep = Keep::All;
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
