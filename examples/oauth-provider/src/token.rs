//! The token endpoint: exchanges a code, once, for an access token.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Form, Json};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::Provider;

/// What a code stands for.
pub(crate) struct Grant {
    pub(crate) user: String,
    pub(crate) challenge: String,
}

/// The parameters of RFC 6749 section 4.1.3 and RFC 7636 section 4.5.
#[derive(Deserialize)]
pub(crate) struct Parameters {
    grant_type: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    redirect_uri: String,
    #[serde(default)]
    code_verifier: String,
}

/// `POST /token`. Errors are those of RFC 6749 section 5.2.
pub(crate) async fn exchange(
    State(provider): State<Arc<Provider>>,
    headers: HeaderMap,
    Form(form): Form<Parameters>,
) -> Response {
    let credentials = headers.get(AUTHORIZATION).map_or(&b""[..], |value| value.as_bytes());
    if !bool::from(credentials.ct_eq(provider.credentials.as_bytes())) {
        let refusal = Json(json!({ "error": "invalid_client" }));
        return (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Basic")], refusal).into_response();
    }
    let refuse = |error| (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response();
    if form.grant_type != "authorization_code" {
        return refuse("unsupported_grant_type");
    }
    let mut issued = provider.issued();
    // A code that was presented is used up, also if the rest is wrong.
    let Some(grant) = issued.codes.take(&form.code) else { return refuse("invalid_grant") };
    if form.redirect_uri != provider.client.redirect_uri || !verifies(&form.code_verifier, &grant.challenge) {
        return refuse("invalid_grant");
    }
    let token = json!({
        "access_token": issued.tokens.issue(grant.user),
        "token_type": "Bearer",
        "expires_in": issued.tokens.lifetime().as_secs(),
    });
    ([(CACHE_CONTROL, "no-store")], Json(token)).into_response()
}

/// RFC 7636 section 4.6, with S256.
fn verifies(verifier: &str, challenge: &str) -> bool {
    let hash = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
    (43..=128).contains(&verifier.len()) && bool::from(hash.as_bytes().ct_eq(challenge.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::verifies;

    #[test]
    fn the_verifier_of_rfc_7636_appendix_b_verifies() {
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert!(verifies("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", challenge));
        assert!(!verifies("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXK", challenge));
    }

    #[test]
    fn a_challenge_is_no_verifier_of_its_own() {
        let plain = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert!(!verifies(plain, plain), "the method `plain` isn't taken");
    }

    #[test]
    fn a_verifier_that_is_too_short_does_not_verify() {
        // The hash of the empty text.
        assert!(!verifies("", "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"));
    }
}
