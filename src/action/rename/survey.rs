//! Looks at what stands at the sources and the targets, and has the manifest made of it.

use std::collections::BTreeMap;

use super::find::find;
use super::manifest::{Circumstances, Member, Route, manifest};
use super::set::{self, Set};
use crate::action::{OpenBucket, Progress, Reach, Stopped, Subject};
use crate::model::failure::{Failure, FailureKind};
use crate::model::moves::{Move, Target};
use crate::model::recording::Place;
use crate::model::step::{OnConflict, Rename};
use crate::object::{Belongings, Layout};

/// How often a segment can have been moved by earlier tasks before it is given up.
const HOPS: usize = 16;

/// What a survey found.
#[derive(Debug, Default)]
pub(super) struct Surveyed {
    /// The moves that carry the recording from its place to where it is asked to be; none
    /// when it is there.
    pub(super) moves: Vec<Move>,
    /// The object, when it is the only one. Its target was looked at after it, and nothing
    /// stands there.
    pub(super) seen: Option<Belongings>,
}

/// Looks at the recording and at its target.
pub(super) async fn survey(
    reach: &Reach,
    request: &Rename,
    subject: &Subject,
    progress: &mut dyn Progress,
) -> Result<Surveyed, Stopped> {
    let from = subject.place()?;
    let (source, target) = (reach.bucket(from)?, reach.bucket(&request.to)?);
    let route = Route {
        from,
        to: &request.to,
    };
    route.target(&from.key)?;
    if *from == request.to {
        return Ok(Surveyed::default());
    }
    if source.store.site() != target.store.site() {
        let reason = format!(
            "buckets {:?} and {:?} are not of one endpoint and kind",
            from.bucket, request.to.bucket
        );
        return Err(Failure::new(FailureKind::Unsupported, reason).into());
    }
    let members = members(reach, source, route, subject, progress).await?;
    let seen = belongings(source, route, &members).await;
    let seen = seen.map_err(|failure| subject.waits(&source.config, failure))?;
    let conflict = request.on_conflict;
    let moves = match draft(reach, route, &members, conflict, progress).await {
        Err(Stopped::Failed { failure, .. })
            if failure.kind == FailureKind::Conflict && conflict == OnConflict::KeepBoth =>
        {
            let to = &route.beside(&request.suffix);
            let beside = Route { from, to };
            draft(reach, beside, &members, conflict, progress).await?
        }
        moves => moves?,
    };
    let is_free = moves.iter().all(|one| one.target == Target::Absent);
    Ok(Surveyed {
        seen: seen.filter(|_| is_free),
        moves,
    })
}

/// What belongs to the only object that moves; `None` when there are more, or when it
/// keeps everything, as it is renamed.
async fn belongings(
    source: &OpenBucket,
    route: Route<'_>,
    members: &[Member],
) -> Result<Option<Belongings>, Failure> {
    let [Member { at, attributes, .. }] = members else {
        return Ok(None);
    };
    let stays = at.bucket == route.to.bucket;
    if stays && source.store.layout().await? == Layout::FileSystem {
        return Ok(None);
    }
    Ok(Some(Belongings {
        attributes: attributes.clone(),
        rights: source.store.rights(&at.key).await?,
    }))
}

/// The objects of the recording, each where it is.
async fn members(
    reach: &Reach,
    bucket: &OpenBucket,
    route: Route<'_>,
    subject: &Subject,
    progress: &mut dyn Progress,
) -> Result<Vec<Member>, Stopped> {
    let set = if route.is_single() {
        Set::single(route.from)
    } else {
        let set = set::members(bucket, route.from).await;
        set.map_err(|failure| subject.waits(&bucket.config, failure))?
    };
    let named: Vec<Place> = set
        .keys
        .into_iter()
        .map(|key| beside(route.from, key))
        .collect();
    for place in &named {
        reach.bucket(place)?;
    }
    let mut found = find(reach, &named).await?;
    let is_missing = |place: &&Place| *place != route.from && !found.contains_key(*place);
    let missing: Vec<Place> = named.iter().filter(is_missing).cloned().collect();
    let moved = follow(missing, progress).await?;
    found.extend(find(reach, moved.values()).await?);
    let at = |named: &Place| moved.get(named).unwrap_or(named).clone();
    named
        .into_iter()
        .map(|named| {
            let at = at(&named);
            let Some(meta) = found.get(&at) else {
                return Err(subject.absent(&bucket.config, &named.to_string()).into());
            };
            if set
                .playlists
                .get(&named.key)
                .is_some_and(|seen| *seen != meta.etag)
            {
                let reason = format!("{named} changed while it was read");
                return Err(Failure::new(FailureKind::SourceChanged, reason).into());
            }
            Ok(Member {
                named,
                at,
                size: meta.size,
                etag: meta.etag.clone(),
                attributes: meta.attributes.clone(),
            })
        })
        .collect()
}

/// Where earlier tasks of the recording moved these, step after step.
async fn follow(
    missing: Vec<Place>,
    progress: &mut dyn Progress,
) -> Result<BTreeMap<Place, Place>, Stopped> {
    let mut now: BTreeMap<Place, Place> = missing.iter().map(|p| (p.clone(), p.clone())).collect();
    let mut open = missing;
    for _ in 0..HOPS {
        if open.is_empty() {
            break;
        }
        let moves = progress.earlier_moves(open).await?;
        let hops: BTreeMap<Place, Place> = moves.into_iter().map(|m| (m.from, m.to)).collect();
        for place in now.values_mut() {
            if let Some(to) = hops.get(place) {
                *place = to.clone();
            }
        }
        open = hops.into_values().collect();
    }
    Ok(now)
}

async fn draft(
    reach: &Reach,
    route: Route<'_>,
    members: &[Member],
    on_conflict: OnConflict,
    progress: &mut dyn Progress,
) -> Result<Vec<Move>, Stopped> {
    let mut targets = Vec::with_capacity(members.len());
    for member in members {
        let to = route.target(&member.named.key)?;
        reach.bucket(&to)?;
        targets.push(to);
    }
    let there = find(reach, &targets).await?;
    let fetched = members.iter().any(|member| member.at != member.named);
    let ask: Vec<Place> = members
        .iter()
        .zip(&targets)
        .filter(|(member, to)| there.contains_key(*to) || (fetched && member.named == *route.from))
        .map(|(member, _)| member.named.clone())
        .collect();
    let earlier = if ask.is_empty() {
        Vec::new()
    } else {
        progress.earlier_moves(ask).await?
    };
    let known = Circumstances {
        there: &there,
        earlier: &earlier.into_iter().map(|m| (m.from.clone(), m)).collect(),
        on_conflict,
    };
    Ok(manifest(route, members, &known)?)
}

fn beside(place: &Place, key: String) -> Place {
    Place {
        bucket: place.bucket.clone(),
        key,
    }
}
