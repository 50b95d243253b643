//! What every cart app must do, asked of its running program over HTTP.

use std::process::{Command, ExitCode};

use app_tests::{Program, post, redirects, text};
use conformance_tests::browser::{Browser, Reply};
use conformance_tests::{BoxFuture, suite, trial};
use libtest_mimic::{Arguments, Trial};

/// Runs all tests of the app of this name, whose program is at this path.
#[must_use = "the exit code says whether all of it passed"]
pub fn run(name: &'static str, program: &'static str) -> ExitCode {
    suite::hush_panics();
    let trial = |behaviour, run: fn(Browser) -> BoxFuture<'static, ()>| {
        Trial::test(trial::name(&[name], behaviour), move || {
            suite::run(async move {
                let app = Program::start(name, Command::new(program).env_clear());
                run(app.browser("session")).await;
            })
        })
    };
    let trials = vec![
        trial("a visitor's pages are counted", |browser| Box::pin(counts(browser))),
        trial("the cart survives the sign-in and nothing else does", |browser| Box::pin(keeps_the_cart(browser))),
        trial("a sign-out ends the cart", |browser| Box::pin(sign_out_ends_the_cart(browser))),
        trial("each form's message is shown once", |browser| Box::pin(shows_messages_once(browser))),
        trial("a cart that is too large is a 413 and stays as it was", |browser| Box::pin(too_large(browser))),
        trial("what visitors type is text and no markup", |browser| Box::pin(escapes(browser))),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

async fn counts(mut browser: Browser) {
    let mut other = browser.clone();
    for visits in 1..4 {
        shows(&browser.get("/").await, "visitor", visits, &[]);
    }
    shows(&other.get("/").await, "visitor", 1, &[]);
}

async fn keeps_the_cart(mut browser: Browser) {
    shows(&browser.get("/").await, "visitor", 1, &[]);
    submit(&mut browser, "/cart", "item=tea").await;
    submit(&mut browser, "/cart", "item=milk").await;
    shows(&browser.get("/").await, "visitor", 2, &["tea", "milk"]);
    let visitor = browser.clone();

    submit(&mut browser, "/sign-in", "user=ada").await;
    assert_ne!(browser.cookie(), visitor.cookie(), "a token from before the sign-in is worth nothing");
    shows(&browser.get("/").await, "ada", 1, &["tea", "milk"]);
    submit(&mut browser, "/cart", "item=honey").await;
    shows(&browser.get("/").await, "ada", 2, &["tea", "milk", "honey"]);
    shows(&visitor.clone().get("/").await, "visitor", 1, &[]);
}

async fn sign_out_ends_the_cart(mut browser: Browser) {
    submit(&mut browser, "/cart", "item=tea").await;
    submit(&mut browser, "/sign-in", "user=ada").await;
    shows(&browser.get("/").await, "ada", 1, &["tea"]);
    submit(&mut browser, "/sign-out", "").await;
    shows(&browser.get("/").await, "visitor", 1, &[]);
    submit(&mut browser, "/sign-in", "user=ada").await;
    shows(&browser.get("/").await, "ada", 1, &[]);
}

async fn shows_messages_once(mut browser: Browser) {
    for (path, form, class, message) in [
        ("/cart", "item=tea", "success", "It is in the cart."),
        ("/sign-in", "user=ada", "success", "You are signed in."),
        ("/cart", "item=milk", "success", "It is in the cart."),
        ("/sign-out", "", "info", "You are signed out."),
    ] {
        submit(&mut browser, path, form).await;
        let shown = format!("<p role=\"status\" class=\"{class}\">{message}</p>");
        let page = text(&browser.get("/").await);
        assert_eq!(page.matches("role=\"status\"").count(), 1, "{page}");
        assert!(page.contains(&shown), "{page}");
        assert!(!text(&browser.get("/").await).contains("role=\"status\""), "it is shown once");
    }
}

async fn too_large(mut browser: Browser) {
    submit(&mut browser, "/cart", "item=tea").await;
    shows(&browser.get("/").await, "visitor", 1, &["tea"]);
    assert_eq!(post(&mut browser, "/cart", &format!("item={}", "x".repeat(5000))).await.status, 413);
    let page = browser.get("/").await;
    shows(&page, "visitor", 2, &["tea"]);
    assert!(!text(&page).contains("role=\"status\""), "nothing was put into the cart");
}

async fn escapes(mut browser: Browser) {
    submit(&mut browser, "/cart", "item=%3Cb%3E").await;
    let page = text(&browser.get("/").await);
    assert!(page.contains("<li>&lt;b&gt;</li>") && !page.contains("<b>"), "{page}");
}

async fn submit(browser: &mut Browser, path: &str, form: &str) {
    redirects(&post(browser, path, form).await, "/");
}

/// The page greets this user, after this many pages, with this cart.
#[track_caller]
fn shows(page: &Reply, user: &str, visits: u64, cart: &[&str]) {
    let text = text(page);
    assert_eq!(page.status, 200, "{text}");
    let items: String = cart.iter().map(|item| format!("<li>{item}</li>")).collect();
    for part in [
        format!("<span id=\"user\">{user}</span>"),
        format!("<span id=\"visits\">{visits}</span>"),
        format!("<ul id=\"cart\">{items}</ul>"),
    ] {
        assert!(text.contains(&part), "no {part} in {text}");
    }
}
