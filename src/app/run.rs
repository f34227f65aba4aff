//! How a service stops: on request, or because one of its parts failed.

use std::future::pending;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Service;
use crate::http::server::Drained;
use crate::supervision::{Ended, How};

/// How long callers wait for running requests when the service must not wait for anyone.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

impl Service {
    /// Serves until `asked` returns, or until a part has ended that must not; then drains. A second
    /// return of `asked` ends the grace time.
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
            // The next start is urgent: recorders may not send again. Interrupted steps are
            // repeated.
            Some(ended) => {
                self.drain_unless(async {}).await;
                Err(ended)
            }
        }
    }

    pub async fn ended(&self) -> Ended {
        tokio::select! {
            ended = self.supervisor.first() => ended,
            cause = self.store.ended() => Ended {
                part: "the store",
                how: How::Failed(cause.to_string()),
            },
        }
    }

    /// Stops the service: no new step begins, received callbacks are stored, and running steps get
    /// the grace time.
    pub async fn drain(self) {
        self.drain_unless(pending()).await;
    }

    /// [`Service::drain`], without further waiting once `hurry` is ready.
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

/// Waits until the listener has drained, or until [`LAST_ANSWERS`] after `hurried`.
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
