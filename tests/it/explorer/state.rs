//! The parts of the explored world: objects, requests in flight, and what the store holds of each
//! task.

use aftertake::model::moves::keys::{Held, Use};
use aftertake::model::moves::object::Found;
use aftertake::model::moves::{Move, MovePhase, Outline, Part, Source, Target, Targets};
use aftertake::model::recording::Place;
use aftertake::model::step::OnConflict;

/// One of a few keys: `a`, `b`, `c`, and `d`, the other name of `keep_both`.
pub(super) type Key = usize;

pub(super) const KEYS: usize = 4;
pub(super) const OTHER_NAME: Key = 3;

/// What was recorded: a recording and its version. Version 2 contains version 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Content {
    pub(super) recording: u8,
    pub(super) version: u8,
}

/// The copy request that made an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Writer {
    pub(super) task: usize,
    pub(super) manifest: u8,
    pub(super) late: bool,
}

/// An object's ETag: a digest of its content or, for an encrypted copy, unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Etag(pub(super) Content, pub(super) Option<Writer>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Object {
    pub(super) content: Content,
    pub(super) etag: Etag,
    /// Task and manifest of our mark.
    pub(super) mark: Option<(usize, u8)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Effect {
    Copy {
        from: Key,
        to: Key,
        only: Etag,
        manifest: u8,
    },
    Delete(Key),
}

impl Effect {
    pub(super) fn key(self) -> Key {
        match self {
            Self::Copy { to, .. } => to,
            Self::Delete(key) => key,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Flight {
    pub(super) task: usize,
    pub(super) effect: Effect,
    /// Whether a client still waits for its response.
    pub(super) awaited: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum TaskState {
    Ready,
    Done,
    Dead,
    Cancelled,
}

/// A manifest of one object, as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Manifest {
    pub(super) number: u8,
    pub(super) to: Key,
    pub(super) etag: Etag,
    pub(super) target: Target,
    pub(super) noted: Option<Etag>,
    pub(super) phase: MovePhase,
    pub(super) committed: bool,
    pub(super) under_way: bool,
    pub(super) is_marked: bool,
    pub(super) source: Source,
}

/// What a run does next. Lost in a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Next {
    Idle,
    TakeUp,
    Survey,
    Admit(Manifest),
    Copy,
    AwaitCopy,
    StoreCopied {
        etag: Etag,
        is_marked: bool,
    },
    Verify,
    Commit,
    LookBeforeClear,
    Unmark,
    /// Delete the recording's playlist, which names shared objects.
    DropPlaylist,
    LookAtOthers,
    /// No other playlist names it: take it, unless a move reads it.
    TakeLast,
    Clear,
    AwaitClear,
    StoreMoved,
    Undo(Then),
    AwaitRemove(Then),
    StoreUndone(Then, MovePhase),
    /// A request got no response: store that its key stays taken, and try again later.
    EndLate(Key),
    /// The step failed for good.
    Fail,
}

/// What follows once a move is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Then {
    Survey,
    Dead,
    Cancelled,
}

#[expect(clippy::struct_excessive_bools, reason = "each is an independent flag")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Task {
    pub(super) recording: u8,
    /// Where the object was recorded.
    pub(super) named: Key,
    pub(super) from: Key,
    pub(super) to: Key,
    pub(super) policy: OnConflict,
    /// For an object that another recording's playlist names, too: whether this recording's
    /// playlist exists.
    pub(super) playlist: Option<bool>,
    /// Whether its playlist appears later, when the other recording may have moved.
    pub(super) comes_later: bool,
    /// Whether its event is a replay of the first task's.
    pub(super) replays: bool,
    /// Keys that were the target of another move that has ended since this task's survey.
    pub(super) settled: [bool; KEYS],
    pub(super) state: TaskState,
    pub(super) manifest: Option<Manifest>,
    pub(super) given_up: bool,
    pub(super) cancel: bool,
    /// Whether the task reported that something is left behind.
    pub(super) leaves: bool,
    /// Keys for which the store knows that a request of this task may still arrive.
    pub(super) late: [bool; KEYS],
    pub(super) next: Next,
}

impl Task {
    pub(super) fn new(recording: u8, from: Key, to: Key, policy: OnConflict) -> Self {
        Self {
            recording,
            named: from,
            from,
            to,
            policy,
            playlist: None,
            comes_later: false,
            replays: false,
            settled: [false; KEYS],
            state: TaskState::Ready,
            manifest: None,
            given_up: false,
            cancel: false,
            leaves: false,
            late: [false; KEYS],
            next: Next::Idle,
        }
    }

    /// With an object that both recordings share.
    pub(super) fn sharing(self) -> Self {
        Self {
            playlist: Some(true),
            ..self
        }
    }

    /// With a playlist that does not exist yet.
    pub(super) fn coming_later(self) -> Self {
        Self {
            playlist: Some(false),
            comes_later: true,
            ..self
        }
    }

    /// With the first task's event, replayed.
    pub(super) fn replaying(self) -> Self {
        Self {
            replays: true,
            ..self
        }
    }

    pub(super) fn targets(&self) -> Targets {
        let keeps_both = self.policy == OnConflict::KeepBoth;
        Targets {
            asked: place(self.to),
            other_name: keeps_both.then(|| place(OTHER_NAME)),
        }
    }

    pub(super) fn is_to_come(&self) -> bool {
        self.playlist == Some(false) && self.manifest.is_none()
    }

    pub(super) fn is_unfinished(&self) -> bool {
        let open =
            |manifest: &Manifest| matches!(manifest.phase, MovePhase::Planned | MovePhase::Copied);
        self.manifest.as_ref().is_some_and(open)
    }

    /// How this task holds a key, as seen by the task that asks.
    pub(super) fn held(&self, key: Key, own: bool) -> Held {
        let manifest = self.manifest.filter(|_| self.is_unfinished());
        let used = match manifest {
            Some(manifest) if manifest.to == key => Some(manifest.writes()),
            Some(manifest) if self.from == key => Some(manifest.source.used()),
            _ => None,
        };
        // A committed move no longer depends on what it only read.
        let committed = manifest.is_some_and(|manifest| manifest.committed);
        let used = used.filter(|used| !committed || *used != Use::Reads);
        Held {
            used,
            own,
            takes_turns: false,
            late: self.late[key],
        }
    }

    /// The manifest as the product's type.
    pub(super) fn outline(&self, task: usize) -> Option<Outline> {
        let manifest = self.manifest?;
        let main = self.one(&manifest);
        Some(Outline {
            count: 1,
            moved: u32::from(main.phase == MovePhase::Moved),
            undone: u32::from(matches!(main.phase, MovePhase::Undone | MovePhase::Kept)),
            replaced: u32::from(main.has_replaced()),
            objects: 1,
            bytes: 1,
            committed: manifest.committed,
            mark: mark(task, manifest.number),
            replaces: None,
            main,
        })
    }

    /// The manifest's only move.
    pub(super) fn one(&self, manifest: &Manifest) -> Move {
        Move {
            number: 0,
            from: place(self.from),
            to: place(manifest.to),
            part: Part::Other,
            size: 1,
            etag: text(manifest.etag),
            target: manifest.target,
            target_etag: manifest.noted.map(text),
            upload: None,
            is_marked: manifest.is_marked,
            source: manifest.source,
            phase: manifest.phase,
        }
    }
}

impl Manifest {
    /// How it uses its target.
    pub(super) fn writes(&self) -> Use {
        match self.target {
            Target::Present => Use::Reads,
            Target::Absent | Target::Replace | Target::Again => Use::Writes,
        }
    }
}

pub(super) fn mark(task: usize, manifest: u8) -> String {
    format!("task{task}.{manifest}")
}

pub(super) fn place(key: Key) -> Place {
    Place {
        bucket: "b".into(),
        key: key.to_string(),
    }
}

pub(super) fn text(etag: Etag) -> String {
    let Etag(content, writer) = etag;
    let writer = writer.map_or(0, |writer| {
        1 + u8::from(writer.late) + 2 * writer.manifest + 100 * u8::from(writer.task == 1)
    });
    String::from_utf8(vec![
        b'0' + content.recording,
        b'0' + content.version,
        b'0' + writer % 64,
        b'0' + writer / 64,
    ])
    .expect("an ETag")
}

impl Object {
    /// The object as a HEAD finds it.
    pub(super) fn found(self) -> Found {
        let mark = |(task, manifest)| format!("{}.0", mark(task, manifest));
        Found {
            size: 1,
            etag: text(self.etag),
            mark: self.mark.map(mark),
            is_from_upload: false,
        }
    }
}
