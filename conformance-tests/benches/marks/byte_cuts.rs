//! Connections that are cut at any byte of a request or of its answer (DATA-16): each change is done once, and told so.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use conformance_tests::world::{Rows, World};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support::axum::Axum;
use crate::support::faults::client::{Client, Inspect};
use crate::support::faults::cuts::{CHANGES, Case};
use crate::support::faults::pool::opened;
use crate::support::faults::programs::Kind;
use crate::support::faults::proxy::Cut;
use crate::support::faults::servers::Server;

const CUTS: usize = 200;

pub(crate) async fn cut_at_any_byte(server: &Server) {
    let url = server.url();
    let (front, back) = url.split_once("127.0.0.1:").expect("a server here");
    let (port, rest) = back.split_once('/').expect("a database");
    let proxy = Proxy::start(format!("127.0.0.1:{port}")).await;
    let through = format!("{front}127.0.0.1:{}/{rest}", proxy.port);
    let world = World::new(Arc::new(Axum), Rows::shared(opened(&through, 4).await)).await;
    let direct = World::new(Arc::new(Axum), Rows::shared(opened(&url, 4).await)).await;
    let mut client = Client::connect(&url).await.expect("a server that answers");
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    println!("{}: seed {seed}", Kind::of(&url).name());
    let mut random = seed;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below.max(1)
    };
    let mut sizes = BTreeMap::new();
    let (mut cuts, mut round, mut reached) = (0, 0, [0, 0]);
    while cuts < CUTS {
        let change = CHANGES[round % CHANGES.len()];
        round += 1;
        let mut case = Case::new(&direct, &world, &mut client, round, change).await;
        // What such a change moves in each direction, twice, as the first time statements may be prepared.
        let is_cut = round > 2 * CHANGES.len();
        let direction = usize::from(next(2) == 1);
        let before = proxy.moved();
        if is_cut {
            let size: &[u64; 2] = sizes.get(&change).expect("measured");
            proxy.cut_after(direction, next(size[direction]));
        }
        let reply = case.browser.run(json!([case.op, {"op": "fail"}])).await;
        let was_cut = is_cut && !proxy.cut_none();
        if was_cut {
            cuts += 1;
            reached[direction] += 1;
            proxy.settled(cuts).await;
        }
        let after = proxy.moved();
        if !is_cut {
            sizes.insert(change, [after[0] - before[0], after[1] - before[1]]);
        }
        let stored = client.sessions(&case.user).await;
        let applied = case.is_applied(&stored);
        case.check(Cut::During, applied, &reply);
        case.is_true(&direct).await;
    }
    println!(
        "{}: {CUTS} cuts, {} in what was sent and {} in what was answered, in {round} changes: each done once and told so",
        Kind::of(&url).name(),
        reached[0],
        reached[1],
    );
}

/// Passes bytes on, and cuts where it is told.
struct Proxy {
    port: u16,
    plan: Arc<Plan>,
}

struct Plan {
    /// Bytes that were passed on, to the server and from it.
    moved: [AtomicU64; 2],
    /// How many may still pass in each direction, before the connection is cut; negative if it isn't to be.
    left: [AtomicI64; 2],
    next: Mutex<bool>,
    settled: watch::Sender<usize>,
}

impl Proxy {
    async fn start(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let plan = Arc::new(Plan {
            moved: Default::default(),
            left: [AtomicI64::new(-1), AtomicI64::new(-1)],
            next: Mutex::new(false),
            settled: watch::Sender::new(0),
        });
        let shared = Arc::clone(&plan);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (plan, server) = (Arc::clone(&shared), server.clone());
                // A connection that breaks is what this is about.
                tokio::spawn(async move { plan.pass_on(client, &server).await.unwrap_or_default() });
            }
        });
        Self { port, plan }
    }

    fn moved(&self) -> [u64; 2] {
        [0, 1].map(|direction| self.plan.moved[direction].load(Ordering::SeqCst))
    }

    fn cut_after(&self, direction: usize, bytes: u64) {
        *self.plan.next.lock().expect("no panic") = true;
        self.plan.left[direction].store(i64::try_from(bytes).expect("some bytes"), Ordering::SeqCst);
    }

    /// Forgets to: whether nothing was cut.
    fn cut_none(&self) -> bool {
        self.plan.left.iter().for_each(|left| left.store(-1, Ordering::SeqCst));
        std::mem::take(&mut *self.plan.next.lock().expect("no panic"))
    }

    async fn settled(&self, cuts: usize) {
        self.plan.settled.subscribe().wait_for(|settled| *settled >= cuts).await.expect("a proxy that runs");
    }
}

impl Plan {
    async fn pass_on(&self, mut client: TcpStream, server: &str) -> std::io::Result<()> {
        let mut server = TcpStream::connect(server).await?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let [mut sent, mut told] = [[0; 65536], [0; 65536]];
        loop {
            tokio::select! {
                read = client.read(&mut sent) => {
                    let bytes = &sent[..read?];
                    match self.allowed(0, bytes.len()) {
                        _ if bytes.is_empty() => return Ok(()),
                        None => server.write_all(bytes).await?,
                        Some(few) => {
                            server.write_all(&bytes[..few]).await?;
                            return self.cut(client, server).await;
                        }
                    }
                }
                read = server.read(&mut told) => {
                    let bytes = &told[..read?];
                    match self.allowed(1, bytes.len()) {
                        _ if bytes.is_empty() => return Ok(()),
                        None => client.write_all(bytes).await?,
                        Some(few) => {
                            client.write_all(&bytes[..few]).await?;
                            return self.cut(client, server).await;
                        }
                    }
                }
            }
        }
    }

    /// How many of these bytes may pass, if not all.
    fn allowed(&self, direction: usize, bytes: usize) -> Option<usize> {
        self.moved[direction].fetch_add(bytes as u64, Ordering::SeqCst);
        let left = self.left[direction].load(Ordering::SeqCst);
        let bytes = i64::try_from(bytes).expect("few bytes");
        if left < 0 {
            return None;
        }
        if left >= bytes {
            self.left[direction].fetch_sub(bytes, Ordering::SeqCst);
            return None;
        }
        self.left[direction].store(-1, Ordering::SeqCst);
        *self.next.lock().expect("no panic") = false;
        usize::try_from(left).ok()
    }

    async fn cut(&self, client: TcpStream, mut server: TcpStream) -> std::io::Result<()> {
        drop(client);
        server.shutdown().await?;
        // The server finishes what it has read, finds the connection closed, and closes its own side.
        tokio::time::timeout(Duration::from_secs(20), server.read_to_end(&mut Vec::new()))
            .await
            .map_or(Ok(0), |read| read)
            .unwrap_or_default();
        self.settled.send_modify(|settled| *settled += 1);
        Ok(())
    }
}
