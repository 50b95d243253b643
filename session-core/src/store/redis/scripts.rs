//! The operations that change sessions, or check a caller first: scripts, which the server runs
//! each as one step. A server that loses them gets them again.
//!
//! A script checks all that can fail before it changes anything. Where it looks at a user's other
//! sessions, it makes their keys from the index, all with the tag of the keys that it was given.

use std::sync::LazyLock;

/// A script.
pub(super) struct Script {
    script: LazyLock<redis::Script>,
    text: &'static str,
    is_read: bool,
}

macro_rules! script {
    ($($name:ident = $file:literal, read: $is_read:literal;)*) => {$(
        pub(super) static $name: Script = {
            const TEXT: &str = concat!(include_str!("scripts/row.lua"), include_str!($file));
            Script { script: LazyLock::new(|| redis::Script::new(TEXT)), text: TEXT, is_read: $is_read }
        };
    )*};
}

script! {
    CREATE = "scripts/create.lua", read: false;
    UPDATE = "scripts/update.lua", read: false;
    END = "scripts/end.lua", read: false;
    END_ALL = "scripts/end_all.lua", read: false;
    LIST = "scripts/list.lua", read: true;
    PURGE = "scripts/purge.lua", read: false;
    DUE = "scripts/due.lua", read: true;
}

impl Script {
    /// The hash by which the server knows it.
    pub(super) fn hash(&self) -> &str {
        self.script.get_hash()
    }

    pub(super) const fn text(&self) -> &'static str {
        self.text
    }

    /// Whether it changes nothing.
    pub(super) const fn is_read(&self) -> bool {
        self.is_read
    }
}
