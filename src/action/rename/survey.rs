//! Inspects sources and targets, and stores the manifest page by page.

use std::collections::{BTreeMap, BTreeSet};

use super::earlier_moves::{self, EarlierMoves};
use super::give_up::Kept;
use super::hls::{self, Elsewhere, HlsSet, Object};
use super::manifest::{Draft, Known};
use super::members::{self, Finder, Member};
use super::others::{self, Others};
use super::outdated;
use super::paging::PAGE;
use super::replaced::Replaced;
use super::resume::Present;
use super::route::Route;
use super::stat::find;
use crate::action::{ActionSubject, OpenBucket, Progress, Reach, Stopped};
use crate::model::failure::{Failure, FailureKind};
use crate::model::moves::keys::{Taken, TakenBy};
use crate::model::moves::{MadeBy, Part, SameOrigin, Source, Target, Targets};
use crate::model::recording::{Extent, Place};
use crate::model::step::{OnConflict, Rename};
use crate::object::{Extras, Layout, ObjectMeta};

#[derive(Debug)]
pub(super) struct Surveyed {
    /// Attributes and rights of a single object whose target was empty afterwards.
    pub(super) seen: Option<Extras>,
}

/// Results of earlier looks and tries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Again<'a> {
    /// Whether `keep_both` uses the alternative target: a copy found the target taken.
    pub(super) is_taken: bool,
    /// Copies left by an earlier manifest of the step.
    pub(super) kept: &'a Kept,
}

/// Inspects the recording and its target, and stores the manifest that moves it there or to the
/// alternative target; `None` when it is already at one of them.
pub(super) async fn survey(
    reach: &Reach,
    request: &Rename,
    subject: &ActionSubject,
    again: Again<'_>,
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
    let keeps_both = request.on_conflict == OnConflict::KeepBoth;
    let targets = Targets {
        asked: request.to.clone(),
        other_name: keeps_both.then(|| route.beside(&request.suffix)),
    };
    if targets.have(from) {
        return Ok(None);
    }
    if source.store.copy_domain() != target.store.copy_domain() {
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
        kept: again.kept,
    };
    let surveyed = match &targets.other_name {
        Some(to) => {
            let route = Route { to, ..route };
            let beside = Survey { route, ..survey };
            if again.is_taken {
                beside.run(progress).await
            } else {
                survey.run_or(beside, progress).await
            }
        }
        None => survey.run(progress).await,
    };
    surveyed.map(Some).map_err(refuse_circle)
}

/// Whether an object is at the target, or another task is moving one there.
fn is_occupied(stopped: &Stopped) -> bool {
    match stopped {
        Stopped::Failed { failure, .. } => failure.kind == FailureKind::Conflict,
        Stopped::KeyTaken(_) => true,
        _ => false,
    }
}

/// Fails instead of waiting when two tasks would wait for each other.
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
    /// The object's place relative to the new playlist.
    beside: Place,
    part: Part,
}

#[derive(Clone, Copy)]
struct Survey<'a> {
    reach: &'a Reach,
    source: &'a OpenBucket,
    subject: &'a ActionSubject,
    route: Route<'a>,
    on_conflict: OnConflict,
    kept: &'a Kept,
}

impl Survey<'_> {
    /// Surveys this target; if it is occupied, surveys `other` instead.
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

    /// Inspects the objects page by page. Of all pages, only the list of objects is kept in memory.
    async fn run(&self, progress: &mut dyn Progress) -> Result<Surveyed, Stopped> {
        let HlsSet { objects, playlists } = self.set(progress).await?;
        let is_alone = objects.len() == 1;
        let mut seen = None;
        let (mut draft, known) = self.draft(&objects, &playlists, progress).await?;
        for object in &objects {
            // Optional objects may have no valid target.
            if let Ok(to) = self.route.target(&object.key) {
                draft.aim(&to);
            }
        }
        let mut beside = self.beside(&objects, &playlists, &draft, progress).await?;
        let mut replaced = self.replaced(&playlists, &draft, &beside, progress).await?;
        let finder = self.finder(playlists);
        let named = |object: Object| (at_key(self.route.from, &object.key), object);
        let mut named = objects.into_iter().skip(known).map(named).peekable();
        loop {
            let page = named.by_ref().take(PAGE as usize).collect();
            let mut members = finder.members(page, progress).await?;
            if let ([only], true) = (&*members, is_alone) {
                seen = self.extras(only).await?;
            }
            beside.share(self.reach, &mut members).await?;
            let replaced = replaced.as_mut();
            self.add(members, &mut draft, replaced, progress).await?;
            if named.peek().is_none() {
                break;
            }
            let page = draft.page();
            // A page of gaps may have no objects.
            if page.is_empty() {
                continue;
            }
            progress.draft(page).await?;
            // After storing the page, so that the next try continues behind it.
            progress.checkpoint()?;
        }
        if let Some(replaced) = &mut replaced {
            replaced.drop_rest(&mut draft, progress).await?;
        }
        let last = draft.finish()?;
        let is_free = last.iter().all(|one| one.target == Target::Absent);
        progress.manifest(last).await?;
        Ok(Surveyed {
            seen: seen.filter(|_| is_free),
        })
    }

    /// A draft with the objects that an earlier try inspected, and their number.
    async fn draft(
        &self,
        objects: &[Object],
        playlists: &BTreeMap<String, String>,
        progress: &mut dyn Progress,
    ) -> Result<(Draft<'_>, usize), Stopped> {
        let new = || Draft::new(self.route, self.on_conflict);
        // A single page is never stored as a draft: it puts the manifest in force.
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

    /// Whether an earlier try drafted part of this manifest.
    async fn is_begun(&self, progress: &mut dyn Progress) -> Result<bool, Stopped> {
        if progress.drafts(0..1).await?.is_empty() {
            return Ok(false);
        }
        let HlsSet { objects, playlists } = self.set(progress).await?;
        let (_, known) = self.draft(&objects, &playlists, progress).await?;
        Ok(known > 0)
    }

    async fn set(&self, progress: &mut dyn Progress) -> Result<HlsSet, Stopped> {
        if self.route.extent == Extent::Object {
            return Ok(HlsSet::single(self.route.from));
        }
        let mut elsewhere = Elsewhere::new();
        loop {
            let fault = |key: &str| self.route.fault(key);
            let walked = hls::walk(self.source, self.route.from, &elsewhere, &fault).await;
            let (failure, missing) = match walked {
                Ok(set) => return Ok(set),
                Err(unread) => unread,
            };
            let found = self.elsewhere(&missing, progress).await?;
            let known = elsewhere.len();
            elsewhere.extend(found);
            if elsewhere.len() == known {
                let failure = self.awaited(failure);
                let explained = match missing.into_iter().next() {
                    Some(missing) => members::explain(failure, missing, progress).await?,
                    None => failure,
                };
                return Err(explained.into());
            }
        }
    }

    /// The current places of these playlists of the set, where tasks moved them.
    async fn elsewhere(
        &self,
        missing: &[Place],
        progress: &mut dyn Progress,
    ) -> Result<Elsewhere, Stopped> {
        let missing = missing.iter().filter(|place| *place != self.route.from);
        let missing: Vec<Place> = missing.cloned().collect();
        let finder = self.finder(BTreeMap::new());
        let found = finder.playlists(missing, progress);
        let at = |(named, at): (Place, Place)| {
            let bucket = self.reach.bucket(&at).ok()?.clone();
            Some((named.key, (bucket, at.key)))
        };
        Ok(found.await?.into_iter().filter_map(at).collect())
    }

    fn finder(&self, playlists: BTreeMap<String, String>) -> Finder<'_> {
        Finder {
            reach: self.reach,
            subject: self.subject,
            source: self.source,
            main: self.route.from,
            playlists,
        }
    }

    /// The other playlists near the recording's place and its earlier places.
    async fn beside(
        &self,
        objects: &[Object],
        playlists: &BTreeMap<String, String>,
        draft: &Draft<'_>,
        progress: &mut dyn Progress,
    ) -> Result<Beside, Stopped> {
        let main = self.route.from;
        if self.route.extent == Extent::Object {
            return Ok(Beside::default());
        }
        let trails = earlier_moves::follow(vec![main.clone()], progress).await?;
        let within = |earlier_moves: EarlierMoves| (main.clone(), earlier_moves.within(self.reach));
        let trails: BTreeMap<Place, EarlierMoves> = trails.into_values().map(within).collect();
        let outdated = self.outdated(&trails, draft).await?;
        let own = playlists.keys().map(|key| at_key(main, key));
        // A playlist of this recording at the target is an earlier version, and will be replaced.
        let is_renewed = |earlier_moves: &EarlierMoves| {
            !earlier_moves.is_of_another() && earlier_moves.leads_to(self.route.to)
        };
        let renewed = trails.values().any(is_renewed);
        let renewed = renewed.then(|| self.route.to.clone());
        let own: Vec<Place> = own.chain(outdated).chain(renewed).collect();
        let earlier = trails.values().flat_map(EarlierMoves::places).cloned();
        let mut beside = Beside {
            others: Others::than(&own),
            tops: earlier.chain([main.clone()]).collect(),
        };
        let objects = objects.iter().map(|object| at_key(main, &object.key));
        let moves = |object: &Place| object == main || !self.route.stays_in_folder();
        let folders = objects
            .filter(moves)
            .flat_map(|at| others::folders(main, &at));
        let (folders, tops) = (folders.collect(), BTreeSet::from([main.clone()]));
        beside.others.look_near(self.reach, &tops, folders).await?;
        Ok(beside)
    }

    /// The recording that `overwrite` replaces; `None` with another `on_conflict`.
    async fn replaced(
        &self,
        playlists: &BTreeMap<String, String>,
        draft: &Draft<'_>,
        beside: &Beside,
        progress: &mut dyn Progress,
    ) -> Result<Option<Replaced<'_>>, Stopped> {
        if self.on_conflict != OnConflict::Overwrite {
            return Ok(None);
        }
        let (to, kept) = (self.route.to, &*self.kept.places);
        if self.route.extent == Extent::Object {
            return Ok(Some(Replaced::object(self.reach, to, kept)));
        }
        let own = playlists.keys().map(|key| at_key(self.route.from, key));
        let mut replaced = Replaced::read(self.reach, to, own, kept).await?;
        if let Some(etag) = replaced.etag()
            && self.may_be_earlier_version(etag, progress).await?
        {
            replaced.be_own();
            if self.holds(to, draft).await? {
                replaced.be_grown();
            }
        }
        replaced.be_of(beside.others.naming(self.route.from));
        self.wait_for_master(&mut replaced).await?;
        Ok(Some(replaced))
    }

    /// Whether the playlist at the target may be an earlier version of this one: a task of this key
    /// put it there, and not for another recording, or a task of the same job took it along.
    async fn may_be_earlier_version(
        &self,
        etag: &str,
        progress: &mut dyn Progress,
    ) -> Result<bool, Stopped> {
        let from = vec![self.route.from.clone()];
        let trails = earlier_moves::follow(from.clone(), progress).await?;
        if trails.values().any(|main| self.is_own(main, Some(etag))) {
            return Ok(true);
        }
        let made = progress.made_from(from).await?;
        let is_it =
            |made: &MadeBy| made.origin <= SameOrigin::Likely && made.put(self.route.to, etag);
        Ok(made.iter().any(is_it))
    }

    /// A rendition whose target is a part of another recording waits for its own master playlist,
    /// which takes it along and replaces that recording whole.
    async fn wait_for_master(&self, replaced: &mut Replaced<'_>) -> Result<(), Stopped> {
        if !self.subject.is_awaited(&self.source.config) {
            return Ok(());
        }
        let Some(master) = replaced.awaits().await? else {
            return Ok(());
        };
        let reason = format!(
            "{} is a part of another recording, which is replaced only as a whole: waits for {master} \
             to be moved, which takes this one along",
            self.route.to
        );
        Err(Failure::new(FailureKind::NotThereYet, reason).into())
    }

    /// The playlist under its earlier name, if the new one names everything that it names.
    async fn outdated(
        &self,
        trails: &BTreeMap<Place, EarlierMoves>,
        draft: &Draft<'_>,
    ) -> Result<Option<Place>, Stopped> {
        let found = earlier_moves::look(self.reach, trails).await?;
        for earlier_moves in trails.values() {
            if let Some(place) = earlier_moves.end(&found)
                && earlier_moves.renews(Some(self.holds(place, draft).await?))
            {
                return Ok(Some(place.clone()));
            }
        }
        Ok(None)
    }

    /// Attributes and rights of the only object that moves; `None` for a rename, which keeps them.
    async fn extras(&self, only: &Member) -> Result<Option<Extras>, Failure> {
        let store = &self.source.store;
        let stays = only.at.bucket == self.route.to.bucket;
        if stays && store.layout().await? == Layout::FileSystem {
            return Ok(None);
        }
        let rights = store.rights(&only.at.key).await;
        Ok(Some(Extras {
            attributes: only.meta.attributes.clone(),
            rights: rights.map_err(|failure| self.awaited(failure))?,
        }))
    }

    async fn add(
        &self,
        members: Vec<Member>,
        draft: &mut Draft<'_>,
        replaced: Option<&mut Replaced<'_>>,
        progress: &mut dyn Progress,
    ) -> Result<(), Stopped> {
        let mut targets = Vec::with_capacity(members.len());
        for member in &members {
            let to = self.route.target(&member.named.key)?;
            self.reach.bucket(&to)?;
            targets.push(to);
        }
        let mut there = find(self.reach, &targets).await?;
        let twins = self.twins(&members, &targets, &there, progress).await?;
        self.refresh(&mut there, &twins, progress).await?;
        let is_set = self.route.extent == Extent::Set;
        let asks = |(member, to): &(&Member, &Place)| {
            there.contains_key(*to) || (is_set && member.named == *self.route.from)
        };
        let ask = members.iter().zip(&targets).filter(asks);
        let ask: Vec<Place> = ask.map(|(member, _)| member.named.clone()).collect();
        let trails = earlier_moves::follow(ask, progress).await?;
        let holds = if there.contains_key(self.route.to) {
            Some(self.holds(self.route.to, draft).await?)
        } else {
            None
        };
        let mut refused = BTreeMap::new();
        if let Some(replaced) = replaced {
            if members.iter().any(|one| one.named == *self.route.from) {
                let found = there.get(self.route.to);
                replaced.check(found)?;
                let main = trails.get(self.route.from);
                let etag = found.map(|found| &*found.etag);
                if main.is_some_and(|main| self.is_own(main, etag)) {
                    replaced.be_own();
                }
            }
            let is_occupied = |(member, to): &(&Member, &Place)| {
                member.at != **to && there.contains_key(*to) && !twins.contains(*to)
            };
            let occupied = members.iter().zip(&targets).filter(is_occupied);
            let occupied: Vec<Place> = occupied.map(|(_, to)| to.clone()).collect();
            refused = self.refused(replaced, occupied, progress).await?;
        }
        let known = Known {
            there: &there,
            trails: &trails,
            twins: &twins,
            holds,
            refused: &refused,
            replaced: &self.kept.replaced,
        };
        for (member, to) in members.into_iter().zip(targets) {
            draft.add(member, to, &known)?;
        }
        match trails.get(self.route.from) {
            Some(earlier_moves) if is_set => self.leave(earlier_moves, draft, progress).await,
            _ => Ok(()),
        }
    }

    /// The targets where `overwrite` must not replace the object, and why. If another task is using
    /// such a target, or has changed it since the playlist there was read, the step waits or starts
    /// over.
    async fn refused(
        &self,
        replaced: &mut Replaced<'_>,
        mut occupied: Vec<Place>,
        progress: &mut dyn Progress,
    ) -> Result<BTreeMap<Place, String>, Stopped> {
        let refused = replaced.refused(&occupied).await?;
        if !refused.is_empty() {
            occupied.push(self.route.to.clone());
            if let Some(taken) = progress.taken(occupied).await? {
                return Err(Stopped::KeyTaken(Box::new(taken)));
            }
            replaced.look_again().await?;
        }
        Ok(refused)
    }

    /// Whether the object at the target may be an earlier version of the recording: an earlier task
    /// of the recording put it there, and not for another one under its key.
    fn is_own(&self, main: &EarlierMoves, etag: Option<&str>) -> bool {
        main.leads_to(self.route.to)
            && etag.is_some_and(|etag| main.has_made(etag))
            && !main.is_of_another()
    }

    /// Drafts the deletion of the playlist that an earlier task made of the recording as it was then,
    /// and of the copies next to it that the recording no longer uses: without its segments it
    /// cannot be played, and all of them could block a later move.
    async fn leave(
        &self,
        main: &EarlierMoves,
        draft: &mut Draft<'_>,
        progress: &mut dyn Progress,
    ) -> Result<(), Stopped> {
        let main = BTreeMap::from([(self.route.from.clone(), main.within(self.reach))]);
        let found = earlier_moves::look(self.reach, &main).await?;
        for earlier_moves in main.values() {
            let Some(place) = earlier_moves.end(&found) else {
                continue;
            };
            let is_same = draft.fetches
                || (earlier_moves.renews(Some(self.holds(place, draft).await?))
                    && (earlier_moves.origin() == SameOrigin::Yes
                        || self.took_along(place, draft).await?));
            if is_same {
                draft.leave(place, &found[place].etag);
                self.leave_copies(place, draft, progress).await?;
            }
        }
        Ok(())
    }

    async fn leave_copies(
        &self,
        old: &Place,
        draft: &mut Draft<'_>,
        progress: &mut dyn Progress,
    ) -> Result<(), Stopped> {
        let named = self.named_by(old).await?.unwrap_or_default().into_iter();
        let mut rest: Vec<(Place, Part)> = named
            .map(|one| (one.at, one.part))
            .filter(|(at, _)| self.reach.bucket(at).is_ok() && at != old)
            .collect();
        draft.keep_untouched(&mut rest);
        let back = Route {
            from: old,
            to: self.route.from,
            ..self.route
        };
        for copy in outdated::copies(self.reach, back, &rest, progress).await? {
            if draft.is_full() {
                progress.draft(draft.page()).await?;
                progress.checkpoint()?;
            }
            draft.let_go(&copy.at, &copy.etag, copy.part, Source::Goes);
        }
        Ok(())
    }

    /// Whether the new playlist names everything that the playlist at `old` names, at the same
    /// relative places. If so, it may be the same recording, grown. A single object never grows.
    async fn holds(&self, old: &Place, draft: &Draft<'_>) -> Result<bool, Failure> {
        if self.route.extent == Extent::Object {
            return Ok(false);
        }
        let named = self.named_by(old).await?;
        Ok(named.is_some_and(|named| draft.holds(named.iter().map(|one| &one.beside))))
    }

    /// Whether it is the same recording, for events without a job or a start: a recorder that
    /// appends does not write media again that the playlist at `old` names.
    async fn took_along(&self, old: &Place, draft: &Draft<'_>) -> Result<bool, Failure> {
        let named = self.named_by(old).await?.unwrap_or_default();
        let mut media = named.iter().filter(|one| one.part != Part::Playlist);
        Ok(media.all(|one| draft.took_along(&one.at, &one.beside)))
    }

    /// The objects that the playlist at `old` names; `None` when it cannot be read.
    async fn named_by(&self, old: &Place) -> Result<Option<Vec<Named>>, Failure> {
        let set = match hls::members(self.reach.bucket(old)?, old).await {
            Err(failure) if failure.kind.is_an_answer() => return Ok(None),
            set => set?,
        };
        let route = Route {
            from: old,
            ..self.route
        };
        let named = set.objects.iter().map(|object| {
            Some(Named {
                at: at_key(old, &object.key),
                beside: route.target(&object.key).ok()?,
                part: object.part,
            })
        });
        Ok(named.collect())
    }

    /// The targets that hold another recording's copy of the same object.
    async fn twins(
        &self,
        members: &[Member],
        targets: &[Place],
        there: &BTreeMap<Place, ObjectMeta>,
        progress: &mut dyn Progress,
    ) -> Result<BTreeSet<Place>, Stopped> {
        let may_be = |(member, to): &(&Member, &Place)| {
            there.contains_key(*to) && member.named != *self.route.from && member.at == member.named
        };
        let members = || members.iter().zip(targets).filter(may_be);
        let named: Vec<Place> = members().map(|(member, _)| member.named.clone()).collect();
        if self.route.extent == Extent::Object || named.is_empty() {
            return Ok(BTreeSet::new());
        }
        let made = progress.made_from(named).await?;
        let is_twin = |(member, to): &(&Member, &Place)| {
            let copy = (*to, &*there[*to].etag);
            let mut made = made.iter().filter(|made| made.one.from == member.named);
            made.any(|made| made.made(&member.meta.etag, copy))
        };
        Ok(members()
            .filter(is_twin)
            .map(|(_, to)| to.clone())
            .collect())
    }

    /// Waits for other tasks that are moving objects to occupied targets: they may still undo their
    /// moves. Twins are only read, so they need no wait.
    async fn refresh(
        &self,
        there: &mut BTreeMap<Place, ObjectMeta>,
        twins: &BTreeSet<Place>,
        progress: &mut dyn Progress,
    ) -> Result<(), Stopped> {
        let occupied = there.keys().filter(|place| !twins.contains(*place));
        let occupied: Vec<Place> = occupied.cloned().collect();
        if occupied.is_empty() {
            return Ok(());
        }
        if let Some(taken) = progress.taken(occupied.clone()).await? {
            return Err(Stopped::KeyTaken(Box::new(taken)));
        }
        // Look again: a move may have been undone between the two queries.
        there.retain(|place, _| twins.contains(place));
        there.extend(find(self.reach, &occupied).await?);
        Ok(())
    }

    /// Waits for objects that the recorder has announced but not yet written.
    fn awaited(&self, failure: Failure) -> Failure {
        self.subject.waits(&self.source.config, failure)
    }
}

/// The other playlists near a recording.
#[derive(Debug, Default)]
struct Beside {
    others: Others,
    /// Current and earlier places of the recording's playlist.
    tops: Vec<Place>,
}

impl Beside {
    /// Keeps the sources of members that other playlists name.
    async fn share(&mut self, reach: &Reach, members: &mut [Member]) -> Result<(), Failure> {
        for member in members {
            let is_fetched = member.at != member.named;
            if is_fetched && member.source == Source::Goes {
                let folders = self.tops.iter().map(|top| others::folders(top, &member.at));
                for folder in folders.flatten().collect::<BTreeSet<Place>>() {
                    self.others.look(reach, folder).await?;
                }
            }
            if member.source == Source::Goes && self.others.name(&member.at) {
                member.source = if is_fetched {
                    Source::Stays
                } else {
                    Source::Shared
                };
            }
        }
        Ok(())
    }
}

fn at_key(place: &Place, key: &str) -> Place {
    Place {
        bucket: place.bucket.clone(),
        key: key.to_owned(),
    }
}
