//! Continues a manifest in the making from an earlier try.
//!
//! Inspected objects are not inspected again: each copy has the found ETag as a precondition, and
//! looks at its target directly before. The list of objects is read anew. If the drafts are for a
//! different set, they are dropped and the survey starts from the first page.

use std::collections::BTreeMap;

use super::hls::Object;
use super::manifest::Draft;
use super::paging::PAGE;
use super::route::Route;
use crate::action::{Progress, Stopped};
use crate::model::moves::Move;
use crate::model::recording::Place;

pub(super) struct Present<'a> {
    pub(super) objects: &'a [Object],
    pub(super) playlists: &'a BTreeMap<String, String>,
    pub(super) route: Route<'a>,
}

impl Present<'_> {
    /// Adds an earlier try's drafts to an empty draft. Returns how many objects are already
    /// inspected; `None` if there was nothing, or a different set: then the draft is useless.
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

    /// Advances from `next` to the object that a draft moves. Returns whether it is the same
    /// object. The named object is last and never drafted: its page puts the manifest in force.
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
