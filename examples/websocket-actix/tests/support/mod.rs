//! Serves routes on a real port.

use actix_web::web::ServiceConfig;
use actix_web::{App, HttpServer, rt};
use conformance_tests::adapter::Server;
use session_actix::{CookieSessionService, CookieSessionServiceExt};

/// Serves `routes` inside the middleware, on a thread of its own, until the server is dropped.
pub(crate) async fn listen(
    sessions: CookieSessionService,
    routes: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> Server {
    let (started, handle) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        rt::System::new().block_on(async move {
            let app = move || App::new().configure(routes.clone()).wrap(sessions.middleware());
            let server = HttpServer::new(app).workers(1).disable_signals().shutdown_timeout(0);
            let server = server.bind("127.0.0.1:0").expect("a free port");
            let addr = server.addrs()[0];
            let server = server.run();
            started.send((addr, server.handle())).expect("the test waits");
            server.await.expect("a server that runs to its end");
        });
    });
    let (addr, handle) = handle.await.expect("the server starts");
    // The message is sent by the call; nobody waits for the answer.
    Server::new(addr, move || drop(handle.stop(false)))
}
