//! A WebSocket client with a browser's cookies.

use conformance_tests::browser::{Browser, Site};
use futures_util::{SinkExt, StreamExt};
use http::header::{COOKIE, ORIGIN};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::soon;

/// An open WebSocket.
#[derive(Debug)]
pub struct Socket(WebSocketStream<TcpStream>);

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// A text.
    Text(String),
    /// A ping, which the client has answered.
    Ping(String),
    /// The server closes: code and reason.
    Close(u16, String),
}

impl Socket {
    /// Opens `/socket` with the browser's session cookie.
    ///
    /// # Errors
    /// The status of a response that isn't a 101.
    ///
    /// # Panics
    /// If there is no response.
    pub async fn open(browser: &Browser, site: &impl Site) -> Result<Self, u16> {
        Self::open_from(None, browser, site).await
    }

    /// The same for a page of this origin.
    ///
    /// # Errors
    /// The status of a response that isn't a 101.
    ///
    /// # Panics
    /// If there is no response.
    pub async fn open_from(origin: Option<&str>, browser: &Browser, site: &impl Site) -> Result<Self, u16> {
        let addr = site.server().addr;
        let mut request = format!("ws://{addr}/socket").into_client_request().expect("a URL");
        if let Some(origin) = origin {
            request.headers_mut().insert(ORIGIN, origin.parse().expect("a header value"));
        }
        if let Some(value) = browser.cookie() {
            let cookie = format!("{}={value}", site.cookie_name());
            request.headers_mut().insert(COOKIE, cookie.parse().expect("a header value"));
        }
        let stream = TcpStream::connect(addr).await.expect("the server listens");
        match soon(client_async(request, stream)).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("a handshake: {error}"),
        }
    }

    /// As a client does that talks WebSocket whatever it is answered, and says `early` before it
    /// knows. Its handshake has this `Connection` line. Gives the head of the response too, in
    /// lower case.
    ///
    /// # Panics
    /// If there is no response.
    pub async fn open_anyway(browser: &Browser, site: &impl Site, connection: &str, early: &str) -> (String, Self) {
        let mut stream = TcpStream::connect(site.server().addr).await.expect("the server listens");
        let cookie = format!("{}={}", site.cookie_name(), browser.cookie().expect("a cookie"));
        let mut request = format!(
            "GET /socket HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\nConnection: {connection}\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        .into_bytes();
        if !early.is_empty() {
            // A text frame under a mask of zeros (RFC 6455 5.2).
            request.extend([0x81, 0x80 | u8::try_from(early.len()).expect("a short text"), 0, 0, 0, 0]);
            request.extend(early.as_bytes());
        }
        stream.write_all(&request).await.expect("an open connection");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon(stream.read_u8()).await.expect("an answer"));
        }
        let socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
        (String::from_utf8(head).expect("a head in ASCII").to_lowercase(), Self(socket))
    }

    /// Says something.
    ///
    /// # Panics
    /// If the socket is closed.
    pub async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.expect("an open socket");
    }

    /// What the server says next.
    ///
    /// # Panics
    /// If the connection ends.
    pub async fn hear(&mut self) -> Heard {
        loop {
            match soon(self.0.next()).await {
                Some(Ok(Message::Text(text))) => return Heard::Text(text.as_str().to_owned()),
                Some(Ok(Message::Ping(bytes))) => return Heard::Ping(String::from_utf8_lossy(&bytes).into_owned()),
                Some(Ok(Message::Close(Some(frame)))) => {
                    return Heard::Close(frame.code.into(), frame.reason.as_str().to_owned());
                }
                Some(Ok(Message::Pong(_))) => {}
                other => panic!("a text, a ping or a close frame, not {other:?}"),
            }
        }
    }

    /// Says something, and gives the text that comes back.
    ///
    /// # Panics
    /// If the socket closes.
    pub async fn ask(&mut self, text: &str) -> String {
        self.say(text).await;
        loop {
            match self.hear().await {
                Heard::Text(text) => return text,
                Heard::Ping(_) => {}
                closed @ Heard::Close(..) => panic!("an answer, not {closed:?}"),
            }
        }
    }

    /// What a heartbeat finds that begins after this call.
    ///
    /// # Panics
    /// If the socket closes.
    pub async fn heartbeat(&mut self) -> String {
        // The server does one thing at a time, so the pings of earlier heartbeats come before this
        // answer.
        self.ask("what comes next?").await;
        match self.hear().await {
            Heard::Ping(found) => found,
            other => panic!("a ping, not {other:?}"),
        }
    }

    /// The close frame, whatever comes before it.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            if let Heard::Close(code, reason) = self.hear().await {
                return (code, reason);
            }
        }
    }
}
