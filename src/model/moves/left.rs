//! Says in words what a rename that stopped half way may have left, and where.

use std::fmt;

use super::{Move, MovePhase, Outline, Source, Target};
use crate::model::recording::Place;

/// Places that are named; the others are counted.
const NAMED: usize = 10;

/// Places as a person reads them: the first ones, and how many more there are.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Named {
    first: Vec<Place>,
    count: usize,
}

/// What the moves of a manifest may have left, gathered one by one.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Copies where nothing was.
    copies: Named,
    /// Objects in whose place a copy is.
    replaced: Named,
    /// Objects that are to be replaced.
    threatened: Named,
    /// Objects that go once the recording is at its target.
    old: Named,
}

/// Whether the targets were looked at, and no request can change them any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Targets {
    Seen,
    Unseen,
}

impl Named {
    /// Adds a place.
    pub fn add(&mut self, place: &Place) {
        self.count += 1;
        if self.first.len() < NAMED {
            self.first.push(place.clone());
        }
    }

    /// `None` when there is none.
    pub fn some(&self) -> Option<&Self> {
        (self.count > 0).then_some(self)
    }

    /// "one" or "many", and where; `None` when there is nothing.
    fn left(&self, one: &str, many: &str) -> Option<String> {
        let what = if self.count == 1 { one } else { many };
        self.some()
            .map(|places| format!("{what} may be left at {places}"))
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, place) in self.first.iter().enumerate() {
            let comma = if number > 0 { ", " } else { "" };
            write!(f, "{comma}{place}")?;
        }
        match self.count - self.first.len() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl Left {
    /// Adds what these moves may have left.
    pub fn add_all<'a>(&mut self, moves: impl IntoIterator<Item = &'a Move>) {
        for one in moves {
            self.add(one);
        }
    }

    /// Adds what this move may have left.
    pub fn add(&mut self, one: &Move) {
        if one.has_replaced() {
            self.replaced.add(&one.to);
        } else if one.target == Target::Absent && one.phase != MovePhase::Undone {
            self.copies.add(&one.to);
        } else if one.target == Target::Replace && one.phase == MovePhase::Planned {
            self.threatened.add(&one.to);
        }
        if one.phase != MovePhase::Moved && one.source == Source::Goes && one.from != one.to {
            self.old.add(&one.from);
        }
    }

    /// What a move may have left before its commit point: its copies, and a recording at its
    /// target that is not whole any more.
    pub fn before_commit(&self, outline: &Outline, targets: Targets) -> String {
        let from = &outline.main.from;
        let copies = self.copies.left("a copy", "copies");
        let copies = copies.map_or_else(String::new, |copies| format!(", but {copies}"));
        let threatened = self
            .threatened
            .some()
            .filter(|_| targets == Targets::Unseen);
        let threatened = threatened.map(|places| {
            let whose = whose(outline);
            format!("copies may have replaced {places} of {whose}")
        });
        let at = format!("the recording is at {from}{copies}");
        let told = [Some(at), self.incomplete(outline), threatened];
        told.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }

    /// What a move may have left after its commit point: its old objects.
    pub fn after_commit(&self, outline: &Outline) -> String {
        let to = &outline.main.to;
        match self.old.left("its old object", "old objects") {
            Some(old) => format!("the recording is at {to}, but {old}"),
            None => format!("the recording is at {to}"),
        }
    }

    /// What a move has left that was given up, where it was given the copies that are there
    /// alone; `None` when nothing is.
    pub fn given_up(&self, outline: &Outline) -> Option<String> {
        let copies = self.copies.some();
        let copies = copies.map(|places| format!("copies are left: {places}"));
        let incomplete = self.incomplete(outline).map(|incomplete| {
            format!(
                "{incomplete}. Retry the task to complete its move, or put these objects back as they were"
            )
        });
        let told: Vec<String> = copies.into_iter().chain(incomplete).collect();
        (!told.is_empty()).then(|| told.join("; "))
    }

    /// Which recording is not whole, and why.
    fn incomplete(&self, outline: &Outline) -> Option<String> {
        let (places, whose) = (self.replaced.some()?, whose(outline));
        Some(if outline.is_set() {
            format!("{whose} is incomplete, as copies have replaced {places}")
        } else {
            format!("a copy has replaced {whose}")
        })
    }
}

/// What a move replaces.
fn whose(outline: &Outline) -> String {
    let to = &outline.main.to;
    match outline.replaces {
        Some(task) => format!("the recording that {task} moved to {to}"),
        None => format!("what was at {to}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{EventId, TaskId};
    use crate::model::moves::Part;

    fn place(key: &str) -> Place {
        Place {
            bucket: "b".into(),
            key: key.into(),
        }
    }

    fn named(count: usize) -> Named {
        let mut named = Named::default();
        for number in 0..count {
            named.add(&place(&number.to_string()));
        }
        named
    }

    fn one(number: u32, target: Target, phase: MovePhase) -> Move {
        Move {
            number,
            from: place(&format!("r/{number}")),
            to: place(&format!("k/{number}")),
            part: Part::Other,
            size: 1,
            etag: "e".into(),
            target,
            target_etag: None,
            upload: None,
            is_marked: false,
            source: Source::Goes,
            phase,
        }
    }

    fn outline(moves: &[Move], replaces: Option<TaskId>) -> Outline {
        Outline {
            count: u32::try_from(moves.len()).unwrap(),
            main: moves.last().unwrap().clone(),
            moved: 0,
            undone: 0,
            replaced: 0,
            objects: 2,
            bytes: 2,
            committed: false,
            mark: "task_1.0.1".into(),
            replaces,
        }
    }

    fn left(moves: &[Move]) -> Left {
        let mut left = Left::default();
        left.add_all(moves);
        left
    }

    #[test]
    fn few_places_are_all_named_and_of_many_the_rest_is_counted() {
        assert_eq!(named(3).to_string(), "b/0, b/1, b/2");
        assert!(named(10).to_string().ends_with("b/8, b/9"));
        assert!(named(12).to_string().ends_with("b/8, b/9 and 2 more"));
    }

    #[test]
    fn one_thing_is_not_told_as_many_and_nothing_is_not_told() {
        let told = |count| named(count).left("a copy", "copies");
        assert_eq!(told(0), None);
        assert_eq!(told(1).unwrap(), "a copy may be left at b/0");
        assert_eq!(told(2).unwrap(), "copies may be left at b/0, b/1");
    }

    /// What is to be replaced, and is not, is somebody else's: nobody may take it for a copy.
    #[test]
    fn only_copies_are_told_as_copies_and_what_they_have_replaced_as_a_loss() {
        use MovePhase::{Copied, Kept, Planned, Undone};
        use Target::{Absent, Again, Replace};
        let moves = [
            one(0, Absent, Planned),
            one(1, Replace, Copied),
            one(2, Again, Planned),
            one(3, Again, Undone),
            one(4, Replace, Planned),
        ];
        let task = TaskId::derive(EventId::derive(None, &[b"x"]), "r", 0);
        let told = |targets| left(&moves).before_commit(&outline(&moves, Some(task)), targets);
        let sure = format!(
            "the recording is at b/r/4, but a copy may be left at b/k/0; \
             the recording that {task} moved to b/k/4 is incomplete, as copies have replaced b/k/1, b/k/2"
        );
        assert_eq!(told(Targets::Seen), sure);
        let unseen = format!(
            "{sure}; copies may have replaced b/k/4 of the recording that {task} moved to b/k/4"
        );
        assert_eq!(told(Targets::Unseen), unseen);

        let moves = [
            one(0, Absent, Kept),
            one(1, Replace, Kept),
            one(2, Replace, Undone),
        ];
        let given_up = left(&moves).given_up(&outline(&moves, None)).unwrap();
        let begin = "copies are left: b/k/0; what was at b/k/2 is incomplete, as copies have replaced b/k/1. Retry";
        assert!(given_up.starts_with(begin), "{given_up}");
        let nothing = [one(0, Absent, Undone), one(1, Replace, Undone)];
        assert_eq!(left(&nothing).given_up(&outline(&nothing, None)), None);
    }
}
