//! DATA-11, DATA-14: what becomes of an upgrade whose changes can't be stored. Not here: the
//! example's own socket, which saves before it upgrades.

mod support;

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::{get, post};
use conformance_tests::browser::Browser;
use conformance_tests::faulty::{Fault, OpKind};
use session_axum::{CookieSession, CookieSessionService, CookieSessionServiceExt, Result};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use websocket_tests::{Example, Heard, Socket};

/// What becomes of the handler's closure.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Ran,
    Heard(String),
    Ended,
    /// It was told that there is no upgrade.
    Failed,
}

/// A handler that sets a value, and then upgrades; if it `saves`, it stores the value before. What
/// it sets can't be stored.
async fn outage(saves: bool) -> (Example, Browser, UnboundedReceiver<Fate>) {
    let (report, fates) = unbounded_channel();
    let serve = async move |sessions| support::listen(app(&sessions, saves, report)).await;
    let example = Example::start_with(serve).await;
    let ada = example.signed_in().await;
    example.faults.fail(OpKind::Update, Fault::NotApplied);
    (example, ada, fates)
}

fn app(sessions: &CookieSessionService, saves: bool, report: UnboundedSender<Fate>) -> Router {
    let socket = async move |session: CookieSession, upgrade: WebSocketUpgrade| -> Result<Response> {
        session.set("greeting", &"hi")?;
        if saves {
            session.save().await?;
        }
        let failed = report.clone();
        let upgrade = upgrade.on_failed_upgrade(move |_| tell(&failed, Fate::Failed));
        Ok(upgrade.on_upgrade(move |socket| serve(socket, report)))
    };
    Router::new()
        .route("/login", post(async |session: CookieSession| session.authenticate("ada").await))
        .route("/socket", get(socket))
        .layer(sessions.layer())
}

async fn serve(mut socket: WebSocket, report: UnboundedSender<Fate>) {
    tell(&report, Fate::Ran);
    while let Some(Ok(Message::Text(text))) = socket.recv().await {
        tell(&report, Fate::Heard(text.to_string()));
        let _ = socket.send(Message::Text(text)).await;
    }
    tell(&report, Fate::Ended);
}

fn tell(report: &UnboundedSender<Fate>, fate: Fate) {
    // Where a test has ended, nobody listens.
    let _ = report.send(fate);
}

/// What is reported until nothing that could report is left.
async fn all(mut fates: UnboundedReceiver<Fate>) -> Vec<Fate> {
    let mut all = Vec::new();
    while let Some(fate) = websocket_tests::soon(fates.recv()).await {
        all.push(fate);
    }
    all
}

#[tokio::test]
async fn data_11_after_a_503_the_closure_runs_when_the_connection_ends() {
    let (example, ada, fates) = outage(false).await;
    let (head, socket) = Socket::open_anyway(&ada, &example, "Upgrade", "").await;
    assert_is_empty_503(&head);
    drop((socket, ada, example));
    assert_eq!(all(fates).await, [Fate::Ran, Fate::Ended]);
}

/// The reason for which `save` comes first: this client has its socket in spite of the 503.
#[tokio::test]
async fn data_11_after_a_503_a_client_that_asked_to_close_can_talk_to_the_closure() {
    let (example, ada, fates) = outage(false).await;
    let (head, mut socket) = Socket::open_anyway(&ada, &example, "Upgrade, close", "").await;
    assert_is_empty_503(&head);
    socket.say("hello").await;
    assert_eq!(socket.hear().await, Heard::Text("hello".into()));
    drop((socket, ada, example));
    assert_eq!(all(fates).await, [Fate::Ran, Fate::Heard("hello".into()), Fate::Ended]);
}

/// Hyper reads what comes next as a request; the upgrade is cancelled, as this is none.
#[tokio::test]
async fn data_11_after_a_503_a_connection_that_breaks_cancels_the_upgrade() {
    let (example, ada, mut fates) = outage(false).await;
    let (head, mut socket) = Socket::open_anyway(&ada, &example, "Upgrade", "").await;
    assert_is_empty_503(&head);
    socket.say("hello").await;
    assert_eq!(websocket_tests::soon(fates.recv()).await, Some(Fate::Failed));
    drop((socket, ada, example));
    assert_eq!(all(fates).await, []);
}

#[tokio::test]
async fn data_14_with_save_before_it_there_is_a_503_and_no_upgrade() {
    for connection in ["Upgrade", "Upgrade, close"] {
        let (example, ada, fates) = outage(true).await;
        let (head, socket) = Socket::open_anyway(&ada, &example, connection, "hello").await;
        assert!(head.starts_with("http/1.1 503 "), "{head}");
        drop((socket, ada, example));
        assert_eq!(all(fates).await, []);
    }
}

/// DATA-11: without the handler's headers.
fn assert_is_empty_503(head: &str) {
    assert!(head.starts_with("http/1.1 503 ") && head.contains("content-length: 0\r\n"), "{head}");
    assert!(!head.contains("upgrade") && !head.contains("sec-websocket"), "{head}");
}
