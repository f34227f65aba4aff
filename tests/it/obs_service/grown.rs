//! A recorder that keeps appending to a recording after it was moved.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::support::fake_obs::{Content, Object, World};
use crate::support::obs_recording::{ARCHIVE, ObsRecording, RECORDED};
use crate::support::obs_service::ObsService;

/// Where the recorder writes, and where the rules move it.
const FOLDERS: [(&str, &str); 5] = [
    (RECORDED, "r/x/"),
    (ARCHIVE, "first/b/"),
    (ARCHIVE, "first/c/"),
    (ARCHIVE, "kept/b/"),
    (ARCHIVE, "kept/c/"),
];

/// The objects of a recording with this many segments, relative to its folder.
fn recording(segments: usize) -> BTreeMap<String, Content> {
    let mut playlist = "#EXTM3U\n".to_owned();
    let mut objects = BTreeMap::new();
    for number in 1..=segments {
        let _ = write!(playlist, "#EXTINF:2,\n{number}.ts\n");
        let segment = Object::text(&format!("segment {number}"));
        objects.insert(format!("{number}.ts"), segment.content);
    }
    objects.insert("a.m3u8".to_owned(), Object::text(&playlist).content);
    objects
}

/// Appends the segment of this number: the recorder writes to its old place, and its playlist
/// names all segments there.
fn append(world: &mut World, number: usize) {
    for name in [format!("{number}.ts"), "a.m3u8".to_owned()] {
        let mut object = Object::text("");
        object.content = recording(number)[&name].clone();
        world.put(RECORDED, &format!("r/x/{name}"), object);
    }
}

fn folder(world: &World, (bucket, folder): (&str, &str)) -> BTreeMap<String, Content> {
    let objects = world.buckets[bucket].objects.iter();
    objects
        .filter_map(|(key, object)| {
            let name = key.strip_prefix(folder)?;
            Some((name.to_owned(), object.content.clone()))
        })
        .collect()
}

/// Whether some folder holds the playlist with everything it names.
fn is_whole(world: &World, segments: usize) -> bool {
    let holds = |there: &BTreeMap<String, Content>, segments| {
        let wanted = recording(segments);
        wanted
            .iter()
            .all(|(name, content)| there.get(name) == Some(content))
    };
    FOLDERS.iter().any(|at| {
        let there = folder(world, *at);
        (1..=segments).any(|segments| holds(&there, segments))
    })
}

#[tokio::test]
async fn recording_that_grows_is_each_time_whole_where_its_latest_event_wants_it_and_nowhere_else()
{
    let once = "{ rename: { to: 'kept/{{ room_id }}/', bucket: archive } }";
    let twice = "{ id: one, rename: { to: 'first/{{ room_id }}/', bucket: archive } }, \
         { id: two, rename: { to: 'kept/{{ room_id }}/' } }";
    for renames in [once, twice] {
        let mut obs_service = ObsService::new(|_| ObsRecording::long_hls(1)).await;
        obs_service.obs.after_every_mutation(|_| ());
        obs_service
            .obs
            .world(|world| world.bucket(RECORDED).objects.clear());
        obs_service.steps = format!("[{renames}, {{ notify: lms }}]");
        let service = obs_service.serve().await;
        for (round, room) in (1..).zip(["b", "c", "b", "c", "b", "b", "c", "b"]) {
            obs_service.obs.world(|world| append(world, round));
            obs_service.obs.after_every_mutation(move |world| {
                assert!(is_whole(world, round), "the recording is whole nowhere");
            });
            obs_service.announce_in(&service, room, round).await;
            obs_service
                .told(round, &format!("{renames}: round {round}"))
                .await;
            obs_service.obs.world(|world| {
                for at in FOLDERS {
                    let wanted = if at == (ARCHIVE, &*format!("kept/{room}/")) {
                        recording(round)
                    } else {
                        BTreeMap::new()
                    };
                    assert_eq!(
                        folder(world, at),
                        wanted,
                        "{renames}: {at:?} in round {round}"
                    );
                }
            });
        }
        service.drain().await;
    }
}
