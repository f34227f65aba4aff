//! Lists, pauses and resumes lanes: destinations and buckets.

use std::time::Duration;

use serde::Serialize;

use crate::clock::Stopwatch;
use crate::model::breaker::LaneState;
use crate::model::intervention::By;
use crate::model::task::Lane;
use crate::model::time::Timestamp;
use crate::store::Unavailable;
use crate::store::lists::{GONE, LaneRow};
use crate::store::operator::{LaneOutcome, Operator};

/// How long a pause waits for the service, which looks for changes every second.
pub const KNOWN_WITHIN: Duration = Duration::from_secs(5);

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A destination as JSON. Keys may be added, never renamed or removed.
#[derive(Debug, Serialize)]
pub struct LaneLine {
    pub name: String,
    pub state: &'static str,
    pub since: Option<Timestamp>,
    pub why: Option<String>,
    pub waiting: u64,
    pub next_probe: Option<Timestamp>,
}

#[derive(Debug, Serialize)]
pub struct LaneChange {
    pub name: String,
    pub changed: bool,
    pub state: &'static str,
    /// Whether the service has noticed, which it should within [`KNOWN_WITHIN`].
    #[serde(skip)]
    pub is_known: bool,
}

/// Every destination, and the buckets that are paused or open, or that tasks wait for although the
/// rules file lacks them.
pub fn list(store: &dyn Operator, now: Timestamp) -> Result<Vec<LaneLine>, Unavailable> {
    let rows = store.lanes()?.into_iter();
    let is_listed = |row: &LaneRow| {
        let is_closed = row.state == LaneState::default();
        matches!(row.lane, Lane::Destination(_)) || !is_closed || row.is_gone()
    };
    Ok(rows
        .filter(is_listed)
        .map(|row| LaneLine::new(row, now))
        .collect())
}

/// Pauses a lane, and waits until the service has noticed. `None` if the store does not know the
/// lane.
pub fn pause(
    store: &mut dyn Operator,
    lane: &Lane,
    by: &By,
    now: Timestamp,
) -> Result<Option<LaneChange>, Unavailable> {
    let person = by.person.as_deref().unwrap_or("a person");
    let outcome = store.pause(lane, &format!("{person} paused it"), now)?;
    let is_known = outcome != LaneOutcome::Changed || becomes_known(store, lane)?;
    Ok(LaneChange::of(lane, outcome, "paused").map(|change| LaneChange { is_known, ..change }))
}

/// Resumes a lane. `None` if the store does not know it.
pub fn resume(store: &mut dyn Operator, lane: &Lane) -> Result<Option<LaneChange>, Unavailable> {
    let outcome = store.resume(lane)?;
    Ok(LaneChange::of(lane, outcome, "closed"))
}

fn becomes_known(store: &dyn Operator, lane: &Lane) -> Result<bool, Unavailable> {
    let waits = Stopwatch::start();
    while !store.holds(lane)? {
        if waits.elapsed() > KNOWN_WITHIN {
            return Ok(false);
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(true)
}

impl LaneChange {
    fn of(lane: &Lane, outcome: LaneOutcome, state: &'static str) -> Option<Self> {
        (outcome != LaneOutcome::Unknown).then(|| Self {
            name: name(lane),
            changed: outcome == LaneOutcome::Changed,
            state,
            is_known: true,
        })
    }
}

impl LaneLine {
    fn new(row: LaneRow, now: Timestamp) -> Self {
        let is_gone = row.is_gone();
        let state = if is_gone {
            "missing"
        } else {
            row.state.name(now)
        };
        let name = name(&row.lane);
        let LaneState { paused, open } = row.state;
        let next_probe = match &paused {
            None => open.as_ref().map(|open| open.probe_at),
            Some(_) => None,
        };
        let paused = paused.map(|one| (one.since, one.why));
        let opened = open.map(|one| (one.since, one.why));
        let (since, why) = paused.or(opened).unzip();
        let why = if is_gone { Some(GONE.to_owned()) } else { why };
        Self {
            name,
            state,
            since,
            why,
            waiting: row.waiting,
            next_probe,
        }
    }
}

/// A destination's plain name, or `bucket/NAME`.
fn name(lane: &Lane) -> String {
    match lane {
        Lane::Destination(name) => name.clone(),
        Lane::Bucket(_) => lane.to_string(),
    }
}
