//! Tests of the manifest: moves for given objects at sources and targets.

use super::*;
use crate::model::moves::SameOrigin;
use crate::model::recording::Extent;
use crate::object::Attributes;

fn place(key: &str) -> Place {
    Place {
        bucket: "b".into(),
        key: key.into(),
    }
}

fn member(key: &str, at: &str) -> Member {
    let meta = ObjectMeta {
        key: at.into(),
        size: 1,
        etag: format!("etag of {key}"),
        attributes: Attributes::default(),
    };
    Member {
        named: place(key),
        at: place(at),
        part: Part::Other,
        meta,
        source: Source::Goes,
    }
}

fn there(key: &str) -> (Place, ObjectMeta) {
    let meta = ObjectMeta {
        key: key.into(),
        size: 1,
        etag: "there".into(),
        attributes: Attributes::default(),
    };
    (place(key), meta)
}

fn earlier_moves(from: &str, to: &str) -> (Place, EarlierMoves) {
    let mut earlier_moves = EarlierMoves::default();
    earlier_moves.add(place(to), "there".into());
    earlier_moves.add_origin(SameOrigin::Yes);
    (place(from), earlier_moves)
}

struct Case {
    to: &'static str,
    members: Vec<Member>,
    there: Vec<(Place, ObjectMeta)>,
    trails: Vec<(Place, EarlierMoves)>,
    refused: Vec<&'static str>,
    on_conflict: OnConflict,
    /// Where an earlier task put the playlist.
    old: Option<&'static str>,
}

impl Case {
    fn hls(to: &'static str) -> Self {
        Self {
            to,
            members: ["r/ts/1.ts", "r/a.m3u8"].map(|key| member(key, key)).into(),
            there: vec![],
            trails: vec![],
            refused: vec![],
            on_conflict: OnConflict::Fail,
            old: None,
        }
    }

    /// `from > to target phase` of each move, or the failure's kind.
    fn moves(&self) -> Result<Vec<String>, FailureKind> {
        let (from, to) = (place("r/a.m3u8"), place(self.to));
        let known = Known {
            there: &self.there.iter().cloned().collect(),
            trails: &self.trails.iter().cloned().collect(),
            twins: &BTreeSet::new(),
            replaced: &BTreeSet::new(),
            holds: Some(true),
            refused: &self
                .refused
                .iter()
                .map(|key| (place(key), "not its own".to_owned()))
                .collect(),
        };
        let route = Route {
            from: &from,
            to: &to,
            extent: Extent::Set,
        };
        let moves = (|| {
            let mut draft = Draft::new(route, self.on_conflict);
            let (last, others) = self.members.split_last().unwrap();
            let mut moves = Vec::new();
            for member in others {
                let to = route.target(&member.named.key)?;
                draft.add(member.clone(), to, &known)?;
                moves.extend(draft.page());
            }
            draft.add(last.clone(), to.clone(), &known)?;
            if let Some(old) = self.old {
                draft.leave(&place(old), "there");
            }
            moves.extend(draft.finish()?);
            Ok(moves)
        })();
        let moves = moves.map_err(|failure: Failure| failure.kind)?;
        Ok(moves
            .iter()
            .map(|m| {
                format!(
                    "{} {} > {} {:?} {}",
                    m.number,
                    m.from.key,
                    m.to.key,
                    m.target,
                    m.phase.name()
                )
            })
            .collect())
    }
}

#[test]
fn segments_keep_their_place_relative_to_the_playlist_which_is_last() {
    assert_eq!(
        Case::hls("x/y/b.m3u8").moves().unwrap(),
        [
            "0 r/ts/1.ts > x/y/ts/1.ts Absent planned",
            "1 r/a.m3u8 > x/y/b.m3u8 Absent planned"
        ],
    );
}

#[test]
fn target_that_stands_is_a_conflict_unless_it_may_be_overwritten_or_is_an_earlier_copy() {
    let mut case = Case::hls("x/b.m3u8");
    case.there = vec![there("x/ts/1.ts")];
    assert_eq!(case.moves(), Err(FailureKind::Conflict));
    case.trails = vec![earlier_moves("r/ts/1.ts", "x/ts/1.ts")];
    let replaced = case.moves().unwrap();
    assert_eq!(replaced[0], "0 r/ts/1.ts > x/ts/1.ts Replace planned");
    // Without jobs or starts, a segment written again belongs to another recording.
    let mut unknown = EarlierMoves::default();
    unknown.add(place("x/ts/1.ts"), "there".into());
    case.trails[0].1 = unknown;
    assert_eq!(case.moves(), Err(FailureKind::Conflict));
    case.trails.clear();
    case.on_conflict = OnConflict::Overwrite;
    assert_eq!(case.moves().unwrap(), replaced);
    case.refused = vec!["x/ts/1.ts"];
    assert_eq!(case.moves(), Err(FailureKind::Conflict));
    case.trails = vec![earlier_moves("r/ts/1.ts", "x/ts/1.ts")];
    assert_eq!(case.moves().unwrap(), replaced, "it is its own");
}

#[test]
fn segment_that_an_earlier_task_moved_is_present_or_fetched_from_there() {
    let mut case = Case::hls("x/b.m3u8");
    case.members[0] = member("r/ts/1.ts", "x/ts/1.ts");
    assert_eq!(
        case.moves().unwrap()[0],
        "0 r/ts/1.ts > x/ts/1.ts Present copied"
    );
    case.members[0] = member("r/ts/1.ts", "old/ts/1.ts");
    case.old = Some("old/b.m3u8");
    assert_eq!(
        case.moves().unwrap(),
        [
            "0 old/ts/1.ts > x/ts/1.ts Absent planned",
            "1 old/b.m3u8 > x/b.m3u8 Present copied",
            "2 r/a.m3u8 > x/b.m3u8 Absent planned",
        ],
    );
}

#[test]
fn recording_is_never_moved_over_a_part_of_itself() {
    let mut case = Case::hls("r/ts/b.m3u8");
    case.members.insert(0, member("r/1.ts", "r/1.ts"));
    case.on_conflict = OnConflict::Overwrite;
    assert_eq!(case.moves(), Err(FailureKind::Conflict));
}

#[test]
fn playlists_that_would_get_one_name_are_not_moved() {
    let mut case = Case::hls("x/b.m3u8");
    case.members.insert(1, member("r/b.m3u8", "r/b.m3u8"));
    case.on_conflict = OnConflict::Overwrite;
    assert_eq!(case.moves(), Err(FailureKind::Conflict));
    case.members[1] = member("r/c.m3u8", "r/c.m3u8");
    assert_eq!(case.moves().unwrap().len(), 3);
}
