//! The CSRF token of a session's pages, and its type in each adapter. Not here: its text and its
//! signature, see `keys::csrf`.

use std::fmt;

use rand::TryRng;
use rand::rngs::SysRng;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::model::session_id::SessionId;
use crate::model::token::NoRandomness;
use crate::policy::answer::Incoming;
use crate::request::handle::CookieSession;

/// A token for forms and scripts, which shows that a request was sent by a page of this very
/// session (ASVS 5.0 3.5.1). Most applications don't need it:
/// [`refuse_cross_origin`](crate::SessionConfigBuilder::refuse_cross_origin) takes one line and no
/// change of a page. It is for those who must have a token, and for requests through a proxy that
/// takes `Origin` and `Sec-Fetch-Site` away.
///
/// Its text is 43 ASCII letters, digits, `-` and `_`, so it needs no escaping in HTML or in a
/// header. It is signed under a key that is derived from the [`KeyRing`](crate::KeyRing), and
/// nothing of it is stored. It belongs to the session's id. So it stays valid when the session's
/// token rotates, and a sign-in or sign-out makes it worthless, as those change the id. With
/// [`Visitors`](crate::Visitors) it works before the sign-in too. Each text is masked afresh, so
/// that compressed pages don't disclose it (BREACH).
///
/// Handlers extract it, or make it with [`of`](Self::of), which checks nothing. The handler of a
/// POST verifies what the request sent, in a form field or in the header `x-csrf-token`.
///
/// ```
/// use session_core::CsrfToken;
///
/// # session_core::__private::example(async |session| {
/// session.authenticate("ada").await?;
/// let page = CsrfToken::of(&session)?;
/// let (name, value) = (CsrfToken::FIELD, page.as_str());
/// let form = format!(r#"<input type="hidden" name="{name}" value="{value}">"#);
/// assert!(form.contains("csrf_token"));
///
/// let sent = page.as_str();
/// session.rotate().await?;
/// CsrfToken::of(&session)?.verify(sent)?;
///
/// session.authenticate("ada").await?;
/// assert_eq!(CsrfToken::of(&session)?.verify(sent).unwrap_err().status(), 403);
/// # Ok(())
/// # })
/// ```
#[derive(Clone)]
pub struct CsrfToken {
    id: SessionId,
    text: Zeroizing<String>,
    session: CookieSession,
}

impl CsrfToken {
    /// The header in which scripts send it. A page of another origin can't set it without a CORS
    /// preflight.
    pub const HEADER: &'static str = "x-csrf-token";
    /// A name for the form field. Any other is as good.
    pub const FIELD: &'static str = "csrf_token";

    /// A token of the session as it is now, such as after a sign-in in the same handler.
    ///
    /// # Errors
    /// - [`Error::NotAuthenticated`], 401: there is no session that it could belong to, and no
    ///   visitor's either.
    /// - [`Error::NoRandomness`], 500: the operating system gave no random bytes.
    pub fn of(session: &CookieSession) -> Result<Self> {
        let id = session.0.bound_id()?.ok_or(Error::NotAuthenticated)?;
        let keys = &session.0.service.config.csrf_keys;
        let mut pad = [0; 16];
        SysRng.try_fill_bytes(&mut pad).map_err(|_| NoRandomness)?;
        Ok(Self { id, text: keys.sign(id.as_bytes(), pad), session: session.clone() })
    }

    /// The text for a form or a header. For a visitor without a row, this makes one at the commit,
    /// as a first value does: a token of what isn't stored could never be verified. So ask for it
    /// on pages with a form only, or each page that a crawler reads makes a row. A browser without
    /// a cookie that opens two such pages at once keeps the cookie of one, so the other's form is a
    /// 403.
    pub fn as_str(&self) -> &str {
        self.session.0.want_row(self.id);
        &self.text
    }

    /// Verifies what a request sent, in constant time: the text of any token of this session, also
    /// under a key that only verifies.
    ///
    /// # Errors
    /// [`Error::CsrfToken`], 403, if it is no such text.
    pub fn verify(&self, sent: impl AsRef<[u8]>) -> Result<()> {
        let is_own = self.session.0.service.config.csrf_keys.verify(self.id.as_bytes(), sent.as_ref());
        if is_own { Ok(()) } else { Err(Error::CsrfToken) }
    }

    /// Verifies the header `x-csrf-token` if the request has one, and otherwise a form field.
    ///
    /// # Errors
    /// As [`verify`](Self::verify), also where there is neither.
    ///
    /// ```
    /// use session_core::CsrfToken;
    ///
    /// # session_core::__private::example(async |session| {
    /// session.authenticate("ada").await?;
    /// let token = CsrfToken::of(&session)?;
    /// let headers = http::HeaderMap::new();
    /// token.verify_either(headers.get(CsrfToken::HEADER), Some(token.as_str()))?;
    /// assert!(token.verify_either(headers.get(CsrfToken::HEADER), None).is_err());
    /// # Ok(())
    /// # })
    /// ```
    pub fn verify_either(&self, header: Option<impl AsRef<[u8]>>, field: Option<&str>) -> Result<()> {
        match (header, field) {
            (Some(header), _) => self.verify(header),
            (None, Some(field)) => self.verify(field),
            (None, None) => Err(Error::CsrfToken),
        }
    }

    /// Verifies the header `x-csrf-token`, for guards: these run before a form is read.
    ///
    /// # Errors
    /// As [`verify`](Self::verify), also without the header.
    ///
    /// ```
    /// use session_core::{Answer, CookieSession, CsrfToken, Incoming};
    ///
    /// fn of_our_scripts(session: &CookieSession, request: &Incoming<'_>) -> Result<(), Answer> {
    ///     let verified = CsrfToken::of(session).and_then(|token| token.verify_header(request));
    ///     verified.map_err(|error| Answer::from(&error))
    /// }
    /// # fn takes(_: impl Fn(&CookieSession, &Incoming<'_>) -> Result<(), Answer>) {}
    /// # assert_eq!(takes(of_our_scripts), ());
    /// ```
    pub fn verify_header(&self, request: &Incoming<'_>) -> Result<()> {
        self.verify_either(request.header(Self::HEADER), None)
    }
}

impl fmt::Debug for CsrfToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CsrfToken").finish_non_exhaustive()
    }
}

/// The type in the crate of an adapter, which can implement its framework's extraction for it.
#[doc(hidden)]
#[macro_export]
macro_rules! __csrf_token_type {
    () => {
        /// A token for forms and scripts, which shows that a request was sent by a page of this
        /// very session. Extracting it checks nothing: put its text into the form, and
        /// [`verify`](Self::verify) what the form's request sent. Extracting it without a session
        /// is a 401, so a page before the sign-in needs [visitors](::session_core::Visitors). This
        /// dereferences to [the core's type](::session_core::CsrfToken), which is documented in
        /// full.
        #[derive(Debug, Clone)]
        pub struct CsrfToken($crate::CsrfToken);

        impl CsrfToken {
            /// The header in which scripts send it.
            pub const HEADER: &'static str = $crate::CsrfToken::HEADER;
            /// A name for the form field. Any other is as good.
            pub const FIELD: &'static str = $crate::CsrfToken::FIELD;

            /// Verifies what a request sent.
            pub fn verify(&self, sent: impl ::std::convert::AsRef<[u8]>) -> Result<()> {
                Ok(self.0.verify(sent)?)
            }

            /// Verifies the header `x-csrf-token` if the request has one, and otherwise a form
            /// field.
            pub fn verify_either(
                &self,
                header: ::std::option::Option<impl ::std::convert::AsRef<[u8]>>,
                field: ::std::option::Option<&str>,
            ) -> Result<()> {
                Ok(self.0.verify_either(header, field)?)
            }
        }

        impl $crate::adapter::FromSession for CsrfToken {
            fn from_session(session: $crate::CookieSession) -> $crate::Result<Self> {
                ::std::result::Result::Ok(Self($crate::CsrfToken::of(&session)?))
            }
        }

        impl ::std::ops::Deref for CsrfToken {
            type Target = $crate::CsrfToken;

            fn deref(&self) -> &$crate::CsrfToken {
                &self.0
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::handle::example;

    #[test]
    fn each_text_of_a_session_differs_and_each_verifies() {
        example(async |session| {
            session.authenticate("ada").await?;
            let (one, other) = (CsrfToken::of(&session)?, CsrfToken::of(&session)?);
            assert_ne!(one.as_str(), other.as_str());
            one.verify(other.as_str())?;
            other.verify(one.clone().as_str())
        });
    }

    #[test]
    fn the_header_counts_where_both_are_sent() {
        example(async |session| {
            session.authenticate("ada").await?;
            let token = CsrfToken::of(&session)?;
            let text = token.as_str();
            token.verify_either(Some(text), None)?;
            token.verify_either(Some(text), Some("wrong"))?;
            assert!(token.verify_either(Some("wrong"), Some(text)).is_err());
            assert!(token.verify_either(None::<&str>, None).is_err());
            token.verify_either(None::<&str>, Some(text))
        });
    }

    #[test]
    fn debug_shows_no_token() {
        example(async |session| {
            session.authenticate("ada").await?;
            let token = CsrfToken::of(&session)?;
            assert_eq!(format!("{token:?}"), "CsrfToken { .. }");
            Ok(())
        });
    }
}
