//! What failures and successes say of a lane.
//!
//! A failure says something of the lane only if the task has had as many tries as others
//! needed: where a receiver refuses each event twice and takes it then, first and second tries
//! that fail are nothing new. They are excused, up to as many in a row as the lane has room
//! for: what nobody has seen end well for long enough is no pattern, but an outage.

/// Room for all that a process runs at a time, and more.
const ALL: u32 = 1024;

/// What is known of a lane.
#[derive(Debug)]
pub(super) struct Evidence {
    /// Failures in a row that count against the lane.
    failures: u32,
    /// Failures in a row that are excused.
    excused: u32,
    /// How many tries tasks needed of late.
    need: u32,
    /// Requests under way and excused failures that the lane may have together. It begins with
    /// one when the lane is well again, and doubles with each success.
    room: u32,
    /// Requests under way since the lane was last found well again.
    under_way: u32,
    /// How often it was found well again. What began before that says nothing any more.
    age: u32,
}

/// Since when a request is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Age(u32);

/// What a failure says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    Nothing,
    /// The lane should be left alone.
    Enough,
}

impl Default for Evidence {
    /// Of a lane of which nothing is known that speaks against it.
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
    /// Whether the lane is on its way back from an outage: it takes less than it could.
    pub(super) fn recovers(&self) -> bool {
        self.room < ALL
    }

    pub(super) fn has_room(&self) -> bool {
        !self.recovers() || self.under_way.saturating_add(self.excused) < self.room
    }

    /// A request is let through.
    pub(super) fn begins(&mut self) -> Age {
        self.under_way = self.under_way.saturating_add(1);
        Age(self.age)
    }

    /// It is under way no more.
    pub(super) fn ended(&mut self, begun: Age) {
        if begun == Age(self.age) {
            self.under_way = self.under_way.saturating_sub(1);
        }
    }

    /// The other side answered and works; a task succeeded at try number `tries`, if one did.
    pub(super) fn well(&mut self, tries: Option<u32>) {
        (self.failures, self.excused) = (0, 0);
        self.room = self.room.saturating_mul(2).clamp(1, ALL);
        if let Some(tries) = tries {
            self.need = self.needed(tries);
        }
    }

    /// Rises step by step: one task that took many tries is no pattern.
    fn needed(&self, tries: u32) -> u32 {
        if tries > self.need {
            tries.min(self.need.saturating_mul(2).saturating_add(1))
        } else {
            tries.max(self.need - 1).max(1)
        }
    }

    /// The lane is found well again after it was left alone.
    pub(super) fn well_again(&mut self) {
        self.age = self.age.wrapping_add(1);
        self.under_way = 0;
    }

    /// A step has failed at try number `tries`; `most` in a row are too many.
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

    /// The lane is left alone for a reason that is its own: it has to prove itself anew.
    pub(super) fn outage(&mut self) {
        self.room = 0;
    }

    /// Somebody else decided how the lane stands: what was counted before is of no use.
    pub(super) fn overruled(&mut self) {
        (self.failures, self.excused, self.room) = (0, 0, ALL);
    }
}

impl Says {
    fn enough_if(enough: bool) -> Self {
        if enough { Self::Enough } else { Self::Nothing }
    }
}
