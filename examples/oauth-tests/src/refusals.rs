//! The sign-in over HTTP, and what must not be one.

use app_tests::{Program, post, redirects, text};
use conformance_tests::browser::{Browser, Reply};
use libtest_mimic::Trial;

use crate::App;
use crate::flow::{Query, begin, call_back, redirected_with, sign_in, user};

pub(crate) fn trials(app: App) -> Vec<Trial> {
    let trial = |behaviour, run| app.trial("http", behaviour, run);
    vec![
        trial("a consent signs in with a new session", |app| Box::pin(consent(app))),
        trial("a wrong or missing state is no sign-in", |app| Box::pin(wrong_state(app))),
        trial("a callback in another browser is no sign-in", |app| Box::pin(another_browser(app))),
        trial("a callback is taken once", |app| Box::pin(replay(app))),
        trial("a code of another sign-in is refused for its verifier", |app| Box::pin(injected_code(app))),
        trial("a denied consent is shown once and no sign-in", |app| Box::pin(denied(app))),
        trial("an error of the provider is no sign-in", |app| Box::pin(provider_error(app))),
        trial("a callback without a code is no sign-in", |app| Box::pin(without_code(app))),
        trial("a subject that can't be a user id is no sign-in", |app| Box::pin(bad_subject(app))),
        trial("a second sign-in replaces the first one's attempt", |app| Box::pin(second_attempt(app))),
        trial("the provider asks only for its client and with S256", |app| Box::pin(provider_refuses(app))),
    ]
}

async fn consent(app: Program) {
    let mut browser = app.browser("session");
    assert_eq!(user(&mut browser).await, None);
    assert_eq!(browser.cookie(), None, "who only reads gets no cookie");

    let provider = begin(&mut browser).await;
    assert_eq!(
        (&*provider.asked["response_type"], &*provider.asked["code_challenge_method"], &*provider.asked["client_id"]),
        ("code", "S256", "example-app")
    );
    let visitor = browser.clone();
    assert!(visitor.cookie().is_some(), "the attempt is the visitor's");
    let callback = provider.answer("allow").await;
    redirects(&call_back(&mut browser, &callback).await, "/");
    assert_eq!(user(&mut browser).await.as_deref(), Some("ada"));
    assert_ne!(browser.cookie(), visitor.cookie(), "a token from before the sign-in is worth nothing");
    assert_eq!(user(&mut visitor.clone()).await, None);

    redirects(&post(&mut browser, "/sign-out", "").await, "/");
    assert_eq!((user(&mut browser).await, browser.cookie()), (None, None));
}

async fn wrong_state(app: Program) {
    let mut browser = app.browser("session");
    let callback = begin(&mut browser).await.answer("allow").await;
    for state in [None, Some(""), Some("0123456789abcdef012345"), Some(&callback["state"][1..])] {
        let mut forged = callback.clone();
        forged.remove("state");
        forged.extend(state.map(|state| ("state".to_owned(), state.to_owned())));
        is_refused(&mut browser, &forged, "no sign-in that waits").await;
    }
    // A forged callback doesn't end the sign-in that waits.
    redirects(&call_back(&mut browser, &callback).await, "/");
    assert_eq!(user(&mut browser).await.as_deref(), Some("ada"));
}

/// Or else an attacker could sign a victim in as the attacker.
async fn another_browser(app: Program) {
    let callback = begin(&mut app.browser("session")).await.answer("allow").await;
    let mut other = app.browser("session");
    is_refused(&mut other, &callback, "no sign-in that waits").await;
    begin(&mut other).await;
    is_refused(&mut other, &callback, "no sign-in that waits").await;
}

async fn replay(app: Program) {
    let mut browser = app.browser("session");
    let visitor = {
        begin(&mut browser).await;
        browser.clone()
    };
    let callback = sign_in(&mut browser).await;
    let reply = call_back(&mut browser, &callback).await;
    assert_eq!(reply.status, 400);
    assert!(text(&reply).contains("no sign-in that waits"), "{}", text(&reply));
    assert_eq!(user(&mut browser).await.as_deref(), Some("ada"), "who is signed in stays so");
    is_refused(&mut visitor.clone(), &callback, "no sign-in that waits").await;
    redirects(&post(&mut browser, "/sign-out", "").await, "/");
    is_refused(&mut browser, &callback, "no sign-in that waits").await;
}

/// RFC 9700 section 4.5: a stolen code is worth nothing in a sign-in that the thief began.
async fn injected_code(app: Program) {
    let stolen = begin(&mut app.browser("session")).await.answer("allow").await;
    let mut thief = app.browser("session");
    let own = begin(&mut thief).await.answer("allow").await;
    let injected = Query::from([("state".into(), own["state"].clone()), ("code".into(), stolen["code"].clone())]);
    is_refused(&mut thief, &injected, "refused the sign-in").await;
    is_refused(&mut thief, &own, "no sign-in that waits").await;
}

async fn denied(app: Program) {
    let mut browser = app.browser("session");
    let callback = begin(&mut browser).await.answer("deny").await;
    assert_eq!(callback["error"], "access_denied");
    redirects(&call_back(&mut browser, &callback).await, "/");
    let page = text(&browser.get("/").await);
    assert!(page.contains("<p role=\"status\" class=\"warning\">you didn't let"), "{page}");
    assert!(page.contains("Hello, visitor"), "{page}");
    assert!(!text(&browser.get("/").await).contains("role=\"status\""), "it is shown once");
    is_refused(&mut browser, &callback, "no sign-in that waits").await;
}

async fn provider_error(app: Program) {
    let mut browser = app.browser("session");
    let state = begin(&mut browser).await.asked["state"].clone();
    // Also with a code, which no provider sends.
    let callback = Query::from([
        ("state".into(), state),
        ("error".into(), "temporarily_unavailable".into()),
        ("code".into(), "x".into()),
    ]);
    is_refused(&mut browser, &callback, "refused to ask").await;
    is_refused(&mut browser, &callback, "no sign-in that waits").await;
}

async fn without_code(app: Program) {
    let mut browser = app.browser("session");
    let state = begin(&mut browser).await.asked["state"].clone();
    is_refused(&mut browser, &Query::new(), "no sign-in that waits").await;
    is_refused(&mut browser, &Query::from([("state".into(), state)]), "refused to ask").await;
}

async fn bad_subject(app: Program) {
    let mut browser = app.browser("session");
    for subject in ["", "~visitor:1"] {
        let callback = begin(&mut browser).await.answer_as(subject, "allow").await;
        is_refused(&mut browser, &callback, "").await;
    }
}

async fn second_attempt(app: Program) {
    let mut browser = app.browser("session");
    let first = begin(&mut browser).await.answer("allow").await;
    let second = begin(&mut browser).await.answer("allow").await;
    is_refused(&mut browser, &first, "no sign-in that waits").await;
    redirects(&call_back(&mut browser, &second).await, "/");
    assert_eq!(user(&mut browser).await.as_deref(), Some("ada"));
    // Also for a user who is signed in.
    let before = browser.cookie();
    sign_in(&mut browser).await;
    assert_ne!(browser.cookie(), before);
}

async fn provider_refuses(app: Program) {
    let mut provider = begin(&mut app.browser("session")).await;
    let asked = provider.asked.clone();
    let with = |name: &str, value: &str| {
        let mut other = asked.clone();
        other.insert(name.to_owned(), value.to_owned());
        other
    };
    for other in [with("client_id", "another"), with("redirect_uri", "http://localhost:1/callback")] {
        let reply = provider.ask(&other).await;
        assert_eq!((reply.status, reply.headers.get("location")), (400, None), "{other:?}");
    }
    let mut without_challenge = asked.clone();
    without_challenge.remove("code_challenge");
    for (other, error) in [
        (with("code_challenge_method", "plain"), "invalid_request"),
        (without_challenge, "invalid_request"),
        (with("response_type", "token"), "unsupported_response_type"),
    ] {
        let back = redirected_with(&provider.ask(&other).await);
        assert_eq!((&*back["error"], &back["state"]), (error, &asked["state"]), "{other:?}");
    }
}

/// The callback is a 400 that says why, and signs in no one.
async fn is_refused(browser: &mut Browser, callback: &Query, why: &str) {
    let reply: Reply = call_back(browser, callback).await;
    assert_eq!(reply.status, 400, "{callback:?}");
    assert!(text(&reply).contains(why), "{}", text(&reply));
    assert_eq!(user(browser).await, None);
}
