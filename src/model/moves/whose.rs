//! Whose recording is at the key that an event names, once a task has moved one away from there.
//!
//! A recorder may have written there for another recording since. Its event names the key, too.

use super::{MadeBy, SameOrigin};
use crate::model::recording::Origin;

/// The newest event of one origin that names a key, among those that came after another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    pub origin: Origin,
    /// Its place in the order of acceptance.
    pub event: i64,
}

/// A completed move from the key, by a task of any recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Took {
    pub origin: Option<Origin>,
    /// The newest event that was stored before it was planned.
    pub known: i64,
}

/// What the key of the event that asks was used for since a move from there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Since {
    /// No other recording that is still there, as far as events tell.
    #[default]
    Nothing,
    /// Another one was announced: see [`is_another_announced`].
    Another,
}

/// Whether one of these events announces a recording of surely another origin than that of the event
/// that `asks`, which was written after everything up to event `since`, and which no task has moved
/// away.
pub fn is_another_announced(
    asks: Option<&Origin>,
    since: i64,
    announced: &[Announced],
    took: &[Took],
) -> bool {
    announced.iter().any(|one| {
        let is_gone = |took: &Took| {
            let may_be = SameOrigin::of_job(took.origin.as_ref(), Some(&one.origin));
            took.known >= one.event && may_be != SameOrigin::No
        };
        one.event > since
            && SameOrigin::of(Some(&one.origin), asks) == SameOrigin::No
            && !took.iter().any(is_gone)
    })
}

/// The newest of these moves from a key that took what the event announces, or an earlier state of
/// it. They are in order, newest first.
pub fn own(made: &[MadeBy]) -> Option<&MadeBy> {
    let is_own = |made: &&MadeBy| {
        (made.is_of_this_key && made.origin <= SameOrigin::Likely) || made.took_what_is_announced()
    };
    made.iter().find(is_own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Timestamp;

    fn origin(job: &str, start: i64) -> Origin {
        Origin {
            job: job.to_owned(),
            start: Some(Timestamp::from_millis(start)),
        }
    }

    #[test]
    fn another_recording_is_announced_by_a_later_event_of_another_origin_until_it_is_moved() {
        let a = origin("a", 1);
        let took = |job: &str, known| Took {
            origin: Some(origin(job, 7)),
            known,
        };
        for (by, event, moved, is_another) in [
            (origin("b", 1), 3, vec![], true),
            (origin("a", 2), 3, vec![], true),
            // The move took what was there by then.
            (origin("b", 1), 2, vec![], false),
            (origin("a", 1), 3, vec![], false),
            (origin("b", 1), 3, vec![took("b", 3)], false),
            (origin("b", 1), 3, vec![took("b", 2)], true),
            (origin("b", 1), 3, vec![took("a", 4)], true),
            (
                origin("b", 1),
                3,
                vec![Took {
                    origin: None,
                    known: 3,
                }],
                false,
            ),
        ] {
            let label = format!("{by:?} {event} {moved:?}");
            let announced = [Announced { origin: by, event }];
            let found = is_another_announced(Some(&a), 2, &announced, &moved);
            assert_eq!(found, is_another, "{label}");
            let unknown = is_another_announced(None, 2, &announced, &moved);
            assert!(!unknown, "without a job it may be any: {label}");
        }
    }
}
