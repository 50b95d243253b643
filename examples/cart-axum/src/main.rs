//! Visits are counted and a cart is filled before anyone has signed in, and the sign-in keeps the
//! cart: `cargo run -p cart-axum`, then open the address that it prints.
//!
//! Each form is answered by a redirect, and the page behind it shows the form's message once.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use axum::response::Redirect;
use axum::routing::{get, post};
use axum::{Form, Router};
use maud::{DOCTYPE, Markup, html};
use serde::Deserialize;
use session_axum::{
    CookieSession, CookieSessionService, CookieSessionServiceExt, Flash, FlashLevel, KeyRing, Result, SessionConfig,
    SignIn, SigningKey, SqliteStore, Visitors,
};
use tokio::net::TcpListener;

async fn home(session: CookieSession, flash: Flash) -> Result<Markup> {
    session.update("visits", |visits: Option<u64>| visits.unwrap_or(0) + 1)?;
    let (visits, cart) = (session.get::<u64>("visits")?, session.get::<Vec<String>>("cart")?);
    let messages = flash.take().await?;
    Ok(html! {
        (DOCTYPE)
        title { "Cart" }
        h1 { "Hello, " span #user { (session.user_id().as_deref().unwrap_or("visitor")) } }
        @for message in messages { p role="status" class=(message.level) { (message.text) } }
        p { "Pages seen: " span #visits { (visits.unwrap_or(0)) } }
        ul #cart { @for item in cart.unwrap_or_default() { li { (item) } } }
        form method="post" action="/cart" { input name="item" required; button { "Put into the cart" } }
        @if session.is_authenticated() {
            form method="post" action="/sign-out" { button { "Sign out" } }
        } @else {
            form method="post" action="/sign-in" { input name="user" required; button { "Sign in" } }
        }
    })
}

#[derive(Deserialize)]
struct Put {
    item: String,
}

async fn put(session: CookieSession, flash: Flash, Form(Put { item }): Form<Put>) -> Result<Redirect> {
    session.update("cart", move |cart: Option<Vec<String>>| {
        let mut cart = cart.unwrap_or_default();
        cart.push(item.clone());
        cart
    })?;
    flash.push(FlashLevel::Success, "It is in the cart.")?;
    Ok(Redirect::to("/"))
}

#[derive(Deserialize)]
struct Name {
    user: String,
}

async fn sign_in(session: CookieSession, flash: Flash, Form(Name { user }): Form<Name>) -> Result<Redirect> {
    // After you have checked a password or passkey. What isn't named ends with the visitor.
    session.authenticate_opts(&user, SignIn::new().keep(["cart"])).await?;
    flash.push(FlashLevel::Success, "You are signed in.")?;
    Ok(Redirect::to("/"))
}

async fn sign_out(session: CookieSession, flash: Flash) -> Result<Redirect> {
    session.logout().await?;
    flash.push(FlashLevel::Info, "You are signed out.")?; // kept for the visitor that the user is now
    Ok(Redirect::to("/"))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // A random key at each start unless it is set: this store ends with the process too.
    let keys = KeyRing::new(SigningKey::from_env("SESSION_KEY")?);
    let config = SessionConfig::builder().visitors(Visitors::new()).insecure_development_cookies().build(keys)?;
    let service = CookieSessionService::new(SqliteStore::open(":memory:").await?, config);
    let _cleanup = service.spawn_cleanup(Duration::from_secs(3600));
    let routes = Router::new().route("/", get(home)).route("/cart", post(put));
    let routes = routes.route("/sign-in", post(sign_in)).route("/sign-out", post(sign_out));
    let app = routes.layer(service.layer()).into_make_service_with_connect_info::<SocketAddr>();
    let listener = TcpListener::bind(std::env::var("ADDR").as_deref().unwrap_or("127.0.0.1:3000")).await?;
    println!("cart-axum is at http://{}", listener.local_addr()?);
    Ok(axum::serve(listener, app).await?)
}
