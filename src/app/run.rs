//! How a service comes to its end: somebody asks for it, or a part of it has ended that must not.

use std::future::pending;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Service;
use crate::http::server::Drained;
use crate::supervision::{Ended, How};

/// How long callers wait for answers under way when nobody may be waited for.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

impl Service {
    /// Serves until `asked` answers who asked for the end, or until a part has ended that must
    /// not; then drains. `asked` is called again meanwhile: who asks twice ends the grace.
    pub async fn run(self, mut asked: impl AsyncFnMut() -> &'static str) -> Result<(), Ended> {
        let ended = tokio::select! {
            signal = asked() => {
                tracing::info!(signal, "stopping");
                None
            }
            ended = self.ended() => {
                tracing::error!("{ended}; the service ends, so that it is started again");
                Some(ended)
            }
        };
        super::system::notify_stopping();
        match ended {
            None => {
                let twice = async {
                    let signal = asked().await;
                    tracing::info!(signal, "stopping at once");
                };
                self.drain_unless(twice).await;
                Ok(())
            }
            // Recorders may not come again: what counts is the next start. Steps that are cut
            // off are repeated.
            Some(ended) => {
                self.drain_unless(async {}).await;
                Err(ended)
            }
        }
    }

    /// Waits until a part has ended that must not.
    pub async fn ended(&self) -> Ended {
        tokio::select! {
            ended = self.supervisor.first() => ended,
            cause = self.store.ended() => Ended {
                part: "the store",
                how: How::Failed(cause.to_string()),
            },
        }
    }

    /// Ends the service: no further step begins, callbacks that have come are stored, and
    /// steps under way get the grace time.
    pub async fn drain(self) {
        self.drain_unless(pending()).await;
    }

    /// [`Service::drain`] without waiting for anybody once `hurry` is over.
    async fn drain_unless(self, hurry: impl Future<Output = ()>) {
        let hurried = CancellationToken::new();
        let ends = self.end(hurried.clone());
        let hurry = async {
            hurry.await;
            hurried.cancel();
            pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = hurry => {}
            () = ends => {}
        }
    }

    async fn end(mut self, hurried: CancellationToken) {
        self.workers.stop_claiming();
        self.stop_public.cancel();
        last_answers(&mut self.public_listener, &hurried).await;
        let over = async {
            let grace = tokio::time::sleep(self.grace);
            let _ = hurried.run_until_cancelled(grace).await;
        };
        self.workers.drain_until(over).await;
        self.stop_admin.cancel();
        last_answers(&mut self.admin_listener, &hurried).await;
    }
}

/// Waits until the listener has given its last answers, or not much longer than until `hurried`.
async fn last_answers(listener: &mut JoinHandle<Option<Drained>>, hurried: &CancellationToken) {
    let over = async {
        hurried.cancelled().await;
        tokio::time::sleep(LAST_ANSWERS).await;
    };
    tokio::select! {
        _ = &mut *listener => {}
        () = over => listener.abort(),
    }
}
