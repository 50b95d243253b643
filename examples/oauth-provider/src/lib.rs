//! A small OAuth 2 provider on loopback: the authorization code flow (RFC 6749 section 4.1) with
//! PKCE (RFC 7636), S256 only, for one confidential client.
//!
//! It is for examples: it asks for no password, and its user is whose name is typed on its consent
//! page.

mod authorize;
mod issued;
mod token;
mod userinfo;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio::net::TcpListener;

use crate::authorize::Asked;
use crate::issued::{Issued, random};
use crate::token::Grant;

/// What a developer gets when an app is registered at a provider.
#[derive(Clone)]
pub struct Registration {
    /// Where the browser is sent. Its host is another site than an app at `127.0.0.1`, as a
    /// provider's is.
    pub authorize_url: String,
    /// Where the app exchanges codes for tokens.
    pub token_url: String,
    /// Where the app asks whose token it has.
    pub userinfo_url: String,
    /// The app's name.
    pub client_id: String,
    /// What proves to the provider that it talks with the app.
    pub client_secret: String,
    /// The only address of the app that the browser is sent back to.
    pub redirect_uri: String,
}

/// Starts a provider that runs until the runtime ends, and registers the app with this redirect
/// URI, which has no query.
///
/// # Errors
/// If there is no free port on `127.0.0.1`.
///
/// # Panics
/// If the operating system has no random bytes.
pub async fn start(redirect_uri: String) -> io::Result<Registration> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let registration = Registration {
        authorize_url: format!("http://localhost:{port}/authorize"),
        token_url: format!("http://127.0.0.1:{port}/token"),
        userinfo_url: format!("http://127.0.0.1:{port}/userinfo"),
        client_id: "example-app".to_owned(),
        client_secret: random(),
        redirect_uri,
    };
    let provider = Arc::new(Provider::new(registration.clone()));
    let routes = Router::new()
        .route("/authorize", get(authorize::ask).post(authorize::answer))
        .route("/token", post(token::exchange))
        .route("/userinfo", get(userinfo::whose))
        .with_state(provider);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(registration)
}

/// What the provider knows.
struct Provider {
    client: Registration,
    /// The client's `Authorization` header. Its id and secret need no percent-encoding.
    credentials: String,
    issued: Mutex<AllIssued>,
}

/// What was issued and can be presented.
struct AllIssued {
    /// The authorization requests that are on a consent page.
    asked: Issued<Asked>,
    codes: Issued<Grant>,
    /// The user of each access token.
    tokens: Issued<String>,
}

impl Provider {
    fn new(client: Registration) -> Self {
        let credentials = BASE64_STANDARD.encode(format!("{}:{}", client.client_id, client.client_secret));
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        let issued = AllIssued {
            asked: Issued::new(minutes(10)),
            // RFC 6749 section 4.1.2: at most 10 minutes.
            codes: Issued::new(minutes(1)),
            tokens: Issued::new(minutes(10)),
        };
        Self { client, credentials: format!("Basic {credentials}"), issued: Mutex::new(issued) }
    }

    fn issued(&self) -> MutexGuard<'_, AllIssued> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
