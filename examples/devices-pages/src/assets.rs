//! The files that the pages refer to, built into the program.

/// A file to serve as it is.
#[derive(Debug, Clone, Copy)]
pub struct Asset {
    /// Where the pages expect it.
    pub path: &'static str,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// `Cache-Control`: nothing in an asset is private.
    pub cache_control: &'static str,
    /// The content.
    pub body: &'static str,
}

/// How all pages look.
pub const STYLE: Asset = Asset {
    path: "/style.css",
    content_type: "text/css; charset=utf-8",
    cache_control: CACHE,
    body: include_str!("../assets/style.css"),
};

/// The picture on the browser's tab.
pub const ICON: Asset = Asset {
    path: "/icon.svg",
    content_type: "image/svg+xml",
    cache_control: CACHE,
    body: include_str!("../assets/icon.svg"),
};

/// Short, since the addresses don't change when the content does.
const CACHE: &str = "public, max-age=300";
