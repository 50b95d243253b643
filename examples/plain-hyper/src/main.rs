//! Sessions on hyper alone, through the tower layer: `SESSION_KEY=$(openssl rand -base64 32) cargo
//! run -p plain-hyper`, then `curl -c jar -b jar -X POST 127.0.0.1:3000/login` and `curl -c jar -b
//! jar 127.0.0.1:3000`.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use session_axum::{
    ConnectInfo, CookieSession, CookieSessionService, CookieSessionServiceExt, KeyRing, MemoryStore, Result,
    SessionConfig, SigningKey,
};
use tokio::net::TcpListener;
use tower::{Layer, service_fn};

async fn answer(request: Request<Incoming>) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    let (parts, _body) = request.into_parts();
    Ok(route(&parts).await.unwrap_or_else(|error| Response::from(error.as_response())))
}

async fn route(parts: &Parts) -> Result<Response<Full<Bytes>>> {
    // None without the layer: here it is around everything.
    let session = CookieSession::of(parts).await?.expect("the layer is there, see `main`");
    let text = match (&parts.method, parts.uri.path()) {
        (&Method::GET, "/") => match session.user_id() {
            Some(user) => {
                session.update("visits", |n: Option<u64>| n.unwrap_or(0) + 1)?;
                format!("{user}, visit {}\n", session.get::<u64>("visits")?.unwrap_or(0))
            }
            None => "please sign in: POST /login\n".to_owned(),
        },
        (&Method::POST, "/login") => {
            session.authenticate("ada").await?; // after you have checked a password or passkey
            "signed in\n".to_owned()
        }
        (&Method::POST, "/logout") => {
            session.logout().await?;
            "signed out\n".to_owned()
        }
        _ => {
            let mut response = Response::new("no such page\n".into());
            *response.status_mut() = StatusCode::NOT_FOUND;
            return Ok(response);
        }
    };
    Ok(Response::new(text.into()))
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let keys = KeyRing::new(SigningKey::from_env("SESSION_KEY")?);
    let config = SessionConfig::builder().insecure_development_cookies().build(keys)?;
    let sessions = CookieSessionService::new(MemoryStore::new(), config);
    let _cleanup = sessions.spawn_cleanup(Duration::from_secs(3600));
    let app = sessions.layer().unboxed().layer(service_fn(answer));

    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    loop {
        let (stream, peer) = listener.accept().await?;
        // The address that the session records.
        let app = tower::util::MapRequest::new(app.clone(), move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            request
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}
