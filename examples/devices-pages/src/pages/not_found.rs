//! What an unknown address is answered with.

use maud::{Markup, html};

use super::layout;
use crate::{Page, Visitor};

/// The page for status 404, in the visitor's theme if there is one.
pub fn not_found(visitor: Option<&Visitor>) -> Markup {
    let content = html! {
        div.empty {
            p.count aria-hidden="true" { "404" }
            h1 { "Page not found" }
            p.muted { "There is nothing at this address." }
            a.button.primary href="/" { "Go to the start page" }
        }
    };
    match visitor {
        Some(visitor) => layout::private("Page not found", visitor, Page::Home, false, content),
        None => layout::public("Page not found", content),
    }
}
