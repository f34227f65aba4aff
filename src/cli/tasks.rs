//! `aftertake tasks …`: what is queued, what happened, and what a person does about it.

use std::fmt::Write;

use serde::Serialize;
use serde_json::{Value, json};

use super::args::StoreFlag;
use super::exit::{Exit, Stop};
use super::out::{Answer, OutFlags, tell};
use super::store;
use super::table::Table;
use crate::clock;
use crate::model::attempt::Outcome;
use crate::model::id::TaskId;
use crate::model::task::TaskState;
use crate::store::sqlite::{CancelOutcome, RetryOutcome, TaskDetail, TaskFilter, TaskRow};

/// List, show, retry and cancel tasks
#[derive(Debug, clap::Subcommand)]
pub(super) enum Tasks {
    /// List tasks, the newest first
    #[command(after_help = "Example:\n  aftertake tasks list --state dead")]
    List {
        /// Only tasks in this state
        #[arg(long, value_parser = TaskState::NAMES)]
        state: Option<String>,
        /// Only tasks of this rule
        #[arg(long)]
        rule: Option<String>,
        /// Only tasks of this room
        #[arg(long)]
        room: Option<String>,
        /// Tasks at the most
        #[arg(long, default_value_t = 1000)]
        limit: usize,
        #[command(flatten)]
        store: StoreFlag,
        #[command(flatten)]
        out: OutFlags,
    },
    /// Show everything that happened to a task
    #[command(after_help = "Example:\n  aftertake tasks show task_…")]
    Show {
        id: TaskId,
        #[command(flatten)]
        store: StoreFlag,
        #[command(flatten)]
        out: OutFlags,
    },
    /// Make dead or cancelled tasks ready again, at the step where they stopped
    #[command(after_help = "Example:\n  aftertake tasks retry task_…")]
    Retry {
        #[arg(required = true)]
        ids: Vec<TaskId>,
        #[command(flatten)]
        store: StoreFlag,
    },
    /// End tasks; one that runs is brought to a safe end first
    #[command(after_help = "Example:\n  aftertake tasks cancel task_…")]
    Cancel {
        #[arg(required = true)]
        ids: Vec<TaskId>,
        #[command(flatten)]
        store: StoreFlag,
    },
}

impl Tasks {
    pub(super) fn run(self) -> Result<Exit, Stop> {
        match self {
            Self::List {
                state,
                rule,
                room,
                limit,
                store,
                out,
            } => {
                let filter = TaskFilter {
                    state,
                    rule,
                    room,
                    limit,
                };
                let rows = store::desk(&store.store)?
                    .tasks(&filter)
                    .map_err(store::unavailable)?;
                out.print(&Listed(rows))?;
                Ok(Exit::Fine)
            }
            Self::Show { id, store, out } => {
                let detail = store::desk(&store.store)?
                    .task(id)
                    .map_err(store::unavailable)?;
                let detail = detail
                    .ok_or_else(|| Stop::say(Exit::Failed, format!("{id} is not in the store")))?;
                out.print(&Shown(detail))?;
                Ok(Exit::Fine)
            }
            Self::Retry { ids, store } => {
                let mut desk = store::desk(&store.store)?;
                each(&ids, |id| {
                    let outcome = desk.retry(id, clock::now()).map_err(store::unavailable)?;
                    Ok(match outcome {
                        RetryOutcome::Requeued => (true, "is ready again".to_owned()),
                        RetryOutcome::InState(state) => (
                            false,
                            format!("is {state}; only dead and cancelled tasks can be retried"),
                        ),
                        RetryOutcome::Unknown => (false, "is not in the store".to_owned()),
                    })
                })
            }
            Self::Cancel { ids, store } => {
                let mut desk = store::desk(&store.store)?;
                each(&ids, |id| {
                    let outcome = desk.cancel(id, clock::now()).map_err(store::unavailable)?;
                    Ok(match outcome {
                        CancelOutcome::Cancelled => (true, "is cancelled".to_owned()),
                        CancelOutcome::Requested => {
                            (true, "runs; the service brings it to a safe end".to_owned())
                        }
                        CancelOutcome::InState(state) => (false, format!("is {state} already")),
                        CancelOutcome::Unknown => (false, "is not in the store".to_owned()),
                    })
                })
            }
        }
    }
}

fn each(
    ids: &[TaskId],
    mut act: impl FnMut(TaskId) -> Result<(bool, String), Stop>,
) -> Result<Exit, Stop> {
    let mut exit = Exit::Fine;
    for &id in ids {
        let (done, told) = act(id)?;
        tell(&format!("{id} {told}"));
        if !done {
            exit = Exit::Failed;
        }
    }
    Ok(exit)
}

/// The JSON form of a task, with exactly these keys. `step` counts from 0.
pub(super) fn row_json(row: &TaskRow) -> Value {
    json!({
        "id": row.id, "event_id": row.event, "rule": row.rule, "state": row.state, "step": row.step,
        "tries": row.tries, "due": row.due, "failure": row.failure,
    })
}

pub(super) fn rows_text(rows: &[TaskRow], width: Option<usize>) -> String {
    let mut table = Table::new(&[
        "TASK", "RULE", "ROOM", "STATE", "STEP", "TRIES", "DUE", "WHY",
    ]);
    for row in rows {
        let failure = row.failure.as_ref().map(ToString::to_string);
        table.row([
            row.id.to_string(),
            row.rule.clone(),
            row.room.clone().unwrap_or_default(),
            row.state.to_owned(),
            row.step.to_string(),
            row.tries.to_string(),
            row.due.map(|due| due.to_string()).unwrap_or_default(),
            row.note.clone().or(failure).unwrap_or_default(),
        ]);
    }
    table.text(width)
}

struct Listed(Vec<TaskRow>);

impl Serialize for Listed {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(row_json))
    }
}

impl Answer for Listed {
    fn text(&self, width: Option<usize>) -> String {
        rows_text(&self.0, width)
    }
}

struct Shown(TaskDetail);

impl Serialize for Shown {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let detail = &self.0;
        let moves = detail.moves.iter().map(|one| {
            json!({ "from": one.from, "to": one.to, "size": one.size, "phase": one.phase.name() })
        });
        let document = json!({
            "task": row_json(&detail.row), "lane": detail.lane, "outputs": detail.outputs, "place": detail.place,
            "attempts": detail.attempts, "moves": moves.collect::<Value>(),
        });
        document.serialize(serializer)
    }
}

impl Answer for Shown {
    fn text(&self, _width: Option<usize>) -> String {
        let TaskDetail {
            row,
            lane,
            outputs,
            attempts,
            moves,
            place,
        } = &self.0;
        let mut text = format!(
            "{}  {}\nevent  {}\nrule   {}\nlane   {lane}\n",
            row.id, row.state, row.event, row.rule
        );
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<7}{value}");
        };
        if let Some(due) = row.due {
            line("due", due.to_string());
        }
        if let Some(note) = &row.note {
            line("waits", note.clone());
        }
        if let Some(why) = &row.failure {
            line("why", why.to_string());
        }
        if let Some(place) = place {
            line("place", place.to_string());
        }
        if !moves.is_empty() {
            let moved = moves
                .iter()
                .filter(|one| one.phase.name() == "moved")
                .count();
            line("moved", format!("{moved} of {} objects", moves.len()));
        }
        if !outputs.is_empty() {
            line("output", Value::from(outputs.clone()).to_string());
        }
        for attempt in attempts {
            let detail = match &attempt.outcome {
                Outcome::Failed(failure) => format!(": {failure}"),
                Outcome::Skipped(reason) => format!(": {reason}"),
                Outcome::Succeeded | Outcome::Interrupted => String::new(),
            };
            let sent = attempt.exchange.as_ref().map(|exchange| {
                let status = exchange
                    .status
                    .map_or("no answer".to_owned(), |status| status.to_string());
                format!("  {} {} -> {status}", exchange.method, exchange.url)
            });
            let _ = writeln!(
                text,
                "{}  {}  {} in {} ms{}{detail}",
                attempt.started,
                attempt.step_id,
                attempt.outcome.name(),
                attempt.took.as_millis(),
                sent.unwrap_or_default(),
            );
        }
        text
    }
}
