//! Runs one step: renders it, runs its action, and reports how it ended.
//!
//! A panic is an ordinary failure. A step that exceeds its timeout or whose task is cancelled is
//! asked to stop safely, and waited for. Only the end of the service drops it at once, like a
//! killed process.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;

use super::journal::Journal;
use super::outcome::Ended;
use super::task::{Dropped, Runner, TaskRun};
use crate::action::{self, ActionSubject, Done, Stopped};
use crate::clock;
use crate::model::failure::{Failure, FailureKind, crash};
use crate::model::moves::keys::{Taken, TakenBy};
use crate::model::moves::stage::Stage;
use crate::model::secret::Mask;
use crate::model::step::Rendered;
use crate::model::task::Lane;
use crate::model::transition::Ran;
use crate::model::wait::{Outside, WaitsFor};
use crate::rules::context::{Context, SignUrl};
use crate::rules::render::{Rendering, render};
use crate::rules::rule::Action;
use crate::rules::rule::TimedBy;

/// The shortest query value of a signed link that is masked, in bytes.
const SIGNATURE: usize = 16;

/// Links that were signed while a step was rendered.
type Signed = Arc<Mutex<Vec<String>>>;

struct Returned {
    /// `None` when the grace time ended first.
    result: Option<Result<Done, Stopped>>,
    /// The timeout, if it was exceeded.
    exceeded: Option<Duration>,
    /// Whether the next try has less to do.
    gained: bool,
}

impl Runner {
    pub(super) async fn carry_out(&self, work: &TaskRun<'_>) -> Result<Ended, Dropped> {
        let signed = Signed::default();
        let step = AssertUnwindSafe(self.step(work, &signed)).catch_unwind();
        let ended = step.await.unwrap_or_else(|panic| {
            let reason = format!("the step crashed: {}", crash(&*panic));
            Ok(Ended::failure(FailureKind::Panic, reason))
        })?;
        let signed = std::mem::take(&mut *signed.lock().unwrap_or_else(PoisonError::into_inner));
        let links = Mask::new(signed.iter().flat_map(|link| traces(link)));
        Ok(ended.masked(&work.revision.mask, &links))
    }

    async fn step(&self, work: &TaskRun<'_>, signed: &Signed) -> Result<Ended, Dropped> {
        if self.interrupt.is_cancelled() {
            return Ok(Ended::not_begun(Ran::Interrupted));
        }
        if let Some(why) = work.claim.given_up() {
            return Ok(Ended::not_begun(Ran::GivenUp(why.clone())));
        }
        let stop = match self.stop(work).await {
            Ok(stop) => stop,
            Err(ran) => return Ok(Ended::not_begun(ran)),
        };
        let tries = work.claim.task().tries;
        if tries > work.rule.retry.tries {
            return Ok(Ended::failure(
                FailureKind::Crashed,
                format!(
                    "the process ended during the last of its tries ({0} of {0}, retry.tries)",
                    work.rule.retry.tries
                ),
            ));
        }
        if let Some((on, why)) = lacking(work) {
            return Ok(Ended::not_begun(Ran::Unable { on, why }));
        }
        if let Some(failure) = replaced(work) {
            return Ok(Ended::failed(failure, None));
        }
        match render_step(work, signed) {
            Ok(Rendering::Run(rendered)) => self.act(work, &rendered, &stop).await,
            Ok(Rendering::Skip(reason)) => Ok(Ended::skipped(reason)),
            Err(failure) => Ok(Ended::failed(failure, None)),
        }
    }

    /// The token that asks the step to stop early. A step of a cancelled task does not begin,
    /// unless it can only go forward: then only the end of the service stops it.
    async fn stop(&self, work: &TaskRun<'_>) -> Result<CancellationToken, Ran> {
        if !self.cancel.is_cancelled() {
            return Ok(self.cancel.child_token());
        }
        if !work.step.action.moves() {
            return Err(Ran::Cancelled);
        }
        let outline = match self.parts.store.outline(work.claim).await {
            Ok(outline) => outline,
            Err(error) => {
                tracing::error!(%error, "a step was not begun: the store cannot be used");
                self.leave_alone(&error.to_string()).await;
                return Err(Ran::Interrupted);
            }
        };
        match Stage::of(outline) {
            Stage::Committed(_) | Stage::Replaced(_) | Stage::Replacing(_) => {
                Ok(CancellationToken::new())
            }
            Stage::Untouched | Stage::Open(_) | Stage::HalfUndone(_) => Err(Ran::Cancelled),
        }
    }

    async fn act(
        &self,
        work: &TaskRun<'_>,
        rendered: &Rendered,
        stop: &CancellationToken,
    ) -> Result<Ended, Dropped> {
        let limit = match work.step.action.needs().timed_by {
            TimedBy::Worker => work.step.timeout,
            TimedBy::Request => None,
        };
        let halt = self.halt(work, rendered, stop, limit).await;
        match halt.result {
            Some(Ok(done)) => Ok(Ended::passed(done)),
            Some(Err(Stopped::Failed { failure, exchange })) => {
                Ok(Ended::failed(*failure, exchange.map(|exchange| *exchange)))
            }
            Some(Err(Stopped::KeyTaken(taken))) => {
                let why = waits_for(&taken);
                let on = taken.by.into();
                Ok(Ended::not_begun(Ran::Unable { on, why }))
            }
            Some(Err(Stopped::LeaseLost)) => Err(Dropped),
            Some(Err(Stopped::Unavailable(reason))) => {
                tracing::error!(reason, "a step stopped: the store cannot be used");
                self.leave_alone(&reason).await;
                Ok(Ended::interrupted(Ran::Interrupted))
            }
            Some(Err(Stopped::Interrupted)) => Ok(self.stopped_early(work, &halt)),
            None => Ok(Ended::interrupted(Ran::Interrupted)),
        }
    }

    fn stopped_early(&self, work: &TaskRun<'_>, halt: &Returned) -> Ended {
        match halt.exceeded {
            Some(limit) => {
                let (name, id) = (work.step.action.name(), &work.step.id);
                let limit = humantime::format_duration(limit);
                let then = if halt.gained {
                    "the next try continues where it stopped".to_owned()
                } else {
                    format!(
                        "it got no further in that time, which is too short: raise `timeout` of step {id:?}"
                    )
                };
                let reason = format!("{name} took longer than its timeout of {limit}; {then}");
                Ended::failure(FailureKind::Timeout, reason)
            }
            None if self.cancel.is_cancelled() => Ended::interrupted(Ran::Cancelled),
            None => Ended::interrupted(Ran::Interrupted),
        }
    }

    /// Runs the action to its end. After `limit` it is asked to stop safely.
    async fn halt(
        &self,
        work: &TaskRun<'_>,
        rendered: &Rendered,
        stop: &CancellationToken,
        limit: Option<Duration>,
    ) -> Returned {
        let subject = ActionSubject {
            rule: work.rule.name.clone(),
            place: work.place().cloned(),
            extent: work.claim.event().fields.extent(),
            moved_by: work
                .claim
                .located()
                .and_then(|located| located.moved_by.clone()),
            replaced: work.claim.located().and_then(|located| located.replaced),
            // If the clock was ahead, the event seems to have arrived after its first try.
            received: work.claim.event().received.min(work.claim.task().since),
            now: self.parts.clock.now(),
        };
        let gained = AtomicBool::new(false);
        let mut journal = Journal {
            store: &*self.parts.store,
            claim: work.claim,
            clock: &*self.parts.clock,
            committed: &work.committed,
            gained: &gained,
            stop,
        };
        let action = action::run(&work.in_force.reach, rendered, &subject, &mut journal);
        tokio::pin!(action);
        let exceeded = async {
            match limit {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(exceeded);
        let mut timed_out = false;
        let end = |result, timed_out| Returned {
            result,
            exceeded: limit.filter(|_| timed_out),
            gained: gained.load(Ordering::Relaxed),
        };
        loop {
            tokio::select! {
                // First, so that a finished action counts even if the grace time is over.
                biased;
                result = &mut action => return end(Some(result), timed_out),
                () = self.interrupt.cancelled() => return end(None, timed_out),
                () = &mut exceeded, if !timed_out => {
                    timed_out = true;
                    stop.cancel();
                }
            }
        }
    }
}

/// Why a task waits whose key is taken.
pub(super) fn waits_for(taken: &Taken) -> String {
    let key = &taken.key;
    match taken.by {
        TakenBy::Move(id) => format!("waits for {id}, which moves to the same key ({key})"),
        TakenBy::Wanted(id) | TakenBy::Circle(id) => {
            format!("waits for {id}, which is about to move what is at {key}")
        }
        TakenBy::Late(until) => format!(
            "a request that was sent for {key} had no answer and may still arrive until {until}"
        ),
    }
}

/// Texts to mask for a signed link: the link, and the long values of its query, from which it could
/// be rebuilt.
fn traces(link: &str) -> Vec<String> {
    let (_, query) = link.split_once('?').unwrap_or_default();
    let values = query.split('&').filter_map(|pair| pair.split_once('='));
    let long = values.filter(|(_, value)| value.len() >= SIGNATURE);
    let mut traces = vec![link.to_owned()];
    traces.extend(long.map(|(_, value)| value.to_owned()));
    traces
}

/// The name that is gone from the rules file and keeps the step from starting, and why. If it is
/// the task's own lane, the task waits in the lane with all others.
fn lacking(work: &TaskRun<'_>) -> Option<(WaitsFor, String)> {
    let own = &work.claim.task().lane;
    if let Some(why) = work.in_force.lacks(own) {
        return Some((WaitsFor::ItsLane, why));
    }
    let target = Lane::Bucket(work.step.action.needs().other_bucket?.to_owned());
    let why = work.in_force.lacks(&target)?;
    Some((Outside::Lane(target).into(), why))
}

/// Why a message about the recording is not sent: another recording has overwritten it. Does not
/// apply to notices of dead tasks, which are about the task.
fn replaced(work: &TaskRun<'_>) -> Option<Failure> {
    let Action::Notify(notify) = &work.step.action else {
        return None;
    };
    if work.claim.task().work.death().is_some() {
        return None;
    }
    let located = work.claim.located()?;
    let failure = located.replaced?.at(&located.place);
    notify.tells_of_recording().then_some(failure)
}

fn render_step(work: &TaskRun<'_>, signed: &Signed) -> Result<Rendering, Failure> {
    let place = work.place().cloned();
    let bucket = place
        .as_ref()
        .and_then(|place| work.in_force.reach.buckets.get(&place.bucket));
    let url = place
        .as_ref()
        .zip(bucket)
        .map(|(place, bucket)| bucket.store.url(&place.key));
    let sign_url = place.clone().zip(bucket).map(|(place, bucket)| {
        let (store, signed) = (Arc::clone(&bucket.store), Arc::clone(signed));
        let sign: SignUrl = Arc::new(move |lifetime| {
            let url = store.signed_url(&place.key, lifetime, clock::now());
            // A link that opens without credentials is a secret, so it is masked.
            signed
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(url.clone());
            url
        });
        sign
    });
    let context = Context {
        event: work.claim.event(),
        task: work.claim.task().id,
        place,
        url,
        outputs: Some(&work.claim.task().outputs),
        death: work.claim.task().work.death(),
        sign_url,
    };
    render(
        &work.revision.rules,
        work.rule,
        work.claim.task().step,
        &context,
        &work.in_force.reach.destinations,
    )
}
