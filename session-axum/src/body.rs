//! What a layer's responses have for a body: Axum's, or that of the service inside. Not here: when
//! a response is replaced by an empty one, which the core decides.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;

/// How a layer holds the bodies of the service inside it: [`AxumBodies`] or [`OwnBodies`].
pub trait Bodies<B>: Copy {
    /// The body of the layer's responses. Its default is the empty body.
    type Body: Default;

    /// Holds a body.
    fn hold(self, body: B) -> Self::Body;
}

/// All responses have Axum's [`Body`], which every other layer and `axum::serve` take. One that is
/// Axum's already, as inside a `Router`, isn't put into a box again.
#[derive(Debug, Clone, Copy, Default)]
pub struct AxumBodies;

impl<B> Bodies<B> for AxumBodies
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Body = Body;

    fn hold(self, body: B) -> Body {
        Body::new(body)
    }
}

/// All responses have a [`BodyOrEmpty`]: see
/// [`unboxed`](crate::CookieSessionLayer::unboxed).
#[derive(Debug, Clone, Copy, Default)]
pub struct OwnBodies;

impl<B> Bodies<B> for OwnBodies {
    type Body = BodyOrEmpty<B>;

    fn hold(self, body: B) -> BodyOrEmpty<B> {
        BodyOrEmpty::Body { body }
    }
}

pin_project! {
    /// The body of the service inside a layer, or none. It is an [`HttpBody`] if that is one.
    ///
    /// ```
    /// use axum::body::HttpBody;
    /// use session_axum::BodyOrEmpty;
    ///
    /// let body = BodyOrEmpty::Body { body: "three".to_owned() };
    /// assert_eq!(body.size_hint().exact(), Some(5));
    /// assert!(BodyOrEmpty::<String>::default().is_end_stream());
    /// ```
    #[derive(Debug, Default, Clone, PartialEq, Eq)]
    #[allow(missing_docs, reason = "pin_project! takes no text on a field")]
    #[project = Projected]
    pub enum BodyOrEmpty<B> {
        /// That of the service inside.
        Body {
            #[pin]
            body: B,
        },
        /// None: the session layer answered instead.
        #[default]
        Empty,
    }
}

impl<B: HttpBody> HttpBody for BodyOrEmpty<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match self.project() {
            Projected::Body { body } => body.poll_frame(cx),
            Projected::Empty => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Body { body } => body.is_end_stream(),
            Self::Empty => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Body { body } => body.size_hint(),
            Self::Empty => SizeHint::with_exact(0),
        }
    }
}
