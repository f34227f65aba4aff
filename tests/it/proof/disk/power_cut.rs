//! Cuts the power at every moment of a trace and checks what a store then still has.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use aftertake::model::id::EventId;
use aftertake::store::lists::{EventFilter, Page, TaskFilter};
use aftertake::store::operator::Operator;

use super::disk_model::DiskModel;
use super::trace::{Record, What};
use crate::proof::load::Call;
use crate::support::database::Database;
use crate::support::folder_in_memory;

/// Random power cuts per run, in addition to one before every response.
const SAMPLES: usize = 60;

/// Checks runs of the program on one disk.
pub(super) struct PowerCut {
    pub(super) platter: DiskModel,
    acknowledged: BTreeSet<EventId>,
    /// The events of a store on the disk; cleared when the disk changes.
    stored: Option<BTreeSet<EventId>>,
    chance: fastrand::Rng,
    tasks: usize,
}

impl PowerCut {
    pub(super) fn new(seed: u64, tasks: usize) -> Self {
        Self {
            platter: DiskModel::default(),
            acknowledged: BTreeSet::new(),
            stored: None,
            chance: fastrand::Rng::with_seed(seed),
            tasks,
        }
    }

    /// Checks one run. Before every response the power is cut and everything unsynced is lost; at
    /// random moments in between, parts of it survive. `Err` says what is wrong.
    pub(super) fn watch(&mut self, trace: &[Record], calls: &[Call]) -> Result<(), String> {
        let mut asked = asked(calls);
        for record in trace {
            self.platter.apply(record);
            match record.what {
                What::Answered { port, status } => {
                    let posts = asked.get_mut(&(record.process, port));
                    let id = posts.and_then(VecDeque::pop_front).expect("who asked");
                    if status == 200 {
                        self.acknowledged.insert(id);
                        self.cut_hard()?;
                    }
                }
                What::Synced => self.stored = None,
                _ if self.chance.usize(..trace.len()) < SAMPLES => self.cut_softly()?,
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    fn cut_hard(&mut self) -> Result<(), String> {
        let stored = match self.stored.take() {
            Some(stored) => stored,
            None => reopened(&self.platter.survivors(&mut || false), self.tasks)?,
        };
        let lost = self.acknowledged.difference(&stored).count();
        self.stored = Some(stored);
        self.report(lost, "what was not synced")
    }

    fn cut_softly(&mut self) -> Result<(), String> {
        let chance = &mut self.chance;
        let kept = reopened(&self.platter.survivors(&mut || chance.bool()), self.tasks)?;
        let lost = self.acknowledged.difference(&kept).count();
        self.report(lost, "parts of what was not synced")
    }

    fn report(&self, lost: usize, with: &str) -> Result<(), String> {
        if lost == 0 {
            return Ok(());
        }
        let all = self.acknowledged.len();
        Err(format!(
            "{lost} of {all} acknowledged callbacks are lost with {with}"
        ))
    }
}

/// The callbacks posted on each connection, in order.
fn asked(calls: &[Call]) -> BTreeMap<(u32, u16), VecDeque<EventId>> {
    let asked = calls.iter().map(|call| {
        let ids = call.posts.iter().map(|post| post.id).collect();
        ((call.process, call.port), ids)
    });
    asked.collect()
}

/// The events in a store opened on these files.
fn reopened(files: &BTreeMap<&str, Vec<u8>>, tasks: usize) -> Result<BTreeSet<EventId>, String> {
    let folder = folder_in_memory();
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    let operator = Database::of_program(folder.path()).recovered()?;
    let rows = operator
        .events(&EventFilter::default(), Page::newest(usize::MAX))
        .unwrap();
    let stored: BTreeSet<EventId> = rows.iter().map(|row| row.id).collect();
    let mut due: BTreeMap<EventId, usize> = rows.iter().map(|row| (row.id, 0)).collect();
    for task in operator
        .tasks(&TaskFilter::default(), Page::newest(usize::MAX))
        .unwrap()
    {
        *due.get_mut(&task.event).expect("a task has an event") += 1;
    }
    if let Some((id, found)) = due.iter().find(|(_, found)| **found != tasks) {
        return Err(format!("{id} is half stored, with {found} tasks"));
    }
    Ok(stored)
}
