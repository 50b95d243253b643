//! Whose address is recorded, by what the server knows of the peer.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::connect_info::{ConnectInfo, MockConnectInfo};
use axum::routing::post;
use http::Request;
use session_axum::{
    CookieSession, CookieSessionService, CookieSessionServiceExt, KeyRing, MemoryStore, Result, SessionConfig,
    SessionConfigBuilder, SigningKey,
};
use tokio::net::UnixListener;
use tower::ServiceExt;

const PROXY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)), 80);

async fn sign_in(session: CookieSession) -> Result<String> {
    session.authenticate("ada").await?;
    Ok(session.current().map(|session| session.ip_address).unwrap_or_default())
}

fn app(settings: SessionConfigBuilder) -> Router {
    let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32]).unwrap());
    let config = settings.forwarding_header("X-Forwarded-For").build(keys).unwrap();
    let service = CookieSessionService::new(MemoryStore::new(), config);
    Router::new().route("/", post(sign_in)).layer(service.layer())
}

fn behind_a_proxy() -> Router {
    app(SessionConfig::builder().parse_trusted_proxies("10.0.0.1").unwrap())
}

fn request() -> Request<Body> {
    Request::post("/").header("x-forwarded-for", "198.51.100.7").body(Body::empty()).unwrap()
}

async fn recorded(app: Router, request: Request<Body>) -> String {
    let response = app.oneshot(request).await.unwrap();
    String::from_utf8(to_bytes(response.into_body(), 100).await.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn a_mocked_peer_is_the_peer() {
    assert_eq!(recorded(behind_a_proxy().layer(MockConnectInfo(PROXY)), request()).await, "198.51.100.7");
    let elsewhere: SocketAddr = "192.0.2.1:80".parse().unwrap();
    assert_eq!(recorded(behind_a_proxy().layer(MockConnectInfo(elsewhere)), request()).await, "192.0.2.1");
    let mut real = request();
    real.extensions_mut().insert(ConnectInfo(elsewhere));
    let app = behind_a_proxy().layer(MockConnectInfo(PROXY));
    assert_eq!(recorded(app, real).await, "192.0.2.1", "the real one counts before the mock");
}

#[tokio::test]
async fn a_peer_of_another_type_has_no_address() {
    let mut own = request();
    own.extensions_mut().insert(ConnectInfo("a type of one's own"));
    assert_eq!(recorded(behind_a_proxy(), own).await, "");
    assert_eq!(recorded(behind_a_proxy(), request()).await, "");
}

#[tokio::test]
async fn behind_a_unix_socket_the_header_counts_if_it_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let trusting = SessionConfig::builder().trust_unix_socket();
    for (name, app, expected) in [("trusted", app(trusting), "198.51.100.7"), ("untrusted", behind_a_proxy(), "")] {
        let path = folder.path().join(name);
        let listener = UnixListener::bind(&path).unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, app).await });
        let answer = tokio::task::spawn_blocking(move || {
            let mut stream = UnixStream::connect(path).unwrap();
            let head = "POST / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 198.51.100.7\r\nconnection: close\r\n\r\n";
            stream.write_all(head.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        let answer = answer.await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(answer.split_once("\r\n\r\n").unwrap().1, expected, "{name}");
        server.abort();
    }
}
