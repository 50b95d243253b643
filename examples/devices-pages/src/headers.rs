//! Response headers that every page, JSON answer and error of the apps carries.

/// Names in lower case and values, for a middleware to add where a response doesn't have its own.
///
/// - No script at all, styles and pictures from this site only, no framing, forms only to this site.
/// - `no-store`: after a sign-out, the back button finds no private page in a cache.
/// - `Referrer-Policy` isn't `no-referrer`, with which browsers send `Origin: null` and the cross-site check refuses
///   our own forms.
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

/// For a response that sends someone to the sign-in page: browsers may keep pages for the back button in spite of
/// `no-store`, and let go of them when a cookie changes, but whom another device signed out keeps its cookie.
pub const FORGET_PAGES: (&str, &str) = ("clear-site-data", "\"cache\"");

/// For a sign-in that is refused while too many others are being checked: those take a second or two.
pub const RETRY_SOON: (&str, &str) = ("retry-after", "2");
