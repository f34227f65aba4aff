//! The manifests that the store accepted: which task moves what where, what may be overwritten, and
//! where recordings should be.

use std::collections::{BTreeMap, BTreeSet};

use aftertake::model::id::TaskId;
use aftertake::model::moves::{Move, MovePhase, Source};
use aftertake::model::recording::Place;
use aftertake::store::{Claim, JournalEntry};

use super::ledger::{Broken, End};
use super::rules;

#[derive(Debug, Default)]
pub(super) struct Manifests {
    drafts: BTreeMap<TaskId, Vec<Move>>,
    in_force: BTreeMap<TaskId, Manifest>,
    /// Targets of completed moves.
    pub(super) told: BTreeSet<Place>,
    /// Copies that were kept when their move was given up, because nothing else remained.
    pub(super) kept: BTreeSet<Place>,
    /// What was left of recordings that were replaced.
    pub(super) left: BTreeSet<Place>,
}

#[derive(Debug)]
struct Manifest {
    rule: String,
    moves: Vec<Move>,
    committed: bool,
}

impl Manifest {
    fn open(&self) -> impl Iterator<Item = &Move> {
        let given_up = |one: &&Move| matches!(one.phase, MovePhase::Undone | MovePhase::Kept);
        self.moves.iter().filter(move |one| !given_up(one))
    }
}

impl Manifests {
    /// The store accepted this entry.
    pub(super) fn took(&mut self, claim: &Claim, entry: &JournalEntry) {
        let id = claim.task().id;
        match entry {
            JournalEntry::Draft(page) => self.draft(id, page),
            JournalEntry::Manifest(page) => {
                self.draft(id, page);
                let manifest = Manifest {
                    rule: claim.task().work.rule().into_owned(),
                    moves: self.drafts.remove(&id).unwrap_or_default(),
                    committed: false,
                };
                self.in_force.insert(id, manifest);
            }
            JournalEntry::Progress(rows) => self.progress(id, rows),
            JournalEntry::Commit(_) => {
                if let Some(manifest) = self.in_force.get_mut(&id) {
                    manifest.committed = true;
                }
            }
            JournalEntry::Last(_) | JournalEntry::Begun { .. } | JournalEntry::Ended { .. } => {}
        }
    }

    fn draft(&mut self, id: TaskId, page: &[Move]) {
        let draft = self.drafts.entry(id).or_default();
        if page.first().is_some_and(|one| one.number == 0) {
            draft.clear();
            self.in_force.remove(&id);
        }
        draft.extend_from_slice(page);
    }

    fn progress(&mut self, id: TaskId, rows: &[Move]) {
        for row in rows {
            match row.phase {
                MovePhase::Moved => {
                    self.told.insert(row.to.clone());
                    if row.only_goes() && row.source != Source::Goes {
                        self.left.insert(row.from.clone());
                    }
                }
                MovePhase::Kept => {
                    self.kept.insert(row.to.clone());
                }
                MovePhase::Planned | MovePhase::Copied | MovePhase::Undone => {}
            }
            let moves = self
                .in_force
                .get_mut(&id)
                .map(|manifest| &mut manifest.moves);
            let moves = moves.or_else(|| self.drafts.get_mut(&id));
            let row_of =
                |moves: &mut Vec<Move>| moves.iter().position(|one| one.number == row.number);
            if let Some(moves) = moves
                && let Some(at) = row_of(moves)
            {
                moves[at] = row.clone();
            }
        }
    }

    pub(super) fn settled(&mut self, id: TaskId) {
        self.in_force.remove(&id);
        self.drafts.remove(&id);
    }

    /// The task was settled. One that can only go forward keeps its keys until all its moves are
    /// complete.
    pub(super) fn ended(&mut self, id: TaskId, end: End) {
        let moving = |one: &Move| matches!(one.phase, MovePhase::Planned | MovePhase::Copied);
        let keeps = |manifest: &Manifest| {
            let goes_forward = manifest.committed || manifest.moves.iter().any(Move::has_replaced);
            end != End::Done && goes_forward && manifest.moves.iter().any(moving)
        };
        if !self.in_force.get(&id).is_some_and(keeps) {
            self.settled(id);
        }
    }

    /// Whether the place is the target of a committed move.
    pub(super) fn is_committed_to(&self, place: &Place) -> bool {
        let mut committed = self.in_force.values().filter(|one| one.committed);
        committed.any(|manifest| manifest.open().any(|one| one.to == *place))
    }

    /// Whether a committed move is about to delete the object at the place.
    pub(super) fn takes_away(&self, place: &Place) -> bool {
        let mut committed = self.in_force.values().filter(|one| one.committed);
        committed.any(|manifest| manifest.open().any(|one| one.from == *place))
    }

    /// Checks that an object at `to` may be overwritten; `loses`: whether a recording that was whole
    /// there is now whole nowhere.
    pub(super) fn replaces(&self, to: &Place, loses: bool) -> Result<(), Broken> {
        let writes = |manifest: &Manifest| manifest.open().any(|one| one.to == *to);
        let Some((task, manifest)) = self.in_force.iter().find(|(_, one)| writes(one)) else {
            return Err(format!("{to} is written over, and no manifest leads there"));
        };
        if loses && !rules::overwrites(&manifest.rule) {
            return Err(format!("{task} writes over {to}, and its rule forbids it"));
        }
        let uses =
            |manifest: &Manifest| manifest.open().any(|one| one.from == *to || one.to == *to);
        let mut others = self.in_force.iter().filter(|(id, _)| *id != task);
        match others.find(|(_, other)| uses(other)) {
            Some((other, _)) => Err(format!("{task} writes over {to}, which {other} moves")),
            None => Ok(()),
        }
    }
}
