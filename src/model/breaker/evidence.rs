//! What failures and successes say about a lane.
//!
//! A failure counts against the lane only if its task has had as many tries as other tasks needed.
//! If a receiver refuses each event twice before it takes it, failed first and second tries are
//! normal and are excused. The number of excused failures in a row is limited: after too many
//! without a success it is an outage.

/// More than a process ever runs at a time.
const ALL: u32 = 1024;

#[derive(Debug)]
pub(super) struct Evidence {
    failures: u32,
    excused: u32,
    /// How many tries tasks needed recently.
    need: u32,
    /// How many running requests and excused failures the lane may have together. Starts at one
    /// when the lane recovers, and doubles with each success.
    room: u32,
    /// Running requests that began after the last recovery.
    under_way: u32,
    /// Number of recoveries. Requests from before the last one no longer count.
    age: u32,
}

/// The recovery count when a request began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Age(u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    Nothing,
    /// The breaker should open.
    Enough,
}

impl Default for Evidence {
    /// A lane without known failures.
    fn default() -> Self {
        Self {
            failures: 0,
            excused: 0,
            need: 1,
            room: ALL,
            under_way: 0,
            age: 0,
        }
    }
}

impl Evidence {
    /// Whether the lane is recovering from an outage and still limited.
    pub(super) fn recovers(&self) -> bool {
        self.room < ALL
    }

    pub(super) fn has_room(&self) -> bool {
        !self.recovers() || self.under_way.saturating_add(self.excused) < self.room
    }

    pub(super) fn begins(&mut self) -> Age {
        self.under_way = self.under_way.saturating_add(1);
        Age(self.age)
    }

    pub(super) fn ended(&mut self, begun: Age) {
        if begun == Age(self.age) {
            self.under_way = self.under_way.saturating_sub(1);
        }
    }

    /// The other side works. `tries` is set if a task succeeded, at this try.
    pub(super) fn well(&mut self, tries: Option<u32>) {
        (self.failures, self.excused) = (0, 0);
        self.room = self.room.saturating_mul(2).clamp(1, ALL);
        if let Some(tries) = tries {
            self.need = self.needed(tries);
        }
    }

    /// Increases by steps: one task that took many tries is no pattern.
    fn needed(&self, tries: u32) -> u32 {
        if tries > self.need {
            tries.min(self.need.saturating_mul(2).saturating_add(1))
        } else {
            tries.max(self.need - 1).max(1)
        }
    }

    /// The lane works again after the breaker was open.
    pub(super) fn well_again(&mut self) {
        self.age = self.age.wrapping_add(1);
        self.under_way = 0;
    }

    /// A step failed at try number `tries`; at `most` counted failures in a row the breaker opens.
    pub(super) fn failed(&mut self, begun: Age, tries: u32, most: u32) -> Says {
        if begun != Age(self.age) {
            return Says::Nothing;
        }
        if tries < self.need {
            self.excused = self.excused.saturating_add(1);
            return Says::enough_if(self.excused >= self.room);
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures >= most {
            self.outage();
        }
        Says::enough_if(self.failures >= most)
    }

    /// The breaker opened because of the lane itself: start again with no room.
    pub(super) fn outage(&mut self) {
        self.room = 0;
    }

    /// A person or the store decided the lane's state: the counts no longer apply.
    pub(super) fn overruled(&mut self) {
        (self.failures, self.excused, self.room) = (0, 0, ALL);
    }
}

impl Says {
    fn enough_if(enough: bool) -> Self {
        if enough { Self::Enough } else { Self::Nothing }
    }
}
