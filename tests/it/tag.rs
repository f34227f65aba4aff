//! Tags on a recording, as object tags and as metadata.

use std::collections::BTreeMap;

use aftertake::action::{ActionSubject, Done, Reach, Stopped, run};
use aftertake::clock;
use aftertake::model::failure::{Failure, FailureKind};
use aftertake::model::recording::{Extent, Place, names_playlist};
use aftertake::model::step::{OnInvalid, Rendered, Tag, TagMode, TagObjects, TagStorage};
use aftertake::object::{ObjectStore, TagSupport};

use super::support::folder_buckets::FolderBuckets;
use super::support::journal::Journal;
use super::support::recording::{Recording, place};

fn step(tags: &[(&str, &str)]) -> Tag {
    Tag {
        tags: map(tags),
        mode: TagMode::Merge,
        storage: TagStorage::Auto,
        on_invalid: OnInvalid::Fail,
        objects: TagObjects::Named,
    }
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).into(), (*value).into()))
        .collect()
}

async fn tag(world: &FolderBuckets, reach: &Reach, step: Tag, at: &Place) -> Result<Done, Failure> {
    let extent = if names_playlist(&at.key) {
        Extent::Set
    } else {
        Extent::Object
    };
    tag_all(world, reach, step, at, extent).await
}

async fn tag_all(
    world: &FolderBuckets,
    reach: &Reach,
    tag: Tag,
    at: &Place,
    extent: Extent,
) -> Result<Done, Failure> {
    let subject = ActionSubject {
        rule: "tagging".into(),
        place: Some(at.clone()),
        extent,
        moved_by: None,
        replaced: None,
        received: clock::now(),
        now: clock::now(),
    };
    let mut journal = Journal::new(at.clone(), world.gate.clone());
    match run(reach, &Rendered::Tag(tag), &subject, &mut journal).await {
        Err(Stopped::Failed { failure, .. }) => Err(*failure),
        ran => Ok(ran.unwrap()),
    }
}

async fn recorded(recording: Recording, key: &str) -> (FolderBuckets, Place) {
    let world = FolderBuckets::new();
    let at = place("recorded", key);
    world.record(&recording, &at).await;
    (world, at)
}

async fn tags_of(world: &FolderBuckets, at: &Place) -> BTreeMap<String, String> {
    match world.stores[&at.bucket].tags(&at.key).await.unwrap() {
        TagSupport::Tags(tags) => tags,
        TagSupport::Unsupported => panic!("a folder has tags"),
    }
}

async fn metadata_of(world: &FolderBuckets, at: &Place) -> BTreeMap<String, String> {
    let meta = world.stores[&at.bucket].head(&at.key).await.unwrap();
    meta.unwrap().attributes.metadata
}

#[tokio::test]
async fn merge_keeps_tags_of_other_names_and_replace_does_not() {
    let (world, at) = recorded(Recording::mp4(), "r/a.mp4").await;
    let done = tag(&world, &world.reach(), step(&[("room", "7")]), &at)
        .await
        .unwrap();
    assert_eq!(
        tags_of(&world, &at).await,
        map(&[("room", "7"), ("tagged", "a.mp4")])
    );
    assert_eq!(done.output["as"], "tags");
    assert_eq!(done.output["tags"]["room"], "7");
    let replacing = Tag {
        mode: TagMode::Replace,
        ..step(&[("course", "math")])
    };
    tag(&world, &world.reach(), replacing, &at).await.unwrap();
    assert_eq!(tags_of(&world, &at).await, map(&[("course", "math")]));
}

#[tokio::test]
async fn tags_that_are_there_already_are_not_written_again() {
    let (world, at) = recorded(Recording::mp4(), "r/a.mp4").await;
    for _ in 0..2 {
        tag(&world, &world.reach(), step(&[("room", "7")]), &at)
            .await
            .unwrap();
    }
    let mut calls = world.gate.log();
    calls.retain(|call| !["put_by_others", "made_from"].contains(call));
    assert_eq!(calls, ["tags", "set_tags", "tags"]);
}

#[tokio::test]
async fn metadata_serves_where_the_bucket_has_no_tags() {
    let (world, at) = recorded(Recording::mp4(), "r/a.mp4").await;
    let reach = world.reach_without_tags();
    let done = tag(&world, &reach, step(&[("Room", "录/7")]), &at)
        .await
        .unwrap();
    assert_eq!(done.output["as"], "metadata");
    assert_eq!(done.output["tags"]["Room"], "录/7");
    let merged = map(&[("made-for", "a.mp4"), ("room", "%E5%BD%95%2F7")]);
    assert_eq!(metadata_of(&world, &at).await, merged);
}

#[tokio::test]
async fn insisting_on_tags_fails_where_there_are_none() {
    let (world, at) = recorded(Recording::mp4(), "r/a.mp4").await;
    let insisting = Tag {
        storage: TagStorage::Tags,
        ..step(&[("room", "7")])
    };
    let failure = tag(&world, &world.reach_without_tags(), insisting, &at).await;
    assert_eq!(failure.unwrap_err().kind, FailureKind::Unsupported);
    let metadata = Tag {
        storage: TagStorage::Metadata,
        ..step(&[("room", "7")])
    };
    tag(&world, &world.reach(), metadata, &at).await.unwrap();
    assert_eq!(metadata_of(&world, &at).await["room"], "7");
    assert_eq!(tags_of(&world, &at).await, map(&[("tagged", "a.mp4")]));
}

#[tokio::test]
async fn playlist_is_tagged_and_its_segments_when_all_are_asked_for() {
    for (objects, tagged) in [(TagObjects::Named, 1), (TagObjects::All, 8)] {
        let (world, at) = recorded(Recording::hls(), "r/a.m3u8").await;
        let all = Tag {
            objects,
            ..step(&[("room", "7")])
        };
        tag(&world, &world.reach(), all, &at).await.unwrap();
        let mut count = 0;
        for object in Recording::hls().at(&at).keys() {
            count += usize::from(tags_of(&world, object).await.contains_key("room"));
        }
        assert_eq!(count, tagged);
    }
}

#[tokio::test]
async fn set_is_tagged_completely_whatever_its_key_and_without_optional_objects() {
    let playlist = "#EXTM3U\n#EXT-X-MAP:URI=init.mp4\n1.ts\n#EXT-X-GAP\n2.ts\n";
    let recording = Recording::with(playlist, playlist, &["init.mp4", "1.ts"]);
    let (world, at) = recorded(recording.clone(), "r/a").await;
    let all = Tag {
        objects: TagObjects::All,
        ..step(&[("room", "7")])
    };
    for reach in [world.reach(), world.reach_without_tags()] {
        tag_all(&world, &reach, all.clone(), &at, Extent::Set)
            .await
            .unwrap();
    }
    for object in recording.at(&at).keys() {
        assert_eq!(tags_of(&world, object).await["room"], "7", "{object}");
        assert_eq!(metadata_of(&world, object).await["room"], "7", "{object}");
    }
}

#[tokio::test]
async fn tag_beyond_the_limits_is_refused_before_anything_is_written() {
    let (mut world, at) = recorded(Recording::mp4(), "r/a.mp4").await;
    world.configure("recorded", |bucket| bucket.tag_limits.tags = 2);
    let too_many = step(&[("a", "1"), ("b", "2")]);
    let forbidden = step(&[("a", "x/y")]);
    for refused in [too_many, forbidden] {
        let failure = tag(&world, &world.reach(), refused, &at).await;
        assert_eq!(failure.unwrap_err().kind, FailureKind::Invalid);
    }
    assert_eq!(tags_of(&world, &at).await, map(&[("tagged", "a.mp4")]));
    let replaced = Tag {
        on_invalid: OnInvalid::Replace,
        ..step(&[("a", "x/y")])
    };
    let done = tag(&world, &world.reach(), replaced, &at).await.unwrap();
    assert_eq!(done.output["tags"]["a"], "x_y");
    assert_eq!(tags_of(&world, &at).await["a"], "x_y");
}

#[tokio::test]
async fn object_that_is_not_there_yet_or_not_allowed_is_not_tagged() {
    let (mut world, _) = recorded(Recording::mp4(), "r/a.mp4").await;
    for storage in [TagStorage::Auto, TagStorage::Metadata] {
        let later = Tag {
            storage,
            ..step(&[("room", "7")])
        };
        let failure = tag(&world, &world.reach(), later, &place("recorded", "r/b.mp4")).await;
        assert_eq!(failure.unwrap_err().kind, FailureKind::NotThereYet);
    }
    world.configure("recorded", |bucket| {
        bucket.only_under = vec!["classes/".into()];
    });
    let failure = tag(
        &world,
        &world.reach(),
        step(&[("a", "b")]),
        &place("recorded", "r/a.mp4"),
    )
    .await;
    assert_eq!(failure.unwrap_err().kind, FailureKind::Forbidden);
}
