//! A listener that serves until the service stops.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::http::server::{self, Drained, Limits, Site};
use crate::supervision::Supervisor;

/// How long callers wait for running requests when the service must not wait for anyone.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

pub(super) struct Listener {
    pub(super) address: SocketAddr,
    stop: CancellationToken,
    ended: JoinHandle<Option<Drained>>,
}

impl Listener {
    /// Serves on `socket`. If it ends without being stopped, the service ends.
    pub(super) fn serve(
        part: &'static str,
        socket: TcpListener,
        site: Site,
        limits: Limits,
        supervisor: Supervisor,
    ) -> Self {
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let address = socket.local_addr().unwrap_or(unknown);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let ended = tokio::spawn(async move {
            let serves = server::serve(socket, site, limits, stopped.clone());
            supervisor.keep(part, &stopped, serves).await
        });
        Self {
            address,
            stop,
            ended,
        }
    }

    /// Takes no more connections, and waits until running requests are answered, or until
    /// [`LAST_ANSWERS`] after `hurried`.
    pub(super) async fn end(&mut self, hurried: &CancellationToken) {
        self.stop.cancel();
        let over = async {
            hurried.cancelled().await;
            tokio::time::sleep(LAST_ANSWERS).await;
        };
        tokio::select! {
            _ = &mut self.ended => {}
            () = over => self.ended.abort(),
        }
    }
}
