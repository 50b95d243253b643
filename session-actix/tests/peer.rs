//! Whose address is recorded, by what the server knows of the peer.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;

use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::web::post;
use actix_web::{App, HttpServer, rt};
use session_actix::{
    CookieSession, CookieSessionService, CookieSessionServiceExt, KeyRing, MemoryStore, Result, SessionConfig,
    SessionConfigBuilder, SigningKey,
};

async fn sign_in(session: CookieSession) -> Result<String> {
    session.authenticate("ada").await?;
    Ok(session.current().map(|session| session.ip_address).unwrap_or_default())
}

fn service(settings: SessionConfigBuilder) -> CookieSessionService {
    let keys = KeyRing::new(SigningKey::from_bytes(&[7; 32]).unwrap());
    let config = settings.forwarding_header("X-Forwarded-For").build(keys).unwrap();
    CookieSessionService::new(MemoryStore::new(), config)
}

fn behind_a_proxy() -> CookieSessionService {
    service(SessionConfig::builder().parse_trusted_proxies("10.0.0.1").unwrap())
}

#[actix_web::test]
async fn the_peer_of_a_test_request_is_the_peer() {
    let service = behind_a_proxy();
    let app = init_service(App::new().route("/", post().to(sign_in)).wrap(service.middleware())).await;
    for (peer, expected) in [(Some("10.0.0.1:80"), "198.51.100.7"), (Some("192.0.2.1:80"), "192.0.2.1"), (None, "")] {
        let mut request = TestRequest::post().uri("/").insert_header(("x-forwarded-for", "198.51.100.7"));
        if let Some(peer) = peer {
            request = request.peer_addr(peer.parse::<SocketAddr>().unwrap());
        }
        let response = call_service(&app, request.to_request()).await;
        assert_eq!(read_body(response).await, expected, "{peer:?}");
    }
}

#[actix_web::test]
async fn behind_a_unix_socket_the_header_counts_if_it_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let trusting = service(SessionConfig::builder().trust_unix_socket());
    for (name, service, expected) in [("trusted", trusting, "198.51.100.7"), ("untrusted", behind_a_proxy(), "")] {
        let path = folder.path().join(name);
        let app = move || App::new().route("/", post().to(sign_in)).wrap(service.middleware());
        let server = HttpServer::new(app).workers(1).disable_signals().bind_uds(&path).unwrap().run();
        let handle = server.handle();
        rt::spawn(server);
        let answer = rt::task::spawn_blocking(move || {
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
        handle.stop(false).await;
    }
}
