//! A WebSocket that closes within one heartbeat of a sign-out, and survives any number of
//! rotations. `cargo run -p websocket-axum`, then, in two terminals:
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

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use axum::routing::{get, post};
use session_axum::{CookieSession, CookieSessionService, CookieSessionServiceExt, Result};
use tokio::time::{MissedTickBehavior, interval, timeout};

/// How long a client has to answer that the socket closes.
const FAREWELL: Duration = Duration::from_secs(10);

/// The routes. Each socket asks every `heartbeat` whether its session is live.
pub fn app(sessions: &CookieSessionService, heartbeat: Duration) -> Router {
    Router::new()
        .route("/", get("POST /login, /rotate, /rotate-strict, /logout or /logout-all; a WebSocket at /socket\n"))
        .route("/login", post(login))
        .route("/rotate", post(async |session: CookieSession| done(session.rotate().await)))
        .route("/rotate-strict", post(async |session: CookieSession| done(session.rotate_strict().await)))
        .route("/logout", post(async |session: CookieSession| done(session.logout().await)))
        .route("/logout-all", post(async |session: CookieSession| done(session.logout_all().await)))
        .route("/socket", get(socket))
        .layer(sessions.layer())
        .with_state(heartbeat)
}

async fn login(session: CookieSession) -> Result<&'static str> {
    done(session.authenticate("ada").await) // after you have checked a password or passkey
}

fn done(outcome: Result<()>) -> Result<&'static str> {
    outcome.map(|()| "done\n")
}

async fn socket(
    State(heartbeat): State<Duration>,
    session: CookieSession,
    upgrade: WebSocketUpgrade,
) -> Result<Response> {
    // Before the upgrade: whoever isn't signed in gets a 401, and what can't be stored is a 503,
    // while there can still be one.
    session.save().await?;
    Ok(upgrade.on_upgrade(move |socket| serve(socket, session, heartbeat)))
}

async fn serve(mut socket: WebSocket, session: CookieSession, heartbeat: Duration) {
    let mut heartbeats = interval(heartbeat);
    heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let outcome = tokio::select! {
            _ = heartbeats.tick() => beat(&session).await,
            received = socket.recv() => match received {
                Some(Ok(Message::Text(text))) => echo(&session, &text).await,
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => continue,
            },
        };
        let (code, reason) = match outcome {
            Ok(answer) => match socket.send(answer).await {
                Ok(()) => continue,
                Err(_) => return,
            },
            Err(error) if error.status() == 401 => (close_code::POLICY, "signed out"),
            Err(_) => (close_code::ERROR, "error"),
        };
        let farewell = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        if socket.send(farewell).await.is_ok() {
            // Until the client has answered, or it may never read why.
            let _ = timeout(FAREWELL, async { while let Some(Ok(_)) = socket.recv().await {} }).await;
        }
        return;
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
        Ok(()) => Ok(format!("{}: {text}", session.get::<u64>("messages")?.unwrap_or(0)).into()),
        // The session has ended; or it lives, and only the token died that this socket was opened
        // with, by rotations elsewhere. Such a socket can read and no longer store: what must be
        // stored then is for requests, or for a new socket.
        Err(error) if error.status() == 401 => {
            session.reload().await?;
            Ok(format!("not counted: {text}").into())
        }
        // It stays set, and the next `save` stores it.
        Err(error) if error.status() == 503 => Ok(format!("not stored yet: {text}").into()),
        Err(error) => Err(error),
    }
}
