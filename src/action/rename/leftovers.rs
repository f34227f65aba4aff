//! Collects the objects that an unfinished rename may have left. `model::moves::left` has the
//! texts.

use super::paging;
use crate::action::{Progress, Stopped};
use crate::model::failure::Failure;
use crate::model::moves::left::{Left, Named, Targets};
use crate::model::moves::{Move, Outline, Source};

pub(super) async fn before_commit(
    outline: &Outline,
    targets: Targets,
    progress: &mut dyn Progress,
) -> Result<String, Stopped> {
    let left = gather(outline, progress).await?;
    Ok(left.before_commit(outline, targets))
}

pub(super) async fn after_commit(
    outline: &Outline,
    progress: &mut dyn Progress,
) -> Result<String, Stopped> {
    Ok(gather(outline, progress).await?.after_commit(outline))
}

/// Objects left of a replaced recording because others may name them.
pub(super) async fn of_replaced(
    outline: &Outline,
    progress: &mut dyn Progress,
) -> Result<Option<String>, Stopped> {
    // Otherwise, some moves only delete an object.
    if outline.objects == outline.count {
        return Ok(None);
    }
    let is_left = |one: &Move| one.only_goes() && one.source != Source::Goes;
    let mut left = Named::default();
    for numbers in paging::forwards(outline.count) {
        let page = progress.moves(numbers).await?;
        for one in page.iter().filter(|one| is_left(one)) {
            left.add(&one.from);
        }
    }
    Ok(left.some().map(ToString::to_string))
}

/// The failure of a move before its commit point, with the objects that may be left.
pub(super) async fn told(
    outline: &Outline,
    stopped: Stopped,
    progress: &mut dyn Progress,
) -> Stopped {
    let Stopped::Failed { failure, exchange } = stopped else {
        return stopped;
    };
    match before_commit(outline, Targets::Unseen, progress).await {
        Ok(left) => Stopped::Failed {
            failure: Box::new(because(&left, *failure)),
            exchange,
        },
        Err(stopped) => stopped,
    }
}

pub(super) fn because(left: &str, mut failure: Failure) -> Failure {
    failure.reason = format!("{left}: {}", failure.reason);
    failure
}

async fn gather(outline: &Outline, progress: &mut dyn Progress) -> Result<Left, Stopped> {
    let mut left = Left::default();
    for numbers in paging::forwards(outline.count) {
        let page = progress.moves(numbers).await?;
        left.add_all(&page);
    }
    Ok(left)
}
