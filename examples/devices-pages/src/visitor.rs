//! Who looks at a page, and at which one.

use serde::Deserialize;

use crate::{Account, Theme};

/// A signed-in user, with what every page shows about them. Each app fills it from its session.
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
