//! `order_by`: tasks of a rule with the same value run one at a time, in order of arrival, whatever
//! happens to them.

mod model;

use std::time::Duration;

use aftertake::model::failure::{Failure, FailureKind};
use aftertake::model::id::TaskId;
use aftertake::model::plan::{OrderKey, Turn};
use aftertake::model::transition::Transition;
use aftertake::store::operator::{CancelOutcome, Operator, RetryOutcome};
use aftertake::store::{Arrival, Claim, Recorded, Store};

use crate::store_contract::{NOW, arrival, bucket, claim, end, lane, notify, one};
use crate::support::backend::{Backend, shown_on_every_store};
use crate::support::operator::OneTask;
use crate::support::operator::why_waits;

/// An arrival with one task, whose rule has `order_by`, and `order_blocks` if it `blocks`.
fn ordered(number: i64, blocks: bool) -> Arrival {
    let mut arrival = notify(&format!("k{number}"), number);
    arrival.plan.tasks[0].order_key = Some(OrderKey::of("announce", "class-7", blocks));
    arrival
}

fn why() -> Failure {
    Failure::new(FailureKind::Refused, "no")
}

/// A store with a line of three tasks, and their ids.
struct Line<B: Backend> {
    store: B::Store,
    backend: B,
    tasks: [TaskId; 3],
}

impl<B: Backend> Line<B> {
    async fn new(backend: B, blocks: bool) -> Self {
        let store = backend.open();
        let mut tasks = Vec::new();
        for number in 1..=3 {
            let arrival = ordered(number, blocks);
            tasks.push(arrival.plan.tasks[0].id);
            store.record(arrival, vec![]).await.unwrap();
        }
        let tasks = tasks.try_into().unwrap();
        Self {
            store,
            backend,
            tasks,
        }
    }

    fn operator(&self) -> B::Operator {
        self.backend.operator()
    }

    /// Claims the only task that can run, and asserts that it is the line's task of this number.
    async fn claims(&self, number: usize) -> Claim {
        let claim = one(&self.store, lane(), NOW).await;
        assert_eq!(claim.task().id, self.tasks[number - 1]);
        claim
    }

    /// Claims that task and abandons the claim.
    async fn is_next(&self, number: usize) {
        let _unsettled = self.claims(number).await;
    }

    async fn claims_none(&self) {
        assert!(claim(&self.store, lane(), NOW).await.is_empty());
    }

    async fn buries(&self, number: usize) {
        let claim = self.claims(number).await;
        end(
            &self.store,
            claim,
            Transition::Bury {
                why: why(),
                notice: None,
            },
        )
        .await;
    }
}

shown_on_every_store! {
    task_keeps_its_place_while_it_waits_for_a_retry_and_across_a_restart
    only_the_first_of_a_line_is_started_with_its_event
    rules_with_one_value_and_values_of_one_rule_do_not_wait_for_each_other
    dead_task_lets_its_successors_pass_and_is_retried_behind_what_runs
    dead_task_that_blocks_holds_its_successors_until_it_is_retried_and_done
    dead_task_that_blocks_is_cancelled_and_lets_its_successors_pass
    dead_task_that_holds_nobody_back_is_cancelled_and_leaves_the_line_as_it_is
    task_that_is_dead_on_arrival_takes_its_place_in_line_if_it_blocks
    cancelled_task_leaves_its_place_to_the_next_anywhere_in_line
    task_says_whom_it_waits_for
    line_and_turn_never_wait_for_each_other
}

async fn task_keeps_its_place_while_it_waits_for_a_retry_and_across_a_restart(
    backend: impl Backend,
) {
    let mut line = Line::new(backend, false).await;
    let first = line.claims(1).await;
    line.claims_none().await;
    let wait = Duration::from_mins(1);
    let due = NOW.plus(wait);
    let again = Transition::RetryAfter { wait, why: why() };
    end(&line.store, first, again).await;
    line.claims_none().await;
    drop(line.store);
    line.store = line.backend.open();
    line.claims_none().await;
    let first = one(&line.store, lane(), due).await;
    assert_eq!((first.task().id, first.task().tries), (line.tasks[0], 2));
    end(&line.store, first, Transition::Finish).await;
    for number in [2, 3] {
        let next = line.claims(number).await;
        line.claims_none().await;
        end(&line.store, next, Transition::Finish).await;
    }
}

async fn only_the_first_of_a_line_is_started_with_its_event(backend: impl Backend) {
    let store = backend.open();
    let mut started = Vec::new();
    for number in 1..=2 {
        let arrival = ordered(number, false);
        let start = vec![arrival.plan.tasks[0].id];
        let recorded = store.record(arrival, start).await.unwrap();
        let Recorded::New { claims } = recorded else {
            panic!("{recorded:?}");
        };
        started.push(claims.len());
    }
    assert_eq!(started, [1, 0]);
}

async fn rules_with_one_value_and_values_of_one_rule_do_not_wait_for_each_other(
    backend: impl Backend,
) {
    let store = backend.open();
    for (number, (rule, value)) in (1..).zip([("a", "v"), ("a", "w"), ("b", "v")]) {
        let mut arrival = ordered(number, false);
        arrival.plan.tasks[0].order_key = Some(OrderKey::of(rule, value, false));
        store.record(arrival, vec![]).await.unwrap();
    }
    assert_eq!(claim(&store, lane(), NOW).await.len(), 3);
}

async fn dead_task_lets_its_successors_pass_and_is_retried_behind_what_runs(backend: impl Backend) {
    let line = Line::new(backend, false).await;
    line.buries(1).await;
    let second = line.claims(2).await;
    let retried = line.operator().retry_one(line.tasks[0], NOW).unwrap();
    assert_eq!(retried, RetryOutcome::Requeued);
    line.claims_none().await;
    end(&line.store, second, Transition::Finish).await;
    let first = line.claims(1).await;
    line.claims_none().await;
    end(&line.store, first, Transition::Finish).await;
    line.is_next(3).await;
}

async fn dead_task_that_blocks_holds_its_successors_until_it_is_retried_and_done(
    backend: impl Backend,
) {
    let line = Line::new(backend, true).await;
    line.buries(1).await;
    line.claims_none().await;
    let retried = line.operator().retry_one(line.tasks[0], NOW).unwrap();
    assert_eq!(retried, RetryOutcome::Requeued);
    let first = line.claims(1).await;
    line.claims_none().await;
    end(&line.store, first, Transition::Finish).await;
    line.is_next(2).await;
}

async fn dead_task_that_blocks_is_cancelled_and_lets_its_successors_pass(backend: impl Backend) {
    let line = Line::new(backend, true).await;
    line.buries(1).await;
    let cancelled = line.operator().cancel_one(line.tasks[0], NOW).unwrap();
    assert_eq!(cancelled, CancelOutcome::Cancelled);
    let figures = line.store.figures(NOW).await.unwrap();
    assert_eq!((figures.dead, figures.cancelled), (0, 1));
    line.buries(2).await;
    line.claims_none().await;
}

async fn dead_task_that_holds_nobody_back_is_cancelled_and_leaves_the_line_as_it_is(
    backend: impl Backend,
) {
    let line = Line::new(backend, false).await;
    line.buries(1).await;
    let cancelled = line.operator().cancel_one(line.tasks[0], NOW).unwrap();
    assert_eq!(cancelled, CancelOutcome::Cancelled);
    line.buries(2).await;
    line.buries(3).await;
    line.claims_none().await;
}

async fn task_that_is_dead_on_arrival_takes_its_place_in_line_if_it_blocks<B: Backend>(_: B) {
    for blocks in [false, true] {
        let line = Line::new(B::default(), blocks).await;
        let mut doomed = ordered(4, blocks);
        doomed.plan.tasks[0].dead_on_arrival = Some(why());
        let id = doomed.plan.tasks[0].id;
        let last = ordered(5, blocks);
        let after = last.plan.tasks[0].id;
        line.store.record(doomed, vec![]).await.unwrap();
        line.store.record(last, vec![]).await.unwrap();
        for number in 1..=3 {
            let next = line.claims(number).await;
            end(&line.store, next, Transition::Finish).await;
        }
        if blocks {
            line.claims_none().await;
            let cancelled = line.operator().cancel_one(id, NOW).unwrap();
            assert_eq!(cancelled, CancelOutcome::Cancelled);
        }
        assert_eq!(one(&line.store, lane(), NOW).await.task().id, after);
    }
}

async fn cancelled_task_leaves_its_place_to_the_next_anywhere_in_line(backend: impl Backend) {
    let line = Line::new(backend, false).await;
    let cancel = |number: usize| {
        line.operator()
            .cancel_one(line.tasks[number - 1], NOW)
            .unwrap()
    };
    assert_eq!(cancel(2), CancelOutcome::Cancelled);
    let first = line.claims(1).await;
    assert_eq!(cancel(1), CancelOutcome::Requested);
    line.claims_none().await;
    end(&line.store, first, Transition::Cancel).await;
    assert_eq!(cancel(3), CancelOutcome::Cancelled);
    line.claims_none().await;
    for number in [3, 2] {
        let id = line.tasks[number - 1];
        let retried = line.operator().retry_one(id, NOW).unwrap();
        assert_eq!(retried, RetryOutcome::Requeued);
    }
    // The third came back first and runs first; the second follows it and is not lost.
    let third = line.claims(3).await;
    line.claims_none().await;
    end(&line.store, third, Transition::Finish).await;
    line.is_next(2).await;
}

async fn task_says_whom_it_waits_for(backend: impl Backend) {
    let line = Line::new(backend, true).await;
    line.buries(1).await;
    let note = |number: usize| {
        let shown = line
            .operator()
            .task(line.tasks[number - 1])
            .unwrap()
            .unwrap();
        (shown.row.due, why_waits(&shown.row))
    };
    let head = line.tasks[0];
    let said = format!("waits for {head}, which is dead: retry it or cancel it");
    assert_eq!(note(2), (None, Some(said)));
    assert_eq!(note(1), (None, None));
    line.operator().retry_one(head, NOW).unwrap();
    assert_eq!(note(3).1, Some(format!("waits for {head}")));
}

async fn line_and_turn_never_wait_for_each_other(backend: impl Backend) {
    let store = backend.open();
    let record = async |key: &str, time, rule| {
        let mut arrival = arrival(key, time, &[(rule, bucket(), Turn::Needed)]);
        arrival.plan.tasks[0].order_key = Some(OrderKey::of(rule, "v", false));
        store.record(arrival, vec![]).await.unwrap();
    };
    record("a", 1, "one").await;
    record("b", 2, "two").await;
    let wait = Duration::from_mins(1);
    let due = NOW.plus(wait);
    for head in claim(&store, bucket(), NOW).await {
        let again = Transition::RetryAfter { wait, why: why() };
        end(&store, head, again).await;
    }
    // Both recordings' turns are free. If these tasks took them now, each head would wait for the turn
    // of the other's successor, and each successor for its head: a deadlock.
    record("b", 3, "one").await;
    record("a", 4, "two").await;
    let mut ended = Vec::new();
    for _ in 0..2 {
        for claim in claim(&store, bucket(), due).await {
            ended.push(claim.located().unwrap().place.key.clone());
            end(&store, claim, Transition::Finish).await;
        }
    }
    assert_eq!(ended, ["a", "b", "b", "a"]);
}
