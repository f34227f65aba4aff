//! Follows the moves of a recording's parts by earlier tasks.
//!
//! A recorder that appends to a recording names segments at their original place, long after we
//! moved them away. The journal knows the newest move from each place. Moves can form a circle,
//! because a recording may return to an earlier place. So the journal says where a part can be, and
//! a request to the bucket finds out where it is.

use std::collections::BTreeMap;

use super::stat::find;
use crate::action::{Progress, Reach, Stopped};
use crate::model::failure::Failure;
use crate::model::moves::{Earlier, MadeBy, Move, Part, SameOrigin, renews};
use crate::model::recording::Place;
use crate::object::ObjectMeta;

/// The places to which earlier tasks moved the object once named at one place.
#[derive(Debug, Clone, Default)]
pub(super) struct EarlierMoves {
    /// In the order of the moves, without duplicates.
    places: Vec<Place>,
    /// What its copies have as their `ETag`.
    etags: Vec<String>,
    /// What its sources had as their `ETag`.
    sources: Vec<String>,
    origin: Option<SameOrigin>,
    /// The newest move of the named object, for messages.
    by: Option<String>,
}

impl EarlierMoves {
    /// Adds a move. Returns whether the earlier moves may continue from there.
    pub(super) fn add(&mut self, to: Place, etag: String) -> bool {
        self.etags.push(etag);
        let is_new = !self.places.contains(&to);
        if is_new {
            self.places.push(to);
        }
        is_new
    }

    /// Adds whether a move was for the same recording. If one was not, these are moves of another
    /// recording.
    pub(super) fn add_origin(&mut self, origin: SameOrigin) {
        self.origin = self.origin.max(Some(origin));
    }

    /// Whether all of its moves were for the recording of the current event.
    pub(super) fn origin(&self) -> SameOrigin {
        self.origin.unwrap_or_default()
    }

    /// Whether the object at its end may be replaced by what is at the source now; `holds` as in
    /// [`renews`].
    pub(super) fn renews(&self, holds: Option<bool>) -> bool {
        renews(self.origin(), holds)
    }

    pub(super) fn is_of_another(&self) -> bool {
        self.origin() == SameOrigin::No
    }

    pub(super) fn taken_by(&self) -> Option<String> {
        self.by.clone()
    }

    /// Notes the newest of these moves, unless one is noted already.
    fn note_taker(&mut self, hops: &[MadeBy]) {
        let (None, Some(made)) = (&self.by, hops.first()) else {
            return;
        };
        let what = match made.origin {
            SameOrigin::No if made.is_of_this_key => {
                "what was there of another job, or with another start,"
            }
            SameOrigin::No => "what was there of another job",
            SameOrigin::Yes | SameOrigin::Likely | SameOrigin::Unknown => "it",
        };
        self.by = Some(format!("{} moved {what} to {}", made.task, made.one.to));
    }

    /// Without places to which the rules file gives no access.
    pub(super) fn within(&self, reach: &Reach) -> Self {
        let mut within = self.clone();
        within.places.retain(|place| reach.bucket(place).is_ok());
        within
    }

    pub(super) fn places(&self) -> &[Place] {
        &self.places
    }

    /// Whether earlier tasks put something at `place`.
    pub(super) fn leads_to(&self, place: &Place) -> bool {
        self.places.contains(place)
    }

    /// Whether earlier tasks moved this very object.
    pub(super) fn was(&self, source: &ObjectMeta) -> bool {
        self.sources.contains(&source.etag)
    }

    /// Whether the object's ETag is that of something earlier tasks moved.
    pub(super) fn made(&self, meta: &ObjectMeta) -> bool {
        self.has_made(&meta.etag)
    }

    /// Whether earlier tasks made something with this ETag.
    pub(super) fn has_made(&self, etag: &str) -> bool {
        self.etags.iter().any(|made| made == etag)
    }

    /// The latest place where something was `found`; `None` for another recording.
    pub(super) fn end(&self, found: &BTreeMap<Place, ObjectMeta>) -> Option<&Place> {
        if self.is_of_another() {
            return None;
        }
        let stands = |place: &&Place| found.get(*place).is_some_and(|meta| self.made(meta));
        self.places.iter().rev().find(stands)
    }
}

/// Follows the moves from each of these places.
pub(super) async fn follow(
    named: Vec<Place>,
    progress: &mut dyn Progress,
) -> Result<BTreeMap<Place, EarlierMoves>, Stopped> {
    let blank = |place: &Place| (place.clone(), EarlierMoves::default());
    let mut trails: BTreeMap<Place, EarlierMoves> = named.iter().map(blank).collect();
    // Each with the place where its earlier moves begin.
    let mut open: Vec<(Place, Place)> = named.into_iter().map(|p| (p.clone(), p)).collect();
    while !open.is_empty() {
        let from = open.iter().map(|(_, end)| end.clone()).collect();
        let moves = progress.earlier_moves(from).await?;
        // A move without a copy only deleted an object.
        let hops: BTreeMap<Place, Earlier> = moves
            .into_iter()
            .map(|earlier| (earlier.one.from.clone(), earlier))
            .collect();
        open = open
            .into_iter()
            .filter_map(|(named, end)| {
                let Earlier { one, origin } = hops.get(&end)?.clone();
                let etag = one.target_etag?;
                let earlier_moves = trails.get_mut(&named)?;
                earlier_moves.add_origin(origin);
                earlier_moves.sources.push(one.etag);
                let goes_on = earlier_moves.add(one.to.clone(), etag);
                goes_on.then_some((named, one.to))
            })
            .collect();
    }
    Ok(trails)
}

/// Like [`follow`], through the moves of every recording, for parts that recordings may share.
pub(super) async fn follow_all(
    named: Vec<(Place, Part)>,
    progress: &mut dyn Progress,
) -> Result<BTreeMap<Place, EarlierMoves>, Stopped> {
    let blank = |(place, _): &(Place, Part)| (place.clone(), EarlierMoves::default());
    let trails = named.iter().map(blank).collect();
    let open = |(named, part): (Place, Part)| (named.clone(), part, named, None);
    go_on(trails, named.into_iter().map(open).collect(), progress).await
}

/// Follows what this move took to where it is now.
pub(super) async fn follow_one(
    made: MadeBy,
    progress: &mut dyn Progress,
) -> Result<BTreeMap<Place, EarlierMoves>, Stopped> {
    let Move { from, to, part, .. } = made.one;
    let etag = made.one.target_etag.unwrap_or_default();
    let mut moves = EarlierMoves::default();
    moves.add(to.clone(), etag.clone());
    let trails = BTreeMap::from([(from.clone(), moves)]);
    go_on(trails, vec![(from, part, to, Some(etag))], progress).await
}

/// A named object, the place where moves that are not followed yet begin, and its ETag there: a
/// later move may be of another object.
type Ahead = (Place, Part, Place, Option<String>);

async fn go_on(
    mut trails: BTreeMap<Place, EarlierMoves>,
    mut open: Vec<Ahead>,
    progress: &mut dyn Progress,
) -> Result<BTreeMap<Place, EarlierMoves>, Stopped> {
    while !open.is_empty() {
        let from = open.iter().map(|(_, _, end, _)| end.clone()).collect();
        let mut hops: BTreeMap<Place, Vec<MadeBy>> = BTreeMap::new();
        for made in progress.made_from(from).await? {
            hops.entry(made.one.from.clone()).or_default().push(made);
        }
        let mut next = Vec::new();
        for (named, part, end, etag) in open {
            let (Some(earlier_moves), Some(hops)) = (trails.get_mut(&named), hops.get(&end)) else {
                continue;
            };
            earlier_moves.note_taker(hops);
            for one in same_object(hops, part, etag) {
                let etag = one.target_etag.clone().unwrap_or_default();
                if earlier_moves.add(one.to.clone(), etag.clone()) {
                    next.push((named.clone(), part, one.to.clone(), Some(etag)));
                }
            }
        }
        open = next;
    }
    Ok(trails)
}

/// The moves from one place, newest first, of the object that had this ETag there. Without an ETag:
/// of the object moved last, if it may be shared.
fn same_object(hops: &[MadeBy], part: Part, etag: Option<String>) -> Vec<&Move> {
    let may_be = |made: &&MadeBy| etag.is_some() || made.may_be_shared(part);
    let moves: Vec<&Move> = hops.iter().filter(may_be).map(|made| &made.one).collect();
    let etag = etag.or_else(|| Some(moves.first()?.etag.clone()));
    let is_it = |one: &&Move| Some(&one.etag) == etag.as_ref();
    moves.into_iter().filter(is_it).collect()
}

/// Looks along the trails, end to start, until each has an existing object or no more places.
pub(super) async fn look(
    reach: &Reach,
    trails: &BTreeMap<Place, EarlierMoves>,
) -> Result<BTreeMap<Place, ObjectMeta>, Failure> {
    let mut found = BTreeMap::new();
    for back in 0.. {
        let open = trails
            .values()
            .filter(|earlier_moves| earlier_moves.end(&found).is_none());
        let next: Vec<&Place> = open
            .filter_map(|earlier_moves| earlier_moves.places.iter().rev().nth(back))
            .collect();
        if next.is_empty() {
            break;
        }
        found.extend(find(reach, next).await?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Attributes;

    fn place(key: &str) -> Place {
        Place {
            bucket: "b".into(),
            key: key.into(),
        }
    }

    fn found(keys: &[(&str, &str)]) -> BTreeMap<Place, ObjectMeta> {
        let one = |(key, etag): &(&str, &str)| {
            let meta = ObjectMeta {
                key: (*key).into(),
                size: 1,
                etag: (*etag).into(),
                attributes: Attributes::default(),
            };
            (place(key), meta)
        };
        keys.iter().map(one).collect()
    }

    #[test]
    fn trail_ends_at_the_latest_place_where_its_own_object_stands() {
        let mut earlier_moves = EarlierMoves::default();
        assert!(earlier_moves.add(place("b"), "1".into()));
        assert!(earlier_moves.add(place("c"), "1-2".into()));
        assert!(!earlier_moves.add(place("b"), "1".into()), "it is a circle");
        for (there, end) in [
            (&[("b", "1"), ("c", "1-2")][..], Some("c")),
            (&[("b", "1"), ("c", "a stranger's")], Some("b")),
            (&[("b", "1-2")], Some("b")),
            (&[("b", "a stranger's"), ("d", "1")], None),
        ] {
            let end = end.map(place);
            assert_eq!(earlier_moves.end(&found(there)), end.as_ref(), "{there:?}");
        }
    }
}
