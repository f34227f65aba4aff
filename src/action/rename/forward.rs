//! Decides whether a rename that should be given up has to continue: giving up would not restore
//! objects that it replaced.

use super::copy_one::{self, at_target};
use super::stat::find;
use super::{give_up, leftovers, paging};
use crate::action::{Progress, Reach, Stopped};
use crate::model::failure::Failure;
use crate::model::moves::left::Targets;
use crate::model::moves::object::{AtSource, AtTarget, can_be_copied};
use crate::model::moves::stage::{Forward, Open, Stage};
use crate::model::moves::{Move, MovePhase, Outline, Target};
use crate::model::recording::Place;
use crate::object::ObjectMeta;

/// The direction of a move that should be given up.
pub(super) enum Way {
    Back(Box<Open>),
    /// It continues; these objects are left until it is complete.
    Forward(String),
}

/// Looks for replaced or renamed objects that the store does not know of, stores them, and decides.
pub(super) async fn way(
    reach: &Reach,
    open: Open,
    progress: &mut dyn Progress,
) -> Result<Way, Stopped> {
    let outline = open.outline();
    if give_up::was_renamed(reach, outline, progress).await? {
        let Move { from, to, .. } = &outline.main;
        return Ok(Way::Forward(format!(
            "the recording is at {to}, and no longer at {from}"
        )));
    }
    note_replaced(reach, outline, progress).await?;
    let forward = match Stage::of(progress.outline().await?) {
        Stage::Replaced(replaced) => return way_of_replaced(reach, replaced, progress).await,
        Stage::Replacing(open) if can_go_on(reach, open.outline(), progress).await? => {
            open.outline().clone()
        }
        Stage::Replacing(open) => return Ok(Way::Back(Box::new(open))),
        _ => return Ok(Way::Back(Box::new(open))),
    };
    let left = leftovers::before_commit(&forward, Targets::Seen, progress).await?;
    Ok(Way::Forward(left))
}

/// The direction of a move whose named object's copy has replaced one. Back only if another copy has
/// vanished and cannot be made again: then the recording will never be whole at its target.
pub(super) async fn way_of_replaced(
    reach: &Reach,
    replaced: Forward,
    progress: &mut dyn Progress,
) -> Result<Way, Stopped> {
    let outline = replaced.outline();
    if !can_go_on(reach, outline, progress).await? {
        return Ok(Way::Back(Box::new(replaced.back())));
    }
    let left = leftovers::before_commit(outline, Targets::Seen, progress).await?;
    Ok(Way::Forward(left))
}

/// Finds and stores replacements that the moves do not show because responses were lost.
async fn note_replaced(
    reach: &Reach,
    outline: &Outline,
    progress: &mut dyn Progress,
) -> Result<(), Stopped> {
    for numbers in paging::forwards(outline.count) {
        let mut page = progress.moves(numbers).await?;
        page.retain(|one| one.target == Target::Replace && one.phase == MovePhase::Planned);
        let there = find(reach, page.iter().map(|one| &one.to)).await?;
        let mut made = Vec::new();
        for one in page {
            let found = there.get(&one.to).cloned();
            if let Some(copy) = copy_of(reach, &one, &outline.mark, found).await? {
                made.push(copy_one::copied(one, &copy));
            }
        }
        if !made.is_empty() {
            progress.moved(&made).await?;
        }
    }
    Ok(())
}

/// The copy of an object, if it exists, also from an upload whose completion had no response.
async fn copy_of(
    reach: &Reach,
    one: &Move,
    mark: &str,
    there: Option<ObjectMeta>,
) -> Result<Option<ObjectMeta>, Failure> {
    let store = &reach.bucket(&one.to)?.store;
    if let Some(note) = &one.upload {
        let object_mark = one.mark(mark);
        let copy = copy_one::copy_of(one, Some(&object_mark));
        if let Some(there) = store.find_copy(copy, None, Some(note)).await? {
            return Ok(Some(there));
        }
    }
    // The object to be replaced is still there.
    if one.at_target(there.as_ref().map(copy_one::found).as_ref(), mark) == AtTarget::Replaceable {
        return Ok(None);
    }
    // A listing does not show whether the object is marked.
    let there = match there {
        Some(_) => store.head(&one.to.key).await?,
        None => None,
    };
    Ok(match at_target(reach, one, mark, there).await? {
        (AtTarget::Ours, there) => there,
        _ => None,
    })
}

async fn can_go_on(
    reach: &Reach,
    outline: &Outline,
    progress: &mut dyn Progress,
) -> Result<bool, Stopped> {
    for numbers in paging::forwards(outline.count) {
        let mut page = progress.moves(numbers).await?;
        page.retain(|one| one.phase == MovePhase::Planned && one.target != Target::Present);
        let sources = find(reach, page.iter().map(|one| &one.from)).await?;
        let there = find(reach, page.iter().map(|one| &one.to)).await?;
        for one in &page {
            let source = source(reach, one, sources.get(&one.from)).await?;
            let found = there.get(&one.to).cloned();
            let target = target(reach, one, &outline.mark, found).await?;
            if !can_be_copied(source, target) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// The object at the source. OBS listings can be outdated, so an unexpected object is looked at
/// again.
async fn source(
    reach: &Reach,
    one: &Move,
    listed: Option<&ObjectMeta>,
) -> Result<AtSource, Failure> {
    match one.at_source(listed.map(copy_one::found).as_ref()) {
        AtSource::Same => Ok(AtSource::Same),
        AtSource::Changed | AtSource::Nothing => {
            let Place { key, .. } = &one.from;
            let there = reach.bucket(&one.from)?.store.head(key).await?;
            Ok(one.at_source(there.as_ref().map(copy_one::found).as_ref()))
        }
    }
}

async fn target(
    reach: &Reach,
    one: &Move,
    mark: &str,
    listed: Option<ObjectMeta>,
) -> Result<AtTarget, Failure> {
    match one.at_target(listed.as_ref().map(copy_one::found).as_ref(), mark) {
        AtTarget::Stranger => Ok(at_target(reach, one, mark, listed).await?.0),
        known => Ok(known),
    }
}
