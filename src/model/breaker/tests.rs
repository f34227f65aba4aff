//! A lane's breaker over its life: when it opens, which steps it lets through, when it closes.

use std::time::Duration;

use super::*;
use crate::model::destination::Breaker;
use crate::model::moment::Present;
use crate::model::retry::Jitter;

const START: Timestamp = Timestamp::from_millis(1_772_413_200_000);
/// How long the process has been running at second 0.
const RUNNING: Moment = Moment::after(Duration::from_secs(5));
/// The whole delay.
const WHOLE: Jitter = Jitter::MOST;

fn at(seconds: u64) -> Present {
    let start = Present {
        time: START,
        moment: RUNNING,
    };
    start.plus(Duration::from_secs(seconds))
}

fn admit(circuit: &mut Circuit, seconds: u64) -> Result<Pass, Shut> {
    circuit.admit(at(seconds).moment)
}

fn failure(kind: FailureKind) -> Failure {
    Failure::new(kind, "r")
}

fn circuit(failures: u32, longest: u64) -> Circuit {
    let longest = Duration::from_secs(longest);
    Circuit::new(Breaker { failures, longest })
}

/// A step of a task ends at this try.
fn ends(
    circuit: &mut Circuit,
    sign: Sign<'_>,
    tries: u32,
    pass: Pass,
    now: Present,
) -> Option<LaneChange> {
    let change = circuit.record(End { sign, tries }, pass, now, WHOLE);
    circuit.ended(pass);
    change
}

fn fails(circuit: &mut Circuit, pass: Pass, now: Present) -> Option<LaneChange> {
    fails_at(circuit, 1, pass, now)
}

fn fails_at(circuit: &mut Circuit, tries: u32, pass: Pass, now: Present) -> Option<LaneChange> {
    let failure = failure(FailureKind::Timeout);
    ends(circuit, Sign::of(&failure), tries, pass, now)
}

/// A request passes at this second, and fails its task's first try.
fn goes_wrong(circuit: &mut Circuit, seconds: u64) -> Option<LaneChange> {
    let pass = admit(circuit, seconds).unwrap();
    fails(circuit, pass, at(seconds))
}

/// Takes passes at this second until there is no more room.
fn room(circuit: &mut Circuit, seconds: u64) -> Vec<Pass> {
    let passes: Vec<Pass> = std::iter::from_fn(|| admit(circuit, seconds).ok())
        .take(2_000)
        .collect();
    for pass in &passes {
        circuit.ended(*pass);
    }
    passes
}

fn probe_at(circuit: &Circuit) -> Option<u64> {
    let open = circuit.state().open.as_ref()?;
    Some(
        open.probe_at
            .since(START)
            .as_millis()
            .div_ceil(1000)
            .try_into()
            .unwrap(),
    )
}

#[test]
fn breaker_opens_after_failures_in_a_row_of_whichever_tasks() {
    let mut circuit = circuit(3, 600);
    let passes = [(); 9].map(|()| admit(&mut circuit, 0).unwrap());
    assert_eq!(fails(&mut circuit, passes[0], at(0)), None);
    assert_eq!(fails(&mut circuit, passes[1], at(0)), None);
    assert_eq!(ends(&mut circuit, Sign::Well, 1, passes[2], at(0)), None);
    for pass in &passes[3..5] {
        assert_eq!(fails(&mut circuit, *pass, at(1)), None);
        assert_eq!(ends(&mut circuit, Sign::Nothing, 1, passes[5], at(1)), None);
    }
    let change = fails(&mut circuit, passes[6], at(1));
    assert!(matches!(change, Some(LaneChange::Opened(_))));
    assert_eq!(admit(&mut circuit, 1), Err(Shut::Until(at(2).moment)));
    // The other running requests change nothing more.
    assert_eq!(fails(&mut circuit, passes[7], at(1)), None);
    assert_eq!(probe_at(&circuit), Some(2));
    // But one of them can close the breaker.
    let change = ends(&mut circuit, Sign::Answered, 1, passes[8], at(1));
    assert_eq!(change, Some(LaneChange::Closed));
}

#[test]
fn breaker_of_a_later_rules_file_judges_from_then_on() {
    let mut circuit = circuit(3, 600);
    assert_eq!(goes_wrong(&mut circuit, 0), None);
    circuit.configure(Breaker {
        failures: 2,
        longest: Duration::from_mins(10),
    });
    assert!(goes_wrong(&mut circuit, 0).is_some());
}

#[test]
fn one_probe_at_a_time_and_growing_waits_until_one_succeeds() {
    let mut circuit = circuit(1, 8);
    goes_wrong(&mut circuit, 0);
    for (now, next, whom) in [
        (1, 3, Whom::MostTried),
        (3, 7, Whom::MostTried),
        (7, 15, Whom::MostTried),
        // That task alone may be the problem.
        (15, 23, Whom::DueLongest),
        (23, 31, Whom::MostTried),
        (31, 39, Whom::DueLongest),
    ] {
        assert_eq!(probe_at(&circuit), Some(now));
        assert_eq!(circuit.state().name(at(now).time), "probing");
        let probe = admit(&mut circuit, now).unwrap();
        assert_eq!(probe.probe, Some(whom));
        assert_eq!(admit(&mut circuit, now), Err(Shut::ForNow));
        fails(&mut circuit, probe, at(now));
        assert_eq!(probe_at(&circuit), Some(next));
        assert_eq!(circuit.state().name(at(now).time), "open");
    }
    assert_eq!(circuit.state().open.as_ref().unwrap().since, START);
    let probe = admit(&mut circuit, 39).unwrap();
    assert_eq!(
        ends(&mut circuit, Sign::Well, 9, probe, at(39)),
        Some(LaneChange::Closed)
    );
    assert_eq!(admit(&mut circuit, 39).unwrap().probe, None);
    assert_eq!(circuit.state(), &LaneState::default());
}

#[test]
fn probe_that_says_nothing_makes_room_for_the_next_one() {
    let mut circuit = circuit(1, 8);
    goes_wrong(&mut circuit, 0);
    let probe = admit(&mut circuit, 1).unwrap();
    assert_eq!(ends(&mut circuit, Sign::Nothing, 1, probe, at(1)), None);
    assert!(admit(&mut circuit, 1).unwrap().probe.is_some());
}

/// First tries fail until the breaker opens; then a successful probe closes it.
fn comes_back(circuit: &mut Circuit, tries: u32) {
    while goes_wrong(circuit, 0).is_none() {}
    let probe = admit(circuit, 1).unwrap();
    let change = ends(circuit, Sign::Well, tries, probe, at(1));
    assert_eq!(change, Some(LaneChange::Closed));
}

#[test]
fn lane_that_is_well_again_takes_one_at_a_time_then_two_then_four() {
    let mut circuit = circuit(5, 600);
    comes_back(&mut circuit, 1);
    for doubled in (0..10).map(|times| 1 << times) {
        assert_eq!(room(&mut circuit, 1).len(), doubled);
        assert_eq!(circuit.admit_newcomer(at(1).moment), Err(Shut::ForNow));
        let pass = admit(&mut circuit, 1).unwrap();
        ends(&mut circuit, Sign::Well, 1, pass, at(1));
    }
    assert_eq!(room(&mut circuit, 1).len(), 2_000);
    assert!(circuit.admit_newcomer(at(1).moment).is_ok());
}

#[test]
fn tries_that_others_got_over_are_excused_as_many_as_there_is_room_for() {
    let mut circuit = circuit(2, 600);
    comes_back(&mut circuit, 3);
    assert!(matches!(
        goes_wrong(&mut circuit, 1),
        Some(LaneChange::Opened(_))
    ));
    assert_eq!(probe_at(&circuit), Some(2), "the waits begin anew");
    let probe = admit(&mut circuit, 2).unwrap();
    ends(&mut circuit, Sign::Well, 3, probe, at(2));
    // Room for two; a failed third try still counts.
    assert_eq!(goes_wrong(&mut circuit, 2), None);
    let pass = admit(&mut circuit, 2).unwrap();
    assert_eq!(fails_at(&mut circuit, 3, pass, at(2)), None);
    assert_eq!(room(&mut circuit, 2).len(), 1);
    assert!(goes_wrong(&mut circuit, 2).is_some());
}

#[test]
fn failures_of_tasks_that_had_as_many_tries_as_others_needed_count() {
    let mut circuit = circuit(2, 600);
    comes_back(&mut circuit, 3);
    for _ in 0..10 {
        let pass = admit(&mut circuit, 1).unwrap();
        ends(&mut circuit, Sign::Well, 3, pass, at(1));
    }
    for _ in 0..1_000 {
        assert_eq!(goes_wrong(&mut circuit, 1), None, "first tries always fail");
    }
    let [one, other] = [(); 2].map(|()| admit(&mut circuit, 1).unwrap());
    assert_eq!(fails_at(&mut circuit, 3, one, at(1)), None);
    assert!(fails_at(&mut circuit, 4, other, at(1)).is_some());
}

#[test]
fn tries_that_are_needed_no_more_are_soon_excused_no_more() {
    let mut circuit = circuit(2, 600);
    comes_back(&mut circuit, 3);
    for _ in 0..2 {
        let pass = admit(&mut circuit, 1).unwrap();
        ends(&mut circuit, Sign::Well, 1, pass, at(1));
    }
    assert_eq!(goes_wrong(&mut circuit, 1), None);
    assert!(goes_wrong(&mut circuit, 1).is_some());
}

#[test]
fn one_task_that_took_many_tries_is_no_pattern() {
    let mut circuit = circuit(1, 600);
    let pass = admit(&mut circuit, 0).unwrap();
    ends(&mut circuit, Sign::Well, 15, pass, at(0));
    let pass = admit(&mut circuit, 0).unwrap();
    assert!(fails_at(&mut circuit, 3, pass, at(0)).is_some());
}

#[test]
fn what_began_before_the_lane_was_well_again_says_nothing_and_takes_no_room() {
    let mut circuit = circuit(1, 600);
    let before = [(); 3].map(|()| admit(&mut circuit, 0).unwrap());
    comes_back(&mut circuit, 1);
    assert_eq!(room(&mut circuit, 1).len(), 1);
    for pass in before {
        assert_eq!(fails(&mut circuit, pass, at(1)), None);
    }
    assert_eq!(room(&mut circuit, 1).len(), 1);
}

#[test]
fn newcomers_are_no_probes() {
    let mut circuit = circuit(1, 8);
    assert!(circuit.admit_newcomer(at(0).moment).is_ok());
    goes_wrong(&mut circuit, 0);
    assert_eq!(circuit.admit_newcomer(at(1).moment), Err(Shut::ForNow));
    assert!(admit(&mut circuit, 1).unwrap().probe.is_some());
}

#[test]
fn resumed_lane_has_room_for_everybody() {
    let mut circuit = circuit(1, 8);
    goes_wrong(&mut circuit, 0);
    circuit.adopt(LaneState::default(), at(0));
    assert_eq!(room(&mut circuit, 0).len(), 2_000);
}

#[test]
fn waits_are_left_to_chance_by_half_and_heed_what_was_asked_for() {
    let wait = |asked: Option<u64>, share| {
        let mut circuit = circuit(1, 600);
        let why = Failure {
            retry_after: asked.map(Duration::from_secs),
            ..failure(FailureKind::Unavailable)
        };
        let sign = Sign::of(&why);
        let mut millis = 0;
        for now in [0, 1, 3] {
            let pass = admit(&mut circuit, 10_000 * now).unwrap();
            let end = End { sign, tries: 1 };
            let now = at(10_000 * now);
            let change = circuit.record(end, pass, now, Jitter::new(share));
            circuit.ended(pass);
            let Some(LaneChange::Opened(open)) = change else {
                panic!("{change:?}")
            };
            assert_eq!(open.probe_at, now.time.plus(open.wait));
            millis = open.wait.as_millis();
        }
        millis
    };
    assert_eq!((wait(None, 0.0), wait(None, 0.5)), (2000, 3000));
    assert_eq!(
        (wait(Some(60), 0.5), wait(Some(6000), 0.5)),
        (60_000, 600_000)
    );
}

#[test]
fn refused_credentials_open_at_once_and_are_tried_again_later() {
    let mut circuit = circuit(5, 600);
    let why = failure(FailureKind::Credentials);
    let pass = admit(&mut circuit, 0).unwrap();
    let change = ends(&mut circuit, Sign::of(&why), 1, pass, at(0));
    assert!(matches!(change, Some(LaneChange::Opened(_))));
    assert_eq!(probe_at(&circuit), Some(30));
    let probe = admit(&mut circuit, 30).unwrap();
    ends(&mut circuit, Sign::Well, 1, probe, at(30));
    assert_eq!(room(&mut circuit, 30).len(), 1);
}

#[test]
fn gone_pauses_until_a_person_resumes() {
    let mut circuit = circuit(5, 600);
    let why = failure(FailureKind::Gone);
    let [one, other] = [(); 2].map(|()| admit(&mut circuit, 0).unwrap());
    let change = ends(&mut circuit, Sign::of(&why), 1, one, at(0));
    assert!(matches!(change, Some(LaneChange::Paused(_))));
    assert_eq!(ends(&mut circuit, Sign::of(&why), 1, other, at(0)), None);
    assert_eq!(admit(&mut circuit, 1_000_000), Err(Shut::ForNow));
    assert_eq!(circuit.state().name(at(0).time), "paused");
    circuit.adopt(LaneState::default(), at(0));
    assert!(admit(&mut circuit, 0).is_ok());
}

#[test]
fn clock_that_is_set_leaves_the_wait_as_it_is_and_tells_its_end_anew() {
    for by in [-3_600_000, 3_600_000] {
        let mut circuit = circuit(1, 8);
        goes_wrong(&mut circuit, 0);
        let time = Timestamp::from_millis(START.millis() + by);
        let moment = at(0).moment;
        let now = Present { time, moment };
        let Some(LaneChange::Opened(told)) = circuit.set_clock(now) else {
            panic!("an open lane has something to tell")
        };
        assert_eq!(told.probe_at, time.plus(told.wait));
        assert_eq!(circuit.state().open.as_ref(), Some(&told));
        assert!(admit(&mut circuit, 0).is_err());
        assert!(admit(&mut circuit, 1).unwrap().probe.is_some());
    }
    assert_eq!(circuit(1, 8).set_clock(at(0)), None);
}

#[test]
fn stored_probe_is_believed_for_as_long_as_it_was_put_off() {
    let mut ahead = circuit(1, 600);
    goes_wrong(&mut ahead, 3600);
    for (probe_at, wait, remaining) in [
        // Written by a clock that was an hour ahead, and ten seconds ahead.
        (3602, Some(2), 2),
        (12, Some(2), 2),
        // The rest of a wait, and a wait that is over.
        (5, Some(8), 5),
        (0, Some(8), 0),
        // Stored without its wait.
        (100, None, 100),
    ] {
        let wait = wait.map_or_else(unknown_wait, Duration::from_secs);
        let probe_at = at(probe_at).time;
        let open = ahead.state().open.clone().map(|open| Opening {
            probe_at,
            wait,
            ..open
        });
        let mut circuit = circuit(1, 600);
        circuit.adopt(LaneState { paused: None, open }, at(0));
        if remaining > 0 {
            let until = at(remaining).moment;
            assert_eq!(admit(&mut circuit, 0), Err(Shut::Until(until)));
        }
        assert!(admit(&mut circuit, remaining).unwrap().probe.is_some());
    }
}

#[test]
fn wait_that_is_longer_than_any_of_the_present_rules_file_is_over() {
    let mut circuit = circuit(1, 600);
    let asked = Failure {
        retry_after: Some(Duration::from_mins(10)),
        ..failure(FailureKind::Unavailable)
    };
    let pass = admit(&mut circuit, 0).unwrap();
    ends(&mut circuit, Sign::of(&asked), 1, pass, at(0));
    assert!(admit(&mut circuit, 0).is_err());
    let longest = Duration::from_secs(5);
    circuit.configure(Breaker {
        failures: 1,
        longest,
    });
    assert!(admit(&mut circuit, 0).unwrap().probe.is_some());
}

#[test]
fn opening_that_was_stored_without_its_wait_is_read() {
    let text =
        r#"{"since":"2026-03-02T01:00:00Z","why":"w","waits":1,"probe_at":"2026-03-02T01:00:01Z"}"#;
    let read: Opening = serde_json::from_str(text).unwrap();
    assert_eq!(read.wait, unknown_wait());
}

#[test]
fn every_kind_of_failure_says_what_it_means_for_the_lane() {
    let names = |wanted: fn(&Sign<'_>) -> bool| -> Vec<&str> {
        let kinds = FailureKind::ALL.iter();
        kinds
            .filter(|kind| wanted(&Sign::of(&failure(**kind))))
            .map(|kind| kind.name())
            .collect()
    };
    assert_eq!(
        names(|sign| matches!(sign, Sign::Ailing(_))),
        [
            "unreachable",
            "timeout",
            "unavailable",
            "throttled",
            "unknown"
        ]
    );
    assert_eq!(
        names(|sign| matches!(sign, Sign::Locked(_))),
        ["credentials", "unwritable", "away"]
    );
    assert_eq!(names(|sign| matches!(sign, Sign::Gone(_))), ["gone"]);
    assert_eq!(
        names(|sign| *sign == Sign::Answered),
        [
            "not_now",
            "not_there_yet",
            "source_changed",
            "refused",
            "denied",
            "missing",
            "conflict"
        ]
    );
}
