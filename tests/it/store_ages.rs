//! Whatever the clock says, recent history is kept and old history is finally removed.

use std::time::Duration;

use aftertake::model::event::Event;
use aftertake::model::moment::{Moment, Present};
use aftertake::model::time::Timestamp;
use aftertake::store::{Pruned, Recorded, Retention, Store};

use crate::store_contract::{NOW, arrival};
use crate::support::backend::{Backend, shown_on_every_store};

const DAY: Duration = Duration::from_hours(24);
const YEARS: Duration = Duration::from_hours(24 * 3650);

const KEEP: Retention = Retention {
    history: Duration::from_hours(24 * 30),
    dedup_horizon: Duration::from_hours(24 * 180),
};

shown_on_every_store! {
    start_by_a_clock_that_is_years_ahead_forgets_nothing
    clock_that_is_set_years_ahead_in_a_running_process_forgets_nothing
    time_without_a_process_counts_once_a_recording_confirms_it
    events_received_while_the_clock_was_behind_are_not_old
    events_received_while_the_clock_was_ahead_do_not_delay_pruning
}

/// Stores an event that matches no rule, received at `received` by our clock; its recording
/// ended at `end` by the recorder's clock.
async fn record(store: &impl Store, key: &str, received: Timestamp, end: Timestamp) {
    let mut arrival = arrival(key, 1, &[]);
    let mut event = Event::clone(&arrival.event);
    event.received = received;
    event.fields.end_time = Some(end);
    arrival.event = event.into();
    let recorded = store.record(arrival, vec![]).await.unwrap();
    assert!(matches!(recorded, Recorded::New { .. }));
}

/// Sweeps in a process that has run for `running` and whose clock says `time`; returns the
/// numbers of removed bodies and events.
async fn sweep(store: &impl Store, time: Timestamp, running: Duration) -> (usize, usize) {
    let moment = Moment::after(running);
    let now = Present { time, moment };
    let mut gone = (0, 0);
    loop {
        let Pruned {
            bodies,
            events,
            more,
            ..
        } = store.prune(KEEP, now).await.unwrap();
        gone = (gone.0 + bodies, gone.1 + events);
        if !more {
            return gone;
        }
    }
}

/// A store served at [`NOW`], when `events` and one more arrived: a sweep keeps the newest.
async fn served(backend: &impl Backend, events: usize) {
    let store = backend.open();
    for number in 0..=events {
        record(&store, &number.to_string(), NOW, NOW).await;
    }
    assert_eq!(sweep(&store, NOW, Duration::ZERO).await, (0, 0));
}

async fn start_by_a_clock_that_is_years_ahead_forgets_nothing(backend: impl Backend) {
    served(&backend, 3).await;
    let ahead = NOW.plus(YEARS);
    for start in 0..3 {
        let store = backend.open();
        assert_eq!(sweep(&store, ahead, Duration::ZERO).await, (0, 0));
        // New events by that clock do not confirm it.
        record(&store, &format!("ahead {start}"), ahead, NOW).await;
        assert_eq!(sweep(&store, ahead, DAY).await, (0, 0));
    }
    // Three days have certainly passed by the process's elapsed time.
    let store = backend.open();
    sweep(&store, ahead, Duration::ZERO).await;
    assert_eq!(sweep(&store, ahead, DAY * 26).await, (0, 0));
    assert_eq!(sweep(&store, ahead, DAY * 28).await, (4, 0));
}

async fn clock_that_is_set_years_ahead_in_a_running_process_forgets_nothing(backend: impl Backend) {
    served(&backend, 3).await;
    let store = backend.open();
    for days in 0..29 {
        let passed = DAY * days;
        let ahead = NOW.plus(passed + YEARS);
        let right = NOW.plus(passed);
        assert_eq!(sweep(&store, right, passed).await, (0, 0));
        assert_eq!(sweep(&store, ahead, passed).await, (0, 0));
    }
    assert_eq!(sweep(&store, NOW.plus(DAY * 31), DAY * 31).await, (3, 0));
    assert_eq!(sweep(&store, NOW.plus(DAY * 181), DAY * 181).await, (0, 3));
}

async fn time_without_a_process_counts_once_a_recording_confirms_it(backend: impl Backend) {
    served(&backend, 3).await;
    let store = backend.open();
    let later = NOW.plus(DAY * 200);
    assert_eq!(sweep(&store, later, Duration::ZERO).await, (0, 0));
    record(&store, "announced again", later, NOW).await;
    assert_eq!(sweep(&store, later, Duration::ZERO).await, (0, 0));
    record(&store, "new", later, later.minus(DAY / 2)).await;
    assert_eq!(sweep(&store, later, Duration::ZERO).await, (4, 4));
}

async fn events_received_while_the_clock_was_behind_are_not_old(backend: impl Backend) {
    served(&backend, 3).await;
    let store = backend.open();
    let behind = Timestamp::from_millis(0);
    record(&store, "behind", behind, NOW).await;
    assert_eq!(sweep(&store, behind, Duration::ZERO).await, (0, 0));
    record(&store, "right", NOW, NOW).await;
    assert_eq!(sweep(&store, NOW, DAY).await, (0, 0));
    assert_eq!(sweep(&store, NOW.plus(DAY * 31), DAY * 32).await, (5, 0));
}

async fn events_received_while_the_clock_was_ahead_do_not_delay_pruning(backend: impl Backend) {
    let store = backend.open();
    record(&store, "ahead", NOW.plus(YEARS), NOW).await;
    assert_eq!(sweep(&store, NOW.plus(YEARS), Duration::ZERO).await, (0, 0));
    for number in 0..3 {
        record(&store, &number.to_string(), NOW, NOW).await;
    }
    assert_eq!(sweep(&store, NOW, Duration::ZERO).await, (0, 0));
    assert_eq!(sweep(&store, NOW.plus(DAY * 31), DAY * 31).await, (2, 0));
}
