//! The frame of every page: head, bar with navigation, theme picker and sign-out.

use maud::{DOCTYPE, Markup, html};

use super::icons;
use crate::{Page, Theme, Visitor, assets};

/// A page of a signed-in visitor. `page` is where the picker returns to, and marked in the
/// navigation if `is_here`.
pub(super) fn private(title: &str, visitor: &Visitor, page: Page, is_here: bool, content: Markup) -> Markup {
    let bar = html! {
        nav aria-label="Main" {
            (nav_link("Home", Page::Home, page, is_here))
            (nav_link("Devices", Page::Devices, page, is_here))
        }
        div.bar-end {
            (theme_picker(visitor.theme, page))
            div.account {
                span.avatar aria-hidden="true" { (visitor.first_name().chars().take(1).collect::<String>()) }
                span.account-name { (visitor.full_name()) }
                form method="post" action="/logout" { button.quiet { "Sign out" } }
            }
        }
    };
    document(title, visitor.theme, Some(&bar), &content)
}

/// A page for anyone.
pub(super) fn public(title: &str, content: Markup) -> Markup {
    document(title, Theme::default(), None, &content)
}

fn document(title: &str, theme: Theme, bar: Option<&Markup>, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" data-theme=(theme.name()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) " · Sessions" }
                link rel="icon" type=(assets::ICON.content_type) href=(assets::ICON.path);
                link rel="stylesheet" href=(assets::STYLE.path);
            }
            body {
                a.skip href="#main" { "Skip to content" }
                @if let Some(bar) = bar {
                    header.bar {
                        div.bar-inner {
                            a.brand href="/" { (icons::brand()) "Sessions" }
                            (bar)
                        }
                    }
                }
                main #main { (content) }
            }
        }
    }
}

fn nav_link(text: &str, to: Page, page: Page, is_here: bool) -> Markup {
    let current = (is_here && to == page).then_some("page");
    html! { a href=(to.path()) aria-current=[current] { (text) } }
}

fn theme_picker(chosen: Theme, page: Page) -> Markup {
    html! {
        form.theme method="post" action="/theme" {
            input type="hidden" name="page" value=(page.name());
            fieldset {
                legend.hidden { "Theme" }
                @for theme in Theme::ALL {
                    button name="theme" value=(theme.name()) aria-pressed=(theme == chosen) { (theme.label()) }
                }
            }
        }
    }
}
