//! The writer thread: commits everything that waits in one transaction.
//!
//! No linger: while one commit syncs, the next batch gathers by itself. Replies leave
//! after the commit, so whoever has one knows that its effect is on disk.
//!
//! First come, first served. What waits here is bounded by those who write: each worker
//! has one operation at a time, and the intake lets no more callbacks in than a part of a
//! batch. So whatever floods in, a worker's write is in one of the next commits.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::core::{Core, Txn};
use crate::store::Unavailable;

/// Operations in one commit at the most.
const BATCH: usize = 1024;

/// Runs each commit, given the number of operations in it: whoever wants to know how long
/// commits take measures around the call. The store reads no clock.
pub type AroundCommit = Arc<dyn Fn(usize, &mut dyn FnMut()) + Send + Sync>;

/// A piece of a batch.
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
            // A job that ran without error has a value, and a batch commits whole.
            (Ok(()), None) => return,
        };
        // Nobody waits any more: the effect stands all the same.
        let _ = reply.send(answer);
    }
}

/// The way to the writer thread. Dropping it ends the thread after what waits.
pub(super) struct Writer {
    jobs: Option<Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    path: PathBuf,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(core: Core, path: PathBuf, around: AroundCommit) -> std::io::Result<Self> {
        let (jobs, inbox) = channel();
        let at = path.clone();
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(core, &inbox, &at, &around))?;
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(thread),
            path,
        })
    }

    /// Runs `work` in the next batch and answers once it is committed.
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
        let stopped = || Unavailable {
            path: self.path.clone(),
            reason: "the writer has stopped".to_owned(),
        };
        self.jobs
            .as_ref()
            .ok_or_else(stopped)?
            .send(job)
            .map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(
    mut core: Core,
    inbox: &Receiver<Box<dyn Job>>,
    path: &std::path::Path,
    around: &AroundCommit,
) {
    while let Ok(first) = inbox.recv() {
        let mut batch = vec![first];
        batch.extend(inbox.try_iter().take(BATCH - 1));
        let mut committed = Ok(());
        around(batch.len(), &mut || {
            committed = commit(&mut core, &mut batch).map_err(|reason| Unavailable {
                path: path.to_owned(),
                reason,
            });
        });
        for job in batch {
            job.reply(committed.clone());
        }
    }
}

/// Commits the batch or nothing of it. A panic ends the transaction like an error: were the
/// thread to end with it, every call after it would be refused until the next start.
fn commit(core: &mut Core, batch: &mut [Box<dyn Job>]) -> Result<(), String> {
    let work = || core.commit(|txn| batch.iter_mut().try_for_each(|job| job.run(txn)));
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(committed) => committed.map_err(|error| error.to_string()),
        Err(_panic) => Err("an operation crashed; nothing of its batch was written".to_owned()),
    }
}
