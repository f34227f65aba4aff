//! Says in words what a rename that stopped half way may have left, and where.

use std::fmt;

use super::pages;
use crate::action::{Progress, Stopped};
use crate::model::failure::Failure;
use crate::model::moves::{Move, MovePhase, Outline, Source, Target};
use crate::model::recording::Place;

/// Places that are named; the others are counted.
const NAMED: usize = 10;

/// Places as a person reads them: the first ones, and how many more there are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    first: Vec<Place>,
    count: usize,
}

impl Named {
    /// These places.
    pub(super) fn of<'a>(places: impl IntoIterator<Item = &'a Place>) -> Self {
        let mut named = Self::default();
        for place in places {
            named.count += 1;
            if named.first.len() < NAMED {
                named.first.push(place.clone());
            }
        }
        named
    }

    pub(super) fn add(&mut self, other: Self) {
        let room = NAMED - self.first.len();
        self.first.extend(other.first.into_iter().take(room));
        self.count += other.count;
    }

    /// "one" or "many", and where; `None` when there is nothing.
    fn left(&self, one: &str, many: &str) -> Option<String> {
        let what = match self.count {
            0 => return None,
            1 => one,
            _ => many,
        };
        Some(format!("{what} may be left at {self}"))
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

/// What a move may have left before its commit point: its copies.
pub(super) async fn before_commit(
    outline: &Outline,
    progress: &mut dyn Progress,
) -> Result<String, Stopped> {
    let from = &outline.main.from;
    let is_copy = |one: &Move| one.phase != MovePhase::Undone && one.target != Target::Present;
    let copies = collect(outline, progress, |one| is_copy(one).then_some(&one.to)).await?;
    Ok(match copies.left("a copy", "copies") {
        Some(copies) => format!("the recording is at {from}, but {copies}"),
        None => format!("the recording is at {from}"),
    })
}

/// What a move may have left after its commit point: its old objects.
pub(super) async fn after_commit(
    outline: &Outline,
    progress: &mut dyn Progress,
) -> Result<String, Stopped> {
    let to = &outline.main.to;
    let is_old = |one: &Move| {
        one.phase != MovePhase::Moved && one.source == Source::Goes && one.from != one.to
    };
    let old = collect(outline, progress, |one| is_old(one).then_some(&one.from)).await?;
    Ok(match old.left("its old object", "old objects") {
        Some(old) => format!("the recording is at {to}, but {old}"),
        None => format!("the recording is at {to}"),
    })
}

/// What was left of a recording that was replaced, as others may name it.
pub(super) async fn of_replaced(
    outline: &Outline,
    progress: &mut dyn Progress,
) -> Result<Option<String>, Stopped> {
    // Each of the other moves carries an object.
    if outline.objects == outline.count {
        return Ok(None);
    }
    let is_left = |one: &Move| one.only_goes() && one.source != Source::Goes;
    let left = collect(outline, progress, |one| is_left(one).then_some(&one.from)).await?;
    Ok((left.count > 0).then(|| left.to_string()))
}

/// The failure of a move before its commit point, with what may be left.
pub(super) async fn told(
    outline: &Outline,
    stopped: Stopped,
    progress: &mut dyn Progress,
) -> Stopped {
    let Stopped::Failed { failure, exchange } = stopped else {
        return stopped;
    };
    match before_commit(outline, progress).await {
        Ok(left) => Stopped::Failed {
            failure: Box::new(because(&left, *failure)),
            exchange,
        },
        Err(stopped) => stopped,
    }
}

/// What is left, and why.
pub(super) fn because(left: &str, mut failure: Failure) -> Failure {
    failure.reason = format!("{left}: {}", failure.reason);
    failure
}

async fn collect(
    outline: &Outline,
    progress: &mut dyn Progress,
    place: impl Fn(&Move) -> Option<&Place>,
) -> Result<Named, Stopped> {
    let mut named = Named::default();
    for numbers in pages::forwards(outline.count) {
        let page = progress.moves(numbers).await?;
        named.add(Named::of(page.iter().filter_map(&place)));
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(count: usize) -> Named {
        let place = |number| Place {
            bucket: "b".into(),
            key: format!("{number}"),
        };
        let places: Vec<Place> = (0..count).map(place).collect();
        Named::of(&places)
    }

    #[test]
    fn few_places_are_all_named_and_of_many_the_rest_is_counted() {
        assert_eq!(named(3).to_string(), "b/0, b/1, b/2");
        assert!(named(10).to_string().ends_with("b/8, b/9"));
        assert!(named(12).to_string().ends_with("b/8, b/9 and 2 more"));
        let mut both = named(8);
        both.add(named(1_000));
        assert!(both.to_string().ends_with("b/7, b/0, b/1 and 998 more"));
    }

    #[test]
    fn one_thing_is_not_told_as_many_and_nothing_is_not_told() {
        let told = |count| named(count).left("a copy", "copies");
        assert_eq!(told(0), None);
        assert_eq!(told(1).unwrap(), "a copy may be left at b/0");
        assert_eq!(told(2).unwrap(), "copies may be left at b/0, b/1");
    }
}
