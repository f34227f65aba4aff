//! A lane's breaker over its life: when it opens, whom it lets through, when it closes.

use super::*;

const START: Timestamp = Timestamp::from_millis(1_772_413_200_000);
/// How long the process has been running then.
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

/// Lets a step pass at this second.
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

/// A step that fails.
fn fails(circuit: &mut Circuit, pass: Pass, now: Present) -> Option<LaneChange> {
    let failure = failure(FailureKind::Timeout);
    circuit.hear(Sign::of(&failure), pass, now, WHOLE)
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
    assert_eq!(fails(&mut circuit, Pass::Free, at(0)), None);
    assert_eq!(fails(&mut circuit, Pass::Free, at(0)), None);
    assert_eq!(circuit.hear(Sign::Well, Pass::Free, at(0), WHOLE), None);
    for _ in 0..2 {
        assert_eq!(fails(&mut circuit, Pass::Free, at(1)), None);
        assert_eq!(circuit.hear(Sign::Nothing, Pass::Free, at(1), WHOLE), None);
    }
    assert!(matches!(
        fails(&mut circuit, Pass::Free, at(1)),
        Some(LaneChange::Opened(_))
    ));
    assert_eq!(admit(&mut circuit, 1), Err(Shut(Some(at(2).moment))));
    // Those under way change nothing more.
    assert_eq!(fails(&mut circuit, Pass::Free, at(1)), None);
    assert_eq!(probe_at(&circuit), Some(2));
}

#[test]
fn breaker_of_a_later_rules_file_judges_from_then_on() {
    let mut circuit = circuit(3, 600);
    assert_eq!(fails(&mut circuit, Pass::Free, at(0)), None);
    circuit.configure(Breaker {
        failures: 2,
        longest: Duration::from_mins(10),
    });
    assert!(fails(&mut circuit, Pass::Free, at(0)).is_some());
}

#[test]
fn one_probe_at_a_time_and_growing_waits_until_one_succeeds() {
    let mut circuit = circuit(1, 8);
    fails(&mut circuit, Pass::Free, at(0));
    for (now, next) in [(1, 3), (3, 7), (7, 15), (15, 23)] {
        assert_eq!(probe_at(&circuit), Some(now));
        assert_eq!(circuit.state().name(at(now).time), "probing");
        assert_eq!(admit(&mut circuit, now), Ok(Pass::Probe));
        assert_eq!(admit(&mut circuit, now), Err(Shut(None)));
        fails(&mut circuit, Pass::Probe, at(now));
        circuit.probe_ended();
        assert_eq!(probe_at(&circuit), Some(next));
        assert_eq!(circuit.state().name(at(now).time), "open");
    }
    assert_eq!(circuit.state().open.as_ref().unwrap().since, START);
    assert_eq!(admit(&mut circuit, 23), Ok(Pass::Probe));
    assert_eq!(
        circuit.hear(Sign::Well, Pass::Probe, at(23), WHOLE),
        Some(LaneChange::Closed)
    );
    circuit.probe_ended();
    assert_eq!(admit(&mut circuit, 23), Ok(Pass::Free));
    assert_eq!(circuit.state(), &LaneState::default());
}

#[test]
fn probe_that_says_nothing_makes_room_for_the_next_one() {
    let mut circuit = circuit(1, 8);
    fails(&mut circuit, Pass::Free, at(0));
    assert_eq!(admit(&mut circuit, 1), Ok(Pass::Probe));
    assert_eq!(circuit.hear(Sign::Nothing, Pass::Probe, at(1), WHOLE), None);
    circuit.probe_ended();
    assert_eq!(admit(&mut circuit, 1), Ok(Pass::Probe));
}

#[test]
fn waits_are_left_to_chance_by_half_and_heed_what_was_asked_for() {
    let circuit = circuit(1, 600);
    let wait = |asked: Option<u64>, share| {
        let asked = asked.map(Duration::from_secs);
        circuit
            .wait(3, FIRST, asked, Jitter::new(share))
            .as_millis()
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
    let change = circuit.hear(Sign::of(&why), Pass::Free, at(0), WHOLE);
    assert!(matches!(change, Some(LaneChange::Opened(_))));
    assert_eq!(probe_at(&circuit), Some(30));
}

#[test]
fn gone_pauses_until_a_person_resumes() {
    let mut circuit = circuit(5, 600);
    let why = failure(FailureKind::Gone);
    let change = circuit.hear(Sign::of(&why), Pass::Free, at(0), WHOLE);
    assert!(matches!(change, Some(LaneChange::Paused(_))));
    assert_eq!(circuit.hear(Sign::of(&why), Pass::Free, at(0), WHOLE), None);
    assert_eq!(admit(&mut circuit, 1_000_000), Err(Shut(None)));
    assert_eq!(circuit.state().name(at(0).time), "paused");
    circuit.adopt(LaneState::default(), at(0));
    assert_eq!(admit(&mut circuit, 0), Ok(Pass::Free));
}

#[test]
fn clock_that_is_set_leaves_the_wait_as_it_is_and_tells_its_end_anew() {
    for by in [-3_600_000, 3_600_000] {
        let mut circuit = circuit(1, 8);
        fails(&mut circuit, Pass::Free, at(0));
        let time = Timestamp::from_millis(START.millis() + by);
        let moment = at(0).moment;
        let now = Present { time, moment };
        let Some(LaneChange::Opened(told)) = circuit.set_clock(now) else {
            panic!("an open lane has something to tell")
        };
        assert_eq!(told.probe_at, time.plus(told.wait));
        assert_eq!(circuit.state().open.as_ref(), Some(&told));
        assert!(admit(&mut circuit, 0).is_err());
        assert_eq!(admit(&mut circuit, 1), Ok(Pass::Probe));
    }
    assert_eq!(circuit(1, 8).set_clock(at(0)), None);
}

#[test]
fn stored_probe_is_believed_for_as_long_as_it_was_put_off() {
    let mut ahead = circuit(1, 600);
    fails(&mut ahead, Pass::Free, at(3600));
    for (probe_at, wait, remaining) in [
        // Of a clock that was ahead, by an hour and by ten seconds.
        (3602, Some(2), 2),
        (12, Some(2), 2),
        // What is left of a wait, and one that is over.
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
            assert_eq!(admit(&mut circuit, 0), Err(Shut(Some(until))));
        }
        assert_eq!(admit(&mut circuit, remaining), Ok(Pass::Probe));
    }
}

#[test]
fn wait_that_is_longer_than_any_of_the_present_rules_file_is_over() {
    let mut circuit = circuit(1, 600);
    let asked = Failure {
        retry_after: Some(Duration::from_mins(10)),
        ..failure(FailureKind::Unavailable)
    };
    circuit.hear(Sign::of(&asked), Pass::Free, at(0), WHOLE);
    assert!(admit(&mut circuit, 0).is_err());
    let longest = Duration::from_secs(5);
    circuit.configure(Breaker {
        failures: 1,
        longest,
    });
    assert_eq!(admit(&mut circuit, 0), Ok(Pass::Probe));
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
        ["credentials"]
    );
    assert_eq!(names(|sign| matches!(sign, Sign::Gone(_))), ["gone"]);
    assert_eq!(
        names(|sign| *sign == Sign::Well),
        [
            "not_there_yet",
            "source_changed",
            "refused",
            "denied",
            "missing",
            "conflict"
        ]
    );
}
