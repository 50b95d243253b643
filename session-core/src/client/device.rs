//! What a client is called. Not here: who names it, see `device_rules`.

use std::borrow::Cow;

/// What a `User-Agent` says of the device and the program that sent it. An application makes its
/// own for [`with_device_parser`](crate::CookieSessionService::with_device_parser): from the
/// library's, or from [`Device::default`], in which all is unknown.
///
/// ```
/// use session_core::Device;
///
/// let mut device = Device::parse("Chess/4.1 (iPhone; iOS 18.5)");
/// assert_eq!((&*device.name, &*device.kind), ("Chess on iOS", "mobile"));
/// device.name = "The chess app".into();
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Device {
    /// What its user would call it, such as `Firefox on Linux`, `Instagram on iOS` or `LG TV`;
    /// empty if unknown. It becomes the session's `device_name`.
    pub name: Cow<'static, str>,
    /// The library's are `desktop`, `mobile`, `tablet`, `tv`, `console`, `watch`, `headset`; `app`
    /// and `script` where only the program is known; and `bot`, on whatever device. Empty if
    /// unknown. It becomes the session's `device_type`.
    pub kind: Cow<'static, str>,
    /// The family of the operating system, without a version, such as `Windows`; empty if unknown.
    pub os: Cow<'static, str>,
    /// The family of the browser, the app or the library, without a version, such as `Firefox`;
    /// empty if unknown.
    pub browser: Cow<'static, str>,
}

impl Device {
    /// Whether operating system and browser have the same families.
    pub(super) fn is_same_family(&self, other: &Self) -> bool {
        (&self.os, &self.browser) == (&other.os, &other.browser)
    }
}
