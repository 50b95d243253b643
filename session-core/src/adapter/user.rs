//! The application's user, loaded once a request. Not here: extraction, which is the framework's.

use std::sync::Arc;

use crate::request::handle::CookieSession;

/// The application's user of this session's request, as `load` gives it; none without a sign-in, or
/// if `load` gives none. In one request it is awaited once for each type of user, unless it fails
/// or another user signs in.
///
/// # Errors
/// Those of `load`.
///
/// ```
/// # session_core::__private::example(async |session| {
/// use session_core::adapter::load_user;
///
/// struct User {
///     name: String,
/// }
///
/// let load = async || {
///     let name = session.signed_in()?.user_id;
///     Ok::<_, session_core::Error>(Some(User { name }))
/// };
/// assert!(load_user(&session, load()).await?.is_none());
/// session.authenticate("ada").await?;
/// assert_eq!(load_user(&session, load()).await?.unwrap().name, "ada");
/// # Ok(())
/// # })
/// ```
pub async fn load_user<U, E>(
    session: &CookieSession,
    load: impl Future<Output = Result<Option<U>, E>>,
) -> Result<Option<Arc<U>>, E>
where
    U: Send + Sync + 'static,
{
    let Some(user_id) = session.user_id() else { return Ok(None) };
    let cell = session.0.lock().extras().users.cell(user_id);
    let user = cell.get_or_try_init(async || Ok(load.await?.map(Arc::new))).await?;
    Ok(user.clone())
}

/// Defines `LoadUser` and `CurrentUser` in a module of an adapter, where the adapter's
/// `CookieSession`, `Session`, `Error` and `Result` are in scope. The adapter implements its
/// framework's extraction for `CurrentUser`. Comments that the macro is given, such as an example,
/// continue the documentation of that type.
#[macro_export]
macro_rules! user_types {
    ($(#[$more:meta])*) => {
        /// The application's user, as its own database has it: says how [`CurrentUser`] is loaded.
        ///
        /// Write `load` as an `async fn`. [`Error`](Self::Error) is a response, and takes the
        /// session's errors by `From`: where loading can't fail, it can be this crate's [`Error`].
        pub trait LoadUser: ::std::marker::Sized + ::std::marker::Send + ::std::marker::Sync + 'static {
            /// What `load` needs of the application's state, such as a pool of connections.
            type State: ::std::marker::Send + ::std::marker::Sync + 'static;

            /// Why there is no answer.
            type Error: ::std::convert::From<Error>;

            /// The user of a session; none if there is no such user any more: to [`CurrentUser`]
            /// that is as if there were no sign-in. A guard that loads no user, such as
            /// `RequireSignIn`, lets the request pass.
            ///
            /// To end a user's other sessions when the password changes, call `logout_other`, or
            /// return none here for a session whose value of the password's age isn't the user's.
            ///
            /// # Errors
            /// The application's own. It is the response.
            fn load(
                session: &Session,
                state: &Self::State,
            ) -> impl ::std::future::Future<Output = ::std::result::Result<::std::option::Option<Self>, Self::Error>>
            + ::std::marker::Send;
        }

        /// The application's user who is signed in, loaded once a request, however often it is
        /// extracted. Without a sign-in, or where the user is gone, it is a 401.
        ///
        $(#[$more])*
        pub struct CurrentUser<U>(
            /// The user that [`LoadUser::load`] has given.
            pub ::std::sync::Arc<U>,
        );

        impl<U: LoadUser> CurrentUser<U> {
            /// The user of a session; none without a sign-in, or where the user is gone.
            ///
            /// # Errors
            /// Those of [`LoadUser::load`].
            pub async fn of(
                session: &CookieSession,
                state: &U::State,
            ) -> ::std::result::Result<::std::option::Option<Self>, U::Error> {
                let load = async {
                    let session = session.signed_in().map_err(Error::from)?;
                    U::load(&session.into(), state).await
                };
                Ok($crate::adapter::load_user(session, load).await?.map(Self))
            }

            /// The same for a session that was looked up, and an error where it gives none.
            async fn required(
                session: Result<CookieSession>,
                state: &U::State,
            ) -> ::std::result::Result<Self, U::Error> {
                let user = Self::of(&session?, state).await?;
                user.ok_or_else(|| Error::from($crate::Error::NotAuthenticated).into())
            }
        }

        impl<U> ::std::ops::Deref for CurrentUser<U> {
            type Target = U;

            fn deref(&self) -> &U {
                &self.0
            }
        }

        impl<U> ::std::clone::Clone for CurrentUser<U> {
            fn clone(&self) -> Self {
                Self(::std::clone::Clone::clone(&self.0))
            }
        }

        /// Without the user, of whom this doesn't know what is secret.
        impl<U> ::std::fmt::Debug for CurrentUser<U> {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.debug_struct("CurrentUser").finish_non_exhaustive()
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::load_user;
    use crate::error::Error;
    use crate::request::handle::example;

    #[derive(Debug, PartialEq)]
    struct User(String);
    #[derive(Debug, PartialEq)]
    struct Other(String);

    #[test]
    fn a_user_is_loaded_once_for_each_type_and_anew_for_another_sign_in() {
        example(async |session| {
            let loads = Cell::new(0);
            let load = async || {
                loads.set(loads.get() + 1);
                Ok::<_, Error>(Some(session.signed_in()?.user_id))
            };
            let user = async || load_user(&session, async { Ok::<_, Error>(load().await?.map(User)) }).await;
            let other = async || load_user(&session, async { Ok::<_, Error>(load().await?.map(Other)) }).await;
            assert_eq!((user().await?, loads.get()), (None, 0));
            session.authenticate("ada").await?;
            for _ in 0..2 {
                assert_eq!(user().await?.unwrap().0, "ada");
                assert_eq!(other().await?.unwrap().0, "ada");
                assert_eq!(loads.get(), 2);
            }
            session.authenticate("bob").await?;
            assert_eq!((user().await?.unwrap().0.as_str(), loads.get()), ("bob", 3));
            session.logout().await?;
            assert_eq!((user().await?, loads.get()), (None, 3));
            Ok(())
        });
    }

    #[test]
    fn an_error_is_not_kept_and_a_missing_user_is() {
        example(async |session| {
            session.authenticate("ada").await?;
            let failed = load_user::<User, _>(&session, async { Err("down") }).await;
            assert_eq!(failed, Err("down"));
            assert_eq!(load_user::<User, &str>(&session, async { Ok(None) }).await, Ok(None));
            let again = load_user(&session, async { Ok::<_, &str>(Some(User("ada".to_owned()))) }).await;
            assert_eq!(again, Ok(None), "in this request");
            Ok(())
        });
    }
}
