//! What the example apps of all frameworks share: pages, accounts, forms, settings, the start, response headers and the
//! cross-site check. Leaves the routes and what handlers do with the session to each app: that is what it shows.

mod accounts;
pub mod assets;
mod cross_site;
mod device;
mod form;
pub mod headers;
mod key_file;
pub mod pages;
mod password_checks;
mod settings;
mod signing_key;
mod site;
mod theme;
mod visitor;
mod when;

pub use accounts::{Account, Accounts, DEMO_ACCOUNTS};
pub use cross_site::Sender;
pub use device::Device;
pub use form::{LoginForm, Password, ThemeForm, Username};
pub use key_file::{KeyFile, KeyFileError};
pub use password_checks::Unchecked;
pub use settings::{CookieMode, DatabaseServer, Settings, SettingsError};
pub use signing_key::{KeySource, LoadedKey, SigningKeyError};
pub use site::{DRAIN, MAX_BODY_BYTES, Site, exit};
pub use theme::Theme;
pub use visitor::{Page, THEME, VISITS, Visitor};
