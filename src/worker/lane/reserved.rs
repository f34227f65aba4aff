//! The permits for one claim.

use std::collections::BTreeMap;

use super::permit::{NoPermit, Permit};
use crate::model::breaker::Shut;
use crate::model::moment::Moment;
use crate::model::task::Lane;
use crate::store::LaneRoom;

#[derive(Debug, Default)]
pub struct Reserved {
    pub(super) permits: BTreeMap<Lane, Vec<Permit>>,
    /// Whether some lane had no permit left.
    pub full: bool,
    /// When a lane that is shut now opens again.
    pub opens: Option<Moment>,
}

impl Reserved {
    /// A lane with a permit does not count: the store says whether there is more to claim.
    pub(super) fn note(&mut self, lane: &Lane, refused: &NoPermit) {
        if self.permits.contains_key(lane) {
            return;
        }
        match refused {
            NoPermit::Full | NoPermit::Shut(Shut::Full) => self.full = true,
            NoPermit::Shut(Shut::ForNow) => {}
            NoPermit::Shut(Shut::Until(opens)) => {
                self.opens = Some(self.opens.map_or(*opens, |other| other.min(*opens)));
            }
        }
    }

    pub fn room(&self) -> Vec<LaneRoom> {
        let room = |(lane, permits): (&Lane, &Vec<Permit>)| LaneRoom {
            lane: lane.clone(),
            free: permits.len(),
            whom: permits.iter().find_map(Permit::probe).unwrap_or_default(),
        };
        self.permits.iter().map(room).collect()
    }

    pub fn take(&mut self, lane: &Lane) -> Option<Permit> {
        self.permits.get_mut(lane)?.pop()
    }
}

/// Returning unused permits must not wake the loop, or it spins while a lane is full. A caller who
/// was refused one of them meanwhile wakes it.
impl Drop for Reserved {
    fn drop(&mut self) {
        let left = std::mem::take(&mut self.permits);
        left.into_values().flatten().for_each(Permit::give_back);
    }
}
