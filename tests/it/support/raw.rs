//! A receiver below HTTP: it sends scripted bytes, valid or not.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Stops when dropped.
#[derive(Debug)]
pub(crate) struct Raw {
    address: SocketAddr,
    written: watch::Receiver<Vec<u64>>,
    accepting: JoinHandle<()>,
}

impl Raw {
    /// Starts a receiver that answers every connection with `first`, then sends `rest` over and
    /// over until the client leaves. If `rest` is empty, it closes the connection itself.
    pub(crate) async fn start(first: &'static str, rest: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, written) = watch::channel(Vec::new());
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let sender = sender.clone();
                tokio::spawn(async move {
                    let bytes = talk(stream, first, rest).await;
                    sender.send_modify(|all| all.push(bytes));
                });
            }
        });
        Self {
            address,
            written,
            accepting,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hooks", self.address)
    }

    /// Waits until a connection has ended, and returns the number of bytes it took.
    pub(crate) async fn written(&self) -> u64 {
        let mut written = self.written.clone();
        let ended = written.wait_for(|all| !all.is_empty());
        ended.await.unwrap()[0]
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn talk(mut stream: TcpStream, first: &str, rest: &str) -> u64 {
    let mut request = [0; 4096];
    if stream.read(&mut request).await.is_err() || stream.write_all(first.as_bytes()).await.is_err()
    {
        return 0;
    }
    let mut written = first.len() as u64;
    while !rest.is_empty() && stream.write_all(rest.as_bytes()).await.is_ok() {
        written += rest.len() as u64;
    }
    written
}
