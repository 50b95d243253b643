//! Counts round trips to a database at the wire: how often the server under test says something after the database has.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::Outcome;

/// Stands between a server and its database.
pub struct Proxy {
    pub port: u16,
    trips: Arc<AtomicU64>,
}

impl Proxy {
    pub async fn before(database: SocketAddr) -> Outcome<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let proxy = Self { port: listener.local_addr()?.port(), trips: Arc::default() };
        let trips = Arc::clone(&proxy.trips);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(database).await else { return };
                // Whoever connects speaks first, or the database greets.
                let spoken = Arc::new(AtomicBool::new(true));
                let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
                let (count, answered) = (Arc::clone(&trips), Arc::clone(&spoken));
                tokio::spawn(pass(from_client, to_server, move || {
                    if answered.swap(false, Ordering::AcqRel) {
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }));
                tokio::spawn(pass(from_server, to_client, move || spoken.store(true, Ordering::Release)));
            }
        });
        Ok(proxy)
    }

    pub fn trips(&self) -> u64 {
        self.trips.load(Ordering::Relaxed)
    }
}

/// Passes on what comes, until an end is closed.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, note: impl Fn()) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        note();
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
