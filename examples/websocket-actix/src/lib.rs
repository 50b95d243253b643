//! A WebSocket that closes within one heartbeat of a sign-out, and survives any number of
//! rotations. `cargo run -p websocket-actix`, then, in two terminals:
//!
//! ```sh
//! curl -c jar -b jar -X POST 127.0.0.1:3000/login
//! websocat -H "Cookie: $(awk '$6 == "session" {print $6 "=" $7}' jar)" ws://127.0.0.1:3000/socket    # type something
//!
//! curl -c jar -b jar -X POST 127.0.0.1:3000/rotate    # as often as you like: the socket stays
//! curl -c jar -b jar -X POST 127.0.0.1:3000/logout    # it closes: 1008, signed out
//! ```
//!
//! A socket is opened by the browser's cookie, as any request, and `SameSite=Lax` keeps those of
//! other sites out. `refuse_cross_origin`, in `main`, keeps other hosts of the own site out too.

use std::time::Duration;

use actix_web::web::{Data, Payload, ServiceConfig, get, post};
use actix_web::{HttpRequest, HttpResponse, rt};
use actix_ws::{AggregatedMessage, AggregatedMessageStream, CloseCode, CloseReason, Message};
use session_actix::{CookieSession, Result};
use tokio::time::{MissedTickBehavior, interval};

struct Heartbeat(Duration);

/// The routes, for an app inside the middleware. Each socket asks every `heartbeat` whether its
/// session is live.
pub fn routes(config: &mut ServiceConfig, heartbeat: Duration) {
    config
        .app_data(Data::new(Heartbeat(heartbeat)))
        .route(
            "/",
            get().to(async || "POST /login, /rotate, /rotate-strict, /logout or /logout-all; a WebSocket at /socket\n"),
        )
        .route("/login", post().to(login))
        .route("/rotate", post().to(async |session: CookieSession| done(session.rotate().await)))
        .route("/rotate-strict", post().to(async |session: CookieSession| done(session.rotate_strict().await)))
        .route("/logout", post().to(async |session: CookieSession| done(session.logout().await)))
        .route("/logout-all", post().to(async |session: CookieSession| done(session.logout_all().await)))
        .route("/socket", get().to(socket));
}

async fn login(session: CookieSession) -> Result<&'static str> {
    done(session.authenticate("ada").await) // after you have checked a password or passkey
}

fn done(outcome: Result<()>) -> Result<&'static str> {
    outcome.map(|()| "done\n")
}

async fn socket(
    heartbeat: Data<Heartbeat>,
    session: CookieSession,
    request: HttpRequest,
    body: Payload,
) -> actix_web::Result<HttpResponse> {
    // Before the upgrade: whoever isn't signed in gets a 401, and what can't be stored is a 503,
    // while there can still be one.
    session.save().await?;
    let (response, socket, received) = actix_ws::handle(&request, body)?;
    rt::spawn(serve(socket, received.aggregate_continuations(), session, heartbeat.0));
    Ok(response)
}

async fn serve(
    mut socket: actix_ws::Session,
    mut received: AggregatedMessageStream,
    session: CookieSession,
    heartbeat: Duration,
) {
    let mut heartbeats = interval(heartbeat);
    heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let outcome = tokio::select! {
            _ = heartbeats.tick() => beat(&session).await,
            received = received.recv() => match received {
                Some(Ok(AggregatedMessage::Text(text))) => echo(&session, &text).await,
                Some(Ok(AggregatedMessage::Ping(bytes))) => Ok(Message::Pong(bytes)),
                Some(Ok(AggregatedMessage::Close(_)) | Err(_)) | None => return,
                Some(Ok(AggregatedMessage::Binary(_) | AggregatedMessage::Pong(_))) => continue,
            },
        };
        let (code, reason) = match outcome {
            Ok(answer) => match send(&mut socket, answer).await {
                Ok(()) => continue,
                Err(_) => return,
            },
            Err(error) if error.status() == 401 => (CloseCode::Policy, "signed out"),
            Err(_) => (CloseCode::Error, "error"),
        };
        // It only fails where the client has gone.
        let _ = socket.close(Some(CloseReason { code, description: Some(reason.to_owned()) })).await;
        return;
    }
}

async fn send(socket: &mut actix_ws::Session, message: Message) -> std::result::Result<(), actix_ws::Closed> {
    match message {
        Message::Ping(bytes) => socket.ping(&bytes).await,
        Message::Pong(bytes) => socket.pong(&bytes).await,
        Message::Text(text) => socket.text(text).await,
        _ => Ok(()),
    }
}

/// Asks whether the session is live, by its id: rotations elsewhere don't matter. It writes
/// nothing, and isn't activity: a session with no requests but this socket ends by its idle
/// timeout. The ping finds out whether the client is there.
async fn beat(session: &CookieSession) -> Result<Message> {
    match session.reload().await {
        Ok(()) => Ok(Message::Ping("signed in".into())),
        // An outage isn't a sign-out.
        Err(error) if error.status() == 503 => Ok(Message::Ping("store out of reach".into())),
        Err(error) => Err(error),
    }
}

/// Counts the message in the session.
async fn echo(session: &CookieSession, text: &str) -> Result<Message> {
    session.update("messages", |n: Option<u64>| n.unwrap_or(0) + 1)?;
    match session.save().await {
        Ok(()) => Ok(Message::Text(format!("{}: {text}", session.get::<u64>("messages")?.unwrap_or(0)).into())),
        // The session has ended; or it lives, and only the token died that this socket was opened
        // with, by rotations elsewhere. Such a socket can read and no longer store: what must be
        // stored then is for requests, or for a new socket.
        Err(error) if error.status() == 401 => {
            session.reload().await?;
            Ok(Message::Text(format!("not counted: {text}").into()))
        }
        // It stays set, and the next `save` stores it.
        Err(error) if error.status() == 503 => Ok(Message::Text(format!("not stored yet: {text}").into())),
        Err(error) => Err(error),
    }
}
