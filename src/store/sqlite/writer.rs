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
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
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

/// The way to the core. Dropping it ends the writer thread after what waits.
pub(super) struct Writer {
    way: Way,
    path: PathBuf,
}

enum Way {
    Thread {
        jobs: Option<Sender<Box<dyn Job>>>,
        thread: Option<JoinHandle<()>>,
    },
    /// Without a thread: whoever calls does the work, and each call is a batch.
    Here(Box<Mutex<Core>>),
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
            way: Way::Thread {
                jobs: Some(jobs),
                thread: Some(thread),
            },
            path,
        })
    }

    /// Starts none.
    pub(super) fn here(core: Core, path: PathBuf) -> Self {
        Self {
            way: Way::Here(Box::new(Mutex::new(core))),
            path,
        }
    }

    pub(super) fn is_here(&self) -> bool {
        matches!(self.way, Way::Here(_))
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
        match &self.way {
            Way::Thread { jobs, .. } => {
                let jobs = jobs.as_ref().ok_or_else(stopped)?;
                jobs.send(job).map_err(|_| stopped())?;
            }
            Way::Here(core) => {
                let mut core = core.lock().unwrap_or_else(PoisonError::into_inner);
                do_batch(&mut core, vec![job], &self.path, &|_, commit| commit());
            }
        }
        answer.await.map_err(|_| stopped())?
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

fn run(
    mut core: Core,
    inbox: &Receiver<Box<dyn Job>>,
    path: &std::path::Path,
    around: &AroundCommit,
) {
    while let Ok(first) = inbox.recv() {
        let mut batch = vec![first];
        batch.extend(inbox.try_iter().take(BATCH - 1));
        do_batch(&mut core, batch, path, &**around);
    }
}

/// Commits the batch, then answers.
fn do_batch(
    core: &mut Core,
    mut batch: Vec<Box<dyn Job>>,
    path: &std::path::Path,
    around: &dyn Fn(usize, &mut dyn FnMut()),
) {
    let mut committed = Ok(());
    around(batch.len(), &mut || {
        committed = commit(core, &mut batch).map_err(|reason| Unavailable {
            path: path.to_owned(),
            reason,
        });
    });
    for job in batch {
        job.reply(committed.clone());
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
