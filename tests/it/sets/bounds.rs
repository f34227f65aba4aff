//! Limits on what the service reads and holds for one callback.

use std::fmt::Write as _;

use super::scene::Scene;

pub(super) const MIB: usize = 1024 * 1024;

/// Asserts that the playlist is refused for a reason with this number, and nothing is changed.
async fn refuses(key: &str, text: &str, limit: &str) {
    let scene = Scene::new(&[("a", "kept/a.m3u8")]).await;
    scene.put(key, text);
    let before = scene.objects();
    let (state, why) = scene.play(key, "a").await;
    assert_eq!(state, "dead", "{limit}");
    assert!(why.contains(limit), "{limit}: {why}");
    assert!(why.len() < 1_000, "{limit}: {} bytes", why.len());
    assert!(scene.copied().is_empty());
    assert_eq!(scene.objects(), before);
}

pub(super) fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    let mut text = "#EXTM3U\n".to_owned();
    for number in 0..count {
        let _ = writeln!(text, "{}", line(number));
    }
    text
}

#[tokio::test]
async fn playlist_above_a_limit_is_refused_with_the_limit_and_the_way_out() {
    let folder = "f".repeat(900);
    for (key, text, limit) in [
        (
            "r/i.m3u8",
            lines(100_001, |number| number.to_string()),
            "100000",
        ),
        (
            &*format!("{folder}/i.m3u8"),
            lines(19_000, |number| number.to_string()),
            "16777216",
        ),
        (
            "r/i.m3u8",
            lines(10 * MIB / 8, |_| "#123456".into()),
            "10485760",
        ),
        ("r/i.m3u8", lines(1_000_000, |_| String::new()), "1000000"),
        (
            "r/i.m3u8",
            lines(1_001, |number| {
                format!("#EXT-X-STREAM-INF:BANDWIDTH=1\n{number}.m3u8")
            }),
            "1000",
        ),
        (
            "r/i.m3u8",
            format!("#EXTM3U\n#EXT-X-KEY:{}URI=k\n", "A=1,".repeat(1_000)),
            "1000 attributes",
        ),
        (
            "r/i.m3u8",
            format!("#EXTM3U\n{}\n", "x".repeat(16_385)),
            "16 KiB",
        ),
    ] {
        refuses(key, &text, limit).await;
    }
}

#[tokio::test]
async fn playlists_that_are_too_large_together_are_not_read() {
    let scene = Scene::new(&[("a", "kept/a.m3u8")]).await;
    let long = lines(9 * MIB / 100, |_| "#".repeat(99));
    for number in 0..8 {
        scene.put(&format!("r/{number}.m3u8"), &long);
    }
    let main = lines(8, |number| {
        format!("#EXT-X-STREAM-INF:BANDWIDTH=1\n{number}.m3u8")
    });
    scene.put("r/i.m3u8", &main);
    let (state, why) = scene.play("r/i.m3u8", "a").await;
    assert_eq!(state, "dead");
    assert!(why.contains("67108864"), "{why}");
    assert_eq!(scene.read().len(), 8, "{:?}", scene.read());
}

/// A path through many folders is longer than what it replaces.
#[tokio::test]
async fn playlist_that_would_be_too_large_with_relative_references_is_not_written() {
    let deep = "x/".repeat(400);
    let to = format!("k/{deep}");
    let scene = Scene::new(&[("a", &*to)]).await;
    let key = format!("{deep}i.m3u8");
    scene.put(&key, &lines(9_000, |_| "/1.ts".into()));
    scene.put("1.ts", "1");
    let before = scene.objects();
    let (state, why) = scene.play(&key, "a").await;
    assert_eq!(state, "dead");
    assert!(why.contains("10485760"), "{why}");
    assert_eq!(scene.objects(), before);
}
