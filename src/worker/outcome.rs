//! How a step ended: the input of the task's settlement and of the log.

use std::time::Duration;

use super::task::TaskRun;
use crate::action::{Done, WARNING};
use crate::model::attempt::{AttemptRecord, Exchange, KEPT_BODY, Outcome};
use crate::model::breaker::Sign;
use crate::model::failure::{Failure, FailureKind};
use crate::model::secret::Mask;
use crate::model::task::Outputs;
use crate::model::time::Timestamp;
use crate::model::transition::Ran;

/// How a step ended, before the settlement.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) ran: Ran,
    /// For the log; `None` when nothing was tried.
    outcome: Option<Outcome>,
    pub(super) output: Option<Outputs>,
    exchange: Option<Exchange>,
    /// Whether the end says something about the lane.
    of_lane: bool,
}

impl Ended {
    pub(super) fn passed(done: Done) -> Self {
        Self {
            ran: Ran::Passed,
            outcome: Some(Outcome::Succeeded),
            output: Some(done.output),
            exchange: done.exchange,
            of_lane: true,
        }
    }

    pub(super) fn skipped(reason: String) -> Self {
        Self {
            ran: Ran::Passed,
            outcome: Some(Outcome::Skipped(reason)),
            output: None,
            exchange: None,
            of_lane: false,
        }
    }

    pub(super) fn failed(failure: Failure, exchange: Option<Exchange>) -> Self {
        let outcome = Some(Outcome::Failed(failure.clone()));
        Self {
            ran: Ran::Failed(failure),
            outcome,
            output: None,
            exchange,
            of_lane: true,
        }
    }

    /// A failure of our own, which says nothing about the lane.
    pub(super) fn failure(kind: FailureKind, reason: impl Into<String>) -> Self {
        Self {
            of_lane: false,
            ..Self::failed(Failure::new(kind, reason), None)
        }
    }

    /// The step began but did not finish.
    pub(super) fn interrupted(ran: Ran) -> Self {
        Self {
            ran,
            outcome: Some(Outcome::Interrupted),
            output: None,
            exchange: None,
            of_lane: false,
        }
    }

    pub(super) fn not_begun(ran: Ran) -> Self {
        Self {
            ran,
            outcome: None,
            output: None,
            exchange: None,
            of_lane: false,
        }
    }

    /// What the end says about the step's lane.
    pub(super) fn sign(&self) -> Sign<'_> {
        match &self.ran {
            Ran::Failed(failure) if self.of_lane => Sign::of(failure),
            Ran::Passed if self.of_lane => Sign::Well,
            _ => Sign::Nothing,
        }
    }

    /// What a person should know about a step that succeeded.
    pub(super) fn warning(&self) -> Option<&str> {
        self.output.as_ref()?.get(WARNING)?.as_str()
    }

    /// Masks the secrets in `mask`, and the `links` signed for this step, in everything that will
    /// be stored, logged or shown. Bodies are cut after that: cut before, a secret across the cut
    /// would keep its first part.
    pub(super) fn masked(mut self, mask: &Mask, links: &Mask) -> Self {
        let mask = &mask.and(links);
        match &mut self.ran {
            Ran::Failed(failure) => mask.hide(&mut failure.reason),
            Ran::Unable { why, .. } => mask.hide(why),
            _ => {}
        }
        match &mut self.outcome {
            Some(Outcome::Failed(failure)) => mask.hide(&mut failure.reason),
            Some(Outcome::Skipped(reason)) => mask.hide(reason),
            _ => {}
        }
        // A rename's outputs say where the recording is now, so only links are masked there.
        let outputs = if self.exchange.is_some() { mask } else { links };
        for value in self.output.iter_mut().flat_map(Outputs::values_mut) {
            outputs.hide_within(value);
        }
        let output = self.output.as_mut();
        if let Some(warning) = output.and_then(|output| output.get_mut(WARNING)) {
            mask.hide_within(warning);
        }
        if let Some(exchange) = &mut self.exchange {
            hide_exchange(exchange, mask);
        }
        self
    }

    pub(super) fn record(
        &self,
        work: &TaskRun<'_>,
        started: Timestamp,
        took: Duration,
    ) -> Option<AttemptRecord> {
        Some(AttemptRecord {
            step: work.claim.task().step,
            step_id: work.step.id.clone(),
            action: work.step.action.name().to_owned(),
            started,
            took,
            outcome: self.outcome.clone()?,
            exchange: self.exchange.clone(),
        })
    }
}

fn hide_exchange(exchange: &mut Exchange, mask: &Mask) {
    mask.hide(&mut exchange.url);
    exchange.request_id.iter_mut().for_each(|id| mask.hide(id));
    let bodies = [&mut exchange.sent, &mut exchange.answer];
    for text in bodies.into_iter().flatten() {
        mask.hide(text);
        text.truncate(text.floor_char_boundary(KEPT_BODY));
    }
}
