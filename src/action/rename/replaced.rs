//! Decides what `on_conflict: overwrite` may replace. At a set's target: the playlist there, and the
//! objects that belong only to that playlist. At a single object's target: the object there. Neither
//! if another playlist names it, in the same folder or in those above: a rendition is a part of the
//! recording of its master playlist.
//!
//! Recorders give the segments of every recording the same names. So an object at a member's target
//! that is not part of the replaced recording belongs to yet another recording.

use std::collections::{BTreeMap, BTreeSet};

use super::manifest::Draft;
use super::others::{self, Others};
use super::paging::PAGE;
use super::stat::find;
use super::{hls, relative_key};
use crate::action::{Progress, Reach, Stopped};
use crate::model::failure::{Failure, FailureKind};
use crate::model::moves::{Part, Source};
use crate::model::recording::{Extent, Place};
use crate::object::ObjectMeta;

/// The recording at the target of a set or of an object.
pub(super) struct Replaced<'a> {
    reach: &'a Reach,
    /// The place of its playlist, or of the object.
    to: &'a Place,
    extent: Extent,
    /// The ETag of that playlist, if it exists.
    etag: Option<String>,
    /// The objects that it names, by key, or why they are unknown.
    parts: Result<BTreeMap<String, Part>, String>,
    /// Copies left by an earlier try of the same step.
    kept: &'a [Place],
    others: Others,
    /// Whether it may be an earlier version of the recording that moves.
    is_own: bool,
    /// Whether, in addition, that one names all that it names.
    is_grown: bool,
    /// The master playlist of the recording that moves, if that is a rendition.
    master: Option<Place>,
}

impl<'a> Replaced<'a> {
    /// Reads the playlist at the target. `own` are the playlists of the recording that moves.
    pub(super) async fn read(
        reach: &'a Reach,
        to: &'a Place,
        own: impl Iterator<Item = Place>,
        kept: &'a [Place],
    ) -> Result<Self, Failure> {
        let bucket = reach.bucket(to)?;
        let there = bucket.store.head(&to.key).await?;
        let mut own: Vec<Place> = own.chain([to.clone()]).collect();
        let parts = match &there {
            None => Err("there is none".to_owned()),
            Some(there) => match hls::members(bucket, to).await {
                Ok(set) if set.playlists.get(&to.key) != Some(&there.etag) => {
                    return Err(changed(to));
                }
                Ok(set) => {
                    own.extend(set.playlists.keys().map(|key| beside(to, key)));
                    let parts = set.objects.into_iter().map(|one| (one.key, one.part));
                    Ok(parts.filter(|(key, _)| *key != to.key).collect())
                }
                Err(failure) if failure.kind.is_an_answer() => {
                    Err(format!("what it names is not known ({})", failure.reason))
                }
                Err(failure) => return Err(failure),
            },
        };
        Ok(Self {
            reach,
            to,
            extent: Extent::Set,
            etag: there.map(|there| there.etag),
            parts,
            kept,
            others: Others::than(&own),
            is_own: false,
            is_grown: false,
            master: None,
        })
    }

    /// The object at a single object's target, if there is one.
    pub(super) fn object(reach: &'a Reach, to: &'a Place, kept: &'a [Place]) -> Self {
        Self {
            reach,
            to,
            extent: Extent::Object,
            etag: None,
            parts: Err("it is no playlist".to_owned()),
            kept,
            others: Others::than([to]),
            is_own: false,
            is_grown: false,
            master: None,
        }
    }

    /// Notes that it may be an earlier version of the recording that moves.
    pub(super) fn be_own(&mut self) {
        self.is_own = true;
    }

    /// Notes that the recording that moves also names all that it names.
    pub(super) fn be_grown(&mut self) {
        self.is_grown = true;
    }

    /// The ETag of the playlist at the target, if there is one.
    pub(super) fn etag(&self) -> Option<&str> {
        self.etag.as_deref()
    }

    /// Notes the master playlist of the recording that moves. If the target belongs to another
    /// one, that is replaced with the whole recording or not at all.
    pub(super) fn be_of(&mut self, master: Option<&Place>) {
        self.master = master.cloned();
    }

    /// The master playlist of the recording that moves, if the target is a rendition of another
    /// recording.
    pub(super) async fn awaits(&mut self) -> Result<Option<&Place>, Failure> {
        if self.etag.is_none() || self.master.is_none() || self.why_not(self.to).await?.is_none() {
            return Ok(None);
        }
        Ok(self.master.as_ref())
    }

    /// Fails if the playlist at the target has changed since it was read.
    pub(super) fn check(&self, found: Option<&ObjectMeta>) -> Result<(), Failure> {
        let is_same = self.etag.as_ref() == found.map(|found| &found.etag);
        if is_same || self.extent == Extent::Object {
            return Ok(());
        }
        Err(changed(self.to))
    }

    /// Like [`Self::check`], but looks at the target itself: another task may just have changed it.
    pub(super) async fn look_again(&self) -> Result<(), Failure> {
        let store = &self.reach.bucket(self.to)?.store;
        self.check(store.head(&self.to.key).await?.as_ref())
    }

    /// Those of these occupied targets that must not be replaced, and why.
    pub(super) async fn refused(
        &mut self,
        occupied: &[Place],
    ) -> Result<BTreeMap<Place, String>, Failure> {
        let mut refused = BTreeMap::new();
        for place in occupied {
            if let Some(why) = self.why_not(place).await? {
                let replaces = match self.extent {
                    Extent::Set => {
                        format!(
                            "replaces nothing but the playlist at {} and its parts",
                            self.to
                        )
                    }
                    Extent::Object => "replaces no part of a playlist".to_owned(),
                };
                let way_out = match &self.master {
                    Some(master) => format!(
                        "{master} names this recording: move that one, which takes this one along, \
                         then retry this task"
                    ),
                    None => {
                        "Move each recording to a folder of its own, such as one named {{ job_id }}"
                            .to_owned()
                    }
                };
                let reason = format!(
                    "{place} exists already, and on_conflict: overwrite {replaces}: {why}. {way_out}"
                );
                refused.insert(place.clone(), reason);
            }
        }
        Ok(refused)
    }

    async fn why_not(&mut self, place: &Place) -> Result<Option<String>, Failure> {
        let is_main = place == self.to;
        let is_renewed = match self.extent {
            Extent::Set => self.is_grown,
            Extent::Object => self.is_own,
        };
        if self.kept.contains(place) || (is_main && is_renewed) {
            return Ok(None);
        }
        let why = match &self.parts {
            Err(why) if !is_main => why.clone(),
            Ok(parts) if !is_main && !parts.contains_key(&place.key) => {
                "it does not name this object".to_owned()
            }
            _ if !self.is_inside(place) => {
                "this object is outside its folder, where others may name it, too".to_owned()
            }
            _ => {
                let names = match self.extent {
                    Extent::Set => "another playlist names this object, too",
                    Extent::Object => "a playlist names this object",
                };
                let by = self.naming(place).await?;
                return Ok(by.map(|by| format!("{names} ({by})")));
            }
        };
        Ok(Some(why))
    }

    /// Whether an object is in the playlist's folder or below: only there we find others that name
    /// it.
    fn is_inside(&self, place: &Place) -> bool {
        place.bucket == self.to.bucket && place.key.starts_with(relative_key::folder(&self.to.key))
    }

    /// Another playlist that names an object.
    async fn naming(&mut self, place: &Place) -> Result<Option<&Place>, Failure> {
        let folders = others::folders(self.to, place);
        self.look_near(folders).await?;
        Ok(self.others.naming(place))
    }

    /// Reads the playlists that may name objects in these folders. The master playlist of an
    /// earlier version is also that of the grown one, and names the same objects.
    async fn look_near(&mut self, folders: BTreeSet<Place>) -> Result<(), Failure> {
        let tops = if self.is_grown {
            BTreeSet::new()
        } else {
            BTreeSet::from([self.to.clone()])
        };
        self.others.look_near(self.reach, &tops, folders).await
    }

    /// Drafts the deletion of objects that the replaced playlist names and no object of the
    /// recording replaces: otherwise they would remain without an owner. Keeps objects that others
    /// may name, or that may belong to the recording itself.
    pub(super) async fn drop_rest(
        &mut self,
        draft: &mut Draft<'_>,
        progress: &mut dyn Progress,
    ) -> Result<(), Stopped> {
        let Ok(parts) = &mut self.parts else {
            return Ok(());
        };
        let rest = std::mem::take(parts).into_iter();
        let mut rest: Vec<(Place, Part)> = rest
            .map(|(key, part)| (beside(self.to, &key), part))
            .filter(|(place, _)| self.reach.bucket(place).is_ok())
            .collect();
        draft.keep_untouched(&mut rest);
        let is_known = self.look_around(&rest).await?;
        for page in rest.chunks(PAGE as usize) {
            let found = find(self.reach, page.iter().map(|(place, _)| place)).await?;
            for (place, part) in page {
                let Some(meta) = found.get(place) else {
                    continue;
                };
                if draft.is_full() {
                    progress.draft(draft.page()).await?;
                    progress.checkpoint()?;
                }
                draft.let_go(place, &meta.etag, *part, self.source(place, is_known));
            }
        }
        Ok(())
    }

    /// Looks for other playlists that may name these objects. Returns whether that was possible.
    async fn look_around(&mut self, rest: &[(Place, Part)]) -> Result<bool, Failure> {
        let inside = rest.iter().filter(|(place, _)| self.is_inside(place));
        let folders: BTreeSet<Place> = inside
            .flat_map(|(place, _)| others::folders(self.to, place))
            .collect();
        match self.look_near(folders).await {
            Err(failure) if failure.kind.is_an_answer() => Ok(false),
            looked => looked.map(|()| true),
        }
    }

    /// What happens to an object that nothing replaces.
    fn source(&self, place: &Place, is_known: bool) -> Source {
        if self.is_own || !is_known || !self.is_inside(place) {
            Source::Stays
        } else if self.others.name(place) {
            Source::Shared
        } else {
            Source::Goes
        }
    }
}

fn changed(to: &Place) -> Failure {
    let reason = format!("{to} changed while it was read");
    Failure::new(FailureKind::SourceChanged, reason)
}

fn beside(place: &Place, key: &str) -> Place {
    Place {
        bucket: place.bucket.clone(),
        key: key.to_owned(),
    }
}
