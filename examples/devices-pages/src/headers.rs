//! Response headers that every page, JSON answer and error of the apps carries.

/// Names in lower case and values, for a middleware to add where a response doesn't have its own.
///
/// - No script at all, styles and pictures from this site only, no framing, forms only to this site.
/// - `no-store`: after a sign-out, the back button finds no private page in a cache.
/// - `Referrer-Policy` isn't `no-referrer`, with which browsers send `Origin: null`, and the refusal of cross-origin
///   requests refuses our own forms.
pub const DEFAULTS: [(&str, &str); 4] = [
    (
        "content-security-policy",
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
         base-uri 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "same-origin"),
    ("cache-control", "no-store"),
];

/// For a response that sends a browser to the sign-in page, if that came with a cookie: it was
/// signed out by another device.
///
/// Browsers may keep pages for the back button in spite of `no-store`. They let go of them when a
/// cookie changes, so a sign-out needs no such header, but a browser that another device has signed
/// out keeps its cookie. Chromium takes half a second or more to clear its cache, and shows nothing
/// meanwhile: that must not meet each first visit. `"storage"` is quicker, and leaves the pages.
pub fn forget_pages(has_cookie: bool) -> Option<(&'static str, &'static str)> {
    has_cookie.then_some(("clear-site-data", "\"cache\""))
}

/// For a sign-in that is refused while too many others are being checked: those take a second or
/// two.
pub const RETRY_SOON: (&str, &str) = ("retry-after", "2");
