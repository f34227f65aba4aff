//! What every store promises, through its public interface.

use std::sync::Arc;
use std::time::Duration;

use aftertake::model::breaker::{LaneChange, LaneState, Opening, Pause, Whom};
use aftertake::model::event::{Event, EventType, Fields};
use aftertake::model::failure::{Failure, FailureKind};
use aftertake::model::id::{EventId, TaskId};
use aftertake::model::moment::{Moment, Present};
use aftertake::model::moves::{Move, MovePhase, Part, Source, Target};
use aftertake::model::plan::{Plan, PlannedTask, Turn};
use aftertake::model::recorder::Recorder;
use aftertake::model::recording::{MovedBy, Place};
use aftertake::model::task::{Lane, Outputs, RevisionId};
use aftertake::model::time::Timestamp;
use aftertake::model::transition::{Hold, NextStep, Transition};
use aftertake::model::wait::{Outside, WaitsFor};
use aftertake::store::lists::{Page, TaskFilter};
use aftertake::store::operator::{CancelOutcome, LaneOutcome, Operator, RetryOutcome};
use aftertake::store::{
    Applied, ApplyError, Arrival, Claim, JournalEntry, JournalError, LaneRoom, Pruned, Recorded,
    Retention, Settlement, Store,
};

use crate::support::backend::{Backend, shown_on_every_store};
use crate::support::operator::OneTask;
use crate::support::operator::why_waits;

pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_772_413_200_000);

pub(crate) fn lane() -> Lane {
    Lane::Destination("lms".into())
}

pub(crate) fn bucket() -> Lane {
    Lane::Bucket("b".into())
}

pub(crate) fn place(key: &str) -> Place {
    Place {
        bucket: "b".into(),
        key: key.into(),
    }
}

/// An arrival of a recording `key`, with one task per rule.
pub(crate) fn arrival(key: &str, time: i64, rules: &[(&str, Lane, Turn)]) -> Arrival {
    let id = EventId::derive(Some(Timestamp::from_millis(time * 1000)), &[key.as_bytes()]);
    let mut fields = Fields::new(EventType::RecordFileComplete);
    fields.bucket = Some("b".into());
    fields.object = Some(key.into());
    fields.room = Some("class-7".into());
    let body = serde_json::json!({
        "event_type": "RECORD_FILE_COMPLETE", "obs_bucket": "b", "obs_object": key, "room_id": "class-7",
    });
    let body = body.to_string().into();
    let tasks = rules.iter().map(|(rule, lane, turn)| PlannedTask {
        id: TaskId::derive(id, rule, 0),
        rule: (*rule).to_owned(),
        generation: 0,
        lane: lane.clone(),
        turn: *turn,
        order_key: None,
        dead_on_arrival: None,
        on_dead: None,
    });
    let plan = Plan {
        revision: RevisionId::of("rules"),
        tasks: tasks.collect(),
    };
    Arrival {
        event: Arc::new(Event {
            recorder: Recorder::SparkRtc,
            id,
            received: NOW,
            body,
            fields,
        }),
        plan,
    }
}

pub(crate) fn notify(key: &str, time: i64) -> Arrival {
    arrival(key, time, &[("announce", lane(), Turn::NotNeeded)])
}

pub(crate) fn ending(transition: Transition) -> Settlement {
    Settlement {
        transition,
        attempt: None,
        outputs: Outputs::new(),
        leaves: None,
    }
}

/// [`NOW`] by both clocks, at the start of a process.
pub(crate) const PRESENT: Present = Present {
    time: NOW,
    moment: Moment::after(Duration::ZERO),
};

/// Any time in a process that has run for `passed` since [`NOW`].
pub(crate) fn ran(passed: Duration) -> Present {
    PRESENT.plus(passed)
}

/// Prunes in a process that has run for `passed` since [`NOW`].
pub(crate) async fn prune_after(store: &impl Store, keep: Retention, passed: Duration) -> Pruned {
    let everything = Retention {
        history: Duration::MAX,
        dedup_horizon: Duration::MAX,
    };
    let begun = store.prune(everything, ran(Duration::ZERO)).await.unwrap();
    assert_eq!(begun, Pruned::default());
    store.prune(keep, ran(passed)).await.unwrap()
}

pub(crate) async fn claim(store: &impl Store, lane: Lane, now: Timestamp) -> Vec<Claim> {
    store
        .claim(vec![LaneRoom::new(lane, 10)], now)
        .await
        .unwrap()
        .claims
}

pub(crate) async fn one(store: &impl Store, lane: Lane, now: Timestamp) -> Claim {
    let mut claims = claim(store, lane, now).await;
    assert_eq!(claims.len(), 1);
    claims.pop().unwrap()
}

pub(crate) async fn end(store: &impl Store, claim: Claim, transition: Transition) {
    let applied = store.apply(claim, ending(transition), NOW).await.unwrap();
    assert!(matches!(applied, Applied::Settled));
}

pub(crate) fn waiting(on: impl Into<WaitsFor>) -> Transition {
    let (on, why) = (on.into(), "w".to_owned());
    Transition::Wait { on, why }
}

pub(crate) fn moved(number: u32, phase: MovePhase) -> Move {
    Move {
        number,
        from: place(&format!("from/{number}.ts")),
        to: place(&format!("to/{number}.ts")),
        part: Part::Segment,
        size: 7,
        etag: "e".into(),
        target: Target::Absent,
        target_etag: None,
        upload: None,
        is_marked: false,
        source: Source::Goes,
        phase,
    }
}

shown_on_every_store! {
    event_stored_twice_is_one_event_with_one_task
    started_task_is_running_with_its_first_try_spent_and_due_again_after_a_crash
    only_the_newest_claim_may_write
    tasks_of_one_recording_take_turns_in_the_order_of_the_rules
    task_that_is_handed_back_keeps_its_turn_before_later_ones_only
    task_that_waits_in_its_lane_is_left_alone_for_five_seconds_and_spends_no_try
    task_that_waits_for_something_outside_is_left_alone_until_it_is_there
    task_that_waits_for_something_outside_runs_once_to_be_cancelled_when_it_is_half_done
    task_that_waits_for_another_ones_keys_is_left_alone_until_they_are_given_up
    many_that_wait_for_one_thing_are_released_in_small_steps_the_oldest_first
    unfinished_moves_keep_the_turn
    task_goes_on_with_its_next_step_under_a_new_claim
    probe_takes_the_due_task_with_the_most_tries_or_the_one_due_longest
    lanes_without_room_are_skipped_and_the_next_due_time_is_returned
    committed_place_is_seen_by_its_event_and_not_by_a_later_one
    late_move_by_an_earlier_event_is_seen_by_the_later_one
    recording_announced_again_after_it_was_forgotten_is_where_its_event_says
    cancelled_task_whose_body_was_forgotten_cannot_be_retried
    moves_of_a_large_set_are_read_back_and_found_by_later_tasks
    draft_that_was_not_completed_is_no_manifest_and_is_replaced
    draft_of_a_recording_that_another_task_has_moved_is_gone
    person_retries_and_cancels_while_the_store_is_served
    task_that_is_cancelled_while_it_waits_for_its_turn_never_gets_it
    old_history_is_forgotten_and_dead_tasks_stay
    every_acknowledged_event_of_concurrent_calls_survives_reopening
    pause_stays_until_a_person_ends_it_whatever_the_breaker_does_meanwhile
    first_id_of_a_bucket_is_kept
}

async fn event_stored_twice_is_one_event_with_one_task(backend: impl Backend) {
    let store = backend.open();
    assert!(matches!(
        store.record(notify("k", 1), vec![]).await.unwrap(),
        Recorded::New { .. }
    ));
    assert!(matches!(
        store.record(notify("k", 1), vec![]).await.unwrap(),
        Recorded::Duplicate { .. }
    ));
    assert_eq!(store.figures(NOW).await.unwrap().ready, 1);
}

async fn started_task_is_running_with_its_first_try_spent_and_due_again_after_a_crash(
    backend: impl Backend,
) {
    let store = backend.open();
    let arrival = notify("k", 1);
    let start = vec![arrival.plan.tasks[0].id];
    let Recorded::New { claims } = store.record(arrival, start).await.unwrap() else {
        panic!()
    };
    assert_eq!((claims[0].task().tries, claims[0].attempt()), (1, 1));
    assert_eq!(store.figures(NOW).await.unwrap().running, 1);
    drop(store);

    let store = backend.open();
    let again = one(&store, lane(), NOW).await;
    assert_eq!((again.task().tries, again.attempt()), (2, 2));
    assert_eq!(again.event().fields.room.as_deref(), Some("class-7"));
}

async fn only_the_newest_claim_may_write(backend: impl Backend) {
    let store = backend.open();
    store
        .record(arrival("k", 1, &[("move", bucket(), Turn::Needed)]), vec![])
        .await
        .unwrap();
    let old = one(&store, bucket(), NOW).await;
    drop(store);
    let store = backend.open();
    let new = one(&store, bucket(), NOW).await;
    let entry = JournalEntry::Manifest(vec![moved(0, MovePhase::Planned)]);
    assert!(matches!(
        store.journal(&old, entry, PRESENT).await,
        Err(JournalError::Lost(_))
    ));
    let stale = store.apply(old, ending(Transition::Finish), NOW).await;
    assert!(matches!(stale, Err(ApplyError::Lost(_))));
    end(&store, new, Transition::Finish).await;
    assert_eq!(store.figures(NOW).await.unwrap().done, 1);
}

async fn tasks_of_one_recording_take_turns_in_the_order_of_the_rules(backend: impl Backend) {
    let store = backend.open();
    let rules = [
        ("first", bucket(), Turn::Needed),
        ("second", bucket(), Turn::Needed),
    ];
    store.record(arrival("k", 1, &rules), vec![]).await.unwrap();
    let first = one(&store, bucket(), NOW).await;
    assert_eq!(first.task().work.rule(), "first");
    let why = Failure::new(FailureKind::Timeout, "r");
    let wait = Duration::from_mins(1);
    let due = NOW.plus(wait);
    end(&store, first, Transition::RetryAfter { wait, why }).await;

    let second = one(&store, bucket(), NOW).await;
    assert_eq!(second.task().work.rule(), "second");
    assert!(
        claim(&store, bucket(), due).await.is_empty(),
        "the second holds the turn"
    );
    end(&store, second, Transition::Finish).await;
    let first = one(&store, bucket(), due).await;
    assert_eq!(
        (first.task().work.rule().as_ref(), first.task().tries),
        ("first", 2)
    );
}

async fn task_that_is_handed_back_keeps_its_turn_before_later_ones_only(backend: impl Backend) {
    let store = backend.open();
    let rules = ["first", "second"].map(|rule| (rule, bucket(), Turn::Needed));
    store.record(arrival("k", 1, &rules), vec![]).await.unwrap();
    let first = one(&store, bucket(), NOW).await;
    assert!(claim(&store, bucket(), NOW).await.is_empty());
    end(&store, first, Transition::HandBack).await;
    let first = one(&store, bucket(), NOW).await;
    assert_eq!(first.task().work.rule(), "first");

    let why = Failure::new(FailureKind::Timeout, "r");
    let wait = Duration::ZERO;
    end(&store, first, Transition::RetryAfter { wait, why }).await;
    let second = one(&store, bucket(), NOW).await;
    assert_eq!(second.task().work.rule(), "second");
    end(&store, second, Transition::HandBack).await;
    let first = one(&store, bucket(), NOW).await;
    assert_eq!(first.task().work.rule(), "first");
    end(&store, first, Transition::Finish).await;
    assert_eq!(
        one(&store, bucket(), NOW).await.task().work.rule(),
        "second"
    );
}

async fn task_that_waits_in_its_lane_is_left_alone_for_five_seconds_and_spends_no_try(
    backend: impl Backend,
) {
    let store = backend.open();
    store.record(notify("k", 1), vec![]).await.unwrap();
    let waits = one(&store, lane(), NOW).await;
    end(&store, waits, waiting(WaitsFor::ItsLane)).await;
    let early = NOW.plus(Duration::from_millis(4_999));
    assert!(claim(&store, lane(), early).await.is_empty());
    let again = one(&store, lane(), NOW.plus(Duration::from_secs(5))).await;
    assert_eq!(again.task().tries, 1);
}

async fn task_that_waits_for_something_outside_is_left_alone_until_it_is_there(
    backend: impl Backend,
) {
    let store = backend.open();
    let things = [
        Outside::Lane(Lane::Bucket("gone".into())),
        Outside::Rule {
            revision: RevisionId::of("rules"),
            name: "announce".into(),
        },
    ];
    for (key, thing) in [("a", &things[0]), ("b", &things[1]), ("c", &things[1])] {
        store.record(notify(key, 1), vec![]).await.unwrap();
        let waits = one(&store, lane(), NOW).await;
        end(&store, waits, waiting(thing.clone())).await;
    }
    let later = NOW.plus(Duration::from_hours(1));
    assert!(claim(&store, lane(), later).await.is_empty());
    assert_eq!(store.waits().await.unwrap(), things);
    let figures = store.figures(later).await.unwrap();
    assert_eq!((figures.ready, figures.oldest_due), (3, None));
    assert_eq!(figures.oldest_waiting, Some(later.since(NOW)));
    let mut operator = backend.operator();
    let listed = operator
        .tasks(&TaskFilter::default(), Page::newest(10))
        .unwrap();
    for row in &listed {
        assert_eq!((row.state, row.tries, row.due), ("ready", 0, None));
        assert_eq!(why_waits(row).as_deref(), Some("w"));
    }

    drop(store);
    let store = backend.open();
    assert!(claim(&store, lane(), later).await.is_empty());
    assert!(!store.release(things[1].clone(), NOW).await.unwrap());
    let on = claim(&store, lane(), later).await;
    assert_eq!(on.len(), 2);
    assert!(on.iter().all(|claim| claim.task().tries == 1));
    for claim in on {
        end(&store, claim, Transition::Finish).await;
    }

    // A person need not wait for it.
    let last = listed.last().unwrap().id;
    assert_eq!(
        operator.cancel_one(last, NOW).unwrap(),
        CancelOutcome::Cancelled
    );
    assert_eq!(store.waits().await.unwrap(), []);
    assert_eq!(
        operator.retry_one(last, NOW).unwrap(),
        RetryOutcome::Requeued
    );
    assert_eq!(one(&store, lane(), NOW).await.task().tries, 1);
}

async fn task_that_waits_for_something_outside_runs_once_to_be_cancelled_when_it_is_half_done(
    backend: impl Backend,
) {
    let store = backend.open();
    let rules = [("move", bucket(), Turn::Needed)];
    store.record(arrival("k", 1, &rules), vec![]).await.unwrap();
    let first = one(&store, bucket(), NOW).await;
    let id = first.task().id;
    let entry = JournalEntry::Manifest(vec![moved(0, MovePhase::Copied)]);
    store.journal(&first, entry, PRESENT).await.unwrap();
    end(&store, first, waiting(Outside::Lane(lane()))).await;
    let mut operator = backend.operator();
    assert_eq!(
        operator.cancel_one(id, NOW).unwrap(),
        CancelOutcome::Requested
    );
    let again = one(&store, bucket(), NOW).await;
    assert!(again.cancel_requested());
}

async fn task_that_waits_for_another_ones_keys_is_left_alone_until_they_are_given_up(
    backend: impl Backend,
) {
    let store = backend.open();
    for key in ["from/0.ts", "k"] {
        let rules = [("move", bucket(), Turn::Needed)];
        store.record(arrival(key, 1, &rules), vec![]).await.unwrap();
    }
    let mut claims = claim(&store, bucket(), NOW).await;
    let (waits, holder) = (claims.pop().unwrap(), claims.pop().unwrap());
    let (waiter, id) = (waits.task().id, holder.task().id);
    let half = JournalEntry::Manifest(vec![moved(0, MovePhase::Copied)]);
    store.journal(&holder, half, PRESENT).await.unwrap();
    end(&store, waits, waiting(WaitsFor::Keys(id))).await;

    let later = NOW.plus(Duration::from_hours(1));
    assert!(claim(&store, bucket(), later).await.is_empty());
    assert_eq!(
        store.waits().await.unwrap(),
        [],
        "the store releases it itself"
    );
    let figures = store.figures(later).await.unwrap();
    assert_eq!((figures.ready, figures.oldest_due), (1, None));
    assert_eq!(figures.oldest_waiting, Some(later.since(NOW)));
    let operator = backend.operator();
    let row = operator.task(waiter).unwrap().unwrap().row;
    assert_eq!((row.due, why_waits(&row)), (None, Some("w".into())));

    let whole = JournalEntry::Progress(vec![moved(0, MovePhase::Moved)]);
    store.journal(&holder, whole, PRESENT).await.unwrap();
    end(&store, holder, Transition::Finish).await;
    let on = one(&store, bucket(), NOW).await;
    assert_eq!((on.task().id, on.task().tries), (waiter, 1));
    // No task holds one of that task's keys any more.
    end(&store, on, waiting(WaitsFor::Keys(id))).await;
    assert_eq!(one(&store, bucket(), NOW).await.task().id, waiter);
}

async fn many_that_wait_for_one_thing_are_released_in_small_steps_the_oldest_first(
    backend: impl Backend,
) {
    let store = backend.open();
    let thing = Outside::Lane(Lane::Bucket("gone".into()));
    let names: Vec<String> = (0..501).map(|number| number.to_string()).collect();
    let rule = |name| (name, lane(), Turn::NotNeeded);
    let rules: Vec<_> = names.iter().map(String::as_str).map(rule).collect();
    store.record(arrival("k", 1, &rules), vec![]).await.unwrap();
    let mut waits = claim(&store, lane(), NOW).await;
    while let Some(held) = waits.pop() {
        end(&store, held, waiting(thing.clone())).await;
        if waits.is_empty() {
            waits = claim(&store, lane(), NOW).await;
        }
    }
    assert!(store.release(thing.clone(), NOW).await.unwrap());
    assert_eq!(store.waits().await.unwrap(), std::slice::from_ref(&thing));
    assert!(!store.release(thing, NOW).await.unwrap());
    assert_eq!(store.waits().await.unwrap(), []);
}

async fn unfinished_moves_keep_the_turn(backend: impl Backend) {
    let store = backend.open();
    let rules = [
        ("first", bucket(), Turn::Needed),
        ("second", bucket(), Turn::Needed),
    ];
    store.record(arrival("k", 1, &rules), vec![]).await.unwrap();
    let first = one(&store, bucket(), NOW).await;
    store
        .journal(
            &first,
            JournalEntry::Manifest(vec![moved(0, MovePhase::Copied)]),
            PRESENT,
        )
        .await
        .unwrap();
    let wait = Duration::from_mins(1);
    let due = NOW.plus(wait);
    let why = Failure::new(FailureKind::Timeout, "r");
    end(&store, first, Transition::RetryAfter { wait, why }).await;
    assert!(
        claim(&store, bucket(), NOW).await.is_empty(),
        "the second waits for the first"
    );
    let first = one(&store, bucket(), due).await;
    assert_eq!(
        (first.task().work.rule().as_ref(), first.task().tries),
        ("first", 2)
    );
    store
        .journal(
            &first,
            JournalEntry::Progress(vec![moved(0, MovePhase::Moved)]),
            PRESENT,
        )
        .await
        .unwrap();
    end(&store, first, Transition::Finish).await;
    assert_eq!(
        one(&store, bucket(), NOW).await.task().work.rule(),
        "second"
    );
}

async fn task_goes_on_with_its_next_step_under_a_new_claim(backend: impl Backend) {
    let store = backend.open();
    store
        .record(arrival("k", 1, &[("both", bucket(), Turn::Needed)]), vec![])
        .await
        .unwrap();
    let first = one(&store, bucket(), NOW).await;
    let mut settlement = ending(Transition::Advance(NextStep {
        step: 1,
        lane: lane(),
        turn: Turn::NotNeeded,
        hold: Hold::Keep,
    }));
    settlement
        .outputs
        .insert("rename".into(), serde_json::json!({ "key": "new" }));
    let Applied::Continues(next) = store.apply(first, settlement.clone(), NOW).await.unwrap()
    else {
        panic!()
    };
    assert_eq!(
        (next.task().step, next.task().tries, next.attempt()),
        (1, 1, 2)
    );
    assert_eq!(next.task().outputs, settlement.outputs);
    end(&store, *next, Transition::HandBack).await;
    let again = one(&store, lane(), NOW).await;
    assert_eq!((again.task().step, again.task().tries), (1, 1));
}

async fn probe_takes_the_due_task_with_the_most_tries_or_the_one_due_longest(
    backend: impl Backend,
) {
    let store = backend.open();
    let minute = Duration::from_mins(1);
    // Tries so far, and the wait after the last of them.
    let tasks = [
        (0, minute),
        (1, minute),
        (2, minute),
        (3, minute * 60),
        (2, minute),
    ];
    for number in 0..5 {
        let arrival = notify(&number.to_string(), number);
        store.record(arrival, vec![]).await.unwrap();
    }
    let number = |claim: &Claim| -> usize { claim.located().unwrap().place.key.parse().unwrap() };
    for _ in 0..3 {
        for claim in claim(&store, lane(), NOW).await {
            let (tries, last) = tasks[number(&claim)];
            let wait = if claim.task().tries == tries {
                last
            } else {
                Duration::ZERO
            };
            let why = Failure::new(FailureKind::Timeout, "r");
            let transition = match tries {
                0 => Transition::HandBack,
                _ => Transition::RetryAfter { wait, why },
            };
            end(&store, claim, transition).await;
        }
    }
    let mut probed = Vec::new();
    for _ in 0..5 {
        let probe = LaneRoom {
            whom: Whom::MostTried,
            ..LaneRoom::new(lane(), 1)
        };
        let claimed = store.claim(vec![probe], NOW.plus(minute)).await.unwrap();
        probed.extend(claimed.claims.iter().map(number));
    }
    assert_eq!(probed, [2, 4, 1, 0]);
}

async fn lanes_without_room_are_skipped_and_the_next_due_time_is_returned(backend: impl Backend) {
    let store = backend.open();
    for key in ["x", "y", "z"] {
        store.record(notify(key, 1), vec![]).await.unwrap();
    }
    let room = vec![LaneRoom::new(lane(), 2)];
    let claimed = store.claim(room, NOW).await.unwrap();
    assert_eq!((claimed.claims.len(), claimed.next_due), (2, Some(NOW)));
    assert!(claim(&store, bucket(), NOW).await.is_empty());
}

async fn committed_place_is_seen_by_its_event_and_not_by_a_later_one(backend: impl Backend) {
    let store = backend.open();
    let rules = [
        ("move", bucket(), Turn::Needed),
        ("tag", bucket(), Turn::Needed),
    ];
    store.record(arrival("k", 1, &rules), vec![]).await.unwrap();
    let first = one(&store, bucket(), NOW).await;
    assert_eq!(first.located().unwrap().place, place("k"));
    store
        .journal(&first, JournalEntry::Commit(place("new")), PRESENT)
        .await
        .unwrap();
    end(&store, first, Transition::Finish).await;
    let tag = one(&store, bucket(), NOW).await;
    let located = tag.located().unwrap();
    assert_eq!(located.place, place("new"));
    assert_eq!(
        located.moved_by,
        Some(MovedBy {
            rule: "move".into(),
            same_planning: true,
            took_it_whole: false,
        })
    );
    end(&store, tag, Transition::Finish).await;

    store
        .record(arrival("k", 2, &rules[..1]), vec![])
        .await
        .unwrap();
    assert_eq!(
        one(&store, bucket(), NOW).await.located().unwrap().place,
        place("k")
    );
}

async fn late_move_by_an_earlier_event_is_seen_by_the_later_one(backend: impl Backend) {
    let store = backend.open();
    let rules = [
        ("move", bucket(), Turn::Needed),
        ("tag", bucket(), Turn::Needed),
    ];
    store
        .record(arrival("k", 1, &rules[..1]), vec![])
        .await
        .unwrap();
    let early = one(&store, bucket(), NOW).await;
    let later = NOW.plus(Duration::from_mins(1));
    let again = || Transition::RetryAfter {
        wait: later.since(NOW),
        why: Failure::new(FailureKind::Timeout, "r"),
    };
    end(&store, early, again()).await;

    store.record(arrival("k", 2, &rules), vec![]).await.unwrap();
    let second = one(&store, bucket(), NOW).await;
    store
        .journal(&second, JournalEntry::Commit(place("x")), PRESENT)
        .await
        .unwrap();
    end(&store, second, Transition::Finish).await;
    let tag = one(&store, bucket(), NOW).await;
    end(&store, tag, again()).await;

    let early = one(&store, bucket(), later).await;
    store
        .journal(&early, JournalEntry::Commit(place("y")), PRESENT)
        .await
        .unwrap();
    end(&store, early, Transition::Finish).await;
    let tag = one(&store, bucket(), later).await;
    let located = tag.located().unwrap();
    assert_eq!(
        (tag.task().work.rule().as_ref(), &located.place),
        ("tag", &place("y"))
    );
    assert!(!located.moved_by.as_ref().unwrap().same_planning);
}

async fn recording_announced_again_after_it_was_forgotten_is_where_its_event_says(
    backend: impl Backend,
) {
    let store = backend.open();
    let rule = [("move", bucket(), Turn::Needed)];
    store.record(arrival("k", 1, &rule), vec![]).await.unwrap();
    let first = one(&store, bucket(), NOW).await;
    store
        .journal(&first, JournalEntry::Commit(place("x")), PRESENT)
        .await
        .unwrap();
    end(&store, first, Transition::Finish).await;
    store
        .record(arrival("other", 2, &[]), vec![])
        .await
        .unwrap();
    let day = Duration::from_hours(24);
    let keep = Retention {
        history: day,
        dedup_horizon: day,
    };
    let pruned = prune_after(&store, keep, day * 2).await;
    assert_eq!(
        pruned.events, 1,
        "the newest event keeps its key from being given again"
    );
    store.record(arrival("k", 1, &rule), vec![]).await.unwrap();
    assert_eq!(
        one(&store, bucket(), NOW).await.located().unwrap().place,
        place("k")
    );
}

async fn cancelled_task_whose_body_was_forgotten_cannot_be_retried(backend: impl Backend) {
    let store = backend.open();
    store.record(notify("k", 1), vec![]).await.unwrap();
    let claim = one(&store, lane(), NOW).await;
    let id = claim.task().id;
    end(&store, claim, Transition::Cancel).await;
    store.record(notify("newer", 2), vec![]).await.unwrap();
    let day = Duration::from_hours(24);
    let keep = Retention {
        history: day,
        dedup_horizon: day * 10,
    };
    prune_after(&store, keep, day * 2).await;
    let mut operator = backend.operator();
    assert_eq!(
        operator.retry_one(id, NOW).unwrap(),
        RetryOutcome::Forgotten
    );
    assert_eq!(store.figures(NOW).await.unwrap().cancelled, 1);
}

async fn moves_of_a_large_set_are_read_back_and_found_by_later_tasks(backend: impl Backend) {
    let store = backend.open();
    store
        .record(arrival("k", 1, &[("move", bucket(), Turn::Needed)]), vec![])
        .await
        .unwrap();
    let first = one(&store, bucket(), NOW).await;
    let moves: Vec<Move> = (0..25_000)
        .map(|number| moved(number, MovePhase::Moved))
        .collect();
    store
        .journal(&first, JournalEntry::Manifest(moves.clone()), PRESENT)
        .await
        .unwrap();
    let outline = store.outline(&first).await.unwrap().unwrap();
    assert_eq!((outline.count, outline.moved), (25_000, 25_000));
    assert_eq!(outline.main, moves[24_999]);
    let page = store.moves(&first, 9_000..10_000).await.unwrap();
    assert!(page == moves[9_000..10_000]);
    end(&store, first, Transition::Finish).await;
    store
        .record(arrival("k", 2, &[("move", bucket(), Turn::Needed)]), vec![])
        .await
        .unwrap();
    let later = one(&store, bucket(), NOW).await;
    let found = store
        .earlier_moves(&later, vec![place("from/9.ts"), place("x")])
        .await
        .unwrap();
    let found: Vec<Move> = found.into_iter().map(|earlier| earlier.one).collect();
    assert_eq!(found, [moves[9].clone()]);
}

async fn draft_that_was_not_completed_is_no_manifest_and_is_replaced(backend: impl Backend) {
    let store = backend.open();
    let rules = [
        ("first", bucket(), Turn::Needed),
        ("second", bucket(), Turn::Needed),
    ];
    store.record(arrival("k", 1, &rules), vec![]).await.unwrap();
    let first = one(&store, bucket(), NOW).await;
    let page = |numbers: std::ops::Range<u32>| -> Vec<Move> {
        let numbers = numbers.map(|number| moved(number, MovePhase::Planned));
        numbers.collect()
    };
    for numbers in [0..3, 3..5] {
        let entry = JournalEntry::Draft(page(numbers));
        store.journal(&first, entry, PRESENT).await.unwrap();
    }
    assert_eq!(store.outline(&first).await.unwrap(), None);
    assert!(store.moves(&first, 0..5).await.unwrap().is_empty());
    let numbers = |drafts: Vec<Move>| -> Vec<u32> { drafts.iter().map(|one| one.number).collect() };
    let drafts = store.drafts(&first, 1..4).await.unwrap();
    assert_eq!(numbers(drafts), [1, 2, 3]);
    let id = first.task().id;
    let operator = backend.operator();
    assert!(operator.task(id).unwrap().unwrap().moves.is_empty());
    // Nothing is half moved, so the recording's turn is free.
    end(&store, first, waiting(WaitsFor::ItsLane)).await;
    let second = one(&store, bucket(), NOW).await;
    assert_eq!(second.task().work.rule(), "second");
    end(&store, second, Transition::Finish).await;

    let first = one(&store, bucket(), NOW.plus(Duration::from_mins(1))).await;
    // The next try continues it.
    let drafts = store.drafts(&first, 0..9).await.unwrap();
    assert_eq!(numbers(drafts), [0, 1, 2, 3, 4]);
    let present = Move {
        target: Target::Present,
        target_etag: Some("e".into()),
        ..moved(1, MovePhase::Copied)
    };
    let whole = [page(0..1), vec![present], page(2..3)].concat();
    let (drafted, last) = whole.split_at(2);
    for entry in [
        JournalEntry::Draft(drafted.to_vec()),
        JournalEntry::Manifest(last.to_vec()),
    ] {
        store.journal(&first, entry, PRESENT).await.unwrap();
    }
    assert_eq!(store.moves(&first, 0..5).await.unwrap(), whole);
    let outline = store.outline(&first).await.unwrap().unwrap();
    assert_eq!((outline.count, outline.main), (3, whole[2].clone()));
    assert_eq!((outline.moved, outline.undone), (0, 0));
    assert_eq!((outline.objects, outline.bytes), (3, 21));
}

async fn draft_of_a_recording_that_another_task_has_moved_is_gone(backend: impl Backend) {
    let store = backend.open();
    let rules = [
        ("first", bucket(), Turn::Needed),
        ("second", bucket(), Turn::Needed),
    ];
    store.record(arrival("k", 1, &rules), vec![]).await.unwrap();
    let first = one(&store, bucket(), NOW).await;
    let page = |key: &str| {
        vec![Move {
            to: place(key),
            ..moved(0, MovePhase::Planned)
        }]
    };
    let draft = JournalEntry::Draft(page("to/first"));
    store.journal(&first, draft, PRESENT).await.unwrap();
    end(&store, first, waiting(WaitsFor::ItsLane)).await;

    let second = one(&store, bucket(), NOW).await;
    let moves = page("to/second");
    let place = moves[0].to.clone();
    for entry in [JournalEntry::Manifest(moves), JournalEntry::Commit(place)] {
        store.journal(&second, entry, PRESENT).await.unwrap();
    }
    end(&store, second, Transition::Finish).await;
    let first = one(&store, bucket(), NOW.plus(Duration::from_mins(1))).await;
    assert_eq!(store.drafts(&first, 0..9).await.unwrap(), []);
}

async fn person_retries_and_cancels_while_the_store_is_served(backend: impl Backend) {
    let store = backend.open();
    store.record(notify("k", 1), vec![]).await.unwrap();
    let dead = one(&store, lane(), NOW).await;
    let id = dead.task().id;
    end(
        &store,
        dead,
        Transition::Bury {
            why: Failure::new(FailureKind::Refused, "no"),
            notice: None,
        },
    )
    .await;

    let mut operator = backend.operator();
    let listed = operator
        .tasks(
            &TaskFilter {
                states: vec!["dead".into()],
                ..TaskFilter::default()
            },
            Page::newest(10),
        )
        .unwrap();
    assert_eq!(listed[0].failure.as_ref().unwrap().reason, "no");
    assert_eq!(operator.retry_one(id, NOW).unwrap(), RetryOutcome::Requeued);
    store.changed().await;
    let again = one(&store, lane(), NOW).await;
    assert_eq!(again.task().tries, 1);
    assert_eq!(
        operator.cancel_one(id, NOW).unwrap(),
        CancelOutcome::Requested
    );
    assert_eq!(store.cancel_requests(vec![id]).await.unwrap(), [id]);
    end(&store, again, Transition::Cancel).await;
    assert_eq!(
        operator.cancel_one(id, NOW).unwrap(),
        CancelOutcome::InState("cancelled")
    );
}

async fn task_that_is_cancelled_while_it_waits_for_its_turn_never_gets_it(backend: impl Backend) {
    let store = backend.open();
    let rules = ["first", "second", "third"].map(|rule| (rule, bucket(), Turn::Needed));
    store.record(arrival("k", 1, &rules), vec![]).await.unwrap();
    let first = one(&store, bucket(), NOW).await;
    let mut operator = backend.operator();
    let second = TaskId::derive(first.event().id, "second", 0);
    assert_eq!(
        operator.cancel_one(second, NOW).unwrap(),
        CancelOutcome::Cancelled
    );
    end(&store, first, Transition::Finish).await;
    assert_eq!(one(&store, bucket(), NOW).await.task().work.rule(), "third");
    assert_eq!(
        operator.retry_one(second, NOW).unwrap(),
        RetryOutcome::Requeued
    );
    assert!(claim(&store, bucket(), NOW).await.is_empty());
}

async fn old_history_is_forgotten_and_dead_tasks_stay(backend: impl Backend) {
    let store = backend.open();
    store.record(notify("done", 1), vec![]).await.unwrap();
    let claimed = one(&store, lane(), NOW).await;
    end(&store, claimed, Transition::Finish).await;
    store.record(notify("dead", 2), vec![]).await.unwrap();
    let claimed = one(&store, lane(), NOW).await;
    end(
        &store,
        claimed,
        Transition::Bury {
            why: Failure::new(FailureKind::Refused, "no"),
            notice: None,
        },
    )
    .await;
    let day = Duration::from_hours(24);
    let keep = Retention {
        history: day,
        dedup_horizon: day * 10,
    };
    let pruned = prune_after(&store, keep, day * 2).await;
    assert_eq!((pruned.bodies, pruned.events), (1, 0));
    let late = store.record(notify("done", 1), vec![]).await.unwrap();
    assert!(matches!(late, Recorded::Duplicate { .. }));
    let pruned = prune_after(&store, keep, day * 11).await;
    assert_eq!((pruned.events, pruned.tasks), (1, 1));
    assert_eq!(store.figures(NOW).await.unwrap().dead, 1);
}

async fn every_acknowledged_event_of_concurrent_calls_survives_reopening(backend: impl Backend) {
    let store = Arc::new(backend.open());
    let tasks: Vec<_> = (0..500)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                store
                    .record(notify(&format!("k{number}"), number), vec![])
                    .await
                    .is_ok()
            })
        })
        .collect();
    for task in tasks {
        assert!(task.await.unwrap());
    }
    drop(store);
    assert_eq!(backend.open().figures(NOW).await.unwrap().ready, 500);
}

async fn first_id_of_a_bucket_is_kept(backend: impl Backend) {
    let store = backend.open();
    let noted = async |store: &dyn Store, bucket: &str, found: Option<&str>| {
        let noted = store.bucket_id(bucket.to_owned(), found.map(str::to_owned));
        noted.await.unwrap()
    };
    assert_eq!(noted(&store, "b", None).await, None);
    for found in ["first", "second"] {
        let kept = noted(&store, "b", Some(found)).await;
        assert_eq!(kept.as_deref(), Some("first"));
    }
    drop(store);
    let store = backend.open();
    assert_eq!(noted(&store, "b", None).await.as_deref(), Some("first"));
    assert_eq!(noted(&store, "other", None).await, None);
}

async fn pause_stays_until_a_person_ends_it_whatever_the_breaker_does_meanwhile(
    backend: impl Backend,
) {
    let store = backend.open();
    store.mark_unknown_lanes(vec![lane()]).await.unwrap();
    let mut operator = backend.operator();
    let opening = Opening {
        since: NOW,
        why: "slow".into(),
        waits: 1,
        probe_at: NOW,
        wait: Duration::ZERO,
    };
    let pause = |why: &str| Pause {
        since: NOW,
        why: why.into(),
    };
    assert_eq!(
        operator.pause(&lane(), "first", NOW).unwrap(),
        LaneOutcome::Changed
    );
    let changes = [
        LaneChange::Opened(opening.clone()),
        LaneChange::Paused(pause("second")),
        LaneChange::Closed,
    ];
    for (change, open) in changes
        .into_iter()
        .zip([Some(&opening), Some(&opening), None])
    {
        store.change_lane(lane(), change).await.unwrap();
        let state = LaneState {
            paused: Some(pause("first")),
            open: open.cloned(),
        };
        assert_eq!(store.lane_states().await.unwrap(), [(lane(), state)]);
    }
    assert_eq!(
        operator.pause(&lane(), "third", NOW).unwrap(),
        LaneOutcome::Unchanged
    );
    assert_eq!(operator.resume(&lane()).unwrap(), LaneOutcome::Changed);
    assert_eq!(store.lane_states().await.unwrap(), []);
    assert_eq!(operator.resume(&lane()).unwrap(), LaneOutcome::Unchanged);
    assert_eq!(operator.resume(&bucket()).unwrap(), LaneOutcome::Unknown);
}
