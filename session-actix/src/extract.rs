//! The extractors, and the error as a response.

use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_web::http::StatusCode;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, ResponseError};
use session_core::adapter::{FromSession, MaybeReady};

use crate::head::Lines;
use crate::slot::Slot;
use crate::{CookieSession, CsrfToken, Error, Flash, Result, Session};

/// Implements Actix's extraction for types that are [`FromSession`](crate::FromSession).
///
/// ```
/// use session_actix::{FromSession, session_core};
///
/// struct Theme(String);
///
/// impl FromSession for Theme {
///     fn from_session(session: session_core::CookieSession) -> session_core::Result<Self> {
///         Ok(Self(session.get("theme")?.unwrap_or_else(|| "light".to_owned())))
///     }
/// }
///
/// session_actix::extract!(Theme);
///
/// async fn theme(theme: Theme) -> String {
///     theme.0
/// }
/// # let _: actix_web::Resource = actix_web::web::resource("/").to(theme);
/// # fn is_extracted<T: actix_web::FromRequest>() {}
/// # assert_eq!(is_extracted::<Theme>(), ());
/// ```
#[macro_export]
macro_rules! extract {
    ($($type:ty),+) => {$(
        /// Made of the request's session: one store call a request at most.
        ///
        /// Without a [`CookieSessionMiddleware`]($crate::CookieSessionMiddleware) around the
        /// handler the response is a 500, and the log has an error; an `Option` of it is none. If
        /// the store can't be read, the response is a 503 in any case.
        impl $crate::__private::FromRequest for $type {
            type Error = $crate::Error;
            type Future = $crate::Extraction<Self>;

            fn from_request(
                request: &$crate::__private::HttpRequest,
                _: &mut $crate::__private::Payload,
            ) -> $crate::Extraction<Self> {
                $crate::Extraction::of(request)
            }
        }
    )+};
}

extract!(CookieSession, CsrfToken, Flash, Session);

/// The future of an extraction.
#[derive(Debug)]
#[must_use = "nothing is extracted unless it is polled"]
pub struct Extraction<T> {
    /// None without a middleware.
    load: Option<LookUp>,
    made: PhantomData<fn() -> T>,
}

type LookUp = MaybeReady<session_core::Result<session_core::CookieSession>>;

const NO_LAYER: session_core::Error = session_core::Error::NoLayer { layer: ".wrap(service.middleware())" };

impl<T> Extraction<T> {
    #[doc(hidden)]
    pub fn of(request: &HttpRequest) -> Self {
        Self { load: look_up(request), made: PhantomData }
    }
}

/// The look-up of the session; none without a middleware.
pub(crate) fn look_up(request: &HttpRequest) -> Option<LookUp> {
    let extensions = request.extensions();
    let slot = extensions.get::<Slot>()?;
    let peer = request.peer_addr().map(|peer| peer.ip());
    Some(slot.with(|scope| scope.load(scope.read(&Lines(request.headers()), peer))))
}

/// The session, for a guard.
pub(crate) async fn loaded(load: Option<LookUp>) -> session_core::Result<session_core::CookieSession> {
    load.ok_or(NO_LAYER)?.await
}

impl<T: FromSession> Future for Extraction<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T>> {
        let session = ready!(Pin::new(self.load.as_mut().ok_or(NO_LAYER)?).poll(cx))?;
        Poll::Ready(Ok(T::from_session(session)?))
    }
}

impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status()).expect("the core names HTTP statuses only")
    }

    fn error_response(&self) -> HttpResponse {
        let parts = self.as_response();
        let mut response = HttpResponse::build(self.status_code());
        for header in parts.headers {
            response.insert_header(*header);
        }
        response.body(parts.body)
    }
}
