//! The pages, as pure functions from what they show to HTML.
//! Leaves the status and the headers to each app.

mod devices;
mod home;
mod icons;
mod layout;
mod login;
mod not_found;

pub use devices::devices;
pub use home::home;
pub use login::{Attempt, login};
pub use not_found::not_found;
