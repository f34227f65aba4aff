//! `aftertake tasks show`: everything that happened to one task, and why.

use std::fmt::Write;

use super::history::intervention_text;
use super::moves;
use crate::cli::exit::{Exit, Stop};
use crate::cli::out::{Answer, OutFlags};
use crate::cli::store;
use crate::cli::table::{indented, lines, one_line, step_name};
use crate::config::StoreUrl;
use crate::model::attempt::Exchange;
use crate::model::id::TaskId;
use crate::model::work::DeadTask;
use crate::operate::tasks::{self, AttemptLine, TaskStory};

pub(super) fn run(id: TaskId, url: &StoreUrl, out: OutFlags) -> Result<Exit, Stop> {
    let found = tasks::show(&*store::operator(url)?, id).map_err(store::unavailable)?;
    let story = found.ok_or_else(|| {
        let sentence = format!("{id} is not in {url}; `aftertake tasks list` shows those that are");
        Stop::with_message(Exit::Failed, sentence)
    })?;
    out.print(&story)?;
    Ok(Exit::Fine)
}

impl Answer for TaskStory {
    fn text(&self, _: Option<usize>) -> String {
        let mut text = format!("{}  {}\n", self.task.id, self.task.state);
        for (name, value) in facts(self) {
            let _ = writeln!(text, "  {name:<10} {}", one_line(&value));
        }
        if !self.attempts.is_empty() {
            text.push_str("\nattempts\n");
        }
        for attempt in &self.attempts {
            text.push_str(&indented(&lines(&attempt_text(attempt)), "  "));
        }
        text.push_str(&moves::text(&self.moves));
        if !self.interventions.is_empty() {
            text.push_str("\nby hand\n");
        }
        for intervention in &self.interventions {
            let line = intervention_text(intervention);
            let _ = writeln!(text, "  {}", one_line(&line));
        }
        text
    }
}

/// The next step, with its id if it was tried: the rules may have changed since, so only an attempt
/// says the id.
fn next_step(story: &TaskStory) -> String {
    let number = story.task.step;
    let mut attempts = story.attempts.iter().rev();
    let attempt = attempts.find(|attempt| attempt.step == number);
    attempt.map_or_else(
        || number.to_string(),
        |attempt| step_name(number, &attempt.step_id, &attempt.action),
    )
}

fn facts(story: &TaskStory) -> impl Iterator<Item = (&'static str, String)> {
    let task = &story.task;
    let event = match (&story.event_type, story.received) {
        (Some(kind), Some(received)) => format!("{} {kind}, received {received}", task.event_id),
        _ => task.event_id.to_string(),
    };
    let moved = story.named.as_ref().filter(|_| story.named != story.place);
    let outputs = (!story.outputs.is_empty()).then_some(&story.outputs);
    [
        ("rule", Some(task.rule.clone())),
        ("event", Some(event)),
        ("room", task.room.clone()),
        ("step", Some(next_step(story))),
        ("tries", Some(task.tries.to_string())),
        ("lane", Some(story.lane.clone())),
        ("due", task.due.map(|due| due.to_string())),
        ("waits", task.waits.clone()),
        ("ends", task.ends.clone()),
        ("leaves", task.leaves.clone()),
        ("why", task.failure.as_ref().map(ToString::to_string)),
        ("recording", recording(story)),
        ("moved from", moved.map(ToString::to_string)),
        ("reports", story.reports.as_ref().map(reports)),
        (
            "outputs",
            outputs.and_then(|outputs| serde_json::to_string(outputs).ok()),
        ),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
}

fn reports(death: &DeadTask) -> String {
    let (task, rule, failure) = (death.task, &death.rule, &death.failure);
    format!("{task} (rule {rule}) died: {failure}")
}

fn recording(story: &TaskStory) -> Option<String> {
    let place = story.place.as_ref()?;
    Some(match (story.replaced_by, story.incomplete_by) {
        (Some(by), _) => format!("{by} has replaced it at {place}"),
        (None, Some(by)) => {
            format!("{place} is incomplete: {by} has replaced a part of it")
        }
        (None, None) => place.to_string(),
    })
}

fn attempt_text(attempt: &AttemptLine) -> String {
    let failure = attempt.failure.as_ref().map(ToString::to_string);
    let why = failure.or_else(|| attempt.reason.clone());
    let why = why.map_or_else(String::new, |why| format!(": {}", one_line(&why)));
    let mut text = format!(
        "{}  {} {} in {} ms{why}\n",
        attempt.started,
        step_name(attempt.step, &attempt.step_id, &attempt.action),
        attempt.outcome,
        attempt.took_ms,
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
