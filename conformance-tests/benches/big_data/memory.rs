//! How much memory this process takes, as Linux tells it; nothing elsewhere.

use std::fs;

/// A stretch of time.
pub(crate) struct Peak {
    before: usize,
}

impl Peak {
    /// Begins now, from what the process holds.
    pub(crate) fn begin() -> Self {
        // Linux's way to say that the highest value so far is forgotten.
        drop(fs::write("/proc/self/clear_refs", "5"));
        Self { before: status("VmRSS:") }
    }

    /// How much more it held at the most.
    pub(crate) fn bytes(&self) -> usize {
        status("VmHWM:").saturating_sub(self.before)
    }
}

fn status(name: &str) -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<usize>().ok()).unwrap_or_default() << 10
}
