//! What the example apps of all frameworks share: pages, accounts, forms, settings, the start, and
//! response headers. Not here: the routes, and what handlers do with the session, which each app
//! shows.

mod accounts;
pub mod assets;
mod device;
mod form;
pub mod headers;
pub mod pages;
mod password_checks;
mod settings;
mod signing_key;
mod site;
mod theme;
mod visitor;
mod when;

pub use accounts::{Account, Accounts, DEMO_ACCOUNTS};
pub use device::Device;
pub use form::{LoginForm, Password, ThemeForm, Username};
pub use password_checks::Unchecked;
pub use settings::{Database, Settings, Unusable};
pub use site::{DRAIN, MAX_BODY_BYTES, Site, exit};
pub use theme::Theme;
pub use visitor::{Page, THEME, VISITS, Visitor};
