//! `aftertake tasks show`: everything that happened to one task, and why.

use std::fmt::Write;

use serde::Serialize;

use super::by_hand::intervention_text;
use super::moves;
use super::row::{FailureLine, TaskLine};
use crate::cli::exit::{Exit, Stop};
use crate::cli::out::{Answer, OutFlags};
use crate::cli::store;
use crate::cli::table::{indented, lines, one_line, step_name};
use crate::config::StoreUrl;
use crate::model::attempt::{AttemptRecord, Exchange, Outcome};
use crate::model::id::TaskId;
use crate::model::intervention::Intervention;
use crate::model::moves::Move;
use crate::model::recording::Place;
use crate::model::task::{Outputs, StepNo};
use crate::model::time::Timestamp;
use crate::store::lists::{EventDetail, TaskDetail};
use crate::store::operator::Operator;

pub(super) fn run(id: TaskId, url: &StoreUrl, out: OutFlags) -> Result<Exit, Stop> {
    let operator = store::operator(url)?;
    let found = find(&*operator, id).map_err(store::unavailable)?;
    let (task, event) = found.ok_or_else(|| {
        let sentence = format!("{id} is not in {url}; `aftertake tasks list` shows those that are");
        Stop::say(Exit::Failed, sentence)
    })?;
    out.print(&Story::of(&task, event.as_ref()))?;
    Ok(Exit::Fine)
}

type Found = Option<(TaskDetail, Option<EventDetail>)>;

fn find(operator: &dyn Operator, id: TaskId) -> Result<Found, crate::store::Unavailable> {
    let Some(task) = operator.task(id)? else {
        return Ok(None);
    };
    let event = operator.event(task.row.event)?;
    Ok(Some((task, event)))
}

/// All that is known of a task.
#[derive(Debug, Serialize)]
struct Story<'a> {
    #[serde(flatten)]
    task: TaskLine<'a>,
    event_type: Option<&'a str>,
    received: Option<Timestamp>,
    room: Option<&'a str>,
    /// Why it waits, for a reason outside the task.
    waits: Option<&'a str>,
    /// The bucket or destination that its next step needs.
    lane: &'a str,
    /// Where the callback said that the recording is; `null` when it named none, or when
    /// retention removed the callback.
    named: Option<Place>,
    /// Where it is now.
    place: Option<Place>,
    outputs: &'a Outputs,
    attempts: Vec<AttemptLine<'a>>,
    moves: Vec<MoveLine<'a>>,
    /// What people did to it.
    interventions: &'a [Intervention],
    #[serde(skip)]
    detail: &'a TaskDetail,
}

#[derive(Debug, Serialize)]
struct AttemptLine<'a> {
    step: StepNo,
    step_id: &'a str,
    action: &'a str,
    started: Timestamp,
    took_ms: u128,
    outcome: &'static str,
    /// Why it was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<FailureLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exchange: Option<&'a Exchange>,
}

#[derive(Debug, Serialize)]
struct MoveLine<'a> {
    from: &'a Place,
    to: &'a Place,
    size: u64,
    phase: &'static str,
}

impl<'a> Story<'a> {
    fn of(detail: &'a TaskDetail, event: Option<&'a EventDetail>) -> Self {
        let named = event.and_then(named);
        Self {
            task: TaskLine::of(&detail.row),
            event_type: event.map(|event| event.row.event_type.as_str()),
            received: event.map(|event| event.row.received),
            room: detail.row.room.as_deref(),
            waits: detail.row.note.as_deref(),
            lane: &detail.lane,
            place: detail.place.clone().or_else(|| named.clone()),
            named,
            outputs: &detail.outputs,
            attempts: detail.attempts.iter().map(AttemptLine::of).collect(),
            moves: detail.moves.iter().map(MoveLine::of).collect(),
            interventions: &detail.interventions,
            detail,
        }
    }
}

/// The place that the callback named.
fn named(event: &EventDetail) -> Option<Place> {
    event.event.as_ref()?.fields.place()
}

impl<'a> AttemptLine<'a> {
    fn of(attempt: &'a AttemptRecord) -> Self {
        let (reason, failure) = match &attempt.outcome {
            Outcome::Skipped(reason) => (Some(reason.as_str()), None),
            Outcome::Failed(failure) => (None, Some(FailureLine::of(failure))),
            Outcome::Succeeded | Outcome::Interrupted => (None, None),
        };
        Self {
            step: attempt.step,
            step_id: &attempt.step_id,
            action: &attempt.action,
            started: attempt.started,
            took_ms: attempt.took.as_millis(),
            outcome: attempt.outcome.name(),
            reason,
            failure,
            exchange: attempt.exchange.as_ref(),
        }
    }
}

impl<'a> MoveLine<'a> {
    fn of(one: &'a Move) -> Self {
        Self {
            from: &one.from,
            to: &one.to,
            size: one.size,
            phase: one.phase.name(),
        }
    }
}

impl Answer for Story<'_> {
    fn text(&self, _: Option<usize>) -> String {
        let row = &self.detail.row;
        let mut text = format!("{}  {}\n", row.id, row.state);
        for (name, value) in self.facts() {
            let _ = writeln!(text, "  {name:<10} {}", one_line(&value));
        }
        if !self.detail.attempts.is_empty() {
            text.push_str("\nattempts\n");
        }
        for attempt in &self.detail.attempts {
            text.push_str(&indented(&lines(&attempt_text(attempt)), "  "));
        }
        text.push_str(&moves::text(&self.detail.moves));
        if !self.interventions.is_empty() {
            text.push_str("\nby hand\n");
        }
        for intervention in self.interventions {
            let line = intervention_text(intervention);
            let _ = writeln!(text, "  {}", one_line(&line));
        }
        text
    }
}

impl Story<'_> {
    /// The step that is next, by its id too once it was tried: only attempts tell ids, the
    /// rules may be others by now.
    fn step(&self) -> String {
        let number = self.detail.row.step;
        let tried = self.detail.attempts.iter().rev();
        tried
            .filter(|attempt| attempt.step == number)
            .map(|attempt| step_name(number, &attempt.step_id, &attempt.action))
            .next()
            .unwrap_or_else(|| number.to_string())
    }

    /// What there is to say in one line each.
    fn facts(&self) -> impl Iterator<Item = (&'static str, String)> {
        let row = &self.detail.row;
        let event = match (self.event_type, self.received) {
            (Some(kind), Some(received)) => format!("{} {kind}, received {received}", row.event),
            _ => row.event.to_string(),
        };
        let moved = self.named.as_ref().filter(|_| self.named != self.place);
        let outputs = (!self.outputs.is_empty()).then_some(self.outputs);
        [
            ("rule", Some(row.rule.clone())),
            ("event", Some(event)),
            ("room", row.room.clone()),
            ("step", Some(self.step())),
            ("tries", Some(row.tries.to_string())),
            ("lane", Some(self.lane.to_owned())),
            ("due", row.due.map(|due| due.to_string())),
            ("waits", row.note.clone()),
            ("leaves", row.leaves.clone()),
            ("why", row.failure.as_ref().map(ToString::to_string)),
            ("recording", self.place.as_ref().map(ToString::to_string)),
            ("moved from", moved.map(ToString::to_string)),
            (
                "outputs",
                outputs.and_then(|outputs| serde_json::to_string(outputs).ok()),
            ),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }
}

fn attempt_text(attempt: &AttemptRecord) -> String {
    let why = match &attempt.outcome {
        Outcome::Failed(failure) => format!(": {}", one_line(&failure.to_string())),
        Outcome::Skipped(reason) => format!(": {}", one_line(reason)),
        Outcome::Succeeded | Outcome::Interrupted => String::new(),
    };
    let mut text = format!(
        "{}  {} {} in {} ms{why}\n",
        attempt.started,
        step_name(attempt.step, &attempt.step_id, &attempt.action),
        attempt.outcome.name(),
        attempt.took.as_millis(),
    );
    if let Some(exchange) = &attempt.exchange {
        text.push_str(&indented(&exchange_text(exchange), "  "));
    }
    text
}

fn exchange_text(exchange: &Exchange) -> String {
    let status = exchange.status.map(|status| status.to_string());
    let status = status.as_deref().unwrap_or("no answer");
    let mut text = format!("{} {} -> {status}", exchange.method, exchange.url);
    if let Some(id) = &exchange.request_id {
        let _ = write!(text, ", request {id}");
    }
    let (length, digest) = (exchange.sent_length, &exchange.sent_digest);
    let (sent, body) = if exchange.unsent {
        ("nothing was sent of", "not sent")
    } else {
        ("sent", "sent")
    };
    let _ = writeln!(text, "\n{sent} {length} bytes, sha256 {digest}");
    for (name, body) in [(body, &exchange.sent), ("answer", &exchange.answer)] {
        if let Some(body) = body.as_ref().filter(|body| !body.is_empty()) {
            let _ = writeln!(text, "{name}:");
            text.push_str(&indented(body, "  "));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exchange_without_a_connection_says_that_nothing_was_sent() {
        let exchange = |unsent| Exchange {
            method: "POST".into(),
            url: "https://lms/".into(),
            unsent,
            sent_length: 2,
            sent_digest: "d".into(),
            sent: Some("{}".into()),
            ..Exchange::default()
        };
        let told = |unsent| exchange_text(&exchange(unsent));
        let begin = "POST https://lms/ -> no answer\n";
        let unsent = "nothing was sent of 2 bytes, sha256 d\nnot sent:\n  {}\n";
        assert_eq!(told(true), format!("{begin}{unsent}"));
        assert_eq!(
            told(false),
            format!("{begin}sent 2 bytes, sha256 d\nsent:\n  {{}}\n")
        );
    }
}
