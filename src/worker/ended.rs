//! How a step ended: what the task's fate and the log are made from.

use std::time::Duration;

use super::run::Work;
use crate::action::{Done, WARNING};
use crate::model::attempt::{AttemptRecord, Exchange, KEPT_BODY, Outcome};
use crate::model::breaker::Sign;
use crate::model::failure::{Failure, FailureKind};
use crate::model::recording::Place;
use crate::model::secret::Mask;
use crate::model::task::Outputs;
use crate::model::time::Timestamp;
use crate::model::transition::Ran;

/// How a step ended, before its task's fate is decided.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) ran: Ran,
    /// What the log says of it; `None` when nothing was tried.
    outcome: Option<Outcome>,
    pub(super) output: Option<Outputs>,
    exchange: Option<Exchange>,
    /// Whether the end says something of the lane.
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

    /// A failure of our own making.
    pub(super) fn failure(kind: FailureKind, reason: impl Into<String>) -> Self {
        Self {
            of_lane: false,
            ..Self::failed(Failure::new(kind, reason), None)
        }
    }

    /// The step was begun and not carried to its end.
    pub(super) fn interrupted(ran: Ran) -> Self {
        Self {
            ran,
            outcome: Some(Outcome::Interrupted),
            output: None,
            exchange: None,
            of_lane: false,
        }
    }

    /// The step was not begun.
    pub(super) fn not_begun(ran: Ran) -> Self {
        Self {
            ran,
            outcome: None,
            output: None,
            exchange: None,
            of_lane: false,
        }
    }

    /// What the end says of the step's lane.
    pub(super) fn sign(&self) -> Sign<'_> {
        match &self.ran {
            Ran::Failed(failure) if self.of_lane => Sign::of(failure),
            Ran::Passed if self.of_lane => Sign::Well,
            _ => Sign::Nothing,
        }
    }

    /// Where the step left the recording, if it moved it.
    pub(super) fn place(&self) -> Option<Place> {
        let text = |name| Some(self.output.as_ref()?.get(name)?.as_str()?.to_owned());
        Some(Place {
            bucket: text("bucket")?,
            key: text("key")?,
        })
    }

    /// What a person should know of a step that succeeded.
    pub(super) fn warning(&self) -> Option<&str> {
        self.output.as_ref()?.get(WARNING)?.as_str()
    }

    /// Without a secret in anything that will be stored, logged or shown: none of `mask`, and
    /// none of `links`, which were signed for this step. Bodies are cut only then: cut before,
    /// a secret across the end would keep its first part.
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
        // Of a rename they are where the recording is now.
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

    /// The row for the log of attempts.
    pub(super) fn record(
        &self,
        work: &Work<'_>,
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
