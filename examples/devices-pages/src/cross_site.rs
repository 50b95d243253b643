//! Whether a page of another site sent a request (cross-site request forgery).
//! Leaves it to each app's middleware to read the headers, to ask only for methods that change something, and to
//! answer 403.

/// What a request says about the page that sent it: raw header values, since clients can send any bytes.
///
/// ```
/// use devices_pages::Sender;
///
/// let own_form = Sender { sec_fetch_site: Some(b"same-origin"), ..Sender::default() };
/// assert!(!own_form.is_cross_site());
/// let other = Sender { origin: Some(b"https://b.example"), host: Some(b"a.example"), ..Sender::default() };
/// assert!(other.is_cross_site());
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Sender<'a> {
    /// `Sec-Fetch-Site`: every current browser sends it to `https://` and `localhost`, and no script can forge it.
    pub sec_fetch_site: Option<&'a [u8]>,
    /// `Origin`: browsers send it with every POST, also over plain `http://`.
    pub origin: Option<&'a [u8]>,
    /// `Host`, or `:authority` with HTTP/2.
    pub host: Option<&'a [u8]>,
}

impl Sender<'_> {
    /// Whether to refuse a state-changing request of this sender.
    ///
    /// `Sec-Fetch-Site` decides if it is there, else `Origin`. A client that sends neither is no browser and carries
    /// nobody's cookie against their will, so it is let through.
    pub fn is_cross_site(&self) -> bool {
        match (self.sec_fetch_site, self.origin) {
            (Some(site), _) => site != b"same-origin" && site != b"none",
            (None, Some(origin)) => !self.host.is_some_and(|host| is_origin_of(origin, host)),
            (None, None) => false,
        }
    }
}

/// The scheme isn't compared: behind a proxy that ends TLS, the app can't know its own.
fn is_origin_of(origin: &[u8], host: &[u8]) -> bool {
    let (Ok(origin), Ok(host)) = (str::from_utf8(origin), str::from_utf8(host)) else { return false };
    let (default_port, origin_host) = match origin.split_once("://") {
        Some(("http", rest)) => (":80", rest),
        Some(("https", rest)) => (":443", rest),
        Some(_) | None => return false,
    };
    let without_default_port = |host| str::strip_suffix(host, default_port).unwrap_or(host).to_ascii_lowercase();
    !origin_host.is_empty() && without_default_port(origin_host) == without_default_port(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender<'a>(site: Option<&'a str>, origin: Option<&'a str>, host: Option<&'a str>) -> Sender<'a> {
        Sender {
            sec_fetch_site: site.map(str::as_bytes),
            origin: origin.map(str::as_bytes),
            host: host.map(str::as_bytes),
        }
    }

    #[test]
    fn sec_fetch_site_decides_when_present() {
        for (site, cross) in [
            ("same-origin", false),
            ("none", false),
            ("same-site", true),
            ("cross-site", true),
            ("", true),
            ("Same-Origin", true),
            ("same-origin, cross-site", true),
        ] {
            assert_eq!(sender(Some(site), None, Some("a.example")).is_cross_site(), cross, "{site}");
        }
        assert!(!sender(Some("same-origin"), Some("https://b.example"), Some("a.example")).is_cross_site());
        assert!(sender(Some("cross-site"), Some("https://a.example"), Some("a.example")).is_cross_site());
    }

    #[test]
    fn else_origin_must_be_our_host_and_port() {
        for (origin, host, cross) in [
            ("http://127.0.0.1:3000", "127.0.0.1:3000", false),
            ("http://[::1]:3000", "[::1]:3000", false),
            ("https://A.example", "a.EXAMPLE", false),
            ("https://a.example", "a.example:443", false),
            ("http://a.example:80", "a.example", false),
            ("http://a.example", "a.example:443", true),
            ("http://127.0.0.1:3001", "127.0.0.1:3000", true),
            ("http://localhost:3000", "127.0.0.1:3000", true),
            ("https://evil.example", "a.example", true),
            ("https://a.example.evil.example", "a.example", true),
            ("https://evil.example/a.example", "a.example", true),
            ("https://evil.example@a.example", "a.example", true),
            ("a.example", "a.example", true),
            ("null", "null", true),
            ("http://", "", true),
            ("", "", true),
        ] {
            assert_eq!(sender(None, Some(origin), Some(host)).is_cross_site(), cross, "{origin} at {host}");
        }
    }

    #[test]
    fn an_origin_without_a_host_to_compare_is_refused() {
        assert!(sender(None, Some("http://a.example"), None).is_cross_site());
    }

    #[test]
    fn a_client_that_sends_neither_is_let_through() {
        assert!(!sender(None, None, Some("a.example")).is_cross_site());
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        let raw: Option<&[u8]> = Some(&[0xff, 0xfe]);
        assert!(Sender { sec_fetch_site: raw, ..Sender::default() }.is_cross_site());
        assert!(Sender { origin: raw, host: raw, ..Sender::default() }.is_cross_site());
    }
}
