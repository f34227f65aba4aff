//! Finds the objects of a recording: where its playlists name them, or where a task has moved them
//! since.

use std::collections::BTreeMap;

use super::earlier_moves::{self, EarlierMoves};
use super::hls::Object;
use super::stat::find;
use crate::action::{ActionSubject, OpenBucket, Progress, Reach, Stopped};
use crate::model::failure::{Failure, FailureKind};
use crate::model::moves::{Part, Source};
use crate::model::recording::Place;
use crate::object::ObjectMeta;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// The place that the playlist names.
    pub(super) named: Place,
    /// The current place: another one if a task moved the object.
    pub(super) at: Place,
    pub(super) part: Part,
    pub(super) meta: ObjectMeta,
    /// What happens to the object at its current place.
    pub(super) source: Source,
}

pub(super) struct Finder<'a> {
    pub(super) reach: &'a Reach,
    pub(super) subject: &'a ActionSubject,
    /// The bucket of the original recording.
    pub(super) source: &'a OpenBucket,
    pub(super) main: &'a Place,
    pub(super) playlists: BTreeMap<String, String>,
}

impl Finder<'_> {
    /// The objects that the recording names, with their current places.
    pub(super) async fn members(
        &self,
        named: Vec<(Place, Object)>,
        progress: &mut dyn Progress,
    ) -> Result<Vec<Member>, Stopped> {
        let places = || named.iter().map(|(place, _)| place);
        for place in places() {
            self.reach.bucket(place)?;
        }
        let mut found = find(self.reach, places()).await?;
        let is_missing = |place: &&Place| *place != self.main && !found.contains_key(*place);
        let missing = named.iter().filter(|(place, _)| is_missing(&place));
        let missing: Vec<(Place, Part)> = missing
            .map(|(place, object)| (place.clone(), object.part))
            .collect();
        let moved = self.moved(missing, &mut found, progress).await?;
        let mut members = Vec::with_capacity(named.len());
        for (named, object) in named {
            let (at, source) = match moved.get(&named) {
                None => (named.clone(), Source::Goes),
                Some(Moved::To(at, source)) => (at.clone(), *source),
                Some(Moved::Nowhere(_)) if object.may_lack => continue,
                Some(Moved::Nowhere(by)) => return Err(self.absent(&named, by.as_ref()).into()),
            };
            // An optional object is not copied from another recording.
            if object.may_lack && source == Source::Stays {
                continue;
            }
            let Some(meta) = found.get(&at) else {
                return Err(self.absent(&named, None).into());
            };
            let read = self.playlists.get(&named.key);
            if read.is_some_and(|etag| *etag != meta.etag) {
                let reason = format!("{named} changed while it was read");
                return Err(Failure::new(FailureKind::SourceChanged, reason).into());
            }
            let meta = meta.clone();
            members.push(Member {
                named,
                at,
                part: object.part,
                meta,
                source,
            });
        }
        Ok(members)
    }

    /// Where tasks have moved missing playlists. Empty while the recorder may still write them: the
    /// moved ones may be older versions.
    pub(super) async fn playlists(
        &self,
        missing: Vec<Place>,
        progress: &mut dyn Progress,
    ) -> Result<BTreeMap<Place, Place>, Stopped> {
        if missing.is_empty() || self.may_yet_come() {
            return Ok(BTreeMap::new());
        }
        let missing = missing.into_iter().map(|place| (place, Part::Playlist));
        let mut found = BTreeMap::new();
        let moved = self.moved(missing.collect(), &mut found, progress);
        let at = |(named, moved)| match moved {
            Moved::To(at, _) => Some((named, at)),
            Moved::Nowhere(_) => None,
        };
        Ok(moved.await?.into_iter().filter_map(at).collect())
    }

    /// The current places of missing objects. One that an earlier task of this recording moved
    /// belongs to it, and moves on. One that a task of another recording took along, and that may
    /// be shared, is copied, but only once the recorder has had time to write it.
    async fn moved(
        &self,
        missing: Vec<(Place, Part)>,
        found: &mut BTreeMap<Place, ObjectMeta>,
        progress: &mut dyn Progress,
    ) -> Result<BTreeMap<Place, Moved>, Stopped> {
        let places = missing.iter().map(|(place, _)| place.clone());
        let mut own = earlier_moves::follow(places.collect(), progress).await?;
        own.retain(|_, earlier_moves| !earlier_moves.is_of_another());
        found.extend(earlier_moves::look(self.reach, &own).await?);
        let mut moved = BTreeMap::new();
        let mut lost = Vec::new();
        for (named, part) in missing {
            match own
                .get(&named)
                .and_then(|earlier_moves| earlier_moves.end(found))
            {
                Some(at) => {
                    moved.insert(named, Moved::To(at.clone(), Source::Goes));
                }
                None => lost.push((named, part)),
            }
        }
        let trails = earlier_moves::follow_all(lost, progress).await?;
        let reached: BTreeMap<Place, EarlierMoves> = trails
            .into_iter()
            .map(|(named, earlier_moves)| (named, earlier_moves.within(self.reach)))
            .collect();
        found.extend(earlier_moves::look(self.reach, &reached).await?);
        for (named, earlier_moves) in reached {
            let end = earlier_moves.end(found).filter(|_| !self.may_yet_come());
            let at = match end {
                Some(at) => Moved::To(at.clone(), Source::Stays),
                None => Moved::Nowhere(earlier_moves.taken_by()),
            };
            moved.insert(named, at);
        }
        Ok(moved)
    }

    /// Whether the recorder may still write missing objects.
    fn may_yet_come(&self) -> bool {
        self.subject.is_awaited(&self.source.config)
    }

    /// The failure for an object named at `place` that is nowhere.
    fn absent(&self, place: &Place, by: Option<&String>) -> Failure {
        let absent = self.subject.absent(&self.source.config, &place.to_string());
        explained(absent, by)
    }
}

/// Adds to a failure which task moved away the missing object at `place`.
pub(super) async fn explain(
    failure: Failure,
    place: Place,
    progress: &mut dyn Progress,
) -> Result<Failure, Stopped> {
    let trails = earlier_moves::follow_all(vec![(place, Part::Playlist)], progress).await?;
    let by = trails.values().find_map(EarlierMoves::taken_by);
    Ok(explained(failure, by.as_ref()))
}

/// The current place of an object that is not where it is named.
enum Moved {
    To(Place, Source),
    /// With the task that moved it away, if any.
    Nowhere(Option<String>),
}

fn explained(failure: Failure, by: Option<&String>) -> Failure {
    let Some(by) = by else {
        return failure;
    };
    let reason = format!("{}; {by}", failure.reason);
    Failure { reason, ..failure }
}
