//! DATA-11, DATA-14: what becomes of an upgrade whose changes can't be stored. Not here: the
//! example's own socket, which saves before it upgrades.

mod support;

use actix_web::web::{Payload, ServiceConfig, get, post};
use actix_web::{HttpRequest, HttpResponse, rt};
use actix_ws::{Message, MessageStream};
use conformance_tests::browser::Browser;
use conformance_tests::faulty::{Fault, OpKind};
use session_actix::CookieSession;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use websocket_tests::{Example, Socket};

/// What becomes of the handler's task.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Ran,
    Heard {
        text: String,
        answered: bool,
    },
    /// There is nothing more to hear.
    Ended,
}

/// A handler that sets a value, and then upgrades; if it `saves`, it stores the value before. What
/// it sets can't be stored.
async fn outage(saves: bool) -> (Example, Browser, UnboundedReceiver<Fate>) {
    let (report, fates) = unbounded_channel();
    let routes = move |config: &mut ServiceConfig| routes(config, saves, report.clone());
    let example = Example::start_with(async |sessions| support::listen(sessions, routes).await).await;
    let ada = example.signed_in().await;
    example.faults.fail(OpKind::Update, Fault::NotApplied);
    (example, ada, fates)
}

fn routes(config: &mut ServiceConfig, saves: bool, report: UnboundedSender<Fate>) {
    let login = async |session: CookieSession| session.authenticate("ada").await.map(|()| "done");
    let socket = move |session: CookieSession, request: HttpRequest, body: Payload| {
        let report = report.clone();
        async move {
            session.set("greeting", &"hi")?;
            if saves {
                session.save().await?;
            }
            let (response, socket, received) = actix_ws::handle(&request, body)?;
            rt::spawn(serve(socket, received, report));
            Ok::<HttpResponse, actix_web::Error>(response)
        }
    };
    config.route("/login", post().to(login)).route("/socket", get().to(socket));
}

async fn serve(mut socket: actix_ws::Session, mut received: MessageStream, report: UnboundedSender<Fate>) {
    tell(&report, Fate::Ran);
    while let Some(Ok(Message::Text(text))) = received.recv().await {
        let answered = socket.text(text.clone()).await.is_ok();
        tell(&report, Fate::Heard { text: text.to_string(), answered });
    }
    tell(&report, Fate::Ended);
}

fn tell(report: &UnboundedSender<Fate>, fate: Fate) {
    // Where a test has ended, nobody listens.
    let _ = report.send(fate);
}

#[actix_web::test]
async fn data_11_after_a_503_the_task_runs_and_cannot_answer() {
    let (example, ada, mut fates) = outage(false).await;
    let (head, _socket) = Socket::open_anyway(&ada, &example, "Upgrade", "hello").await;
    // DATA-11: without the handler's headers.
    assert!(head.starts_with("http/1.1 503 ") && head.contains("content-length: 0\r\n"), "{head}");
    assert!(!head.contains("upgrade") && !head.contains("sec-websocket"), "{head}");
    for fate in [Fate::Ran, Fate::Heard { text: "hello".into(), answered: false }, Fate::Ended] {
        assert_eq!(websocket_tests::soon(fates.recv()).await, Some(fate));
    }
}

#[actix_web::test]
async fn data_14_with_save_before_it_there_is_a_503_and_no_upgrade() {
    let (example, ada, mut fates) = outage(true).await;
    let (head, socket) = Socket::open_anyway(&ada, &example, "Upgrade", "hello").await;
    assert!(head.starts_with("http/1.1 503 "), "{head}");
    // Until nothing that could report is left.
    drop((socket, ada, example));
    assert_eq!(websocket_tests::soon(fates.recv()).await, None);
}
