//! A proxy between a store and its server, which cuts a connection in the middle of a change, or
//! keeps silent. Not here: what the messages mean, see `wire`.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::wire::{Message, Protocol, Wire};

/// Where a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The server never reads the end of the change.
    Before,
    /// The server reads it, and the client doesn't wait for what becomes of it.
    During,
    /// The server has done it, and the client never hears so.
    After,
}

/// A proxy, until the runtime ends. A clone is the same.
#[derive(Clone)]
pub(crate) struct Proxy {
    port: u16,
    plan: Arc<Plan>,
}

struct Plan {
    protocol: Protocol,
    server: String,
    next: Mutex<Option<Cut>>,
    /// How many connections were cut, of which the server is done with all that it had read.
    settled: watch::Sender<usize>,
    silent: watch::Sender<bool>,
    /// How often the connections of the time were forgotten.
    forgotten: watch::Sender<u32>,
    /// Falls silent with the next question whether it is there.
    silent_at_ping: AtomicBool,
    /// How many of the next connections reach nothing.
    unopened: AtomicU32,
}

impl Proxy {
    /// A proxy in front of the server at `host:port`.
    pub(crate) async fn start(protocol: impl Into<Protocol>, server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let (settled, silent) = (watch::Sender::new(0), watch::Sender::new(false));
        let plan = Arc::new(Plan {
            protocol: protocol.into(),
            server,
            next: Mutex::default(),
            settled,
            silent,
            forgotten: watch::Sender::new(0),
            silent_at_ping: AtomicBool::default(),
            unopened: AtomicU32::default(),
        });
        let shared = Arc::clone(&plan);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let plan = Arc::clone(&shared);
                // A connection that breaks is what this is about.
                tokio::spawn(async move { plan.pass_on(client).await.unwrap_or_default() });
            }
        });
        Self { port, plan }
    }

    /// Cuts the connection on which the next change ends.
    pub(crate) fn cut_next(&self, cut: Cut) {
        *self.plan.next() = Some(cut);
    }

    /// Forgets to: whether there was no change to cut.
    pub(crate) fn cut_none(&self) -> bool {
        self.plan.next().take().is_some()
    }

    /// Waits until so many were cut, and the server is done with them.
    pub(crate) async fn settled(&self, cuts: usize) {
        self.plan.settled.subscribe().wait_for(|settled| *settled >= cuts).await.expect("a proxy that runs");
    }

    /// Passes nothing on while it is silent; what was asked then is never answered.
    pub(crate) fn silence(&self, yes: bool) {
        self.plan.silent.send_replace(yes);
    }

    /// Passes nothing on any more on the connections that there are, as a firewall that has
    /// forgotten them; new ones work.
    pub(crate) fn forget(&self) {
        self.plan.forgotten.send_modify(|times| *times += 1);
    }

    /// Accepts the next connections, so many, and passes nothing on.
    pub(crate) fn never_open(&self, connections: u32) {
        self.plan.unopened.store(connections, Ordering::SeqCst);
    }

    /// How many of these are still to come.
    pub(crate) fn unopened(&self) -> u32 {
        self.plan.unopened.load(Ordering::SeqCst)
    }

    /// Falls silent with the next question whether the server is there.
    pub(crate) fn silence_at_ping(&self) {
        self.plan.silent_at_ping.store(true, Ordering::SeqCst);
    }

    /// Waits until it is silent.
    pub(crate) async fn silent(&self) {
        self.plan.silent.subscribe().wait_for(|silent| *silent).await.expect("a proxy that runs");
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }
}

impl Plan {
    fn next(&self) -> MutexGuard<'_, Option<Cut>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn pass_on(&self, mut client: TcpStream) -> std::io::Result<()> {
        let minus_one = |left: u32| left.checked_sub(1);
        if self.unopened.fetch_update(Ordering::SeqCst, Ordering::SeqCst, minus_one).is_ok() {
            while client.read_buf(&mut BytesMut::new()).await? > 0 {}
            return Ok(());
        }
        let mut silent = self.silent.subscribe();
        let mut forgotten = self.forgotten.subscribe();
        let known = *forgotten.borrow_and_update();
        let mut server = TcpStream::connect(&self.server).await?;
        // Messages go on one by one, and none is to wait for another.
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let mut wire = Wire::new(self.protocol);
        let (mut inbox, mut outbox) = (BytesMut::new(), BytesMut::new());
        loop {
            if *silent.borrow_and_update() || *forgotten.borrow_and_update() > known {
                // Whatever was under way stays so, until the client has had enough.
                while client.read_buf(&mut inbox).await? > 0 {}
                return Ok(());
            }
            tokio::select! {
                _ = silent.changed() => {}
                _ = forgotten.changed() => {}
                read = client.read_buf(&mut inbox) => {
                    if read? == 0 {
                        return Ok(());
                    }
                    while let Some(message) = wire.next(&mut inbox) {
                        if message.is_ping && self.silent_at_ping.swap(false, Ordering::SeqCst) {
                            self.silent.send_replace(true);
                        }
                        if *silent.borrow() {
                            break;
                        }
                        let cut = if message.ends_a_change { self.next().take() } else { None };
                        match cut {
                            None => server.write_all(&message.bytes).await?,
                            Some(cut) => return self.cut(cut, message, wire, inbox, client, server).await,
                        }
                    }
                }
                read = server.read_buf(&mut outbox) => {
                    if read? == 0 {
                        return Ok(());
                    }

                    wire.answered(&outbox);
                    client.write_all(&outbox).await?;
                    outbox.clear();
                }
            }
        }
    }

    async fn cut(
        &self,
        cut: Cut,
        message: Message,
        mut wire: Wire,
        mut inbox: BytesMut,
        mut client: TcpStream,
        mut server: TcpStream,
    ) -> std::io::Result<()> {
        if cut != Cut::Before {
            server.write_all(&message.bytes).await?;
            let mut is_complete = message.is_complete;
            while !is_complete {
                match wire.next(&mut inbox) {
                    Some(message) => {
                        server.write_all(&message.bytes).await?;
                        is_complete = message.is_complete;
                    }
                    None => drop(client.read_buf(&mut inbox).await?),
                }
            }
        }
        // The server finishes what it has read, finds the connection closed, and closes its own
        // side.
        server.shutdown().await?;
        let client = (cut == Cut::After).then_some(client);
        // Closed or broken, it is done.
        server.read_to_end(&mut Vec::new()).await.unwrap_or_default();
        drop(client);
        self.settled.send_modify(|settled| *settled += 1);
        Ok(())
    }
}
