//! Finds the copies that a recording leaves next to an outdated playlist of its own.
//!
//! A recording that has grown takes along what earlier tasks moved. What it shared then, or what
//! its recorder has written again, still exists where it was recorded and is taken from there. The
//! copies that the earlier tasks made of it would then belong to no recording.

use super::earlier_moves;
use super::paging::PAGE;
use super::route::Route;
use super::stat::find;
use crate::action::{Progress, Reach, Stopped};
use crate::model::moves::Part;
use crate::model::recording::Place;

/// A copy that is no longer used.
pub(super) struct Copy {
    pub(super) at: Place,
    pub(super) etag: String,
    pub(super) part: Part,
}

/// Those of the objects at these places that earlier tasks of the recording copied there. The
/// playlist at `back.from` names them, and `back` leads from there to where they were recorded.
pub(super) async fn copies(
    reach: &Reach,
    back: Route<'_>,
    places: &[(Place, Part)],
    progress: &mut dyn Progress,
) -> Result<Vec<Copy>, Stopped> {
    let mut copies = Vec::new();
    for page in places.chunks(PAGE as usize) {
        let named = |(at, _): &(Place, Part)| back.target(&at.key).ok();
        let found = find(reach, page.iter().map(|(at, _)| at)).await?;
        let trails =
            earlier_moves::follow(page.iter().filter_map(named).collect(), progress).await?;
        for one in page {
            let (at, part) = one;
            let earlier_moves = named(one).and_then(|named| trails.get(&named));
            let earlier_moves = earlier_moves.filter(|earlier_moves| {
                earlier_moves.leads_to(at) && !earlier_moves.is_of_another()
            });
            let meta = found.get(at);
            if let Some(meta) = meta
                .filter(|meta| earlier_moves.is_some_and(|earlier_moves| earlier_moves.made(meta)))
            {
                copies.push(Copy {
                    at: at.clone(),
                    etag: meta.etag.clone(),
                    part: *part,
                });
            }
        }
    }
    Ok(copies)
}
