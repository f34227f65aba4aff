//! A journal in memory that outlives the runs that write to it, as a store does.

use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aftertake::action::{Progress, Stopped};
use aftertake::model::failure::Failure;
use aftertake::model::id::TaskId;
use aftertake::model::moves::keys::Taken;
use aftertake::model::moves::whose::Since;
use aftertake::model::moves::{
    Earlier, MadeBy, Move, MovePhase, Outline, PutBy, SameOrigin, Source, Target,
};
use aftertake::model::recording::Place;
use aftertake::model::time::Timestamp;
use async_trait::async_trait;

use super::faults::Faults;

/// What one step stored, and what earlier tasks moved.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) moves: Vec<Move>,
    /// Pages of a manifest that is not yet in force.
    drafts: Vec<Move>,
    pub(crate) place: Option<Place>,
    pub(crate) committed: bool,
    /// A taken key, and what took it.
    pub(crate) taken: Option<Taken>,
    pub(crate) earlier: Vec<Move>,
    /// Whether the earlier moves were for the recording of this task's event.
    pub(crate) origin: SameOrigin,
    pub(crate) writes: usize,
    /// Whether a run has begun that has not reported its end.
    pub(crate) is_under_way: bool,
    /// Keys that an unanswered request may still change.
    pub(crate) late: Vec<Place>,
    /// Until when a copy of an earlier run may still arrive.
    pub(crate) late_until: Option<Timestamp>,
    /// Checkpoints to pass before the step is asked to stop.
    pub(crate) interrupt_after: Option<usize>,
}

impl State {
    /// Adds a page of a manifest; the first page starts a new one.
    fn draft(&mut self, page: Vec<Move>) {
        if page[0].number == 0 {
            let is_undone = |one: &Move| matches!(one.phase, MovePhase::Undone | MovePhase::Kept);
            assert!(
                self.moves.iter().all(is_undone),
                "a manifest replaces only one that was undone"
            );
            self.moves.clear();
            self.drafts.clear();
            self.committed = false;
        }
        assert_eq!(page[0].number as usize, self.drafts.len());
        self.drafts.extend(page);
    }
}

pub(crate) fn outline(moves: &[Move], committed: bool) -> Option<Outline> {
    let count = |which: &dyn Fn(&Move) -> bool| {
        let count = moves.iter().filter(|one| which(one)).count();
        u32::try_from(count).unwrap()
    };
    Some(Outline {
        main: moves.last()?.clone(),
        count: count(&|_| true),
        moved: count(&|one| one.phase == MovePhase::Moved),
        undone: count(&|one| matches!(one.phase, MovePhase::Undone | MovePhase::Kept)),
        replaced: count(&Move::has_replaced),
        objects: count(&|one| one.target != Target::Present || one.target_etag.is_some()),
        bytes: moves.iter().map(|one| one.size).sum(),
        committed,
        mark: "task_1.0.1".to_owned(),
        replaces: None,
    })
}

/// The progress of one step.
#[derive(Clone)]
pub(crate) struct Journal {
    pub(crate) state: Arc<Mutex<State>>,
    gate: Arc<Faults>,
}

impl Journal {
    pub(crate) fn new(place: Place, gate: Arc<Faults>) -> Self {
        let state = State {
            place: Some(place),
            ..State::default()
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            gate,
        }
    }

    pub(crate) fn moves(&self) -> Vec<Move> {
        self.state.lock().unwrap().moves.clone()
    }

    /// The journal of the recording's next task, which begins at `place`.
    pub(crate) fn next_task(&self, place: Place) -> Self {
        let next = Self::new(place, Arc::clone(&self.gate));
        let old = self.state.lock().unwrap();
        let done = old.moves.iter().filter(|one| one.phase == MovePhase::Moved);
        // Newest first: the first match counts.
        next.state.lock().unwrap().earlier = done.chain(&old.earlier).cloned().collect();
        next
    }

    async fn write<T: Send + 'static>(
        &self,
        name: &'static str,
        change: impl FnOnce(&mut State) -> T + Send + 'static,
    ) -> Result<T, Stopped> {
        let state = Arc::clone(&self.state);
        let effect = async move { change(&mut state.lock().unwrap()) };
        let passed = self.gate.pass(name, effect).await;
        passed.map_err(|failure: Failure| Stopped::Unavailable(failure.reason))
    }
}

#[async_trait]
impl Progress for Journal {
    async fn outline(&mut self) -> Result<Option<Outline>, Stopped> {
        self.write("outline", |state| outline(&state.moves, state.committed))
            .await
    }

    async fn moves(&mut self, numbers: Range<u32>) -> Result<Vec<Move>, Stopped> {
        let page = numbers.start as usize..numbers.end as usize;
        self.write("moves", |state| state.moves[page].to_vec())
            .await
    }

    async fn drafts(&mut self, numbers: Range<u32>) -> Result<Vec<Move>, Stopped> {
        let page = move |state: &mut State| {
            let wanted = state.drafts.iter();
            let wanted = wanted.filter(|one| numbers.contains(&one.number));
            wanted.cloned().collect()
        };
        self.write("drafts", page).await
    }

    async fn earlier_moves(&mut self, from: Vec<Place>) -> Result<Vec<Earlier>, Stopped> {
        let find = move |state: &mut State| {
            let newest = |place: &Place| state.earlier.iter().find(|one| one.from == *place);
            let moves = from.iter().filter_map(newest).cloned();
            let origin = state.origin;
            moves.map(|one| Earlier { one, origin }).collect()
        };
        self.write("earlier_moves", find).await
    }

    async fn made_from(&mut self, from: Vec<Place>) -> Result<Vec<MadeBy>, Stopped> {
        let find = move |state: &mut State| {
            let all = state.earlier.iter().filter(|one| from.contains(&one.from));
            let task = TaskId::from_bytes([0; 16]);
            let origin = state.origin;
            let made = all.cloned().map(|one| MadeBy {
                task,
                one,
                is_of_this_key: true,
                is_from_named: true,
                origin,
                was_announced: true,
                since: Since::Nothing,
            });
            made.collect()
        };
        self.write("made_from", find).await
    }

    async fn put_by_others(&mut self, _place: &Place) -> Result<Vec<PutBy>, Stopped> {
        self.write("put_by_others", |_| Vec::new()).await
    }

    async fn draft(&mut self, page: Vec<Move>) -> Result<(), Stopped> {
        self.write("draft", |state| state.draft(page)).await
    }

    async fn manifest(&mut self, page: Vec<Move>) -> Result<(), Stopped> {
        let put_in_force = |state: &mut State| {
            state.draft(page);
            state.moves = std::mem::take(&mut state.drafts);
        };
        self.write("manifest", put_in_force).await
    }

    async fn moved(&mut self, moves: &[Move]) -> Result<(), Stopped> {
        let moves = moves.to_vec();
        let update = |state: &mut State| {
            state.writes += 1;
            for one in moves {
                let number = one.number as usize;
                state.moves[number] = one;
            }
        };
        self.write("moved", update).await
    }

    async fn commit(&mut self, place: &Place) -> Result<(), Stopped> {
        let place = place.clone();
        let commit = |state: &mut State| {
            state.place = Some(place);
            state.committed = true;
        };
        self.write("commit", commit).await
    }

    async fn last(&mut self, moves: &[Move]) -> Result<(), Stopped> {
        let numbers: Vec<usize> = moves.iter().map(|one| one.number as usize).collect();
        let take = |state: &mut State| {
            for number in numbers {
                state.moves[number].source = Source::Goes;
            }
        };
        self.write("last", take).await
    }

    async fn taken(&mut self, targets: Vec<Place>) -> Result<Option<Taken>, Stopped> {
        let find = move |state: &mut State| {
            let taken = state.taken.clone();
            taken.filter(|taken| targets.contains(&taken.key))
        };
        self.write("taken", find).await
    }

    async fn begun(&mut self, _lingers: Duration) -> Result<(), Stopped> {
        self.write("begun", |state| state.is_under_way = true).await
    }

    async fn ended(&mut self, late: Vec<Place>, _lingers: Duration) -> Result<(), Stopped> {
        let end = |state: &mut State| {
            state.is_under_way = false;
            state.late.extend(late);
        };
        self.write("ended", end).await
    }

    async fn late_until(&mut self) -> Result<Option<Timestamp>, Stopped> {
        self.write("late_until", |state| state.late_until).await
    }

    fn checkpoint(&mut self) -> Result<(), Stopped> {
        match &mut self.state.lock().unwrap().interrupt_after {
            Some(0) => Err(Stopped::Interrupted),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}
