//! Pages for members, a page for admins, and a sign-in that leads back to what was asked for:
//! `SESSION_KEY=$(openssl rand -base64 32) cargo run -p roles-actix`, then open
//! <http://localhost:3000/admin>.

use std::collections::HashMap;

use actix_web::web::{self, Data, Form, Html, Query, Redirect, ServiceConfig, get, post, resource};
use actix_web::{App, HttpResponse, HttpServer};
use serde::Deserialize;
use session_actix::{
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
type Users = HashMap<String, User>;

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

fn app(service: &CookieSessionService, users: Data<Users>) -> impl FnOnce(&mut ServiceConfig) {
    // The role is that of now, and not that of the sign-in: a role that is taken away is gone.
    let roles = users.clone();
    let is_admin = move |session: &Session| roles.get(&session.user_id).is_some_and(|user| user.role == Role::Admin);
    let pages = web::scope("")
        .service(resource("/").wrap(RequireSignIn::or_redirect("/sign-in")).to(home))
        .service(resource("/admin").wrap(RequireSignIn::or_redirect("/sign-in").check(is_admin)).to(admin))
        .service(resource("/sign-in").route(get().to(page)).route(post().to(sign_in)))
        .route("/sign-out", post().to(sign_out))
        .wrap(service.middleware());
    move |config| {
        config.app_data(users).service(pages);
    }
}

async fn home(user: CurrentUser<User>) -> String {
    format!("hello {}", user.name)
}

async fn admin(user: CurrentUser<User>) -> String {
    format!("{} may do anything here", user.name)
}

async fn page(Query(SignIn { next, .. }): Query<SignIn>) -> Html {
    Html::new(format!("<form method=post><input name=user><input type=hidden name=next value=\"{next}\"><button>Go"))
}

async fn sign_in(session: CookieSession, users: Data<Users>, Form(form): Form<SignIn>) -> Result<HttpResponse> {
    if !users.contains_key(&form.user) {
        return Ok(HttpResponse::Forbidden().body("no such user\n"));
    }
    session.authenticate(&form.user).await?; // after you have checked a password or passkey
    Ok(HttpResponse::SeeOther().insert_header(("location", form.next.as_str())).finish())
}

async fn sign_out(session: CookieSession) -> Result<Redirect> {
    session.logout().await.map(|()| Redirect::to("/sign-in").see_other())
}

fn users() -> Data<Users> {
    let user = |name: &str, role| (name.to_lowercase(), User { name: name.to_owned(), role });
    Data::new([user("Ada", Role::Admin), user("Bob", Role::Member)].into())
}

#[actix_web::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let keys = KeyRing::new(SigningKey::from_env("SESSION_KEY")?);
    let service = CookieSessionService::new(MemoryStore::new(), SessionConfig::builder().build(keys)?);
    let users = users();
    let app = move || App::new().configure(app(&service, users.clone()));
    Ok(HttpServer::new(app).bind("127.0.0.1:3000")?.run().await?)
}

#[cfg(test)]
mod tests;
