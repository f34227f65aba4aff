//! Carries out one rendered step.
//!
//! Knows buckets and destinations, not the queue: stores its progress through [`Progress`], which
//! the worker implements.

pub mod notify;
pub mod rename;
pub mod tag;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::model::attempt::Exchange;
use crate::model::bucket::{self, Bucket};
use crate::model::destination::Destination;
use crate::model::event::Fields;
use crate::model::failure::{Failure, FailureKind};
use crate::model::moves::keys::Taken;
use crate::model::moves::{Earlier, MadeBy, Move, Outline, PutBy};
use crate::model::recording::{Extent, MovedBy, Place, Replaced};
use crate::model::step::Rendered;
use crate::model::task::{Lane, Outputs};
use crate::model::time::Timestamp;
use crate::object::ObjectStore;
use crate::outbound::Outbound;

/// Carries out one step. Safe to repeat after any crash: a step first looks at the objects, and at
/// what it stored through `progress`.
pub async fn run(
    reach: &Reach,
    rendered: &Rendered,
    subject: &ActionSubject,
    progress: &mut dyn Progress,
) -> Result<Done, Stopped> {
    match rendered {
        // Boxed: otherwise every notification's future would be as large as a rename's.
        Rendered::Rename(request) => {
            Box::pin(rename::rename(reach, request, subject, progress)).await
        }
        Rendered::Tag(request) => Box::pin(tag::tag(reach, request, subject, progress)).await,
        Rendered::Notify(request) => {
            let destination = reach
                .destinations
                .get(&request.destination)
                .ok_or_else(|| {
                    let reason = format!(
                        "destination {:?} is not in the rules file",
                        request.destination
                    );
                    Failure::new(FailureKind::Forbidden, reason)
                })?;
            notify::notify(&*reach.outbound, destination, request, subject.now).await
        }
    }
}

/// What steps can reach: the buckets and destinations of the rules file in force.
#[derive(Clone)]
pub struct Reach {
    pub buckets: BTreeMap<String, OpenBucket>,
    pub destinations: BTreeMap<String, Arc<Destination>>,
    pub outbound: Arc<dyn Outbound>,
}

/// A configured bucket and the store behind it.
#[derive(Clone)]
pub struct OpenBucket {
    pub config: Arc<Bucket>,
    pub store: Arc<dyn ObjectStore>,
}

/// What a step works on.
#[derive(Debug, Clone)]
pub struct ActionSubject {
    /// The rule of this task.
    pub rule: String,
    /// Where the recording is now; `None` when the event names no object.
    pub place: Option<Place>,
    /// What the recording consists of.
    pub extent: Extent,
    /// The rule that moved the recording to `place`.
    pub moved_by: Option<MovedBy>,
    /// Whether another recording that was moved to `place` has replaced it there.
    pub replaced: Option<Replaced>,
    /// When the event arrived. If the clock was ahead then, when it was first tried after the clock was
    /// corrected. A missing source is waited for a while after it.
    pub received: Timestamp,
    /// When the try begins.
    pub now: Timestamp,
}

/// The output with a warning for people, from a step that succeeded.
pub const WARNING: &str = "warning";

/// The result of a successful step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Done {
    /// The `steps.<id>.<output>` values for later steps.
    pub output: Outputs,
    pub exchange: Option<Exchange>,
}

/// Why a step did not succeed.
#[derive(Debug, Clone, PartialEq)]
pub enum Stopped {
    Failed {
        failure: Box<Failure>,
        exchange: Option<Box<Exchange>>,
    },
    /// A key that the step wants is taken: it waits for the holder and then starts over. The step
    /// itself holds no key.
    KeyTaken(Box<Taken>),
    /// The journal belongs to a newer claim: drop everything.
    LeaseLost,
    /// The journal cannot be written now; the step did nothing more.
    Unavailable(String),
    /// The worker asked to stop: the service stops, or the task is cancelled.
    Interrupted,
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Failed {
            failure: Box::new(failure),
            exchange: None,
        }
    }
}

/// Where a step stores its progress. Every write is durable when it returns.
#[async_trait]
pub trait Progress: Send {
    /// A summary of this step's manifest; `None` while it has none.
    async fn outline(&mut self) -> Result<Option<Outline>, Stopped>;

    /// The moves of the manifest with these numbers, in order.
    async fn moves(&mut self, numbers: Range<u32>) -> Result<Vec<Move>, Stopped>;

    /// The newest completed move from each place by earlier tasks of the same recording.
    async fn earlier_moves(&mut self, from: Vec<Place>) -> Result<Vec<Earlier>, Stopped>;

    /// The newest completed moves from these places by tasks of any recording, newest first.
    async fn made_from(&mut self, from: Vec<Place>) -> Result<Vec<MadeBy>, Stopped>;

    /// What tasks of other recordings have put at this place.
    async fn put_by_others(&mut self, place: &Place) -> Result<Vec<PutBy>, Stopped>;

    /// Stores a page of a manifest in the making, in order. The page with move 0 replaces
    /// everything stored before. It becomes a manifest with [`Progress::manifest`]. From now on the
    /// step holds every key of the page; `KeyTaken` when one is taken.
    async fn draft(&mut self, page: Vec<Move>) -> Result<(), Stopped>;

    /// Stores the last (or only) page and puts the whole manifest in force, before anything is
    /// copied. `KeyTaken` as in [`Progress::draft`].
    async fn manifest(&mut self, page: Vec<Move>) -> Result<(), Stopped>;

    /// The first of these keys that this step may not write to now, if any.
    async fn taken(&mut self, targets: Vec<Place>) -> Result<Option<Taken>, Stopped>;

    /// A run starts on a manifest in force. If the run before it did not call [`Progress::ended`],
    /// its requests may still arrive for as long as `lingers`.
    async fn begun(&mut self, lingers: Duration) -> Result<(), Stopped>;

    /// The run ended without completing the step, and waited for all its requests. Those that
    /// change `late` had no response, and may still arrive for as long as `lingers`.
    async fn ended(&mut self, late: Vec<Place>, lingers: Duration) -> Result<(), Stopped>;

    /// Until when a copy that this step requested may still arrive; `None` when none can.
    async fn late_until(&mut self) -> Result<Option<Timestamp>, Stopped>;

    /// Stores changed moves.
    async fn moved(&mut self, moves: &[Move]) -> Result<(), Stopped>;

    /// The commit point: stores that the recording is now at `place`.
    async fn commit(&mut self, place: &Place) -> Result<(), Stopped>;

    /// The moves with these numbers of a manifest in the making, which an earlier try began.
    async fn drafts(&mut self, numbers: Range<u32>) -> Result<Vec<Move>, Stopped>;

    /// The next try has less to do than this one had, though this one wrote nothing.
    fn gained(&mut self) {}

    /// Stores that no other playlist names the sources of these moves any more: this manifest
    /// deletes those that no other task reads.
    async fn last(&mut self, moves: &[Move]) -> Result<(), Stopped>;

    /// `Err(Interrupted)` once the step should stop. Long steps call this between their parts.
    fn checkpoint(&mut self) -> Result<(), Stopped>;
}

impl Reach {
    /// One lane for each bucket and destination.
    pub fn lanes(&self) -> impl Iterator<Item = Lane> {
        let buckets = self.buckets.keys().cloned().map(Lane::Bucket);
        let destinations = self.destinations.keys().cloned();
        buckets.chain(destinations.map(Lane::Destination))
    }

    /// Whether this lane's bucket or destination is available.
    pub fn has(&self, lane: &Lane) -> bool {
        match lane {
            Lane::Bucket(name) => self.buckets.contains_key(name),
            Lane::Destination(name) => self.destinations.contains_key(name),
        }
    }

    /// The bucket of this name, if its configuration allows access to `place`.
    fn bucket(&self, place: &Place) -> Result<&OpenBucket, Failure> {
        let bucket = bucket::named(&self.buckets, &place.bucket)?;
        bucket.config.permit(&place.key)?;
        Ok(bucket)
    }
}

impl ActionSubject {
    /// The recording's place; fails when the event names no object.
    fn place(&self) -> Result<&Place, Failure> {
        self.place.as_ref().ok_or_else(|| {
            let (bucket, object) = (Fields::BUCKET, Fields::OBJECT);
            let reason = format!("the event names no object ({bucket} and {object})");
            Failure::new(FailureKind::Invalid, reason)
        })
    }

    /// The recording's place; fails when another recording has replaced it there.
    fn unreplaced(&self) -> Result<&Place, Failure> {
        let place = self.place()?;
        match self.replaced {
            Some(replaced) => Err(replaced.at(place)),
            None => Ok(place),
        }
    }

    /// The failure for a missing part. Recorders announce files before they can be read, so it is
    /// temporary during the bucket's `source_grace`.
    fn absent(&self, bucket: &Bucket, what: &str) -> Failure {
        if self.is_awaited(bucket) {
            let reason = format!("{what} is not there yet");
            return Failure::new(FailureKind::NotThereYet, reason);
        }
        let grace = humantime::format_duration(bucket.source_grace);
        let reason = format!("{what} does not exist, {grace} (source_grace) after the event");
        Failure::new(FailureKind::Missing, reason)
    }

    /// Whether what the recorder has announced may still come.
    fn is_awaited(&self, bucket: &Bucket) -> bool {
        self.now.since(self.received) < bucket.source_grace
    }

    /// `failure`, or [`Self::absent`] if the failure is that a part is missing.
    fn waits(&self, bucket: &Bucket, failure: Failure) -> Failure {
        match failure.kind {
            FailureKind::Missing => self.absent(bucket, &failure.reason),
            _ => failure,
        }
    }
}

impl std::fmt::Debug for Reach {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reach")
            .field("buckets", &self.buckets.keys())
            .field("destinations", &self.destinations.keys())
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for OpenBucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenBucket")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
