//! A proxy in front of a database server that is faulty when it is told to be. Not here: when that is, see `faults`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A proxy, until its runtime ends. A clone is the same.
#[derive(Clone)]
pub(super) struct Proxy {
    pub(super) port: u16,
    plan: Arc<Plan>,
}

struct Plan {
    server: String,
    /// Whether bytes wait here.
    stalled: watch::Sender<bool>,
    /// How often the connections of the time were forgotten.
    forgotten: watch::Sender<u32>,
    /// How many of the next connections reach nothing.
    unopened: AtomicU32,
    /// How many bytes may still pass in each direction, before a connection is cut; negative if none is to be.
    left: [AtomicI64; 2],
}

impl Proxy {
    pub(super) async fn start(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let plan = Arc::new(Plan {
            server,
            stalled: watch::Sender::new(false),
            forgotten: watch::Sender::new(0),
            unopened: AtomicU32::default(),
            left: [AtomicI64::new(-1), AtomicI64::new(-1)],
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

    /// Cuts a connection after so many bytes in a direction: 0 is to the server, 1 from it.
    pub(super) fn cut_after(&self, direction: usize, bytes: i64) {
        self.plan.left[direction].store(bytes, Ordering::SeqCst);
    }

    /// Lets bytes wait until this is undone.
    pub(super) fn stall(&self, yes: bool) {
        self.plan.stalled.send_replace(yes);
    }

    /// Passes nothing on any more on the connections that there are; new ones work.
    pub(super) fn forget(&self) {
        self.plan.forgotten.send_modify(|times| *times += 1);
    }

    /// Accepts the next connections, so many, and passes nothing on.
    pub(super) fn never_open(&self, connections: u32) {
        self.plan.unopened.store(connections, Ordering::SeqCst);
    }

    /// Faulty no more.
    pub(super) fn heal(&self) {
        self.stall(false);
        self.never_open(0);
        self.plan.left.iter().for_each(|left| left.store(-1, Ordering::SeqCst));
    }
}

impl Plan {
    async fn pass_on(&self, mut client: TcpStream) -> std::io::Result<()> {
        let minus_one = |left: u32| left.checked_sub(1);
        if self.unopened.fetch_update(Ordering::SeqCst, Ordering::SeqCst, minus_one).is_ok() {
            return swallow(client).await;
        }
        let (mut stalled, mut forgotten) = (self.stalled.subscribe(), self.forgotten.subscribe());
        let known = *forgotten.borrow_and_update();
        let mut server = TcpStream::connect(&self.server).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let [mut asked, mut answered] = [[0; 16384], [0; 16384]];
        loop {
            if *forgotten.borrow_and_update() > known {
                return swallow(client).await;
            }
            let is_stalled = *stalled.borrow_and_update();
            tokio::select! {
                _ = stalled.changed() => {}
                _ = forgotten.changed() => {}
                read = client.read(&mut asked), if !is_stalled => {
                    let bytes = &asked[..read?];
                    let passes = self.allowed(0, bytes.len());
                    server.write_all(&bytes[..passes]).await?;
                    if bytes.is_empty() || passes < bytes.len() {
                        return Ok(());
                    }
                }
                read = server.read(&mut answered), if !is_stalled => {
                    let bytes = &answered[..read?];
                    let passes = self.allowed(1, bytes.len());
                    client.write_all(&bytes[..passes]).await?;
                    if bytes.is_empty() || passes < bytes.len() {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// How many of these bytes may pass: fewer are the last.
    fn allowed(&self, direction: usize, bytes: usize) -> usize {
        let left = &self.left[direction];
        let before = left.load(Ordering::SeqCst);
        let Ok(few) = usize::try_from(before) else { return bytes };
        let rest = if few < bytes { -1 } else { before - i64::try_from(bytes).expect("few bytes") };
        left.store(rest, Ordering::SeqCst);
        few.min(bytes)
    }
}

/// Reads until the client has had enough.
async fn swallow(mut client: TcpStream) -> std::io::Result<()> {
    while client.read(&mut [0; 4096]).await? > 0 {}
    Ok(())
}
