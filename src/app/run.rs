//! How a service stops: on request, or because one of its parts failed.

use std::future::pending;

use tokio_util::sync::CancellationToken;

use super::Service;
use crate::supervision::{Ended, How};

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
        self.public.end(&hurried).await;
        let over = async {
            let grace = tokio::time::sleep(self.grace);
            let _ = hurried.run_until_cancelled(grace).await;
        };
        self.workers.drain_until(over).await;
        self.admin.end(&hurried).await;
    }
}
