//! The colours that a visitor picked, as the form sends them, the session keeps them and the pages
//! show them.

use serde::{Deserialize, Serialize};

/// A choice of colours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Theme {
    /// What the browser or the operating system prefers.
    #[default]
    Auto,
    /// Dark text on light ground.
    Light,
    /// Light text on dark ground.
    Dark,
}

impl Theme {
    /// All choices, in the order in which the picker shows them.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Light, Self::Dark];

    /// The text in forms, in the session and in the page's `data-theme`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// The text on the picker's button.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Auto => "Auto",
            Self::Light => "Light",
            Self::Dark => "Dark",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_what_serde_reads_and_writes() {
        for theme in Theme::ALL {
            let json = serde_json::json!(theme.name());
            assert_eq!(serde_json::to_value(theme).unwrap(), json);
            assert_eq!(serde_json::from_value::<Theme>(json).unwrap(), theme);
        }
    }
}
