//! Sign-in with an OAuth 2 provider, without a framework: the authorization code flow (RFC 6749
//! section 4.1) with PKCE (RFC 7636), on the crate `oauth2`. Not here: the session, in which the
//! app keeps the [`Attempt`] until the browser is back.

mod http_client;

use std::error::Error;

use oauth_provider::Registration;
use oauth2::basic::BasicClient;
use oauth2::{
    AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointNotSet, EndpointSet, PkceCodeChallenge,
    PkceCodeVerifier, RedirectUrl, RequestTokenError, TokenResponse, TokenUrl,
};
use serde::{Deserialize, Serialize};

use crate::http_client::HttpClient;

/// An app at its provider.
pub struct Client {
    oauth: BasicClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointSet>,
    userinfo_url: http::Uri,
    http: HttpClient,
}

/// A sign-in that was begun. Keep it in the session of the browser that began it, and remove it
/// when the provider has answered.
#[derive(Debug, Serialize, Deserialize)]
pub struct Attempt {
    state: CsrfToken,
    verifier: PkceCodeVerifier,
}

/// The query that the provider sends the browser back with (RFC 6749 sections 4.1.2 and 4.1.2.1).
#[derive(Deserialize)]
pub struct Callback {
    state: Option<String>,
    code: Option<String>,
    error: Option<String>,
}

/// Why a sign-in failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignInError {
    /// The answer is none to a sign-in of this browser: it was forged, or has been used.
    #[error("this browser has no sign-in that waits for this answer: start again")]
    NotAwaited,
    /// The user, or the provider for the user, said no.
    #[error("you didn't let the provider say who you are")]
    Denied,
    /// The provider can't answer such a request, or its answer has no code.
    #[error("the provider refused to ask you: start again")]
    NoCode,
    /// The provider doesn't take the code or the verifier.
    #[error("the provider refused the sign-in: start again")]
    Refused(#[source] Cause),
    /// The provider gave no answer, or none that can be understood.
    #[error("the provider can't be reached: try again later")]
    Unreachable(#[source] Cause),
}

/// What the user needn't know, and a log should.
pub type Cause = Box<dyn Error + Send + Sync>;

impl SignInError {
    /// The status of the response: 400, or 502 if the provider is at fault.
    pub const fn status(&self) -> u16 {
        match self {
            Self::NotAwaited | Self::Denied | Self::NoCode | Self::Refused(_) => 400,
            Self::Unreachable(_) => 502,
        }
    }

    /// What the response doesn't say, for logs. No secret is in it.
    pub fn cause(&self) -> Option<String> {
        let first = self.source()?;
        let further = std::iter::successors(first.source(), |&cause| cause.source());
        Some(further.fold(first.to_string(), |text, cause| format!("{text}, because {cause}")))
    }
}

impl Attempt {
    /// The attempt that was `kept` in the browser's session, if the callback answers it. The states
    /// are compared by their hashes, so the time that it takes shows nothing.
    ///
    /// # Errors
    /// [`SignInError::NotAwaited`].
    pub fn answered(kept: Option<Self>, callback: &Callback) -> Result<Self, SignInError> {
        let state = callback.state.clone().map(CsrfToken::new);
        kept.filter(|attempt| state.is_some_and(|state| attempt.state == state)).ok_or(SignInError::NotAwaited)
    }
}

impl Client {
    /// The client of an app that is registered.
    ///
    /// # Errors
    /// If one of the addresses isn't one.
    pub fn new(registration: Registration) -> Result<Self, Box<dyn Error>> {
        let oauth = BasicClient::new(ClientId::new(registration.client_id))
            .set_client_secret(ClientSecret::new(registration.client_secret))
            .set_auth_uri(AuthUrl::new(registration.authorize_url)?)
            .set_token_uri(TokenUrl::new(registration.token_url)?)
            .set_redirect_uri(RedirectUrl::new(registration.redirect_uri)?);
        Ok(Self { oauth, userinfo_url: registration.userinfo_url.parse()?, http: HttpClient::new() })
    }

    /// Begins a sign-in: the address to send the browser to, and what to keep for the callback.
    pub fn begin(&self) -> (String, Attempt) {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (url, state) = self.oauth.authorize_url(CsrfToken::new_random).set_pkce_challenge(challenge).url();
        (url.into(), Attempt { state, verifier })
    }

    /// Ends a sign-in that `callback` answers, and returns the provider's id of the user.
    ///
    /// # Errors
    /// Each [`SignInError`] but `NotAwaited`.
    pub async fn finish(&self, attempt: Attempt, callback: Callback) -> Result<String, SignInError> {
        let code = match (callback.code, callback.error.as_deref()) {
            (_, Some("access_denied")) => return Err(SignInError::Denied),
            (None, _) | (_, Some(_)) => return Err(SignInError::NoCode),
            (Some(code), None) => AuthorizationCode::new(code),
        };
        let token = self.oauth.exchange_code(code).set_pkce_verifier(attempt.verifier).request_async(&self.http).await;
        let token = token.map_err(|error| match error {
            RequestTokenError::ServerResponse(answer) => SignInError::Refused(answer.to_string().into()),
            RequestTokenError::Request(error) => SignInError::Unreachable(error.into()),
            // Without the body, in which a token may be.
            RequestTokenError::Parse(..) => SignInError::Unreachable("its answer has no token".into()),
            RequestTokenError::Other(why) => SignInError::Unreachable(why.into()),
        })?;
        self.subject(token.access_token().secret()).await.map_err(SignInError::Unreachable)
    }

    async fn subject(&self, token: &str) -> Result<String, Cause> {
        #[derive(Deserialize)]
        struct User {
            sub: String,
        }
        let request = http::Request::get(&self.userinfo_url).header("authorization", format!("Bearer {token}"));
        let response = self.http.send(request.body(Vec::new())?).await?;
        if response.status() != http::StatusCode::OK {
            return Err(format!("it doesn't say whose token it is: {}", response.status()).into());
        }
        Ok(serde_json::from_slice::<User>(response.body())?.sub)
    }
}
