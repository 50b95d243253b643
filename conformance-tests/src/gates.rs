//! Gates: a handler announces itself at one and waits, so that a test decides what happens in the
//! meantime.

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
struct AtGate<'a> {
    gates: &'a Gates,
    name: &'a str,
}

impl Drop for AtGate<'_> {
    fn drop(&mut self) {
        self.gates.0.send_modify(|gates| gates.entry(self.name.to_owned()).or_default().left += 1);
    }
}

impl Gates {
    /// Waits until one more handler is at the gate: two calls wait for two handlers.
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
            changes.changed().await.expect("the gates outlive the handlers");
        }
    }

    /// Opens the gate, for the handlers that wait and for later ones.
    pub fn open(&self, name: &str) {
        self.0.send_modify(|gates| gates.entry(name.to_owned()).or_default().open = true);
    }

    /// Closes the gate again.
    pub fn close(&self, name: &str) {
        self.0.send_modify(|gates| gates.entry(name.to_owned()).or_default().open = false);
    }

    /// Waits until one more handler has left the gate, whether it passed or was dropped there.
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
            changes.changed().await.expect("the gates outlive the handlers");
        }
    }

    /// Announces a handler and waits until the gate is open.
    pub async fn pass(&self, name: &str) {
        let _at_gate = AtGate { gates: self, name };
        let mut changes = self.0.subscribe();
        self.0.send_modify(|gates| gates.entry(name.to_owned()).or_default().waiting += 1);
        let open = changes.wait_for(|gates| gates.get(name).is_some_and(|gate| gate.open)).await;
        assert!(open.is_ok(), "the gates outlive the handlers");
    }
}

impl Default for Gates {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(HashMap::new())))
    }
}
