//! Tests how SQLite finds the rows of every statement of this store.
//!
//! A statement that scans a growing table passes all other tests and stops a queue with a million
//! rows. There is no list of statements to maintain: executed statements are traced, and every
//! statement in the sources must have been executed.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::trace::{TraceEvent, TraceEventCodes};
use serde_json::json;

use super::apply::{self, Written};
use super::core::{Core, Txn};
use super::journal::Entered;
use super::lock::Lock;
use super::operator::SqliteOperator;
use super::{
    bucket_ids, claim, due, journal, keys, lanes, left, prune, record, recover, replaced, schema,
    service_reads, wait, whose,
};
use crate::model::attempt::{AttemptRecord, Outcome};
use crate::model::breaker::{LaneChange, Pause, Whom};
use crate::model::event::{Event, Fields};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{EventId, TaskId};
use crate::model::intervention::{By, Mode};
use crate::model::moment::{Moment, Present};
use crate::model::moves::{Move, MovePhase, Part, Source, Target};
use crate::model::plan::{OrderKey, Plan, PlannedTask, Turn};
use crate::model::recorder::Recorder;
use crate::model::recording::{Place, RecordingId};
use crate::model::restart::Restart;
use crate::model::task::{Lane, Outputs, RevisionId};
use crate::model::time::Timestamp;
use crate::model::transition::{Hold, NextStep, Transition};
use crate::model::wait::{Outside, WaitsFor};
use crate::recorder;
use crate::store::lists::{EventFilter, Page, TaskFilter};
use crate::store::operator::{
    LaneOutcome, Operator, Replay, RetryOutcome, Scope, StoppedTask, Under,
};
use crate::store::task_key::TaskKey;
use crate::store::{Arrival, Claim, JournalEntry, LaneRoom, Recorded, Retention, Settlement};

const NOW: Timestamp = Timestamp::from_millis(1_772_413_200_000);
const PRESENT: Present = Present {
    time: NOW,
    moment: Moment::after(Duration::ZERO),
};

/// Tables that stay small however long the queue and the history. `waiting` is a CTE of the list of
/// lanes. Few tasks leave something behind, and few copies are left.
const SMALL: [&str; 9] = [
    "certain",
    "counts",
    "lanes",
    "lane_states",
    "lineage",
    "moves USING COVERING INDEX moves_kept",
    "tasks USING INDEX tasks_leaving",
    "waiting",
    "CONSTANT ROW",
];

const SOURCES: &[&str] = &[
    include_str!("apply.rs"),
    include_str!("bucket_ids.rs"),
    include_str!("waiting.rs"),
    include_str!("cancel.rs"),
    include_str!("certain.rs"),
    include_str!("claim.rs"),
    include_str!("core.rs"),
    include_str!("operator.rs"),
    include_str!("due.rs"),
    include_str!("named_task.rs"),
    include_str!("interventions.rs"),
    include_str!("journal.rs"),
    include_str!("left.rs"),
    include_str!("lanes.rs"),
    include_str!("lists.rs"),
    include_str!("mod.rs"),
    include_str!("notice.rs"),
    include_str!("order.rs"),
    include_str!("prune.rs"),
    include_str!("service_reads.rs"),
    include_str!("record.rs"),
    include_str!("replaced.rs"),
    include_str!("replay.rs"),
    include_str!("retry.rs"),
    include_str!("row.rs"),
    include_str!("chunks.rs"),
    include_str!("turn.rs"),
    include_str!("wait.rs"),
    include_str!("whose.rs"),
];

#[test]
fn every_statement_finds_its_rows_by_a_key() {
    let ran = Ran::everything();
    for sql in &ran.statements {
        let faults = faults(&ran.operator.core.conn, sql);
        assert!(faults.is_empty(), "{sql}\n{faults:#?}");
    }
    let stand = SOURCES.iter().flat_map(|source| statements_in(source));
    for literal in stand {
        assert!(
            ran.statements.iter().any(|sql| sql.contains(&literal)),
            "not run by this test: {literal}"
        );
    }
}

#[test]
fn every_index_is_needed_by_a_statement() {
    let ran = Ran::everything();
    let conn = &ran.operator.core.conn;
    let indexes: Vec<String> = conn
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL")
        .and_then(|mut names| names.query_map([], |row| row.get(0))?.collect())
        .unwrap();
    assert!(!indexes.is_empty());
    for index in indexes {
        conn.execute_batch(&format!("BEGIN; DROP INDEX {index}"))
            .unwrap();
        let mut statements = ran.statements.iter();
        assert!(
            statements.any(|sql| !faults(conn, sql).is_empty()),
            "{index}"
        );
        conn.execute_batch("ROLLBACK").unwrap();
    }
}

/// An index condition such as `state IN (0, 1, 3)` would build a temporary table at each write of a
/// row of `tasks`, which costs more than the row.
#[test]
fn task_is_written_without_a_temporary_table() {
    let ran = Ran::everything();
    let writes_one = |sql: &&String| {
        sql.starts_with("INSERT INTO tasks") && sql.contains("VALUES")
            || sql.starts_with("UPDATE tasks") && sql.ends_with("WHERE seq = ?1")
    };
    let writes: Vec<_> = ran.statements.iter().filter(writes_one).collect();
    assert!(writes.len() > 10, "{writes:#?}");
    for sql in writes {
        let mut explain = ran
            .operator
            .core
            .conn
            .prepare(&format!("EXPLAIN {sql}"))
            .unwrap();
        let mut rows = explain.raw_query();
        while let Some(row) = rows.next().unwrap() {
            let operation: String = row.get("opcode").unwrap();
            assert_ne!(operation, "OpenEphemeral", "{sql}");
        }
    }
}

fn faults(conn: &Connection, sql: &str) -> Vec<String> {
    let mut explain = match conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")) {
        Ok(explain) => explain,
        Err(error) => return vec![error.to_string()],
    };
    let mut rows = explain.raw_query();
    let mut faults = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        let step: String = row.get("detail").unwrap();
        let walks = step
            .strip_prefix("SCAN ")
            .is_some_and(|table| !SMALL.iter().any(|small| table.starts_with(small)));
        // Ready tasks are the backlog: the state alone selects too many, unless a key range limits
        // them.
        let is_ready = |(_, condition): (_, &str)| condition.contains("state = 0");
        let by_state = step.contains("tasks_state (state=?)")
            && sql.split_once(" WHERE ").is_some_and(is_ready);
        if walks || by_state || step.contains("TEMP B-TREE") || step.contains("AUTOMATIC") {
            faults.push(step);
        }
    }
    faults
}

/// String literals in a source that are statements or begin one.
fn statements_in(source: &str) -> Vec<String> {
    let verbs = ["SELECT ", "INSERT ", "UPDATE ", "DELETE ", "WITH "];
    let texts = source.split('"').skip(1).step_by(2);
    texts
        .map(|text| {
            let lines = text.split("\\\n").enumerate();
            lines
                .map(|(number, line)| if number == 0 { line } else { line.trim_start() })
                .collect()
        })
        .filter(|text: &String| verbs.iter().any(|verb| text.starts_with(verb)))
        .collect()
}

/// A store that has executed everything a store can do.
struct Ran {
    operator: SqliteOperator,
    statements: BTreeSet<String>,
    _dir: tempfile::TempDir,
}

impl Ran {
    fn everything() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        schema::open_serving(&path, &Lock::take(&path).unwrap()).unwrap();
        let mut operator = SqliteOperator::open(&path).unwrap();
        let statements = Arc::new(Mutex::new(BTreeSet::new()));
        let heard = Arc::clone(&statements);
        let hear = move |event: TraceEvent<'_>| {
            if let TraceEvent::Stmt(statement, _) = event {
                heard.lock().unwrap().insert(statement.sql().into_owned());
            }
        };
        let codes = TraceEventCodes::SQLITE_TRACE_STMT;
        operator.core.conn.trace_v2(codes, Some(hear)).unwrap();
        service(&mut operator.core);
        line(&mut operator.core);
        person(&mut operator);
        history(&mut operator.core);
        let mut statements = statements.lock().unwrap().clone();
        let rows = |sql: &String| {
            !["BEGIN", "COMMIT", "PRAGMA"]
                .iter()
                .any(|w| sql.starts_with(w))
        };
        statements.retain(rows);
        Self {
            operator,
            statements,
            _dir: dir,
        }
    }
}

fn service(core: &mut Core) {
    let revision = RevisionId::of("rules");
    run(core, |txn| record::keep_revision(txn, revision, "rules"));
    let noted = |core: &mut Core, id| run(core, |txn| bucket_ids::note(txn, "b", id));
    for id in ["first", "second"] {
        assert_eq!(noted(core, id).as_deref(), Some("first"));
    }
    run(core, |txn| lanes::mark_unknown(txn, &[bucket(), lane()]));
    assert!(
        service_reads::revision(&core.conn, revision)
            .unwrap()
            .is_some()
    );
    let why = || Failure::new(FailureKind::Timeout, "r");
    let renames = [("a", bucket(), Turn::Needed), ("b", bucket(), Turn::Needed)];
    store(core, &arrival("first", &renames), &[]);
    let mut first = take(core, bucket());
    assert_eq!(wait::before(&core.conn, first.key).unwrap(), None);
    assert!(take_all(core, bucket()).is_empty(), "the second waits");
    journal_of(core, &first);
    for transition in [
        Transition::RetryAfter {
            wait: Duration::ZERO,
            why: why(),
        },
        Transition::Wait {
            on: WaitsFor::ItsLane,
            why: "w".into(),
        },
        Transition::Wait {
            on: outside().into(),
            why: "w".into(),
        },
        Transition::HandBack,
    ] {
        end(core, &first, transition);
        assert!(service_reads::figures(&core.conn, NOW).unwrap().ready > 0);
        let waits = wait::all(&core.conn).unwrap();
        assert!(waits.iter().all(|on| *on == outside()));
        run(core, |txn| wait::release(txn, &outside(), NOW));
        let later = NOW.plus(Duration::from_mins(1));
        let probe = LaneRoom {
            whom: Whom::MostTried,
            ..LaneRoom::new(bucket(), 1)
        };
        let claimed = run(core, |txn| claim::claim(txn, &[probe], later));
        first = claimed.claims.into_iter().next().unwrap();
    }
    let next = |turn, hold| {
        Transition::Advance(NextStep {
            step: 1,
            lane: lane(),
            turn,
            hold,
        })
    };
    let Written::Continues(on) = end(core, &first, next(Turn::NotNeeded, Hold::Keep)) else {
        panic!("the worker had room")
    };
    end(core, &on, next(Turn::Needed, Hold::Leave));
    let (duplicate, dead_on_arrival) = (
        arrival("first", &renames),
        &mut arrival("dead_on_arrival", &renames),
    );
    store(core, &duplicate, &[]);
    dead_on_arrival.plan.tasks[0].dead_on_arrival = Some(why());
    dead_on_arrival.plan.tasks[0].on_dead = Some("lms".into());
    store(core, dead_on_arrival, &[dead_on_arrival.plan.tasks[1].id]);
    assert!(service_reads::figures(&core.conn, NOW).unwrap().ready > 0);
    assert!(
        service_reads::cancel_requests(&core.conn, vec![dead_on_arrival.plan.tasks[1].id])
            .unwrap()
            .is_empty()
    );
    let paused = Pause {
        since: NOW,
        why: "w".into(),
    };
    for change in [LaneChange::Closed, LaneChange::Paused(paused.clone())] {
        run(core, |txn| lanes::change(txn, &lane(), &change));
        run(core, |txn| lanes::heard(txn, &[(lane(), paused.clone())]));
    }
    assert_eq!(lanes::states(&core.conn).unwrap().len(), 1);
    run(core, recover);
    assert!(keys::are_recovered(&core.conn).unwrap());
    run(core, |txn| keys::begin(txn.conn, Moment::default()));
    let earlier = NOW.minus(Duration::from_hours(1));
    let ahead = due::ahead(&core.conn, "bucket/b", (0, TaskKey::new(0, 0)), earlier).unwrap();
    assert!(!ahead.tasks.is_empty());
    let corrected = run(core, |txn| due::correct(txn, &ahead.tasks, earlier));
    assert_eq!(corrected, ahead.tasks.len());
}

fn journal_of(core: &mut Core, claim: &Claim) {
    let moves = |phase| vec![moved(phase)];
    for entry in [
        JournalEntry::Draft(vec![Move {
            target: Target::Replace,
            ..moved(MovePhase::Planned)
        }]),
        JournalEntry::Draft(moves(MovePhase::Planned)),
        JournalEntry::Manifest(moves(MovePhase::Planned)),
        JournalEntry::Progress(vec![Move {
            target: Target::Replace,
            ..moved(MovePhase::Moved)
        }]),
        JournalEntry::Begun {
            lingers: Duration::from_mins(15),
        },
        JournalEntry::Ended {
            late: vec![place("to")],
            lingers: Duration::from_mins(15),
        },
        JournalEntry::Last(moves(MovePhase::Copied)),
        JournalEntry::Progress(vec![Move {
            part: Part::Playlist,
            target: Target::Replace,
            ..moved(MovePhase::Moved)
        }]),
        JournalEntry::Commit(place("new")),
    ] {
        let by = journal::By {
            seq: claim.key,
            attempt: claim.attempt,
            task: claim.task.clone(),
            origin: Some("j\n".into()),
            known: 0,
            settled: 0,
        };
        let entered = run(core, |txn| journal::write(txn, &by, &entry, PRESENT));
        assert!(matches!(entered, Entered::Written));
    }
    left_of(core, claim);
    assert!(
        journal::outline(&core.conn, claim.key, 0)
            .unwrap()
            .is_some()
    );
    let page = journal::moves(&core.conn, claim.key, 0, &(0..10)).unwrap();
    assert_eq!(page.len(), 1);
    let drafts = journal::drafts(&core.conn, claim.key, 0, &(0..10)).unwrap();
    assert_eq!(drafts, []);
    let recording = RecordingId::of(&place("first"));
    let found = journal::earlier(&core.conn, recording, None, &[place("first")]).unwrap();
    assert_eq!(found.len(), 1);
    journal::made_from(&core.conn, claim.key, recording, None, &[place("first")]).unwrap();
    let mut event = (*claim.event).clone();
    event.fields.job = Some("j".into());
    run(core, |txn| whose::note(txn, &event, claim.key.event()));
    assert_eq!(whose::announced(&core.conn, recording).unwrap().len(), 1);
    let other = RecordingId::of(&place("new"));
    replaced::put_by_others(&core.conn, other, None, &place("new")).unwrap();
}

fn left_of(core: &mut Core, claim: &Claim) {
    let by = |seq| journal::By {
        seq,
        attempt: claim.attempt,
        task: claim.task.clone(),
        origin: Some("j\n".into()),
        known: 0,
        settled: 0,
    };
    let replaces = |phase| Move {
        to: place("new"),
        target: Target::Replace,
        ..moved(phase)
    };
    for phase in [MovePhase::Copied, MovePhase::Kept] {
        let entry = JournalEntry::Progress(vec![replaces(phase)]);
        run(core, |txn| {
            journal::write(txn, &by(claim.key), &entry, PRESENT)
        });
    }
    core.conn
        .execute(
            "UPDATE moves SET recording = randomblob(16) WHERE task = ?1",
            [claim.key],
        )
        .unwrap();
    let outline = journal::outline(&core.conn, claim.key, 0).unwrap().unwrap();
    assert_eq!(outline.replaces, Some(claim.task.id));
    run(core, |txn| left::note(txn, claim.key));
    let other = [replaces(MovePhase::Copied)];
    run(core, |txn| {
        left::take_over(txn, &by(TaskKey::new(0, 0)), &other, NOW)
    });
    let entry = JournalEntry::Progress(vec![Move {
        target_etag: Some("t".into()),
        ..moved(MovePhase::Moved)
    }]);
    run(core, |txn| {
        journal::write(txn, &by(claim.key), &entry, PRESENT)
    });
}

/// An order with two tasks, to its end.
fn line(core: &mut Core) {
    let lane = || Lane::Destination("ordered".into());
    for key in ["one", "other"] {
        let mut arrival = arrival(key, &[("a", lane(), Turn::NotNeeded)]);
        arrival.plan.tasks[0].order_key = Some(OrderKey::of("a", "v", false));
        store(core, &arrival, &[]);
    }
    for _ in 0..2 {
        let claims = take_all(core, lane());
        assert_eq!(claims.len(), 1);
        end(core, &claims[0], Transition::Finish);
    }
}

fn person(operator: &mut SqliteOperator) {
    let alone = arrival("alone", &[("a", lane(), Turn::Needed)]);
    let (id, event) = (alone.plan.tasks[0].id, alone.event.id);
    store(&mut operator.core, &alone, &[id]);
    let by = By::default();
    let real = Mode::Real(&by);
    operator.cancel(&[id], real, NOW).unwrap();
    run(&mut operator.core, recover);
    operator.cancel(&[id], real, NOW).unwrap();
    let later = NOW.plus(Duration::from_hours(1));
    operator.retry(&[id], None, real, later).unwrap();
    let hastened = operator.retry(&[id], None, real, NOW).unwrap();
    assert_eq!(hastened, [RetryOutcome::DueNow]);
    assert!(operator.holds(&lane()).unwrap());
    assert!(!operator.lanes().unwrap().is_empty());
    assert_eq!(operator.resume(&lane()).unwrap(), LaneOutcome::Changed);
    for (states, leaves) in [
        (&[][..], false),
        (&["done"], false),
        (&["dead"], false),
        (&[], true),
    ] {
        let filter = TaskFilter {
            states: states.iter().copied().map(str::to_owned).collect(),
            leaves,
            ..TaskFilter::default()
        };
        let before = operator.task_cursor(id).unwrap();
        let page = Page { limit: 1, before };
        operator.tasks(&filter, page).unwrap();
        let mut walk = operator.walk_tasks(filter).unwrap();
        operator.next_tasks(&mut walk).unwrap();
    }
    let events = EventFilter::default();
    operator.events(&events, Page::newest(1)).unwrap();
    assert!(operator.event_cursor(event).unwrap().is_some());
    in_bulk(operator, id, event);
    assert!(operator.task(id).unwrap().is_some());
    assert!(operator.event(event).unwrap().is_some());
}

fn in_bulk(operator: &mut SqliteOperator, id: TaskId, event: EventId) {
    let mut walk = operator.walk_events(EventFilter::default()).unwrap();
    assert!(!operator.next_events(&mut walk).unwrap().is_empty());

    let by = By::default();
    let real = Mode::Real(&by);
    operator.cancel(&[id], real, NOW).unwrap();
    let restart = |_: &StoppedTask| {
        Ok(Restart {
            step: 0,
            lane: bucket(),
            turn: Turn::Needed,
            renames: vec![0],
        })
    };
    let under = Under {
        revision: RevisionId::of("today"),
        text: "today",
        restart: &restart,
    };
    let retried = operator.retry(&[id], Some(&under), real, NOW).unwrap();
    assert_eq!(retried, [RetryOutcome::Requeued]);

    let plan = |_: &Event, generation| {
        let mut plan = arrival("alone", &[("b", lane(), Turn::NotNeeded)]).plan;
        plan.tasks[0].id = TaskId::derive(event, "b", generation);
        plan
    };
    let replay = Replay {
        scope: Scope::Missing,
        plan: &plan,
        rules: "rules",
    };
    operator.replay(&[event], &replay, real, NOW).unwrap();
}

fn history(core: &mut Core) {
    store(
        core,
        &arrival("old", &[("a", lane(), Turn::NotNeeded)]),
        &[],
    );
    for claim in take_all(core, lane()) {
        end(core, &claim, Transition::Finish);
    }
    let slow = || Lane::Destination("slow".into());
    store(
        core,
        &arrival("waits", &[("a", slow(), Turn::NotNeeded)]),
        &[],
    );
    let mut newest = arrival("newest", &[]);
    Arc::make_mut(&mut newest.event).fields.end_time = Some(NOW);
    store(core, &newest, &[]);
    let keep = Retention {
        history: Duration::ZERO,
        dedup_horizon: Duration::ZERO,
    };
    let (_, mut reckoning) = run(core, |txn| prune::prune(txn, None, keep, PRESENT));
    let mut pruned = |core: &mut Core, hours| {
        let later = PRESENT.plus(Duration::from_hours(hours));
        let (pruned, known) = run(core, |txn| prune::prune(txn, Some(reckoning), keep, later));
        reckoning = known;
        pruned
    };
    assert!(pruned(core, 1).events > 0);
    // The passed event's task ends now, so the sweep returns to it.
    let waits = take(core, slow());
    end(core, &waits, Transition::Finish);
    assert!(pruned(core, 2).events > 0);
}

fn run<T>(core: &mut Core, work: impl FnOnce(&mut Txn<'_>) -> rusqlite::Result<T>) -> T {
    core.commit(work).unwrap()
}

fn store(core: &mut Core, arrival: &Arrival, start: &[TaskId]) {
    if let Recorded::New { claims } = run(core, |txn| record::record(txn, arrival, start)) {
        assert_eq!(claims.len(), start.len());
    }
}

fn claim_at(core: &mut Core, lane: Lane, now: Timestamp) -> Vec<Claim> {
    let room = [LaneRoom::new(lane, 10)];
    run(core, |txn| claim::claim(txn, &room, now)).claims
}

fn take_all(core: &mut Core, lane: Lane) -> Vec<Claim> {
    claim_at(core, lane, NOW)
}

fn take(core: &mut Core, lane: Lane) -> Claim {
    take_all(core, lane).pop().unwrap()
}

fn end(core: &mut Core, claim: &Claim, transition: Transition) -> Written {
    let attempt = AttemptRecord {
        step: 0,
        step_id: "s".into(),
        action: "notify".into(),
        started: NOW,
        took: Duration::ZERO,
        outcome: Outcome::Succeeded,
        exchange: None,
    };
    let settlement = Settlement {
        transition,
        attempt: Some(attempt),
        outputs: Outputs::new(),
        leaves: None,
    };
    run(core, |txn| {
        apply::apply(txn, claim.key, claim.attempt, &settlement, NOW)
    })
}

fn arrival(key: &str, rules: &[(&str, Lane, Turn)]) -> Arrival {
    let id = EventId::derive(None, &[key.as_bytes()]);
    let task = |(rule, lane, turn): &(&str, Lane, Turn)| PlannedTask {
        id: TaskId::derive(id, rule, 0),
        rule: (*rule).to_owned(),
        generation: 0,
        lane: lane.clone(),
        turn: *turn,
        order_key: None,
        dead_on_arrival: None,
        on_dead: None,
    };
    let plan = Plan {
        revision: RevisionId::of("rules"),
        tasks: rules.iter().map(task).collect(),
    };
    let body = json!({ Fields::BUCKET: "b", Fields::OBJECT: key }).to_string();
    let event = recorder::decode(Recorder::default(), id, NOW, body.into());
    Arrival {
        event: Arc::new(event),
        plan,
    }
}

fn lane() -> Lane {
    Lane::Destination("lms".into())
}

fn bucket() -> Lane {
    Lane::Bucket("b".into())
}

fn outside() -> Outside {
    Outside::Lane(lane())
}

fn place(key: &str) -> Place {
    Place {
        bucket: "b".into(),
        key: key.into(),
    }
}

fn moved(phase: MovePhase) -> Move {
    Move {
        number: 0,
        from: place("first"),
        to: place("to"),
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
