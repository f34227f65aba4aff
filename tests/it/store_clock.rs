//! A clock that was ahead when something was stored and is then corrected: nothing waits longer than
//! it was meant to.

use std::time::Duration;

use aftertake::model::event::Event;
use aftertake::model::failure::{Failure, FailureKind};
use aftertake::model::moment::Present;
use aftertake::model::plan::{OrderKey, Turn};
use aftertake::model::time::Timestamp;
use aftertake::model::transition::Transition;
use aftertake::store::{Arrival, Claim, LaneRoom, Store};

use crate::store_contract::{NOW, PRESENT, arrival, bucket, claim, ending, lane, notify, one};
use crate::support::backend::{Backend, shown_on_every_store};

const YEAR: Duration = Duration::from_hours(24 * 365);

const AHEAD: Timestamp = Timestamp::from_millis(NOW.millis() + 31_536_000_000);

shown_on_every_store! {
    retry_waits_its_full_time_after_the_clock_was_set_back
    right_due_time_is_not_corrected
    backlog_from_a_clock_that_was_ahead_is_due_at_once_and_has_its_whole_time
    line_and_turn_continue_although_the_next_task_arrived_by_a_clock_that_was_ahead
}

fn at(time: Timestamp, mut arrival: Arrival) -> Arrival {
    let mut event = Event::clone(&arrival.event);
    event.received = time;
    arrival.event = event.into();
    arrival
}

/// A failure with a retry after `wait`.
fn again(wait: Duration) -> Transition {
    let why = Failure::new(FailureKind::Timeout, "slow");
    Transition::RetryAfter { wait, why }
}

async fn end_at(store: &impl Store, claim: Claim, transition: Transition, now: Timestamp) {
    store.apply(claim, ending(transition), now).await.unwrap();
}

/// When the next task of the lane is due, according to the store.
async fn next_due(store: &impl Store) -> Option<Timestamp> {
    let lane = lane();
    let room = vec![LaneRoom::new(lane, 0)];
    store.claim(room, NOW).await.unwrap().next_due
}

async fn retry_waits_its_full_time_after_the_clock_was_set_back(backend: impl Backend) {
    let mut store = backend.open();
    let waits = [Duration::from_secs(2), Duration::from_mins(30)];
    for (key, wait) in ["short", "long"].into_iter().zip(waits) {
        store
            .record(at(AHEAD, notify(key, 1)), vec![])
            .await
            .unwrap();
        let failed = one(&store, lane(), AHEAD).await;
        end_at(&store, failed, again(wait), AHEAD).await;
    }
    // The next process, which did not see the clock change, finds it so, too.
    drop(store);
    store = backend.open();
    assert_eq!(next_due(&store).await, Some(AHEAD.plus(waits[0])));
    assert_eq!(store.correct_due(PRESENT).await.unwrap(), 2);
    assert_eq!(next_due(&store).await, Some(NOW.plus(waits[0])));
    assert!(claim(&store, lane(), NOW).await.is_empty());
    let short = one(&store, lane(), NOW.plus(waits[0])).await;
    assert_eq!(short.task().tries, 2);
    assert_eq!(next_due(&store).await, Some(NOW.plus(waits[1])));
    assert_eq!(store.correct_due(PRESENT).await.unwrap(), 0);
    drop(short);
}

async fn right_due_time_is_not_corrected(backend: impl Backend) {
    let store = backend.open();
    store.record(notify("k", 1), vec![]).await.unwrap();
    let failed = one(&store, lane(), NOW).await;
    end_at(&store, failed, again(Duration::from_mins(30)), NOW).await;
    let later = NOW.plus(Duration::from_mins(10));
    for now in [NOW, later, NOW.plus(YEAR)] {
        assert_eq!(
            store
                .correct_due(Present {
                    time: now,
                    ..PRESENT
                })
                .await
                .unwrap(),
            0
        );
    }
    let due = NOW.plus(Duration::from_mins(30));
    assert_eq!(next_due(&store).await, Some(due));
}

async fn backlog_from_a_clock_that_was_ahead_is_due_at_once_and_has_its_whole_time(
    backend: impl Backend,
) {
    let store = backend.open();
    store.mark_unknown_lanes(vec![lane()]).await.unwrap();
    // More than one correction step handles.
    for number in 0..1_100 {
        let arrival = at(AHEAD, notify(&number.to_string(), number));
        store.record(arrival, vec![]).await.unwrap();
    }
    assert!(claim(&store, lane(), NOW).await.is_empty());
    assert_eq!(store.correct_due(PRESENT).await.unwrap(), 1_100);
    let later = NOW.plus(Duration::from_mins(1));
    let figures = store.figures(later).await.unwrap();
    assert_eq!(figures.oldest_due, Some(Duration::from_mins(1)));
    let claims = claim(&store, lane(), later).await;
    assert_eq!(claims.len(), 10);
    assert!(claims.iter().all(|claim| claim.task().since == later));
}

async fn line_and_turn_continue_although_the_next_task_arrived_by_a_clock_that_was_ahead(
    backend: impl Backend,
) {
    let store = backend.open();
    for time in [1, 2] {
        let mut arrival = at(AHEAD, notify("k", time));
        arrival.plan.tasks[0].order_key = Some(OrderKey::of("announce", "v", false));
        store.record(arrival, vec![]).await.unwrap();
    }
    let rules = ["first", "second"].map(|rule| (rule, bucket(), Turn::Needed));
    let arrival = at(AHEAD, arrival("k", 3, &rules));
    store.record(arrival, vec![]).await.unwrap();
    for lane in [lane(), bucket()] {
        let head = one(&store, lane.clone(), AHEAD).await;
        end_at(&store, head, Transition::Finish, NOW).await;
        drop(one(&store, lane, NOW).await);
    }
}
