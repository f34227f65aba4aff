//! Reserves room for the tasks of an event before they are stored.

use super::Workers;
use super::lane::Permit;
use crate::model::id::TaskId;
use crate::model::plan::Plan;
use crate::store::Claim;

/// Room for some of a plan's tasks. Dropping it releases the room.
#[derive(Debug)]
pub struct Reservation<'a> {
    workers: &'a Workers,
    permits: Vec<(TaskId, Permit)>,
    /// Number of tasks of the plan, with or without a permit.
    planned: usize,
}

impl Workers {
    /// Reserves room for as many of the plan's tasks as can run now.
    pub fn reserve(&self, plan: &Plan) -> Reservation<'_> {
        let now = self.parts.clock.moment();
        let permit = |lane| {
            let is_open = !self.is_draining();
            is_open.then(|| self.lanes().permit_at(lane, now)).flatten()
        };
        let startable = plan
            .tasks
            .iter()
            .filter(|task| task.dead_on_arrival.is_none());
        let permits = startable
            .filter_map(|task| Some((task.id, permit(&task.lane)?)))
            .collect();
        Reservation {
            workers: self,
            permits,
            planned: plan.tasks.len(),
        }
    }
}

impl Reservation<'_> {
    /// The tasks with room.
    pub fn tasks(&self) -> Vec<TaskId> {
        self.permits.iter().map(|(id, _)| *id).collect()
    }

    /// Runs these claims in the reserved room, once the plan is stored. Wakes the claiming loop for
    /// the plan's other tasks.
    ///
    /// # Panics
    ///
    /// If there is no room for a claim: a store starts only what [`Self::tasks`] named.
    pub fn run(mut self, claims: Vec<Claim>) {
        let started = claims.len();
        for claim in claims {
            let mut permits = self.permits.iter();
            let held = permits.position(|(id, _)| *id == claim.task().id);
            let held = held.expect("a store starts only tasks that there is room for");
            let (_, permit) = self.permits.swap_remove(held);
            self.workers.run(claim, permit);
        }
        if started < self.planned {
            self.workers.lanes().waker().wake();
        }
    }
}

impl Drop for Reservation<'_> {
    /// The claiming loop may have been refused room that was reserved and not used.
    fn drop(&mut self) {
        if !std::mem::take(&mut self.permits).is_empty() {
            self.workers.lanes().waker().wake();
        }
    }
}
