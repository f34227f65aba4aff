//! Reloads the rules file while the service runs, completely or not at all.
//!
//! Everything that can fail comes first: read, parse, open, store. After that nothing can fail, and
//! the new file is in force for the next callback and the next step.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinError;
use tokio::time::MissedTickBehavior;

use super::load;
use crate::clock;
use crate::http::ops::ServiceStatus;
use crate::http::reload::{Reload, ReloadRefused};
use crate::in_force::{Current, Snapshot};
use crate::model::failure::crash;
use crate::rules::file::{Lookup, RulesFile};
use crate::store::Store;
use crate::supervision::Supervisor;
use crate::telemetry::Metrics;
use crate::worker::lane::{self, Lanes};

/// How often a watched file is read. It is loaded after two equal reads, so that a file is not
/// loaded while it is being written.
const POLL_EVERY: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub(super) struct Reloader {
    parts: Arc<ReloadParts>,
    /// What was last loaded or refused. Locked during a reload: one at a time.
    last: Arc<Mutex<Option<FileDigest>>>,
}

pub(super) struct ReloadParts {
    pub(super) path: PathBuf,
    pub(super) lookup: Arc<dyn Lookup + Send + Sync>,
    pub(super) store: Arc<dyn Store>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) current: Current,
    pub(super) lanes: Arc<Lanes>,
    pub(super) status: Arc<watch::Sender<ServiceStatus>>,
    pub(super) supervisor: Supervisor,
}

/// The content of the file, or why it could not be read.
type Content = Result<Vec<u8>, String>;

/// Digest of a content, which may contain secrets and so is not kept.
pub(super) type FileDigest = Result<[u8; 32], String>;

pub(super) fn seen(content: &Result<Vec<u8>, impl ToString>) -> FileDigest {
    match content {
        Ok(bytes) => Ok(Sha256::digest(bytes).into()),
        Err(error) => Err(error.to_string()),
    }
}

#[async_trait]
impl Reload for Reloader {
    async fn reload(&self) -> Result<Arc<Snapshot>, ReloadRefused> {
        let reloader = self.clone();
        let loading = tokio::spawn(async move {
            // A panic could leave a part of the file in force.
            let supervisor = &reloader.parts.supervisor;
            supervisor.watch("a reload", reloader.reload_once()).await
        });
        let crashed = || Err(refused_for_now("loading crashed".to_owned()));
        loading.await.ok().flatten().unwrap_or_else(crashed)
    }
}

impl Reloader {
    pub(super) fn new(parts: ReloadParts) -> Self {
        Self {
            parts: Arc::new(parts),
            last: Arc::default(),
        }
    }

    async fn reload_once(&self) -> Result<Arc<Snapshot>, ReloadRefused> {
        let mut last = self.last.lock().await;
        let content = self.parts.read().await;
        *last = Some(seen(&content));
        self.parts.load(content).await
    }

    /// Reloads the file when its content differs from what was last loaded or refused (at first,
    /// from `loaded`). Opens it by its path each time: editors replace a file, and Kubernetes the
    /// link to it.
    pub(super) async fn watch(self, loaded: FileDigest) {
        self.last.lock().await.get_or_insert(loaded);
        let mut every = tokio::time::interval(POLL_EVERY);
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = None;
        loop {
            every.tick().await;
            self.poll(&mut before).await;
        }
    }

    /// Reads the file once. `before` is what the last poll saw.
    async fn poll(&self, before: &mut Option<FileDigest>) {
        let content = self.parts.read().await;
        let seen = seen(&content);
        if before.replace(seen.clone()).as_ref() != Some(&seen) {
            return;
        }
        let mut last = self.last.lock().await;
        if last.as_ref() == Some(&seen) {
            return;
        }
        let loaded = self.parts.load(content).await;
        // If the store was unavailable, the next poll tries again.
        if !loaded.is_err_and(|refused| refused.passing) {
            *last = Some(seen);
        }
    }
}

impl ReloadParts {
    async fn read(&self) -> Content {
        let path = self.path.clone();
        match tokio::task::spawn_blocking(move || load::read(&path)).await {
            Ok(content) => content.map_err(|error| error.to_string()),
            Err(ended) => Err(crashed(ended)),
        }
    }

    /// Puts the file in force, or changes nothing. Logs the result.
    async fn load(&self, content: Content) -> Result<Arc<Snapshot>, ReloadRefused> {
        let before = self.current.get().revision();
        let loaded = self.put_in_force(content).await;
        self.metrics.reload(loaded.is_err());
        match &loaded {
            Ok(snapshot) => {
                let revision = snapshot.revision();
                tracing::info!(%revision, "rules loaded");
                self.metrics.rules(revision, snapshot.loaded, Some(before));
                self.status.send_modify(|status| status.refused = None);
            }
            Err(refused) => {
                // One log line for each: a line never contains a line break.
                let mut lines = refused.reason.lines();
                let first = lines.next().unwrap_or_default();
                tracing::error!("reload refused, the rules before it stay in force: {first}");
                lines.for_each(|line| tracing::error!("{line}"));
                self.status
                    .send_modify(|status| status.refused = Some(refused.clone()));
            }
        }
        loaded
    }

    async fn put_in_force(&self, content: Content) -> Result<Arc<Snapshot>, ReloadRefused> {
        let file = self.parse(content).await?;
        let (before, lookup) = (self.current.get(), Arc::clone(&self.lookup));
        let snapshot = Snapshot::open(file, lookup, &before.rules.mask, clock::now())
            .map_err(|failure| refused(failure.reason))?;
        let kept = snapshot.keep(&self.store).await;
        kept.map_err(|error| refused_for_now(error.to_string()))?;
        let states = self.store.lane_states().await;
        let states = states.map_err(|error| refused_for_now(error.to_string()))?;
        let snapshot = Arc::new(snapshot);
        // Order matters: a task that is claimed from a new lane must find its snapshot.
        self.current.replace(Arc::clone(&snapshot));
        let limits = lane::limits(&snapshot.reach);
        self.lanes.replace(limits, states, clock::present());
        // Under the lanes' lock, so that a concurrent change is not overwritten by older states.
        let _turn = self.lanes.turn().await;
        self.metrics.lanes(&self.lanes.states());
        Ok(snapshot)
    }

    /// On a blocking thread: a large file takes a while.
    async fn parse(&self, content: Content) -> Result<RulesFile, ReloadRefused> {
        let (path, lookup) = (self.path.clone(), Arc::clone(&self.lookup));
        let parse =
            move || load::load(&path, content?, &*lookup).map_err(|error| error.to_string());
        let parsed = tokio::task::spawn_blocking(parse).await;
        parsed
            .unwrap_or_else(|ended| Err(crashed(ended)))
            .map_err(refused)
    }
}

/// Why a parse was aborted, without the panic's message.
fn crashed(ended: JoinError) -> String {
    match ended.try_into_panic() {
        Ok(panic) => format!("loading crashed: {}", crash(&*panic)),
        Err(stopped) => format!("loading was stopped: {stopped}"),
    }
}

fn refused(reason: String) -> ReloadRefused {
    ReloadRefused {
        at: clock::now(),
        reason,
        passing: false,
    }
}

fn refused_for_now(reason: String) -> ReloadRefused {
    ReloadRefused {
        passing: true,
        ..refused(reason)
    }
}

impl std::fmt::Debug for Reloader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloader")
            .field("path", &self.parts.path)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::secret::Mask;
    use crate::store::sqlite::SqliteStore;

    const RULES: &str = "destinations: { lms: { url: 'https://lms.example.com' } }\n\
                         rules: [{ name: one, steps: [{ notify: lms }] }]\n";

    /// A reloader whose file in force is the folder's `rules.yaml`.
    fn reloader(folder: &std::path::Path) -> Reloader {
        let path = folder.join("rules.yaml");
        std::fs::write(&path, RULES).unwrap();
        let lookup: Arc<dyn Lookup + Send + Sync> = Arc::new(BTreeMap::new());
        let file = load::parse(&path, RULES, &*lookup).unwrap();
        let (hidden, now) = (Mask::default(), clock::now());
        let snapshot = Snapshot::open(file, Arc::clone(&lookup), &hidden, now).unwrap();
        let around = Arc::new(|_: usize, commit: &mut dyn FnMut()| commit());
        let store = SqliteStore::open(&folder.join("a.db"), around).unwrap();
        Reloader::new(ReloadParts {
            path,
            lookup,
            store: Arc::new(store),
            metrics: Arc::default(),
            lanes: Arc::new(Lanes::new(lane::limits(&snapshot.reach))),
            current: Current::new(snapshot),
            status: Arc::default(),
            supervisor: Supervisor::default(),
        })
    }

    #[tokio::test]
    async fn watched_file_is_loaded_once_when_two_polls_find_the_same_change() {
        let folder = tempfile::tempdir().unwrap();
        let reloader = reloader(folder.path());
        *reloader.last.lock().await = Some(seen(&reloader.parts.read().await));
        let two = RULES.replace("one", "two");
        let mut before = None;
        for (content, loaded, refused) in [
            (RULES, 0, 0),
            (RULES, 0, 0),
            ("rules: [", 0, 0),
            (&two, 0, 0),
            (&two, 1, 0),
            (&two, 1, 0),
            ("rules: [", 1, 0),
            ("rules: [", 1, 1),
            ("rules: [", 1, 1),
            (&two, 1, 1),
            (&two, 2, 1),
        ] {
            std::fs::write(&reloader.parts.path, content).unwrap();
            reloader.poll(&mut before).await;
            let metrics = reloader.parts.metrics.encode();
            for (result, count) in [("loaded", loaded), ("refused", refused)] {
                let line = format!("aftertake_reloads_total{{result=\"{result}\"}} {count}\n");
                assert!(metrics.contains(&line), "{line}{content}\n{metrics}");
            }
        }
    }

    #[tokio::test]
    async fn what_was_loaded_on_request_is_no_change_to_who_watches() {
        let folder = tempfile::tempdir().unwrap();
        let reloader = reloader(folder.path());
        std::fs::write(&reloader.parts.path, RULES.replace("one", "two")).unwrap();
        let mut before = None;
        reloader.poll(&mut before).await;
        reloader.reload().await.unwrap();
        reloader.poll(&mut before).await;
        let metrics = reloader.parts.metrics.encode();
        let once = "aftertake_reloads_total{result=\"loaded\"} 1\n";
        assert!(metrics.contains(once), "{metrics}");
    }
}
