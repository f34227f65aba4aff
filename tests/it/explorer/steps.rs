//! The next steps of a task: the sequence of `action::rename` and `worker::close`, with every
//! decision made by the product's functions.

use aftertake::model::moves::keys::Use;
use aftertake::model::moves::object::{
    AtSource, AtTarget, ClearNext, CopyNext, SourceNext, UndoNext, can_be_copied, clear_next,
    copy_next, source_next, undo_next,
};
use aftertake::model::moves::stage::Stage;
use aftertake::model::moves::{MovePhase, Source, Target};
use aftertake::model::step::OnConflict;

use super::state::{Effect, Flight, KEYS, Key, Manifest, Next, OTHER_NAME, TaskState, Then, place};
use super::world::World;
use super::{Planted, Scene};

type Nexts = Vec<(&'static str, World)>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Done,
    /// Refused for good, without an effect.
    Refused,
    /// Lost; the effect has happened.
    LostAfter,
    /// Lost; the effect may still happen.
    Lost,
}

struct Step<'a> {
    world: &'a World,
    scene: &'a Scene,
    planted: Planted,
    task: usize,
    nexts: &'a mut Nexts,
}

pub(super) fn step(world: &World, scene: &Scene, planted: Planted, task: usize, nexts: &mut Nexts) {
    let mut step = Step {
        world,
        scene,
        planted,
        task,
        nexts,
    };
    step.next();
}

impl Step<'_> {
    fn next(&mut self) {
        match self.world.tasks[self.task].next {
            Next::Idle => self.claim(),
            Next::TakeUp => self.take_up(),
            Next::Survey => self.survey(),
            Next::Admit(manifest) => self.admit(manifest),
            Next::Copy => self.copy(),
            Next::AwaitCopy => self.await_copy(),
            Next::StoreCopied { etag, is_marked } => self.change(Next::Verify, |manifest| {
                manifest.phase = MovePhase::Copied;
                manifest.noted = Some(etag);
                manifest.is_marked = is_marked;
            }),
            Next::Verify => self.verify(),
            Next::Commit => self.change(Next::Unmark, |manifest| manifest.committed = true),
            Next::LookBeforeClear => self.look_before_clear(),
            Next::Unmark => self.unmark(),
            Next::DropPlaylist => self.push("deletes its playlist", |world, task| {
                let one = &mut world.tasks[task];
                one.playlist = Some(false);
                one.next = Next::LookAtOthers;
            }),
            Next::LookAtOthers => self.look_at_others(),
            Next::TakeLast => self.take_last(),
            Next::Clear => self.clear(),
            Next::AwaitClear => self.await_deletion(Next::StoreMoved),
            Next::StoreMoved => self.complete(),
            Next::Undo(then) => self.undo(then),
            Next::AwaitRemove(then) => {
                self.await_deletion(Next::StoreUndone(then, MovePhase::Undone));
            }
            Next::StoreUndone(then, phase) => self.undone(then, phase),
            Next::EndLate(key) => self.end_late(key),
            Next::Fail => self.fail(),
        }
    }

    fn manifest(&self) -> Manifest {
        self.world.tasks[self.task].manifest.expect("a manifest")
    }

    fn push(&mut self, what: &'static str, change: impl FnOnce(&mut World, usize)) {
        let mut next = self.world.clone();
        change(&mut next, self.task);
        self.nexts.push((what, next));
    }

    fn go(&mut self, what: &'static str, next: Next) {
        self.push(what, |world, task| world.tasks[task].next = next);
    }

    fn change(&mut self, next: Next, change: impl FnOnce(&mut Manifest)) {
        let mut manifest = self.manifest();
        change(&mut manifest);
        self.push("stores its manifest", |world, task| {
            world.tasks[task].manifest = Some(manifest);
            world.tasks[task].next = next;
        });
    }

    fn claim(&mut self) {
        let task = &self.world.tasks[self.task];
        // One task of a recording at a time, the earlier one first.
        let other = &self.world.tasks[1 - self.task];
        let has_turn = other.recording == task.recording
            && (other.is_unfinished()
                || other.next != Next::Idle
                || (self.task == 1 && !task.is_unfinished() && other.state == TaskState::Ready));
        if task.state == TaskState::Ready && !has_turn && !task.is_to_come() {
            self.go("is claimed", Next::TakeUp);
        }
    }

    /// A run resumes from the store. Requests of an earlier run may still arrive.
    fn take_up(&mut self) {
        let task = self.world.tasks[self.task];
        let stage = Stage::of(task.outline(self.task));
        let cancelled = task.cancel;
        let next = match &stage {
            Stage::Untouched if cancelled => Next::StoreUndone(Then::Cancelled, MovePhase::Undone),
            Stage::Untouched if task.given_up => Next::StoreUndone(Then::Dead, MovePhase::Undone),
            Stage::Untouched => Next::Survey,
            Stage::Open(_) | Stage::HalfUndone(_) if cancelled => Next::Undo(Then::Cancelled),
            Stage::Open(_) | Stage::HalfUndone(_) if task.given_up => Next::Undo(Then::Dead),
            Stage::HalfUndone(_) => Next::Undo(Then::Survey),
            Stage::Open(_) | Stage::Replacing(_) => Next::Copy,
            Stage::Replaced(_) => Next::Verify,
            // It was cancelled when it was done.
            Stage::Committed(one) if one.outline().moved == 1 => Next::StoreMoved,
            Stage::Committed(_) if self.planted == Planted::NoLookBeforeDeletion => Next::Unmark,
            Stage::Committed(_) => Next::LookBeforeClear,
        };
        self.push("takes up what is stored", |world, task| {
            let one = &mut world.tasks[task];
            one.next = next;
            if let Some(manifest) = &mut one.manifest
                && !matches!(stage, Stage::Untouched)
            {
                if manifest.under_way {
                    one.late[one.from] = true;
                    one.late[manifest.to] = true;
                }
                manifest.under_way = true;
            }
        });
    }

    fn survey(&mut self) {
        let mut task = self.world.tasks[self.task];
        task.from = task.named;
        let other = &self.world.tasks[1 - self.task];
        let mut kind = match (task.playlist, other.playlist) {
            (Some(_), Some(true)) if self.planted != Planted::TakesWhatOthersName => Source::Shared,
            _ => Source::Goes,
        };
        // The other recording's moves also say where it went.
        let made = other.manifest.filter(|made| {
            task.playlist.is_some() && made.phase == MovePhase::Moved && other.named == task.named
        });
        if self.world.objects[task.from].is_none()
            && let Some(made) = made
        {
            (task.from, kind) = (made.to, Source::Stays);
        }
        if let Some(at) = self.moved_to() {
            if task.targets().have(&place(at)) {
                return self.push("is at its target", |world, task| {
                    world.tasks[task].state = TaskState::Done;
                    world.tasks[task].next = Next::Idle;
                });
            }
            task.from = at;
        }
        let Some(source) = self.world.objects[task.from] else {
            return self.go("finds no source", Next::Fail);
        };
        let kept = task.manifest.filter(|one| one.phase == MovePhase::Kept);
        let still = kept.is_some_and(|one| self.world.objects[one.to].is_some());
        if still && task.policy != OnConflict::Overwrite {
            return self.go("finds the copy that it has kept", Next::Fail);
        }
        let is_there = |one: &Manifest| one.noted == self.world.objects[one.to].map(|one| one.etag);
        let has_replaced = kept.is_some_and(|one| {
            one.to == task.to && is_there(&one) && task.one(&one).has_replaced()
        });
        let mut manifest = Manifest {
            number: self.world.free_number(self.task),
            to: task.to,
            etag: source.etag,
            target: Target::Absent,
            noted: None,
            phase: MovePhase::Planned,
            committed: false,
            under_way: true,
            is_marked: false,
            source: kind,
        };
        let twin = |made: &Manifest| {
            let there = self.world.objects[task.to].map(|there| there.etag);
            made.to == task.to && (made.noted == there || task.from == made.to)
        };
        if let Some(there) = self.world.objects[task.to]
            && let Some(made) = made.filter(twin)
        {
            if task.from == made.to {
                (task.from, manifest.source) = (task.named, Source::Goes);
            }
            manifest.target = Target::Present;
            manifest.noted = Some(there.etag);
            manifest.phase = MovePhase::Copied;
        } else if let Some(there) = self.world.objects[task.to] {
            if self.is_taken(task.to, Use::Writes) && task.policy != OnConflict::KeepBoth {
                return self.go("waits for the target", Next::Idle);
            }
            let replaces = task.policy == OnConflict::Overwrite || self.renews(task.to);
            match task.policy {
                _ if replaces => {
                    manifest.target = if has_replaced {
                        Target::Again
                    } else {
                        Target::Replace
                    };
                    manifest.noted = Some(there.etag);
                }
                OnConflict::KeepBoth => {
                    manifest.to = OTHER_NAME;
                    if self.world.objects[OTHER_NAME].is_some() {
                        return self.go("finds both names taken", Next::Fail);
                    }
                }
                _ => return self.go("finds the target taken", Next::Fail),
            }
        }
        self.push("surveys", |world, number| {
            world.tasks[number].from = task.from;
            world.tasks[number].next = Next::Admit(manifest);
        });
    }

    /// Where a replay finds the recording that the first task has moved.
    fn moved_to(&self) -> Option<Key> {
        let first = self.world.tasks[0].manifest.filter(|one| one.committed);
        let replays = self.world.tasks[self.task].replays;
        first.filter(|_| replays).map(|first| first.to)
    }

    /// Whether our journal says that the target holds an earlier version of the same recording.
    fn renews(&self, to: Key) -> bool {
        let task = &self.world.tasks[self.task];
        let earlier = &self.world.tasks[0];
        let moved = earlier
            .manifest
            .filter(|manifest| manifest.phase == MovePhase::Moved);
        let is_same = earlier.recording == task.recording
            || (self.planted == Planted::ReusedKeyRenews && earlier.from == task.from);
        self.task == 1 && is_same && moved.is_some_and(|manifest| manifest.to == to)
    }

    fn is_taken(&self, key: Key, wanted: Use) -> bool {
        self.world.is_taken(self.task, key, wanted, self.planted)
    }

    fn admit(&mut self, manifest: Manifest) {
        let before = self.nexts.len();
        self.admitted(manifest);
        for (_, next) in &mut self.nexts[before..] {
            next.tasks[self.task].settled = [false; KEYS];
        }
    }

    /// Whether the ledger lets this task write to the key. If another move has ended since the survey,
    /// it must survey again.
    fn may_write(&self, key: Key) -> bool {
        let settled = self.world.tasks[self.task].settled[key];
        let is_old = settled && self.planted != Planted::OldLookIsBelieved;
        !is_old && !self.is_taken(key, Use::Writes)
    }

    fn admitted(&mut self, mut manifest: Manifest) {
        let task = self.world.tasks[self.task];
        if self.is_taken(task.from, manifest.source.used()) {
            return self.go("waits for its source", Next::Idle);
        }
        let is_wanted = matches!(manifest.target, Target::Replace | Target::Again)
            && self.planted != Planted::OverwritesWhatIsWanted
            && self.world.is_wanted(self.task, manifest.to);
        if is_wanted {
            let other = &self.world.tasks[1 - self.task];
            let circle = other.to == task.from && other.policy == OnConflict::Overwrite;
            let next = if circle { Next::Fail } else { Next::Idle };
            return self.go("finds the target wanted", next);
        }
        let is_free = match manifest.writes() {
            Use::Writes => self.may_write(manifest.to),
            reads => !self.is_taken(manifest.to, reads),
        };
        if !is_free {
            let other_name = task.policy == OnConflict::KeepBoth && manifest.to != OTHER_NAME;
            if !other_name || !self.may_write(OTHER_NAME) {
                return self.go("waits for its target", Next::Idle);
            }
            manifest.to = OTHER_NAME;
        }
        self.push("stores its manifest", |world, task| {
            world.tasks[task].manifest = Some(manifest);
            world.tasks[task].next = Next::Copy;
        });
    }

    fn copy(&mut self) {
        let (task, manifest) = (self.world.tasks[self.task], self.manifest());
        let target = self.world.at_target(self.task, &manifest, self.planted);
        let overwrite = task.policy == OnConflict::Overwrite;
        match copy_next(AtSource::Same, target, overwrite) {
            CopyNext::Made => self.made(&manifest),
            CopyNext::Conflict if task.policy == OnConflict::KeepBoth && !manifest.committed => {
                self.go("finds the target taken meanwhile", Next::Undo(Then::Survey));
            }
            CopyNext::Conflict => self.go("finds a stranger at the target", Next::Fail),
            CopyNext::Copy | CopyNext::SourceChanged | CopyNext::SourceMissing => {
                let effect = Effect::Copy {
                    from: task.from,
                    to: manifest.to,
                    only: manifest.etag,
                    manifest: manifest.number,
                };
                self.send(effect, Next::AwaitCopy);
            }
        }
    }

    fn made(&mut self, manifest: &Manifest) {
        if let Some(copy) = self.world.objects[manifest.to] {
            let next = Next::StoreCopied {
                etag: copy.etag,
                is_marked: copy.mark.is_some(),
            };
            self.go("finds its copy made", next);
        }
    }

    fn send(&mut self, effect: Effect, next: Next) {
        self.push("sends a request", |world, task| {
            world.flights.push(Flight {
                task,
                effect,
                awaited: true,
            });
            world.tasks[task].next = next;
        });
    }

    /// The possible responses to the task's request in flight.
    fn answers(&self) -> Vec<(Answer, Effect, World)> {
        let mine = |flight: &Flight| flight.task == self.task && flight.awaited;
        let Some(number) = self.world.flights.iter().position(mine) else {
            return Vec::new();
        };
        let flight = self.world.flights[number];
        let mut answers = Vec::new();
        for answer in [
            Answer::Done,
            Answer::Refused,
            Answer::LostAfter,
            Answer::Lost,
        ] {
            let mut next = self.world.clone();
            if answer != Answer::Done {
                if next.left.faults == 0 {
                    continue;
                }
                next.left.faults -= 1;
            }
            match answer {
                Answer::Lost => next.flights[number].awaited = false,
                _ => {
                    next.flights.remove(number);
                }
            }
            if matches!(answer, Answer::Done | Answer::LostAfter) {
                next.apply(flight, false, self.scene);
            }
            answers.push((answer, flight.effect, next));
        }
        answers
    }

    fn answered(&mut self, answer: Answer, mut world: World, next: Next) {
        world.tasks[self.task].next = next;
        let what = match answer {
            Answer::Done => "is answered",
            Answer::Refused => "is refused",
            Answer::LostAfter => "gets no answer",
            Answer::Lost => "gets no answer yet",
        };
        self.nexts.push((what, world));
    }

    fn await_copy(&mut self) {
        let manifest = self.manifest();
        let unchanged = self.world.at_source(self.task, &manifest) == AtSource::Same;
        for (answer, effect, world) in self.answers() {
            let next = match answer {
                Answer::Refused => Next::Fail,
                Answer::LostAfter | Answer::Lost => Next::EndLate(effect.key()),
                Answer::Done if !unchanged && manifest.committed => Next::Fail,
                // A 412 or 404: an earlier request may have arrived first.
                Answer::Done if !unchanged && self.is_made(&manifest) => {
                    let copy = world.objects[manifest.to];
                    let (etag, is_marked) = copy.map_or((manifest.etag, false), |copy| {
                        (copy.etag, copy.mark.is_some())
                    });
                    Next::StoreCopied { etag, is_marked }
                }
                // The manifest is withdrawn.
                Answer::Done if !unchanged => Next::Undo(Then::Survey),
                Answer::Done => match world.objects[manifest.to] {
                    Some(copy) => Next::StoreCopied {
                        etag: copy.etag,
                        is_marked: copy.mark.is_some(),
                    },
                    None => continue,
                },
            };
            self.answered(answer, world, next);
        }
    }

    fn is_made(&self, manifest: &Manifest) -> bool {
        self.world.at_target(self.task, manifest, self.planted) == AtTarget::Ours
    }

    fn await_deletion(&mut self, done: Next) {
        for (answer, effect, world) in self.answers() {
            let next = match answer {
                Answer::Done => done,
                Answer::Refused => Next::Fail,
                Answer::LostAfter | Answer::Lost => Next::EndLate(effect.key()),
            };
            self.answered(answer, world, next);
        }
    }

    /// The run ends in order; the store records what may still arrive.
    fn end_late(&mut self, key: Key) {
        self.push("ends, and a request may still arrive", |world, task| {
            let one = &mut world.tasks[task];
            one.late[key] = true;
            one.next = Next::Idle;
            if let Some(manifest) = &mut one.manifest {
                manifest.under_way = false;
            }
        });
    }

    fn verify(&mut self) {
        let manifest = self.manifest();
        match self.world.at_target(self.task, &manifest, self.planted) {
            AtTarget::Ours if self.waits_for_late_copy(&manifest) => {
                self.go("waits for a copy that may arrive again", Next::Idle);
            }
            AtTarget::Ours => self.seen(&manifest, "verifies its copy", Next::Commit),
            _ if manifest.committed => self.go("misses its copy", Next::LookBeforeClear),
            _ => self.change(Next::Copy, |manifest| {
                manifest.phase = MovePhase::Planned;
                manifest.target = Target::Absent;
            }),
        }
    }

    /// A copy that arrived twice has a new ETag, which is stored while the mark still identifies it.
    fn seen(&mut self, manifest: &Manifest, what: &'static str, next: Next) {
        let copy = self.world.objects[manifest.to];
        let (noted, is_marked) = copy.map_or((manifest.noted, manifest.is_marked), |copy| {
            (Some(copy.etag), copy.mark.is_some())
        });
        self.push(what, |world, task| {
            world.tasks[task].next = next;
            if let Some(manifest) = &mut world.tasks[task].manifest {
                manifest.noted = noted;
                manifest.is_marked = is_marked;
            }
        });
    }

    fn waits_for_late_copy(&self, manifest: &Manifest) -> bool {
        self.planted != Planted::NoLateKeys && self.world.tasks[self.task].late[manifest.to]
    }

    fn look_before_clear(&mut self) {
        let manifest = self.manifest();
        let target = self.world.at_target(self.task, &manifest, self.planted);
        let source = self.world.at_source(self.task, &manifest);
        let one = self.world.tasks[self.task].one(&manifest);
        match clear_next(&one, source, target) {
            ClearNext::Complete | ClearNext::Delete => {
                self.seen(&manifest, "looks at its copy", Next::Unmark);
            }
            ClearNext::CopyAgain if self.waits_for_late_copy(&manifest) => {
                self.go("waits for its copy to arrive", Next::Idle);
            }
            ClearNext::CopyAgain => {
                let planned = Manifest {
                    phase: MovePhase::Planned,
                    target: Target::Absent,
                    ..manifest
                };
                self.push("copies again", |world, task| {
                    world.tasks[task].manifest = Some(planned);
                    world.tasks[task].next = Next::Copy;
                });
            }
            ClearNext::NotOurs => self.go("finds something else at the target", Next::Fail),
            ClearNext::Lost => self.go("finds neither", Next::Fail),
        }
    }

    fn unmark(&mut self) {
        let manifest = self.manifest();
        self.push("takes the mark away", |world, task| {
            let mine = Some((task, manifest.number));
            let copy = world.objects[manifest.to].as_mut();
            if let Some(copy) = copy.filter(|copy| copy.mark == mine) {
                copy.mark = None;
            }
            let one = &mut world.tasks[task];
            one.next = match one.playlist {
                Some(_) => Next::DropPlaylist,
                None => Next::Clear,
            };
            if let Some(manifest) = &mut one.manifest {
                manifest.is_marked = false;
            }
        });
    }

    fn look_at_others(&mut self) {
        let other = &self.world.tasks[1 - self.task];
        let is_named =
            other.playlist == Some(true) && other.named == self.world.tasks[self.task].from;
        let is_named = is_named && self.planted != Planted::TakesWhatOthersName;
        match source_next(self.manifest().source, is_named) {
            SourceNext::DeleteUnlessRead if self.planted == Planted::NobodyIsTheLast => {
                self.go("leaves what it shares", Next::StoreMoved);
            }
            SourceNext::DeleteUnlessRead => self.go("is the last to name it", Next::TakeLast),
            SourceNext::Delete => self.go("sees that nobody else names it", Next::Clear),
            SourceNext::Leave => self.change(Next::StoreMoved, |manifest| {
                if manifest.source == Source::Goes {
                    manifest.source = Source::Shared;
                }
            }),
        }
    }

    fn take_last(&mut self) {
        if self.is_taken(self.world.tasks[self.task].from, Use::Takes) {
            return self.go("leaves what another one reads", Next::StoreMoved);
        }
        self.change(Next::Clear, |manifest| manifest.source = Source::Goes);
    }

    fn clear(&mut self) {
        let (task, manifest) = (self.world.tasks[self.task], self.manifest());
        let source = self.world.at_source(self.task, &manifest);
        match clear_next(&task.one(&manifest), source, AtTarget::Ours) {
            ClearNext::Delete => self.send(Effect::Delete(task.from), Next::AwaitClear),
            _ => self.go("leaves what is at the source", Next::StoreMoved),
        }
    }

    fn complete(&mut self) {
        self.push("is done", |world, task| {
            let one = &mut world.tasks[task];
            if let Some(manifest) = &mut one.manifest {
                manifest.phase = MovePhase::Moved;
                manifest.under_way = false;
            }
            one.state = if one.cancel {
                TaskState::Cancelled
            } else {
                TaskState::Done
            };
            one.next = Next::Idle;
            world.has_settled(task);
        });
    }

    fn undo(&mut self, then: Then) {
        let (task, manifest) = (self.world.tasks[self.task], self.manifest());
        if self.waits_for_late_copy(&manifest) {
            return self.push("waits for its copy to arrive", |world, task| {
                let one = &mut world.tasks[task];
                one.given_up |= then == Then::Dead;
                one.next = Next::Idle;
                if let Some(manifest) = &mut one.manifest {
                    manifest.under_way = false;
                }
            });
        }
        let one = task.one(&manifest);
        let target = self.world.at_target(self.task, &manifest, self.planted);
        if manifest.target == Target::Replace && target == AtTarget::Ours && then != Then::Survey {
            return self.has_replaced(then, manifest);
        }
        let source = self.world.at_source(self.task, &manifest);
        if one.has_replaced() && can_be_copied(source, target) && then != Then::Survey {
            return self.goes_on(then);
        }
        match undo_next(&one, source, target) {
            UndoNext::Remove => {
                self.send(Effect::Delete(manifest.to), Next::AwaitRemove(then));
            }
            UndoNext::Keep => self.go("keeps its copy", Next::StoreUndone(then, MovePhase::Kept)),
            UndoNext::Nothing => {
                self.go("has no copy", Next::StoreUndone(then, MovePhase::Undone));
            }
        }
    }

    /// An earlier copy has replaced an object that cannot come back, and a new copy is possible.
    fn goes_on(&mut self, then: Then) {
        self.push(
            "goes on, as it has replaced what was there",
            |world, task| {
                let one = &mut world.tasks[task];
                one.given_up = false;
                one.next = Next::Idle;
                if let Some(manifest) = &mut one.manifest {
                    manifest.under_way = false;
                }
                if then == Then::Dead {
                    one.state = TaskState::Dead;
                }
            },
        );
    }

    /// The copy has replaced an object, which cannot come back: the move must be completed.
    fn has_replaced(&mut self, then: Then, manifest: Manifest) {
        let copy = self.world.objects[manifest.to].expect("a copy of ours");
        self.push("has replaced what was there", |world, task| {
            let one = &mut world.tasks[task];
            one.manifest = Some(Manifest {
                phase: MovePhase::Copied,
                noted: Some(copy.etag),
                is_marked: copy.mark.is_some(),
                under_way: false,
                ..manifest
            });
            one.given_up = false;
            one.next = Next::Idle;
            if then == Then::Dead {
                one.state = TaskState::Dead;
            }
        });
    }

    fn undone(&mut self, then: Then, phase: MovePhase) {
        self.push("is undone", |world, task| {
            let one = &mut world.tasks[task];
            if let Some(manifest) = &mut one.manifest {
                manifest.phase = phase;
                manifest.under_way = false;
                if phase == MovePhase::Kept {
                    manifest.noted = world.objects[manifest.to].map(|copy| copy.etag);
                }
            }
            one.leaves |= phase == MovePhase::Kept;
            one.given_up = false;
            one.next = Next::Idle;
            match then {
                Then::Survey => {}
                Then::Dead => one.state = TaskState::Dead,
                Then::Cancelled => one.state = TaskState::Cancelled,
            }
            if phase == MovePhase::Kept {
                world.has_settled(task);
            }
        });
    }

    fn fail(&mut self) {
        let task = self.world.tasks[self.task];
        let ends = self.planted == Planted::ContinuesAfterCommit;
        match Stage::of(task.outline(self.task)) {
            Stage::Open(_) | Stage::HalfUndone(_) | Stage::Replacing(_) => {
                self.push("gives up", |world, task| {
                    let one = &mut world.tasks[task];
                    one.given_up = !one.cancel;
                    let then = if one.cancel {
                        Then::Cancelled
                    } else {
                        Then::Dead
                    };
                    one.next = Next::Undo(then);
                });
            }
            Stage::Committed(_) if self.planted == Planted::UndoesAfterCommit => {
                self.go("gives up after its commit", Next::Undo(Then::Survey));
            }
            _ => self.push("is dead", |world, task| {
                let one = &mut world.tasks[task];
                one.state = if ends {
                    TaskState::Done
                } else {
                    TaskState::Dead
                };
                one.next = Next::Idle;
                if let Some(manifest) = &mut one.manifest {
                    manifest.under_way = false;
                }
            }),
        }
    }
}
