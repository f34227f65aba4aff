//! A process of the service, from its start to a stop or a kill at any request.

use std::sync::Arc;
use std::time::Duration;

use aftertake::rules::file::{Lookup, RulesFile};
use aftertake::store::lists::TaskRow;
use futures_util::future::join_all;
use tokio::runtime::Runtime;

use super::account::told;
use super::film::Film;
use crate::support::test_service::{Env, Front, PATIENT, Running, TestService};

/// How long a killed service may take to end.
const GONE: Duration = Duration::from_mins(1);

/// A service on separate threads, so that it can be killed without ending the tests' process.
pub(crate) struct Process {
    test_service: Arc<TestService>,
    threads: Threads,
    running: Option<Running>,
}

/// The service's runtime.
#[derive(Default)]
struct Threads(Option<Runtime>);

/// Whether nothing more happens to the task by itself.
pub(crate) fn is_settled(task: &TaskRow) -> bool {
    matches!(task.state, "done" | "dead" | "cancelled")
}

/// Whether the task waits for something outside it, or to remove what it left.
pub(crate) fn waits(task: &TaskRow) -> bool {
    task.state == "ready" && (task.waits.is_some() || task.leaves.is_some())
}

impl Process {
    pub(crate) async fn begin(test_service: Arc<TestService>, rules: RulesFile) -> Self {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
        let started = runtime.spawn({
            let test_service = Arc::clone(&test_service);
            let lookup: Arc<dyn Lookup + Send + Sync> = Arc::new(Env::new());
            async move { test_service.start_on(rules, lookup, PATIENT).await }
        });
        Self {
            running: Some(started.await.unwrap()),
            threads: Threads(Some(runtime)),
            test_service,
        }
    }

    fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    pub(crate) fn front(&self) -> &Front {
        &self.running().front
    }

    pub(crate) async fn announce(&self, film: &Film) {
        let answer = self.front().post(film.callback()).await;
        assert_eq!(answer.status(), 200, "{film}");
    }

    pub(crate) async fn announce_all(&self, films: &[Film]) {
        join_all(films.iter().map(|film| self.announce(film))).await;
    }

    pub(crate) async fn until(&self, at: &str, enough: impl Fn(&[TaskRow]) -> bool) {
        let ask = || enough(&self.test_service.tasks());
        let came = self.running().store.comes_true(ask).await;
        assert!(
            came,
            "{at}: it never comes\n{}",
            told(&self.test_service.tasks())
        );
    }

    pub(crate) async fn rest(&self, at: &str) {
        self.until(at, |tasks| tasks.iter().all(is_settled)).await;
    }

    /// Waits until every task is settled or waiting.
    pub(crate) async fn rest_or_wait(&self, at: &str) {
        let still = |task: &TaskRow| is_settled(task) || waits(task);
        self.until(at, |tasks| tasks.iter().all(still)).await;
    }

    pub(crate) async fn stop(mut self) {
        let Running { service, store, .. } = self.running.take().unwrap();
        let drained = self.threads.runtime().spawn(service.drain());
        drained.await.unwrap();
        drop(store);
        self.end().await;
    }

    pub(crate) async fn kill(mut self) {
        drop(self.running.take());
        self.end().await;
    }

    async fn end(&mut self) {
        let mut threads = std::mem::take(&mut self.threads);
        let gone = tokio::task::spawn_blocking(move || threads.end());
        gone.await.unwrap();
    }
}

impl Threads {
    fn runtime(&self) -> &Runtime {
        self.0.as_ref().unwrap()
    }

    /// Waits until the threads have ended.
    fn end(&mut self) {
        self.0.take().unwrap().shutdown_timeout(GONE);
    }
}

impl Drop for Threads {
    // Also ends them when a test fails early.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
