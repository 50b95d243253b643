//! Moments in words: "3 minutes ago", with the exact time as the tooltip.
//! Reads no clock: the caller says what time it is.

use maud::{Markup, html};
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Duration, OffsetDateTime, UtcOffset};

/// A moment in the past, as `<time>`.
pub(crate) fn ago(then: OffsetDateTime, now: OffsetDateTime) -> Markup {
    tagged(then, &in_the_past(now - then))
}

/// A moment in the future, as `<time>`.
pub(crate) fn until(then: OffsetDateTime, now: OffsetDateTime) -> Markup {
    tagged(then, &in_the_future(then - now))
}

fn tagged(then: OffsetDateTime, words: &str) -> Markup {
    let then = then.to_offset(UtcOffset::UTC);
    // Both formats fail only for years past 9999, which no session reaches; the words then do
    // without them.
    let machine = then.format(&Rfc3339).unwrap_or_default();
    let exact = then
        .format(format_description!("[day padding:none] [month repr:short] [year], [hour]:[minute]:[second] UTC"))
        .unwrap_or_default();
    html! { time datetime=(machine) title=(exact) { (words) } }
}

/// A moment that seems to lie ahead comes from another machine's clock, and is now.
fn in_the_past(age: Duration) -> String {
    if age < Duration::MINUTE { "just now".to_owned() } else { format!("{} ago", amount(age)) }
}

/// To the nearest minute, so that a week ahead doesn't read "in 6 days" a moment later.
fn in_the_future(left: Duration) -> String {
    let left = left + Duration::seconds(30);
    if left < Duration::MINUTE { "in under a minute".to_owned() } else { format!("in {}", amount(left)) }
}

fn amount(span: Duration) -> String {
    let (count, unit) = match (span.whole_days(), span.whole_hours(), span.whole_minutes()) {
        (0, 0, minutes) => (minutes, "minute"),
        (0, hours, _) => (hours, "hour"),
        (days, ..) => (days, "day"),
    };
    if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn ages_in_the_largest_whole_unit() {
        for (age, words) in [
            (Duration::seconds(-5), "just now"),
            (Duration::ZERO, "just now"),
            (Duration::seconds(59), "just now"),
            (Duration::seconds(60), "1 minute ago"),
            (Duration::seconds(3599), "59 minutes ago"),
            (Duration::HOUR, "1 hour ago"),
            (Duration::hours(47), "1 day ago"),
            (Duration::days(29), "29 days ago"),
        ] {
            assert_eq!(in_the_past(age), words);
        }
        assert_eq!(in_the_future(Duration::days(7) - Duration::SECOND), "in 7 days");
        assert_eq!(in_the_future(Duration::days(7) - Duration::MINUTE), "in 6 days");
        assert_eq!(in_the_future(Duration::ZERO), "in under a minute");
    }

    #[test]
    fn the_exact_time_is_in_utc() {
        let then = datetime!(2026-03-07 01:02:03 +02:00);
        let html = ago(then, then).into_string();
        assert!(html.contains(r#"datetime="2026-03-06T23:02:03Z""#), "{html}");
        assert!(html.contains(r#"title="6 Mar 2026, 23:02:03 UTC""#), "{html}");
    }
}
