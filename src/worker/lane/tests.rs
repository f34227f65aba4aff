//! Tests of lanes: who gets a permit, and when a released one wakes the loop.

use std::time::Duration;

use super::*;
use crate::model::breaker::{End, Sign};
use crate::model::failure::{Failure, FailureKind};
use crate::model::retry::Jitter;
use crate::model::time::Timestamp;

const NONE: [(Lane, usize); 0] = [];

const NOW: Present = Present {
    time: Timestamp::from_millis(1_772_413_200_000),
    moment: Moment::after(Duration::from_secs(5)),
};

fn lane(name: &str) -> Lane {
    Lane::Destination(name.into())
}

#[test]
fn full_lane_gives_no_permit_until_one_is_dropped() {
    let lanes = Lanes::new([(lane("a"), 1), (lane("b"), 1)]);
    let held = lanes.permit(&lane("a")).unwrap();
    assert!(lanes.permit(&lane("a")).is_none() && lanes.permit(&lane("b")).is_some());
    assert!(lanes.permit(&lane("unknown")).is_none());
    drop(held);
    assert!(lanes.permit(&lane("a")).is_some());
}

#[test]
fn lane_that_changes_its_width_counts_the_steps_that_run_in_it() {
    let lanes = Lanes::new([(lane("a"), 1)]);
    let mut held = vec![lanes.permit(&lane("a")).unwrap()];
    lanes.replace([(lane("a"), 3)], [], NOW);
    held.extend([(); 2].map(|()| lanes.permit(&lane("a")).unwrap()));
    assert!(lanes.permit(&lane("a")).is_none());
    lanes.replace([(lane("a"), 2)], [], NOW);
    held.pop();
    assert!(lanes.permit(&lane("a")).is_none());
    held.pop();
    assert!(lanes.permit(&lane("a")).is_some());
}

#[test]
fn lane_that_is_gone_gives_no_permit_and_is_back_with_the_steps_that_still_run() {
    let lanes = Lanes::new([(lane("a"), 1), (lane("b"), 1)]);
    let held = lanes.permit(&lane("a")).unwrap();
    lanes.replace([(lane("b"), 1)], [], NOW);
    assert!(lanes.permit(&lane("a")).is_none());
    assert!(
        !lanes.reserve(NOW.moment).full,
        "nobody can wait for a lane that is gone"
    );
    lanes.replace([(lane("a"), 1), (lane("b"), 1)], [], NOW);
    assert!(lanes.permit(&lane("a")).is_none());
    drop(held);
    assert!(lanes.permit(&lane("a")).is_some());
    lanes.replace(NONE, [], NOW);
    assert!(lanes.open().is_empty());
}

#[test]
fn lane_stands_as_it_stood_when_others_are_put_in_force_and_a_new_one_as_it_is_stored() {
    let lanes = Lanes::new([(lane("a"), 1)]);
    let permit = lanes.permit(&lane("a")).unwrap();
    let why = Failure::new(FailureKind::Gone, "r");
    permit.record(end(&why), NOW, Jitter::MOST).unwrap();
    drop(permit);
    let paused = lanes.state(&lane("a")).unwrap();
    assert!(paused.paused.is_some());
    lanes.replace(
        [(lane("a"), 2), (lane("b"), 2)],
        [(lane("b"), paused.clone())],
        NOW,
    );
    assert_eq!(lanes.state(&lane("a")), Some(paused));
    assert!(lanes.permit(&lane("a")).is_none() && lanes.permit(&lane("b")).is_none());
}

#[tokio::test]
async fn other_lanes_wake_the_loop() {
    let lanes = Lanes::new(NONE);
    let mut woken = told(lanes.waker());
    woken();
    lanes.replace([(lane("a"), 1)], [], NOW);
    assert!(woken());
}

#[test]
fn one_wide_lane_leaves_room_for_the_others() {
    let lanes = Lanes::new([(lane("wide"), 10 * RUNNING_LIMIT), (lane("small"), 2)]);
    let reserved = lanes.reserve(NOW.moment);
    let room: Vec<_> = reserved
        .room()
        .into_iter()
        .map(|room| (room.lane, room.free))
        .collect();
    assert_eq!(room, [(lane("small"), 2), (lane("wide"), CLAIM_BATCH)]);
    assert!(!reserved.full);
}

#[test]
fn lanes_that_hang_leave_every_other_lane_its_first_step() {
    let lanes = Lanes::new([(lane("hangs"), 2 * RUNNING_LIMIT), (lane("other"), 2)]);
    let hanging = std::iter::from_fn(|| lanes.permit(&lane("hangs")));
    let hanging: Vec<_> = hanging.collect();
    assert_eq!(hanging.len(), RUNNING_LIMIT);
    let first = lanes.permit(&lane("other"));
    assert!(first.is_some() && lanes.permit(&lane("other")).is_none());
    drop(first);
    assert!(lanes.permit(&lane("other")).is_some());
}

#[test]
fn claim_takes_what_the_rate_lets_through_and_is_told_when_there_is_more() {
    let rate = Rate {
        requests: 50,
        per: Duration::from_secs(1),
    };
    let limits = LaneLimits {
        rate: Some(rate),
        ..LaneLimits::from(100)
    };
    let lanes = Lanes::new([(lane("a"), limits)]);
    let mut reserved = lanes.reserve(NOW.moment);
    assert_eq!(reserved.room()[0].free, 5);
    for _ in 0..5 {
        reserved.take(&lane("a")).unwrap().begin();
    }
    let next = lanes.reserve(NOW.moment);
    assert!(next.room().is_empty() && !next.full);
    assert_eq!(next.opens, Some(NOW.moment.plus(Duration::from_millis(20))));
}

#[test]
fn further_step_of_a_lane_needs_its_place_in_the_rate() {
    let rate = Rate {
        requests: 1,
        per: Duration::from_secs(1),
    };
    let limits = LaneLimits {
        rate: Some(rate),
        ..LaneLimits::from(1)
    };
    let lanes = Lanes::new([(lane("a"), limits)]);
    let mut permit = lanes.reserve(NOW.moment).take(&lane("a")).unwrap();
    permit.begin();
    assert!(!permit.renew(NOW.moment));
    assert!(permit.renew(NOW.moment.plus(Duration::from_secs(1))));
}

#[tokio::test]
async fn freed_permit_wakes_only_a_hungry_loop() {
    let lanes = Lanes::new([(lane("a"), 1)]);
    let mut woken = told(lanes.waker());
    woken();
    drop(lanes.permit(&lane("a")));
    assert!(!woken());
    lanes.waker().set_hungry(true);
    drop(lanes.permit(&lane("a")));
    assert!(woken());
}

#[tokio::test]
async fn look_that_finds_a_lane_full_is_no_reason_to_look_again() {
    let lanes = Lanes::new([(lane("a"), 1), (lane("b"), 1)]);
    let mut woken = told(lanes.waker());
    woken();
    let held = lanes.permit(&lane("a"));
    lanes.waker().set_hungry(true);
    let looked = lanes.reserve(NOW.moment);
    assert!(looked.full && !looked.room().is_empty());
    drop(looked);
    assert!(!woken(), "the loop would turn until the lane has room");
    drop(held);
    assert!(woken());
}

#[tokio::test]
async fn probe_that_ends_wakes_the_loop_which_could_not_know_when_to_look_again() {
    let limits = LaneLimits {
        breaker: Breaker {
            failures: 1,
            longest: Duration::from_millis(1),
        },
        ..LaneLimits::from(2)
    };
    let lanes = Lanes::new([(lane("a"), limits)]);
    let mut woken = told(lanes.waker());
    woken();
    let permit = lanes.reserve(NOW.moment).take(&lane("a")).unwrap();
    let why = Failure::new(FailureKind::Timeout, "r");
    permit.record(end(&why), NOW, Jitter::MOST).unwrap();
    drop(permit);
    assert!(!woken());
    let later = NOW.moment.plus(Duration::from_millis(1));
    drop(lanes.reserve(later));
    assert!(
        !woken(),
        "nothing was due, and the loop would turn for ever"
    );
    let mut probe = lanes.reserve(later).take(&lane("a")).unwrap();
    probe.begin();
    let looked = lanes.reserve(later);
    assert!(looked.room().is_empty() && looked.opens.is_none() && !looked.full);
    drop(looked);
    assert!(!woken());
    drop(probe);
    assert!(woken());
}

fn end(why: &Failure) -> End<'_> {
    let (sign, tries) = (Sign::of(why), 1);
    End { sign, tries }
}

fn told(waker: &Arc<Waker>) -> impl FnMut() -> bool + '_ {
    use futures_util::FutureExt;
    move || waker.woken().now_or_never().is_some()
}
