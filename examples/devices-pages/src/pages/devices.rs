//! The table of signed-in devices.

use maud::{Markup, html};
use time::OffsetDateTime;

use super::{icons, layout};
use crate::{Device, Page, Visitor, when};

/// `GET /devices`.
pub fn devices(visitor: &Visitor, devices: &[Device<'_>], now: OffsetDateTime) -> Markup {
    let others = devices.iter().filter(|device| !device.is_this).count();
    let content = html! {
        header.page-head {
            h1 { "Your devices" }
            p.muted {
                @match others {
                    0 => "You are signed in on this device only.",
                    1 => "You are signed in on this device and one other.",
                    _ => { "You are signed in on this device and " (others) " others." }
                }
            }
        }
        section.card.flush {
            // Narrow screens show the rows as cards, and some browsers then forget that it is a
            // table: hence the roles.
            table.devices role="table" aria-label="Signed-in devices" {
                thead role="rowgroup" {
                    tr role="row" {
                        th role="columnheader" scope="col" { "Device" }
                        th role="columnheader" scope="col" { "IP address" }
                        th role="columnheader" scope="col" { "Signed in" }
                        th role="columnheader" scope="col" { "Last active" }
                        th role="columnheader" scope="col" { span.hidden { "Action" } }
                    }
                }
                tbody role="rowgroup" { @for device in devices { (row(device, now)) } }
            }
        }
        div.actions {
            form method="post" action="/rotate" {
                button { "Give this device a new cookie" }
            }
            form method="post" action="/logout-others" {
                button disabled[others == 0] { "Sign out all other devices" }
            }
            form method="post" action="/logout-all" {
                button.danger { "Sign out everywhere" }
            }
        }
    };
    layout::private("Your devices", visitor, Page::Devices, true, content)
}

fn row(device: &Device<'_>, now: OffsetDateTime) -> Markup {
    let action = format!("/devices/{}/revoke", device.id);
    let which = format!("{}, {}", device.shown_name(), device.shown_ip_address());
    html! {
        tr role="row" data-session=(device.id) aria-current=[device.is_this.then_some("true")] {
            td.cell-device role="cell" {
                div.device {
                    span.device-icon { (icons::device(device.kind)) }
                    div {
                        strong { (device.shown_name()) }
                        @if device.is_this { span.badge { "This device" } }
                    }
                }
            }
            td role="cell" data-label="IP address" { span.mono { (device.shown_ip_address()) } }
            td role="cell" data-label="Signed in" { (when::ago(device.signed_in, now)) }
            td role="cell" data-label="Last active" {
                @if device.is_this { "now" } @else { (when::ago(device.last_active, now)) }
            }
            td.cell-action role="cell" {
                form method="post" action=(action) {
                    button aria-label={ "Revoke " (which) } { "Revoke" }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use time::Duration;

    use super::*;
    use crate::Theme;

    const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

    fn device<'a>(id: &'a str, name: &'a str, is_this: bool) -> Device<'a> {
        Device {
            id,
            name,
            kind: "desktop",
            ip_address: "192.0.2.7",
            signed_in: NOW - Duration::days(2),
            last_active: NOW - Duration::minutes(10),
            expires: NOW + Duration::days(5),
            is_this,
        }
    }

    fn page(list: &[Device<'_>]) -> String {
        let visitor = Visitor { user_id: "ada".to_owned(), theme: Theme::Auto, visits: 0 };
        devices(&visitor, list, NOW).into_string()
    }

    #[test]
    fn each_device_has_its_facts_and_its_button() {
        let html = page(&[device("id-1", "Firefox on Linux", true), device("id-2", "Safari on iOS", false)]);
        for text in ["Firefox on Linux", "Safari on iOS", "192.0.2.7", "2 days ago", "10 minutes ago"] {
            assert!(html.contains(text), "{text}");
        }
        assert!(html.contains(r#"action="/devices/id-1/revoke""#) && html.contains(r#"action="/devices/id-2/revoke""#));
        assert_eq!(html.matches("This device").count(), 1);
        assert!(html.contains("this device and one other"));
        assert!(html.contains(r#"<form method="post" action="/rotate"><button>Give this device a new cookie"#));
    }

    #[test]
    fn alone_there_are_no_others_to_sign_out() {
        let html = page(&[device("id-1", "Firefox on Linux", true)]);
        assert!(html.contains("on this device only"));
        assert!(html.contains("<button disabled>Sign out all other devices"));
    }

    #[test]
    fn what_a_client_sent_is_escaped() {
        let html = page(&[device("id-1", "<img src=x>", false)]);
        assert!(html.contains("&lt;img src=x&gt;") && !html.contains("<img"));
    }
}
