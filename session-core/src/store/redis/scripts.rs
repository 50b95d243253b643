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
    /// Whether it takes a key that isn't there for one that the server has freed.
    needs_all: bool,
}

macro_rules! script {
    ($($name:ident = $file:literal, read: $is_read:literal, all: $needs_all:literal;)*) => {$(
        pub(super) static $name: Script = {
            const TEXT: &str = concat!(include_str!("scripts/row.lua"), include_str!($file));
            Script { script: LazyLock::new(|| redis::Script::new(TEXT)), text: TEXT, is_read: $is_read, needs_all: $needs_all }
        };
    )*};
}

script! {
    CREATE = "scripts/create.lua", read: false, all: true;
    UPDATE = "scripts/update.lua", read: false, all: false;
    END = "scripts/end.lua", read: false, all: false;
    END_ALL = "scripts/end_all.lua", read: false, all: true;
    LIST = "scripts/list.lua", read: true, all: true;
    PURGE = "scripts/purge.lua", read: false, all: true;
    DUE = "scripts/due.lua", read: true, all: false;
}

impl Script {
    /// The hash by which the server knows it.
    pub(super) fn hash(&self) -> &str {
        self.script.get_hash()
    }

    pub(super) const fn text(&self) -> &'static str {
        self.text
    }

    /// Whether it must run where all keys of its tag are: not at a server that some of them are
    /// only on their way to.
    pub(super) const fn needs_all(&self) -> bool {
        self.needs_all
    }

    /// Whether it changes nothing.
    pub(super) const fn is_read(&self) -> bool {
        self.is_read
    }
}
