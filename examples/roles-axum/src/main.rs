//! Pages for members, a page for admins, and a sign-in that leads back to what was asked for:
//! `SESSION_KEY=$(openssl rand -base64 32) cargo run -p roles-axum`, then open
//! <http://localhost:3000/admin>.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Router};
use serde::Deserialize;
use session_axum::{
    CookieSession, CookieSessionService, CookieSessionServiceExt, CurrentUser, Error, KeyRing, LoadUser, MemoryStore,
    Next, RequireSignIn, Result, Session, SessionConfig, SigningKey,
};

#[derive(Clone, PartialEq)]
enum Role {
    Admin,
    Member,
}

#[derive(Clone)]
struct User {
    name: String,
    role: Role,
}

/// By id; in a real app a database.
type Users = Arc<HashMap<String, User>>;

impl LoadUser for User {
    type State = Users;
    type Error = Error;

    async fn load(session: &Session, users: &Users) -> Result<Option<Self>> {
        Ok(users.get(&session.user_id).cloned())
    }
}

#[derive(Deserialize)]
struct SignIn {
    #[serde(default)]
    user: String,
    #[serde(default)]
    next: Next,
}

fn app(service: &CookieSessionService, users: Users) -> Router {
    // The role is that of now, and not that of the sign-in: a role that is taken away is gone.
    let roles = Arc::clone(&users);
    let is_admin = move |session: &Session| roles.get(&session.user_id).is_some_and(|user| user.role == Role::Admin);
    let admin =
        Router::new().route("/", get(admin)).route_layer(RequireSignIn::or_redirect("/sign-in").check(is_admin));
    let members = Router::new().route("/", get(home)).route_layer(RequireSignIn::or_redirect("/sign-in"));
    let public = Router::new().route("/sign-in", get(page).post(sign_in)).route("/sign-out", post(sign_out));
    public.merge(members).nest("/admin", admin).layer(service.layer()).with_state(users)
}

async fn home(user: CurrentUser<User>) -> String {
    format!("hello {}", user.name)
}

async fn admin(user: CurrentUser<User>) -> String {
    format!("{} may do anything here", user.name)
}

async fn page(Query(SignIn { next, .. }): Query<SignIn>) -> Html<String> {
    Html(format!("<form method=post><input name=user><input type=hidden name=next value=\"{next}\"><button>Sign in"))
}

async fn sign_in(session: CookieSession, State(users): State<Users>, Form(form): Form<SignIn>) -> Result<Response> {
    if !users.contains_key(&form.user) {
        return Ok((StatusCode::FORBIDDEN, "no such user\n").into_response());
    }
    session.authenticate(&form.user).await?; // after you have checked a password or passkey
    Ok(Redirect::to(form.next.as_str()).into_response())
}

async fn sign_out(session: CookieSession) -> Result<Redirect> {
    session.logout().await.map(|()| Redirect::to("/sign-in"))
}

fn users() -> Users {
    let user = |name: &str, role| (name.to_lowercase(), User { name: name.to_owned(), role });
    Arc::new([user("Ada", Role::Admin), user("Bob", Role::Member)].into())
}

#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let keys = KeyRing::new(SigningKey::from_env("SESSION_KEY")?);
    let service = CookieSessionService::new(MemoryStore::new(), SessionConfig::builder().build(keys)?);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    Ok(axum::serve(listener, app(&service, users())).await?)
}

#[cfg(test)]
mod tests;
