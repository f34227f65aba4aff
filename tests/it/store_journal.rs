//! What a store records of moves and of the tasks that make them.

use std::sync::Arc;
use std::time::Duration;

use aftertake::model::event::Event;
use aftertake::model::id::TaskId;
use aftertake::model::intervention::{By, Mode};
use aftertake::model::moves::{Move, MovePhase, PutBy, SameOrigin};
use aftertake::model::plan::{Plan, Turn};
use aftertake::model::time::Timestamp;
use aftertake::model::transition::Transition;
use aftertake::model::wait::WaitsFor;
use aftertake::store::operator::{Operator, Replay, Scope};
use aftertake::store::{Arrival, Claim, JournalEntry, Store};

use crate::store_contract::{NOW, PRESENT, arrival, bucket, end, moved, one, place, waiting};
use crate::support::backend::{Backend, shown_on_every_store};
use crate::support::operator::why_waits;

shown_on_every_store! {
    earlier_move_says_whether_it_was_for_the_same_recording
    move_from_another_key_says_whether_it_was_for_the_same_job_and_from_its_own_key
    store_says_what_other_recordings_tasks_have_put_at_a_key
    task_that_runs_again_no_longer_says_why_it_waited
    event_that_was_stored_before_its_recording_was_moved_knows_that_it_moved_whole
    recordings_of_two_jobs_under_one_key_are_each_where_it_was_moved
    recording_that_another_jobs_has_replaced_is_nowhere_and_not_where_it_was_recorded
    recording_of_a_job_is_where_a_task_without_one_has_moved_it
}

/// The recorder's job, and at which second the recording began.
type Begun = (Option<&'static str>, Option<i64>);

/// An arrival of the recording `k` for this job of the recorder.
fn of_job(time: i64, job: Option<&'static str>) -> Arrival {
    begun("k", time, (job, None))
}

fn begun(key: &str, time: i64, (job, start): Begun) -> Arrival {
    let mut arrival = arrival(key, time, &[("move", bucket(), Turn::Needed)]);
    let event = Arc::make_mut(&mut arrival.event);
    let mut body: serde_json::Value = serde_json::from_slice(&event.body).unwrap();
    if let Some(job) = job {
        event.fields.job = Some(job.to_owned());
        body["job_id"] = job.into();
    }
    if let Some(start) = start.map(|start| Timestamp::from_millis(start * 1000)) {
        event.fields.start_time = Some(start);
        body["start_time"] = start.to_string().into();
    }
    event.body = body.to_string().into();
    arrival
}

async fn earlier_move_says_whether_it_was_for_the_same_recording<B: Backend>(_: B) {
    let (begun_1, begun_2) = ((Some("a"), Some(1)), (Some("a"), Some(2)));
    for (first, second, origin) in [
        (begun_1, begun_1, SameOrigin::Yes),
        (begun_1, begun_2, SameOrigin::No),
        (begun_1, (Some("a"), None), SameOrigin::Likely),
        (begun_1, (Some("b"), Some(1)), SameOrigin::No),
        (begun_1, (None, None), SameOrigin::Unknown),
        ((None, None), begun_1, SameOrigin::Unknown),
    ] {
        let backend = B::default();
        let store = backend.open();
        store.record(begun("k", 1, first), vec![]).await.unwrap();
        let claim = one(&store, bucket(), NOW).await;
        let entry = JournalEntry::Manifest(vec![moved(0, MovePhase::Moved)]);
        store.journal(&claim, entry, PRESENT).await.unwrap();
        end(&store, claim, Transition::Finish).await;
        store.record(begun("k", 2, second), vec![]).await.unwrap();
        let claim = one(&store, bucket(), NOW).await;
        let from = vec![place("from/0.ts")];
        let earlier = store.earlier_moves(&claim, from).await.unwrap();
        assert_eq!(earlier[0].origin, origin, "{first:?} {second:?}");
    }
}

fn copied(from: &str, to: &str, phase: MovePhase) -> Move {
    Move {
        from: place(from),
        to: place(to),
        target_etag: Some(format!("at {to}")),
        ..moved(0, phase)
    }
}

/// Records this arrival and moves it; returns the task's id.
async fn moves(store: &impl Store, arrival: Arrival, from: &str, to: &str) -> TaskId {
    store.record(arrival, vec![]).await.unwrap();
    let mover = one(store, bucket(), NOW).await;
    let id = mover.task().id;
    for entry in [
        JournalEntry::Manifest(vec![copied(from, to, MovePhase::Moved)]),
        JournalEntry::Commit(place(to)),
    ] {
        store.journal(&mover, entry, PRESENT).await.unwrap();
    }
    end(store, mover, Transition::Finish).await;
    id
}

/// Playlists of one job need not begin at once.
async fn move_from_another_key_says_whether_it_was_for_the_same_job_and_from_its_own_key<
    B: Backend,
>(
    _: B,
) {
    let begun_1 = (Some("a"), Some(1));
    for (asks, origin) in [
        (begun_1, SameOrigin::Likely),
        ((Some("a"), Some(2)), SameOrigin::Likely),
        ((Some("b"), Some(1)), SameOrigin::No),
        ((None, None), SameOrigin::Unknown),
    ] {
        let backend = B::default();
        let store = backend.open();
        moves(&store, begun("k", 1, begun_1), "k", "x").await;
        moves(&store, begun("k", 2, begun_1), "x", "y").await;
        store.record(begun("x", 3, asks), vec![]).await.unwrap();
        let claim = one(&store, bucket(), NOW).await;
        for (from, is_from_named) in [("k", true), ("x", false)] {
            let made = store.made_from(&claim, vec![place(from)]).await.unwrap();
            let made = &made[0];
            assert!(!made.is_of_this_key);
            assert_eq!(
                (made.origin, made.is_from_named),
                (origin, is_from_named),
                "{from}"
            );
        }
    }
}

async fn store_says_what_other_recordings_tasks_have_put_at_a_key(backend: impl Backend) {
    let store = backend.open();
    let begun_1 = (Some("a"), Some(1));
    let by = moves(&store, begun("k", 1, begun_1), "k", "x").await;
    // Its copy could not be removed.
    store.record(begun("c", 2, begun_1), vec![]).await.unwrap();
    let gave_up = one(&store, bucket(), NOW).await;
    let left_by = gave_up.task().id;
    for entry in [
        JournalEntry::Manifest(vec![copied("c", "y", MovePhase::Planned)]),
        JournalEntry::Progress(vec![copied("c", "y", MovePhase::Kept)]),
    ] {
        store.journal(&gave_up, entry, PRESENT).await.unwrap();
    }
    end(&store, gave_up, Transition::Cancel).await;

    let begun_2 = (Some("a"), Some(2));
    let own = (None, None);
    for (number, key, origin, at, put) in [
        (3, "x", begun_2, "x", Some(by)),
        (4, "x", own, "x", Some(by)),
        (5, "y", begun_2, "y", Some(left_by)),
        (6, "x", begun_2, "k", None),
        (7, "k", begun_1, "x", None),
        (8, "k", own, "x", None),
        (9, "k", begun_2, "x", Some(by)),
        (10, "c", begun_1, "y", None),
    ] {
        store
            .record(begun(key, number, origin), vec![])
            .await
            .unwrap();
        let asks = one(&store, bucket(), NOW).await;
        let found = store.put_by_others(&asks, place(at)).await.unwrap();
        let expected = put.map(|task| PutBy {
            task,
            etag: format!("at {at}"),
        });
        assert_eq!(found, Vec::from_iter(expected), "{number}");
        end(&store, asks, Transition::Finish).await;
    }
}

async fn task_that_runs_again_no_longer_says_why_it_waited(backend: impl Backend) {
    let store = backend.open();
    store.mark_unknown_lanes(vec![bucket()]).await.unwrap();
    store.record(of_job(1, None), vec![]).await.unwrap();
    let claim = one(&store, bucket(), NOW).await;
    let id = claim.task().id;
    let operator = backend.operator();
    let note = || why_waits(&operator.task(id).unwrap().unwrap().row);
    let why = "the disk of the bucket is away".to_owned();
    end(
        &store,
        claim,
        Transition::Wait {
            on: WaitsFor::ItsLane,
            why: why.clone(),
        },
    )
    .await;
    assert_eq!(note(), Some(why));
    let claim = one(&store, bucket(), NOW.plus(Duration::from_mins(1))).await;
    assert_eq!(note(), None);
    end(&store, claim, Transition::Finish).await;
}

/// Where the claim's recording is, whether the claim's own planning moved it there, and whether an
/// earlier event's task moved all of it.
fn seen(claim: &Claim) -> (&str, Option<(bool, bool)>) {
    let located = claim.located().unwrap();
    let moved = located.moved_by.as_ref();
    let moved = moved.map(|by| (by.same_planning, by.took_it_whole));
    (&located.place.key, moved)
}

async fn event_that_was_stored_before_its_recording_was_moved_knows_that_it_moved_whole(
    backend: impl Backend,
) {
    let store = backend.open();
    let rules = [
        ("move", bucket(), Turn::Needed),
        ("tag", bucket(), Turn::Needed),
    ];
    let second = arrival("k", 2, &rules[..1]);
    let event = second.event.id;
    store.record(arrival("k", 1, &rules), vec![]).await.unwrap();
    store.record(second, vec![]).await.unwrap();
    let mover = one(&store, bucket(), NOW).await;
    assert_eq!(seen(&mover), ("k", None));
    let main = Move {
        from: place("k"),
        to: place("new"),
        ..moved(0, MovePhase::Moved)
    };
    for entry in [
        JournalEntry::Manifest(vec![main]),
        JournalEntry::Commit(place("new")),
    ] {
        store.journal(&mover, entry, PRESENT).await.unwrap();
    }
    end(&store, mover, Transition::Finish).await;

    let tag = one(&store, bucket(), NOW).await;
    assert_eq!(seen(&tag), ("new", Some((true, false))));
    end(&store, tag, Transition::Finish).await;
    let again = one(&store, bucket(), NOW).await;
    assert_eq!(seen(&again), ("new", Some((false, true))));
    end(&store, again, Transition::Finish).await;

    // A person who replays it wants it moved again.
    let plan = |event: &Event, generation: u32| -> Plan {
        let mut plan = arrival("k", 2, &rules[..1]).plan;
        for task in &mut plan.tasks {
            task.generation = generation;
            task.id = TaskId::derive(event.id, &task.rule, generation);
        }
        plan
    };
    let replay = Replay {
        scope: Scope::All,
        plan: &plan,
        rules: "rules",
    };
    let mut operator = backend.operator();
    operator
        .replay(&[event], &replay, Mode::Real(&By::default()), NOW)
        .unwrap();
    let replayed = one(&store, bucket(), NOW).await;
    assert_eq!(replayed.task().generation, 1);
    assert_eq!(seen(&replayed), ("new", Some((false, false))));
    end(&store, replayed, Transition::Finish).await;

    let third = arrival("k", 3, &rules[..1]);
    store.record(third, vec![]).await.unwrap();
    assert_eq!(seen(&one(&store, bucket(), NOW).await), ("k", None));
}

/// The claim moves the recording to this place.
async fn move_to(store: &impl Store, mover: Claim, to: &str) {
    let main = Move {
        from: mover.located().unwrap().place.clone(),
        to: place(to),
        ..moved(0, MovePhase::Moved)
    };
    for entry in [
        JournalEntry::Manifest(vec![main]),
        JournalEntry::Commit(place(to)),
    ] {
        store.journal(&mover, entry, PRESENT).await.unwrap();
    }
    end(store, mover, Transition::Finish).await;
}

async fn recordings_of_two_jobs_under_one_key_are_each_where_it_was_moved(backend: impl Backend) {
    let store = backend.open();
    let mut first = of_job(1, Some("a"));
    let mut later = first.plan.tasks[0].clone();
    later.rule = "later".into();
    later.id = TaskId::derive(first.event.id, "later", 0);
    first.plan.tasks.push(later);
    let moved_first = first.plan.tasks[0].id;
    store.record(first, vec![]).await.unwrap();
    move_to(&store, one(&store, bucket(), NOW).await, "of-a").await;
    let waits = one(&store, bucket(), NOW).await;
    assert_eq!(seen(&waits), ("of-a", Some((true, false))));
    end(&store, waits, waiting(WaitsFor::ItsLane)).await;

    store.record(of_job(2, Some("b")), vec![]).await.unwrap();
    let second = one(&store, bucket(), NOW).await;
    assert_eq!(seen(&second), ("k", None));
    let moved_second = second.task().id;
    let operator = backend.operator();
    let shown = |id| operator.task(id).unwrap().unwrap().place;
    assert_eq!(shown(moved_second), None, "it is where it was recorded");
    move_to(&store, second, "of-b").await;

    let later = one(&store, bucket(), NOW.plus(Duration::from_mins(1))).await;
    assert_eq!(seen(&later), ("of-a", Some((true, false))), "it is job a's");
    assert_eq!(shown(moved_first), Some(place("of-a")));
    assert_eq!(shown(moved_second), Some(place("of-b")));
    end(&store, later, Transition::Finish).await;
}

async fn recording_that_another_jobs_has_replaced_is_nowhere_and_not_where_it_was_recorded(
    backend: impl Backend,
) {
    let store = backend.open();
    let mut first = of_job(1, Some("a"));
    let mut later = first.plan.tasks[0].clone();
    later.rule = "later".into();
    later.id = TaskId::derive(first.event.id, "later", 0);
    first.plan.tasks.push(later);
    store.record(first, vec![]).await.unwrap();
    move_to(&store, one(&store, bucket(), NOW).await, "kept").await;
    let waits = one(&store, bucket(), NOW).await;
    assert_eq!(seen(&waits), ("kept", Some((true, false))));
    end(&store, waits, waiting(WaitsFor::ItsLane)).await;

    store.record(of_job(2, Some("b")), vec![]).await.unwrap();
    let second = one(&store, bucket(), NOW).await;
    assert_eq!(seen(&second), ("k", None));
    let by = second.task().id;
    move_to(&store, second, "kept").await;
    let later = one(&store, bucket(), NOW.plus(Duration::from_mins(1))).await;
    let located = later.located().unwrap();
    let replaced = located.replaced.unwrap();
    assert_eq!((&*located.place.key, replaced.by), ("kept", by));
    assert!(!replaced.in_part);
}

async fn recording_of_a_job_is_where_a_task_without_one_has_moved_it(backend: impl Backend) {
    let store = backend.open();
    let mut of_a = of_job(1, Some("a"));
    let mut later = of_a.plan.tasks[0].clone();
    later.rule = "later".into();
    later.id = TaskId::derive(of_a.event.id, "later", 0);
    of_a.plan.tasks.push(later);
    for arrival in [of_a, of_job(2, None)] {
        store.record(arrival, vec![]).await.unwrap();
    }
    move_to(&store, one(&store, bucket(), NOW).await, "first").await;
    let waits = one(&store, bucket(), NOW).await;
    assert_eq!(seen(&waits), ("first", Some((true, false))));
    end(&store, waits, waiting(WaitsFor::ItsLane)).await;

    let nameless = one(&store, bucket(), NOW).await;
    assert_eq!(seen(&nameless).0, "first");
    move_to(&store, nameless, "second").await;
    // What another job's task moves from the named key is another recording.
    store.record(of_job(3, Some("b")), vec![]).await.unwrap();
    let of_b = one(&store, bucket(), NOW).await;
    assert_eq!(seen(&of_b).0, "k");
    move_to(&store, of_b, "of-b").await;
    let later = one(&store, bucket(), NOW.plus(Duration::from_mins(1))).await;
    assert_eq!(seen(&later).0, "second");
}
