//! Small drawings in the text's colour. They decorate: the words beside them say the same.

use maud::{Markup, PreEscaped, html};

/// A device of that kind, as client facts name it.
pub(super) fn device(kind: &str) -> Markup {
    match kind {
        "mobile" | "phone" => icon(r#"<rect x="7" y="2.5" width="10" height="19" rx="2.2"/><path d="M11 18.5h2"/>"#),
        "tablet" => icon(r#"<rect x="4.5" y="2.5" width="15" height="19" rx="2.2"/><path d="M11 18.5h2"/>"#),
        "desktop" => icon(r#"<rect x="2.5" y="4" width="19" height="12.5" rx="2"/><path d="M8.5 20.5h7M12 16.5v4"/>"#),
        _ => icon(r#"<rect x="3" y="4" width="18" height="16" rx="2"/><path d="M3 9h18M6 6.5h.01M8.5 6.5h.01"/>"#),
    }
}

/// The app's mark: a key.
pub(super) fn brand() -> Markup {
    icon(r#"<circle cx="8" cy="15.5" r="4.5"/><path d="M11.2 12.3 20 3.5M16.5 7l3 3"/>"#)
}

/// Something went wrong.
pub(super) fn warning() -> Markup {
    icon(r#"<circle cx="12" cy="12" r="9"/><path d="M12 7.5v5M12 16h.01"/>"#)
}

fn icon(shapes: &'static str) -> Markup {
    html! {
        svg.icon viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.75"
            stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" { (PreEscaped(shapes)) }
    }
}
