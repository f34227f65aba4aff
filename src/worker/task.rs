//! Runs one claimed task to the end of its claim.
//!
//! Reads what the step needs, runs the action, lets `model::transition::settle` decide and the
//! store write the decision. Decides nothing itself.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

use super::WorkerParts;
use super::give_up::Closed;
use super::lane::Permit;
use super::outcome::Ended;
use super::store_outage::{Outage, Outages};
use crate::action::rename::LEFT;
use crate::clock::Stopwatch;
use crate::in_force::{NoRules, Snapshot};
use crate::model::attempt::{AttemptRecord, Outcome};
use crate::model::recording::Place;
use crate::model::task::{Lane, StepNo};
use crate::model::transition::{Budget, Hold, NextStep, Transition, settle};
use crate::model::wait::{Outside, WaitsFor};
use crate::rules::file::Revision;
use crate::rules::plan::lane_and_turn;
use crate::rules::rule::{Rule, Step};
use crate::store::{Applied, ApplyError, Claim, Settlement, Unavailable};

pub(super) struct Runner {
    pub(super) parts: WorkerParts,
    /// Set: the service stops, and no further step begins.
    pub(super) draining: CancellationToken,
    /// Set: the grace time is over.
    pub(super) interrupt: CancellationToken,
    pub(super) cancel: CancellationToken,
    pub(super) outages: Outages,
}

enum Room {
    None,
    Same,
    Other(Permit),
}

/// The claim is lost, or the service ends: nothing more may be written.
pub(super) struct Dropped;

/// Why a step does not run now.
enum NotRun {
    /// The task has to wait for this reason.
    Waits(String),
    Dropped,
}

impl From<Dropped> for NotRun {
    fn from(_: Dropped) -> Self {
        Self::Dropped
    }
}

pub(super) struct TaskRun<'a> {
    pub(super) claim: &'a Claim,
    pub(super) revision: &'a Revision,
    pub(super) rule: &'a Rule,
    pub(super) step: &'a Step,
    pub(super) in_force: &'a Snapshot,
    /// Where the step has moved the recording under this claim.
    pub(super) committed: OnceLock<Place>,
}

impl TaskRun<'_> {
    /// Where the recording is. The claim's location is from claim time. After our own commit it is
    /// stale: trusting it would delete the new recording as a leftover copy.
    pub(super) fn place(&self) -> Option<&Place> {
        let claimed = || self.claim.located().map(|located| &located.place);
        self.committed.get().or_else(claimed)
    }

    /// The step after this one, if the recording stays where it is now.
    fn next_step(&self) -> Option<NextStep> {
        let number: StepNo = self.claim.task().step + 1;
        let step = self.rule.steps.get(usize::from(number))?;
        let (lane, turn) = lane_and_turn(step, self.place())?;
        Some(NextStep {
            step: number,
            lane,
            turn,
            hold: Hold::Leave,
        })
    }

    pub(super) fn budget(&self) -> Budget<'_> {
        Budget {
            policy: &self.rule.retry,
            tries: self.claim.task().tries,
            since: self.claim.task().since,
            on_failure: self.step.on_failure,
            next: self.next_step(),
            on_dead: self.rule.on_dead.clone().map(Lane::Destination),
        }
    }
}

impl Runner {
    pub(super) async fn run(&self, claim: Claim, permit: Permit) {
        let mut held = Some((claim, permit));
        while let Some((claim, permit)) = held {
            if claim.cancel_requested() {
                self.cancel.cancel();
            }
            held = self.run_step(claim, permit).await.unwrap_or(None);
        }
    }

    async fn run_step(
        &self,
        claim: Claim,
        mut permit: Permit,
    ) -> Result<Option<(Claim, Permit)>, Dropped> {
        permit.begin();
        let in_force = self.parts.in_force.get();
        let (settlement, room) = match self.rules(&claim, &in_force).await {
            Ok(rules) => {
                self.settlement(&claim, &rules, &in_force, &mut permit)
                    .await?
            }
            Err(NotRun::Waits(reason)) => (waiting(&claim, reason), Room::None),
            Err(NotRun::Dropped) => return Err(Dropped),
        };
        if !matches!(room, Room::Same) {
            permit.leave_lane();
        }
        let waits = tell_of_wait(&claim, &settlement.transition);
        let applied = self.apply(claim, settlement).await?;
        if waits && !Arc::ptr_eq(&in_force, &self.parts.in_force.get()) {
            // The thing may have come before the wait was stored.
            self.parts.lanes.look_again();
        }
        Ok(match (applied, room) {
            (Applied::Continues(claim), Room::Same) => Some((*claim, permit)),
            (Applied::Continues(claim), Room::Other(permit)) => Some((*claim, permit)),
            _ => None,
        })
    }

    /// The rules that planned the task.
    async fn rules(&self, claim: &Claim, in_force: &Snapshot) -> Result<Arc<Revision>, NotRun> {
        let revision = claim.task().revision;
        let mut outage = self.outages.outage();
        loop {
            match in_force.revisions.get(revision, &*self.parts.store).await {
                Ok(rules) => return Ok(rules),
                Err(NoRules::Unavailable(cause)) => self.pause(&mut outage, &cause).await?,
                Err(unusable) => return Err(NotRun::Waits(unusable.to_string())),
            }
        }
    }

    async fn settlement(
        &self,
        claim: &Claim,
        revision: &Revision,
        in_force: &Snapshot,
        permit: &mut Permit,
    ) -> Result<(Settlement, Room), Dropped> {
        let work = match find(claim, revision, in_force) {
            Ok(work) => work,
            Err(reason) => return Ok((waiting(claim, reason), Room::None)),
        };
        let (started, watch) = (self.parts.clock.now(), Stopwatch::start());
        let (target, ended) = match self.target(&work) {
            Ok(target) => (target, self.carry_out(&work).await?),
            Err(ran) => (None, Ended::not_begun(ran)),
        };
        self.report(claim.task(), permit, target, &ended).await?;
        let decided = settle(
            work.budget(),
            ended.ran.clone(),
            self.parts.clock.now(),
            self.parts.clock.jitter(),
        );
        let Closed {
            mut transition,
            leaves,
        } = self.close(&work, decided, &ended.ran).await?;
        let record = ended.record(&work, started, watch.elapsed());
        self.log(claim, record.as_ref(), &transition);
        if let Some(warning) = ended.warning() {
            let (task_id, step) = (claim.task().id, &work.step.id);
            tracing::warn!(%task_id, step, warning, "step succeeded with a warning");
        }

        let mut outputs = claim.task().outputs.clone();
        if let Some(output) = ended.output {
            if let Some(left) = output.get(LEFT) {
                tracing::warn!(task_id = %claim.task().id, %left, "kept objects of the replaced recording: another recording may need them");
            }
            outputs.insert(work.step.id.clone(), output.into());
        }
        let room = match &mut transition {
            Transition::Advance(next) => self.hold(&work, next, permit),
            _ => Room::None,
        };
        let settlement = Settlement {
            transition,
            attempt: record,
            outputs,
            leaves,
        };
        Ok((settlement, room))
    }

    fn log(&self, claim: &Claim, record: Option<&AttemptRecord>, transition: &Transition) {
        let Some(record) = record else { return };
        self.parts.metrics.attempt(record);
        let (task_id, event_id) = (claim.task().id, claim.task().event);
        let (rule, step, took_ms) = (
            claim.task().work.rule(),
            &record.step_id,
            record.took.as_millis(),
        );
        let outcome = record.outcome.name();
        match (&record.outcome, transition) {
            (
                Outcome::Failed(failure),
                Transition::RetryAfter { wait, .. } | Transition::Await { wait, .. },
            ) => {
                let retry_at = self.parts.clock.now().plus(*wait);
                tracing::warn!(%task_id, %event_id, %rule, step, took_ms, %failure, %retry_at, "step failed");
            }
            (Outcome::Failed(_), Transition::Bury { why: failure, .. }) => {
                tracing::error!(%task_id, %event_id, %rule, step, took_ms, %failure, "step failed, task is dead");
            }
            (Outcome::Failed(failure), _) => {
                tracing::warn!(%task_id, %event_id, %rule, step, took_ms, %failure, "step failed, task continues");
            }
            _ => tracing::info!(%task_id, %event_id, %rule, step, took_ms, outcome, "step ended"),
        }
    }

    /// Takes room for the next step, if there is any.
    fn hold(&self, work: &TaskRun<'_>, next: &mut NextStep, permit: &mut Permit) -> Room {
        let room = self.room(work, &next.lane, permit);
        next.hold = match room {
            Room::None => Hold::Leave,
            Room::Same | Room::Other(_) => Hold::Keep,
        };
        room
    }

    /// A next step needs room like a claimed one, and passes the same gate.
    fn room(&self, work: &TaskRun<'_>, lane: &Lane, permit: &mut Permit) -> Room {
        if self.draining.is_cancelled() {
            Room::None
        } else if *lane != work.claim.task().lane {
            let permit = self.parts.lanes.permit_at(lane, self.parts.clock.moment());
            permit.map_or(Room::None, Room::Other)
        } else if permit.renew(self.parts.clock.moment()) {
            Room::Same
        } else {
            Room::None
        }
    }

    /// Writes how the claim ends, waiting for the store as long as necessary: if the end of a step
    /// is lost, the next process repeats it.
    async fn apply(&self, claim: Claim, settlement: Settlement) -> Result<Applied, Dropped> {
        let leaves_work = leaves_work(&claim, &settlement);
        let mut claim = claim;
        let mut outage = self.outages.outage();
        loop {
            match self
                .parts
                .store
                .apply(claim, settlement.clone(), self.parts.clock.now())
                .await
            {
                Ok(applied) => {
                    if leaves_work {
                        self.parts.lanes.waker().wake();
                    }
                    return Ok(applied);
                }
                Err(ApplyError::Lost(id)) => {
                    tracing::warn!(task_id = %id, "dropped a result: the task belongs to a newer claim");
                    return Err(Dropped);
                }
                Err(ApplyError::Unavailable { claim: back, cause }) => {
                    self.pause(&mut outage, &cause).await?;
                    claim = *back;
                }
            }
        }
    }

    pub(super) async fn pause(
        &self,
        outage: &mut Outage,
        cause: &Unavailable,
    ) -> Result<(), Dropped> {
        tracing::error!(error = %cause, "a task waits: the store cannot be used");
        // A task left as running is due again at the next start.
        self.interrupt
            .run_until_cancelled(outage.wait(cause))
            .await
            .ok_or(Dropped)
    }

    /// Waits before a task is handed back because of the store: it would be claimed again at once.
    pub(super) async fn leave_alone(&self, cause: &str) {
        let mut outage = self.outages.outage();
        let _over_or_ended = self
            .interrupt
            .run_until_cancelled(outage.wait(&cause))
            .await;
    }
}

fn find<'a>(
    claim: &'a Claim,
    revision: &'a Revision,
    in_force: &'a Snapshot,
) -> Result<TaskRun<'a>, String> {
    let task = claim.task();
    let rule = revision.rule(&task.work.rule())?;
    let step = rule.steps.get(usize::from(task.step)).ok_or_else(|| {
        let (name, revision) = (task.work.rule(), revision.rules.revision);
        format!("rule {name:?} has no step {} in {revision}", task.step)
    })?;
    Ok(TaskRun {
        claim,
        revision,
        rule,
        step,
        in_force,
        committed: OnceLock::new(),
    })
}

/// The end of a claim whose rule cannot be used now.
fn waiting(claim: &Claim, why: String) -> Settlement {
    let outputs = claim.task().outputs.clone();
    let rule = Outside::Rule {
        revision: claim.task().revision,
        name: claim.task().work.rule().into_owned(),
    };
    Settlement {
        transition: Transition::Wait {
            on: rule.into(),
            why,
        },
        attempt: None,
        outputs,
        leaves: None,
    }
}

/// Whether the task waits for something outside it from now on; logs it.
fn tell_of_wait(claim: &Claim, transition: &Transition) -> bool {
    let Transition::Wait {
        on: WaitsFor::Outside(on),
        why,
    } = transition
    else {
        return false;
    };
    let (task_id, rule) = (claim.task().id, claim.task().work.rule());
    tracing::warn!(%task_id, %rule, %on, why, "a task waits");
    true
}

/// Whether the transition may have made a task due, this one or one that waited for it. A step in a
/// bucket lane has the recording's turn, and may pass it on although its task continues.
fn leaves_work(claim: &Claim, settlement: &Settlement) -> bool {
    let had_turn = matches!(claim.task().lane, Lane::Bucket(_));
    had_turn
        || !matches!(
            settlement.transition,
            Transition::Advance(NextStep {
                hold: Hold::Keep,
                ..
            })
        )
}
