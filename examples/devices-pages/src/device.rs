//! A signed-in device as the pages show it.

use time::OffsetDateTime;

/// One live session of the visitor.
#[derive(Debug, Clone, Copy)]
pub struct Device<'a> {
    /// The session's id.
    pub id: &'a str,
    /// Browser and system, such as `Firefox on Linux`; empty if unknown.
    pub name: &'a str,
    /// `desktop`, `mobile`, `tablet` and so on; empty if unknown.
    pub kind: &'a str,
    /// The address it signed in from; empty if unknown.
    pub ip_address: &'a str,
    /// When it signed in.
    pub signed_in: OffsetDateTime,
    /// When it last did something, as far as that was recorded.
    pub last_active: OffsetDateTime,
    /// When it is signed out if nothing more happens.
    pub expires: OffsetDateTime,
    /// Whether it is the one that looks at the page.
    pub is_this: bool,
}

/// A session as a row of the device table, from the `Session` of any adapter; `$this` is the id of
/// the one that asks.
#[macro_export]
macro_rules! device {
    ($session:expr, $this:expr) => {
        $crate::Device {
            id: &$session.id,
            name: &$session.device_name,
            kind: &$session.device_type,
            ip_address: &$session.ip_address,
            signed_in: $session.created_at,
            last_active: $session.last_active_at,
            expires: $session.expires_at,
            is_this: $session.id == $this,
        }
    };
}

impl<'a> Device<'a> {
    pub(crate) fn shown_name(&self) -> &'a str {
        if self.name.is_empty() { "Unknown device" } else { self.name }
    }

    pub(crate) fn shown_ip_address(&self) -> &'a str {
        if self.ip_address.is_empty() { "unknown" } else { self.ip_address }
    }
}
