//! A state of the explored world, and what can happen to it from outside.

use std::hash::Hash;

use aftertake::model::moves::MovePhase;
use aftertake::model::moves::keys::{Use, forbids};
use aftertake::model::moves::object::{AtSource, AtTarget};
use aftertake::model::step::OnConflict;

use super::state::{
    Content, Effect, Etag, Flight, KEYS, Key, Manifest, Next, Object, Task, TaskState, Writer, mark,
};
use super::{Planted, Scene};

/// The content that other programs write.
const STRANGER: u8 = 9;

/// How many more faults and outside events of each kind may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Left {
    pub(super) faults: u8,
    pub(super) recordings: u8,
    pub(super) cancels: u8,
    /// Retries of cancelled tasks.
    pub(super) retries: u8,
    /// Writes and deletions by other programs.
    pub(super) meddlings: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) objects: [Option<Object>; KEYS],
    pub(super) flights: Vec<Flight>,
    pub(super) tasks: [Task; 2],
    /// Contents that must exist somewhere.
    pub(super) precious: Vec<Content>,
    pub(super) left: Left,
}

impl World {
    pub(super) fn begin(scene: &Scene) -> Self {
        let mut objects = [None; KEYS];
        for &(key, recording) in scene.objects {
            let content = Content {
                recording,
                version: 1,
            };
            objects[key] = Some(original(content));
        }
        let precious = objects.iter().flatten().map(|object| object.content);
        Self {
            precious: precious.collect(),
            objects,
            flights: Vec::new(),
            tasks: scene.tasks,
            left: scene.left,
        }
    }

    /// All possible next states, each with what leads to it.
    pub(super) fn nexts(&self, scene: &Scene, planted: Planted) -> Vec<(&'static str, Self)> {
        let mut nexts = Vec::new();
        for task in 0..self.tasks.len() {
            super::steps::step(self, scene, planted, task, &mut nexts);
        }
        self.outside(scene, &mut nexts);
        nexts
    }

    fn outside(&self, scene: &Scene, nexts: &mut Vec<(&'static str, Self)>) {
        for number in 0..self.flights.len() {
            if !self.flights[number].awaited {
                let mut arrives = self.clone();
                let flight = arrives.flights.remove(number);
                arrives.apply(flight, true, scene);
                nexts.push(("a request arrives late", arrives));
                let mut never = self.clone();
                never.flights.remove(number);
                nexts.push(("a request never arrives", never));
            }
        }
        for (task, key) in (0..2).flat_map(|task| (0..KEYS).map(move |key| (task, key))) {
            let may_arrive = |flight: &Flight| flight.task == task && flight.effect.key() == key;
            if self.tasks[task].late[key] && !self.flights.iter().any(may_arrive) {
                let mut later = self.clone();
                later.tasks[task].late[key] = false;
                nexts.push(("nothing can arrive at a key any more", later));
            }
        }
        if self.left.faults > 0 && self.tasks.iter().any(|task| task.next != Next::Idle) {
            nexts.push(("the process ends", self.crash()));
        }
        // OBS has no conditional DELETE: what the recorder overwrites while a deletion is in flight is
        // not protected.
        let deletion = |flight: &Flight| matches!(flight.effect, Effect::Delete(_));
        if let Some(task) = self.tasks.iter().position(Task::is_to_come) {
            let mut recorded = self.clone();
            recorded.tasks[task].playlist = Some(true);
            nexts.push(("the recorder writes a second playlist", recorded));
        } else if self.left.recordings > 0 && !self.flights.iter().any(deletion) {
            nexts.push(("the recorder writes again", self.record_again(scene)));
        }
        let is_quiet =
            self.flights.is_empty() && self.tasks.iter().all(|task| task.next == Next::Idle);
        if self.left.meddlings > 0 && is_quiet {
            self.meddle(nexts);
        }
        for task in 0..2 {
            let one = &self.tasks[task];
            if self.left.cancels > 0 && one.state == TaskState::Ready && !one.cancel {
                let mut cancelled = self.clone();
                cancelled.left.cancels -= 1;
                cancelled.tasks[task].cancel = true;
                nexts.push(("a task is to be cancelled", cancelled));
            }
            // A person may do this any number of times.
            if one.state == TaskState::Dead {
                let mut retried = self.clone();
                let one = &mut retried.tasks[task];
                one.state = TaskState::Ready;
                one.given_up = false;
                nexts.push(("a task is retried", retried));
            }
            if one.state == TaskState::Cancelled && self.left.retries > 0 {
                let mut retried = self.clone();
                retried.left.retries -= 1;
                let one = &mut retried.tasks[task];
                one.state = TaskState::Ready;
                one.cancel = false;
                nexts.push(("a cancelled task is retried", retried));
            }
        }
    }

    /// Another program creates an object, or removes one of two copies. Not between a HEAD and the
    /// request that depends on it: no request of OBS can prevent that.
    fn meddle(&self, nexts: &mut Vec<(&'static str, Self)>) {
        let mut meddled = self.clone();
        meddled.left.meddlings -= 1;
        for key in 0..KEYS {
            let mut next = meddled.clone();
            let Some(object) = self.objects[key] else {
                let (recording, version) = (STRANGER, 1);
                next.objects[key] = Some(original(Content { recording, version }));
                nexts.push(("another program writes an object", next));
                continue;
            };
            let same = |other: &&Object| other.content == object.content;
            if self.objects.iter().flatten().filter(same).count() > 1 {
                next.objects[key] = None;
                nexts.push(("another program deletes an object", next));
            }
        }
    }

    fn crash(&self) -> Self {
        let mut crashed = self.clone();
        crashed.left.faults -= 1;
        for task in &mut crashed.tasks {
            task.next = Next::Idle;
            task.settled = [false; KEYS];
        }
        for flight in &mut crashed.flights {
            flight.awaited = false;
        }
        crashed
    }

    fn record_again(&self, scene: &Scene) -> Self {
        let mut again = self.clone();
        again.left.recordings -= 1;
        let (key, content) = scene.again;
        // The recorder itself destroys the last copy of what it overwrites; a version that the new
        // one contains is no loss.
        if let Some(object) = self.objects[key] {
            let elsewhere = |other: &Object| other.content == object.content;
            let copies = self.objects.iter().flatten().filter(|one| elsewhere(one));
            if copies.count() == 1 {
                again.precious.retain(|one| *one != object.content);
            }
        }
        again
            .precious
            .retain(|one| one.recording != content.recording);
        again.precious.push(content);
        again.objects[key] = Some(original(content));
        again
    }

    pub(super) fn apply(&mut self, flight: Flight, late: bool, scene: &Scene) {
        match flight.effect {
            Effect::Delete(key) => self.objects[key] = None,
            Effect::Copy {
                from,
                to,
                only,
                manifest,
            } => {
                let Some(source) = self.objects[from].filter(|source| source.etag == only) else {
                    return;
                };
                self.overwritten(flight.task, to);
                let writer = Writer {
                    task: flight.task,
                    manifest,
                    late,
                };
                self.objects[to] = Some(Object {
                    content: source.content,
                    etag: Etag(source.content, scene.encrypted.then_some(writer)),
                    mark: scene.encrypted.then_some((flight.task, manifest)),
                });
            }
        }
    }

    /// An unused manifest number: marks of different manifests differ.
    pub(super) fn free_number(&self, task: usize) -> u8 {
        let objects = self.objects.iter().flatten();
        let marks = objects.clone().filter_map(|object| object.mark);
        let writers = objects.filter_map(|object| object.etag.1);
        let writers = writers.map(|writer| (writer.task, writer.manifest));
        let flights = self
            .flights
            .iter()
            .filter_map(|flight| match flight.effect {
                Effect::Copy { manifest, .. } => Some((flight.task, manifest)),
                Effect::Delete(_) => None,
            });
        let used: Vec<_> = marks.chain(writers).chain(flights).collect();
        (0..u8::MAX)
            .find(|number| !used.contains(&(task, *number)))
            .unwrap_or(0)
    }

    /// With `overwrite`, what the rule replaces is no loss, unless another task has yet to move it.
    fn overwritten(&mut self, task: usize, key: Key) {
        let Some(replaced) = self.objects[key] else {
            return;
        };
        let mut tasks = self.tasks.iter();
        let is_moved = tasks.all(|one| {
            one.recording != replaced.content.recording
                || matches!(one.state, TaskState::Done | TaskState::Cancelled)
                || one
                    .manifest
                    .is_some_and(|one| one.phase == MovePhase::Moved)
        });
        if self.tasks[task].policy == OnConflict::Overwrite && is_moved {
            self.precious.retain(|one| *one != replaced.content);
        }
    }

    pub(super) fn at_source(&self, task: usize, manifest: &Manifest) -> AtSource {
        let one = self.tasks[task].one(manifest);
        let found = self.objects[self.tasks[task].from].map(Object::found);
        one.at_source(found.as_ref())
    }

    pub(super) fn at_target(&self, task: usize, manifest: &Manifest, planted: Planted) -> AtTarget {
        let one = self.tasks[task].one(manifest);
        let mut found = self.objects[manifest.to].map(Object::found);
        if planted == Planted::NoMarks
            && let Some(found) = &mut found
        {
            found.mark = None;
        }
        let at = one.at_target(found.as_ref(), &mark(task, manifest.number));
        match at {
            AtTarget::Stranger if planted == Planted::AnyObjectIsOurs => AtTarget::Ours,
            at => at,
        }
    }

    pub(super) fn is_taken(&self, task: usize, key: Key, wanted: Use, planted: Planted) -> bool {
        if planted == Planted::NoLedger {
            return false;
        }
        self.tasks.iter().enumerate().any(|(other, one)| {
            let mut held = one.held(key, other == task);
            held.late &= planted != Planted::NoLateKeys;
            forbids(held, wanted)
        })
    }

    /// The task's move has ended: the other task's survey of its target may now be outdated.
    pub(super) fn has_settled(&mut self, task: usize) {
        let Some(manifest) = self.tasks[task].manifest else {
            return;
        };
        let other = &mut self.tasks[1 - task];
        if matches!(other.next, Next::Admit(_)) {
            other.settled[manifest.to] = true;
        }
    }

    /// Whether another task is about to move the object at the key.
    pub(super) fn is_wanted(&self, task: usize, key: Key) -> bool {
        let other = &self.tasks[1 - task];
        matches!(other.state, TaskState::Ready | TaskState::Dead)
            && other.recording != self.tasks[task].recording
            && other.from == key
            && !other.manifest.is_some_and(|manifest| manifest.committed)
    }

    /// Content that must exist and does not.
    pub(super) fn lost(&self) -> Option<Content> {
        let is = |content: &Content| {
            let mut objects = self.objects.iter().flatten();
            objects.any(|object| object.content == *content)
        };
        self.precious.iter().copied().find(|content| !is(content))
    }

    /// For objects that recordings share: a recording that can be played neither at its source,
    /// where its playlist is, nor at its target.
    pub(super) fn broken(&self) -> Option<usize> {
        (0..self.tasks.len()).find(|number| {
            let task = &self.tasks[*number];
            let is_at = |key: Key| self.objects[key].is_some();
            let committed = task.manifest.filter(|manifest| manifest.committed);
            let is_at_target = committed.is_some_and(|manifest| is_at(manifest.to));
            let is_at_source = match task.playlist {
                None => true,
                Some(_) if task.comes_later => task.state != TaskState::Done,
                Some(playlist) => playlist && is_at(task.named),
            };
            !is_at_source && !is_at_target
        })
    }

    /// A shared object that remains although no playlist names it there any more, or as the copy of a
    /// task that ended without moving.
    fn left_of_shared(&self) -> Option<String> {
        let tasks = || self.tasks.iter();
        let dead = |task: &Task| task.state == TaskState::Dead && task.is_unfinished();
        let has_list = |task: &Task| task.playlist == Some(true) || dead(task);
        let named = |key: Key| tasks().any(|task| task.named == key && has_list(task));
        let moved = |key: Key| {
            let is_its = |task: &Task| {
                let says = task.leaves || dead(task);
                task.manifest
                    .is_some_and(|manifest| manifest.to == key && (manifest.committed || says))
            };
            tasks().any(is_its)
        };
        let mut left = (0..KEYS).filter(|key| self.objects[*key].is_some());
        let left = left.find(|key| !named(*key) && !moved(*key))?;
        Some(format!("the object at {left} belongs to nobody"))
    }

    pub(super) fn short(&self) -> String {
        let objects = self.objects.iter().map(|object| match object {
            None => "-".to_owned(),
            Some(object) => {
                let Content { recording, version } = object.content;
                let mark = if object.mark.is_some() { "*" } else { "" };
                format!("{recording}.{version}{mark}")
            }
        });
        let objects: Vec<String> = objects.collect();
        let tasks = self.tasks.iter().map(|task| {
            let manifest = task
                .manifest
                .map(|one| (one.to, one.target, one.phase, one.committed));
            let late: Vec<Key> = (0..KEYS).filter(|key| task.late[*key]).collect();
            format!(
                "   {:?} {:?} {manifest:?} late {late:?}",
                task.state, task.next
            )
        });
        let tasks: Vec<String> = tasks.collect();
        let flights = &self.flights;
        format!("{objects:?} {flights:?}\n{}", tasks.join("\n"))
    }

    /// Whether the object at this key belongs to no recording that is there, and no task names it
    /// as left.
    fn is_nobodys(&self, key: Key) -> bool {
        let Some(object) = self.objects[key] else {
            return false;
        };
        // A task moves whatever is at its key, even an earlier recording.
        let is_of_it = |task: &Task| task.recording == object.content.recording;
        let of_it = self.tasks.iter().filter(|task| is_of_it(task));
        let keys: Vec<Key> = of_it.map(|task| task.named).collect();
        let is_its = |task: &&Task| keys.contains(&task.named);
        let mut tasks = self.tasks.iter().filter(is_its).peekable();
        let is_there = |task: &Task| {
            let dead = task.state == TaskState::Dead && task.is_unfinished();
            let leads_here = task.manifest.filter(|manifest| manifest.to == key);
            let is_moved = leads_here.is_some_and(|one| one.committed || task.leaves || dead);
            task.named == key || is_moved
        };
        tasks.peek().is_some() && !tasks.any(is_there)
    }

    /// Whether nothing is in flight and nothing happens unless somebody acts.
    pub(super) fn is_at_rest(&self) -> bool {
        let late = |task: &Task| task.late.iter().any(|late| *late);
        let settled = |task: &Task| task.state != TaskState::Ready && !late(task);
        self.flights.is_empty() && self.tasks.iter().all(settled)
    }

    /// What is left at rest without a task that reports it.
    pub(super) fn untold(&self) -> Option<String> {
        if self.tasks.iter().any(|task| task.playlist.is_some()) {
            return self.left_of_shared();
        }
        let dead = |task: &Task| task.state == TaskState::Dead && task.is_unfinished();
        let says = |task: &Task| task.leaves || dead(task);
        for content in &self.precious {
            let copies = self.objects.iter().flatten();
            let copies = copies.filter(|object| object.content == *content).count();
            if copies > 1 && !self.tasks.iter().any(says) {
                return Some(format!("{copies} objects hold {content:?}"));
            }
        }
        if let Some(key) = (0..KEYS).find(|key| self.is_nobodys(*key)) {
            return Some(format!(
                "the object at {key} is of no recording that is there"
            ));
        }
        for (number, task) in self.tasks.iter().enumerate() {
            let at = task.manifest.filter(|_| task.state == TaskState::Done);
            if let Some(manifest) = at
                && let Some(object) = self.objects[manifest.to]
                && object.mark == Some((number, manifest.number))
            {
                return Some(format!("task {number} is done and its copy is marked"));
            }
        }
        None
    }
}

fn original(content: Content) -> Object {
    Object {
        content,
        etag: Etag(content, None),
        mark: None,
    }
}
