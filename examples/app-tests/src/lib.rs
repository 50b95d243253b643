//! What the tests of example apps share: a running program, and Chromium to visit it with. Not
//! here: what an app must do, which each app's tests say.

pub mod chromium;
mod forms;
mod program;

pub use forms::{FORM, post, redirects, text};
pub use program::Program;
