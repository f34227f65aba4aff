//! The writer thread: commits all waiting operations in one transaction.
//!
//! There is no delay: while one commit syncs, the next batch gathers. Replies are sent after the
//! commit, so a caller with a reply knows that its effect is on disk.
//!
//! Operations run in order of arrival. The queue is bounded by its callers: each worker has one
//! operation at a time, and the intake admits fewer callbacks than fit into a batch. So a worker's
//! write is always in one of the next commits.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::core::{Core, Txn};
use super::health::{Health, Lasts, Trouble};
use crate::store::Unavailable;

const BATCH: usize = 1024;

/// Runs each commit, given the number of its operations, so that callers can measure it: the store
/// reads no clock.
pub type AroundCommit = Arc<dyn Fn(usize, &mut dyn FnMut()) + Send + Sync>;

trait Job: Send {
    fn run(&mut self, txn: &mut Txn<'_>) -> rusqlite::Result<()>;
    fn reply(self: Box<Self>, committed: Result<(), Unavailable>);
}

struct Call<T, F> {
    work: Option<F>,
    value: Option<T>,
    reply: oneshot::Sender<Result<T, Unavailable>>,
}

impl<T, F> Job for Call<T, F>
where
    T: Send,
    F: FnOnce(&mut Txn<'_>) -> rusqlite::Result<T> + Send,
{
    fn run(&mut self, txn: &mut Txn<'_>) -> rusqlite::Result<()> {
        if let Some(work) = self.work.take() {
            self.value = Some(work(txn)?);
        }
        Ok(())
    }

    fn reply(self: Box<Self>, committed: Result<(), Unavailable>) {
        let Self { value, reply, .. } = *self;
        let answer = match (committed, value) {
            (Ok(()), Some(value)) => Ok(value),
            (Err(cause), _) => Err(cause),
            // A job that ran without error has a value, and a batch commits completely or not at
            // all.
            (Ok(()), None) => return,
        };
        // The caller may be gone; the effect remains.
        let _ = reply.send(answer);
    }
}

const STOPPED: &str = "the writer has stopped; restart the service";

/// Reports the end of the thread when dropped, also by a panic.
struct End(Health, CancellationToken);

impl Drop for End {
    fn drop(&mut self) {
        self.0.failed(Trouble {
            reason: STOPPED.to_owned(),
            lasts: Lasts::UntilAStart,
        });
        self.1.cancel();
    }
}

/// Access to the core. Dropping it ends the writer thread after the waiting operations.
pub(super) struct Writer {
    way: Way,
    health: Health,
    /// Cancelled when the thread has ended.
    ended: CancellationToken,
}

enum Way {
    Thread {
        jobs: Option<Sender<Box<dyn Job>>>,
        thread: Option<JoinHandle<()>>,
    },
    /// Without a thread: each call is a batch, on the caller's thread.
    Here(Box<Mutex<Core>>),
}

impl Writer {
    pub(super) fn start(core: Core, health: Health, around: AroundCommit) -> std::io::Result<Self> {
        let (jobs, inbox) = channel();
        let ended = CancellationToken::new();
        let end = End(health.clone(), ended.clone());
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || {
                // Moved in completely, so that it is dropped when this thread ends.
                let end = end;
                run(core, &inbox, &end.0, &around);
            })?;
        Ok(Self {
            way: Way::Thread {
                jobs: Some(jobs),
                thread: Some(thread),
            },
            health,
            ended,
        })
    }

    /// Without a thread.
    pub(super) fn here(core: Core, health: Health) -> Self {
        Self {
            way: Way::Here(Box::new(Mutex::new(core))),
            health,
            ended: CancellationToken::new(),
        }
    }

    /// Waits until the thread has ended, and says why nothing can be written.
    pub(super) async fn ended(&self) -> Unavailable {
        self.ended.cancelled().await;
        self.stopped()
    }

    fn stopped(&self) -> Unavailable {
        self.health.unavailable(STOPPED.to_owned())
    }

    pub(super) fn is_here(&self) -> bool {
        matches!(self.way, Way::Here(_))
    }

    /// Runs `work` in the next batch, and returns after its commit.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        F: FnOnce(&mut Txn<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Call {
            work: Some(work),
            value: None,
            reply,
        });
        match &self.way {
            Way::Thread { jobs, .. } => {
                let jobs = jobs.as_ref().ok_or_else(|| self.stopped())?;
                jobs.send(job).map_err(|_| self.stopped())?;
            }
            Way::Here(core) => {
                let mut core = core.lock().unwrap_or_else(PoisonError::into_inner);
                do_batch(&mut core, vec![job], &self.health, &|_, commit| commit());
            }
        }
        answer.await.map_err(|_| self.stopped())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let Way::Thread { jobs, thread } = &mut self.way else {
            return;
        };
        drop(jobs.take());
        if let Some(thread) = thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(mut core: Core, inbox: &Receiver<Box<dyn Job>>, health: &Health, around: &AroundCommit) {
    while let Ok(first) = inbox.recv() {
        let mut batch = vec![first];
        batch.extend(inbox.try_iter().take(BATCH - 1));
        do_batch(&mut core, batch, health, &**around);
    }
}

fn do_batch(
    core: &mut Core,
    mut batch: Vec<Box<dyn Job>>,
    health: &Health,
    around: &dyn Fn(usize, &mut dyn FnMut()),
) {
    let mut committed = Ok(false);
    around(batch.len(), &mut || committed = commit(core, &mut batch));
    let committed = match committed {
        Ok(wrote) => {
            if wrote {
                health.wrote();
            }
            Ok(())
        }
        Err(trouble) => {
            health.failed(trouble.clone());
            Err(health.caused_by(&trouble))
        }
    };
    for job in batch {
        job.reply(committed.clone());
    }
}

/// Commits all of the batch or nothing. Answers whether anything was written, because reads say
/// nothing about the disk. A panic is a failed transaction: if it ended the thread, all later calls
/// would fail until the next start.
fn commit(core: &mut Core, batch: &mut [Box<dyn Job>]) -> Result<bool, Trouble> {
    let before = core.conn.total_changes();
    let work = || core.commit(|txn| batch.iter_mut().try_for_each(|job| job.run(txn)));
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => Ok(core.conn.total_changes() != before),
        Ok(Err(error)) => Err(error.into()),
        Err(_panic) => Err(Trouble {
            reason: "an operation crashed; nothing of its batch was written".to_owned(),
            lasts: Lasts::UntilAWrite,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::task::RevisionId;
    use crate::store::Store;
    use crate::store::sqlite::SqliteStore;

    #[tokio::test]
    async fn crash_of_one_operation_refuses_its_batch_and_nothing_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let around = Arc::new(|_: usize, commit: &mut dyn FnMut()| commit());
        let store = SqliteStore::open(&dir.path().join("a.db"), around).unwrap();
        let crash = |_: &mut Txn<'_>| -> rusqlite::Result<()> { panic!("planted") };
        let refused = store.writer.run(crash).await.unwrap_err().to_string();
        assert!(refused.contains("crashed"), "{refused}");
        let (id, text) = (RevisionId::of("rules"), "rules".to_owned());
        store.keep_revision(id, text.clone()).await.unwrap();
        assert_eq!(store.revision(id).await.unwrap(), Some(text));
    }
}
