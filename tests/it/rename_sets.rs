//! Which objects belong to an HLS recording, however its playlists reference them.

use std::collections::BTreeMap;

use serde_json::json;

use crate::support::folder_buckets::FolderBuckets;
use crate::support::recording::place;
use crate::support::test_service::{PATIENT, TestService};

const KEY: &str = "r/a.m3u8";

/// A recording below `r/`, and the place its callback reports.
struct Take {
    world: FolderBuckets,
    named: &'static str,
    format: &'static str,
    to: &'static str,
}

impl Take {
    fn of(objects: &[(&str, &str)]) -> Self {
        let world = FolderBuckets::new();
        for (name, content) in objects {
            world.write(&place("recorded", &format!("r/{name}")), content);
        }
        Self {
            world,
            named: KEY,
            format: "HLS",
            to: "s/b.m3u8",
        }
    }

    /// Moves it with the real service; returns the task's state and the reason if it is dead.
    async fn play(&self) -> (&'static str, String) {
        let test_service = TestService::new();
        let path = self.world.path("recorded");
        let rules = format!(
            "buckets: {{ recorded: {{ store: folder, path: '{}', source_grace: 1ms }} }}\n\
             retry: {{ first: 1ms, longest: 1ms, tries: 3 }}\n\
             rules: [{{ name: move, steps: [{{ rename: {{ to: '{}' }} }}, \
             {{ tag: {{ tags: {{ room: x }}, objects: all }} }}] }}]\n",
            path.display(),
            self.to
        );
        let running = test_service.start(&rules, PATIENT).await;
        let body = json!({
            "event_type": "RECORD_FILE_COMPLETE", "obs_bucket": "recorded", "obs_object": self.named,
            "record_format": self.format, "end_time": "2026-03-02T01:01:02Z",
        });
        assert_eq!(running.front.post(body.to_string()).await.status(), 200);
        running.store.settled(1).await;
        running.service.drain().await;
        let task = test_service.only().row;
        let reason = task.failure.map(|failure| failure.reason);
        (task.state, reason.unwrap_or_default())
    }

    /// Keys and contents below a folder, tags excluded.
    fn below(&self, folder: &str) -> BTreeMap<String, String> {
        let objects = self.world.objects().into_iter();
        objects
            .filter_map(|(place, content)| {
                Some((place.key.strip_prefix(folder)?.to_owned(), content))
            })
            .collect()
    }

    /// Moves it, and asserts that the target holds these objects and nothing is anywhere else.
    async fn moves(&self, objects: &[(&str, &str)]) {
        assert_eq!(self.play().await, ("done", String::new()), "{objects:?}");
        let owned = |(name, content): &(&str, &str)| ((*name).to_owned(), (*content).to_owned());
        assert_eq!(self.below("s/"), objects.iter().map(owned).collect());
        assert_eq!(self.below("r/"), BTreeMap::new());
    }
}

#[tokio::test]
async fn object_is_found_in_whatever_way_a_line_names_it() {
    for line in [
        "#EXT-X-KEY:METHOD=AES-128,URI=x,IV=0x1",
        "#EXT-X-KEY:METHOD=AES-128,URI='x'",
        "#EXT-X-MAP:uri=\"x\"",
        "#EXT-X-SESSION-KEY:METHOD=AES-128,URI=\"x\"",
        "#EXT-X-SESSION-DATA:DATA-ID=\"d\",URI=\"x\"",
        "#EXT-X-CONTENT-STEERING:SERVER-URI=\"x\"",
        "#EXT-X-DATERANGE:ID=\"d\",X-ASSET-URI=\"x\"",
        "#EXT-X-DATERANGE:ID=\"d\",X-ASSET-LIST=\"x\"",
        "#EXT-X-PART:DURATION=1,URI=\"x\"",
        "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"x\"",
        "#EXT-X-PREFETCH:x",
        "#EXT-X-ACME:URI=\"x\"",
    ] {
        let playlist = format!("#EXTM3U\n{line}\n#EXTINF:2,\n1.ts\n");
        let take = Take::of(&[("a.m3u8", &playlist), ("1.ts", "1"), ("x", "x")]);
        take.moves(&[("b.m3u8", &playlist), ("1.ts", "1"), ("x", "x")])
            .await;
    }
}

#[tokio::test]
async fn playlists_are_followed_however_they_are_named_and_however_deep() {
    let main = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv\n\
        #EXT-X-IMAGE-STREAM-INF:BANDWIDTH=1,URI=\"i\"\n#EXT-X-I-FRAME-STREAM-INF:URI=\"/r/f.m3u8\"\n";
    let moved = main.replace("/r/f", "f");
    let video = "#EXTM3U\n#EXT-X-DATERANGE:ID=\"1\",X-ASSET-URI=\"ad/m.m3u8\"\nv1.ts\n";
    let rest = [
        ("v", video),
        ("v1.ts", "v"),
        ("i", "#EXTM3U\n#EXT-X-IMAGES-ONLY\ni1.jpg\n"),
        ("i1.jpg", "i"),
        ("f.m3u8", "#EXTM3U\nv1.ts\n"),
        (
            "ad/m.m3u8",
            "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nw.m3u8\n",
        ),
        ("ad/w.m3u8", "#EXTM3U\nother.m3u\n"),
        ("ad/other.m3u", "#EXTM3U\n../ad1.ts\n"),
        ("ad1.ts", "ad"),
    ];
    let all = |name, content| [&rest[..], &[(name, content)]].concat();
    Take::of(&all("a.m3u8", main))
        .moves(&all("b.m3u8", &moved))
        .await;
}

#[tokio::test]
async fn renditions_that_report_each_other_move_together() {
    let report = |of: &str, segment: &str| {
        format!("#EXTM3U\n{segment}\n#EXT-X-RENDITION-REPORT:URI=\"{of}\"\n")
    };
    let (main, other) = (report("c.m3u8", "1.ts"), report("a.m3u8", "2.ts"));
    let rest = [("1.ts", "1"), ("2.ts", "2")];
    let take = Take::of(&[&rest[..], &[("a.m3u8", &main), ("c.m3u8", &other)]].concat());
    let take = Take {
        to: "s/a.m3u8",
        ..take
    };
    take.moves(&[&rest[..], &[("a.m3u8", &main), ("c.m3u8", &other)]].concat())
        .await;
    // A report alone does not require that anything exists.
    let take = Take::of(&[("a.m3u8", &main), ("1.ts", "1")]);
    take.moves(&[("b.m3u8", &main), ("1.ts", "1")]).await;
}

#[tokio::test]
async fn gap_and_hint_need_not_be_there_and_what_is_elsewhere_stays_in_the_text() {
    for lines in [
        "#EXT-X-GAP\n#EXTINF:2,\n2.ts",
        "#EXTINF:2,\n#EXT-X-GAP\n/r/2.ts",
        "#EXT-X-PART:DURATION=1,URI=\"2.mp4\",GAP=YES",
        "#EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"2.mp4\"",
        "#EXT-X-PREFETCH:2.ts",
        "#EXTINF:2,\nhttps://cdn.example.com/r/2.ts",
        "#EXT-X-MAP:URI=\"data:video/mp4;base64,AAAA\"",
        "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd:2\"",
        "#EXT-X-KEY:METHOD=AES-128,URI=\"https://keys.example.com/2\"",
    ] {
        let playlist = format!("#EXTM3U\n{lines}\n#EXTINF:2,\n1.ts\n");
        let take = Take::of(&[("a.m3u8", &playlist), ("1.ts", "1")]);
        take.moves(&[("b.m3u8", &playlist), ("1.ts", "1")]).await;
    }
    // An existing gap moves along; a segment that is not a gap must exist.
    let playlist = "#EXTM3U\n#EXT-X-GAP\n2.ts\n1.ts\n";
    let take = Take::of(&[("a.m3u8", playlist), ("1.ts", "1"), ("2.ts", "2")]);
    take.moves(&[("b.m3u8", playlist), ("1.ts", "1"), ("2.ts", "2")])
        .await;
    let take = Take::of(&[("a.m3u8", playlist), ("2.ts", "2")]);
    let (state, reason) = take.play().await;
    assert_eq!(state, "dead");
    assert!(reason.contains("recorded/r/1.ts"), "{reason}");
}

#[tokio::test]
async fn recording_is_a_set_by_its_format_or_the_name_in_its_callback_and_stays_one() {
    let (begins, ends) = ("#EXTM3U\n/r/1.ts\n", "#EXTM3U\n1.ts\n");
    for (named, format, to, name) in [
        ("r/a.m3u8", "HLS", "s/b", "b"),
        ("r/a.m3u", "", "s/b.mp4", "b.mp4"),
        ("r/a.M3U8", "MP4", "s/b", "b"),
        ("r/a", "HLS", "s/", "a"),
        ("r/a.1", "hls", "s/", "a.1"),
    ] {
        let take = Take::of(&[(&named[2..], begins), ("1.ts", "1")]);
        let take = Take {
            named,
            format,
            to,
            ..take
        };
        take.moves(&[(name, ends), ("1.ts", "1")]).await;
        let tagged = take.world.path("recorded").join(".aftertake");
        let sidecars = std::fs::read_dir(tagged).unwrap();
        let read = |file: std::fs::DirEntry| std::fs::read_to_string(file.path());
        let texts = sidecars.filter_map(|file| read(file.unwrap()).ok());
        let tagged = texts.filter(|text| text.contains("\"room\"")).count();
        assert_eq!(tagged, 2, "{named}");
    }
}

#[tokio::test]
async fn unsupported_playlist_line_is_named_by_number_and_nothing_changes() {
    let playlist = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-KEY:METHOD=AES-128 URI=\"k.key\"\n1.ts\n";
    let objects = [("a.m3u8", playlist), ("1.ts", "1"), ("k.key", "k")];
    let take = Take::of(&objects);
    let before = take.world.objects();
    let (state, reason) = take.play().await;
    assert_eq!(state, "dead");
    assert!(
        reason.contains("\"r/a.m3u8\"") && reason.contains("line 3 (#EXT-X-KEY)"),
        "{reason}"
    );
    assert_eq!(take.world.objects(), before);
}
