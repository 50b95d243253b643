//! The authorization endpoint: asks the user for consent, and sends the browser back to the app.

use std::sync::Arc;

use axum::Form;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::response::{IntoResponse, Redirect, Response};
use form_urlencoded::Serializer;
use maud::{DOCTYPE, Markup, html};
use serde::Deserialize;

use crate::Provider;
use crate::token::Grant;

/// The parameters of RFC 6749 section 4.1.1 and RFC 7636 section 4.3.
#[derive(Deserialize)]
pub(crate) struct Parameters {
    client_id: String,
    redirect_uri: String,
    response_type: Option<String>,
    state: Option<String>,
    code_challenge: Option<String>,
    code_challenge_method: Option<String>,
}

/// A request that waits for the user's answer.
pub(crate) struct Asked {
    state: Option<String>,
    challenge: String,
}

/// `GET /authorize`. A client or an address that isn't registered is a 400 and no redirect, as the
/// browser would be sent anywhere (RFC 6749 section 4.1.2.1).
pub(crate) async fn ask(State(provider): State<Arc<Provider>>, Query(asked): Query<Parameters>) -> Response {
    let client = &provider.client;
    if asked.client_id != client.client_id || asked.redirect_uri != client.redirect_uri {
        return (StatusCode::BAD_REQUEST, "no client is registered with this id and redirect URI\n").into_response();
    }
    let refuse = |error| send_back(&provider, &[("error", error)], asked.state.as_deref()).into_response();
    if asked.response_type.as_deref() != Some("code") {
        return refuse("unsupported_response_type");
    }
    match (asked.code_challenge, asked.code_challenge_method.as_deref()) {
        (Some(challenge), Some("S256")) => {
            let request = provider.issued().asked.issue(Asked { state: asked.state, challenge });
            // No other site can have it clicked inside a frame (RFC 6749 section 10.13).
            ([(CONTENT_SECURITY_POLICY, "frame-ancestors 'none'")], consent_page(&client.client_id, &request))
                .into_response()
        }
        _ => refuse("invalid_request"),
    }
}

fn consent_page(client: &str, request: &str) -> Markup {
    html! {
        (DOCTYPE)
        title { "Consent" }
        main {
            h1 { "The provider" }
            p { (client) " asks who you are." }
            form method="post" action="/authorize" {
                input type="hidden" name="request" value=(request);
                label { "You are " input name="user" value="ada" required; }
                button name="answer" value="allow" { "Allow" }
                button name="answer" value="deny" { "Deny" }
            }
        }
    }
}

/// What the consent page sends.
#[derive(Deserialize)]
pub(crate) struct Consent {
    request: String,
    user: String,
    answer: Answer,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Allow,
    Deny,
}

/// `POST /authorize`.
pub(crate) async fn answer(State(provider): State<Arc<Provider>>, Form(consent): Form<Consent>) -> Response {
    let mut issued = provider.issued();
    let Some(Asked { state, challenge }) = issued.asked.take(&consent.request) else {
        return (StatusCode::BAD_REQUEST, "this page was answered before, or is too old\n").into_response();
    };
    let parameter = match consent.answer {
        Answer::Allow => ("code", issued.codes.issue(Grant { user: consent.user, challenge })),
        Answer::Deny => ("error", "access_denied".to_owned()),
    };
    send_back(&provider, &[(parameter.0, &parameter.1)], state.as_deref()).into_response()
}

fn send_back(provider: &Provider, parameters: &[(&str, &str)], state: Option<&str>) -> Redirect {
    let mut query = Serializer::new(String::new());
    query.extend_pairs(parameters).extend_pairs(state.map(|state| ("state", state)));
    Redirect::to(&format!("{}?{}", provider.client.redirect_uri, query.finish()))
}
