//! Looks at what stands at the sources and the targets, and has the manifest made of it and
//! stored, a page at a time.

use std::collections::BTreeMap;

use super::find::find;
use super::manifest::{Draft, Known, Member};
use super::pages::PAGE;
use super::resume::Present;
use super::route::Route;
use super::set::{self, Object, Set};
use super::trail::{self, Trail};
use crate::action::{OpenBucket, Progress, Reach, Stopped, Subject};
use crate::model::failure::{Disposition, Failure, FailureKind};
use crate::model::moves::keys::{Taken, TakenBy};
use crate::model::moves::{Part, SameJob, Target};
use crate::model::recording::{Extent, Place};
use crate::model::step::{OnConflict, Rename};
use crate::object::{Belongings, Layout, ObjectMeta};

/// What a survey found beside the manifest.
#[derive(Debug)]
pub(super) struct Surveyed {
    /// The object, when it is the only one. Its target was looked at after it, and nothing
    /// stands there.
    pub(super) seen: Option<Belongings>,
}

/// Looks at the recording and at its target, and stores the manifest that carries it from
/// its place to where it is asked to be; `None` when it is there. With `is_taken`, `keep_both`
/// takes the other name at once: a copy has found the target taken.
pub(super) async fn survey(
    reach: &Reach,
    request: &Rename,
    subject: &Subject,
    is_taken: bool,
    progress: &mut dyn Progress,
) -> Result<Option<Surveyed>, Stopped> {
    let from = subject.place()?;
    let (source, target) = (reach.bucket(from)?, reach.bucket(&request.to)?);
    let route = Route {
        from,
        to: &request.to,
        extent: subject.extent,
    };
    route.target(&from.key)?;
    if *from == request.to {
        return Ok(None);
    }
    if source.store.site() != target.store.site() {
        let reason = format!(
            "buckets {:?} and {:?} are not of one endpoint and kind",
            from.bucket, request.to.bucket
        );
        return Err(Failure::new(FailureKind::Unsupported, reason).into());
    }
    let survey = Survey {
        reach,
        source,
        subject,
        route,
        on_conflict: request.on_conflict,
    };
    let surveyed = match request.on_conflict {
        OnConflict::KeepBoth => {
            let to = &route.beside(&request.suffix);
            let route = Route { to, ..route };
            let beside = Survey { route, ..survey };
            if is_taken {
                beside.run(progress).await
            } else {
                survey.run_or(beside, progress).await
            }
        }
        OnConflict::Fail | OnConflict::Overwrite => survey.run(progress).await,
    };
    surveyed.map(Some).map_err(refuse_circle)
}

/// Whether something stands at the target, or another task moves something there.
fn is_occupied(stopped: &Stopped) -> bool {
    match stopped {
        Stopped::Failed { failure, .. } => failure.kind == FailureKind::Conflict,
        Stopped::KeyTaken(_) => true,
        _ => false,
    }
}

/// Two tasks that wait for each other would wait for ever.
fn refuse_circle(stopped: Stopped) -> Stopped {
    match stopped {
        Stopped::KeyTaken(taken) => match *taken {
            Taken {
                key,
                by: TakenBy::Circle(id),
            } => {
                let reason = format!(
                    "{key} holds a recording that {id} is about to move, and {id} waits for this task"
                );
                Failure::new(FailureKind::Conflict, reason).into()
            }
            taken => Stopped::KeyTaken(Box::new(taken)),
        },
        stopped => stopped,
    }
}

/// An object that an earlier playlist of the recording names.
struct Named {
    at: Place,
    /// The same place beside the new playlist.
    beside: Place,
    part: Part,
}

#[derive(Clone, Copy)]
struct Survey<'a> {
    reach: &'a Reach,
    source: &'a OpenBucket,
    subject: &'a Subject,
    route: Route<'a>,
    on_conflict: OnConflict,
}

impl Survey<'_> {
    /// Runs, or where something is at the target, the other one instead.
    async fn run_or(
        self,
        other: Survey<'_>,
        progress: &mut dyn Progress,
    ) -> Result<Surveyed, Stopped> {
        if other.is_begun(progress).await? {
            return other.run(progress).await;
        }
        match self.run(progress).await {
            Err(stopped) if is_occupied(&stopped) => other.run(progress).await,
            surveyed => surveyed,
        }
    }

    /// Looks at a page of the objects after the other: of a long recording, only what its
    /// playlists say is held whole.
    async fn run(&self, progress: &mut dyn Progress) -> Result<Surveyed, Stopped> {
        let Set { objects, playlists } = self.set().await?;
        let is_alone = objects.len() == 1;
        let mut seen = None;
        let (mut draft, known) = self.draft(&objects, &playlists, progress).await?;
        let named = |object: Object| (beside(self.route.from, &object.key), object);
        let mut named = objects.into_iter().skip(known).map(named).peekable();
        loop {
            let page = named.by_ref().take(PAGE as usize).collect();
            let members = self.members(page, &playlists, progress).await?;
            if let ([only], true) = (&*members, is_alone) {
                seen = self.belongings(only).await?;
            }
            self.add(members, &mut draft, progress).await?;
            if named.peek().is_none() {
                break;
            }
            let page = draft.page();
            // Of a page of gaps, nothing may be there.
            if page.is_empty() {
                continue;
            }
            progress.draft(page).await?;
            // Not before it is stored: the next try goes on behind it.
            progress.checkpoint()?;
        }
        let last = draft.finish()?;
        let is_free = last.iter().all(|one| one.target == Target::Absent);
        progress.manifest(last).await?;
        Ok(Surveyed {
            seen: seen.filter(|_| is_free),
        })
    }

    /// A draft with what an earlier try has looked at, and how many objects that are.
    async fn draft(
        &self,
        objects: &[Object],
        playlists: &BTreeMap<String, String>,
        progress: &mut dyn Progress,
    ) -> Result<(Draft<'_>, usize), Stopped> {
        let new = || Draft::new(self.route, self.on_conflict);
        // Fewer have no drafts: their only page puts the manifest in force.
        if objects.len() <= PAGE as usize {
            return Ok((new(), 0));
        }
        let (mut draft, route) = (new(), self.route);
        let present = Present {
            objects,
            playlists,
            route,
        };
        let known = present.take_up(&mut draft, progress).await?;
        Ok(known.map_or_else(|| (new(), 0), |known| (draft, known)))
    }

    /// Whether an earlier try has drafted something of this manifest.
    async fn is_begun(&self, progress: &mut dyn Progress) -> Result<bool, Stopped> {
        if progress.drafts(0..1).await?.is_empty() {
            return Ok(false);
        }
        let Set { objects, playlists } = self.set().await?;
        let (_, known) = self.draft(&objects, &playlists, progress).await?;
        Ok(known > 0)
    }

    async fn set(&self) -> Result<Set, Failure> {
        if self.route.extent == Extent::Object {
            return Ok(Set::single(self.route.from));
        }
        let set = set::members(self.source, self.route.from).await;
        set.map_err(|failure| self.awaited(failure))
    }

    /// The objects that the recording names, each where it is.
    async fn members(
        &self,
        named: Vec<(Place, Object)>,
        playlists: &BTreeMap<String, String>,
        progress: &mut dyn Progress,
    ) -> Result<Vec<Member>, Stopped> {
        let places = || named.iter().map(|(place, _)| place);
        for place in places() {
            self.reach.bucket(place)?;
        }
        let mut found = find(self.reach, places()).await?;
        let is_missing = |place: &&Place| *place != self.route.from && !found.contains_key(*place);
        let missing: Vec<Place> = places().filter(is_missing).cloned().collect();
        let trails = trail::follow(missing, progress).await?;
        found.extend(trail::look(self.reach, &trails).await?);
        let mut members = Vec::with_capacity(named.len());
        for (named, object) in named {
            let moved = trails.get(&named).and_then(|trail| trail.end(&found));
            let at = moved.unwrap_or(&named).clone();
            let Some(meta) = found.get(&at) else {
                if object.may_lack {
                    continue;
                }
                let (config, named) = (&self.source.config, named.to_string());
                return Err(self.subject.absent(config, &named).into());
            };
            let read = playlists.get(&named.key);
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
            });
        }
        Ok(members)
    }

    /// What belongs to the only object that moves; `None` when it keeps everything, as it
    /// is renamed.
    async fn belongings(&self, only: &Member) -> Result<Option<Belongings>, Failure> {
        let store = &self.source.store;
        let stays = only.at.bucket == self.route.to.bucket;
        if stays && store.layout().await? == Layout::FileSystem {
            return Ok(None);
        }
        let rights = store.rights(&only.at.key).await;
        Ok(Some(Belongings {
            attributes: only.meta.attributes.clone(),
            rights: rights.map_err(|failure| self.awaited(failure))?,
        }))
    }

    /// Looks at the members' targets, and drafts their moves.
    async fn add(
        &self,
        members: Vec<Member>,
        draft: &mut Draft<'_>,
        progress: &mut dyn Progress,
    ) -> Result<(), Stopped> {
        let mut targets = Vec::with_capacity(members.len());
        for member in &members {
            let to = self.route.target(&member.named.key)?;
            self.reach.bucket(&to)?;
            targets.push(to);
        }
        let there = self.occupied(&targets, progress).await?;
        draft.aim(&targets);
        let is_set = self.route.extent == Extent::Set;
        let asks = |(member, to): &(&Member, &Place)| {
            there.contains_key(*to) || (is_set && member.named == *self.route.from)
        };
        let ask = members.iter().zip(&targets).filter(asks);
        let ask: Vec<Place> = ask.map(|(member, _)| member.named.clone()).collect();
        let trails = trail::follow(ask, progress).await?;
        let known = Known {
            there: &there,
            trails: &trails,
            holds: if there.contains_key(self.route.to) {
                self.holds(self.route.to, draft).await?
            } else {
                None
            },
        };
        for (member, to) in members.into_iter().zip(targets) {
            draft.add(member, to, &known)?;
        }
        match trails.get(self.route.from) {
            Some(trail) if is_set => self.leave(trail, draft).await,
            _ => Ok(()),
        }
    }

    /// Has the playlist deleted that an earlier task made of what the recording was then: it
    /// would be played without its segments, or be in the way later.
    async fn leave(&self, main: &Trail, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        let main = BTreeMap::from([(self.route.from.clone(), main.within(self.reach))]);
        let found = trail::look(self.reach, &main).await?;
        for trail in main.values() {
            let Some(place) = trail.end(&found) else {
                continue;
            };
            let is_same = draft.fetches
                || (trail.renews(self.holds(place, draft).await?)
                    && (trail.job() == SameJob::Yes || self.took_along(place, draft).await?));
            if is_same {
                draft.leave(place, &found[place].etag);
            }
        }
        Ok(())
    }

    /// Whether the new playlist names all that the playlist at `old` names, at the same places
    /// beside it. If so, it is the same recording, grown. `None` when the recording is no set.
    async fn holds(&self, old: &Place, draft: &Draft<'_>) -> Result<Option<bool>, Failure> {
        if self.route.extent == Extent::Object {
            return Ok(None);
        }
        let named = self.named_by(old).await?;
        let holds = named.is_some_and(|named| draft.holds(named.iter().map(|one| &one.beside)));
        Ok(Some(holds))
    }

    /// Whether it is the same recording also where no job tells: a recorder that appends writes
    /// nothing again that the playlist at `old` names, but playlists.
    async fn took_along(&self, old: &Place, draft: &Draft<'_>) -> Result<bool, Failure> {
        let named = self.named_by(old).await?.unwrap_or_default();
        let mut media = named.iter().filter(|one| one.part != Part::Playlist);
        Ok(media.all(|one| draft.took_along(&one.at, &one.beside)))
    }

    /// What the playlist at `old` names; `None` when it cannot be read.
    async fn named_by(&self, old: &Place) -> Result<Option<Vec<Named>>, Failure> {
        let set = match set::members(self.reach.bucket(old)?, old).await {
            Err(failure) if failure.kind.disposition() == Disposition::Final => return Ok(None),
            set => set?,
        };
        let route = Route {
            from: old,
            ..self.route
        };
        let named = set.objects.iter().map(|object| {
            Some(Named {
                at: beside(old, &object.key),
                beside: route.target(&object.key).ok()?,
                part: object.part,
            })
        });
        Ok(named.collect())
    }

    /// What stands at the targets for longer than the moves of other tasks: what one of them
    /// has put there may yet be taken back.
    async fn occupied(
        &self,
        targets: &[Place],
        progress: &mut dyn Progress,
    ) -> Result<BTreeMap<Place, ObjectMeta>, Stopped> {
        let there = find(self.reach, targets).await?;
        if there.is_empty() {
            return Ok(there);
        }
        let occupied: Vec<Place> = there.into_keys().collect();
        match progress.taken(occupied.clone()).await? {
            Some(taken) => Err(Stopped::KeyTaken(Box::new(taken))),
            // Looked at once more: a move may have been undone between the two questions.
            None => Ok(find(self.reach, &occupied).await?),
        }
    }

    /// Waits for what the recorder has announced and not written yet.
    fn awaited(&self, failure: Failure) -> Failure {
        self.subject.waits(&self.source.config, failure)
    }
}

fn beside(place: &Place, key: &str) -> Place {
    Place {
        bucket: place.bucket.clone(),
        key: key.to_owned(),
    }
}
