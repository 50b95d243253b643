//! What names devices, for a user's list of them and to compare two requests of one session: the
//! library or the application. Not here: the library's own rules, see `user_agent`.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::clean;
use super::device::Device;

/// Most bytes of each name of a device.
const MAX_NAME: usize = 100;

/// The application's function that names devices.
type Parser = dyn Fn(&str) -> Device + Send + Sync;

/// What names devices: the library's rules, or those of the application.
#[derive(Clone, Default)]
pub(crate) struct DeviceRules(Option<Arc<Parser>>);

impl DeviceRules {
    pub(crate) fn of(parser: impl Fn(&str) -> Device + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(parser)))
    }

    /// The device of a clean `User-Agent`, named within safe lengths.
    pub(super) fn device(&self, user_agent: &str) -> Device {
        let parser = self.0.as_deref().unwrap_or(&Device::parse);
        let Device { name, kind, os, browser } = parser(user_agent);
        Device { name: cut(name), kind: cut(kind), os, browser }
    }

    /// Whether two clean `User-Agent`s have the same families. Both are named by today's rules, so
    /// that a release with other rules changes nothing for the sessions of the one before it.
    pub(super) fn is_same(&self, one: &str, other: &str) -> bool {
        // Most often a browser was updated. The library's rules ignore numbers.
        (self.0.is_none() && differ_in_numbers_only(one, other)) || self.device(one).is_same_family(&self.device(other))
    }
}

impl fmt::Debug for DeviceRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "the application's" } else { "the library's" })
    }
}

fn cut(name: Cow<'static, str>) -> Cow<'static, str> {
    let is_safe = name.len() <= MAX_NAME && !name.chars().any(char::is_control);
    if is_safe { name } else { clean(name.as_bytes(), MAX_NAME).into() }
}

fn differ_in_numbers_only(one: &str, other: &str) -> bool {
    without_numbers(one).eq(without_numbers(other))
}

fn without_numbers(text: &str) -> impl Iterator<Item = u8> {
    text.bytes().filter(|byte| !matches!(byte, b'0'..=b'9' | b'.' | b'_'))
}
