//! Decides which object moves where: the manifest of a rename.
//!
//! Pure: the result depends only on the objects at sources and targets and on earlier moves.
//! `survey` looks, this decides.

use std::collections::{BTreeMap, BTreeSet};

use super::earlier_moves::EarlierMoves;
use super::members::Member;
use super::overlap::Overlap;
use super::paging::PAGE;
use super::route::Route;
use crate::model::failure::{Failure, FailureKind};
use crate::model::moves::{Move, MovePhase, Part, Source, Target};
use crate::model::recording::Place;
use crate::model::step::OnConflict;
use crate::object::ObjectMeta;

/// What is known in addition to the members.
#[derive(Debug)]
pub(super) struct Known<'a> {
    /// The objects at the targets.
    pub(super) there: &'a BTreeMap<Place, ObjectMeta>,
    /// Where earlier tasks moved the object named at each place.
    pub(super) trails: &'a BTreeMap<Place, EarlierMoves>,
    /// Targets that hold another recording's copy of the same object.
    pub(super) twins: &'a BTreeSet<Place>,
    /// Whether the new playlist names everything that the old one at its target names, if known.
    pub(super) holds: Option<bool>,
    /// Targets where `overwrite` must not replace the object, and why.
    pub(super) refused: &'a BTreeMap<Place, String>,
    /// Targets where copies of an earlier manifest of the step have replaced an object.
    pub(super) replaced: &'a BTreeSet<Place>,
}

/// A manifest in the making. Only one page is in memory.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    route: Route<'a>,
    on_conflict: OnConflict,
    /// Number of moves on earlier pages.
    count: u32,
    page: Vec<Move>,
    /// The move of the named object, always the last one.
    main: Option<Move>,
    overlap: Overlap,
    /// Final places of the members.
    targets: BTreeSet<[u8; 16]>,
    /// Those of `targets` whose members earlier tasks moved there.
    moved: BTreeSet<[u8; 16]>,
    /// Places that members move away from.
    leaves: BTreeSet<[u8; 16]>,
    /// Whether a segment is taken from a place where an earlier task put it.
    pub(super) fetches: bool,
    /// A move that only deletes the playlist of an earlier state of the recording.
    outdated: Option<Move>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(route: Route<'a>, on_conflict: OnConflict) -> Self {
        Self {
            route,
            on_conflict,
            count: 0,
            page: Vec::new(),
            main: None,
            overlap: Overlap::default(),
            targets: BTreeSet::new(),
            moved: BTreeSet::new(),
            leaves: BTreeSet::new(),
            fetches: false,
            outdated: None,
        }
    }

    /// Notes a member's final place, before any member is added.
    pub(super) fn aim(&mut self, target: &Place) {
        self.targets.insert(target.digest());
    }

    /// Whether all these places are final places of members.
    pub(super) fn holds<'p>(&self, mut places: impl Iterator<Item = &'p Place>) -> bool {
        places.all(|place| self.targets.contains(&place.digest()))
    }

    /// Whether the member that goes to `to` is the object that earlier tasks left at `at`: they
    /// moved it, or it is still there, or it moves away from there now.
    pub(super) fn took_along(&self, at: &Place, to: &Place) -> bool {
        let (at, to) = (at.digest(), to.digest());
        let is_there = at == to && self.targets.contains(&to);
        is_there || self.moved.contains(&to) || self.leaves.contains(&at)
    }

    /// Adds the move of `member` to `to`; none if it is already there. The object that the event
    /// names comes last. `Conflict` when the target is taken.
    pub(super) fn add(
        &mut self,
        member: Member,
        to: Place,
        known: &Known<'_>,
    ) -> Result<(), Failure> {
        let earlier_moves = known.trails.get(&member.named);
        let Member {
            named,
            at,
            part,
            meta,
            source,
        } = member;
        if at == named && at == to {
            self.overlap.stays(&to);
            return Ok(());
        }
        if at != named {
            self.moved.insert(to.digest());
        }
        let is_main = named == *self.route.from;
        let (from, target, target_etag, phase) = if at == to {
            let etag = Some(meta.etag.clone());
            (named, Target::Present, etag, MovePhase::Copied)
        } else if known.twins.contains(&to) {
            let etag = known.there.get(&to).map(|there| there.etag.clone());
            (at, Target::Present, etag, MovePhase::Copied)
        } else {
            self.fetches |= at != named && source == Source::Goes;
            self.leaves.insert(at.digest());
            // Another playlist may be replaced together with the named one, which is checked
            // separately. A recorder that appends does not write its other objects again.
            let holds = match part {
                _ if is_main => known.holds,
                Part::Playlist => Some(true),
                Part::Segment | Part::Other => None,
            };
            let (target, replaced) = self.target(&meta, &to, earlier_moves, holds, known)?;
            (at, target, replaced, MovePhase::Planned)
        };
        let one = Move {
            number: 0,
            from,
            to,
            part,
            size: meta.size,
            etag: meta.etag,
            target,
            target_etag,
            upload: None,
            is_marked: false,
            source,
            phase,
        };
        self.overlap.add(&one);
        if is_main {
            self.main = Some(one);
        } else {
            self.page.push(one);
        }
        Ok(())
    }

    pub(super) fn is_full(&self) -> bool {
        self.page.len() >= PAGE as usize
    }

    /// Keeps only places where no object of the recording is or will be.
    pub(super) fn keep_untouched(&mut self, places: &mut Vec<(Place, Part)>) {
        self.overlap.keep_untouched(places);
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Adds a move from an earlier try's draft, for the object named at `named`.
    pub(super) fn take_up(&mut self, one: &Move, named: &Place) {
        self.count += 1;
        self.aim(&one.to);
        let is_fetched = one.from != *named;
        if is_fetched || one.target == Target::Present {
            self.moved.insert(one.to.digest());
        }
        self.fetches |= is_fetched && one.source == Source::Goes;
        if one.target != Target::Present {
            self.leaves.insert(one.from.digest());
        }
        self.overlap.add(one);
    }

    /// Adds a move from an earlier try's draft that only deletes an object.
    pub(super) fn take_up_going(&mut self, one: &Move) {
        self.count += 1;
        self.overlap.stays(&one.from);
    }

    /// Adds an object that does not move.
    pub(super) fn stays(&mut self, place: &Place) {
        self.aim(place);
        self.overlap.stays(place);
    }

    /// What may happen at a target, and the ETag of the object that may be replaced there.
    fn target(
        &self,
        source: &ObjectMeta,
        to: &Place,
        earlier_moves: Option<&EarlierMoves>,
        holds: Option<bool>,
        known: &Known<'_>,
    ) -> Result<(Target, Option<String>), Failure> {
        let Some(there) = known.there.get(to) else {
            return Ok((Target::Absent, None));
        };
        // Put there by an earlier task, or a copy that was made again and then kept.
        let ours = |earlier_moves: &EarlierMoves| {
            let is_same = there.etag == source.etag
                || (earlier_moves.made(there) && earlier_moves.was(source));
            earlier_moves.leads_to(to)
                && (is_same || (earlier_moves.made(there) && earlier_moves.renews(holds)))
        };
        let refused = known.refused.get(to);
        let overwrites = self.on_conflict == OnConflict::Overwrite && refused.is_none();
        if overwrites || earlier_moves.is_some_and(ours) {
            let target = if known.replaced.contains(to) {
                Target::Again
            } else {
                Target::Replace
            };
            return Ok((target, Some(there.etag.clone())));
        }
        let reason = refused.cloned().unwrap_or_else(|| {
            format!("{to} exists already (on_conflict: overwrite replaces it, keep_both takes another name)")
        });
        Err(Failure::new(FailureKind::Conflict, reason))
    }

    /// Adds a move that only deletes the playlist that earlier tasks put at `place`, unless the
    /// recording has an object there.
    pub(super) fn leave(&mut self, place: &Place, etag: &str) {
        if self.overlap.touches(place) {
            return;
        }
        self.outdated = Some(self.going(place, etag, Part::Playlist, Source::Goes));
    }

    /// Adds a move that only deletes the object at `place`, or leaves it: a part of a replaced
    /// recording, or a copy that the recording itself no longer uses.
    pub(super) fn let_go(&mut self, place: &Place, etag: &str, part: Part, source: Source) {
        self.overlap.stays(place);
        let going = self.going(place, etag, part, source);
        self.page.push(going);
    }

    fn going(&self, place: &Place, etag: &str, part: Part, source: Source) -> Move {
        Move {
            number: 0,
            from: place.clone(),
            to: self.route.to.clone(),
            part,
            size: 0,
            etag: etag.to_owned(),
            target: Target::Present,
            target_etag: None,
            upload: None,
            is_marked: false,
            source,
            phase: MovePhase::Copied,
        }
    }

    /// Takes the moves added since the last page, numbered.
    pub(super) fn page(&mut self) -> Vec<Move> {
        let mut page = std::mem::take(&mut self.page);
        for one in &mut page {
            one.number = self.count;
            self.count += 1;
        }
        page
    }

    pub(super) fn finish(mut self) -> Result<Vec<Move>, Failure> {
        if std::mem::take(&mut self.overlap).exists() {
            let reason = format!(
                "{} would move to {} over a part of the recording itself",
                self.route.from, self.route.to
            );
            return Err(Failure::new(FailureKind::Conflict, reason));
        }
        self.page.extend(self.outdated.take());
        self.page.extend(self.main.take());
        Ok(self.page())
    }
}

#[cfg(test)]
mod tests;
