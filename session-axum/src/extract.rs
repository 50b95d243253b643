//! The extractors, and the error as a response.

use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::OriginalUri;
use axum::extract::connect_info::{ConnectInfo, MockConnectInfo};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{Extensions, HeaderMap, Request, Uri};
use session_core::Answer;
use session_core::adapter::{MaybeReady, Scope};

use crate::{CookieSession, CsrfToken, Error, Flash, Result, Session};

/// Implements Axum's extraction for types that are [`FromSession`](crate::FromSession), and for an
/// `Option` of each.
///
/// ```
/// use session_axum::{FromSession, session_core};
///
/// struct Theme(String);
///
/// impl FromSession for Theme {
///     fn from_session(session: session_core::CookieSession) -> session_core::Result<Self> {
///         Ok(Self(session.get("theme")?.unwrap_or_else(|| "light".to_owned())))
///     }
/// }
///
/// session_axum::extract!(Theme);
///
/// async fn theme(Theme(name): Theme) -> String {
///     name
/// }
/// # let _: axum::Router = axum::Router::new().route("/", axum::routing::get(theme));
/// # fn is_extracted<T: axum::extract::FromRequestParts<()>>() {}
/// # assert_eq!(is_extracted::<Theme>(), ());
/// ```
#[macro_export]
macro_rules! extract {
    ($($type:ty),+) => {$(
        /// Made of the request's session: one store call a request at most. An `Option` of it is
        /// none if there is no [`CookieSessionLayer`]($crate::CookieSessionLayer), or if the type
        /// needs a sign-in and there is none.
        ///
        /// # Panics
        /// Without a [`CookieSessionLayer`]($crate::CookieSessionLayer) around the handler.
        impl<S: ::std::marker::Send + ::std::marker::Sync> $crate::__private::FromRequestParts<S> for $type {
            type Rejection = $crate::Error;

            async fn from_request_parts(
                parts: &mut $crate::__private::Parts,
                _: &S,
            ) -> $crate::Result<Self> {
                let session = $crate::__private::required(parts).await?;
                ::std::result::Result::Ok($crate::FromSession::from_session(session.into())?)
            }
        }

        impl<S: ::std::marker::Send + ::std::marker::Sync> $crate::__private::OptionalFromRequestParts<S> for $type {
            type Rejection = $crate::Error;

            async fn from_request_parts(
                parts: &mut $crate::__private::Parts,
                _: &S,
            ) -> $crate::Result<::std::option::Option<Self>> {
                let ::std::option::Option::Some(session) = $crate::CookieSession::of(parts).await? else {
                    return ::std::result::Result::Ok(::std::option::Option::None);
                };
                ::std::result::Result::Ok($crate::FromSession::from_session_if_any(session.into())?)
            }
        }
    )+};
}

extract!(CookieSession, CsrfToken, Flash, Session);

impl CookieSession {
    /// The session of a request inside a [`CookieSessionLayer`](crate::CookieSessionLayer), for
    /// services that have no extractors; none without the layer. The peer's address is that of a
    /// [`ConnectInfo<SocketAddr>`](ConnectInfo) in the extensions, or of a [`MockConnectInfo`].
    ///
    /// # Errors
    /// 503 if the store failed, or 500 if it holds a row that can't be understood.
    pub async fn of(parts: &Parts) -> Result<Option<Self>> {
        match look_up(&parts.extensions, &parts.headers) {
            Some(load) => Ok(Some(load.await?.into())),
            None => Ok(None),
        }
    }
}

type LookUp = MaybeReady<session_core::Result<session_core::CookieSession>>;

/// The look-up of the session; none without a layer.
pub(crate) fn look_up(extensions: &Extensions, headers: &HeaderMap) -> Option<LookUp> {
    let scope = extensions.get::<Scope>()?;
    let mock = || extensions.get::<MockConnectInfo<SocketAddr>>().map(|info| info.0);
    let peer = extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0).or_else(mock);
    Some(scope.load(scope.read(headers, peer.map(|peer| peer.ip()))))
}

/// The target that the client asked for: in a nested router that of the request is cut.
pub(crate) fn target<B>(request: &Request<B>) -> &Uri {
    request.extensions().get::<OriginalUri>().map_or(request.uri(), |target| &target.0)
}

const NO_LAYER: session_core::Error = session_core::Error::NoLayer { layer: ".layer(service.layer())" };

/// The session, for a guard: without a layer it is an error that is logged, and no panic.
pub(crate) async fn loaded(load: Option<LookUp>) -> session_core::Result<session_core::CookieSession> {
    load.ok_or(NO_LAYER)?.await
}

#[doc(hidden)]
pub async fn required(parts: &Parts) -> Result<CookieSession> {
    match CookieSession::of(parts).await? {
        Some(session) => Ok(session),
        None => panic!("{NO_LAYER}"),
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        self.as_response().into()
    }
}

/// The response of an answer.
pub(crate) fn answered(answer: &Answer) -> Response {
    let mut response = Response::default();
    answer.apply(&mut response);
    *response.body_mut() = Body::from(answer.body());
    response
}
