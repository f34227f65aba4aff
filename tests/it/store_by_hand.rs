//! Bulk interventions of a person on tasks and events while the service runs.

use std::time::Duration;

use aftertake::model::event::Event;
use aftertake::model::failure::{Failure, FailureKind};
use aftertake::model::id::{EventId, TaskId};
use aftertake::model::intervention::{Act, By, Mode};
use aftertake::model::moves::MovePhase;
use aftertake::model::plan::{Plan, Turn};
use aftertake::model::restart::Restart;
use aftertake::model::task::{Lane, RevisionId};
use aftertake::model::time::Timestamp;
use aftertake::model::transition::Transition;
use aftertake::store::lists::{EventFilter, Page, TaskFilter, TaskRow};
use aftertake::store::operator::{
    CHUNK, CancelOutcome, Operator, Replay, ReplayOutcome, Replayed, RetryOutcome, Scope,
    StoppedTask, Under,
};
use aftertake::store::{Arrival, JournalEntry, Retention, Store};

use crate::store_contract::{
    NOW, PRESENT, arrival, bucket, claim, end, lane, moved, notify, one, prune_after,
};
use crate::support::backend::{Backend, shown_on_every_store};

const LATER: Timestamp = Timestamp::from_millis(NOW.millis() + 3_600_000);

/// A store, and an operator's connection to it.
struct Queue<B: Backend> {
    store: B::Store,
    operator: B::Operator,
    backend: B,
}

impl<B: Backend> Queue<B> {
    fn new(backend: B) -> Self {
        Self {
            store: backend.open(),
            operator: backend.operator(),
            backend,
        }
    }

    async fn store(&self, arrival: Arrival) {
        self.store.record(arrival, vec![]).await.unwrap();
    }

    /// Ends the only due task of the lane.
    async fn end(&self, lane: Lane, transition: Transition) -> TaskId {
        let claim = one(&self.store, lane, NOW).await;
        let id = claim.task().id;
        end(&self.store, claim, transition).await;
        id
    }

    /// Stores a task that dies while it notifies.
    async fn dead(&self, key: &str, kind: FailureKind) -> TaskId {
        self.store(notify(key, 1)).await;
        self.end(lane(), bury(kind)).await
    }

    /// Stores a task that dies during its rename.
    async fn half_moved(&self, phase: MovePhase) -> (EventId, TaskId) {
        self.store(arrival("k", 1, &[("move", bucket(), Turn::Needed)]))
            .await;
        let claim = one(&self.store, bucket(), NOW).await;
        let entry = JournalEntry::Manifest(vec![moved(0, phase)]);
        self.store.journal(&claim, entry, PRESENT).await.unwrap();
        let ids = (claim.event().id, claim.task().id);
        end(&self.store, claim, bury(FailureKind::Denied)).await;
        ids
    }

    fn everything(&self) -> String {
        let tasks = self
            .operator
            .tasks(&TaskFilter::default(), Page::newest(10_000))
            .unwrap();
        let detail = |task: &TaskRow| format!("{:?}\n", self.operator.task(task.id).unwrap());
        tasks.iter().map(detail).collect()
    }

    async fn forget(&self, history: Duration) {
        let keep = Retention {
            history,
            dedup_horizon: history * 10,
        };
        prune_after(&self.store, keep, history * 2).await;
    }
}

fn bury(kind: FailureKind) -> Transition {
    let why = Failure::new(kind, "no");
    Transition::Bury { why, notice: None }
}

fn ada() -> By {
    By {
        person: Some("ada".into()),
        why: Some("ticket 7".into()),
    }
}

fn under(restart: &dyn Fn(&StoppedTask) -> Result<Restart, String>) -> Under<'_> {
    Under {
        revision: RevisionId::of("today"),
        text: "today",
        restart,
    }
}

/// A plan with one notifying task per rule.
fn planning<'a>(rules: &'a [&'a str]) -> impl Fn(&Event, u32) -> Plan + 'a {
    move |event, generation| {
        let rules: Vec<_> = rules
            .iter()
            .map(|rule| (*rule, lane(), Turn::NotNeeded))
            .collect();
        let mut plan = arrival("any", 1, &rules).plan;
        plan.revision = RevisionId::of("today");
        for task in &mut plan.tasks {
            task.generation = generation;
            task.id = TaskId::derive(event.id, &task.rule, generation);
        }
        plan
    }
}

fn replay(scope: Scope, plan: &dyn Fn(&Event, u32) -> Plan) -> Replay<'_> {
    Replay {
        scope,
        plan,
        rules: "today",
    }
}

/// Rules of the created tasks; numbers of matching and of waiting rules.
fn made(outcome: &ReplayOutcome) -> (Vec<&str>, usize, usize) {
    let ReplayOutcome::Planned(Replayed {
        tasks,
        matches,
        unfinished,
    }) = outcome
    else {
        panic!("{outcome:?}")
    };
    let rules = tasks.iter().map(|task| task.rule.as_str()).collect();
    (rules, *matches, *unfinished)
}

shown_on_every_store! {
    dry_run_answers_what_a_retry_does_and_changes_nothing
    task_that_waits_for_a_time_is_made_due_and_its_tries_go_on
    what_a_person_does_is_part_of_the_history_and_forgotten_with_it
    task_under_other_rules_goes_on_where_they_say
    task_that_other_rules_refuse_stays_as_it_is
    what_own_rules_moved_is_not_left_to_other_rules
    rename_that_was_passed_hinders_no_later_step_under_other_rules
    cancelled_dead_task_no_longer_waits
    dead_task_with_copies_left_is_cancelled_by_the_service_which_removes_them
    list_and_walk_mean_the_same_tasks
    list_goes_on_after_the_last_row_that_was_shown
    walk_visits_each_row_once_whatever_changes_meanwhile
    events_are_filtered_by_room_and_time_of_arrival
    replay_makes_the_missing_tasks_once_and_lets_the_lanes_have_them
    full_replay_is_a_new_generation_except_where_work_still_waits
    event_that_no_rule_matched_gets_its_first_tasks_by_a_replay
    replayed_task_waits_for_the_turn_of_its_recording
    event_is_not_replayed_over_objects_that_were_left_half_moved
    event_without_its_body_or_unknown_is_not_replayed
    event_has_no_more_tasks_than_it_can_name
    dead_on_arrival_task_of_a_replay_is_dead_with_its_reason
}

async fn dry_run_answers_what_a_retry_does_and_changes_nothing(backend: impl Backend) {
    let mut queue = Queue::new(backend);
    let dead = queue.dead("dead", FailureKind::Refused).await;
    queue.store(notify("waits", 2)).await;
    let waits = TaskId::derive(notify("waits", 2).event.id, "announce", 0);
    let nobody = TaskId::from_bytes([0; 16]);
    let ids = [dead, waits, nobody, dead];
    let before = queue.everything();
    let dry = queue
        .operator
        .retry(&ids, None, Mode::DryRun, LATER)
        .unwrap();
    assert_eq!(queue.everything(), before);

    let by = ada();
    let done = queue
        .operator
        .retry(&ids, None, Mode::Real(&by), LATER)
        .unwrap();
    let ready = RetryOutcome::InState("ready");
    let expected = [RetryOutcome::Requeued, ready.clone(), RetryOutcome::Unknown];
    assert_eq!(dry[..3], expected);
    assert_eq!((&done[..3], &done[3]), (&expected[..], &ready));
    let again = one(&queue.store, lane(), NOW).await;
    assert_eq!(again.task().id, waits, "the other one is due later");
    let again = one(&queue.store, lane(), LATER).await;
    assert_eq!((again.task().tries, again.task().since), (1, LATER));
}

async fn task_that_waits_for_a_time_is_made_due_and_its_tries_go_on(backend: impl Backend) {
    let mut queue = Queue::new(backend);
    queue.store(notify("k", 1)).await;
    let again = Transition::RetryAfter {
        wait: Duration::from_hours(2),
        why: Failure::new(FailureKind::Timeout, "slow"),
    };
    let waits = queue.end(lane(), again).await;
    let ids = [waits];
    let dry = queue
        .operator
        .retry(&ids, None, Mode::DryRun, LATER)
        .unwrap();
    let done = queue
        .operator
        .retry(&ids, None, Mode::Real(&ada()), LATER)
        .unwrap();
    assert_eq!(dry, [RetryOutcome::DueNow]);
    assert_eq!(done, dry);
    let again = queue
        .operator
        .retry(&ids, None, Mode::Real(&ada()), LATER)
        .unwrap();
    assert_eq!(again, [RetryOutcome::InState("ready")], "it is due already");
    let detail = queue.operator.task(waits).unwrap().unwrap();
    let [retried] = &detail.interventions[..] else {
        panic!("{:?}", detail.interventions)
    };
    assert_eq!(
        (retried.act, retried.was.as_deref()),
        (Act::Retried, Some("ready"))
    );

    assert!(claim(&queue.store, lane(), NOW).await.is_empty());
    let claimed = one(&queue.store, lane(), LATER).await;
    assert_eq!((claimed.task().tries, claimed.task().since), (2, NOW));
}

async fn what_a_person_does_is_part_of_the_history_and_forgotten_with_it(backend: impl Backend) {
    let mut queue = Queue::new(backend);
    let id = queue.dead("k", FailureKind::Refused).await;
    queue.store(notify("newest", 2)).await;
    let by = ada();
    queue
        .operator
        .retry(&[id], None, Mode::Real(&by), NOW)
        .unwrap();
    queue
        .operator
        .cancel(&[id], Mode::Real(&by), LATER)
        .unwrap();
    let refused = queue
        .operator
        .cancel(&[id], Mode::Real(&by), LATER)
        .unwrap();
    assert_eq!(refused, [CancelOutcome::InState("cancelled")]);

    let detail = queue.operator.task(id).unwrap().unwrap();
    let [retried, cancelled] = &detail.interventions[..] else {
        panic!("{:?}", detail.interventions)
    };
    assert_eq!((retried.act, cancelled.act), (Act::Retried, Act::Cancelled));
    assert_eq!(retried.was.as_deref(), Some("dead"));
    assert_eq!(retried.failure.as_ref().unwrap().reason, "no");
    assert_eq!((retried.at, cancelled.at), (NOW, LATER));
    assert_eq!(cancelled.was.as_deref(), Some("ready"));
    let told = (cancelled.by.as_deref(), cancelled.why.as_deref());
    assert_eq!(told, (Some("ada"), Some("ticket 7")));
    let event = queue.operator.event(detail.row.event).unwrap().unwrap();
    assert_eq!(event.interventions[0], (id, retried.clone()));

    queue.forget(Duration::from_hours(24)).await;
    let detail = queue.operator.task(id).unwrap().unwrap();
    assert!(detail.interventions.is_empty());
}

async fn task_under_other_rules_goes_on_where_they_say(backend: impl Backend) {
    let mut queue = Queue::new(backend);
    let id = queue.dead("k", FailureKind::Refused).await;
    let crm = Lane::Destination("crm".into());
    let restart = |stopped: &StoppedTask| {
        assert_eq!((stopped.task.id, stopped.task.step), (id, 0));
        assert_eq!(stopped.event.fields.room.as_deref(), Some("class-7"));
        assert_eq!(stopped.place.as_ref().unwrap().key, "k");
        assert_eq!(stopped.rules, None, "the test stored none");
        Ok(Restart {
            step: 2,
            lane: Lane::Destination("crm".into()),
            turn: Turn::NotNeeded,
            renames: vec![],
        })
    };
    let by = ada();
    let done = queue
        .operator
        .retry(&[id], Some(&under(&restart)), Mode::Real(&by), NOW)
        .unwrap();
    assert_eq!(done, [RetryOutcome::Requeued]);
    let again = one(&queue.store, crm, NOW).await;
    let task = again.task();
    assert_eq!((task.id, task.step, task.tries), (id, 2, 1));
    assert_eq!(task.revision, RevisionId::of("today"));
    let kept = queue.store.revision(task.revision).await.unwrap();
    assert_eq!(kept.as_deref(), Some("today"));
    let detail = queue.operator.task(id).unwrap().unwrap();
    let rules = detail.interventions[0].rules.clone();
    assert_eq!(rules, Some(RevisionId::of("today").to_string()));
}

async fn task_that_other_rules_refuse_stays_as_it_is(backend: impl Backend) {
    let mut queue = Queue::new(backend);
    let id = queue.dead("k", FailureKind::Refused).await;
    let restart = |_: &StoppedTask| Err("no such rule".to_owned());
    let before = queue.everything();
    let by = ada();
    let done = queue
        .operator
        .retry(&[id], Some(&under(&restart)), Mode::Real(&by), NOW)
        .unwrap();
    assert_eq!(done, [RetryOutcome::Refused("no such rule".into())]);
    assert_eq!(queue.everything(), before);
}

async fn what_own_rules_moved_is_not_left_to_other_rules<B: Backend>(_: B) {
    for (phase, word) in [
        (MovePhase::Planned, "half done"),
        (MovePhase::Copied, "half done"),
        (MovePhase::Moved, "has moved the recording"),
        (MovePhase::Undone, ""),
    ] {
        let mut queue = Queue::new(B::default());
        let (_, id) = queue.half_moved(phase).await;
        let restart = |_: &StoppedTask| {
            Ok(Restart {
                step: 0,
                lane: bucket(),
                turn: Turn::Needed,
                renames: vec![0],
            })
        };
        let under = under(&restart);
        let by = ada();
        let dry = queue.operator.retry(&[id], Some(&under), Mode::DryRun, NOW);
        let dry = dry.unwrap();
        let done = queue
            .operator
            .retry(&[id], Some(&under), Mode::Real(&by), NOW);
        let done = done.unwrap();
        assert_eq!(dry, done);
        match &done[0] {
            RetryOutcome::Requeued => assert_eq!(phase, MovePhase::Undone),
            RetryOutcome::Refused(why) => {
                assert!(!word.is_empty() && why.contains(word), "{phase:?}: {why}");
                let own = queue
                    .operator
                    .retry(&[id], None, Mode::Real(&by), NOW)
                    .unwrap();
                assert_eq!(own, [RetryOutcome::Requeued]);
            }
            other => panic!("{other:?}"),
        }
    }
}

async fn rename_that_was_passed_hinders_no_later_step_under_other_rules(backend: impl Backend) {
    let mut queue = Queue::new(backend);
    let (_, id) = queue.half_moved(MovePhase::Moved).await;
    let restart = |_: &StoppedTask| {
        Ok(Restart {
            step: 1,
            lane: lane(),
            turn: Turn::NotNeeded,
            renames: vec![2],
        })
    };
    let done = queue
        .operator
        .retry(&[id], Some(&under(&restart)), Mode::Real(&ada()), NOW);
    assert_eq!(done.unwrap(), [RetryOutcome::Requeued]);
}

async fn cancelled_dead_task_no_longer_waits(backend: impl Backend) {
    let mut queue = Queue::new(backend);
    queue.store.mark_unknown_lanes(vec![lane()]).await.unwrap();
    let id = queue.dead("k", FailureKind::Refused).await;
    queue.store(notify("newest", 2)).await;
    let ids = [id];
    let dry = queue.operator.cancel(&ids, Mode::DryRun, NOW).unwrap();
    let done = queue
        .operator
        .cancel(&ids, Mode::Real(&ada()), NOW)
        .unwrap();
    assert_eq!(
        (dry, &done[..]),
        (done.clone(), &[CancelOutcome::Cancelled][..])
    );
    let figures = queue.store.figures(NOW).await.unwrap();
    assert_eq!((figures.dead, figures.cancelled, figures.ready), (0, 1, 1));
    let later = queue.store.figures(LATER).await.unwrap();
    assert_eq!(
        (figures.oldest_due, later.oldest_due),
        (None, Some(LATER.since(NOW)))
    );
    let day = Duration::from_hours(24);
    let keep = Retention {
        history: day,
        dedup_horizon: day,
    };
    let pruned = prune_after(&queue.store, keep, day * 2).await;
    assert_eq!(pruned.tasks, 1);
}

async fn dead_task_with_copies_left_is_cancelled_by_the_service_which_removes_them(
    backend: impl Backend,
) {
    let mut queue = Queue::new(backend);
    let (_, id) = queue.half_moved(MovePhase::Copied).await;
    let done = queue
        .operator
        .cancel(&[id], Mode::Real(&ada()), NOW)
        .unwrap();
    assert_eq!(done, [CancelOutcome::Requested]);
    let again = queue
        .operator
        .cancel(&[id], Mode::Real(&ada()), NOW)
        .unwrap();
    assert_eq!(again, [CancelOutcome::Requested]);
    let detail = queue.operator.task(id).unwrap().unwrap();
    assert_eq!(detail.interventions.len(), 1, "it was asked for once");
    let claim = one(&queue.store, bucket(), NOW).await;
    assert!(claim.cancel_requested());
    assert_eq!(claim.task().tries, 1);
    end(&queue.store, claim, Transition::Cancel).await;
    let figures = queue.store.figures(NOW).await.unwrap();
    let left = (figures.dead, figures.ready, figures.running);
    assert_eq!((left, figures.cancelled), ((0, 0, 0), 1));
}

async fn list_and_walk_mean_the_same_tasks(backend: impl Backend) {
    let queue = Queue::new(backend);
    let first = queue.dead("refused", FailureKind::Refused).await;
    let mut late = notify("timeout", 1);
    let mut event = Event::clone(&late.event);
    (event.received, event.fields.room) = (LATER, Some("lab-1".into()));
    late.event = event.into();
    queue.store(late).await;
    let claims = claim(&queue.store, lane(), LATER).await;
    for claim in claims {
        end(&queue.store, claim, bury(FailureKind::Timeout)).await;
    }
    let rules = [("other", bucket(), Turn::Needed)];
    queue.store(arrival("waits", 1, &rules)).await;

    let some = |change: &dyn Fn(&mut TaskFilter)| {
        let mut filter = TaskFilter::default();
        change(&mut filter);
        filter
    };
    let listed = |filter: &TaskFilter| {
        let page = Page::newest(10);
        let mut listed = queue.operator.tasks(filter, page).unwrap();
        listed.reverse();
        let mut walk = queue.operator.walk_tasks(filter.clone()).unwrap();
        let walked = queue.operator.next_tasks(&mut walk).unwrap();
        assert_eq!(listed, walked, "{filter:?}");
        assert!(queue.operator.next_tasks(&mut walk).unwrap().is_empty());
        listed
    };
    for (filter, expected) in [
        (some(&|_| ()), 3),
        (some(&|one| one.rule = Some("announce".into())), 2),
        (some(&|one| one.room = Some("lab-1".into())), 1),
        (some(&|one| one.since = Some(LATER)), 1),
        (some(&|one| one.until = Some(LATER)), 2),
        (some(&|one| one.since = Some(NOW)), 3),
        (some(&|one| one.until = Some(NOW)), 0),
        (some(&|one| one.failure = Some(FailureKind::Timeout)), 1),
        (some(&|one| one.destination = Some("lms".into())), 2),
        (some(&|one| one.destination = Some("b".into())), 0),
        (some(&|one| one.leaves = true), 0),
    ] {
        assert_eq!(listed(&filter).len(), expected, "{filter:?}");
        let states = vec!["dead".to_owned()];
        let dead = listed(&TaskFilter { states, ..filter });
        assert!(dead.iter().all(|row| row.state == "dead"));
        assert!(dead.len() <= expected.min(2));
    }
    let of = |states: &[&str]| {
        let states = states.iter().copied().map(str::to_owned).collect();
        listed(&some(&|one| one.states.clone_from(&states)))
    };
    let dead = of(&["dead"]);
    assert_eq!((dead.len(), dead[0].id), (2, first));
    assert_eq!(of(&["ready", "dead"]).len(), 3);
    assert_eq!(of(&["done", "running"]), []);
}

async fn list_goes_on_after_the_last_row_that_was_shown(backend: impl Backend) {
    let queue = Queue::new(backend);
    for number in 0..5 {
        queue.store(notify(&format!("{number}"), 1)).await;
    }
    let tasks = TaskFilter::default();
    let all = queue.operator.tasks(&tasks, Page::newest(10)).unwrap();
    let events = EventFilter::default();
    let all_events = queue.operator.events(&events, Page::newest(10)).unwrap();
    assert_eq!((all.len(), all_events.len()), (5, 5));
    queue.store(notify("came later", 1)).await;
    for (number, (task, event)) in all.iter().zip(&all_events).enumerate() {
        let rest = number + 1..all.len().min(number + 3);
        let page = |before| Page { limit: 2, before };
        let before = queue.operator.task_cursor(task.id).unwrap();
        assert!(before.is_some());
        let next = queue.operator.tasks(&tasks, page(before)).unwrap();
        assert_eq!(next, all[rest.clone()]);
        let before = queue.operator.event_cursor(event.id).unwrap();
        assert!(before.is_some());
        let next = queue.operator.events(&events, page(before)).unwrap();
        assert_eq!(next, all_events[rest]);
    }
    let nobody = TaskId::from_bytes([0; 16]);
    assert_eq!(queue.operator.task_cursor(nobody).unwrap(), None);
    let none = EventId::from_bytes([0; 16]);
    assert_eq!(queue.operator.event_cursor(none).unwrap(), None);
}

async fn walk_visits_each_row_once_whatever_changes_meanwhile(backend: impl Backend) {
    let mut queue = Queue::new(backend);
    let count = CHUNK * 2 + 1;
    for number in 0..count {
        queue.store(notify(&format!("{number}"), 1)).await;
    }
    let mut walk = queue.operator.walk_tasks(TaskFilter::default());
    let walk = walk.as_mut().unwrap();
    let mut events = queue.operator.walk_events(EventFilter::default());
    let events = events.as_mut().unwrap();
    queue.store(notify("came later", 1)).await;
    let mut met: Vec<TaskId> = Vec::new();
    loop {
        let ids: Vec<TaskId> = queue
            .operator
            .next_tasks(walk)
            .unwrap()
            .iter()
            .map(|row| row.id)
            .collect();
        if ids.is_empty() {
            break;
        }
        assert!(ids.len() <= CHUNK);
        queue
            .operator
            .cancel(&ids, Mode::Real(&ada()), NOW)
            .unwrap();
        queue
            .operator
            .retry(&ids, None, Mode::Real(&ada()), NOW)
            .unwrap();
        met.extend(ids);
    }
    assert_eq!(met.len(), count);
    met.sort_unstable();
    met.dedup();
    assert_eq!(met.len(), count);
    let mut chunks = Vec::new();
    loop {
        let chunk = queue.operator.next_events(events).unwrap().len();
        if chunk == 0 {
            break;
        }
        chunks.push(chunk);
    }
    assert_eq!(chunks, [CHUNK, CHUNK, 1]);
}

async fn events_are_filtered_by_room_and_time_of_arrival(backend: impl Backend) {
    let queue = Queue::new(backend);
    queue.store(notify("k", 1)).await;
    for (filter, expected) in [
        (EventFilter::default(), 1),
        (
            EventFilter {
                room: Some("class-7".into()),
                since: Some(NOW),
                until: Some(LATER),
            },
            1,
        ),
        (
            EventFilter {
                room: Some("class-8".into()),
                ..EventFilter::default()
            },
            0,
        ),
        (
            EventFilter {
                since: Some(LATER),
                ..EventFilter::default()
            },
            0,
        ),
        (
            EventFilter {
                until: Some(NOW),
                ..EventFilter::default()
            },
            0,
        ),
    ] {
        let listed = queue.operator.events(&filter, Page::newest(10)).unwrap();
        let mut walk = queue.operator.walk_events(filter.clone()).unwrap();
        assert_eq!(queue.operator.next_events(&mut walk).unwrap(), listed);
        assert_eq!(listed.len(), expected, "{filter:?}");
    }
}

async fn replay_makes_the_missing_tasks_once_and_lets_the_lanes_have_them(backend: impl Backend) {
    let mut queue = Queue::new(backend);
    // Tasks of another event do not count.
    queue
        .store(arrival("other", 0, &[("added", bucket(), Turn::NotNeeded)]))
        .await;
    queue.store(notify("k", 1)).await;
    let event = notify("k", 1).event.id;
    queue.end(lane(), Transition::Finish).await;
    let plan = planning(&["announce", "added"]);
    let missing = replay(Scope::Missing, &plan);
    let before = queue.everything();
    let dry = queue
        .operator
        .replay(&[event], &missing, Mode::DryRun, NOW)
        .unwrap();
    assert_eq!(queue.everything(), before);
    let by = ada();
    let done = queue
        .operator
        .replay(&[event], &missing, Mode::Real(&by), LATER)
        .unwrap();
    assert_eq!(dry, done);
    assert_eq!(made(&done[0]), (vec!["added"], 2, 0));
    let again = queue
        .operator
        .replay(&[event], &missing, Mode::Real(&by), LATER)
        .unwrap();
    assert_eq!(made(&again[0]), (vec![], 2, 0));

    assert!(claim(&queue.store, lane(), NOW).await.is_empty());
    let claim = one(&queue.store, lane(), LATER).await;
    let task = claim.task();
    assert_eq!((&*task.work.rule(), task.generation), ("added", 0));
    assert_eq!((task.since, task.tries), (LATER, 1));
    assert_eq!(task.revision, RevisionId::of("today"));
    assert_eq!(claim.event().received, NOW);
    let kept = queue.store.revision(task.revision).await.unwrap();
    assert_eq!(kept.as_deref(), Some("today"));
    let detail = queue.operator.task(task.id).unwrap().unwrap();
    let [replayed] = &detail.interventions[..] else {
        panic!("{:?}", detail.interventions)
    };
    assert_eq!((replayed.act, replayed.at), (Act::Replayed, LATER));
    assert_eq!(replayed.was, None);
}

async fn full_replay_is_a_new_generation_except_where_work_still_waits(backend: impl Backend) {
    let mut queue = Queue::new(backend);
    let event = notify("k", 1).event.id;
    queue.store(notify("k", 1)).await;
    let plan = planning(&["announce", "added"]);
    let all = replay(Scope::All, &plan);
    let by = ada();
    let first = queue
        .operator
        .replay(&[event], &all, Mode::Real(&by), NOW)
        .unwrap();
    assert_eq!(made(&first[0]), (vec!["added"], 2, 1));
    let twice = queue
        .operator
        .replay(&[event], &all, Mode::Real(&by), NOW)
        .unwrap();
    assert_eq!(made(&twice[0]), (vec![], 2, 2));
    for claim in claim(&queue.store, lane(), NOW).await {
        end(&queue.store, claim, Transition::Finish).await;
    }
    let third = queue
        .operator
        .replay(&[event], &all, Mode::Real(&by), NOW)
        .unwrap();
    assert_eq!(made(&third[0]), (vec!["announce", "added"], 2, 0));
    let mut again = claim(&queue.store, lane(), NOW).await;
    again.sort_by_key(|claim| claim.task().work.rule().into_owned());
    let tasks = again
        .iter()
        .map(|claim| (claim.task().id, claim.task().generation));
    let expected = ["added", "announce"].map(|rule| (TaskId::derive(event, rule, 2), 2));
    assert_eq!(tasks.collect::<Vec<_>>(), expected);
}

async fn event_that_no_rule_matched_gets_its_first_tasks_by_a_replay(backend: impl Backend) {
    let mut queue = Queue::new(backend);
    queue.store(arrival("k", 1, &[])).await;
    let event = notify("k", 1).event.id;
    for scope in [Scope::Missing, Scope::All] {
        let plan = planning(&["other"]);
        let dry = queue
            .operator
            .replay(&[event], &replay(scope, &plan), Mode::DryRun, NOW);
        assert_eq!(made(&dry.unwrap()[0]), (vec!["other"], 1, 0));
    }
    let plan = planning(&["other"]);
    let missing = replay(Scope::Missing, &plan);
    queue
        .operator
        .replay(&[event], &missing, Mode::Real(&ada()), NOW)
        .unwrap();
    let claim = one(&queue.store, lane(), NOW).await;
    assert_eq!(claim.task().id, TaskId::derive(event, "other", 0));
    let shown = queue.operator.event(event).unwrap().unwrap();
    assert_eq!(shown.interventions[0].0, claim.task().id);
}

async fn replayed_task_waits_for_the_turn_of_its_recording(backend: impl Backend) {
    let mut queue = Queue::new(backend);
    let rules = |rule| [(rule, bucket(), Turn::Needed)];
    queue.store(arrival("k", 1, &rules("first"))).await;
    let first = one(&queue.store, bucket(), NOW).await;
    let plan = |event: &Event, generation| {
        let mut plan = arrival("k", 1, &rules("second")).plan;
        plan.tasks[0].id = TaskId::derive(event.id, "second", generation);
        plan
    };
    let missing = replay(Scope::Missing, &plan);
    let event = first.event().id;
    queue
        .operator
        .replay(&[event], &missing, Mode::Real(&ada()), NOW)
        .unwrap();
    assert!(claim(&queue.store, bucket(), NOW).await.is_empty());
    end(&queue.store, first, Transition::Finish).await;
    let second = one(&queue.store, bucket(), NOW).await;
    assert_eq!(second.task().work.rule(), "second");
}

async fn event_is_not_replayed_over_objects_that_were_left_half_moved(backend: impl Backend) {
    let mut queue = Queue::new(backend);
    let (event, task) = queue.half_moved(MovePhase::Copied).await;
    let plan = planning(&["move", "added"]);
    for scope in [Scope::Missing, Scope::All] {
        let replay = replay(scope, &plan);
        let done = queue
            .operator
            .replay(&[event], &replay, Mode::Real(&ada()), NOW);
        assert_eq!(done.unwrap(), [ReplayOutcome::HalfMoved(task)]);
    }
    assert_eq!(queue.store.figures(NOW).await.unwrap().ready, 0);
}

async fn event_without_its_body_or_unknown_is_not_replayed(backend: impl Backend) {
    let mut queue = Queue::new(backend);
    queue.store(notify("k", 1)).await;
    queue.end(lane(), Transition::Finish).await;
    queue.store(notify("newest", 2)).await;
    queue.forget(Duration::from_hours(24)).await;
    let plan = planning(&["added"]);
    let replay = replay(Scope::Missing, &plan);
    let events = [notify("k", 1).event.id, EventId::from_bytes([0; 16])];
    let done = queue
        .operator
        .replay(&events, &replay, Mode::Real(&ada()), NOW)
        .unwrap();
    let expected = [ReplayOutcome::Forgotten, ReplayOutcome::Unknown];
    assert_eq!(done, expected);
    assert_eq!(
        queue
            .backend
            .operator()
            .replay(&events, &replay, Mode::DryRun, NOW)
            .unwrap(),
        done
    );
}

async fn event_has_no_more_tasks_than_it_can_name(backend: impl Backend) {
    let mut queue = Queue::new(backend);
    let event = notify("k", 1).event.id;
    queue.store(notify("k", 1)).await;
    let names: Vec<String> = (0..65_536).map(|number| number.to_string()).collect();
    let rules: Vec<&str> = names.iter().map(String::as_str).collect();
    for (count, is_full) in [(65_535, false), (65_536, true)] {
        let plan = planning(&rules[..count]);
        let replay = replay(Scope::Missing, &plan);
        let done = queue
            .operator
            .replay(&[event], &replay, Mode::DryRun, NOW)
            .unwrap();
        if is_full {
            assert_eq!(done, [ReplayOutcome::Full]);
        } else {
            assert_eq!(made(&done[0]).0.len(), count);
        }
    }
}

async fn dead_on_arrival_task_of_a_replay_is_dead_with_its_reason(backend: impl Backend) {
    let mut queue = Queue::new(backend);
    queue.store(arrival("k", 1, &[])).await;
    let event = notify("k", 1).event.id;
    let good = planning(&["other"]);
    let plan = |event: &Event, generation| {
        let mut plan = good(event, generation);
        plan.tasks[0].dead_on_arrival = Some(Failure::new(FailureKind::Forbidden, "no bucket"));
        plan
    };
    let missing = replay(Scope::Missing, &plan);
    queue
        .operator
        .replay(&[event], &missing, Mode::Real(&ada()), NOW)
        .unwrap();
    let task = &queue.operator.event(event).unwrap().unwrap().tasks[0];
    assert_eq!(task.state, "dead");
    assert_eq!(task.failure.as_ref().unwrap().reason, "no bucket");
}
