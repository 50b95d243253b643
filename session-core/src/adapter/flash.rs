//! Messages for the next page, as handlers use them, and their type in each adapter.

use serde::Serialize;
use serde_json::Value;

use crate::error::Result;
use crate::request::handle::CookieSession;
use crate::values::json::encode;
use crate::visitor::flash::{FlashLevel, FlashMessage, KEY};

/// Messages that are shown once, on the next page: the usual end of a form is to push one and to
/// redirect. They wait in the session's values, a user's or a [visitor](crate::Visitors)'s, and
/// count towards its size. Without a session and without visitors nothing is kept, as with
/// [`set`](CookieSession::set).
///
/// A sign-in and a sign-out end what messages wait in, so push after them. After a sign-out that
/// needs visitors. A message of before a sign-in is shown after it where
/// [`keep_all`](crate::SignIn::keep_all), or [`keep`](crate::SignIn::keep) with the key `~flash`,
/// takes it along.
///
/// ```
/// use session_core::{Flash, FlashLevel};
///
/// # session_core::__private::visiting(async |session| {
/// let flash = Flash::of(&session);
/// flash.push(FlashLevel::Success, "Saved.")?;
/// flash.push_with(FlashLevel::Info, "One thing more.", &7)?;
///
/// let messages = flash.take().await?;
/// assert_eq!(messages[0].text, "Saved.");
/// assert_eq!((messages[1].level.to_string(), &messages[1].data), ("info".to_owned(), &7.into()));
/// assert!(flash.take().await?.is_empty(), "each is shown once");
/// # Ok(())
/// # })
/// ```
#[derive(Debug, Clone)]
pub struct Flash(CookieSession);

impl Flash {
    /// The messages of this request's session.
    pub fn of(session: &CookieSession) -> Self {
        Self(session.clone())
    }

    /// Adds a message. It is stored as a [`set`](CookieSession::set) is: not if the response is a
    /// 5xx.
    ///
    /// # Errors
    /// As [`update`](CookieSession::update): 413 if there is no room for it.
    pub fn push(&self, level: FlashLevel, text: impl Into<String>) -> Result<()> {
        self.add(FlashMessage::new(level, text.into(), Value::Null))
    }

    /// Adds a message with data, such as what an "undo" button needs.
    ///
    /// # Errors
    /// As [`push`](Self::push), and if `data` can't be written as JSON.
    pub fn push_with(&self, level: FlashLevel, text: impl Into<String>, data: &impl Serialize) -> Result<()> {
        self.add(FlashMessage::new(level, text.into(), encode(KEY, data)?))
    }

    fn add(&self, message: FlashMessage) -> Result<()> {
        self.0.update(KEY, move |messages: Option<Vec<FlashMessage>>| {
            let mut messages = messages.unwrap_or_default();
            messages.push(message.clone());
            messages
        })
    }

    /// Takes the messages, to show them in this response. Of requests at once one gets each
    /// message. If the response is a 5xx, or there is none, they are put back for the next page;
    /// with any other status they count as shown.
    /// Without messages the store isn't asked.
    ///
    /// # Errors
    /// - [`Error::Store`](crate::Error::Store), 503. The messages stay, unless the outcome is
    ///   unknown.
    /// - [`Error::Contention`](crate::Error::Contention), 503: other requests changed the session
    ///   at every try.
    /// - [`Error::WrongType`](crate::Error::WrongType), 500: the key `~flash` was set to something
    ///   else.
    pub async fn take(&self) -> Result<Vec<FlashMessage>> {
        let Some(waiting) = self.0.get::<Vec<FlashMessage>>(KEY)? else { return Ok(Vec::new()) };
        drop(waiting);
        let taken = self.0.0.run(|request| request.take(KEY)).await?;
        taken.map_or_else(|| Ok(Vec::new()), |value| crate::values::json::decode(KEY, &value))
    }
}

/// The type in the crate of an adapter, which can implement its framework's extraction for it.
#[doc(hidden)]
#[macro_export]
macro_rules! __flash_type {
    () => {
        /// Messages that are shown once, on the next page. See [the core's
        /// type](::session_core::Flash), which this dereferences to.
        #[derive(Debug, Clone)]
        pub struct Flash($crate::Flash);

        impl Flash {
            /// Adds a message.
            pub fn push(
                &self,
                level: $crate::FlashLevel,
                text: impl ::std::convert::Into<::std::string::String>,
            ) -> Result<()> {
                Ok(self.0.push(level, text)?)
            }

            /// Adds a message with data.
            pub fn push_with(
                &self,
                level: $crate::FlashLevel,
                text: impl ::std::convert::Into<::std::string::String>,
                data: &impl $crate::__private::Serialize,
            ) -> Result<()> {
                Ok(self.0.push_with(level, text, data)?)
            }

            /// Takes the messages, to show them in this response.
            pub async fn take(&self) -> Result<::std::vec::Vec<$crate::FlashMessage>> {
                Ok(self.0.take().await?)
            }
        }

        impl $crate::adapter::FromSession for Flash {
            fn from_session(session: $crate::CookieSession) -> $crate::Result<Self> {
                ::std::result::Result::Ok(Self($crate::Flash::of(&session)))
            }
        }

        impl ::std::ops::Deref for Flash {
            type Target = $crate::Flash;

            fn deref(&self) -> &$crate::Flash {
                &self.0
            }
        }
    };
}
