//! The application's users that handlers of one request have asked for, each loaded once. Not here:
//! how a user is loaded, which the application says.

use std::any::Any;
use std::sync::Arc;

use tokio::sync::OnceCell;

/// The users of one request, by type and by the user who is signed in.
#[derive(Default)]
pub(crate) struct LoadedUsers(Vec<Entry>);

struct Entry {
    /// A handler may sign in another user.
    user_id: String,
    /// A `UserCell<U>`.
    cell: Arc<dyn Any + Send + Sync>,
}

/// A user as the application loaded it; none if it knows no such user.
pub(crate) type UserCell<U> = OnceCell<Option<Arc<U>>>;

impl LoadedUsers {
    /// Where the `U` of this user is, or will be.
    pub(crate) fn cell<U: Send + Sync + 'static>(&mut self, user_id: String) -> Arc<UserCell<U>> {
        let mut of_user = self.0.iter().filter(|entry| entry.user_id == user_id);
        if let Some(cell) = of_user.find_map(|entry| Arc::clone(&entry.cell).downcast().ok()) {
            return cell;
        }
        let cell = Arc::new(UserCell::<U>::new());
        self.0.push(Entry { user_id, cell: Arc::clone(&cell) as Arc<dyn Any + Send + Sync> });
        cell
    }
}
