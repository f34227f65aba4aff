//! Decides what happens to a task after a step.
//!
//! Pure: the worker passes `now` and `jitter`, and the store writes the result. Separate, so that
//! every row of the state table is a one-line test.

use std::time::Duration;

use super::failure::{Disposition, Failure, FailureKind};
use super::plan::Turn;
use super::retry::{Jitter, RetryPolicy};
use super::task::{Lane, StepNo};
use super::time::Timestamp;
use super::wait::WaitsFor;

/// How a step ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Ran {
    /// It succeeded or was skipped.
    Passed,
    Failed(Failure),
    /// The service stops; the step was interrupted.
    Interrupted,
    /// It cannot start for a reason outside the task: a name is no longer in the rules file, or
    /// another task uses a key.
    Unable {
        on: WaitsFor,
        why: String,
    },
    /// A person cancelled the task, and it is at a safe point.
    Cancelled,
    /// An earlier try was the last one and failed like this. Since then the task only removed what
    /// the step had left.
    GivenUp(Failure),
}

/// The step's policy and history, and what can follow it.
#[derive(Debug, Clone)]
pub struct Budget<'a> {
    pub policy: &'a RetryPolicy,
    /// Tries of the step so far, including this one.
    pub tries: u32,
    /// The event's arrival, or the last `tasks retry`.
    pub since: Timestamp,
    pub on_failure: OnFailure,
    /// `None` if the step is the last.
    pub next: Option<NextStep>,
    /// Where to report the task's death; `None` if nobody asked for that.
    pub on_dead: Option<Lane>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextStep {
    pub step: StepNo,
    pub lane: Lane,
    pub turn: Turn,
    pub hold: Hold,
}

/// Whether the worker has room to run the next step itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    Keep,
    Leave,
}

/// What happens to a task when its step has failed for the last time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnFailure {
    #[default]
    Stop,
    /// The task continues with the next step.
    Continue,
}

/// A change of a task's state. The store has one statement for each.
#[derive(Debug, Clone, PartialEq)]
pub enum Transition {
    Advance(NextStep),
    Finish,
    /// Repeat the step after `wait`. Not at a time, because the clock may be set before the store
    /// has written it.
    RetryAfter {
        wait: Duration,
        why: Failure,
    },
    /// Repeat the step after `wait`, with the try refunded: what the recorder announced is not there
    /// yet.
    Await {
        wait: Duration,
        why: Failure,
    },
    /// Ready again, with the try refunded, when what it waits for is there. Until then `why` is
    /// shown.
    Wait {
        on: WaitsFor,
        why: String,
    },
    Bury {
        why: Failure,
        /// Where the notice of its death goes, which is stored as a task by the same call.
        notice: Option<Lane>,
    },
    /// Ready again after `wait`, with the try refunded, to remove what the step left. Only then
    /// does the task end: dead of `given_up`, or cancelled.
    Undo {
        wait: Duration,
        given_up: Option<Failure>,
    },
    /// Ready again with the try refunded.
    HandBack,
    Cancel,
}

/// The transition of a task whose step ended like `ran`.
pub fn settle(budget: Budget<'_>, ran: Ran, now: Timestamp, jitter: Jitter) -> Transition {
    match ran {
        Ran::Passed => go_on(budget.next),
        Ran::Interrupted => Transition::HandBack,
        Ran::Unable { on, why } => Transition::Wait { on, why },
        Ran::Cancelled => Transition::Cancel,
        Ran::GivenUp(why) => give_up(budget, why),
        // Under any policy: the lane pauses, and a person must act.
        Ran::Failed(why) if why.kind.disposition() == Disposition::PauseLane => Transition::Wait {
            on: WaitsFor::ItsLane,
            why: why.to_string(),
        },
        Ran::Failed(why) if why.kind == FailureKind::NotThereYet => {
            match patience(&budget, now, jitter) {
                Ok(wait) => Transition::Await { wait, why },
                Err(end) => give_up(budget, end.told(why)),
            }
        }
        Ran::Failed(why) => match retry_wait(&budget, &why, now, jitter) {
            Ok(wait) => Transition::RetryAfter { wait, why },
            Err(end) => give_up(budget, end.told(why)),
        },
    }
}

fn give_up(budget: Budget<'_>, why: Failure) -> Transition {
    match budget.on_failure {
        OnFailure::Continue => go_on(budget.next),
        OnFailure::Stop => Transition::Bury {
            why,
            notice: budget.on_dead,
        },
    }
}

fn go_on(next: Option<NextStep>) -> Transition {
    next.map_or(Transition::Finish, Transition::Advance)
}

enum End {
    Final,
    /// The allowed number of tries is spent.
    Tries(u32),
    /// The allowed time has passed.
    Time(Duration),
}

impl End {
    /// The failure, with the limit that made it the last.
    fn told(self, why: Failure) -> Failure {
        let limit = match self {
            Self::Final => return why,
            Self::Tries(tries) => format!("all {tries} tries are spent (retry.tries)"),
            Self::Time(time) => format!(
                "{} are over (retry.give_up_after)",
                humantime::format_duration(time)
            ),
        };
        Failure {
            reason: format!("{}; gave up: {limit}", why.reason),
            ..why
        }
    }
}

/// The wait before the next try; `None` if the failure is final or a limit is reached.
/// `Retry-After` may exceed the longest delay, but not the deadline.
fn retry_wait(
    budget: &Budget<'_>,
    why: &Failure,
    now: Timestamp,
    jitter: Jitter,
) -> Result<Duration, End> {
    let policy = budget.policy;
    // A task may seem to arrive after now, if the clock was ahead then.
    let deadline = budget.since.min(now).plus(policy.give_up_after);
    if why.kind.disposition() == Disposition::Final {
        return Err(End::Final);
    } else if budget.tries >= policy.tries {
        return Err(End::Tries(policy.tries));
    } else if now > deadline {
        return Err(End::Time(policy.give_up_after));
    }
    let own = policy.delay(budget.tries, jitter);
    let asked = why.retry_after.unwrap_or_default();
    Ok(own.max(asked.min(deadline.since(now))))
}

/// How long to wait before looking again for what is not there yet. How long a recorder may take is
/// said by `source_grace` and not by a number of tries, so waits grow with the time and not with tries.
fn patience(budget: &Budget<'_>, now: Timestamp, jitter: Jitter) -> Result<Duration, End> {
    let policy = budget.policy;
    let waited = now.since(budget.since);
    if waited > policy.give_up_after {
        return Err(End::Time(policy.give_up_after));
    }
    let grown = waited.max(policy.first).min(policy.longest);
    Ok(policy.spread(grown, jitter))
}

#[cfg(test)]
mod tests {
    use super::super::retry::JitterMode;
    use super::super::wait::Outside;
    use super::*;

    const SINCE: Timestamp = Timestamp::from_millis(1_000_000);

    fn policy() -> RetryPolicy {
        RetryPolicy {
            first: Duration::from_secs(2),
            jitter: JitterMode::None,
            tries: 3,
            give_up_after: Duration::from_secs(100),
            ..RetryPolicy::default()
        }
    }

    fn settle_at(
        seconds: u64,
        tries: u32,
        ran: Ran,
        next: Option<NextStep>,
        on_failure: OnFailure,
    ) -> Transition {
        let budget = Budget {
            policy: &policy(),
            tries,
            since: SINCE,
            next,
            on_failure,
            on_dead: Some(ops()),
        };
        settle(
            budget,
            ran,
            SINCE.plus(Duration::from_secs(seconds)),
            Jitter::new(0.5),
        )
    }

    fn outside() -> WaitsFor {
        Outside::Lane(Lane::Bucket("b".into())).into()
    }

    fn failed(kind: FailureKind) -> Ran {
        Ran::Failed(Failure::new(kind, "r"))
    }

    fn again(seconds: u64, kind: FailureKind) -> Transition {
        Transition::RetryAfter {
            wait: Duration::from_secs(seconds),
            why: Failure::new(kind, "r"),
        }
    }

    fn dead(kind: FailureKind, reason: &str) -> Transition {
        Transition::Bury {
            why: Failure::new(kind, reason),
            notice: Some(ops()),
        }
    }

    fn ops() -> Lane {
        Lane::Destination("ops".into())
    }

    fn second() -> NextStep {
        NextStep {
            step: 1,
            lane: ops(),
            turn: Turn::NotNeeded,
            hold: Hold::Leave,
        }
    }

    #[test]
    fn every_end_of_a_step_has_its_transition() {
        use FailureKind::{Credentials, Refused, Timeout};
        use OnFailure::{Continue, Stop};
        let tries = "r; gave up: all 3 tries are spent (retry.tries)";
        let time = "r; gave up: 1m 40s are over (retry.give_up_after)";
        for (seconds, tries, ran, next, on_failure, expected) in [
            (
                0,
                1,
                Ran::Passed,
                Some(second()),
                Stop,
                Transition::Advance(second()),
            ),
            (0, 1, Ran::Passed, None, Stop, Transition::Finish),
            (0, 3, Ran::Interrupted, None, Stop, Transition::HandBack),
            (
                0,
                3,
                Ran::Unable {
                    on: outside(),
                    why: "w".into(),
                },
                None,
                Stop,
                Transition::Wait {
                    on: outside(),
                    why: "w".into(),
                },
            ),
            (
                0,
                1,
                Ran::Cancelled,
                Some(second()),
                Continue,
                Transition::Cancel,
            ),
            (0, 1, failed(Timeout), None, Stop, again(2, Timeout)),
            (0, 2, failed(Timeout), None, Continue, again(4, Timeout)),
            (0, 3, failed(Timeout), None, Stop, dead(Timeout, tries)),
            (101, 3, failed(Timeout), None, Stop, dead(Timeout, tries)),
            (
                0,
                3,
                failed(Timeout),
                Some(second()),
                Continue,
                Transition::Advance(second()),
            ),
            (0, 3, failed(Timeout), None, Continue, Transition::Finish),
            (0, 1, failed(Refused), None, Stop, dead(Refused, "r")),
            (
                0,
                1,
                failed(Refused),
                Some(second()),
                Continue,
                Transition::Advance(second()),
            ),
            (
                101,
                3,
                failed(Credentials),
                None,
                Continue,
                Transition::Wait {
                    on: WaitsFor::ItsLane,
                    why: "credentials: r".into(),
                },
            ),
            (100, 1, failed(Timeout), None, Stop, again(2, Timeout)),
            (101, 1, failed(Timeout), None, Stop, dead(Timeout, time)),
        ] {
            let label = format!("{seconds}s, try {tries}, {ran:?}, {next:?}, {on_failure:?}");
            assert_eq!(
                settle_at(seconds, tries, ran, next, on_failure),
                expected,
                "{label}"
            );
        }
    }

    #[test]
    fn what_is_not_there_yet_spends_no_tries_and_is_asked_for_ever_less_often() {
        let why = || Failure::new(FailureKind::NotThereYet, "r");
        let mut policy = policy();
        policy.longest = Duration::from_mins(1);
        for (seconds, tries, expected) in [(0, 1, 2), (1, 3, 2), (30, 99, 30), (90, 99, 60)] {
            let budget = Budget {
                policy: &policy,
                tries,
                since: SINCE,
                next: None,
                on_failure: OnFailure::Continue,
                on_dead: None,
            };
            let now = SINCE.plus(Duration::from_secs(seconds));
            let got = settle(budget, Ran::Failed(why()), now, Jitter::new(0.5));
            let wait = Duration::from_secs(expected);
            assert_eq!(got, Transition::Await { wait, why: why() }, "{seconds}s");
        }
        let ran = Ran::Failed(why());
        let got = settle_at(101, 1, ran, None, OnFailure::Stop);
        let time = "r; gave up: 1m 40s are over (retry.give_up_after)";
        assert_eq!(got, dead(FailureKind::NotThereYet, time));
    }

    #[test]
    fn a_wish_for_patience_is_granted_up_to_the_deadline_and_never_shortens_our_own() {
        for (wish, expected) in [(50, 50), (1000, 100), (1, 2)] {
            let why = Failure {
                retry_after: Some(Duration::from_secs(wish)),
                ..Failure::new(FailureKind::Throttled, "r")
            };
            let got = settle_at(0, 1, Ran::Failed(why.clone()), None, OnFailure::Stop);
            assert_eq!(
                got,
                Transition::RetryAfter {
                    wait: Duration::from_secs(expected),
                    why
                }
            );
        }
    }

    #[test]
    fn wish_for_patience_is_bounded_although_the_task_arrived_by_a_clock_that_was_ahead() {
        let why = Failure {
            retry_after: Some(Duration::from_hours(24 * 365)),
            ..Failure::new(FailureKind::Throttled, "r")
        };
        let now = SINCE.minus(Duration::from_secs(500));
        let budget = Budget {
            policy: &policy(),
            tries: 1,
            since: SINCE,
            next: None,
            on_failure: OnFailure::Stop,
            on_dead: None,
        };
        let got = settle(budget, Ran::Failed(why.clone()), now, Jitter::MOST);
        let wait = policy().give_up_after;
        assert_eq!(got, Transition::RetryAfter { wait, why });
    }
}
