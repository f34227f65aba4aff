//! Which task may use which key.

use std::time::Duration;

use aftertake::model::event::Event;
use aftertake::model::failure::{Failure, FailureKind};
use aftertake::model::id::TaskId;
use aftertake::model::moment::{Moment, Present};
use aftertake::model::moves::keys::TakenBy;
use aftertake::model::moves::{Move, MovePhase, Source, Target};
use aftertake::model::plan::{OrderKey, Turn};
use aftertake::model::recording::Replaced;
use aftertake::model::time::Timestamp;
use aftertake::model::transition::Transition;
use aftertake::store::lists::{Page, TaskFilter};
use aftertake::store::operator::Operator;
use aftertake::store::{Claim, JournalEntry, JournalError, Retention, Store};

use crate::store_contract::{NOW, PRESENT, arrival, bucket, claim, end, moved, one, place, ran};
use crate::support::backend::{Backend, shown_on_every_store};
use crate::support::operator::OneTask;
use crate::support::operator::why_waits;

const LIFETIME: Duration = Duration::from_mins(15);

shown_on_every_store! {
    one_move_at_a_time_uses_a_target_and_the_next_one_surveys_again
    key_that_a_move_reads_may_be_read_but_not_written_by_others
    key_that_a_move_deletes_is_not_read_by_others
    survey_older_than_another_tasks_move_is_not_trusted
    survey_older_than_another_tasks_sharing_is_not_trusted
    keys_stay_taken_across_a_crash
    move_that_is_undone_gives_its_keys_back
    request_whose_end_is_unknown_keeps_its_key_for_its_lifetime_and_no_longer
    request_of_a_process_that_ended_keeps_its_key_for_its_lifetime_in_the_next_one
    run_that_did_not_end_keeps_every_key_of_its_move
    overwrite_waits_for_the_task_that_is_about_to_move_the_object_there
    overwrite_looks_where_a_recording_is_and_not_where_it_was
    overwrite_waits_for_the_recordings_of_all_jobs_that_used_a_key
    task_does_not_wait_for_one_behind_it_in_line
    task_whose_holder_has_ended_meanwhile_does_not_wait
    cancel_of_a_waiting_task_releases_those_that_wait_for_it
    recording_that_another_one_has_replaced_is_nowhere_and_names_it
    recording_that_was_never_moved_is_nowhere_once_another_one_has_replaced_it
    recording_that_is_not_at_its_key_yet_is_not_replaced_there
    recording_is_surveyed_again_if_a_move_to_its_key_has_ended_meanwhile
}

/// A store with one claimed task per recording.
struct Tasks<B: Backend> {
    store: B::Store,
    claims: Vec<Claim>,
    backend: B,
}

impl<B: Backend> Tasks<B> {
    async fn of(recordings: &[&str], backend: B) -> Self {
        let store = backend.open();
        let mut claims = Vec::new();
        for (recording, time) in recordings.iter().zip(1..) {
            let rules = [("archive", bucket(), Turn::Needed)];
            let arrival = arrival(recording, time, &rules);
            store.record(arrival, vec![]).await.unwrap();
            claims.push(one(&store, bucket(), NOW).await);
        }
        Self {
            store,
            claims,
            backend,
        }
    }

    /// The store's answer when the task of this number wants to make this move.
    async fn wants(&self, number: usize, one: Move) -> Option<TakenBy> {
        taken(&self.store, &self.claims[number], one, PRESENT).await
    }

    fn id(&self, number: usize) -> TaskId {
        self.claims[number].task().id
    }

    async fn end(&mut self, number: usize, transition: Transition) {
        let claim = self.claims.remove(number);
        end(&self.store, claim, transition).await;
    }
}

async fn taken(store: &impl Store, claim: &Claim, one: Move, now: Present) -> Option<TakenBy> {
    let entry = JournalEntry::Manifest(vec![one]);
    match store.journal(claim, entry, now).await {
        Ok(()) => None,
        Err(JournalError::Taken(taken)) => Some(taken.by),
        Err(error) => panic!("{error}"),
    }
}

fn from_to(from: &str, to: &str) -> Move {
    Move {
        from: place(from),
        to: place(to),
        ..moved(0, MovePhase::Planned)
    }
}

/// A move that leaves its source in place.
fn left(from: &str, to: &str) -> Move {
    Move {
        source: Source::Shared,
        ..from_to(from, to)
    }
}

fn replaces(from: &str, to: &str) -> Move {
    Move {
        target: Target::Replace,
        ..from_to(from, to)
    }
}

fn waits_for(by: TakenBy) -> Transition {
    let why = "w".into();
    let on = by.into();
    Transition::Wait { on, why }
}

fn bury() -> Transition {
    let why = Failure::new(FailureKind::Refused, "r");
    Transition::Bury { why, notice: None }
}

async fn one_move_at_a_time_uses_a_target_and_the_next_one_surveys_again(backend: impl Backend) {
    let mut tasks = Tasks::of(&["a", "b"], backend).await;
    assert_eq!(tasks.wants(0, from_to("a", "x")).await, None);
    let by = TakenBy::Move(tasks.id(0));
    assert_eq!(tasks.wants(1, from_to("b", "x")).await, Some(by));
    let outline = tasks.store.outline(&tasks.claims[1]).await.unwrap();
    assert_eq!(outline, None, "nothing is left of the manifest");

    tasks.end(1, waits_for(by)).await;
    let later = NOW.plus(Duration::from_hours(24));
    assert!(claim(&tasks.store, bucket(), later).await.is_empty());
    let done = JournalEntry::Progress(vec![Move {
        phase: MovePhase::Moved,
        ..from_to("a", "x")
    }]);
    tasks
        .store
        .journal(&tasks.claims[0], done, PRESENT)
        .await
        .unwrap();
    tasks.end(0, Transition::Finish).await;
    let second = one(&tasks.store, bucket(), NOW).await;
    assert_eq!(second.task().tries, 1, "waiting spends no try");
    assert_eq!(
        taken(&tasks.store, &second, from_to("b", "x"), PRESENT).await,
        None
    );
}

async fn key_that_a_move_reads_may_be_read_but_not_written_by_others(backend: impl Backend) {
    let tasks = Tasks::of(&["a", "b", "c", "d"], backend).await;
    assert_eq!(tasks.wants(0, left("shared", "x")).await, None);
    let by = Some(TakenBy::Move(tasks.id(0)));
    assert_eq!(tasks.wants(1, from_to("b", "shared")).await, by);
    assert_eq!(tasks.wants(1, from_to("shared", "y")).await, by, "it goes");
    assert_eq!(tasks.wants(2, left("shared", "y")).await, None);
    assert_eq!(
        tasks.wants(3, from_to("x", "z")).await,
        by,
        "x is half there"
    );
    let targets = vec![place("free"), place("x")];
    let store = &tasks.store;
    let first = store
        .taken(&tasks.claims[1], targets, PRESENT)
        .await
        .unwrap();
    let first = first.map(|taken| (taken.key, Some(taken.by)));
    assert_eq!(first, Some((place("x"), by)));
}

async fn key_that_a_move_deletes_is_not_read_by_others(backend: impl Backend) {
    let tasks = Tasks::of(&["a", "b"], backend).await;
    assert_eq!(tasks.wants(0, from_to("a", "x")).await, None);
    let by = Some(TakenBy::Move(tasks.id(0)));
    assert_eq!(tasks.wants(1, left("a", "y")).await, by);
    assert_eq!(tasks.wants(1, from_to("a", "y")).await, by);
}

/// After a task has inspected a key, another task may move something there and end. Both objects may
/// be alike, so one would pass for the copy of the other.
async fn survey_older_than_another_tasks_move_is_not_trusted(backend: impl Backend) {
    let mut tasks = Tasks::of(&["a", "b", "c"], backend).await;
    let by = TakenBy::Move(tasks.id(0));
    assert_eq!(tasks.wants(0, from_to("a", "x")).await, None);
    let done = JournalEntry::Progress(vec![Move {
        phase: MovePhase::Moved,
        ..from_to("a", "x")
    }]);
    for entry in [JournalEntry::Commit(place("x")), done] {
        let moved = tasks.store.journal(&tasks.claims[0], entry, PRESENT);
        moved.await.unwrap();
    }
    tasks.end(0, Transition::Finish).await;
    for wanted in [from_to("b", "x"), replaces("b", "x")] {
        assert_eq!(tasks.wants(0, wanted).await, Some(by));
    }
    assert_eq!(tasks.wants(1, from_to("c", "y")).await, None, "another key");
    tasks.end(0, waits_for(by)).await;
    let second = one(&tasks.store, bucket(), NOW).await;
    assert_eq!(second.task().tries, 1, "it spends no try");
    let looked_anew = taken(&tasks.store, &second, from_to("b", "x"), PRESENT).await;
    assert_eq!(looked_anew, None);
}

/// The playlists next to it were read before the one that shares its segments existed.
async fn survey_older_than_another_tasks_sharing_is_not_trusted(backend: impl Backend) {
    let tasks = Tasks::of(&["a", "b"], backend).await;
    let by = TakenBy::Move(tasks.id(0));
    let shares = Move {
        target: Target::Present,
        target_etag: Some("e".into()),
        phase: MovePhase::Copied,
        ..from_to("a", "x")
    };
    assert_eq!(tasks.wants(0, shares).await, None);
    assert_eq!(tasks.wants(1, replaces("b", "x")).await, Some(by));
    let commit = JournalEntry::Commit(place("x"));
    let committed = tasks.store.journal(&tasks.claims[0], commit, PRESENT);
    committed.await.unwrap();
    assert_eq!(tasks.wants(1, replaces("b", "x")).await, Some(by));
    assert_eq!(tasks.wants(1, replaces("b", "y")).await, None);
}

async fn keys_stay_taken_across_a_crash(backend: impl Backend) {
    let mut tasks = Tasks::of(&["a", "b"], backend).await;
    assert_eq!(tasks.wants(0, from_to("a", "x")).await, None);
    let by = TakenBy::Move(tasks.id(0));
    tasks.claims.clear();
    drop(tasks.store);
    let store = tasks.backend.open();
    let claims = claim(&store, bucket(), NOW).await;
    let second = claims
        .iter()
        .find(|claim| by != TakenBy::Move(claim.task().id));
    let second = second.unwrap();
    assert_eq!(
        taken(&store, second, from_to("b", "x"), PRESENT).await,
        Some(by)
    );
}

async fn move_that_is_undone_gives_its_keys_back(backend: impl Backend) {
    let mut tasks = Tasks::of(&["a", "b"], backend).await;
    assert_eq!(tasks.wants(0, from_to("a", "x")).await, None);
    let undone = JournalEntry::Progress(vec![Move {
        phase: MovePhase::Undone,
        ..from_to("a", "x")
    }]);
    tasks
        .store
        .journal(&tasks.claims[0], undone, PRESENT)
        .await
        .unwrap();
    tasks.end(0, bury()).await;
    assert_eq!(tasks.wants(0, from_to("b", "x")).await, None);
}

async fn request_whose_end_is_unknown_keeps_its_key_for_its_lifetime_and_no_longer(
    backend: impl Backend,
) {
    let mut tasks = Tasks::of(&["a", "b"], backend).await;
    let until = NOW.plus(LIFETIME);
    assert_eq!(tasks.wants(0, from_to("a", "x")).await, None);
    let (late, lost) = (vec![place("a")], place("a"));
    let entries = [
        JournalEntry::Progress(vec![Move {
            phase: MovePhase::Moved,
            ..from_to("a", "x")
        }]),
        JournalEntry::Ended {
            late,
            lingers: LIFETIME,
        },
    ];
    for entry in entries {
        tasks
            .store
            .journal(&tasks.claims[0], entry, PRESENT)
            .await
            .unwrap();
    }
    tasks.end(0, Transition::Finish).await;
    let by = TakenBy::Late(until);
    assert_eq!(tasks.wants(0, from_to("b", &lost.key)).await, Some(by));
    tasks.end(0, waits_for(by)).await;
    let moment = Duration::from_millis(1);
    let before = LIFETIME.checked_sub(moment).unwrap();
    assert!(
        claim(&tasks.store, bucket(), NOW.plus(before))
            .await
            .is_empty()
    );
    let second = one(&tasks.store, bucket(), until).await;
    let wants = async |now| taken(&tasks.store, &second, from_to("b", &lost.key), now).await;
    // The clock was set forward meanwhile: less time has passed than it shows.
    let set_forward = Present {
        time: until.plus(LIFETIME),
        ..ran(before)
    };
    let by = TakenBy::Late(set_forward.time.plus(moment));
    assert_eq!(wants(set_forward).await, Some(by));
    assert_eq!(wants(ran(LIFETIME)).await, None);
}

async fn request_of_a_process_that_ended_keeps_its_key_for_its_lifetime_in_the_next_one(
    backend: impl Backend,
) {
    let mut tasks = Tasks::of(&["a", "b"], backend).await;
    assert_eq!(tasks.wants(0, from_to("a", "x")).await, None);
    let ended = JournalEntry::Ended {
        late: vec![place("a")],
        lingers: LIFETIME,
    };
    let done = JournalEntry::Progress(vec![Move {
        phase: MovePhase::Moved,
        ..from_to("a", "x")
    }]);
    for entry in [done, ended] {
        let written = tasks.store.journal(&tasks.claims[0], entry, PRESENT);
        written.await.unwrap();
    }
    tasks.end(0, Transition::Finish).await;
    tasks.claims.clear();
    drop(tasks.store);
    // The clock was behind and was corrected while nothing ran.
    let store = tasks.backend.open();
    let begins = Present {
        time: NOW.plus(LIFETIME * 2),
        moment: Moment::after(Duration::from_secs(1)),
    };
    let second = one(&store, bucket(), begins.time).await;
    let wants = async |now| taken(&store, &second, from_to("b", "a"), now).await;
    let late = TakenBy::Late(begins.time.plus(LIFETIME));
    assert_eq!(wants(begins).await, Some(late));
    for _ in 0..2 {
        store.correct_due(begins).await.unwrap();
    }
    assert_eq!(wants(begins).await, Some(late));
    let until = begins.plus(LIFETIME);
    let pruned = Retention {
        history: Duration::MAX,
        dedup_horizon: Duration::MAX,
    };
    store.prune(pruned, begins).await.unwrap();
    assert_eq!(wants(begins).await, Some(late));
    assert_eq!(wants(until).await, None);
}

async fn run_that_did_not_end_keeps_every_key_of_its_move(backend: impl Backend) {
    let tasks = Tasks::of(&["a"], backend).await;
    let (store, claim) = (&tasks.store, &tasks.claims[0]);
    assert_eq!(tasks.wants(0, from_to("a", "x")).await, None);
    let begun = JournalEntry::Begun { lingers: LIFETIME };
    assert_eq!(store.late_until(claim, PRESENT).await.unwrap(), None);
    store.journal(claim, begun, PRESENT).await.unwrap();
    let late = store.late_until(claim, PRESENT).await.unwrap();
    assert_eq!(late, Some(NOW.plus(LIFETIME)), "the first run has no end");
    let after = ran(LIFETIME);
    assert_eq!(store.late_until(claim, after).await.unwrap(), None);
    // Setting the clock does not change how long a request can still arrive.
    for hours in [-9, 9] {
        let time = Timestamp::from_millis(NOW.millis() + hours * 3_600_000);
        let set = Present { time, ..PRESENT };
        let late = store.late_until(claim, set).await.unwrap();
        assert_eq!(late, Some(time.plus(LIFETIME)));
    }
}

async fn overwrite_waits_for_the_task_that_is_about_to_move_the_object_there(
    backend: impl Backend,
) {
    let mut tasks = Tasks::of(&["a", "b"], backend).await;
    let by = TakenBy::Wanted(tasks.id(1));
    assert_eq!(tasks.wants(0, replaces("a", "b")).await, Some(by));
    tasks.end(0, waits_for(by)).await;
    let later = NOW.plus(Duration::from_hours(24));
    assert!(claim(&tasks.store, bucket(), later).await.is_empty());
    let operator = tasks.backend.operator();
    let waits = operator
        .tasks(&TaskFilter::default(), Page::newest(10))
        .unwrap()
        .pop()
        .unwrap();
    assert_eq!(
        why_waits(&waits).as_deref(),
        Some("w"),
        "as the step said it"
    );
    // The other way round this is a circle: one of them has to fail.
    let circle = tasks.wants(0, replaces("b", "a")).await;
    let Some(TakenBy::Circle(_)) = circle else {
        panic!("{circle:?}");
    };
    tasks.end(0, Transition::Finish).await;
    let first = one(&tasks.store, bucket(), NOW).await;
    assert_eq!(
        taken(&tasks.store, &first, replaces("a", "b"), PRESENT).await,
        None
    );
}

/// The same task's next claim, which sees everything that has ended.
async fn anew(store: &impl Store, asks: Claim) -> Claim {
    let id = asks.task().id;
    end(store, asks, Transition::HandBack).await;
    let mut again = None;
    for claim in claim(store, bucket(), NOW).await {
        if claim.task().id == id {
            again = Some(claim);
        } else {
            end(store, claim, Transition::HandBack).await;
        }
    }
    again.unwrap()
}

async fn overwrite_looks_where_a_recording_is_and_not_where_it_was(backend: impl Backend) {
    let store = backend.open();
    let rules = [
        ("archive", bucket(), Turn::Needed),
        ("tag", bucket(), Turn::Needed),
    ];
    let moved_away = arrival("b", 2, &rules);
    let tag = TaskId::derive(moved_away.event.id, "tag", 0);
    for arrival in [
        arrival("a", 1, &rules[..1]),
        moved_away,
        arrival("c", 3, &rules[..1]),
    ] {
        store.record(arrival, vec![]).await.unwrap();
    }
    let mut claims = claim(&store, bucket(), NOW).await;
    let (dies, mover) = (claims.pop().unwrap(), claims.pop().unwrap());
    let asks = claims.pop().unwrap();
    let done = Move {
        phase: MovePhase::Moved,
        ..from_to("b", "x")
    };
    for entry in [
        JournalEntry::Manifest(vec![done]),
        JournalEntry::Commit(place("x")),
    ] {
        store.journal(&mover, entry, PRESENT).await.unwrap();
    }
    end(&store, mover, Transition::Finish).await;
    let asks = anew(&store, asks).await;
    let wants = async |to| taken(&store, &asks, replaces("a", to), PRESENT).await;
    assert_eq!(wants("x").await, Some(TakenBy::Wanted(tag)));
    assert_eq!(wants("b").await, None);
    let tag = one(&store, bucket(), NOW).await;
    end(&store, tag, Transition::Finish).await;
    assert_eq!(wants("x").await, None);

    // A task that died before it moved its recording may be retried later.
    let dead = dies.task().id;
    end(&store, dies, bury()).await;
    assert_eq!(wants("c").await, Some(TakenBy::Wanted(dead)));
    assert_eq!(wants("d").await, None);
}

/// Stores the recording `b` of this job, with one task per rule.
async fn record_of_job(store: &impl Store, job: &str, time: i64, rules: &[&str]) {
    let rules: Vec<_> = rules
        .iter()
        .map(|rule| (*rule, bucket(), Turn::Needed))
        .collect();
    let mut arrival = arrival("b", time, &rules);
    let mut event = Event::clone(&arrival.event);
    event.fields.job = Some(job.to_owned());
    event.body = serde_json::json!({
        "event_type": "RECORD_FILE_COMPLETE", "obs_bucket": "b", "obs_object": "b", "job_id": job,
    })
    .to_string()
    .into();
    arrival.event = event.into();
    store.record(arrival, vec![]).await.unwrap();
}

async fn overwrite_waits_for_the_recordings_of_all_jobs_that_used_a_key(backend: impl Backend) {
    let store = backend.open();
    let rules = [("archive", bucket(), Turn::Needed)];
    store.record(arrival("a", 1, &rules), vec![]).await.unwrap();
    let asks = one(&store, bucket(), NOW).await;

    // The first recording's second rename waits while the second recording is moved.
    record_of_job(&store, "1", 2, &["archive", "again"]).await;
    let mut again = None;
    for to in ["x", "y"] {
        let mover = one(&store, bucket(), NOW).await;
        let done = Move {
            phase: MovePhase::Moved,
            ..from_to("b", to)
        };
        for entry in [
            JournalEntry::Manifest(vec![done]),
            JournalEntry::Commit(place(to)),
        ] {
            store.journal(&mover, entry, PRESENT).await.unwrap();
        }
        end(&store, mover, Transition::Finish).await;
        if to == "x" {
            let second = one(&store, bucket(), NOW).await;
            again = Some(second.task().id);
            let why = Failure::new(FailureKind::Timeout, "r");
            let wait = Duration::from_hours(1);
            end(&store, second, Transition::RetryAfter { wait, why }).await;
            record_of_job(&store, "2", 3, &["archive"]).await;
        }
    }
    let asks = anew(&store, asks).await;
    let wants = async |to| taken(&store, &asks, replaces("a", to), PRESENT).await;
    assert_eq!(wants("x").await, again.map(TakenBy::Wanted));
    assert_eq!(wants("y").await, None);
    assert_eq!(wants("b").await, None);

    // The third recording is still where it was recorded.
    record_of_job(&store, "3", 4, &["archive"]).await;
    let third = one(&store, bucket(), NOW).await.task().id;
    assert_eq!(wants("b").await, Some(TakenBy::Wanted(third)));
}

async fn task_does_not_wait_for_one_behind_it_in_line(backend: impl Backend) {
    let store = backend.open();
    for (recording, time) in [("a", 1), ("b", 2)] {
        let mut arrival = arrival(recording, time, &[("archive", bucket(), Turn::Needed)]);
        arrival.plan.tasks[0].order_key = Some(OrderKey::of("archive", "class-7", false));
        store.record(arrival, vec![]).await.unwrap();
    }
    let first = one(&store, bucket(), NOW).await;
    let circle = taken(&store, &first, replaces("a", "b"), PRESENT).await;
    assert!(matches!(circle, Some(TakenBy::Circle(_))), "{circle:?}");
}

async fn task_whose_holder_has_ended_meanwhile_does_not_wait(backend: impl Backend) {
    let mut tasks = Tasks::of(&["a", "b"], backend).await;
    assert_eq!(tasks.wants(0, from_to("a", "x")).await, None);
    let by = tasks.wants(1, from_to("b", "x")).await.unwrap();
    let undone = JournalEntry::Progress(vec![Move {
        phase: MovePhase::Undone,
        ..from_to("a", "x")
    }]);
    tasks
        .store
        .journal(&tasks.claims[0], undone, PRESENT)
        .await
        .unwrap();
    tasks.end(0, Transition::Cancel).await;
    tasks.end(0, waits_for(by)).await;
    let second = one(&tasks.store, bucket(), NOW).await;
    assert_eq!(
        taken(&tasks.store, &second, from_to("b", "x"), PRESENT).await,
        None
    );
}

async fn cancel_of_a_waiting_task_releases_those_that_wait_for_it(backend: impl Backend) {
    let mut tasks = Tasks::of(&["a", "b"], backend).await;
    let (first, second) = (tasks.id(0), tasks.id(1));
    let by = TakenBy::Wanted(second);
    assert_eq!(tasks.wants(0, replaces("a", "b")).await, Some(by));
    tasks.end(1, Transition::HandBack).await;
    tasks.end(0, waits_for(by)).await;
    let mut operator = tasks.backend.operator();
    operator.cancel_one(second, NOW).unwrap();
    assert_eq!(one(&tasks.store, bucket(), NOW).await.task().id, first);
}

async fn recording_that_another_one_has_replaced_is_nowhere_and_names_it(backend: impl Backend) {
    let store = backend.open();
    let mut by = None;
    let mut later = None;
    for (recording, time) in [("a", 1), ("b", 2)] {
        let rules = [
            ("archive", bucket(), Turn::Needed),
            ("again", bucket(), Turn::Needed),
        ];
        let rules = if later.is_none() {
            &rules[..]
        } else {
            &rules[..1]
        };
        let arrival = arrival(recording, time, rules);
        store.record(arrival, vec![]).await.unwrap();
        let mover = one(&store, bucket(), NOW).await;
        let whole = Move {
            target: later.map_or(Target::Absent, |_| Target::Replace),
            ..from_to(recording, "x")
        };
        assert_eq!(taken(&store, &mover, whole.clone(), PRESENT).await, None);
        let done = JournalEntry::Progress(vec![Move {
            phase: MovePhase::Moved,
            ..whole
        }]);
        store.journal(&mover, done, PRESENT).await.unwrap();
        let commit = JournalEntry::Commit(place("x"));
        store.journal(&mover, commit, PRESENT).await.unwrap();
        by = Some(mover.task().id);
        end(&store, mover, Transition::Finish).await;
        if later.is_none() {
            let again = one(&store, bucket(), NOW).await;
            assert_eq!(again.located().unwrap().place, place("x"));
            later = Some(again.task().id);
            end(&store, again, bury()).await;
        }
    }
    let mut operator = backend.operator();
    operator.retry_one(later.unwrap(), NOW).unwrap();
    let again = one(&store, bucket(), NOW).await;
    let located = again.located().unwrap();
    assert_eq!(located.place, place("x"), "and not where it was recorded");
    let replaced = located.replaced;
    assert_eq!(
        replaced.map(|replaced| (replaced.by, replaced.in_part)),
        by.map(|by| (by, false))
    );
}

/// Its task was cancelled before it moved it, and is retried.
async fn recording_that_was_never_moved_is_nowhere_once_another_one_has_replaced_it<B: Backend>(
    backend: B,
) {
    let store = backend.open();
    let mut operator = backend.operator();
    let rules = [("archive", bucket(), Turn::Needed)];
    store.record(arrival("a", 1, &rules), vec![]).await.unwrap();
    let first = one(&store, bucket(), NOW).await;
    let id = first.task().id;
    end(&store, first, Transition::Cancel).await;

    store.record(arrival("b", 2, &rules), vec![]).await.unwrap();
    let mover = one(&store, bucket(), NOW).await;
    let by = mover.task().id;
    store.record(arrival("c", 3, &rules), vec![]).await.unwrap();
    let whole = replaces("b", "a");
    assert_eq!(taken(&store, &mover, whole.clone(), PRESENT).await, None);
    let copied = |phase| {
        JournalEntry::Progress(vec![Move {
            phase,
            ..whole.clone()
        }])
    };
    let shown = |operator: &B::Operator| operator.task(id).unwrap().unwrap().replaced;
    assert_eq!(shown(&operator), None);
    store
        .journal(&mover, copied(MovePhase::Copied), PRESENT)
        .await
        .unwrap();
    let in_part = true;
    assert_eq!(shown(&operator), Some(Replaced { by, in_part }));
    let in_part = false;
    for entry in [JournalEntry::Commit(place("a")), copied(MovePhase::Moved)] {
        store.journal(&mover, entry, PRESENT).await.unwrap();
        assert_eq!(shown(&operator), Some(Replaced { by, in_part }));
    }
    end(&store, mover, Transition::Finish).await;
    let third = one(&store, bucket(), NOW).await;

    operator.retry_one(id, NOW).unwrap();
    let again = one(&store, bucket(), NOW).await;
    let located = again.located().unwrap();
    assert_eq!((&located.place, &located.moved_by), (&place("a"), &None));
    assert_eq!(located.replaced, Some(Replaced { by, in_part }));
    end(&store, again, bury()).await;

    // A third one does not wait for the first one's task, and the first one names what replaced it.
    let onto = replaces("c", "a");
    assert_eq!(taken(&store, &third, onto.clone(), PRESENT).await, None);
    let progress = |phase| {
        JournalEntry::Progress(vec![Move {
            phase,
            ..onto.clone()
        }])
    };
    for entry in [
        progress(MovePhase::Copied),
        JournalEntry::Commit(place("a")),
    ] {
        store.journal(&third, entry, PRESENT).await.unwrap();
    }
    // A later event announces what its recorder has written since.
    store.record(arrival("a", 4, &rules), vec![]).await.unwrap();
    let moved_on = progress(MovePhase::Moved);
    store.journal(&third, moved_on, PRESENT).await.unwrap();
    end(&store, third, Transition::Finish).await;
    assert_eq!(shown(&operator), Some(Replaced { by, in_part }));
    let later = one(&store, bucket(), NOW).await;
    assert_eq!(later.located().unwrap().replaced, None);
}

/// What was found at the key may be the copy that has come there.
async fn recording_is_surveyed_again_if_a_move_to_its_key_has_ended_meanwhile(
    backend: impl Backend,
) {
    let mut tasks = Tasks::of(&["a", "b"], backend).await;
    let onto = from_to("a", "b");
    assert_eq!(tasks.wants(0, onto.clone()).await, None);
    let by = TakenBy::Move(tasks.id(0));
    let done = Move {
        phase: MovePhase::Moved,
        ..onto
    };
    for entry in [
        JournalEntry::Progress(vec![done]),
        JournalEntry::Commit(place("b")),
    ] {
        let mover = &tasks.claims[0];
        tasks.store.journal(mover, entry, PRESENT).await.unwrap();
    }
    tasks.end(0, Transition::Finish).await;
    assert_eq!(tasks.wants(0, from_to("b", "x")).await, Some(by));
}

/// The move replaces its own copy, which an earlier manifest has left at a key that was empty.
async fn recording_that_is_not_at_its_key_yet_is_not_replaced_there(backend: impl Backend) {
    let store = backend.open();
    let rules = [("archive", bucket(), Turn::Needed)];
    store.record(arrival("b", 1, &rules), vec![]).await.unwrap();
    let mover = one(&store, bucket(), NOW).await;
    store.record(arrival("a", 2, &rules), vec![]).await.unwrap();
    let pair = |phase| {
        let again = Move {
            target: Target::Again,
            phase,
            ..from_to("b.ts", "a.ts")
        };
        let main = Move {
            number: 1,
            phase,
            ..from_to("b", "a")
        };
        vec![again, main]
    };
    for entry in [
        JournalEntry::Manifest(pair(MovePhase::Planned)),
        JournalEntry::Progress(pair(MovePhase::Copied)),
        JournalEntry::Commit(place("a")),
        JournalEntry::Progress(pair(MovePhase::Moved)),
    ] {
        store.journal(&mover, entry, PRESENT).await.unwrap();
    }
    end(&store, mover, Transition::Finish).await;
    let waits = one(&store, bucket(), NOW).await;
    assert_eq!(waits.located().unwrap().replaced, None);
}
