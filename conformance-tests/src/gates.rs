//! Gates: where a handler announces itself and waits, so that a test decides what happens meanwhile.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;

/// Named gates, shared by a world's servers and its scenario. A clone is the same gates.
#[derive(Debug, Clone)]
pub struct Gates(Arc<watch::Sender<HashMap<String, Gate>>>);

#[derive(Debug, Default)]
struct Gate {
    waiting: usize,
    left: usize,
    open: bool,
}

/// A handler at a gate.
struct Leaves<'a> {
    gates: &'a Gates,
    name: &'a str,
}

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.gates.0.send_modify(|gates| gates.entry(self.name.to_owned()).or_default().left += 1);
    }
}

impl Gates {
    /// Waits until one more handler is at the gate: called twice, it waits for two.
    pub async fn arrived(&self, name: &str) {
        let mut changes = self.0.subscribe();
        loop {
            let taken = self.0.send_if_modified(|gates| match gates.get_mut(name) {
                Some(gate) if gate.waiting > 0 => {
                    gate.waiting -= 1;
                    true
                }
                _ => false,
            });
            if taken {
                return;
            }
            changes.changed().await.expect("the gates outlive those who wait");
        }
    }

    /// Opens the gate, for those who wait and those who come later.
    pub fn open(&self, name: &str) {
        self.0.send_modify(|gates| gates.entry(name.to_owned()).or_default().open = true);
    }

    /// Closes the gate again.
    pub fn close(&self, name: &str) {
        self.0.send_modify(|gates| gates.entry(name.to_owned()).or_default().open = false);
    }

    /// Waits until one more handler has left the gate: it went on, or it was dropped there.
    pub async fn left(&self, name: &str) {
        let mut changes = self.0.subscribe();
        loop {
            let taken = self.0.send_if_modified(|gates| match gates.get_mut(name) {
                Some(gate) if gate.left > 0 => {
                    gate.left -= 1;
                    true
                }
                _ => false,
            });
            if taken {
                return;
            }
            changes.changed().await.expect("the gates outlive those who wait");
        }
    }

    /// Announces a handler and waits until the gate is open.
    pub async fn pass(&self, name: &str) {
        let _leaves = Leaves { gates: self, name };
        let mut changes = self.0.subscribe();
        self.0.send_modify(|gates| gates.entry(name.to_owned()).or_default().waiting += 1);
        let open = changes.wait_for(|gates| gates.get(name).is_some_and(|gate| gate.open)).await;
        assert!(open.is_ok(), "the gates outlive those who wait");
    }
}

impl Default for Gates {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(HashMap::new())))
    }
}
