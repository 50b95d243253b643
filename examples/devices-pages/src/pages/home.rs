//! The start page: this session, the counter kept in it, and the way to the devices.

use maud::{Markup, html};
use time::OffsetDateTime;

use super::{icons, layout};
use crate::{Device, Page, Visitor, when};

/// `GET /`.
pub fn home(visitor: &Visitor, device: &Device<'_>, now: OffsetDateTime) -> Markup {
    let content = html! {
        header.page-head {
            h1 { "Hello, " (visitor.first_name()) }
            p.muted { "Your theme and your counter are kept in this session, on the server." }
        }
        div.grid {
            section.card aria-labelledby="this-device" {
                h2 #this-device { "This device" }
                div.device {
                    span.device-icon { (icons::device(device.kind)) }
                    div { strong { (device.shown_name()) } small.muted { (device.shown_ip_address()) } }
                }
                dl.facts {
                    div { dt { "Signed in" } dd { (when::ago(device.signed_in, now)) } }
                    div { dt { "Signed out if idle" } dd { (when::until(device.expires, now)) } }
                }
                a.button.wide href=(Page::Devices.path()) { "All your devices" }
            }
            section.card.center aria-labelledby="visits" {
                h2 #visits { "Visits" }
                p.count #visits-count { (visitor.visits) }
                p.muted { "Counted in this session. Two tabs that click at once both count." }
                form.stack method="post" action="/visits" {
                    button.primary.wide { "Count a visit" }
                    button.quiet.wide formaction="/visits/reset" disabled[visitor.visits == 0] { "Start over" }
                }
            }
        }
        p.footnote.muted {
            "The same as JSON: " a href="/api/session" { "/api/session" } ", " a href="/api/devices" { "/api/devices" }
        }
    };
    layout::private("Home", visitor, Page::Home, true, content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Theme;

    #[test]
    fn it_shows_the_theme_and_the_counter_of_the_session() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let visitor = Visitor { user_id: "ada".to_owned(), theme: Theme::Dark, visits: 41 };
        let device = Device {
            id: "1",
            name: "",
            kind: "",
            ip_address: "",
            signed_in: now,
            last_active: now,
            expires: now,
            is_this: true,
        };
        let html = home(&visitor, &device, now).into_string();
        let none_yet = home(&Visitor { visits: 0, ..visitor.clone() }, &device, now).into_string();
        assert!(html.contains("Hello, Ada"));
        assert!(html.contains(r#"data-theme="dark""#));
        assert!(
            html.contains(r#"value="dark" aria-pressed="true""#)
                && html.contains(r#"value="light" aria-pressed="false""#)
        );
        assert!(html.contains(">41<"));
        assert!(html.contains(r#"formaction="/visits/reset">Start over"#));
        assert!(none_yet.contains(r#"formaction="/visits/reset" disabled>Start over"#));
        assert!(html.contains("Unknown device"));
    }
}
