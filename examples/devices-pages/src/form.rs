//! What the forms send, parsed into types with bounded lengths. Leaves decoding the body, and the
//! 4xx for one that doesn't fit, to each framework's form extractor.

use std::fmt;

use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use crate::{Page, Theme};

const MAX_USERNAME_BYTES: usize = 255;
const MAX_PASSWORD_BYTES: usize = 1024;

/// `POST /login`.
#[derive(Debug, Deserialize)]
pub struct LoginForm {
    /// Who wants to sign in; nothing is proven yet.
    pub username: Username,
    /// The password as typed.
    pub password: Password,
    /// Whether the sign-in is to outlive the browser: the checkbox "Keep me signed in".
    #[serde(default, deserialize_with = "checkbox")]
    pub remember: bool,
}

/// `POST /theme`.
#[derive(Debug, Deserialize)]
pub struct ThemeForm {
    /// The theme that was picked.
    pub theme: Theme,
    /// The page on which the picker was used. One of our own, never an address: so it can't lead
    /// elsewhere.
    #[serde(default)]
    pub page: Page,
}

/// A username as typed: at most 255 bytes.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct Username(String);

impl Username {
    /// The text, byte for byte as typed.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Username {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.len() > MAX_USERNAME_BYTES { Err("a username has at most 255 bytes") } else { Ok(Self(text)) }
    }
}

/// A password as typed: at most 1024 bytes, never shown, wiped on drop.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub struct Password(Zeroizing<String>);

impl Password {
    /// The text, for the check of the password only.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Password {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let text = Zeroizing::new(text);
        if text.len() > MAX_PASSWORD_BYTES { Err("a password has at most 1024 bytes") } else { Ok(Self(text)) }
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// Browsers send a ticked box as `on` and an empty one not at all; scripts also send `false` or
/// `0`.
fn checkbox<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let text = String::deserialize(deserializer)?;
    Ok(!matches!(text.as_str(), "" | "0" | "false" | "no" | "off"))
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn remember_is_off_unless_ticked() {
        let remember = |form| from_value::<LoginForm>(form).unwrap().remember;
        assert!(!remember(json!({"username": "ada", "password": "x"})));
        for (value, expected) in
            [("on", true), ("1", true), ("true", true), ("", false), ("0", false), ("false", false)]
        {
            assert_eq!(remember(json!({"username": "a", "password": "x", "remember": value})), expected, "{value}");
        }
    }

    #[test]
    fn text_of_unbounded_length_is_refused_with_the_limit() {
        let parse = |username: usize, password: usize| {
            from_value::<LoginForm>(json!({"username": "u".repeat(username), "password": "p".repeat(password)}))
        };
        assert!(parse(255, 1024).is_ok());
        assert!(parse(256, 1).unwrap_err().to_string().contains("at most 255 bytes"));
        assert!(parse(1, 1025).unwrap_err().to_string().contains("at most 1024 bytes"));
    }

    #[test]
    fn a_password_is_not_in_debug_output() {
        let form: LoginForm = from_value(json!({"username": "ada", "password": "lovelace"})).unwrap();
        let debug = format!("{form:?}");
        assert!(debug.contains("ada") && !debug.contains("lovelace"));
    }

    #[test]
    fn the_page_to_return_to_is_one_of_ours() {
        let page = |form| from_value::<ThemeForm>(form).map(|form| form.page);
        assert_eq!(page(json!({"theme": "dark"})).unwrap(), Page::Home);
        assert_eq!(page(json!({"theme": "dark", "page": "devices"})).unwrap(), Page::Devices);
        assert!(page(json!({"theme": "dark", "page": "//evil.example"})).is_err());
        assert!(page(json!({"theme": "plaid"})).is_err());
    }
}
