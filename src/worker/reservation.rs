//! Joins the callback listener to the workers: what a stored event starts, runs.

use crate::http::callback::{Handoff, Reservation};
use crate::model::id::TaskId;
use crate::model::plan::Plan;
use crate::store::Claim;
use crate::worker::Workers;
use crate::worker::lane::Permit;

/// Hands stored tasks to the workers.
#[derive(Debug)]
pub(super) struct ToWorkers(pub(super) Workers);

struct Reserved {
    workers: Workers,
    permits: Vec<(TaskId, Permit)>,
    /// Tasks of the plan, those without a permit included.
    planned: usize,
}

impl Handoff for ToWorkers {
    fn reserve(&self, plan: &Plan) -> Box<dyn Reservation> {
        let permit = |lane| {
            if self.0.is_draining() {
                None
            } else {
                self.0.lanes().permit(lane)
            }
        };
        let startable = plan.tasks.iter().filter(|task| task.doomed.is_none());
        let permits = startable
            .filter_map(|task| Some((task.id, permit(&task.lane)?)))
            .collect();
        Box::new(Reserved {
            workers: self.0.clone(),
            permits,
            planned: plan.tasks.len(),
        })
    }
}

impl Drop for Reserved {
    /// What was reserved and not used is room that the claiming loop may have looked for.
    fn drop(&mut self) {
        if !std::mem::take(&mut self.permits).is_empty() {
            self.workers.lanes().waker().wake();
        }
    }
}

impl Reservation for Reserved {
    fn start(&self) -> Vec<TaskId> {
        self.permits.iter().map(|(id, _)| *id).collect()
    }

    fn run(mut self: Box<Self>, claims: Vec<Claim>) {
        let started = claims.len();
        for claim in claims {
            let held = self
                .permits
                .iter()
                .position(|(id, _)| *id == claim.task().id);
            let held = held.expect("a store starts only tasks that it was asked to start");
            let (_, permit) = self.permits.swap_remove(held);
            self.workers.run(claim, permit);
        }
        if started < self.planned {
            self.workers.lanes().waker().wake();
        }
    }
}
