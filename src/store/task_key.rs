//! The key of a task in the store.

/// Ordered by acceptance: by the key of the task's event, then by its number among the event's
/// tasks. So the tasks of an event are a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct TaskKey(i64);

impl TaskKey {
    const BITS: u32 = 16;

    /// How many tasks an event can have.
    pub(super) const MOST: i64 = 1 << Self::BITS;

    /// `number` is less than [`Self::MOST`].
    pub(super) const fn new(event: i64, number: i64) -> Self {
        Self(event << Self::BITS | number)
    }

    pub(super) const fn from_stored(key: i64) -> Self {
        Self(key)
    }

    pub(super) const fn stored(self) -> i64 {
        self.0
    }

    pub(super) const fn event(self) -> i64 {
        self.0 >> Self::BITS
    }

    pub(super) const fn number(self) -> i64 {
        self.0 & (Self::MOST - 1)
    }

    /// The keys that the event's tasks can have: the first, and the end, which is no longer one.
    pub(super) const fn of_event(event: i64) -> (Self, Self) {
        (Self::new(event, 0), Self::new(event + 1, 0))
    }

    /// The range of this key alone, like that of [`Self::of_event`].
    pub(super) const fn alone(self) -> (Self, Self) {
        (self, Self(self.0 + 1))
    }

    /// The key after this one; `None` if no other task of the event fits behind it.
    pub(super) const fn next(self) -> Option<Self> {
        if self.number() + 1 < Self::MOST {
            Some(Self(self.0 + 1))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_has_event_and_number_and_sorts_by_both() {
        let last = TaskKey::new(7, TaskKey::MOST - 1);
        assert_eq!((last.event(), last.number()), (7, TaskKey::MOST - 1));
        assert_eq!(last.next(), None);
        assert_eq!(TaskKey::new(7, 0).next(), Some(TaskKey::new(7, 1)));
        let (first, end) = TaskKey::of_event(7);
        assert!(first <= last && last < end && end == TaskKey::new(8, 0));
        assert_eq!(TaskKey::from_stored(last.stored()), last);
    }
}
