//! A provider that gives no answer, or a useless one, is a 502: it isn't the user's fault.

use oauth_client::{Attempt, Callback, Client, SignInError};
use oauth_provider::Registration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Ends a sign-in with the code `secret-code` at what listens at this address.
async fn finish(addr: std::net::SocketAddr) -> SignInError {
    let client = Client::new(Registration {
        authorize_url: format!("http://{addr}/authorize"),
        token_url: format!("http://{addr}/token"),
        userinfo_url: format!("http://{addr}/userinfo"),
        client_id: "app".to_owned(),
        client_secret: "secret-client".to_owned(),
        redirect_uri: "http://127.0.0.1:1/callback".to_owned(),
    });
    let client = client.expect("addresses");
    let (url, attempt) = client.begin();
    let (_, state) = url.split_once("state=").expect("a state");
    let state = state.split('&').next().expect("a value");
    let callback = serde_json::json!({ "state": state, "code": "secret-code" });
    let callback: Callback = serde_json::from_value(callback).expect("a callback");
    let attempt = Attempt::answered(Some(attempt), &callback).expect("its own state");
    client.finish(attempt, callback).await.expect_err("no sign-in")
}

/// The same at a server that answers like this, at its token endpoint and when it is asked whose
/// the token is.
async fn finish_at(token: &'static str, userinfo: &'static str) -> SignInError {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("a bound address");
    let server = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            // To its end, as a connection that is closed before that is reset.
            let mut request = Vec::new();
            while !is_whole(&String::from_utf8_lossy(&request)) {
                assert_ne!(stream.read_buf(&mut request).await.expect("a request"), 0);
            }
            let answer = if request.starts_with(b"POST /token ") { token } else { userinfo };
            stream.write_all(answer.as_bytes()).await.expect("a client that reads");
        }
    });
    let error = finish(addr).await;
    server.abort();
    error
}

fn is_whole(request: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    body.len() >= length.map_or(0, |length| length.parse().expect("a length"))
}

#[tokio::test]
async fn a_provider_that_is_down_is_a_502() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("a bound address");
    drop(listener);
    let error = finish(addr).await;
    assert_eq!(error.status(), 502);
    assert!(error.cause().expect("a cause").starts_with("the request failed, because "), "{error:?}");
}

#[tokio::test]
async fn an_answer_that_is_no_token_is_a_502_and_not_shown() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 29\r\n\r\n{\"access_token\": \"secret-tok\"}",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{\"access_token\": \"secret-tok\"}",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\nsecret-tok",
        "HTTP/1.1 307 Elsewhere\r\nLocation: http://localhost/\r\nContent-Length: 0\r\n\r\n",
    ] {
        let error = finish_at(answer, "").await;
        assert_eq!(error.status(), 502, "{answer}");
        let shown = format!("{error} {error:?} {:?}", error.cause());
        assert!(!shown.contains("secret") && !shown.contains("115, 101, 99"), "{shown}");
    }
}

#[tokio::test]
async fn an_error_of_the_token_endpoint_is_a_400() {
    let answer = "HTTP/1.1 400 Bad Request\r\nContent-Length: 25\r\n\r\n{\"error\":\"invalid_grant\"}";
    let error = finish_at(answer, "").await;
    assert!(matches!(error, SignInError::Refused(_)), "{error:?}");
    assert_eq!(error.status(), 400);
    assert_eq!(error.cause().as_deref(), Some("invalid_grant"));
}

#[tokio::test]
async fn a_refused_token_is_a_502_whatever_the_answer_says() {
    let token =
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"access_token\":\"secret-tok\",\"token_type\":\"bearer\"}";
    let userinfo = "HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n{\"sub\":\"mallory\"}";
    let error = finish_at(token, userinfo).await;
    assert_eq!(error.status(), 502);
    assert!(error.cause().is_some_and(|cause| cause.ends_with("401 Unauthorized")), "{error:?}");
}
