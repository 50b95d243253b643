//! Starts the server; the rest is in `lib.rs`, and so is what to try.

use std::time::Duration;

use actix_web::{App, HttpServer};
use session_actix::{
    CookieSessionService, CookieSessionServiceExt, CrossOrigin, KeyRing, MemoryStore, SessionConfig, SigningKey,
};

/// How long a socket may outlive a sign-out.
const HEARTBEAT: Duration = Duration::from_secs(5);

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A random key at each start unless it is set: this store ends with the process too.
    let keys = KeyRing::new(SigningKey::from_env("SESSION_KEY")?);
    let config = SessionConfig::builder().refuse_cross_origin(CrossOrigin::new());
    let config = config.insecure_development_cookies().build(keys)?;
    let sessions = CookieSessionService::new(MemoryStore::new(), config);
    let _cleanup = sessions.spawn_cleanup(Duration::from_secs(3600));
    let app =
        move || App::new().configure(|config| websocket_actix::routes(config, HEARTBEAT)).wrap(sessions.middleware());
    let server = HttpServer::new(app).bind("127.0.0.1:3000")?;
    println!("websocket-actix on http://{}", server.addrs()[0]);
    Ok(server.run().await?)
}
