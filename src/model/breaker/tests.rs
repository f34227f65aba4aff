//! A lane's breaker over its life: when it opens, whom it lets through, when it closes.

use super::*;

const START: Timestamp = Timestamp::from_millis(1_772_413_200_000);
/// The whole delay.
const WHOLE: Jitter = Jitter::MOST;

fn at(seconds: u64) -> Timestamp {
    START.plus(Duration::from_secs(seconds))
}

fn failure(kind: FailureKind) -> Failure {
    Failure::new(kind, "r")
}

fn circuit(failures: u32, longest: u64) -> Circuit {
    let longest = Duration::from_secs(longest);
    Circuit::new(Breaker { failures, longest })
}

/// A step that fails.
fn fails(circuit: &mut Circuit, pass: Pass, now: Timestamp) -> Option<LaneChange> {
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
    assert_eq!(
        circuit.admit(at(1)),
        Err(Shut(Some(circuit.state().open.as_ref().unwrap().probe_at)))
    );
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
        assert_eq!(circuit.state().name(at(now)), "probing");
        assert_eq!(circuit.admit(at(now)), Ok(Pass::Probe));
        assert_eq!(circuit.admit(at(now)), Err(Shut(None)));
        fails(&mut circuit, Pass::Probe, at(now));
        circuit.probe_ended();
        assert_eq!(probe_at(&circuit), Some(next));
        assert_eq!(circuit.state().name(at(now)), "open");
    }
    assert_eq!(circuit.state().open.as_ref().unwrap().since, at(0));
    assert_eq!(circuit.admit(at(23)), Ok(Pass::Probe));
    assert_eq!(
        circuit.hear(Sign::Well, Pass::Probe, at(23), WHOLE),
        Some(LaneChange::Closed)
    );
    circuit.probe_ended();
    assert_eq!(circuit.admit(at(23)), Ok(Pass::Free));
    assert_eq!(circuit.state(), &LaneState::default());
}

#[test]
fn probe_that_says_nothing_makes_room_for_the_next_one() {
    let mut circuit = circuit(1, 8);
    fails(&mut circuit, Pass::Free, at(0));
    assert_eq!(circuit.admit(at(1)), Ok(Pass::Probe));
    assert_eq!(circuit.hear(Sign::Nothing, Pass::Probe, at(1), WHOLE), None);
    circuit.probe_ended();
    assert_eq!(circuit.admit(at(1)), Ok(Pass::Probe));
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
    assert_eq!(circuit.admit(at(1_000_000)), Err(Shut(None)));
    assert_eq!(circuit.state().name(at(0)), "paused");
    circuit.adopt(LaneState::default());
    assert_eq!(circuit.admit(at(0)), Ok(Pass::Free));
}

#[test]
fn clock_that_was_set_back_does_not_put_the_probe_off() {
    let mut circuit = circuit(1, 8);
    fails(&mut circuit, Pass::Free, at(3600));
    assert_eq!(circuit.admit(at(0)), Ok(Pass::Probe));
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
