//! The expected state of every task, kept next to the store: who runs it, how many tries it spent,
//! what it waits for.

use std::collections::BTreeMap;

use aftertake::model::id::{EventId, TaskId};
use aftertake::model::plan::{OrderKey, PlannedTask};
use aftertake::model::recording::RecordingId;
use aftertake::model::task::{Attempt, Lane, StepNo};
use aftertake::model::transition::Transition;
use aftertake::store::Claim;

use super::keys::Manifests;
use super::rules;

/// How a promise was broken.
pub(super) type Broken = String;

/// A task as the store should have it.
#[derive(Debug, Default)]
struct Entry {
    rule: String,
    /// Its position in the order of arrival.
    arrival: usize,
    order: Option<OrderKey>,
    recording: Option<RecordingId>,
    lane: Option<Lane>,
    /// Of the newest claim.
    attempt: Attempt,
    runs: bool,
    step: StepNo,
    /// Tries spent on the current step.
    tries: u32,
    end: Option<End>,
    /// The rule's tries, and further claims that a crash interrupted: each would have buried
    /// the task.
    limit: u32,
    cut_off: u32,
    /// Whether a person or a replay queued it, so that its arrival does not determine its position.
    by_hand: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Done,
    Dead,
    Cancelled,
}

/// A notification of one step of a task.
#[derive(Debug)]
struct Hook {
    task: TaskId,
    /// How often the step began, and how often it sent something.
    begun: u32,
    sent: u32,
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    tasks: BTreeMap<TaskId, Entry>,
    hooks: BTreeMap<String, Hook>,
    /// Notifications in flight from tasks with an order.
    under_way: BTreeMap<[u8; 16], (String, TaskId)>,
    /// Events whose callback got a 200, each with its original tasks.
    pub(super) acknowledged: BTreeMap<EventId, Vec<TaskId>>,
    pub(super) manifests: Manifests,
}

impl Entry {
    /// Whether later tasks of its order may run.
    fn lets_pass(&self) -> bool {
        match self.end {
            None => false,
            Some(End::Dead) => self.order.as_ref().is_none_or(|order| !order.dead_blocks),
            Some(End::Done | End::Cancelled) => true,
        }
    }
}

impl Ledger {
    /// The store has these tasks from now on.
    pub(super) fn planned(&mut self, planned: &[PlannedTask], by_hand: bool) {
        for task in planned {
            let arrival = self.tasks.len();
            let entry = self.tasks.entry(task.id).or_default();
            entry.rule.clone_from(&task.rule);
            entry.arrival = arrival;
            entry.order.clone_from(&task.order_key);
            entry.by_hand = by_hand;
            entry.end = task.dead_on_arrival.is_some().then_some(End::Dead);
        }
    }

    /// A claim was returned.
    pub(super) fn begins(&mut self, claim: &Claim) -> Result<(), Broken> {
        let task = claim.task();
        let id = task.id;
        let arrival = self.tasks.len();
        let entry = self.tasks.entry(id).or_insert_with(|| Entry {
            arrival,
            rule: task.work.rule().into_owned(),
            ..Entry::default()
        });
        if entry.runs {
            return Err(format!("{id} is claimed while it runs"));
        }
        if claim.attempt() <= entry.attempt {
            let (new, old) = (claim.attempt(), entry.attempt);
            return Err(format!("{id}: attempt {new} is claimed after {old}"));
        }
        if task.step != entry.step {
            let (new, old) = (task.step, entry.step);
            return Err(format!("{id} is at step {new} and should be at {old}"));
        }
        entry.runs = true;
        entry.attempt = claim.attempt();
        entry.tries += 1;
        entry.end = None;
        entry.recording = task.recording;
        entry.lane = Some(task.lane.clone());
        entry.limit = rules::tries(task.revision, &task.work.rule());
        let allowed = entry.limit + 1 + entry.cut_off;
        if task.tries != entry.tries || task.tries > allowed {
            let (tries, spent) = (task.tries, entry.tries);
            return Err(format!(
                "{id}: try {tries} of {allowed} begins, and {spent} were begun"
            ));
        }
        let hook = task.id.webhook_id(task.step);
        let hook = self.hooks.entry(hook).or_insert(Hook {
            task: id,
            begun: 0,
            sent: 0,
        });
        hook.begun += 1;
        self.is_its_go(id)
    }

    /// Checks that the task may run now: its order, and its recording's turn.
    fn is_its_go(&self, id: TaskId) -> Result<(), Broken> {
        let this = &self.tasks[&id];
        for (other_id, other) in self.tasks.iter().filter(|(other, _)| **other != id) {
            let one_order = this.order.is_some() && this.order == other.order;
            if one_order && other.runs {
                return Err(format!(
                    "{id} begins while {other_id} of the same order runs"
                ));
            }
            let is_earlier = other.arrival < this.arrival && !other.by_hand && !this.by_hand;
            if one_order && is_earlier && !other.lets_pass() {
                return Err(format!("{id} overtakes {other_id} of the same order"));
            }
            let touches = |entry: &Entry| matches!(entry.lane, Some(Lane::Bucket(_)));
            let one_recording = this.recording.is_some() && this.recording == other.recording;
            if one_recording && other.runs && touches(this) && touches(other) {
                return Err(format!(
                    "{id} touches the recording that {other_id} touches"
                ));
            }
        }
        Ok(())
    }

    /// The store accepted a write under this claim.
    pub(super) fn wrote(&self, id: TaskId, attempt: Attempt) -> Result<(), Broken> {
        let entry = &self.tasks[&id];
        if entry.runs && entry.attempt == attempt {
            return Ok(());
        }
        let newest = entry.attempt;
        Err(format!(
            "{id}: a write of attempt {attempt} counts, and {newest} is the newest"
        ))
    }

    /// The store refused a write under this claim as outdated.
    pub(super) fn refused(&self, id: TaskId, attempt: Attempt) -> Result<(), Broken> {
        match self.wrote(id, attempt) {
            Ok(()) => Err(format!("{id}: a write of the newest claim is refused")),
            Err(_) => Ok(()),
        }
    }

    /// The store ended the claim with this settlement.
    pub(super) fn ended(
        &mut self,
        id: TaskId,
        attempt: Attempt,
        transition: &Transition,
    ) -> Result<(), Broken> {
        self.wrote(id, attempt)?;
        let Some(entry) = self.tasks.get_mut(&id) else {
            return Ok(());
        };
        entry.runs = false;
        match transition {
            Transition::Advance(_) => {
                entry.step += 1;
                entry.tries = 0;
                entry.cut_off = 0;
                self.manifests.settled(id);
            }
            Transition::Finish => entry.end = Some(End::Done),
            Transition::Bury { .. } => entry.end = Some(End::Dead),
            Transition::Cancel => entry.end = Some(End::Cancelled),
            Transition::Await { .. }
            | Transition::Wait { .. }
            | Transition::Undo { .. }
            | Transition::HandBack => {
                entry.tries -= 1;
            }
            Transition::RetryAfter { .. } => {}
        }
        if let Some(end) = entry.end {
            self.manifests.ended(id, end);
        }
        Ok(())
    }

    pub(super) fn requeued(&mut self, id: TaskId) {
        let entry = self.tasks.get_mut(&id).expect("a task that was planned");
        entry.tries = 0;
        entry.end = None;
        entry.by_hand = true;
    }

    pub(super) fn cancelled(&mut self, id: TaskId) {
        let entry = self.tasks.get_mut(&id).expect("a task that was planned");
        entry.end = Some(End::Cancelled);
        self.manifests.ended(id, End::Cancelled);
    }

    pub(super) fn end(&self, id: TaskId) -> Option<End> {
        self.tasks.get(&id)?.end
    }

    pub(super) fn are_settled(&self, tasks: &[TaskId]) -> bool {
        tasks.iter().all(|id| self.end(*id).is_some())
    }

    /// The tasks of a rule that are settled, or those that are not.
    pub(super) fn of_rule(&self, rule: &str, settled: bool) -> Vec<TaskId> {
        let mut tasks = self.settled(settled);
        tasks.retain(|id| self.tasks[id].rule == rule);
        tasks
    }

    /// The tasks that are settled, or those that are not.
    pub(super) fn settled(&self, settled: bool) -> Vec<TaskId> {
        let tasks = self.tasks.iter();
        tasks
            .filter(|(_, entry)| entry.end.is_some() == settled)
            .map(|(id, _)| *id)
            .collect()
    }

    pub(super) fn crashed(&mut self) {
        for entry in self.tasks.values_mut().filter(|entry| entry.runs) {
            entry.runs = false;
            entry.cut_off += u32::from(entry.tries > entry.limit);
        }
        self.under_way.clear();
    }

    /// A notification is being sent.
    pub(super) fn sends(&mut self, id: &str) -> Result<(), Broken> {
        let Some(hook) = self.hooks.get_mut(id) else {
            return Err(format!("{id} is sent and belongs to no step"));
        };
        hook.sent += 1;
        if hook.sent > hook.begun {
            let (sent, begun) = (hook.sent, hook.begun);
            return Err(format!("{id} is sent {sent} times in {begun} tries"));
        }
        let Some(order) = &self.tasks[&hook.task].order else {
            return Ok(());
        };
        let other = (id.to_owned(), hook.task);
        match self.under_way.insert(*order.as_bytes(), other) {
            Some((other, task)) if task != hook.task => Err(format!(
                "{id} is sent while {other} of the same order is in flight"
            )),
            _ => Ok(()),
        }
    }

    /// The notification is no longer in flight.
    pub(super) fn sent(&mut self, id: &str) {
        self.under_way.retain(|_, (other, _)| other != id);
    }
}
