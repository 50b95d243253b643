//! One connection to a server, over HTTP/1.1 or HTTP/2. Not here: whose request it is, see
//! `browser`.

use std::io;

use bytes::Bytes;
use http::header::{COOKIE, HOST};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::adapter::Server;

type Body = Full<Bytes>;

/// The sending end. A clone of an HTTP/2 one has streams of its own on the same connection.
#[derive(Debug)]
pub(crate) enum Wire {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

/// What keeps a connection open until it is dropped.
pub(crate) type Driver = JoinSet<hyper::Result<()>>;

impl Wire {
    /// A connection to `server`.
    pub(crate) async fn open(server: &Server) -> io::Result<(Self, Driver)> {
        let stream = TokioIo::new(TcpStream::connect(server.addr).await?);
        let mut driver = Driver::new();
        let wire = if server.is_http2 {
            let executor = TokioExecutor::new();
            let (sender, connection) = http2::Builder::new(executor).handshake(stream).await.expect("HTTP/2");
            driver.spawn(connection);
            Self::Http2(sender)
        } else {
            let (sender, connection) = http1::Builder::new().handshake(stream).await.expect("HTTP/1.1");
            driver.spawn(connection);
            Self::Http1(sender)
        };
        Ok((wire, driver))
    }

    /// Sends a request for the host `localhost` with these cookies, as browsers do: in one line, or
    /// over HTTP/2 in a line for each (RFC 9113 8.2.3).
    pub(crate) async fn ask(
        &mut self,
        mut request: Request<Body>,
        cookies: &[Vec<u8>],
    ) -> hyper::Result<Response<Incoming>> {
        let cookie = |bytes: &[u8]| HeaderValue::from_bytes(bytes).expect("cookies of header bytes");
        // The last answer may not have made room for a request yet.
        match self {
            Self::Http1(sender) => {
                request.headers_mut().insert(HOST, HeaderValue::from_static("localhost"));
                if !cookies.is_empty() {
                    request.headers_mut().append(COOKIE, cookie(&cookies.join(&b"; "[..])));
                }
                sender.ready().await?;
                sender.send_request(request).await
            }
            Self::Http2(sender) => {
                let target = Uri::builder().scheme("http").authority("localhost");
                let path = request.uri().path_and_query().expect("a path").clone();
                *request.uri_mut() = target.path_and_query(path).build().expect("a valid target");
                for one in cookies {
                    request.headers_mut().append(COOKIE, cookie(one));
                }
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }
}
