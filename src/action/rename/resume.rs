//! Takes up a manifest in the making where an earlier try has left it.
//!
//! What was looked at then is not looked at again: each copy is conditional on the ETag that
//! was found, and its target is looked at directly before. What the recording consists of is
//! read anew. Drafts of another set are left, and the survey begins with its first page.

use std::collections::BTreeMap;

use super::manifest::Draft;
use super::pages::PAGE;
use super::route::Route;
use super::set::Object;
use crate::action::{Progress, Stopped};
use crate::model::moves::Move;
use crate::model::recording::Place;

/// What the recording consists of now.
pub(super) struct Present<'a> {
    pub(super) objects: &'a [Object],
    /// The ETag that each playlist had before it was read.
    pub(super) playlists: &'a BTreeMap<String, String>,
    pub(super) route: Route<'a>,
}

impl Present<'_> {
    /// Adds to an empty draft what an earlier try has drafted; answers how many objects need
    /// not be looked at. `None` when that was another set, or nothing: the draft is of no use.
    pub(super) async fn take_up(
        &self,
        draft: &mut Draft<'_>,
        progress: &mut dyn Progress,
    ) -> Result<Option<usize>, Stopped> {
        let mut next = 0;
        loop {
            let from = draft.count();
            let page = progress.drafts(from..from.saturating_add(PAGE)).await?;
            if page.is_empty() {
                return Ok((next > 0).then_some(next));
            }
            for one in page {
                if one.only_goes() {
                    draft.take_up_going(&one);
                } else if !self.pass_to(&one, &mut next, draft) {
                    return Ok(None);
                }
            }
        }
    }

    /// Passes to the object that a draft moves, from `next` on; whether it is the same one. The
    /// named object is the last one, and is in no draft: the page that has it puts the manifest
    /// in force.
    fn pass_to(&self, one: &Move, next: &mut usize, draft: &mut Draft<'_>) -> bool {
        let end = self.objects.len().saturating_sub(1);
        while let Some(object) = self.objects[..end].get(*next) {
            *next += 1;
            let named = Place {
                bucket: self.route.from.bucket.clone(),
                key: object.key.clone(),
            };
            let Ok(to) = self.route.target(&object.key) else {
                return false;
            };
            if to == one.to {
                let read = self.playlists.get(&object.key);
                draft.take_up(one, &named);
                return read.is_none_or(|etag| *etag == one.etag) && object.part == one.part;
            }
            if named == to {
                draft.stays(&named);
            } else if !object.may_lack {
                return false;
            }
        }
        false
    }
}
