//! Random histories of events, workers, persons and restarts, compared with a model of `order_by`:
//! which tasks are in which line, and which is its head.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aftertake::model::id::TaskId;
use aftertake::model::moves::MovePhase;
use aftertake::model::plan::{OrderKey, Turn};
use aftertake::model::time::Timestamp;
use aftertake::model::transition::{Hold, NextStep, Transition};
use aftertake::model::wait::{Outside, WaitsFor};
use aftertake::store::operator::{CancelOutcome, RetryOutcome};
use aftertake::store::{Applied, Claim, JournalEntry, LaneRoom, Recorded, Store};
use proptest::prelude::*;

use super::why;
use crate::store_contract::{NOW, PRESENT, arrival, bucket, ending, lane, moved};
use crate::support::backend::{Backend, Sqlite};
use crate::support::operator::OneTask;

#[derive(Debug, Clone)]
enum Op {
    /// An event of this recording arrives; its three rules order by this value.
    Record {
        recording: u8,
        value: u8,
        start: bool,
        doomed: bool,
    },
    Claim {
        free: usize,
    },
    Settle {
        which: usize,
        how: How,
    },
    Retry {
        which: usize,
    },
    Cancel {
        which: usize,
    },
    /// Tasks that wait for something outside them may go on.
    Release,
    Restart,
}

#[derive(Debug, Clone, Copy)]
enum How {
    Finish,
    Bury,
    Cancel,
    RetryAfter,
    HandBack,
    WaitInLane,
    WaitOutside,
    /// Continues with a step that needs the turn.
    Advance(Hold),
    /// Leaves objects half moved and is retried.
    Stumble,
}

fn op() -> impl Strategy<Value = Op> {
    let how = prop_oneof![
        3 => Just(How::Finish),
        2 => Just(How::Bury),
        1 => Just(How::Cancel),
        2 => Just(How::RetryAfter),
        1 => Just(How::HandBack),
        1 => Just(How::WaitInLane),
        1 => Just(How::WaitOutside),
        2 => prop_oneof![Just(Hold::Keep), Just(Hold::Leave)].prop_map(How::Advance),
        1 => Just(How::Stumble),
    ];
    prop_oneof![
        4 => (0..3_u8, 0..2_u8, any::<bool>(), prop::bool::weighted(0.1))
            .prop_map(|(recording, value, start, doomed)| Op::Record { recording, value, start, doomed }),
        4 => (1..4_usize).prop_map(|free| Op::Claim { free }),
        6 => (any::<usize>(), how).prop_map(|(which, how)| Op::Settle { which, how }),
        2 => any::<usize>().prop_map(|which| Op::Retry { which }),
        2 => any::<usize>().prop_map(|which| Op::Cancel { which }),
        1 => Just(Op::Release),
        1 => Just(Op::Restart),
    ]
}

/// Each rule's name, whether its first step needs the turn, and whether it blocks.
const RULES: [(&str, Turn, bool); 3] = [
    ("tells", Turn::NotNeeded, false),
    ("moves", Turn::Needed, false),
    ("blocks", Turn::Needed, true),
];

fn waiting(on: WaitsFor) -> Transition {
    let why = "w".to_owned();
    Transition::Wait { on, why }
}

struct Stood {
    id: TaskId,
    key: (&'static str, u8),
    blocks: bool,
    /// Not settled, or dead and blocking.
    in_line: bool,
    dead: bool,
}

/// The store, and the expected state.
struct Model<B: Backend> {
    store: Option<B::Store>,
    operator: B::Operator,
    backend: B,
    tasks: Vec<Stood>,
    heads: BTreeMap<(&'static str, u8), usize>,
    claims: Vec<Claim>,
    now: Timestamp,
    events: i64,
}

impl<B: Backend> Model<B> {
    fn new() -> Self {
        let backend = B::default();
        Self {
            store: Some(backend.open()),
            operator: backend.operator(),
            backend,
            tasks: Vec::new(),
            heads: BTreeMap::new(),
            claims: Vec::new(),
            now: NOW,
            events: 0,
        }
    }

    fn store(&self) -> &B::Store {
        self.store.as_ref().unwrap()
    }

    fn position(&self, id: TaskId) -> usize {
        self.tasks.iter().position(|task| task.id == id).unwrap()
    }

    /// The task joins its line, as head if the line is empty.
    fn joins(&mut self, at: usize) {
        self.tasks[at].in_line = true;
        self.heads.entry(self.tasks[at].key).or_insert(at);
    }

    /// The task leaves its line; if it was the head, the earliest remaining task becomes the head.
    fn leaves(&mut self, at: usize) {
        let key = self.tasks[at].key;
        self.tasks[at].in_line = false;
        if self.heads.get(&key) == Some(&at) {
            self.heads.remove(&key);
            let stands = |task: &Stood| task.in_line && task.key == key;
            if let Some(next) = self.tasks.iter().position(stands) {
                self.heads.insert(key, next);
            }
        }
    }

    /// Asserts that the claimed task is the head of its line and no other task of the line runs.
    fn begins(&mut self, claim: Claim) {
        let at = self.position(claim.task().id);
        assert_eq!(self.heads[&self.tasks[at].key], at, "not in order");
        let key = self.tasks[at].key;
        for other in &self.claims {
            let other = self.position(other.task().id);
            assert_ne!(self.tasks[other].key, key, "two at once");
        }
        self.claims.push(claim);
    }

    async fn act(&mut self, op: Op) {
        self.now = self.now.plus(Duration::from_secs(1));
        match op {
            Op::Record {
                recording,
                value,
                start,
                doomed,
            } => {
                self.record(recording, value, start, doomed).await;
            }
            Op::Claim { free } => self.claim(free).await,
            Op::Settle { which, how } if !self.claims.is_empty() => {
                let claim = self.claims.swap_remove(which % self.claims.len());
                self.settle(claim, how).await;
            }
            Op::Retry { which } if !self.tasks.is_empty() => self.retry(which % self.tasks.len()),
            Op::Cancel { which } if !self.tasks.is_empty() => self.cancel(which % self.tasks.len()),
            Op::Release => self.release().await,
            Op::Restart => {
                self.store = None;
                self.claims.clear();
                self.store = Some(self.backend.open());
            }
            Op::Settle { .. } | Op::Retry { .. } | Op::Cancel { .. } => {}
        }
    }

    async fn record(&mut self, recording: u8, value: u8, start: bool, doomed: bool) {
        self.events += 1;
        let step = |needs_turn| match needs_turn {
            Turn::Needed => bucket(),
            Turn::NotNeeded => lane(),
        };
        let rules = RULES.map(|(rule, turn, _)| (rule, step(turn), turn));
        let mut arrival = arrival(&format!("r{recording}"), self.events, &rules);
        for (task, (rule, _, blocks)) in arrival.plan.tasks.iter_mut().zip(RULES) {
            task.order_key = Some(OrderKey::of(rule, &value.to_string(), blocks));
            task.dead_on_arrival = doomed.then(why);
            self.tasks.push(Stood {
                id: task.id,
                key: (rule, value),
                blocks,
                in_line: false,
                dead: doomed,
            });
            if !doomed || blocks {
                self.joins(self.tasks.len() - 1);
            }
        }
        let all = || arrival.plan.tasks.iter().map(|task| task.id).collect();
        let start = if start { all() } else { Vec::new() };
        let recorded = self.store().record(arrival, start).await.unwrap();
        let Recorded::New { claims } = recorded else {
            panic!("{recorded:?}");
        };
        for claim in claims {
            self.begins(claim);
        }
    }

    async fn claim(&mut self, free: usize) {
        let room = [lane(), bucket()].map(|lane| LaneRoom::new(lane, free));
        let claimed = self.store().claim(room.into(), self.now).await.unwrap();
        for claim in claimed.claims {
            self.begins(claim);
        }
    }

    async fn settle(&mut self, claim: Claim, how: How) {
        let at = self.position(claim.task().id);
        let wait = Duration::from_secs(2);
        let again = Transition::RetryAfter { wait, why: why() };
        let settlement = ending(match how {
            How::Finish => Transition::Finish,
            How::Bury => Transition::Bury {
                why: why(),
                notice: None,
            },
            How::Cancel => Transition::Cancel,
            How::RetryAfter | How::Stumble => again,
            How::HandBack => Transition::HandBack,
            How::WaitInLane => waiting(WaitsFor::ItsLane),
            How::WaitOutside => waiting(Outside::Lane(lane()).into()),
            How::Advance(hold) => Transition::Advance(NextStep {
                step: claim.task().step + 1,
                lane: bucket(),
                turn: Turn::Needed,
                hold,
            }),
        });
        match how {
            How::Stumble => self.journal(&claim, MovePhase::Copied).await,
            How::Finish | How::Bury | How::Cancel => {
                self.journal(&claim, MovePhase::Undone).await;
            }
            How::Advance(_) => {
                // An ended step must leave nothing half moved: otherwise a person who cancels the dead
                // task would make it run once more.
                self.journal(&claim, MovePhase::Undone).await;
            }
            How::RetryAfter | How::HandBack | How::WaitInLane | How::WaitOutside => {}
        }
        let applied = self.store().apply(claim, settlement, self.now).await;
        match how {
            How::Finish | How::Cancel => self.leaves(at),
            How::Bury => {
                self.tasks[at].dead = true;
                if !self.tasks[at].blocks {
                    self.leaves(at);
                }
            }
            _ => {}
        }
        if let Applied::Continues(claim) = applied.unwrap() {
            self.begins(*claim);
        }
    }

    /// Journals one object of the claimed task in this phase.
    async fn journal(&self, claim: &Claim, phase: MovePhase) {
        let mut one = moved(0, phase);
        // Each task moves different keys.
        for place in [&mut one.from, &mut one.to] {
            place.key = format!("{}/{}", claim.task().id, place.key);
        }
        let entry = JournalEntry::Manifest(vec![one]);
        self.store().journal(claim, entry, PRESENT).await.unwrap();
    }

    fn retry(&mut self, at: usize) {
        let outcome = self
            .operator
            .retry_one(self.tasks[at].id, self.now)
            .unwrap();
        if outcome == RetryOutcome::Requeued {
            self.tasks[at].dead = false;
            self.joins(at);
        }
    }

    fn cancel(&mut self, at: usize) {
        let outcome = self
            .operator
            .cancel_one(self.tasks[at].id, self.now)
            .unwrap();
        if outcome == CancelOutcome::Cancelled {
            self.tasks[at].dead = false;
            self.leaves(at);
        }
    }

    async fn release(&self) {
        for on in self.store().waits().await.unwrap() {
            assert!(!self.store().release(on, self.now).await.unwrap());
        }
    }

    /// Runs every task that can run, to its end.
    async fn calms_down(&mut self) {
        loop {
            self.now = self.now.plus(Duration::from_mins(1));
            self.release().await;
            self.claim(2).await;
            let Some(claim) = self.claims.pop() else {
                return;
            };
            self.settle(claim, How::Finish).await;
            while let Some(claim) = self.claims.pop() {
                self.settle(claim, How::Finish).await;
            }
        }
    }

    /// The tasks still in a line when nothing runs: store and model agree that each is behind a dead
    /// head.
    async fn held_back(&self) -> BTreeSet<usize> {
        let left = |at: &usize| self.tasks[*at].in_line;
        let left: BTreeSet<usize> = (0..self.tasks.len()).filter(left).collect();
        for at in &left {
            let head = self.heads[&self.tasks[*at].key];
            assert!(
                self.tasks[head].dead,
                "waits behind a task that is not dead"
            );
        }
        let figures = self.store().figures(self.now).await.unwrap();
        let waiting = left.iter().filter(|at| !self.tasks[**at].dead).count();
        assert_eq!((figures.ready, figures.running), (waiting as u64, 0));
        left
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_runs_in_order_one_at_a_time_and_only_dead_tasks_block_others(
        ops in prop::collection::vec(op(), 1..60)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut model = Model::<Sqlite>::new();
            for op in ops {
                model.act(op).await;
            }
            model.calms_down().await;
            // A person cancels the dead heads one after the other; each time a task can go on.
            let mut left = model.held_back().await;
            while !left.is_empty() {
                let heads: Vec<usize> = model.heads.values().copied().collect();
                for head in heads {
                    model.cancel(head);
                }
                model.calms_down().await;
                let before = std::mem::replace(&mut left, model.held_back().await);
                assert!(left.len() < before.len());
            }
        });
    }
}
