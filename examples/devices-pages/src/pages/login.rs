//! The sign-in page, with the demo accounts on it.

use maud::{Markup, html};

use super::{icons, layout};
use crate::DEMO_ACCOUNTS;

/// What came before the sign-in page is shown.
#[derive(Debug, Clone, Copy)]
pub enum Attempt<'a> {
    /// Nothing yet.
    First,
    /// A username and a password that don't belong together.
    Refused {
        /// The username, so that it needn't be typed again.
        username: &'a str,
        /// Whether "Keep me signed in" was ticked.
        remember: bool,
    },
    /// A password that wasn't checked, because too many others are being checked.
    Busy {
        /// The username, so that it needn't be typed again.
        username: &'a str,
        /// Whether "Keep me signed in" was ticked.
        remember: bool,
    },
}

/// `GET /login`, and what a sign-in is answered with that doesn't succeed.
pub fn login(attempt: Attempt<'_>) -> Markup {
    let (username, remember, problem) = match attempt {
        Attempt::First => ("", false, None),
        Attempt::Refused { username, remember } => (username, remember, Some("Wrong username or password.")),
        Attempt::Busy { username, remember } => {
            (username, remember, Some("Many people are signing in just now. Try again in a moment."))
        }
    };
    let again = problem.is_some();
    layout::public(
        "Sign in",
        html! {
            div.sign-in {
                header.sign-in-head {
                    span.mark { (icons::brand()) }
                    h1 { "Sign in" }
                    p.muted { "See where you are signed in, and sign out any device from any other." }
                }
                section.card {
                    @if let Some(problem) = problem {
                        p.alert #problem role="alert" {
                            (icons::warning()) span { (problem) }
                        }
                    }
                    form.stack method="post" action="/login" {
                        label.field {
                            span { "Username" }
                            input type="text" name="username" value=(username) autocomplete="username"
                                autocapitalize="none" spellcheck="false" maxlength="255" required autofocus[!again]
                                aria-describedby=[again.then_some("problem")];
                        }
                        label.field {
                            span { "Password" }
                            input type="password" name="password" autocomplete="current-password"
                                maxlength="1024" required autofocus[again]
                                aria-describedby=[again.then_some("problem")];
                        }
                        label.check {
                            input type="checkbox" name="remember" value="on" checked[remember];
                            span {
                                "Keep me signed in"
                                small.muted { "Otherwise until you close the browser" }
                            }
                        }
                        button.primary.wide { "Sign in" }
                    }
                }
                section.demo aria-labelledby="demo" {
                    h2 #demo { "Demo accounts" }
                    table {
                        thead { tr { th { "Name" } th { "Username" } th { "Password" } } }
                        tbody {
                            @for account in &DEMO_ACCOUNTS {
                                tr {
                                    td { (account.full_name) }
                                    td { code { (account.username) } }
                                    td { code { (account.password) } }
                                }
                            }
                        }
                    }
                }
            }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shows_every_demo_account() {
        let html = login(Attempt::First).into_string();
        for account in &DEMO_ACCOUNTS {
            assert!(html.contains(account.username) && html.contains(account.password));
        }
        assert!(!html.contains("Wrong username"));
    }

    #[test]
    fn a_refused_attempt_says_so_and_escapes_what_was_typed() {
        let html = login(Attempt::Refused { username: r#""><script>"#, remember: true }).into_string();
        assert!(html.contains("Wrong username or password"));
        assert!(html.contains("&quot;&gt;&lt;script&gt;") && !html.contains("<script>"), "{html}");
        assert!(html.contains(" checked"));
    }

    #[test]
    fn an_attempt_at_a_busy_time_says_so_and_need_not_be_typed_again() {
        let html = login(Attempt::Busy { username: "ada", remember: true }).into_string();
        assert!(html.contains("Try again in a moment") && !html.contains("Wrong username"), "{html}");
        assert!(html.contains(r#"value="ada""#) && html.contains(" checked"), "{html}");
    }
}
