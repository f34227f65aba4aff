//! The second bucket of a step: it writes there, but runs in the lane of another bucket.
//!
//! Rate, breaker and pause of the second bucket apply, and its failures do not affect the task's
//! own lane, where other tasks may work well.

use std::time::Duration;

use super::lane::Admission;
use super::outcome::Ended;
use super::task::{Runner, TaskRun};
use crate::model::breaker::{LaneState, Shut, Sign};
use crate::model::moment::Present;
use crate::model::task::Lane;
use crate::model::transition::Ran;
use crate::model::wait::WaitsFor;

/// The shortest wait: due times count milliseconds, so a shorter one would end at once.
const LEAST: Duration = Duration::from_millis(1);

/// Wait for a bucket that runs one step after the other.
const SOON: Duration = Duration::from_secs(1);

/// Wait for a bucket that needs a person or another step first. A person may act at any time.
const LATER: Duration = Duration::from_mins(1);

pub(super) struct Target {
    pub(super) lane: Lane,
    pub(super) admission: Admission,
}

impl Target {
    /// What the end of the step says about the task's own lane, and about this one.
    pub(super) fn signs<'a>(&self, ended: &'a Ended) -> (Sign<'a>, Sign<'a>) {
        let is_its = match &ended.ran {
            Ran::Failed(failure) => {
                let bucket = failure.bucket.clone().map(Lane::Bucket);
                bucket.as_ref() == Some(&self.lane)
            }
            _ => false,
        };
        match ended.sign() {
            sign if is_its => (Sign::Nothing, sign),
            Sign::Well => (Sign::Well, Sign::Well),
            sign => (sign, Sign::Nothing),
        }
    }
}

impl Runner {
    /// The step's second bucket, if it has one, or why it has to wait for it.
    pub(super) fn target(&self, work: &TaskRun<'_>) -> Result<Option<Target>, Ran> {
        let other = work.step.action.needs().other_bucket;
        let lane = other.map(|name| Lane::Bucket(name.to_owned()));
        let Some(lane) = lane.filter(|lane| *lane != work.claim.task().lane) else {
            return Ok(None);
        };
        let (lanes, now) = (&self.parts.lanes, self.parts.clock.present());
        match lanes.enter(&lane, now.moment) {
            None => Ok(None),
            Some(Ok(admission)) => Ok(Some(Target { lane, admission })),
            Some(Err(shut)) => {
                let state = lanes.state(&lane).unwrap_or_default();
                Err(waits(&lane, &state, shut, now))
            }
        }
    }
}

fn waits(lane: &Lane, state: &LaneState, shut: Shut, now: Present) -> Ran {
    let wait = match shut {
        Shut::Until(moment) => moment.since(now.moment).clamp(LEAST, LATER),
        Shut::Full => SOON,
        Shut::ForNow => LATER,
    };
    let why = match (&state.paused, &state.open) {
        (Some(pause), _) => format!("waits for {lane}, which is paused: {}", pause.why),
        (None, Some(open)) => format!("waits for {lane}, which is left alone: {}", open.why),
        (None, None) => format!("waits for {lane}, which recovers"),
    };
    Ran::Unable {
        on: WaitsFor::Until(now.time.plus(wait)),
        why,
    }
}
