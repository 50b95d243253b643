//! Who looks at a page, and at which one.

use serde::Deserialize;
use session_core::{CookieSession, Result};

use crate::{Account, Theme};

/// The key of the theme in the session.
pub const THEME: &str = "theme";
/// The key of the counter in the session.
pub const VISITS: &str = "visits";

/// A signed-in user, with what every page shows about them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    /// The session's user id.
    pub user_id: String,
    /// The theme kept in the session.
    pub theme: Theme,
    /// The visits counted in the session.
    pub visits: u64,
}

impl Visitor {
    /// Who looks, from the session of any adapter; none if nobody is signed in.
    ///
    /// # Errors
    /// 500 if the session holds something else under our keys.
    pub fn of(session: &CookieSession) -> Result<Option<Self>> {
        let Some(user_id) = session.user_id() else { return Ok(None) };
        let theme = session.get(THEME)?.unwrap_or_default();
        let visits = session.get(VISITS)?.unwrap_or_default();
        Ok(Some(Self { user_id, theme, visits }))
    }

    /// The full name, or the user id if the account is gone.
    pub fn full_name(&self) -> &str {
        Account::named(&self.user_id).map_or(&self.user_id, |account| account.full_name)
    }

    /// What to say hello to.
    pub fn first_name(&self) -> &str {
        self.full_name().split(' ').next().unwrap_or_default()
    }
}

/// A page that a signed-in visitor can be on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Page {
    /// The start page.
    #[default]
    Home,
    /// The list of signed-in devices.
    Devices,
}

impl Page {
    /// Its address in every example app.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Home => "/",
            Self::Devices => "/devices",
        }
    }

    /// Its name in forms.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Home => "home",
            Self::Devices => "devices",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_account_and_else_from_the_id() {
        let visitor = |id: &str| Visitor { user_id: id.to_owned(), theme: Theme::Auto, visits: 0 };
        assert_eq!(visitor("grace").full_name(), "Grace Hopper");
        assert_eq!(visitor("grace").first_name(), "Grace");
        assert_eq!(visitor("gone").full_name(), "gone");
    }
}
