//! The time that has certainly come, even if this machine's clock is wrong.
//!
//! Deleted history cannot be restored, and a clock can be years ahead at a start (a board without a
//! battery, a restored virtual machine). So retention does not trust the clock alone. The certain
//! time grows by the monotonic clock while a process runs. The time between two processes is added
//! when a recording arrives whose `end_time` agrees with the clock.

use std::time::Duration;

use super::event::Event;
use super::moment::{Moment, Present};
use super::time::Timestamp;

/// Tolerance between the end of a recording and the clock. Recorders announce a file within minutes
/// of its end, and retention counts in days.
const AGREES: Duration = Duration::from_hours(24);

/// The smallest progress worth a write.
const STEP: Duration = Duration::from_mins(10);

/// A time that has certainly come. Only this decides what retention deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Certain(Timestamp);

impl Certain {
    pub const fn time(self) -> Timestamp {
        self.0
    }
}

/// What a process knows about the time between two checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reckoning {
    kept: Timestamp,
    /// The certain time now, including progress that is not stored yet.
    known: Timestamp,
    moment: Moment,
}

impl Reckoning {
    /// Continues from the check `before` (`None` at the start of a process) to `now`. `kept` is the
    /// stored certain time.
    #[must_use]
    pub fn go_on(before: Option<Self>, kept: Timestamp, now: Present) -> Self {
        let passed = before.map_or(Duration::ZERO, |before| now.moment.since(before.moment));
        let known = before.filter(|before| before.kept == kept);
        let known = known.map_or(kept, |before| before.known);
        Self {
            kept,
            known: known.plus(passed),
            moment: now.moment,
        }
    }

    /// The certain time, at most `now` by the wall clock.
    pub fn certain(self, now: Timestamp) -> Certain {
        Certain(self.known.min(now))
    }

    /// Whether the wall clock is behind the certain time by more than clocks differ.
    pub fn finds_behind(self, now: Timestamp) -> bool {
        self.known.since(now) > STEP
    }

    /// Self after `certain` is stored, or `None` if that is not worth a write.
    pub fn to_keep(self, certain: Certain) -> Option<Self> {
        let kept = certain.time();
        (kept >= self.kept.plus(STEP)).then_some(Self { kept, ..self })
    }
}

/// The certain time that an event proves: the recorder's clock agrees with ours.
pub fn evidence_of(event: &Event) -> Option<Timestamp> {
    let (received, end) = (event.received, event.fields.end_time?);
    let apart = received.since(end).max(end.since(received));
    (apart <= AGREES).then_some(received)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::event::{EventType, Fields};
    use crate::model::id::EventId;
    use crate::model::recorder::Recorder;

    const NOW: Timestamp = Timestamp::from_millis(1_772_413_200_000);
    const HOUR: Duration = Duration::from_hours(1);
    const YEARS: Duration = Duration::from_hours(24 * 3650);

    fn at(time: Timestamp, running: Duration) -> Present {
        Present {
            time,
            moment: Moment::after(running),
        }
    }

    #[test]
    fn clock_that_is_ahead_brings_nothing_but_what_the_process_has_run() {
        let ahead = NOW.plus(YEARS);
        let start = Reckoning::go_on(None, NOW, at(ahead, HOUR * 7));
        assert_eq!(start.certain(ahead).time(), NOW);
        let later = Reckoning::go_on(Some(start), NOW, at(ahead, HOUR * 9));
        assert_eq!(later.certain(ahead).time(), NOW.plus(HOUR * 2));
        // Stored progress is not counted twice.
        let kept = later.to_keep(later.certain(ahead)).unwrap();
        let at_last = Reckoning::go_on(Some(kept), NOW.plus(HOUR * 2), at(ahead, HOUR * 10));
        assert_eq!(at_last.certain(ahead).time(), NOW.plus(HOUR * 3));
        assert_eq!(at_last.to_keep(kept.certain(ahead)), None);
    }

    #[test]
    fn clock_that_is_behind_is_believed_and_loses_nothing_that_was_known() {
        let start = Reckoning::go_on(None, NOW, at(NOW, HOUR));
        let behind = NOW.minus(YEARS);
        let later = Reckoning::go_on(Some(start), NOW, at(behind, HOUR * 2));
        let certain = later.certain(behind);
        assert_eq!((certain.time(), later.to_keep(certain)), (behind, None));
        assert!(later.finds_behind(behind));
        let known = NOW.plus(HOUR);
        assert!(later.finds_behind(known.minus(STEP * 2)));
        assert!(!later.finds_behind(known.minus(STEP)));
        let right = Reckoning::go_on(Some(later), NOW, at(NOW.plus(HOUR * 2), HOUR * 3));
        assert_eq!(right.certain(NOW.plus(HOUR * 2)).time(), NOW.plus(HOUR * 2));
    }

    #[test]
    fn what_the_store_has_learned_meanwhile_counts() {
        let start = Reckoning::go_on(None, NOW, at(NOW.plus(YEARS), HOUR));
        let told = NOW.plus(YEARS);
        let later = Reckoning::go_on(Some(start), told, at(told.plus(HOUR), HOUR * 2));
        assert_eq!(later.certain(told.plus(HOUR)).time(), told.plus(HOUR));
    }

    #[test]
    fn only_an_event_that_ended_about_when_it_came_tells_the_time() {
        let event = |end_time| Event {
            id: EventId::derive(None, &[]),
            recorder: Recorder::SparkRtc,
            received: NOW,
            body: bytes::Bytes::new(),
            fields: Fields {
                end_time,
                ..Fields::new(EventType::RecordFileComplete)
            },
        };
        for near in [NOW, NOW.minus(HOUR * 24), NOW.plus(HOUR * 24)] {
            assert_eq!(evidence_of(&event(Some(near))), Some(NOW));
        }
        for far in [NOW.minus(HOUR * 25), NOW.plus(HOUR * 25)] {
            assert_eq!(evidence_of(&event(Some(far))), None);
        }
        assert_eq!(evidence_of(&event(None)), None);
    }
}
