//! Large histories: lists, searches and pruning.

use std::sync::Arc;
use std::time::Duration;

use aftertake::model::event::Event;
use aftertake::model::failure::{Failure, FailureKind};
use aftertake::model::moves::{Move, MovePhase};
use aftertake::model::plan::Turn;
use aftertake::model::task::{Lane, TaskState};
use aftertake::model::transition::{Hold, NextStep, Transition};
use aftertake::store::lists::{EventFilter, GONE, Page, TaskFilter, TaskRow};
use aftertake::store::operator::Operator;
use aftertake::store::{Applied, JournalEntry, LaneRoom, Pruned, Retention, Store};
use futures_util::future::join_all;

use crate::store_contract::{
    NOW, PRESENT, arrival, bucket, claim, end, ending, lane, moved, notify, one, place,
    prune_after, ran,
};
use crate::support::backend::{Backend, shown_on_every_store};
use crate::support::operator::OneTask;
use crate::support::operator::why_waits;

pub(crate) const DAY: Duration = Duration::from_hours(24);

fn listed(operator: &impl Operator, filter: &TaskFilter, limit: usize) -> Vec<TaskRow> {
    operator.tasks(filter, Page::newest(limit)).unwrap()
}

fn everything(operator: &impl Operator) -> Vec<TaskRow> {
    listed(operator, &TaskFilter::default(), 100)
}

/// The number of stored events.
fn remembered(operator: &impl Operator) -> usize {
    let events = operator.events(&EventFilter::default(), Page::newest(1_000));
    events.unwrap().len()
}

/// Prunes what is older than a day until nothing is left; returns the result of each call.
pub(crate) async fn prune(store: &impl Store) -> Vec<Pruned> {
    let keep = Retention {
        history: DAY,
        dedup_horizon: DAY,
    };
    let mut calls = Vec::new();
    loop {
        let pruned = prune_after(store, keep, DAY * 2).await;
        calls.push(pruned);
        if !pruned.more {
            return calls;
        }
    }
}

shown_on_every_store! {
    tasks_of_every_state_are_listed_newest_first_up_to_the_limit
    tasks_of_a_lane_that_is_gone_wait_with_that_reason_until_it_is_back
    second_rename_of_a_task_finds_what_its_first_one_moved
    event_with_many_tasks_is_forgotten_in_small_steps
    sweep_visits_each_event_once_and_again_only_when_it_can_be_removed
    event_of_a_clock_that_was_ahead_is_forgotten_once_its_time_is_old
}

async fn tasks_of_every_state_are_listed_newest_first_up_to_the_limit(backend: impl Backend) {
    let store = backend.open();
    let why = || Failure::new(FailureKind::Refused, "no");
    let endings = [
        Some(Transition::Finish),
        Some(Transition::Bury {
            why: why(),
            notice: None,
        }),
        Some(Transition::Cancel),
        None,
    ];
    let mut held = Vec::new();
    for round in 0..3 {
        for (number, transition) in (0..).zip(&endings) {
            let rule = format!("{round}{number}");
            let rules = [(rule.as_str(), lane(), Turn::NotNeeded)];
            store
                .record(arrival(&rule, 1, &rules), vec![])
                .await
                .unwrap();
            let claim = one(&store, lane(), NOW).await;
            match transition {
                Some(transition) => end(&store, claim, transition.clone()).await,
                None => held.push(claim),
            }
        }
        let rule = format!("{round}4");
        let rules = [(rule.as_str(), bucket(), Turn::NotNeeded)];
        store
            .record(arrival(&rule, 1, &rules), vec![])
            .await
            .unwrap();
    }
    let names = |rows: Vec<TaskRow>| rows.into_iter().map(|row| row.rule).collect::<Vec<_>>();
    let some = |state: Option<&str>| TaskFilter {
        states: state.into_iter().map(str::to_owned).collect(),
        ..TaskFilter::default()
    };
    assert_eq!(
        names(listed(&backend.operator(), &some(None), 2)),
        ["24", "23"]
    );
    for (state, number) in TaskState::NAMES.into_iter().zip([4, 3, 0, 1, 2]) {
        let newest = [format!("2{number}"), format!("1{number}")];
        let rows = listed(&backend.operator(), &some(Some(state)), 2);
        assert!(rows.iter().all(|row| row.state == state));
        assert_eq!(names(rows), newest, "{state}");
    }
    let of_rule = TaskFilter {
        rule: Some("01".into()),
        ..some(Some("dead"))
    };
    assert_eq!(names(listed(&backend.operator(), &of_rule, 2)), ["01"]);
    assert_eq!(held.len(), 3);
}

async fn tasks_of_a_lane_that_is_gone_wait_with_that_reason_until_it_is_back(
    backend: impl Backend,
) {
    let store = backend.open();
    let gone = Lane::Destination("gone".into());
    let known = vec![lane(), bucket()];
    let rules = [
        ("announce", gone.clone(), Turn::NotNeeded),
        ("fine", lane(), Turn::NotNeeded),
    ];
    store.record(arrival("k", 1, &rules), vec![]).await.unwrap();
    let unknown = store.mark_unknown_lanes(known.clone()).await.unwrap();
    assert_eq!(unknown, std::slice::from_ref(&gone));

    // A task that reaches such a lane later waits like the earlier ones.
    let fine = one(&store, lane(), NOW).await;
    let settlement = ending(Transition::Advance(NextStep {
        step: 1,
        lane: gone.clone(),
        turn: Turn::NotNeeded,
        hold: Hold::Leave,
    }));
    let applied = store.apply(fine, settlement, NOW).await.unwrap();
    assert!(matches!(applied, Applied::Settled));
    for row in everything(&backend.operator()) {
        let reason = Some(format!("destination/gone is {GONE}"));
        assert_eq!(
            (row.state, row.tries, why_waits(&row)),
            ("ready", 0, reason)
        );
    }
    let hour = Duration::from_hours(1);
    let figures = store.figures(NOW.plus(hour)).await.unwrap();
    assert_eq!(
        (figures.oldest_due, figures.oldest_waiting.is_some()),
        (None, true)
    );
    let lanes = aftertake::operate::lanes::list(&backend.operator(), NOW).unwrap();
    let lane = lanes.iter().find(|lane| lane.name == "gone").unwrap();
    assert_eq!((lane.state, lane.why.as_deref()), ("missing", Some(GONE)));

    let back = [known, vec![gone.clone()]].concat();
    assert!(store.mark_unknown_lanes(back).await.unwrap().is_empty());
    assert!(
        everything(&backend.operator())
            .iter()
            .all(|row| row.waits.is_none())
    );
    assert_eq!(claim(&store, gone, NOW).await.len(), 2);
}

async fn second_rename_of_a_task_finds_what_its_first_one_moved(backend: impl Backend) {
    let store = backend.open();
    let rules = [("twice", bucket(), Turn::Needed)];
    store.record(arrival("k", 1, &rules), vec![]).await.unwrap();
    let first = one(&store, bucket(), NOW).await;
    let moves = |phase| vec![moved(0, phase)];
    for entry in [
        JournalEntry::Manifest(moves(MovePhase::Planned)),
        JournalEntry::Progress(moves(MovePhase::Moved)),
    ] {
        store.journal(&first, entry, PRESENT).await.unwrap();
    }
    let settlement = ending(Transition::Advance(NextStep {
        step: 1,
        lane: bucket(),
        turn: Turn::Needed,
        hold: Hold::Keep,
    }));
    let Applied::Continues(second) = store.apply(first, settlement, NOW).await.unwrap() else {
        panic!("there was room")
    };
    let from = vec![place("from/0.ts")];
    let found = store.earlier_moves(&second, from.clone()).await.unwrap();
    let found: Vec<Move> = found.into_iter().map(|earlier| earlier.one).collect();
    assert_eq!(found, moves(MovePhase::Moved));

    let again = Move {
        to: place("elsewhere"),
        ..moved(0, MovePhase::Moved)
    };
    let entry = JournalEntry::Manifest(vec![again.clone()]);
    store.journal(&second, entry, PRESENT).await.unwrap();
    let found = store.earlier_moves(&second, from).await.unwrap();
    assert_eq!(found[0].one, again);
}

async fn event_with_many_tasks_is_forgotten_in_small_steps(backend: impl Backend) {
    let store = backend.open();
    let names: Vec<String> = (0..5_000).map(|number| number.to_string()).collect();
    let rule = |name| (name, lane(), Turn::NotNeeded);
    let rules: Vec<_> = names.iter().map(String::as_str).map(rule).collect();
    store.record(arrival("k", 1, &rules), vec![]).await.unwrap();
    let room = vec![LaneRoom::new(lane(), names.len())];
    let claims = store.claim(room, NOW).await.unwrap().claims;
    join_all(
        claims
            .into_iter()
            .map(|claim| end(&store, claim, Transition::Finish)),
    )
    .await;
    store.record(notify("newest", 2), vec![]).await.unwrap();

    let calls = prune(&store).await;
    assert!(calls.iter().all(|call| call.tasks <= 2_000), "{calls:?}");
    let forgotten = calls.iter().map(|call| (call.tasks, call.events));
    let (tasks, events) = forgotten.fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    assert_eq!((tasks, events), (5_000, 1));
    assert_eq!(store.figures(NOW).await.unwrap().done, 0);
    assert_eq!(remembered(&backend.operator()), 1);
}

async fn sweep_visits_each_event_once_and_again_only_when_it_can_be_removed(backend: impl Backend) {
    let mut store = backend.open();
    let mut dead = Vec::new();
    for number in 0..600 {
        let key = number.to_string();
        let waits = [("waits", bucket(), Turn::NotNeeded)];
        let arrival = match number % 3 {
            0 => arrival(&key, 1, &waits),
            _ => notify(&key, 1),
        };
        store.record(arrival, vec![]).await.unwrap();
        let why = Failure::new(FailureKind::Refused, "no");
        for claim in claim(&store, lane(), NOW).await {
            let transition = match number % 3 {
                1 => Transition::Bury {
                    why: why.clone(),
                    notice: None,
                },
                _ => Transition::Finish,
            };
            if number % 3 == 1 {
                dead.push(claim.task().id);
            }
            end(&store, claim, transition).await;
        }
    }
    store.record(notify("newest", 2), vec![]).await.unwrap();
    let keep = Retention {
        history: DAY,
        dedup_horizon: DAY * 10,
    };
    let looked = async |store: &_, days: u32| {
        let (mut looked, mut calls, mut bodies) = (0, 0, 0);
        loop {
            let pruned = prune_after(store, keep, DAY * days).await;
            looked += pruned.looked;
            bodies += pruned.bodies;
            calls += 1;
            if !pruned.more {
                return (looked, bodies, calls > 1);
            }
        }
    };
    assert_eq!(looked(&store, 2).await, (600, 200, true));
    drop(store);
    store = backend.open();
    assert_eq!(looked(&store, 3).await, (0, 0, false));

    // One is cancelled, another finally done: a day later their history is removed.
    let mut operator = backend.operator();
    operator.cancel_one(dead[0], NOW.plus(DAY * 3)).unwrap();
    operator.retry_one(dead[1], NOW.plus(DAY * 3)).unwrap();
    let again = claim(&store, lane(), NOW.plus(DAY * 3)).await;
    let again = again.into_iter().find(|claim| claim.task().id == dead[1]);
    let settlement = ending(Transition::Finish);
    let at = NOW.plus(DAY * 3);
    store.apply(again.unwrap(), settlement, at).await.unwrap();
    assert_eq!(looked(&store, 4).await, (0, 0, false));
    let later = DAY * 4 + Duration::from_secs(1);
    let pruned = prune_after(&store, keep, later).await;
    assert_eq!((pruned.looked, pruned.bodies, pruned.events), (2, 2, 0));

    // At the dedup horizon each is looked at once more, and needed ones stay.
    assert_eq!(looked(&store, 11).await, (600, 0, true));
    assert_eq!(looked(&store, 12).await, (0, 0, false));
    assert_eq!(remembered(&backend.operator()), 600 - 202 + 1);
    operator.cancel_one(dead[2], NOW.plus(DAY * 12)).unwrap();
    assert_eq!(looked(&store, 14).await, (1, 1, false));
    assert_eq!(remembered(&backend.operator()), 600 - 203 + 1);
}

/// Sweeps after these numbers of days. Of three events the second was stored with a clock that many
/// days ahead. Returns the numbers of bodies and events removed each time.
async fn swept_with_one_ahead<B: Backend>(ahead: u32, days: &[u32]) -> Vec<(usize, usize)> {
    let backend = B::default();
    let store = backend.open();
    let ahead = NOW.plus(DAY * ahead);
    for (key, received) in [("before", NOW), ("ahead", ahead), ("after", NOW)] {
        let mut arrival = notify(key, 1);
        let event = Event::clone(&arrival.event);
        arrival.event = Arc::new(Event { received, ..event });
        store.record(arrival, vec![]).await.unwrap();
        for claim in claim(&store, lane(), received).await {
            let settlement = ending(Transition::Finish);
            store.apply(claim, settlement, received).await.unwrap();
        }
    }
    store.record(notify("newest", 2), vec![]).await.unwrap();
    let keep = Retention {
        history: DAY,
        dedup_horizon: DAY * 10,
    };
    let mut gone = Vec::new();
    // One process, so that its elapsed time continues from sweep to sweep.
    prune_after(&store, keep, Duration::ZERO).await;
    for days in days {
        let pruned = store.prune(keep, ran(DAY * *days)).await.unwrap();
        gone.push((pruned.bodies, pruned.events));
    }
    gone
}

async fn event_of_a_clock_that_was_ahead_is_forgotten_once_its_time_is_old<B: Backend>(_: B) {
    // The event after it is removed with it, once its time has come.
    assert_eq!(
        swept_with_one_ahead::<B>(5, &[2, 6, 7, 11, 16]).await,
        [(2, 0), (0, 0), (1, 0), (0, 1), (0, 2)]
    );
    // The others are removed long before it; it is kept to its full age.
    assert_eq!(
        swept_with_one_ahead::<B>(20, &[2, 11, 20, 22, 29, 31]).await,
        [(2, 0), (0, 2), (0, 0), (1, 0), (0, 0), (0, 1)]
    );
}
